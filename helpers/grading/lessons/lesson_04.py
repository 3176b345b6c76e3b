"""Exercises of lesson 04: saving models whole, loading them with care, predicting on workers."""

import hashlib
import json
import os
import pickle
import platform
import tempfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from helpers.backend import current_backend
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import EXAMPLE, NOTHING, Facts, reordered, returns, with_example
from helpers.grading.workers import workers_here

# 04.1 first_difference


# Kinds of cases, and the place of the way to be named; known to the judge only.
DIFFERS = {"alike": None, "one row": 2, "two ways": 1, "turned": 1, "short": 1, "long": 2}
DIFFERS |= {"example": 2}


def _answers(seed):
    """Kind and labels per way, each kind once or several times, in any order."""
    rng = np.random.default_rng([1, seed])
    example = {"here": [0, 1, 2], "delayed": [0, 1, 2], "files": [0, 2, 1]}
    cases = [("example", {name: np.array(labels) for name, labels in example.items()})]
    for _ in range(2):
        kinds = _kinds(rng)
        few = rng.permutation(len(kinds))[: rng.integers(2, len(kinds))]
        for kind, *labels in kinds if len(cases) == 1 else [kinds[n] for n in few]:
            names = rng.permutation(["here", "delayed", "files", "blocks", "broadcast", "rebuilt"])
            cases.append((kind, dict(zip(names[:3].tolist(), labels, strict=True))))
    return [cases[n] for n in rng.permutation(len(cases))]


def _kinds(rng):
    right = rng.integers(0, 4, 60).astype("int32")
    right[:5], right[-1] = [0, 1, 2, 3, 0], 2
    one_row, far_row, turned = right.copy(), right.copy(), right.copy()
    one_row[7] = (one_row[7] + 1) % 4
    far_row[-2] = (far_row[-2] + 1) % 4
    turned[[1, 2]] = turned[[2, 1]]
    return [
        ("alike", right, right, right),
        ("one row", right, right, far_row),
        ("two ways", right, one_row, far_row),
        ("turned", right, turned, right),
        ("short", right, right[:-1], right),
        ("long", right[:-1], right[:-1], right),
    ]


def _observe_first_difference(function, seed):
    move, answers = current_backend().to_device, []
    for _, labels in _answers(seed):
        # The first way gives its labels on the host, the others where the backend computes.
        ways = {name: move(x) if n else x.copy() for n, (name, x) in enumerate(labels.items())}
        answers.append(describe(function(ways)))
    return {"answers": answers}


def _judge_first_difference(facts, seed):
    cases = _answers(seed)
    said = Facts(facts).each("answers", len(cases))
    kinds = {
        "bool": "True or False does not say which: return the name of the way, or None.",
        "list": "Return one name, that of the first way that differs, not a list.",
    }
    what = "the name of a way, as text, or None"
    kind = returns(0, said, ("str", "none"), what, title="returns a name or None", **kinds)
    if {answer.kind for answer in said} == {"none"}:
        hint = "Nothing came back for any case: return the name of the way that differs."
        kind = kind._replace(holds=False, hint=hint)
    yield kind
    wrong = {}
    for (kind, ways), answer in zip(cases, said, strict=True):
        place = DIFFERS[kind]
        if answer.value != (None if place is None else list(ways)[place]):
            wrong[kind] = answer.value
    hint = "Compare each way with the first one, in the order of the dict."
    if wrong.get("one row", "") is None:
        hint = "One row differs and was not seen: look at every row, without a tolerance."
    elif "alike" in wrong:
        hint = (
            "When all ways agree there is no name to return: return None. If you do, your "
            "comparison finds a difference where there is none."
        )
    elif "two ways" in wrong:
        hint = "Two ways differ from the first one: return the one that comes first."
    first = wrong.keys() <= {"turned", "short", "long", "example"}
    yield Check(1, "names the first way that differs, None if all agree", first, hint)
    hint = "Labels of different lengths differ, too: compare the shapes first."
    if "turned" in wrong:
        hint = "The same labels in another order passed: compare row by row, not sorted or counted."
    elif wrong.keys() == {"example"}:
        hint = EXAMPLE
    yield Check(1, "sees other orders and missing rows", not wrong, hint)


# 04.2 write_whole


def _chunks(seed):
    """Chunks larger than the buffer of a file: what is written is on the disk."""
    rng = np.random.default_rng([2, seed])
    return [rng.bytes(int(size)) for size in rng.integers(200_000, 250_000, rng.integers(5, 8))]


def _breaking(chunks):
    yield from chunks[:3]
    raise OSError("the connection broke")


def _watched(chunks, folders, seen):
    """Chunks; when the last one is taken, `seen` gets what each folder holds by then."""
    before = {name: _size(folder) for name, folder in folders.items()}
    yield from chunks[:-1]
    seen.update({name: _size(folder) - before[name] for name, folder in folders.items()})
    yield chunks[-1]


def _size(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def _observe_write_whole(function, seed):
    chunks, usual = _chunks(seed), tempfile.tempdir
    with TemporaryDirectory() as root:
        folder, other = Path(root, "models"), Path(root, "temporary")
        folder.mkdir()
        other.mkdir()
        try:
            tempfile.tempdir = str(other)  # the system's folder for temporary files, for now
            return _write_twice(function, Path(folder, "model.pkl"), chunks, other)
        finally:
            tempfile.tempdir = usual


def _write_twice(function, path, chunks, other):
    """Facts about two writes to one path, about one that breaks off, and about two at once."""
    folder, folders = path.parent, {"beside": path.parent, "elsewhere": other}
    facts, written = {}, {}
    function(path, iter([b"first half, ", b"second half"]))
    facts["example"] = path.read_bytes().decode() if path.is_file() else None
    path.unlink(missing_ok=True)
    function(path, _watched(chunks, folders, written))
    facts |= {"first": _digest(path), "written": written}
    if not path.is_file():
        return facts
    # A second name for the same file: it keeps what was there, unless someone writes into it.
    yesterday = folder.parent / "yesterday"
    os.link(path, yesterday)
    function(path, iter(chunks[::-1]))
    facts |= {"second": _digest(path), "yesterday": _digest(yesterday)}
    facts["beside"] = sorted(file.name for file in folder.iterdir())
    try:
        function(path, _breaking(chunks))
        facts["raised"] = None
    except Exception as error:
        facts["raised"] = type(error).__name__
    facts["after"] = _digest(path)
    facts["left"] = sorted(file.name for file in folder.iterdir())
    return facts | _two_at_once(function, path, chunks)


def _two_at_once(function, path, chunks):
    """While one call writes, another one writes the same path, the other way round."""
    facts = {}

    def interrupted():
        yield from chunks[:3]
        function(path, iter(chunks[::-1]))
        facts["inner"] = _digest(path)
        yield from chunks[3:]

    try:
        function(path, interrupted())
    except Exception as error:
        facts["disturbed"] = type(error).__name__
    return facts | {"outer": _digest(path), "remains": len(list(path.parent.iterdir()))}


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _judge_write_whole(facts, seed):
    facts, chunks = Facts(facts), _chunks(seed)
    contents = {"first": chunks, "second": chunks[::-1], "half": chunks[:3]}
    contents["both"] = [*chunks, *chunks[::-1]]
    digest = {name: hashlib.sha256(b"".join(c)).hexdigest() for name, c in contents.items()}
    found = {name: facts.get(name, "") for name in ("first", "second", "after", "yesterday")}
    hint = "Write every chunk, one after the other, and nothing else."
    if not found["first"]:
        hint = "There is no file at `path` after the call."
    elif found["first"] == digest["first"] and found["second"] == digest["both"]:
        hint = "The old content is still there: the new one takes its place."
    elif found["first"] == digest["first"]:
        hint = "A second call on the same path must replace the content."
    right = all(found[name] == digest[name] for name in ("first", "second"))
    right = Check(1, "the file holds all chunks, also when it was there before", right, hint)
    yield with_example(right, facts.get("example", "") == "first half, second half")
    hint = "The chunks broke off, and the good old file was harmed: write under another name first."
    if not found["after"]:
        hint = (
            "The chunks broke off, and the good old file is gone: write under another name first."
        )
    elif found["after"] == digest["half"]:
        hint = "The chunks broke off, and half a file took the old one's place: rename at the end."
    kept = found["after"] == digest["second"]
    yield Check(1, "an error in the middle leaves the old file as it was", kept, hint)
    hint = "The bytes went into the old file: write another one, then rename it over the old."
    replaced = found["yesterday"] == digest["first"]
    yield Check(1, "the new file takes the old one's place at once", replaced, hint)
    hint = "The error must reach the caller: after you have cleaned up, raise it again."
    if facts.get("raised", ""):
        hint = "Another error reached the caller than the one that the chunks raised."
    raised = facts.get("raised", "") == "OSError"
    yield Check(0, "the error reaches the caller", raised, hint)
    hint = "An unfinished file was left in the folder: remove it when something goes wrong."
    beside, left = facts.get("beside", []), facts.get("left", [])
    if beside != ["model.pkl"]:
        hint = "There is another file beside the finished one: it was not renamed or removed."
    yield Check(1, "nothing unfinished stays behind", beside == left == ["model.pkl"], hint)
    hint = "Two calls on one path at the same time mixed their files: each needs a name of its own."
    if facts.get("disturbed", ""):
        hint = "Of two calls on one path at the same time one failed: each needs a name of its own."
    files = (facts.get("inner", ""), facts.get("outer", "")) == (digest["second"], digest["first"])
    alone = files and facts.get("remains", 0) == 1 and not facts.get("disturbed", "")
    yield Check(1, "two calls at the same time do not disturb each other", alone, hint)
    # When the last chunk is taken, all but the last two are on the disk: one may be under way.
    written, before = facts["written"], sum(map(len, chunks[:-2]))
    hint = (
        "When the last chunk came, the first ones were in no file of the folder yet: write each "
        "before you take the next, for together they may be larger than the memory."
    )
    if written.get("elsewhere", 0) >= before:
        hint = (
            "The unfinished file was in the folder for temporary files. That may be another disk, "
            "and across disks a rename is a copy: write beside `path`."
        )
    right = written.get("beside", 0) >= before
    yield Check(1, "each chunk is written beside the path as it comes", right, hint)


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
    versions = {"versions": ("scikit-learn", "0.24.2"), "trap": ("scikit-learn", "0.24.2")}
    versions["python"] = ("python", "3.8.20")
    if case == "cut":
        newest.write_bytes(newest.read_bytes()[:-50])
    if case in ("hostile", "none", "trap"):
        newest.write_bytes(pickle.dumps(_Hostile()))
    if case == "no record":
        record.unlink()
    if case == "no model":
        newest.unlink()
    if case == "half a record":
        record.write_text(record.read_text()[:40])
    if case in versions:
        known, (name, version) = json.loads(record.read_text()), versions[case]
        known["versions"][name] = version
        known["sha256"] = hashlib.sha256(newest.read_bytes()).hexdigest()
        record.write_text(json.dumps(known))
    if case == "none":
        paths[0].with_suffix(".json").unlink()
        paths[1].write_bytes(b"")


CASES = ("good", "cut", "hostile", "no record", "half a record", "versions", "python", "trap")
CASES += ("no model", "none", "example")


def _observe_load_newest(function, seed):
    facts = {}
    for case in np.random.default_rng([3, seed, 2]).permutation(CASES).tolist():
        with TemporaryDirectory() as root:
            _spoil(case, _write_saves(Path(root), seed))
            _ran.clear()
            try:
                model = function(Path(root, "empty") if case == "example" else Path(root))
                centers = getattr(model, "cluster_centers_", None)
                facts[case] = {"type": type(model).__name__, "centers": describe(centers)}
            except Exception as error:
                facts[case] = {"raised": type(error).__name__}
            facts[case]["ran"] = list(_ran)
    return facts


def _judge_load_newest(facts, seed):
    facts, saved = Facts(facts), _saved_centers(seed)
    facts = {case: facts[case] for case in CASES}
    raised = {case: fact.get("raised", "") for case, fact in facts.items()}
    ran = {case: bool(fact.get("ran", [])) for case, fact in facts.items()}
    found = {}
    for case, fact in facts.items():
        centers = fact["centers"].array
        found[case] = next((n for n, other in enumerate(saved) if close(centers, other)), None)
    hint = f"Return the loaded model, not {facts['good'].kind}."
    if raised["good"] == "FileNotFoundError":
        hint = (
            "There were three good saves, and none was taken for good: print what a record holds "
            "beside what you compare it with, key by key and digit by digit."
        )
    elif raised["good"]:
        hint = f"With three good saves it raised {raised['good']}."
    elif facts["good"].kind == "NoneType":
        hint = NOTHING
    elif found["good"] is not None:
        hint = "That is not the newest save: the highest number in the name is."
    yield Check(1, "returns the newest of three good models", found["good"] == 2, hint)
    hint = "The newest file is cut off: go on to the one before."
    if raised["cut"]:
        hint = "The newest file is cut off, and that ended the search: go on to the one before."
    yield Check(1, "passes over a file that is cut off", found["cut"] == 1, hint)
    hint = "The newest file was changed, and the model before it did not come: go on to that one."
    if ran["hostile"] or ran["none"]:
        hint = "Code from a changed file ran: compare the checksum before you unpickle, not after."
    safe = found["hostile"] == 1 and not ran["hostile"] and not ran["none"]
    yield Check(1, "nothing of a changed file runs", safe, hint)
    hint = "The newest model was saved with another version: go on to the one before."
    if raised["no record"]:
        hint = "The newest model has no record, and that ended the search: go on to the one before."
    elif found["no record"] != 1:
        hint = "The newest model has no record, so nothing proves that it is whole: pass over it."
    elif raised["half a record"]:
        hint = "The newest record breaks off in the middle, and that ended the search: go on."
    elif found["half a record"] != 1:
        hint = "The newest record breaks off in the middle: it counts as none, so pass over it."
    elif raised["no model"]:
        hint = "The newest record has no model beside it, and that ended the search: go on."
    elif raised["versions"] or raised["python"]:
        hint = "Another version ended the search: go on to the one before."
    elif ran["trap"] and found["versions"] == found["python"] == 1:
        hint = "A pickle of another version was loaded: compare the versions before you unpickle."
    passed = ("no record", "half a record", "no model", "versions", "python", "trap")
    right = all(found[case] == 1 for case in passed) and not ran["trap"]
    yield Check(1, "passes over models without a record or of other versions", right, hint)
    hint = "No save is good: raise FileNotFoundError, so that the caller notices."
    right = Check(1, "raises FileNotFoundError if no save is good", _missing(raised["none"]), hint)
    yield with_example(right, _missing(raised["example"]))


def _missing(raised):
    return raised == "FileNotFoundError"


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
    from helpers.kmeans import DistributedKMeans

    model, parts = _model_and_parts(seed)
    with workers_here([1, 1]) as (client, seen):
        facts = {"answer": describe(function(client, model, list(parts)))}
        carrying = sum(Nearest.__module__.encode() in task for task in seen.tasks)
        facts |= {"tasks": len(seen.tasks), "carrying": carrying}
        centers = np.array([[0.0], [9.0]], dtype="float32")
        model = DistributedKMeans(n_clusters=2, init=centers).fit(centers)
        example = function(client, model, [centers, centers[1:] + np.float32(0.1)])
        return facts | {"example": describe(example)}


def _judge_predict_parts(facts, seed):
    model, parts = _model_and_parts(seed)
    model.slow_rows, facts = None, Facts(facts)
    expected = [label for part in parts for label in model.predict(part).tolist()]
    answer, tasks = facts["answer"], facts.get("tasks", 0)
    promise = "Those are promises of labels: gather or compute them, and bring them here."
    kinds = {"future": promise, "plan": promise}
    kinds["list"] = "That is one result per part: concatenate them to one array."
    kind = returns(1, answer, "array", "one array of labels", **kinds)
    if kind.holds and len(answer.shape) != 1:
        kind = kind._replace(holds=False, hint="Return one label per row, in one dimension.")
    yield kind
    hint = "Label every row of every part, in the order of the parts."
    if reordered(answer.values, expected):
        hint = "All labels are there, in another order: keep the order of the parts."
    right = answer.values == expected
    right = Check(1, "the labels of all rows, in the order of the parts", right, hint)
    yield with_example(right, facts["example"].values == [0, 1, 1])
    hint = "There are fewer tasks than parts: make a task of each part."
    if not tasks:
        hint = "No worker computed anything: this process did. Give the work to `client`."
    elif tasks == 1:
        hint = "The rows went to the workers as one task: make a task of each part."
    yield Check(1, "the workers predict, one task per part", tasks >= len(parts), hint)
    hint = "The model travelled with every task: scatter it, and pass its future as an argument."
    once = facts.get("carrying", 0) <= 1  # once: dask.delayed(model), a task of its own
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
    centers = np.array([[0.0], [5.0], [9.0]], dtype="float32")
    example = function(centers, np.array([1, 2, 0]))
    model = function(_centers(seed), _old_numbers(seed))
    facts = _labelled(model, _rows(seed)[0])
    if "labels" in facts:
        others = [function(_centers(seed), _old_numbers(seed)) for _ in range(3)]
        facts["again"] = [describe(other.cluster_centers_) == facts["centers"] for other in others]
    rows = np.array([[0.1], [4.9], [8.8]], dtype="float32")
    return facts | {"example": _labelled(example, rows)}


def _labelled(model, rows):
    """Facts about a model: its type, its centres, and its labels of some rows."""
    centers = getattr(model, "cluster_centers_", None)
    facts = {"type": type(model).__name__, "centers": describe(centers)}
    if centers is not None:
        facts["labels"] = describe(model.predict(rows))
    return facts


def _judge_rebuild(facts, seed):
    facts, given, numbers = Facts(facts), _centers(seed), _old_numbers(seed)
    expected, centers = given[np.argsort(numbers)], facts["centers"].array
    hint = f"Return a fitted DistributedKMeans, not {facts.kind}."
    if facts.kind == "NoneType":
        hint = NOTHING
    elif facts.kind == "DistributedKMeans":
        hint = "The model has no centres yet: fit it."
    fitted = facts.kind == "DistributedKMeans" and centers is not None
    yield Check(1, "returns a fitted DistributedKMeans", fitted, hint)
    hint = "These are not the centres that were given."
    if close(sorted(centers.tolist()), sorted(expected.tolist())):
        hint = "The centres are there, but under other numbers: give the model its start with init."
        if close(centers, given):
            hint = "The centres have the order of the file: give each the number that it had."
        elif close(centers, given[numbers]):
            hint = (
                "The wrong way round: numbers[i] is where row i goes, not the row that comes to i."
            )
        elif close(centers, expected):
            hint = "This time the numbers are right, by chance: give the model its start with init."
    right = close(centers, expected) and facts.get("again", []) == [True] * 3
    labels = facts["labels"].values == numbers[_rows(seed)[1]].tolist()
    right = Check(1, "has the centres under their numbers, and predicts", right and labels, hint)
    yield with_example(right, facts["example"]["labels"].values == [1, 2, 0])


EXERCISES = [
    Exercise("04.1", "first_difference", 2, _observe_first_difference, _judge_first_difference),
    Exercise("04.2", "write_whole", 6, _observe_write_whole, _judge_write_whole),
    Exercise("04.3", "load_newest", 5, _observe_load_newest, _judge_load_newest),
    Exercise("04.4", "predict_parts", 4, _observe_predict_parts, _judge_predict_parts),
    Exercise("04.5", "rebuild", 2, _observe_rebuild, _judge_rebuild),
]
