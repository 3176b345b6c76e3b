"""Exercises of lesson 04: saving models whole, loading them with care, predicting on workers."""

import hashlib
import json
import os
import pickle
import platform
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from helpers.backend import current_backend
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.workers import workers_here


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


# 04.1 first_difference


DIFFERS = {  # the way to be named; known to the judge only
    "alike": None,
    "one row": "files",
    "two ways": "delayed",
    "turned": "delayed",
    "short": "delayed",
    "long": "files",
}


def _answers(seed):
    """Cases: labels per way."""
    rng = np.random.default_rng([1, seed])
    right = rng.integers(0, 4, 60).astype("int32")
    right[:5], right[-1] = [0, 1, 2, 3, 0], 2
    one_row, far_row, turned = right.copy(), right.copy(), right.copy()
    one_row[7] = (one_row[7] + 1) % 4
    far_row[-2] = (far_row[-2] + 1) % 4
    turned[[1, 2]] = turned[[2, 1]]
    return {
        "alike": {"here": right, "delayed": right, "files": right},
        "one row": {"here": right, "delayed": right, "files": far_row},
        "two ways": {"here": right, "delayed": one_row, "files": far_row},
        "turned": {"here": right, "delayed": turned, "files": right},
        "short": {"here": right, "delayed": right[:-1], "files": right},
        "long": {"here": right[:-1], "delayed": right[:-1], "files": right},
    }


def _observe_first_difference(function, seed):
    move = current_backend().to_device
    return {
        # One way gives its labels on the host, the others where the backend computes.
        case: describe(function({k: v if k == "here" else move(v) for k, v in answers.items()}))
        for case, answers in _answers(seed).items()
    }


def _judge_first_difference(facts, seed):
    facts, expected = _dict(facts), DIFFERS
    said = {case: _dict(facts.get(case)) for case in expected}
    kinds = {answer.get("type") for answer in said.values()}
    hint = "Return the name of a way, as text, or None."
    if "bool" in kinds:
        hint = "True or False does not say which: return the name of the way, or None."
    elif "list" in kinds:
        hint = "Return one name, that of the first way that differs, not a list."
    elif kinds == {"none"}:
        hint = "Nothing came back for any case: return the name of the way that differs."
    named = kinds <= {"str", "none"} and kinds != {"none"}
    yield Check(0, "returns a name or None", named, hint)
    values = {case: answer.get("value") for case, answer in said.items()}
    hint = "Compare each way with the first one, in the order of the dict."
    if values["one row"] is None:
        hint = "One row differs and was not seen: look at every row, without a tolerance."
    elif values["alike"] is not None:
        hint = (
            "When all ways agree there is no name to return: return None. If you do, your "
            "comparison finds a difference where there is none."
        )
    elif values["two ways"] != expected["two ways"]:
        hint = "Two ways differ from the first one: return the one that comes first."
    first = all(values[case] == expected[case] for case in ("alike", "one row", "two ways"))
    yield Check(1, "names the first way that differs, None if all agree", first, hint)
    hint = "Labels of different lengths differ, too: compare the shapes first."
    if values["turned"] != expected["turned"]:
        hint = "The same labels in another order passed: compare row by row, not sorted or counted."
    right = all(values[case] == expected[case] for case in expected)
    yield Check(1, "sees other orders and missing rows", right, hint)


# 04.2 write_whole


def _chunks(seed):
    rng = np.random.default_rng([2, seed])
    return [rng.bytes(int(size)) for size in rng.integers(10, 200, size=5)]


def _breaking(chunks):
    yield from chunks[:3]
    raise OSError("the connection broke")


def _observe_write_whole(function, seed):
    chunks = _chunks(seed)
    with TemporaryDirectory() as root:
        folder, path = Path(root, "models"), Path(root, "models", "model.pkl")
        folder.mkdir()
        function(path, iter(chunks))
        facts = {"first": _hex(path)}
        if not path.is_file():
            return facts
        # A second name for the same file: it keeps what was there, unless someone writes into it.
        os.link(path, Path(root, "yesterday"))
        function(path, iter(chunks[::-1]))
        facts |= {"second": _hex(path), "yesterday": _hex(Path(root, "yesterday"))}
        facts["beside"] = sorted(file.name for file in folder.iterdir())
        try:
            function(path, _breaking(chunks))
            facts["raised"] = None
        except Exception as error:
            facts["raised"] = type(error).__name__
        facts["after"] = _hex(path)
        facts["left"] = sorted(file.name for file in folder.iterdir())
        return facts | _two_at_once(function, path, chunks)


def _two_at_once(function, path, chunks):
    """While one call writes, another one writes the same path, the other way round."""
    facts = {}

    def interrupted():
        yield from chunks[:3]
        function(path, iter(chunks[::-1]))
        facts["inner"] = _hex(path)
        yield from chunks[3:]

    try:
        function(path, interrupted())
    except Exception as error:
        facts["disturbed"] = type(error).__name__
    return facts | {"outer": _hex(path), "remains": len(list(path.parent.iterdir()))}


def _hex(path):
    return path.read_bytes().hex() if path.is_file() else None


def _judge_write_whole(facts, seed):
    facts, chunks = _dict(facts), _chunks(seed)
    first, second = (b"".join(parts).hex() for parts in (chunks, chunks[::-1]))
    hint = "Write every chunk, one after the other, and nothing else."
    if facts.get("first") is None:
        hint = "There is no file at `path` after the call."
    elif facts.get("first") == first and facts.get("second") == first + second:
        hint = "The old content is still there: the new one takes its place."
    elif facts.get("first") == first:
        hint = "A second call on the same path must replace the content."
    right = facts.get("first") == first and facts.get("second") == second
    yield Check(1, "the file holds all chunks, also when it was there before", right, hint)
    after = facts.get("after")
    hint = "The chunks broke off, and the good old file was harmed: write under another name first."
    if after is None:
        hint = (
            "The chunks broke off, and the good old file is gone: write under another name first."
        )
    elif after == b"".join(chunks[:3]).hex():
        hint = "The chunks broke off, and half a file took the old one's place: rename at the end."
    yield Check(1, "an error in the middle leaves the old file as it was", after == second, hint)
    hint = "The bytes went into the old file: write another one, then rename it over the old."
    yield Check(
        1, "the new file takes the old one's place at once", facts.get("yesterday") == first, hint
    )
    hint = "The error must reach the caller: after you have cleaned up, raise it again."
    yield Check(0, "the error reaches the caller", facts.get("raised") == "OSError", hint)
    hint = "An unfinished file was left in the folder: remove it when something goes wrong."
    if facts.get("beside") != ["model.pkl"]:
        hint = "There is another file beside the finished one: it was not renamed or removed."
    clean = facts.get("beside") == facts.get("left") == ["model.pkl"]
    yield Check(1, "nothing unfinished stays behind", clean, hint)
    hint = "Two calls on one path at the same time mixed their files: each needs a name of its own."
    if facts.get("disturbed"):
        hint = "Of two calls on one path at the same time one failed: each needs a name of its own."
    files = facts.get("inner") == second and facts.get("outer") == first
    alone = files and facts.get("remains") == 1 and not facts.get("disturbed")
    yield Check(1, "two calls at the same time do not disturb each other", alone, hint)


# 04.3 load_newest

_ran = []  # what the hostile files did


def _note(word):
    _ran.append(word)


class _Hostile:
    """An object whose pickle calls a function when it is loaded. Harmless: it takes a note."""

    def __reduce__(self):
        return _note, ("a changed file ran",)


def _saved_centers(seed):
    """Centres of three saves, all different."""
    return np.random.default_rng([3, seed]).normal(size=(3, 4, 2)).astype("float32")


def _numbers(seed):
    """Numbers of the three saves, rising."""
    rng = np.random.default_rng([3, seed, 1])
    return np.sort(rng.choice(np.arange(2, 200), 3, replace=False)).tolist()


def _write_saves(folder, seed):
    """Three good saves; the one with the highest number was not written last."""
    import sklearn

    from helpers.kmeans import DistributedKMeans, to_sklearn

    versions = {"python": platform.python_version(), "scikit-learn": sklearn.__version__}
    paths = [folder / f"model-{number:04d}.pkl" for number in _numbers(seed)]
    for age, path, centers in zip((0, 1, 2), paths, _saved_centers(seed), strict=True):
        model = DistributedKMeans(n_clusters=len(centers), init=centers, max_iter=1).fit(centers)
        data = pickle.dumps(to_sklearn(model))
        path.write_bytes(data)
        record = {"sha256": hashlib.sha256(data).hexdigest(), "versions": versions}
        path.with_suffix(".json").write_text(json.dumps(record))
        for file in (path, path.with_suffix(".json")):
            os.utime(file, (1_700_000_000 - age, 1_700_000_000 - age))
    (folder / "model-0999.pkl.unfinished").write_bytes(b"half")
    return paths


def _spoil(case, paths):
    newest, record = paths[-1], paths[-1].with_suffix(".json")
    if case == "cut":
        newest.write_bytes(newest.read_bytes()[:-50])
    if case in ("hostile", "none"):
        newest.write_bytes(pickle.dumps(_Hostile()))
    if case == "no record":
        record.unlink()
    if case == "half a record":
        record.write_text(record.read_text()[:40])
    if case == "trap":
        newest.write_bytes(pickle.dumps(_Hostile()))
        fits = json.loads(record.read_text())
        fits["sha256"] = hashlib.sha256(newest.read_bytes()).hexdigest()
        record.write_text(json.dumps(fits))
    if case in ("versions", "trap"):
        other = json.loads(record.read_text())
        other["versions"]["scikit-learn"] = "0.24.2"
        record.write_text(json.dumps(other))
    if case == "python":
        other = json.loads(record.read_text())
        other["versions"]["python"] = "3.8.20"
        record.write_text(json.dumps(other))
    if case == "none":
        paths[0].with_suffix(".json").unlink()
        paths[1].write_bytes(b"")


CASES = (
    *("good", "cut", "hostile", "no record", "half a record", "versions", "python", "trap"),
    "none",
)


def _observe_load_newest(function, seed):
    facts = {}
    for case in CASES:
        with TemporaryDirectory() as root:
            paths = _write_saves(Path(root), seed)
            _spoil(case, paths)
            _ran.clear()
            try:
                model = function(Path(root))
                centers = getattr(model, "cluster_centers_", None)
                facts[case] = {"type": type(model).__name__, "centers": describe(centers)}
            except Exception as error:
                facts[case] = {"raised": type(error).__name__}
            facts[case]["ran"] = list(_ran)
    return facts


def _judge_load_newest(facts, seed):
    facts = {case: _dict(_dict(facts).get(case)) for case in CASES}
    saved = _saved_centers(seed).tolist()
    found = {}
    for case, fact in facts.items():
        values = _dict(fact.get("centers")).get("values")
        found[case] = next((n for n, c in enumerate(saved) if close(_flat(values), _flat(c))), None)
    good = facts["good"]
    hint = f"Return the loaded model, not {good.get('type')}."
    if good.get("raised"):
        hint = f"With three good saves it raised {good['raised']}."
    elif good.get("type") == "NoneType":
        hint = "Nothing came back: end the function with return."
    elif found["good"] == 0:
        hint = "That is not the newest save: the highest number in the name is."
    yield Check(1, "returns the newest of three good models", found["good"] == 2, hint)
    hint = "The newest file is cut off: go on to the one before."
    if facts["cut"].get("raised"):
        hint = "The newest file is cut off, and that ended the search: go on to the one before."
    yield Check(1, "passes over a file that is cut off", found["cut"] == 1, hint)
    hint = "A changed file was passed over, but its record does not fit: go on to the one before."
    if facts["hostile"].get("ran") or facts["none"].get("ran"):
        hint = "Code from a changed file ran: compare the checksum before you unpickle, not after."
    safe = (
        found["hostile"] == 1 and not facts["hostile"].get("ran") and not facts["none"].get("ran")
    )
    yield Check(1, "nothing of a changed file runs", safe, hint)
    hint = "The newest model was saved with another version: go on to the one before."
    if facts["no record"].get("raised"):
        hint = "The newest model has no record, and that ended the search: go on to the one before."
    elif found["no record"] != 1:
        hint = "The newest model has no record, so nothing proves that it is whole: pass over it."
    elif facts["half a record"].get("raised"):
        hint = "The newest record breaks off in the middle, and that ended the search: go on."
    elif found["half a record"] != 1:
        hint = "The newest record breaks off in the middle: it counts as none, so pass over it."
    elif facts["versions"].get("raised") or facts["python"].get("raised"):
        hint = "Another version ended the search: go on to the one before."
    elif facts["trap"].get("ran") and found["versions"] == found["python"] == 1:
        hint = "A pickle of another version was loaded: compare the versions before you unpickle."
    passed = ("no record", "half a record", "versions", "python", "trap")
    right = all(found[case] == 1 for case in passed) and not facts["trap"].get("ran")
    yield Check(1, "passes over models without a record or of other versions", right, hint)
    hint = "No save is good: raise FileNotFoundError, so that the caller notices."
    raised = facts["none"].get("raised") == "FileNotFoundError"
    yield Check(1, "raises FileNotFoundError if no save is good", raised, hint)


def _flat(values):
    """Numbers of a nested list, or an empty list."""
    try:
        return [float(x) for row in values for x in row]
    except (TypeError, ValueError):
        return []


# 04.4 predict_parts


class Nearest:
    """A model that takes its time over one part; tasks that carry it name this module."""

    def __init__(self, centers, slow_rows):
        self.centers, self.slow_rows = centers, slow_rows

    def predict(self, rows):
        """Label each row with its nearest centre."""
        rows = np.asarray(rows)
        if len(rows) == self.slow_rows:
            time.sleep(0.2)
        distances = ((rows[:, None] - self.centers[None]) ** 2).sum(axis=2)
        return distances.argmin(axis=1).astype("int32")


def _model_and_parts(seed):
    rng = np.random.default_rng([4, seed])
    centers = rng.normal(size=(4, 3)).astype("float32")
    sizes = rng.permutation(np.arange(20, 40))[:7]
    parts = [rng.normal(size=(int(size), 3)).astype("float32") for size in sizes]
    return Nearest(centers, len(parts[0])), parts


def _observe_predict_parts(function, seed):
    import cloudpickle
    from distributed.diagnostics.plugin import SchedulerPlugin

    seen = {"tasks": 0, "carrying": 0}

    class Customs(SchedulerPlugin):
        """Count the tasks that finish, and those that came with the model inside."""

        def update_graph(self, scheduler, *, tasks, **kwargs):
            specs = [cloudpickle.dumps(scheduler.tasks[key].run_spec) for key in tasks]
            seen["carrying"] += sum(Nearest.__module__.encode() in spec for spec in specs)

        def transition(self, key, start, finish, *args, **kwargs):
            seen["tasks"] += (start, finish) == ("processing", "memory")

    model, parts = _model_and_parts(seed)
    with workers_here([1, 1]) as (client, _):
        client.cluster.scheduler.add_plugin(Customs())
        return {"answer": describe(function(client, model, list(parts))), **seen}


def _judge_predict_parts(facts, seed):
    model, parts = _model_and_parts(seed)
    model.slow_rows = None
    labels = [model.predict(part).tolist() for part in parts]
    facts = _dict(facts)
    answer, tasks = _dict(facts.get("answer")), facts.get("tasks") or 0
    kind, values = answer.get("type"), answer.get("values")
    items = answer.get("items") if isinstance(answer.get("items"), list) else []
    kinds = {_dict(item).get("type") for item in items}
    hint = f"Return one array of labels, not {kind}."
    if kind == "none":
        hint = "Nothing came back: end the function with return."
    elif kind in ("future", "delayed") or kinds & {"future", "delayed"}:
        hint = "Those are promises of labels: gather or compute them, and bring them here."
    elif kind == "list":
        hint = "That is one result per part: concatenate them to one array."
    flat = kind == "array" and len(answer.get("shape") or []) == 1
    yield Check(1, "returns one array of labels", flat, hint)
    hint = "Label every row of every part, in the order of the parts."
    expected = [label for part in labels for label in part]
    if isinstance(values, list) and values != expected and sorted(values) == sorted(expected):
        hint = "All labels are there, in another order: keep the order of the parts."
    yield Check(1, "the labels of all rows, in the order of the parts", values == expected, hint)
    hint = "The rows went to the workers as one task: make a task of each part."
    if not tasks:
        hint = "No worker computed anything: this process did. Give the work to `client`."
    yield Check(1, "the workers predict, one task per part", tasks >= len(parts), hint)
    hint = "The model travelled with every task: scatter it, and pass its future as an argument."
    once = (facts.get("carrying") or 0) <= 1  # once: dask.delayed(model), a task of its own
    yield Check(1, "the model does not travel with every task", once, hint)


# 04.5 rebuild


def _centers(seed):
    rng = np.random.default_rng([5, seed])
    k = int(rng.integers(9, 13))  # 8 is the default of n_clusters
    return (10 * rng.permutation(np.arange(3 * k)).reshape(k, 3)).astype("float32")


def _rows(seed):
    rng, centers = np.random.default_rng([5, seed, 1]), _centers(seed)
    belongs = rng.integers(0, len(centers), 40)
    return centers[belongs] + rng.normal(scale=0.1, size=(40, 3)).astype("float32"), belongs


def _old_numbers(seed):
    """Numbers of the clusters; no two clusters have exchanged theirs."""
    rng, k = np.random.default_rng([5, seed, 2]), len(_centers(seed))
    around = rng.permutation(k)
    numbers = np.empty(k, int)
    numbers[around] = np.roll(around, 1)
    return numbers


def _observe_rebuild(function, seed):
    model = function(_centers(seed), _old_numbers(seed))
    centers = getattr(model, "cluster_centers_", None)
    facts = {"type": type(model).__name__, "centers": describe(centers)}
    if centers is not None:
        facts["labels"] = describe(model.predict(_rows(seed)[0]))
        others = [function(_centers(seed), _old_numbers(seed)) for _ in range(3)]
        facts["again"] = [describe(other.cluster_centers_) == facts["centers"] for other in others]
    return facts


def _judge_rebuild(facts, seed):
    facts, given, numbers = _dict(facts), _centers(seed), _old_numbers(seed)
    expected = given[np.argsort(numbers)].tolist()
    centers = _dict(facts.get("centers"))
    values = centers.get("values")
    hint = f"Return a fitted DistributedKMeans, not {facts.get('type')}."
    if facts.get("type") == "NoneType":
        hint = "Nothing came back: end the function with return."
    elif facts.get("type") == "DistributedKMeans":
        hint = "The model has no centres yet: fit it."
    fitted = facts.get("type") == "DistributedKMeans" and centers.get("type") == "array"
    yield Check(1, "returns a fitted DistributedKMeans", fitted, hint)
    hint = "These are not the centres that were given."
    same = isinstance(values, list) and close(_flat(sorted(values)), _flat(sorted(expected)))
    if same:
        hint = "The centres are there, but under other numbers: give the model its start with init."
    if same and close(_flat(values), _flat(given.tolist())):
        hint = "The centres have the order of the file: give each cluster the number that it had."
    elif same and close(_flat(values), _flat(given[numbers].tolist())):
        hint = "The wrong way round: numbers[i] is where row i goes, not the row that comes to i."
    right = close(_flat(values), _flat(expected)) and facts.get("again") == [True] * 3
    labels = _dict(facts.get("labels")).get("values") == numbers[_rows(seed)[1]].tolist()
    yield Check(1, "has the centres under their numbers, and predicts", right and labels, hint)


EXERCISES = [
    Exercise("04.1", "first_difference", 2, _observe_first_difference, _judge_first_difference),
    Exercise("04.2", "write_whole", 5, _observe_write_whole, _judge_write_whole),
    Exercise("04.3", "load_newest", 5, _observe_load_newest, _judge_load_newest),
    Exercise("04.4", "predict_parts", 4, _observe_predict_parts, _judge_predict_parts),
    Exercise("04.5", "rebuild", 2, _observe_rebuild, _judge_rebuild),
]
