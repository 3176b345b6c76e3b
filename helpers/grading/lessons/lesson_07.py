"""Exercises of lesson 07: streams of blocks, several passes, the chain of `Incremental`."""

import tracemalloc
import weakref
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from sklearn.linear_model import SGDClassifier

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import Facts, attempt, named, reordered, returns, with_example
from helpers.grading.workers import workers_here

RULE = {"loss": "hinge", "penalty": None, "learning_rate": "pa1", "eta0": 0.01}


class Recorder(SGDClassifier):
    """A model that notes each call: what it was, and the numbers of the rows, from column 0."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Note it, do it."""
        if classes is not None and set(np.unique(classes)) != {0, 1}:
            vars(self)["misnamed"] = True
        self._note("learn", X)
        return super().partial_fit(X, y, classes=classes, sample_weight=sample_weight)

    def fit(self, X, y, **options):
        """Note it, do it."""
        self._note("fit", X)
        return super().fit(X, y, **options)

    def _note(self, what, X):
        calls = vars(self).setdefault("calls", [])
        calls.append([what, *_spans(np.asarray(X)[:, 0])])


def _spans(column):
    """Numbers of rows as [first, last] of each run of consecutive ones."""
    numbers = (1000 * column.astype("float64")).round().astype(int)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [[int(run[0]), int(run[-1])] for run in runs if len(run)]


def _calls(facts):
    """What a model was called for, and the rows of each call; whatever the facts hold."""
    calls = [call for call in facts.get("calls", []) if isinstance(call, list) and call]
    return [call[0] for call in calls], [call[1:] for call in calls]


def _new():
    return Recorder(**RULE, shuffle=False, random_state=0)


def _named_classes(model, call):
    """Call a student's function; a first call that names too few classes is no mere ValueError."""
    try:
        return call(), False
    except ValueError:
        if not vars(model).get("misnamed"):
            raise
        return None, True


CLASSES = "partial_fit was told the labels of one block. It must hear all that can come: `classes`."


@contextmanager
def _memory():
    """Measure the most memory that was taken meanwhile, in bytes."""
    traced = SimpleNamespace(most=0)
    began = not tracemalloc.is_tracing()
    if began:
        tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    try:
        yield traced
    finally:
        traced.most = tracemalloc.get_traced_memory()[1] - before
        if began:
            tracemalloc.stop()


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

BLOCK = 10_000  # labels


def _labels(seed):
    """Labels by block: one label comes only at the end, one block is empty."""
    rng = np.random.default_rng([1, seed])
    # With gaps, and one negative: neither a range nor the order of a set has them by chance.
    early = [int(x) for x in 7 * rng.choice(np.arange(40, 90), 4, replace=False)]
    n_blocks = int(rng.integers(20, 30))
    blocks = [rng.choice(early[: 3 + (n > 0)], BLOCK + n) for n in range(n_blocks)]
    blocks.insert(int(rng.integers(2, 5)), np.zeros(0, "int64"))
    blocks.append(np.array([early[0], -int(rng.integers(5, 90))]))
    return blocks


def _observe_all_classes(function, seed):
    blocks, given, gone, most = _labels(seed), [], [], [0]

    def stream():
        while blocks:
            labels = blocks.pop(0)  # nothing here keeps a block alive
            weakref.finalize(labels, gone.append, 1)
            given.append(1)
            most[0] = max(most[0], len(given) - len(gone))
            yield labels
            del labels

    with _memory() as memory:
        answer = function(stream())
    few = iter([np.array([5, 5]), np.array([], dtype="int64"), np.array([-1, 5])])
    facts = {"answer": describe(answer), "alive": most[0], "bytes": memory.most}
    return facts | {"example": describe(function(few))}


def _judge_all_classes(facts, seed):
    facts, blocks = Facts(facts), _labels(seed)
    answer = facts["answer"]
    other = "The list holds other things than whole numbers: put each label into it once."
    yield returns(0, [answer, facts["example"]], "list", "a list of whole numbers", of="int",
                  list=other)  # fmt: skip
    values, expected = answer.values, np.unique(np.concatenate(blocks)).tolist()
    hint = "Collect the labels of every block, each label once."
    if set(values) == set(expected) and len(values) > len(expected):
        hint = "A label is there more than once."
    elif reordered(values, expected):
        hint = "The labels are right and not sorted."
    elif values == np.unique(blocks[0]).tolist():
        hint = "These are the labels of the first block: some labels come late."
    elif set(values) > set(expected):
        hint = "There are labels that no block has: labels need not be consecutive."
    elif set(values) < set(expected):
        hint = "A label is missing: an empty block is not the end, and some labels come late."
    right = Check(2, "every label of the stream, once, sorted", values == expected, hint)
    yield with_example(right, facts["example"].values == [-1, 5])
    hint = "Several blocks were in memory at a time: take what you need and let each block go."
    alone = facts.get("alive", 9) <= 3  # the last one, the next, and what a loop still holds
    if alone:
        hint = "The labels of many blocks were in memory at a time: keep each label once."
    # A list of a block's labels has some 40 bytes for each.
    few = facts.get("bytes", 10**9) < 100 * BLOCK
    yield Check(1, "one block in memory at a time", alone and few, hint)


# 07.2 prequential


def _stream(seed):
    """Blocks of different sizes whose border moves; the first has one class only."""
    rng = np.random.default_rng([2, seed, 1])
    sizes = rng.integers(40, 70, size=int(rng.integers(5, 9))).tolist()
    blocks = _blocks(2, seed, sizes, drift=0.6)
    X, y = blocks[0]
    first = y == 0
    return [(X[first], y[first]), *blocks[1:]]


def _observe_prequential(function, seed):
    model, stream = _new(), _stream(seed)
    answer, misnamed = _named_classes(model, lambda: function(model, iter(stream), [0, 1]))
    if misnamed:
        return {"misnamed": True}
    block = np.array([[-1.0], [1.0]]), np.array([0, 1])
    example = function(SGDClassifier(random_state=0), iter([block] * 3), [0, 1])
    facts = {"answer": describe(answer), "calls": vars(model).get("calls", [])}
    return facts | {"example": describe(example)}


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
    facts, reports, blocks = Facts(facts), _reports(seed), _stream(seed)
    yield Check(0, "names all classes", not facts.get("misnamed", False), CLASSES)
    answer, example = facts["answer"], facts["example"]
    mean = "Return the scores of the blocks one by one, not their mean."
    title = "returns a list with a score for each block but the first"
    yield returns(0, [answer, example], "list", "a list of numbers", of=("float", "int"),
                  float=mean)  # fmt: skip
    values = answer.values
    hint = "Return a list with one number for each block but the first."
    if len(values) == len(blocks):
        hint = "There is one score too many: a new model cannot predict the first block."
    yield Check(1, title, len(values) == len(blocks) - 1, hint)
    mistakes = {
        "These scores are too good: a block was learned before it was scored.": reports["late"],
        "The model stopped learning: each block is learned after it was scored.":
            reports["frozen"],
        "The model has forgotten: fit, or a new model, starts again at each block.":
            reports["last"],
        "These are the shares of wrong answers: accuracy is the share of right ones.":
            [1 - score for score in reports["right"]],
    }  # fmt: skip
    hint = "These are not the accuracies of a model that has learned all blocks before."
    hint = named(values, mistakes, hint)
    right = Check(2, "each score is from before the block was learned",
                  close(values, reports["right"]), hint)  # fmt: skip
    yield with_example(right, close(example.values, [1.0, 1.0]))
    hint = "Every block is learned once, also the last one."
    learned = [rows for what, rows in zip(*_calls(facts), strict=True) if what == "learn"]
    once = learned == [_spans(X[:, 0]) for X, _ in blocks]
    yield Check(1, "the model has learned every block once", once, hint)


# 07.3 train_from_file


def _file_case(seed):
    rng = np.random.default_rng([3, seed])
    block_rows = int(rng.integers(400, 600))
    n_rows = int(rng.integers(9, 12)) * block_rows + int(rng.integers(30, 300))
    ((X, y),) = _blocks(3, seed, [n_rows])
    wide = np.hstack([X, rng.normal(size=(n_rows, 46))]).astype("float32")
    return wide, y.astype("int8"), block_rows, int(rng.integers(3, 5)), seed + 17


def _few_rows():
    """The example's rows and labels."""
    return np.arange(14, dtype="float32").reshape(7, 2), np.array([0, 1, 0, 1, 0, 1, 0], "int8")


def _observe_train_from_file(function, seed):
    X, y, block_rows, n_passes, order_seed = _file_case(seed)
    model = _new()
    with TemporaryDirectory() as folder:
        mapped = []
        for name, values in (("X", X), ("y", y)):
            np.save(Path(folder, f"{name}.npy"), values)
            mapped.append(np.load(Path(folder, f"{name}.npy"), mmap_mode="r"))
        with _memory() as memory:
            answer = function(model, *mapped, [0, 1], block_rows, n_passes, order_seed)
        facts = {"same": answer is model, "type": describe(answer)["type"], "coef": _coef(model)}
        facts |= {"calls": vars(model).get("calls", []), "bytes": memory.most}
        del mapped, values  # Windows keeps a file that is mapped
    small = SGDClassifier(random_state=0)
    call = lambda: function(small, *_few_rows(), [0, 1], block_rows=3, n_passes=2, seed=0)  # noqa: E731
    learned = float(getattr(small, "t_", 0)) if attempt(call).get("value") is small else 0.0
    return facts | {"example": learned}


def _judge_train_from_file(facts, seed):
    facts = Facts(facts)
    X, y, block_rows, n_passes, order_seed = _file_case(seed)
    yield returns(0, facts, "Recorder", "the model", title="returns a model")
    hint = "Train the model that was given, and return it."
    same = facts.get("same", False)
    yield Check(0, "returns the model that was given", same, hint)
    kinds, learned = _calls(facts)
    whole = [
        [[start, min(start + block_rows, len(X)) - 1]] for start in range(0, len(X), block_rows)
    ]
    sizes = [sum(last - first + 1 for first, last in rows) for rows in learned]
    hint = "Each call learns one block: consecutive rows, as many as asked for."
    if "fit" in kinds:
        hint = "fit starts again with each block: partial_fit goes on."
    elif not kinds:
        hint = "The model has learned nothing."
    elif max(sizes) == len(X):
        hint = "All rows were read at once: memory is for one block."
    elif any(len(rows) > 1 for rows in learned):
        hint = "The rows in a block were mixed: only the order of the blocks changes."
    elif max(sizes) > block_rows:
        hint = "A block has too many rows."
    elif whole[-1] not in learned:
        hint = "The last block is missing or has rows that are not there: it may be shorter."
    blocks = set(kinds) == {"learn"} and all(rows in whole for rows in learned)
    blocks = blocks and all(rows in learned for rows in whole)
    yield Check(2, "learns block by block, the last one too", blocks, hint)
    hint = "Not every pass has all blocks once."
    if sum(sizes) < len(X) * n_passes:
        hint = "There are too few passes over all blocks."
    elif sum(sizes) > len(X) * n_passes:
        hint = "There are too many passes over all blocks."
    passes = [learned[i : i + len(whole)] for i in range(0, len(learned), len(whole))]
    every = len(passes) == n_passes and all(sorted(part) == whole for part in passes)
    yield Check(1, "each pass learns every block once", every, hint)
    orders = _orders(order_seed, len(whole), n_passes)
    seen = [[whole.index(rows) for rows in part] for part in passes]
    hint = "Take the order of each pass from the generator, as the task says."
    if all(order == list(range(len(whole))) for order in seen):
        hint = "The blocks were not shuffled."
    elif all(order == seen[0] for order in seen):
        hint = "Every pass has the same order: make the generator once, before the passes."
    elif seen[0] != orders[0]:
        hint = "The order does not come from permutation of a generator with this seed."
    right = Check(1, "a new order for each pass, from the seed", seen == orders, hint)
    yield with_example(right, facts.get("example", 0.0) == 1 + 7 * 2)  # so scikit-learn counts rows
    hint = "More than a block was in memory at a time: X and y are files, so take a block's rows."
    few = facts.get("bytes", 10**9) < 6 * block_rows * X[0].nbytes
    yield Check(1, "has one block in memory at a time", few, hint)
    oracle = _learned(_new(), X, y, [slice(a, b + 1) for [[a, b]] in whole], orders)
    hint = "Rows and labels of a block do not belong together."
    same = close(facts.get("coef", []), _coef(oracle), rtol=1e-3, atol=1e-4)
    yield Check(0, "the coefficients are those of these blocks", same, hint)


def _orders(seed, n_blocks, n_passes):
    rng = np.random.default_rng(seed)
    return [rng.permutation(n_blocks).tolist() for _ in range(n_passes)]


def _learned(model, X, y, blocks, orders):
    """The model after passes over blocks of rows in these orders."""
    for order in orders:
        for number in order:
            model.partial_fit(X[blocks[number]], y[blocks[number]], classes=[0, 1])
    return model


# 07.4 fit_chain


def _chain_blocks(seed):
    rng = np.random.default_rng([4, seed, 1])
    return _blocks(4, seed, [int(n) for n in rng.integers(40, 60, size=5)], drift=0.3)


def _observe_fit_chain(function, seed):
    blocks, start = _chain_blocks(seed), _new()
    with workers_here([1, 1]) as (client, seen):
        names = sorted(client.nthreads())
        # Two blocks in a row on a worker: there, a model that comes in is no copy.
        futures = [
            client.scatter([block], workers=[names[n // 2 % 2]], hash=False)[0]
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
        models = [vars(m).get("calls", []) for m in seen.results if isinstance(m, Recorder)]
        given = [vars(m).get("calls", []) for m in seen.scattered if isinstance(m, Recorder)]
        facts = {
            "type": describe(model)["type"] if not hasattr(model, "coef_") else "model",
            "coef": _coef(model),
            "tasks": len(seen.tasks),
            "scattered": len(seen.scattered) - sent,
            "blocks fetched": sum(key in keys for key in fetched),
            "fetched": sum(key not in keys for key in fetched),
            # What each task gave, looked at in the end: how many blocks does it know now?
            "known": [len(calls) for calls in models],
            "given": [len(calls) for calls in given],
        }
        block = np.array([[-1.0], [1.0]]), np.array([0, 1])
        example = function(
            client, SGDClassifier(random_state=0), client.scatter([block] * 2), [0, 1]
        )
    return facts | {"example": _coef(example)}


def _judge_fit_chain(facts, seed):
    facts, blocks = Facts(facts), _chain_blocks(seed)
    every = "That is one thing for each block: return the model that has learned all."
    yield returns(0, facts, "model", "a trained model", list=every,
                  future="That is a future of the model: ask for its result.")  # fmt: skip
    rows = [[block] for block in blocks]
    alone, oracle, backwards = (
        [_coef(_chained(part)) for part in parts] for parts in (rows, [blocks], [blocks[::-1]])
    )
    coef = facts.get("coef", [])
    mistakes = {
        "A mean of models, one for each block, is another model than the chain's.":
            np.mean(alone, axis=0),
        "The blocks were learned from the last to the first.": backwards[0],
    }  # fmt: skip
    hint = named(coef, mistakes, "Learn every block once, in the order of the list.")
    if any(close(coef, other) for other in alone):
        hint = "This model knows one block only: each task takes the model from the task before."
    right = Check(2, "it has learned all blocks in their order", close(coef, oracle[0]), hint)
    block = np.array([[-1.0], [1.0]]), np.array([0, 1])
    small = _chained([block] * 2, SGDClassifier(random_state=0))
    yield with_example(right, close(facts.get("example", []), _coef(small)))
    hint = "The blocks came to the notebook: let the tasks take the futures of the blocks."
    stay = facts.get("blocks fetched", 9) == 0
    tasks = facts.get("tasks", 0) >= len(blocks)
    if stay and facts.get("scattered", 9) > 1:
        hint = "More than the model was scattered: the blocks are on the workers already."
        stay = False
    elif stay:
        hint = "There are fewer tasks than blocks: one task for each block, which runs beside it."
    yield Check(1, "the blocks stay, one task for each", stay and tasks, hint)
    hint = "The model came home after each block: give its future to the next task."
    yield Check(1, "only the last model comes home", facts.get("fetched", 0) == 1, hint)
    hint = "A task has changed the model that the task before gave. If it has to run again, it "
    hint += "learns its rows twice: let each task learn with a copy of its own."
    known = sorted(facts.get("known", [])) == [1, 2, 3, 4, 5] and not any(facts.get("given", []))
    yield Check(1, "no task changes what another gave", known, hint)


def _chained(blocks, model=None):
    model = model or _new()
    for X, y in blocks:
        model.partial_fit(X, y, classes=[0, 1])
    return model


# 07.5 learn_carefully


WORDS = ["columns", "empty", "missing", "label", "columns", "missing", "empty", "learned"]
WORDS += ["label", "learned", "missing", "learned"]  # of the blocks; known to the judge only

TWO = {4, 5, 6}  # blocks with two faults


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
    good, none = (np.ones((3, 2)), np.array([0, 1, 1])), (np.ones((0, 2)), np.ones(0, "int64"))
    example = function(SGDClassifier(), iter([none, good]), [0, 1], n_features=2)
    return {
        "answer": describe(answer),
        "coef": _coef(model),
        "calls": [[what] for what, *_ in vars(model).get("calls", [])],
        "example": describe(example),
    }


def _judge_learn_carefully(facts, seed):
    facts, stream = Facts(facts), _dirty_stream(seed)
    words = [WORDS[n] for n in _order(seed)]
    yield returns(0, [facts["answer"], facts["example"]], "list", "a list of words", of="str")
    said = facts["answer"].values
    hint = "Return a list with one word for each block."
    if len(said) < len(words):
        hint = "There are fewer words than blocks: after a bad block, too, comes the next one."
    yield Check(0, "one word for each block", len(said) == len(words), hint)
    hint = "A word is none of the five in the task."
    yield Check(0, "only words of the task", set(said) <= {"empty", *WORDS}, hint)
    wrong = {(right, word) for right, word in zip(words, said, strict=True) if right != word}
    missed = {right for right, word in wrong if word == "learned"}
    hint = "A block was given the wrong word."
    if missed == {"missing"}:
        hint = "A block with an infinity, or with a NaN, was called learned: look for both."
    elif missed == {"label"}:
        hint = "A block with a label that is not in `classes` was called learned."
    elif missed:
        hint = "A bad block was called learned: no rows, wrong columns, NaN, infinity, wrong label."
    elif any(right == "learned" for right, _ in wrong):
        hint = "A good block was refused. A block may well have only one of the classes."
    elif {n for n, *pair in zip(_order(seed), words, said, strict=True) if len({*pair}) > 1} <= TWO:
        hint = "A block with two faults gets the word that comes first in the list of the task."
    right = Check(2, "the right word for each block", not wrong, hint)
    yield with_example(right, facts["example"].values == ["empty", "learned"])
    good = [block for block, word in zip(stream, words, strict=True) if word == "learned"]
    calls, _ = _calls(facts)
    hint = "The model does not know exactly the good blocks, each learned once."
    if "fit" in calls:
        hint = "fit starts again with each block: partial_fit goes on."
    elif not facts.get("coef", []):
        hint = "The model has learned nothing: call partial_fit for the good blocks."
    elif len(calls) > len(good):
        hint = "partial_fit was called for other blocks, too: check a block before, not after."
    right = close(facts.get("coef", []), _coef(_chained(good))) and len(calls) == len(good)
    yield Check(2, "the model has learned the good blocks, and no others", right, hint)


EXERCISES = [
    Exercise("07.1", "all_classes", 3, _observe_all_classes, _judge_all_classes),
    Exercise("07.2", "prequential", 4, _observe_prequential, _judge_prequential),
    Exercise("07.3", "train_from_file", 5, _observe_train_from_file, _judge_train_from_file),
    Exercise("07.4", "fit_chain", 5, _observe_fit_chain, _judge_fit_chain),
    Exercise("07.5", "learn_carefully", 4, _observe_learn_carefully, _judge_learn_carefully),
]
