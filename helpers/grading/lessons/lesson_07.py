"""Exercises of lesson 07: streams of blocks, several passes, the chain of `Incremental`."""

import weakref
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.linear_model import SGDClassifier

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.workers import workers_here

RULE = {"loss": "hinge", "penalty": None, "learning_rate": "pa1", "eta0": 0.01}


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


class Recorder(SGDClassifier):
    """A model that notes each call: what it was, and the numbers of the rows, from column 0."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Note it, do it."""
        self._note("learn", X)
        return super().partial_fit(X, y, classes=classes, sample_weight=sample_weight)

    def fit(self, X, y, **options):
        """Note it, do it."""
        self._note("fit", X)
        return super().fit(X, y, **options)

    def _note(self, what, X):
        calls = vars(self).setdefault("calls", [])
        calls.append([what, _numbers(X)])


def _numbers(X):
    return (1000 * np.asarray(X, "float64")[:, 0]).round().astype(int).tolist()


def _new():
    return Recorder(**RULE, shuffle=False, random_state=0)


def _coef(model):
    """Coefficients and intercept of a model as one list; None if there are none."""
    if getattr(model, "coef_", None) is None:
        return None
    return [float(x) for x in [*np.ravel(model.coef_), *np.ravel(model.intercept_)]]


def _blocks(exercise, seed, sizes, drift=0.0):
    """Blocks of rows of two classes; the first column has the number of the row, in thousandths."""
    rng = np.random.default_rng([exercise, seed])
    direction, first, blocks = rng.normal(size=4), 0, []
    for n, size in enumerate(sizes):
        X = rng.normal(size=(size, 4))
        y = (X @ (direction + n * drift * rng.normal(size=4)) > 0).astype("int64")
        X[:, 0] = np.arange(first, first + size) / 1000
        first += size
        blocks.append((X, y))
    return blocks


# 07.1 all_classes


def _labels(seed):
    """Yield labels by block: one label comes only at the end, one block is empty."""
    rng = np.random.default_rng([1, seed])
    # With gaps, and one negative: neither a range nor the order of a set has them by chance.
    early = [int(x) for x in 7 * rng.choice(np.arange(40, 90), 4, replace=False)]
    blocks = [rng.choice(early[: 3 + (n > 0)], 50 + n) for n in range(5)]
    blocks.insert(int(rng.integers(2, 5)), np.zeros(0))
    blocks.append(np.array([early[0], -int(rng.integers(5, 90))]))
    while blocks:
        yield blocks.pop(0).astype("int64")  # nothing here keeps a block alive


def _observe_all_classes(function, seed):
    given, gone, most = [], [], [0]

    def stream():
        for labels in _labels(seed):
            weakref.finalize(labels, gone.append, 1)
            given.append(1)
            most[0] = max(most[0], len(given) - len(gone))
            yield labels
            del labels

    answer = function(stream())
    return {"answer": describe(answer), "alive": most[0]}


def _judge_all_classes(facts, seed):
    facts, blocks = _dict(facts), list(_labels(seed))
    answer = _dict(facts.get("answer"))
    items = [_dict(item) for item in answer.get("items") or []]
    is_list = answer.get("type") == "list" and all(item.get("type") == "int" for item in items)
    hint = "Return a list of whole numbers."
    if answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif answer.get("type") in ("set", "array", "dict"):
        hint = f"Return a list of whole numbers, not {answer['type']}."
    elif answer.get("type") == "list":
        hint = "The list holds other things than whole numbers: put each label into it once."
    yield Check(0, "returns a list of whole numbers", is_list, hint)
    values = [item.get("value") for item in items]
    expected = sorted({label for labels in blocks for label in labels.tolist()})
    hint = "Collect the labels of every block, each label once."
    if sorted(set(values)) == expected and len(values) > len(expected):
        hint = "A label is there more than once."
    elif sorted(values) == expected:
        hint = "The labels are right and not sorted."
    elif values == sorted(set(blocks[0].tolist())):
        hint = "These are the labels of the first block: some labels come late."
    elif set(values) > set(expected):
        hint = "There are labels that no block has: labels need not be consecutive."
    elif set(values) < set(expected):
        hint = "A label is missing: an empty block is not the end, and some labels come late."
    yield Check(2, "every label of the stream, once, sorted", values == expected, hint)
    hint = "Several blocks were in memory at a time: take what you need and let each block go."
    alive = facts.get("alive")
    yield Check(1, "one block in memory at a time", isinstance(alive, int) and alive <= 2, hint)


# 07.2 prequential


def _stream(seed):
    """Blocks of different sizes whose border moves; the first has one class only."""
    rng = np.random.default_rng([2, seed, 1])
    blocks = _blocks(2, seed, [int(n) for n in rng.integers(40, 70, size=6)], drift=0.6)
    X, y = blocks[0]
    first = y == 0
    return [(X[first], y[first]), *blocks[1:]]


def _observe_prequential(function, seed):
    model = _new()
    answer = function(model, iter(_stream(seed)), [0, 1])
    return {"answer": describe(answer), "calls": vars(model).get("calls", [])}


def _reports(seed):
    """The right report, and those that typical mistakes give."""
    blocks, reports = _stream(seed), {"late": [], "frozen": [], "last": [], "right": []}
    model, frozen = _new(), _new().partial_fit(*blocks[0], classes=[0, 1])
    model.partial_fit(*blocks[0], classes=[0, 1])
    last = _new().partial_fit(*blocks[0], classes=[0, 1])
    for X, y in blocks[1:]:
        reports["right"].append(float(model.score(X, y)))
        reports["frozen"].append(float(frozen.score(X, y)))
        reports["last"].append(float(last.score(X, y)))
        reports["late"].append(float(model.partial_fit(X, y).score(X, y)))
        last = _new().partial_fit(X, y, classes=[0, 1])
    return reports


def _judge_prequential(facts, seed):
    facts, reports, blocks = _dict(facts), _reports(seed), _stream(seed)
    answer = _dict(facts.get("answer"))
    items = [_dict(item) for item in answer.get("items") or []]
    values = [item.get("value") for item in items]
    numbers = all(item.get("type") in ("float", "int") for item in items)
    is_list = answer.get("type") == "list" and numbers and len(values) == len(blocks) - 1
    hint = "Return a list with one number for each block but the first."
    if answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif answer.get("type") == "float":
        hint = "Return the scores of the blocks one by one, not their mean."
    elif len(values) == len(blocks):
        hint = "There is one score too many: a new model cannot predict the first block."
    yield Check(1, "returns a list with a score for each block but the first", is_list, hint)
    hint = "These are not the accuracies of a model that has learned all blocks before."
    for kind, words in {
        "late": "These scores are too good: a block was learned before it was scored.",
        "frozen": "The model stopped learning: each block is learned after it was scored.",
        "last": "The model has forgotten: fit, or a new model, starts again at each block.",
    }.items():
        if close(values, reports[kind]):
            hint = words
    if close(values, [1 - score for score in reports["right"]]):
        hint = "These are the shares of wrong answers: accuracy is the share of right ones."
    right = close(values, reports["right"])
    yield Check(2, "each score is from before the block was learned", right, hint)
    calls = facts.get("calls") if isinstance(facts.get("calls"), list) else []
    learned = [numbers for what, numbers in calls if what == "learn"]
    hint = "Every block is learned once, also the last one."
    once = learned == [_numbers(X) for X, _ in blocks]
    yield Check(1, "the model has learned every block once", once, hint)


# 07.3 train_from_file


def _file_case(seed):
    rng = np.random.default_rng([3, seed])
    block_rows = int(rng.integers(15, 25))
    n_rows = 5 * block_rows + int(rng.integers(3, 10))
    ((X, y),) = _blocks(3, seed, [n_rows])
    return X.astype("float32"), y.astype("int8"), block_rows, int(rng.integers(3, 5)), seed + 17


def _observe_train_from_file(function, seed):
    X, y, block_rows, n_passes, order_seed = _file_case(seed)
    model = _new()
    with TemporaryDirectory() as folder:
        mapped = []
        for name, values in (("X", X), ("y", y)):
            np.save(Path(folder, f"{name}.npy"), values)
            mapped.append(np.load(Path(folder, f"{name}.npy"), mmap_mode="r"))
        answer = function(model, *mapped, [0, 1], block_rows, n_passes, order_seed)
        facts = {"same": answer is model, "type": type(answer).__name__, "coef": _coef(model)}
        facts["calls"] = vars(model).get("calls", [])
        del mapped, values  # Windows keeps a file that is mapped
    return facts


def _judge_train_from_file(facts, seed):
    facts = _dict(facts)
    X, y, block_rows, n_passes, order_seed = _file_case(seed)
    hint = f"Return the model, not {facts.get('type')}."
    if facts.get("type") == "NoneType":
        hint = "Nothing came back: end the function with return."
    elif facts.get("type") == "Recorder":
        hint = "Train the model that was given, and return it."
    yield Check(0, "returns the model that was given", facts.get("same") is True, hint)
    calls = facts.get("calls") if isinstance(facts.get("calls"), list) else []
    kinds, learned = {call[0] for call in calls}, [call[1] for call in calls]
    whole = [
        list(range(start, min(start + block_rows, len(X))))
        for start in range(0, len(X), block_rows)
    ]
    hint = "Each call learns one block: consecutive rows, as many as asked for."
    if "fit" in kinds:
        hint = "fit starts again with each block: partial_fit goes on."
    elif not calls:
        hint = "The model has learned nothing."
    elif max(map(len, learned)) == len(X):
        hint = "All rows were read at once: memory is for one block."
    elif any(rows != sorted(rows) for rows in learned):
        hint = "The rows in a block were mixed: only the order of the blocks changes."
    elif not any(rows == whole[-1] for rows in learned):
        hint = "The last block is missing or has rows that are not there: it may be shorter."
        if any(len(rows) > block_rows for rows in learned):
            hint = "A block has too many rows."
    blocks = kinds == {"learn"} and all(rows in whole for rows in learned)
    blocks = blocks and all(rows in learned for rows in whole)
    yield Check(2, "learns block by block, the last one too", blocks, hint)
    n_rows = sum(map(len, learned))
    hint = "Not every pass has all blocks once."
    if n_rows < len(X) * n_passes:
        hint = "There are too few passes over all blocks."
    elif n_rows > len(X) * n_passes:
        hint = "There are too many passes over all blocks."
    passes = [learned[i : i + len(whole)] for i in range(0, len(learned), len(whole))]
    every = n_rows == len(X) * n_passes and all(sorted(part) == whole for part in passes)
    yield Check(1, "each pass learns every block once", every, hint)
    rng = np.random.default_rng(order_seed)
    orders = [rng.permutation(len(whole)).tolist() for _ in range(n_passes)]
    seen = [[whole.index(rows) for rows in part] for part in passes]
    hint = "Take the order of each pass from the generator, as the task says."
    if all(order == list(range(len(whole))) for order in seen):
        hint = "The blocks were not shuffled."
    elif all(order == seen[0] for order in seen):
        hint = "Every pass has the same order: make the generator once, before the passes."
    elif seen[0] != orders[0]:
        hint = "The order does not come from permutation of a generator with this seed."
    yield Check(2, "a new order for each pass, from the seed", seen == orders, hint)
    oracle = _new()
    for order in orders:
        for number in order:
            oracle.partial_fit(X[whole[number]], y[whole[number]], classes=[0, 1])
    hint = "Rows and labels of a block do not belong together."
    same = close(facts.get("coef"), _coef(oracle))
    yield Check(0, "the coefficients are those of these blocks", same, hint)


# 07.4 fit_chain


def _chain_blocks(seed):
    rng = np.random.default_rng([4, seed, 1])
    return _blocks(4, seed, [int(n) for n in rng.integers(40, 60, size=5)], drift=0.3)


def _observe_fit_chain(function, seed):
    blocks, start = _chain_blocks(seed), _new()
    with workers_here([1, 1]) as (client, seen):
        names = sorted(client.nthreads())
        futures = [
            client.scatter([block], workers=[names[n % 2]], hash=False)[0]
            for n, block in enumerate(blocks)
        ]
        sent, fetched = len(seen.scattered), []
        gather = client._gather

        def recording(futures, *args, **kwargs):
            fetched.extend(future.key for future in client.futures_of(futures))
            return gather(futures, *args, **kwargs)

        client._gather = recording
        model = function(client, start, list(futures), [0, 1])
        keys = {future.key for future in futures}
        facts = {
            "type": describe(model)["type"] if not hasattr(model, "coef_") else "model",
            "coef": _coef(model),
            "tasks": len(seen.tasks),
            "scattered": len(seen.scattered) - sent,
            "blocks fetched": sum(key in keys for key in fetched),
            "fetched": sum(key not in keys for key in fetched),
        }
    return facts


def _judge_fit_chain(facts, seed):
    facts, blocks = _dict(facts), _chain_blocks(seed)
    hint = "Return the trained model."
    if facts.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif facts.get("type") == "future":
        hint = "That is a future of the model: ask for its result."
    elif facts.get("type") == "list":
        hint = "That is one thing for each block: return the model that has learned all."
    yield Check(0, "returns a trained model", facts.get("type") == "model", hint)
    oracle = _new()
    alone = [_coef(_new().partial_fit(X, y, classes=[0, 1])) for X, y in blocks]
    for X, y in blocks:
        oracle.partial_fit(X, y, classes=[0, 1])
    backwards = _new()
    for X, y in reversed(blocks):
        backwards.partial_fit(X, y, classes=[0, 1])
    coef = facts.get("coef")
    hint = "Learn every block once, in the order of the list."
    if any(close(coef, other) for other in alone):
        hint = "This model knows one block only: each task takes the model from the task before."
    elif close(coef, np.mean(alone, axis=0).tolist()):
        hint = "A mean of models, one for each block, is another model than the chain's."
    elif close(coef, _coef(backwards)):
        hint = "The blocks were learned from the last to the first."
    yield Check(2, "it has learned all blocks in their order", close(coef, _coef(oracle)), hint)
    hint = "The blocks came to the notebook: let the tasks take the futures of the blocks."
    stay = facts.get("blocks fetched") == 0 and facts.get("scattered", 9) <= 1
    tasks = facts.get("tasks") or 0
    if stay and tasks < len(blocks):
        hint = "There are fewer tasks than blocks: one task for each block, which runs beside it."
    yield Check(1, "the blocks stay, one task for each", stay and tasks >= len(blocks), hint)
    hint = "The model came home after each block: give its future to the next task."
    once = facts.get("fetched") == 1
    yield Check(1, "only the last model comes home", once, hint)


# 07.5 learn_carefully


WORDS = ["columns", "empty", "missing", "label", "columns", "missing", "empty", "learned"]
WORDS += ["label", "learned", "missing", "learned"]  # of the blocks; known to the judge only


def _order(seed):
    """Numbers of the blocks in the order of the stream: the first is a bad one."""
    return [0, *(1 + np.random.default_rng([5, seed]).permutation(11)).tolist()]


def _dirty_stream(seed):
    """Good and bad blocks; some have two faults."""
    rng = np.random.default_rng([5, seed, 1])
    blocks = _blocks(5, seed, [int(n) for n in rng.integers(30, 50, size=12)])
    change = {
        0: lambda X, y: (np.hstack([X, X[:, :1]]), y),
        1: lambda X, y: (X[:0], y[:0]),
        2: lambda X, y: (_with(X, (len(X) - 1, 3), np.nan), y),
        3: lambda X, y: (X, _with(y, -1, 2)),
        4: lambda X, y: (_with(X[:, :3], (0, 1), np.nan), _with(y, 0, 7)),
        5: lambda X, y: (_with(X, (0, 1), np.nan), _with(y, 0, 7)),
        6: lambda X, y: (X[:0, :2], y[:0]),
        8: lambda X, y: (X, _with(y, 3, -1)),
        9: lambda X, y: (X[y == 0], y[y == 0]),
        10: lambda X, y: (_with(X, (4, 2), -np.inf), y),
    }
    return [change[n](*blocks[n]) if n in change else blocks[n] for n in _order(seed)]


def _with(values, place, value):
    values = values.copy()
    values[place] = value
    return values


def _observe_learn_carefully(function, seed):
    model, stream = _new(), _dirty_stream(seed)
    answer = function(model, iter(stream), [0, 1], 4)
    return {
        "answer": describe(answer),
        "coef": _coef(model),
        "calls": [what for what, _ in vars(model).get("calls", [])],
    }


def _judge_learn_carefully(facts, seed):
    facts, stream = _dict(facts), _dirty_stream(seed)
    words = [WORDS[n] for n in _order(seed)]
    answer = _dict(facts.get("answer"))
    said = [_dict(item).get("value") for item in answer.get("items") or []]
    known = {"empty", "columns", "missing", "label", "learned"}
    is_list = answer.get("type") == "list" and len(said) == len(words)
    hint = "Return a list with one word for each block."
    if answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif answer.get("type") == "list" and len(said) < len(words):
        hint = (
            "There are fewer words than blocks: a bad block gets its word, and the next one comes."
        )
    yield Check(0, "a list with one word for each block", is_list, hint)
    hint = "A word is none of the five in the task."
    yield Check(0, "only words of the task", all(word in known for word in said), hint)
    wrong = [(w, s) for w, s in zip(words, said, strict=True) if w != s]
    hint = "A block was given the wrong word."
    if any(s == "learned" for _, s in wrong):
        hint = (
            "A bad block was called learned: no rows, wrong columns, NaN, infinity, other labels."
        )
        if {w for w, s in wrong if s == "learned"} == {"missing"}:
            hint = "A block with an infinity, or with a NaN, was called learned: look for both."
        elif {w for w, s in wrong if s == "learned"} == {"label"}:
            hint = "A block with a label that is not in `classes` was called learned."
    elif any(w == "learned" for w, _ in wrong):
        hint = "A good block was refused. A block may well have only one of the classes."
    elif wrong:
        hint = "A block with two faults gets the word that comes first in the list of the task."
    yield Check(2, "the right word for each block", not wrong, hint)
    oracle = _new()
    for (X, y), word in zip(stream, words, strict=True):
        if word == "learned":
            oracle.partial_fit(X, y, classes=[0, 1])
    calls = facts.get("calls") if isinstance(facts.get("calls"), list) else []
    hint = "The model does not know exactly the good blocks, each learned once."
    if "fit" in calls:
        hint = "fit starts again with each block: partial_fit goes on."
    elif facts.get("coef") is None:
        hint = "The model has learned nothing: call partial_fit for the good blocks."
    elif len(calls) > words.count("learned"):
        hint = "partial_fit was called for other blocks, too: check a block before, not after."
    right = close(facts.get("coef"), _coef(oracle)) and len(calls) == words.count("learned")
    yield Check(2, "the model has learned the good blocks, and no others", right, hint)


EXERCISES = [
    Exercise("07.1", "all_classes", 3, _observe_all_classes, _judge_all_classes),
    Exercise("07.2", "prequential", 4, _observe_prequential, _judge_prequential),
    Exercise("07.3", "train_from_file", 5, _observe_train_from_file, _judge_train_from_file),
    Exercise("07.4", "fit_chain", 4, _observe_fit_chain, _judge_fit_chain),
    Exercise("07.5", "learn_carefully", 4, _observe_learn_carefully, _judge_learn_carefully),
]
