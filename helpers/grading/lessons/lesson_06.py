"""Exercises of lesson 06: counting a search, planning it, honest scores, the cluster, halving."""

import math
import re

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.workers import workers_here


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _items(value):
    """Return the described items of a list that was returned, or nothing."""
    items = _dict(value).get("items")
    return [_dict(item) for item in items] if isinstance(items, list) else []


# 06.1 count_fits


def _grids(seed):
    """Cases: a grid, and the folds."""
    rng = np.random.default_rng([1, seed])
    a, b, c = rng.permutation([2, 3, 5]).tolist()
    folds = int(rng.integers(4, 8))
    one = {"alpha": [10.0**-n for n in range(7)]}
    three = {"alpha": list(range(a)), "loss": ["hinge", "log_loss"][:2], "eta0": np.arange(b + c)}
    return {
        "one parameter": (one, folds),
        "three parameters": (three, folds + 1),
        "list": ([three, one, {"loss": ["hinge"] * a}], folds),
    }


def _observe_count_fits(function, seed):
    return {name: describe(function(*case)) for name, case in _grids(seed).items()}


def _sizes(grid):
    """Sizes of the parameters of each grid, in a list of grids."""
    grids = grid if isinstance(grid, list) else [grid]
    return [[len(values) for values in one.values()] for one in grids]


def _judge_count_fits(facts, seed):
    facts, cases = _dict(facts), _grids(seed)
    said = {name: _dict(facts.get(name)) for name in cases}
    kinds = {answer.get("type") for answer in said.values()}
    hint = "Return one whole number."
    if "none" in kinds:
        hint = "Nothing came back: end the function with return."
    elif "float" in kinds:
        hint = "Fits are counted: return a whole number, not a float."
    yield Check(0, "returns a whole number", kinds == {"int"}, hint)
    counts = {name: sum(map(math.prod, _sizes(grid))) for name, (grid, _) in cases.items()}
    expected = {name: counts[name] * folds + 1 for name, (_, folds) in cases.items()}
    values = {name: answer.get("value") for name, answer in said.items()}
    hint = "Count combinations times folds, and what comes after them."
    sums = {name: sum(map(sum, _sizes(grid))) for name, (grid, _) in cases.items()}
    three, folds = "three parameters", cases["three parameters"][1]
    if all(values[name] == expected[name] - 1 for name in ("one parameter", three)):
        hint = "The winner is fitted once more, with all rows."
    elif values[three] in (counts[three] + 1, counts[three]):
        hint = "Every combination is fitted in every fold."
    elif values[three] in (sums[three] * folds + 1, sums[three] * folds):
        hint = "Every value meets every value of the others: combinations are a product, not a sum."
    elif values[three] == (counts[three] + 1) * folds:
        hint = "The winner is fitted once in the end, not once per fold."
    single = all(values[name] == expected[name] for name in ("one parameter", three))
    yield Check(1, "counts the fits of one grid", single, hint)
    grid, folds = cases["list"]
    hint = "A list of grids: the combinations of its grids are added."
    products = [math.prod(sizes) for sizes in _sizes(grid)]
    if values["list"] == products[0] * folds + 1:
        hint = "A list of grids was given, and only its first grid was counted."
    elif values["list"] == math.prod(products) * folds + 1:
        hint = "Grids of a list do not meet each other: add their combinations, do not multiply."
    elif values["list"] == expected["list"] + len(grid) - 1:
        hint = "There is one winner for the whole list, so one fit with all rows."
    yield Check(1, "adds the grids of a list", values["list"] == expected["list"], hint)


# 06.2 rungs


def _plans(seed):
    """Cases: candidates, rows, factor."""
    rng = np.random.default_rng([2, seed])
    rows = (10_007 + 2 * rng.integers(0, 1_000, 5)).tolist()
    return {
        "even": (27, rows[0], 3),
        "rest": (int(rng.choice([28, 29, 31, 64, 65])), rows[1], 3),
        "two": (int(rng.choice([17, 19, 21, 23])), rows[2], 2),
        "four": (int(rng.choice([66, 70, 75])), rows[3], 4),
        "few": (2, rows[4], 3),
    }


def _plan(n_candidates, n_rows, factor, keep=lambda n, factor: -(-n // factor)):
    counts = [n_candidates]
    while counts[-1] > factor:
        counts.append(keep(counts[-1], factor))
    last = len(counts) - 1
    return [[n, n_rows // factor ** (last - rung)] for rung, n in enumerate(counts)]


def _observe_rungs(function, seed):
    return {name: describe(function(*case)) for name, case in _plans(seed).items()}


def _pairs(answer):
    """The pairs of numbers in a described list, or None."""
    if answer.get("type") == "array" and len(answer.get("shape") or []) == 2:
        return answer.get("values")
    pairs = [[item.get("value") for item in _items(pair)] for pair in _items(answer)]
    return pairs if answer.get("type") == "list" else None


def _judge_rungs(facts, seed):
    facts, cases = _dict(facts), _plans(seed)
    said = {name: _pairs(_dict(facts.get(name))) for name in cases}
    kinds = {_dict(facts.get(name)).get("type") for name in cases}
    hint = "Return a list with one pair (candidates, rows) for each rung."
    if "none" in kinds:
        hint = "Nothing came back: end the function with return."
    elif "dict" in kinds:
        hint = "Return a list of pairs, not a dict."
    good = all(pairs and all(len(pair) == 2 for pair in pairs) for pairs in said.values())
    yield Check(0, "returns pairs", good, hint)
    whole = all(isinstance(n, int) for pairs in said.values() for pair in pairs for n in pair)
    hint = "Candidates and rows are whole numbers: round candidates up and rows down."
    yield Check(0, "of whole numbers", whole, hint)
    expected = {name: _plan(*case) for name, case in cases.items()}
    counts = {name: [n for n, _ in pairs] for name, pairs in said.items()}
    right = {name: [n for n, _ in pairs] for name, pairs in expected.items()}
    down = {name: _plan(*case, keep=lambda n, factor: n // factor) for name, case in cases.items()}
    floors = {name: [n for n, _ in pairs] for name, pairs in down.items()}
    hint = "Each rung has a factor-th of the candidates of the one before, rounded up."
    if counts == floors:
        hint = "A factor-th of the candidates is rounded up, not down."
    elif counts["few"] != right["few"]:
        hint = "With few candidates one rung is enough: its best wins."
    elif counts["even"] == right["even"] and counts["two"] != right["two"]:
        hint = "The factor is an argument: it is not always the same number."
    elif counts["even"][:-1] == right["even"]:
        hint = "There is a rung too many: the first with at most `factor` candidates is the last."
    elif len(counts["even"]) < len(right["even"]):
        hint = "There is a rung missing: go on while there are more than `factor` candidates."
    yield Check(2, "plans the candidates of every rung", counts == right, hint)
    hint = "Rows grow by the factor from rung to rung, and are rounded down."
    if any(pairs[-1][1] != cases[name][1] for name, pairs in said.items()):
        hint = "The last rung has all rows."
    elif any(pairs[0][1] == cases[name][1] for name, pairs in said.items() if len(pairs) > 1):
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
    return {"answer": answer, "changed": bool((given != X).any())}


def _leaks(X, y, k):
    """Scores that come from what learners do wrong, each with its hint: first leaks, then slips."""
    from sklearn.feature_selection import SelectKBest
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

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
    answer, (X, y, k) = _dict(_dict(facts).get("answer")), _rows_to_score(seed)
    kind, value = answer.get("type"), answer.get("value")
    hint = "Return one number."
    if kind == "none":
        hint = "Nothing came back: end the function with return."
    elif kind in ("array", "list"):
        hint = "Those are the scores of the folds: return their mean."
    yield Check(0, "returns one number", kind == "float", hint)
    right = close(value, _auc(_pipeline(k), X, y))
    leaks, slips = ([], []) if right else _leaks(X, y, k)
    leak = next((text for score, text in leaks if close(value, score)), "")
    slip = next((text for score, text in slips if close(value, score)), "")
    hint = leak or "The judging fold must not take part in the selection of the columns."
    inside = right or bool(slip and not leak)
    yield Check(2, "selects the columns inside the folds", inside, hint)
    yield Check(1, "scores the whole pipeline", right, slip)
    hint = "The rows that were given were changed: somebody else may need them."
    yield Check(1, "leaves the rows as they are", _dict(facts).get("changed") is False, hint)


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


def _observe_search_on_cluster(function, seed):
    X, y = _search_problem(seed)
    model, grid = _model_and_grid()
    with workers_here([1, 1]) as (client, seen):
        answer = describe(function(client, model, grid, X, y))
    count = lambda like: sum(  # noqa: E731
        isinstance(sent, np.ndarray) and sent.shape == like.shape and np.array_equal(sent, like)
        for sent in _unpacked(seen.scattered)
    )
    calls = [re.search(rb"_(\d+)_calls", task) for task in seen.tasks]
    facts = {"answer": answer, "X": count(X), "y": count(y)}
    inside = sum(X[:40].tobytes() in task for task in seen.tasks)
    return facts | {"fits": sum(int(c[1]) if c else 1 for c in calls), "inside": inside}


def _unpacked(objects):
    for thing in objects:
        yield from thing if isinstance(thing, list | tuple) else [thing]


def _judge_search_on_cluster(facts, seed):
    from sklearn.model_selection import GridSearchCV

    facts = _dict(facts)
    answer, items = _dict(facts.get("answer")), _items(facts.get("answer"))
    hint = "Return two things: the best parameters and the best score."
    if answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif answer.get("type") == "GridSearchCV":
        hint = "That is the whole search: return its best parameters and its best score."
    elif answer.get("type") == "dict":
        hint = "Return the best score as well, after the parameters."
    kinds = [item.get("type") for item in items]
    yield Check(0, "returns parameters and score", kinds == ["dict", "float"], hint)
    (X, y), (model, grid) = _search_problem(seed), _model_and_grid()
    search = GridSearchCV(model, grid, scoring="roc_auc", cv=5).fit(X, y)
    params = {name: _dict(item).get("value") for name, item in _dict(items[0].get("items")).items()}
    hint = "These are not the best parameters and score of five folds, judged by ROC AUC."
    accuracy = GridSearchCV(model, grid, cv=5).fit(X, y)
    if close(items[1].get("value"), accuracy.best_score_):
        hint = "That score is an accuracy: ask for the ROC AUC with scoring."
    elif close(items[1].get("value"), float(search.cv_results_["mean_test_score"].min())):
        hint = "Those are the worst parameters: higher is better."
    elif close(items[1].get("value"), search.score(X, y)):
        hint = "That score is of the rows that trained the model: return the mean of the folds."
    right = params == search.best_params_ and close(items[1].get("value"), search.best_score_)
    yield Check(1, "finds the best of the grid", right, hint)
    fits, candidates = facts.get("fits") or 0, len(search.cv_results_["params"])
    hint = "The workers did not get the fits one by one: joblib's Dask backend does that."
    if not fits:
        hint = "No worker fitted anything, this process did: tell joblib to use the client."
    yield Check(2, "the workers do the fits", fits >= candidates, hint)
    sent = [facts.get("X"), facts.get("y")]
    hint = "X and y must be on every worker before the search: say so when you name the backend."
    if facts.get("inside"):
        hint = "X travelled inside of tasks: send it to the workers beforehand."
    elif sent[0] and sent[0] > 2:
        hint = "X was sent twice: fit the very objects that you scatter, not copies of them."
    elif sent[0] == 2 and sent[1] != 2:
        hint = "X was sent to every worker, and y was not."
    once = sent == [2, 2] and not facts.get("inside")
    yield Check(1, "the data go to each worker once", once, hint)


# 06.5 halve


class Pupil:
    """A model that notes which blocks it was trained on; its score follows a given curve."""

    def __init__(self, curve, notes):
        self.curve, self.notes, self.blocks = curve, notes, []

    def partial_fit(self, X, y, classes=None):
        """Note the block, and ask for classes in the first call, as scikit-learn does."""
        if not self.blocks and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        # The numbers of rows and labels tell the block, the first value which one it is.
        whole = len(X) == len(y) and int(X[0][0]) == int(y[0]) and len(X) == 2
        self.blocks.append(int(X[0][0]) if whole else -1)
        return self

    def score(self, X, y):
        """Score by the number of blocks; note whether the judge's rows were asked."""
        self.notes["judged"] += 1
        self.notes["strange"] += int(X[0][0]) != 1_000
        return self.curve[min(len(self.blocks), len(self.curve) - 1)]


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
    """Cases: models, blocks, factor."""
    rng = np.random.default_rng([5, seed])
    return {
        "three": (int(rng.integers(20, 27)), 4, 3),
        "two": (int(rng.choice([9, 11, 13])), 5, 2),
        "one": (1, 3, 3),
        "pair": (2, 3, 3),
    }


def _class_school(seed, name):
    n, n_blocks, factor = _halving_cases(seed)[name]
    notes = {"judged": 0, "strange": 0}
    pupils = [Pupil(curve, notes) for curve in _curves(seed, n, 4)] if n > 1 else []
    pupils = pupils or [Pupil([0.1, 0.2, 0.3], notes)]
    blocks = [(np.full((2, 1), b), np.full(2, b)) for b in range(n_blocks)]
    return pupils, blocks, factor, notes


def _observe_halve(function, seed):
    facts = {}
    for name in _halving_cases(seed):
        pupils, blocks, factor, notes = _class_school(seed, name)
        judge = (np.full((3, 1), 1_000), np.zeros(3))
        answer = describe(function(pupils, blocks, judge, [0, 1], factor))
        facts[name] = {"answer": answer, "blocks": [pupil.blocks for pupil in pupils], **notes}
    return facts


def _halved(pupils, blocks, factor, keep=lambda n, factor: n // factor):
    """What must have happened: the winner, and the blocks of each model."""
    alive, goal = list(range(len(pupils))), 1
    while True:
        for i in alive:
            seen = pupils[i].blocks
            seen += [n % len(blocks) for n in range(len(seen), goal)]
        if len(alive) == 1:
            return alive[0], [pupil.blocks for pupil in pupils]
        ranked = sorted(alive, key=lambda i: -pupils[i].score([[1_000]], []))
        alive = ranked[: max(1, keep(len(alive), factor))]
        if len(alive) == 1:
            return alive[0], [pupil.blocks for pupil in pupils]
        goal *= factor


def _judge_halve(facts, seed):
    facts = {name: _dict(_dict(facts).get(name)) for name in _halving_cases(seed)}
    answers = {name: _items(fact.get("answer")) for name, fact in facts.items()}
    kinds = {name: [item.get("type") for item in items] for name, items in answers.items()}
    hint = "Return two whole numbers: the winner's index and the count of partial_fit calls."
    types = {_dict(fact.get("answer")).get("type") for fact in facts.values()}
    if "none" in types:
        hint = "Nothing came back: end the function with return."
    elif "int" in types:
        hint = "Only one number came back: return the index and the count."
    elif any("Pupil" in kind for kind in kinds.values()):
        hint = "Return the index of the winner, not the model."
    yield Check(0, "returns two whole numbers", set(map(tuple, kinds.values())) == {("int", "int")},
                hint)  # fmt: skip
    expected = {}
    for name in facts:
        pupils, blocks, factor, _ = _class_school(seed, name)
        expected[name] = _halved(pupils, blocks, factor)
    seen = {name: fact.get("blocks") for name, fact in facts.items()}
    first = all(blocks and blocks[0] == 0 for case in seen.values() for blocks in case or [[]])
    hint = "On the first rung every model is trained, on the first block."
    yield Check(1, "starts everybody with the first block", first, hint)
    wanted = {name: blocks for name, (_, blocks) in expected.items()}
    lengths, right = (
        {name: sorted(map(len, case or [])) for name, case in cases.items()}
        for cases in (seen, wanted)
    )
    hint = "The survivors of a rung are trained until they have seen `factor` times the blocks."
    longest, goal = max(lengths["three"]), max(right["three"])
    pupils, blocks, factor, _ = _class_school(seed, "three")
    _, up = _halved(pupils, blocks, factor, keep=lambda n, factor: -(-n // factor))
    rounded_up = sorted(map(len, up))
    strange = any(fact.get("strange") for fact in facts.values())
    if strange:
        hint = "Models are judged by the rows of `judge`, not by a block that trained them."
    elif longest in (1 + 3 + 9, 1 + 3) and longest > goal:
        hint = "Count what a survivor has seen already: it gets only the blocks that are missing."
    elif longest > goal:
        hint = "The search ends when one model is left: nobody trains it further."
    elif lengths["three"] == rounded_up:
        hint = "A factor-th of the models survives a rung, rounded down, but at least one."
    planned = lengths == right and not strange
    yield Check(1, "gives each rung its models and blocks", planned, hint)
    hint = "The survivors are not the best of their rung: rank by score, higher is better."
    same = {name: [len(b) for b in case] for name, case in seen.items()}
    best = {name: [len(b) for b in case] for name, case in wanted.items()}
    yield Check(1, "keeps the best of each rung", same == best, hint)
    hint = "Blocks are taken in their order, each once, and from the front again after the last."
    if any(-1 in blocks for case in seen.values() for blocks in case):
        hint = "A block is its rows with their labels: X and y of the same block, whole."
    yield Check(1, "takes the blocks in turn", seen == wanted, hint)
    said = {name: [item.get("value") for item in items] for name, items in answers.items()}
    hint = "The count is of all calls of partial_fit, of every model on every rung."
    if any(said[name][0] != expected[name][0] for name in said):
        hint = "The winner's index is its place in `models`: the best of the last rung."
    counts = {name: [winner, sum(map(len, blocks))] for name, (winner, blocks) in expected.items()}
    yield Check(1, "names the winner and counts the calls", said == counts, hint)


EXERCISES = [
    Exercise("06.1", "count_fits", 2, _observe_count_fits, _judge_count_fits),
    Exercise("06.2", "rungs", 3, _observe_rungs, _judge_rungs),
    Exercise("06.3", "honest_auc", 4, _observe_honest_auc, _judge_honest_auc),
    Exercise("06.4", "search_on_cluster", 4, _observe_search_on_cluster, _judge_search_on_cluster),
    Exercise("06.5", "halve", 5, _observe_halve, _judge_halve),
]
