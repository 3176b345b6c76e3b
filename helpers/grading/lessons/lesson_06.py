"""Exercises of lesson 06: counting a search, planning it, honest scores, the cluster, halving."""

import math
import re
from functools import cache
from types import SimpleNamespace

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import Facts, by_case, mixed, named, returns, with_example
from helpers.grading.workers import workers_here

# 06.1 count_fits


def _grids(seed):
    """Cases: a grid, and the folds."""
    rng = np.random.default_rng([1, seed])
    a, b, c, n = rng.choice(np.arange(2, 12), 4, replace=False).tolist()
    folds = int(rng.integers(4, 8))
    one = {"alpha": [10.0**-n for n in range(n)]}
    three = {"alpha": list(range(a)), "loss": ["hinge", "log_loss"], "eta0": np.arange(b + c)}
    cases = {
        "one": (one, folds),
        "three": (three, folds + 1),
        "list": ([three, one, {"loss": ["hinge"] * a}], folds),
        "example": ({"alpha": [0.1, 1, 10], "loss": ["hinge", "log_loss"]}, 5),
    }
    return mixed(rng, cases)


def _observe_count_fits(function, seed):
    return [describe(function(*case)) for case in list(_grids(seed).values())]


def _sizes(grid):
    """Sizes of the parameters of each grid, in a list of grids."""
    grids = grid if isinstance(grid, list) else [grid]
    return [[len(values) for values in one.values()] for one in grids]


def _judge_count_fits(facts, seed):
    cases = _grids(seed)
    facts = by_case(facts, cases)
    whole = "Fits are counted: return a whole number, not a float."
    yield returns(0, [*facts.values()], "int", "one whole number", float=whole)
    counts = {name: sum(map(math.prod, _sizes(grid))) for name, (grid, _) in cases.items()}
    sums = {name: sum(map(sum, _sizes(grid))) for name, (grid, _) in cases.items()}
    expected = {name: counts[name] * folds + 1 for name, (_, folds) in cases.items()}
    values = {name: fact.value for name, fact in facts.items()}
    n, folds = counts["three"], cases["three"][1]
    mistakes = {
        "The winner is fitted once more, with all rows.": [n * folds],
        "Every combination is fitted in every fold.": [n + 1, n],
        "Every value meets every value of the others: combinations are a product, not a sum.":
            [sums["three"] * folds + 1, sums["three"] * folds],
        "The winner is fitted once in the end, not once per fold.": [(n + 1) * folds],
    }  # fmt: skip
    hint = "Count combinations times folds, and what comes after them."
    hint = named(values["three"], mistakes, hint, same=lambda value, wrong: value in wrong)
    single = ("one", "three", "example")
    right = all(values[name] == expected[name] for name in single)
    yield Check(1, "counts the fits of one grid", right, hint)
    grid, folds = cases["list"]
    products = [math.prod(sizes) for sizes in _sizes(grid)]
    mistakes = {
        "A list of grids was given, and only its first grid was counted.": products[0] * folds + 1,
        "Grids of a list do not meet each other: add their combinations, do not multiply.":
            math.prod(products) * folds + 1,
        "There is one winner for the whole list, so one fit with all rows.":
            expected["list"] + len(grid) - 1,
    }  # fmt: skip
    hint = named(values["list"], mistakes, "A list of grids: add the combinations of its grids.")
    yield Check(1, "adds the grids of a list", values["list"] == expected["list"], hint)


# 06.2 rungs


def _plans(seed):
    """Cases: candidates, rows, factor."""
    rng = np.random.default_rng([2, seed])
    rows = (10_007 + 2 * rng.integers(0, 1_000, 5)).tolist()
    cases = {
        "even": (27, rows[0], 3),
        "rest": (int(rng.choice([28, 29, 31, 64, 65])), rows[1], 3),
        "two": (int(rng.choice([17, 19, 21, 23])), rows[2], 2),
        "four": (int(rng.choice([66, 70, 75])), rows[3], 4),
        "few": (2, rows[4], 3),
        "example": (20, 1000, 3),
    }
    return mixed(rng, cases)


def _up(n, factor):
    return -(-n // factor)


def _plan(n_candidates, n_rows, factor, keep=_up):
    counts = [n_candidates]
    while counts[-1] > factor:
        counts.append(keep(counts[-1], factor))
    last = len(counts) - 1
    return [[n, n_rows // factor ** (last - rung)] for rung, n in enumerate(counts)]


def _observe_rungs(function, seed):
    return [describe(function(*case)) for case in list(_plans(seed).values())]


def _pairs(answer):
    """The pairs of numbers in a described list, or array, as lists."""
    if answer.kind == "array":
        return [v if isinstance(v, list) else [v] for v in answer.values]
    return [pair.values for pair in answer.items]


def _judge_rungs(facts, seed):
    cases = _plans(seed)
    facts = by_case(facts, cases)
    pairs = "a list with one pair (candidates, rows) for each rung"
    yield returns(0, [*facts.values()], ("list", "array"), pairs, title="returns pairs",
                  dict="Return a list of pairs, not a dict.")  # fmt: skip
    said = {name: _pairs(fact) for name, fact in facts.items()}
    two = all(plan and all(len(pair) == 2 for pair in plan) for plan in said.values())
    yield Check(0, "one pair for each rung", two, f"Return {pairs}.")
    whole = all(type(number) is int for plan in said.values() for pair in plan for number in pair)
    hint = "Candidates and rows are whole numbers: round candidates up and rows down."
    yield Check(0, "of whole numbers", whole, hint)

    def candidates(plans):
        return {name: [n for n, _ in plan] for name, plan in plans.items()}

    def planned(keep):
        return {name: _plan(*case, keep=keep) for name, case in cases.items()}

    expected = planned(_up)
    counts, right = candidates(said), candidates(expected)
    rounded = {
        "A factor-th of the candidates is rounded up, not down.": lambda n, f: n // f,
        "A factor-th of the candidates is always rounded up.": lambda n, f: round(n / f),
    }
    mistakes = {hint: candidates(planned(keep)) for hint, keep in rounded.items()}
    hint = "Each rung has a factor-th of the candidates of the one before, rounded up."
    if counts in mistakes.values():
        hint = named(counts, mistakes, hint)
    elif counts["few"] != right["few"]:
        hint = "With few candidates one rung is enough: its best wins."
    elif (
        counts["even"] == right["even"]
        and counts["two"] == candidates({"two": _plan(*cases["two"][:2], 3)})["two"]
    ):
        hint = "The factor is an argument: it is not always the same number."
    elif counts["even"][:-1] == right["even"]:
        hint = "There is a rung too many: the first with at most `factor` candidates is the last."
    elif counts["even"] == right["even"][: len(counts["even"])] != right["even"]:
        hint = "There is a rung missing: go on while there are more than `factor` candidates."
    yield Check(2, "plans the candidates of every rung", counts == right, hint)
    hint = "Rows grow by the factor from rung to rung, and are rounded down."
    if any(plan[-1][1] != cases[name][1] for name, plan in said.items()):
        hint = "The last rung has all rows."
    elif any(plan[0][1] == cases[name][1] for name, plan in said.items() if len(plan) > 1):
        hint = "Only the last rung has all rows: the first is cheap."
    yield Check(1, "plans the rows of every rung", said == expected, hint)


# 06.3 honest_auc


def _rows_to_score(seed):
    """Few rows, many columns of noise, one outlier in each good column: every leak shows."""
    rng = np.random.default_rng([3, seed])
    X, y = rng.normal(size=(70, 40)), np.zeros(70, "int32")
    y[rng.permutation(70)[:28]] = 1
    X[:, :4] += 1.4 * y[:, None]
    X[rng.permutation(70)[:4], range(4)] += 14
    X[:, 4:] *= rng.uniform(0.2, 5, 36)
    return X, y, int(rng.integers(5, 9))


def _noise():
    """The example's rows: nothing in them tells the classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 500)), rng.integers(0, 2, 200, "int32"), 20


def _pipeline(k, *, select=True, scale=True):
    from sklearn.feature_selection import SelectKBest
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [SelectKBest(k=k)] * select + [StandardScaler()] * scale
    return make_pipeline(*steps, KNeighborsClassifier())


def _auc(pipeline, X, y, scoring="roc_auc", cv=5):
    from sklearn.model_selection import cross_val_score

    return float(cross_val_score(pipeline, X, y, scoring=scoring, cv=cv).mean())


def _observe_honest_auc(function, seed):
    X, y, k = _rows_to_score(seed)
    answer = describe(function(X.copy(), y.copy(), k))
    given = X.copy()
    function(given, y.copy(), k)
    example = describe(function(*_noise()))
    return {"answer": answer, "changed": bool((given != X).any()), "example": example}


@cache
def _right_auc(seed):
    X, y, k = _rows_to_score(seed)
    return _auc(_pipeline(k), X, y)


@cache
def _example_auc():
    X, y, k = _noise()
    return _auc(_pipeline(k), X, y)


@cache  # a class is judged with one seed
def _leaks(seed):
    """Scores that come from what learners do wrong, each with its hint: first leaks, then slips."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    X, y, k = _rows_to_score(seed)
    chosen = SelectKBest(k=k).fit_transform(X, y)
    scaled, chosen_scaled = (StandardScaler().fit_transform(rows) for rows in (X, chosen))
    fitted = _pipeline(k).fit(X, y)
    selected = "The columns were selected with all rows: the judging fold took part."
    trained = "The model was scored on the rows that trained it: use cross-validation."
    leaks = [
        (_auc(_pipeline(k, select=False), chosen, y), selected),
        (_auc(_pipeline(k, select=False, scale=False), chosen_scaled, y), selected),
        (float(roc_auc_score(y, fitted.predict_proba(X)[:, 1])), trained),
        (float(fitted.score(X, y)), trained),
    ]
    slips = [
        (_auc(_pipeline(k, scale=False), scaled, y), "The scaler saw all rows: it belongs inside "
         "the folds, too."),
        (_auc(_pipeline(k), X, y, "accuracy"), "That is the accuracy: ask for the ROC AUC with "
         "scoring."),
        (_auc(_pipeline(10), X, y), "The number of columns is an argument: pass k on."),
        (_auc(_pipeline(k, scale=False), X, y), "The scaler is missing."),
        (_auc(_pipeline(k, select=False), X, y), "All columns were used: the selection is "
         "missing."),
        (_auc(_pipeline(k), X, y, cv=10), "Use five folds."),
        (_auc(_pipeline(k), X, y, cv=3), "Use five folds."),
    ]  # fmt: skip
    return leaks, slips


def _judge_honest_auc(facts, seed):
    facts = Facts(facts)
    answer = facts["answer"]
    folds = "Those are the scores of the folds: return their mean."
    yield returns(0, [answer, facts["example"]], "float", "one number", array=folds, list=folds)
    right = close(answer.value, _right_auc(seed))
    leaks, slips = ([], []) if right else _leaks(seed)
    leak, slip = (
        next((text for score, text in known if close(answer.value, score)), "")
        for known in (leaks, slips)
    )
    hint = leak or "This is not the score of five folds, each judged by what has not seen it."
    inside = right or bool(slip and not leak)
    yield Check(2, "selects the columns inside the folds", inside, hint)
    holds = close(facts["example"].value, _example_auc())
    yield with_example(Check(1, "scores the whole pipeline", right, slip), holds)
    hint = "The rows that were given were changed: somebody else may need them."
    yield Check(1, "leaves the rows as they are", facts.get("changed", True) is False, hint)


# 06.4 search_on_cluster


def _search_problem(seed):
    """A problem with few late rows, so that accuracy and ROC AUC choose differently."""
    rng = np.random.default_rng([4, seed])
    X = rng.normal(size=(240, 5))
    X[:, 0] *= 30  # needs no scaler to be found, and makes small steps matter
    y = (X[:, 1] + X[:, 2] + rng.normal(size=240) > 1.6).astype("int32")
    return X, y


def _model_and_grid():
    from sklearn.tree import DecisionTreeClassifier

    grid = {"max_depth": [1, 2, 4, 8], "min_samples_leaf": [1, 12]}
    return DecisionTreeClassifier(random_state=0), grid


def _easy_search():
    """The example's model, grid, rows and labels."""
    from sklearn.tree import DecisionTreeClassifier

    X = np.random.default_rng(0).normal(size=(60, 2))
    y = (X[:, 0] > 0).astype("int32")
    return DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, X, y


def _observe_search_on_cluster(function, seed):
    X, y = _search_problem(seed)
    model, grid = _model_and_grid()
    with workers_here([1, 1]) as (client, seen):
        try:
            answer = describe(function(client, model, grid, X, y))
        except TypeError as error:
            if "Future" not in str(error):
                raise
            return {"futures": True}
        sent, tasks = list(seen.scattered), list(seen.tasks)
        example = describe(function(client, *_easy_search()))
    calls = [re.search(rb"_(\d+)_calls", task) for task in tasks]
    return {
        "answer": answer,
        "X": _copies(X, sent),
        "y": _copies(y, sent),
        "fits": sum(int(call[1]) if call else 1 for call in calls),
        "inside": sum(X[:40].tobytes() in task for task in tasks),
        "example": example,
    }


def _copies(array, sent):
    """How often an array was sent, alone or in a list."""
    things = [t for thing in sent for t in (thing if isinstance(thing, list | tuple) else [thing])]
    arrays = [t for t in things if isinstance(t, np.ndarray) and t.shape == array.shape]
    return sum(bool((other == array).all()) for other in arrays)


def _best(answer):
    """The parameters and the score of a described pair."""
    first, second = [*answer.items, Facts(None), Facts(None)][:2]
    return first.mapping, second.value


@cache  # a class is judged with one seed
def _searched(seed):
    """The search that is asked for, done here, and the scores of what learners do instead."""
    from sklearn.model_selection import GridSearchCV

    (X, y), (model, grid) = _search_problem(seed), _model_and_grid()
    search = GridSearchCV(model, grid, scoring="roc_auc", cv=5).fit(X, y)
    mistakes = {
        "That score is an accuracy: ask for the ROC AUC with scoring.":
            GridSearchCV(model, grid, cv=5).fit(X, y).best_score_,
        "Those are the worst parameters: higher is better.":
            float(search.cv_results_["mean_test_score"].min()),
        "That score is of the rows that trained the model: return the mean of the folds.":
            float(search.score(X, y)),
    }  # fmt: skip
    return search, mistakes


@cache
def _easily_searched():
    from sklearn.model_selection import GridSearchCV

    model, grid, X, y = _easy_search()
    return GridSearchCV(model, grid, scoring="roc_auc", cv=5).fit(X, y)


def _judge_search_on_cluster(facts, seed):
    facts = Facts(facts)
    answer = facts["answer"]
    hint = "fit was given futures: it needs the arrays, the same that you tell joblib to scatter."
    yield Check(0, "fits arrays", not facts.get("futures", False), hint)
    yield returns(
        0,
        [answer, facts["example"]],
        "list",
        "two things, the best parameters and the best score",
        title="returns parameters and score",
        GridSearchCV="That is the whole search: return its best parameters and its best score.",
        dict="Return the best score as well, after the parameters.",
    )
    hint = "Return two things, in this order: a dict of parameters, and a number."
    pair = [item.kind for item in answer.items] == ["dict", "float"]
    yield Check(0, "a dict and a number", pair, hint)
    search, mistakes = _searched(seed)
    params, score = _best(answer)
    hint = "These are not the best parameters and score of five folds, judged by ROC AUC."
    hint = named(score, mistakes, hint)
    right = params == search.best_params_ and close(score, search.best_score_)
    easy = _easily_searched()
    params, score = _best(facts["example"])
    holds = params == easy.best_params_ and close(score, easy.best_score_)
    yield with_example(Check(1, "finds the best of the grid", right, hint), holds)
    fits, inside = facts.get("fits", 0), facts.get("inside", 1)
    hint = "The workers did not get the fits one by one: joblib's Dask backend does that."
    if not fits:
        hint = "No worker fitted anything, this process did: tell joblib to use the client."
    enough = fits >= len(search.cv_results_["params"])
    yield Check(2, "the workers do the fits", enough, hint)
    sent = [facts.get("X", 0), facts.get("y", 0)]
    hint = "X and y must be on every worker before the search: say so when you name the backend."
    if inside:
        hint = "X travelled inside of tasks: send it to the workers beforehand."
    elif sent[0] > 2:
        hint = "X was sent twice: fit the very objects that you scatter, not copies of them."
    elif sent[0] == 2:
        hint = "X was sent to every worker, and y was not, or more than once."
    yield Check(1, "the data go to each worker once", sent == [2, 2] and not inside, hint)


# 06.5 halve

_school = SimpleNamespace()  # what the models of one call have in common; it is set before each


class Model:
    """A model that notes which blocks it was trained on; its score follows a given curve.

    A copy of it, deep or not, goes on in the same place of the class's register.
    """

    def __init__(self, number, curve):
        self.number, self.curve, self.seen = number, curve, 0

    def partial_fit(self, X, y, classes=None):
        """Note the block, and ask for classes in the first call, as scikit-learn does."""
        if not self.seen and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        # The numbers of rows and labels tell the block, the first value which one it is.
        whole = len(X) == len(y) == _school.rows and int(X[0][0]) == int(y[0])
        _school.blocks[self.number].append(int(X[0][0]) if whole else -1)
        self.seen += 1
        return self

    def score(self, X, y):
        """Score by the number of blocks; note whether the judge's rows were asked."""
        _school.strange += int(X[0][0]) != _school.judge
        return _score(self.curve, self.seen)


def _score(curve, seen):
    return curve[min(seen, len(curve) - 1)]


def _curves(seed, n, peak):
    """Scores by blocks seen, all different; candidate 0 leads at first, another blooms late."""
    rng = np.random.default_rng([5, seed, n])
    curves = rng.permutation(np.arange(n * 40)).reshape(n, 40) / (n * 40)
    order = rng.permutation(n)
    curves[order[0], :3] = 2  # the best at first, and weak later
    curves[order[1], 1:5] = 1.5  # good at first, and the best when it has seen more
    curves[order[1], peak:] = 3
    return np.round(curves, 6).tolist()


def _halving_cases(seed):
    """Cases: the models' curves of scores, how many blocks of how many rows, the factor."""
    rng = np.random.default_rng([5, seed])
    sizes = {
        "three": (int(rng.integers(20, 27)), 4, 3),
        "two": (int(rng.choice([9, 11, 13])), 5, 2),
        "pair": (2, 3, 3),
    }
    cases = {name: (_curves(seed, n, 4), b, 2, f) for name, (n, b, f) in sizes.items()}
    cases["one"] = ([[0.1, 0.2, 0.3]], 3, 2, 3)
    cases["example"] = ([[n] for n in (3, 1, 4, 0, 5, 9, 2, 6, 8)], 2, 1, 3)
    return mixed(rng, cases)


def _observe_halve(function, seed):
    facts = []
    for curves, n_blocks, rows, factor in list(_halving_cases(seed).values()):
        vars(_school).update(rows=rows, judge=n_blocks, strange=0, blocks=[[] for _ in curves])
        models = [Model(number, curve) for number, curve in enumerate(curves)]
        blocks = [([[float(b)]] * rows, [b] * rows) for b in range(n_blocks)]
        ran_out = False
        try:
            answer = describe(function(models, blocks, ([[float(n_blocks)]], [1]), [0, 1], factor))
        except IndexError:
            # Only who has just taken the last block can have looked for the one after it.
            ran_out = any(seen[-1:] == [n_blocks - 1] for seen in _school.blocks)
            if not ran_out:
                raise
            answer = {}
        facts.append({"answer": answer, "blocks": _school.blocks, "strange": _school.strange})
        facts[-1]["ran out"] = ran_out
    return facts


def _halved(curves, n_blocks, factor, keep=lambda n, factor: n // factor):
    """What must have happened: the winner, and the blocks of each model."""
    alive, goal, blocks = list(range(len(curves))), 1, [[] for _ in curves]
    while True:
        for i in alive:
            blocks[i] += [n % n_blocks for n in range(len(blocks[i]), goal)]
        alive.sort(key=lambda i: -_score(curves[i], len(blocks[i])))
        alive = alive[: max(1, keep(len(alive), factor))]
        if len(alive) == 1:
            return alive[0], blocks
        goal *= factor


def _lengths(cases):
    """How many blocks each model of each case has seen."""
    return {name: [len(seen) for seen in blocks] for name, blocks in cases.items()}


def _as_long(cases, others):
    """Whether, case by case, as many models have seen as many blocks; a single model is free."""
    pairs = [(one, other) for one, other in zip(cases, others, strict=True) if len(one) > 1]
    return all(sorted(map(len, one)) == sorted(map(len, other)) for one, other in pairs)


def _judge_halve(facts, seed):
    cases = _halving_cases(seed)
    facts = by_case(facts, cases)
    ended = [fact["answer"] for fact in facts.values() if not fact.get("ran out", False)]
    what, title = "two whole numbers, the winner's index and the count of calls", "returns two"
    one = "Only one number came back: return the index and the count."
    title += " whole numbers"
    yield returns(
        0, ended or [Facts(None)], "list", what, of=("int", "Model"), title=title, int=one
    )
    two = all([item.kind for item in answer.items] == ["int", "int"] for answer in ended)
    hint = f"Return {what}."
    if any("Model" in answer.kinds for answer in ended):
        hint = "Return the index of the winner, not the model."
    yield Check(0, "an index and a count", two, hint)

    expected = {name: _halved(c, n_blocks, f) for name, (c, n_blocks, _, f) in cases.items()}
    seen = {name: fact.get("blocks", []) for name, fact in facts.items()}
    if seen["one"] == [[]]:  # a single model has won: whether it is trained is free
        expected["one"] = (0, [[]])
    wanted = {name: blocks for name, (_, blocks) in expected.items()}
    hint = "On the first rung every model is trained, on the first block."
    if not any(blocks for case in seen.values() for blocks in case):
        hint = "No model was trained: call its partial_fit."
    first = all(
        [blocks[:1] for blocks in case] == [blocks[:1] for blocks in wanted[name]]
        for name, case in seen.items()
    )
    yield Check(1, "starts everybody with the first block", first, hint)

    got, right = _lengths(seen), _lengths(wanted)
    curves, n_blocks, _, factor = cases["three"]
    most, goal = max(got["three"], default=0), max(right["three"])
    rounded = {
        "A factor-th of the models survives a rung, rounded down, not up.": lambda n, f: -(-n // f),
        "A factor-th of the models survives a rung, always rounded down.":
            lambda n, f: round(n / f),
    }  # fmt: skip
    mistakes = {
        hint: [_halved(c, n, f, keep)[1] for c, n, _, f in cases.values()]
        for hint, keep in rounded.items()
    }
    strange = any(fact.get("strange", 0) for fact in facts.values())
    ran_out = any(fact.get("ran out", False) for fact in facts.values())
    hint = "The survivors of a rung are trained until they have seen `factor` times the blocks."
    if strange:
        hint = "Models are judged by the rows of `judge`, not by a block that trained them."
    elif ran_out:
        hint = "It raised IndexError after the last block: after the last comes the first again."
    elif most in (1 + 3 + 9, 1 + 3) and most > goal:
        hint = "Count what a survivor has seen already: it gets only the blocks that are missing."
    elif most > goal:
        hint = "A model was trained longer than needed: when one is left, nobody trains it further."
    elif most == n_blocks < goal:
        hint = "Nobody was trained after the last block: after the last comes the first again."
    else:
        hint = named([*seen.values()], mistakes, hint, same=_as_long)
    good = _as_long(seen.values(), wanted.values()) and not strange and not ran_out
    yield Check(1, "gives each rung its models and blocks", good, hint)
    hint = "The survivors are not the best of their rung: rank by score, higher is better."
    yield Check(1, "keeps the best of each rung", got == right, hint)
    hint = "Blocks are taken in their order, each once, and from the front again after the last."
    if any(-1 in blocks for case in seen.values() for blocks in case):
        hint = "A block is its rows with their labels: X and y of the same block, whole."
    yield Check(1, "takes the blocks in turn", seen == wanted, hint)
    said = {name: fact["answer"].values for name, fact in facts.items()}
    counts = {name: [winner, sum(map(len, blocks))] for name, (winner, blocks) in expected.items()}
    hint = "The count is of all calls of partial_fit, of every model on every rung."
    if any(said[name][0] != winner for name, (winner, _) in counts.items()):
        hint = "The winner's index is its place in `models`: the best of the last rung."
    yield Check(1, "names the winner and counts the calls", said == counts, hint)


EXERCISES = [
    Exercise("06.1", "count_fits", 2, _observe_count_fits, _judge_count_fits),
    Exercise("06.2", "rungs", 3, _observe_rungs, _judge_rungs),
    Exercise("06.3", "honest_auc", 4, _observe_honest_auc, _judge_honest_auc),
    Exercise("06.4", "search_on_cluster", 4, _observe_search_on_cluster, _judge_search_on_cluster),
    Exercise("06.5", "halve", 5, _observe_halve, _judge_halve),
]
