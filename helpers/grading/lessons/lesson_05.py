"""Exercises of lesson 05: from a distributed model to scikit-learn and back."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np

from helpers.backend import current_backend
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe

FUNCTIONS = ("asarray", "round", "nan_to_num")  # of NumPy; skops asks before it trusts them

_ran = []  # what ran while a student's function worked; emptied before each call


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _list(value):
    """Return the value if it is a list."""
    return value if isinstance(value, list) else []


def _numbers(value):
    """Return the value if it is a list of whole numbers."""
    return [item for item in _list(value) if type(item) is int]


def _try(work):
    """Return ``{"value": …}`` or the error that work() raised, as facts."""
    try:
        return {"value": work()}
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)[:300]}


def _problem(rng, k, d, rows_each=6):
    """Centres far apart and in no order, and rows close to them."""
    grid = np.stack(np.meshgrid(*[np.arange(-1, 2)] * d), axis=-1).reshape(-1, d)
    centers = 10.0 * rng.permutation(grid)[:k] + rng.uniform(-1, 1, (k, d)).round(3)
    if (np.lexsort(centers.T[::-1]) == np.arange(k)).all():
        centers = centers[::-1].copy()
    labels = rng.permutation(np.repeat(np.arange(k), rows_each))
    return centers, centers[labels] + rng.normal(0, 0.3, (len(labels), d))


def _nearest(centers, rows):
    """The cluster of each row. Only judges call it: observers must not know what is expected."""
    return ((rows[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)


def _model(centers):
    from helpers.kmeans import to_sklearn

    return to_sklearn(SimpleNamespace(cluster_centers_=centers))


def _same_groups(labels, others):
    """Whether two lists of numbers are the same groups under any numbers."""
    pairs = set(zip(labels, others, strict=False))
    return len(labels) == len(others) and len(pairs) == len(set(labels)) == len(set(others))


# 05.1 to_plain


def _plain_inputs(seed):
    rng = np.random.default_rng([51, seed])
    return _problem(rng, k=int(rng.integers(4, 7)), d=3)


def _observe_plain(function, seed):
    from sklearn.cluster import KMeans

    centers, rows = _plain_inputs(seed)
    facts = {}
    for dtype in ("float32", "float64"):
        named = () if dtype == "float32" else (dtype,)  # float32 is what the default says
        model = function(current_backend().to_device(centers), *named)
        facts[dtype] = {"model": isinstance(model, KMeans), "type": describe(model)["type"]}
        if facts[dtype]["model"]:
            facts[dtype] |= _facts_of_model(model, rows.astype(dtype))
    return facts


def _facts_of_model(model, rows):
    centers = _try(lambda: np.asarray(model.cluster_centers_).tolist())
    return {
        "centers": centers.get("value"),
        "labels": _try(lambda: model.predict(rows).tolist()),
        "narrow": _try(lambda: model.predict(rows[:, :2]).size),
        "names": _try(lambda: len(model.get_feature_names_out())),
    }


def _judge_plain(facts, seed):
    centers, rows = _plain_inputs(seed)
    expected = _nearest(centers, rows).tolist()
    both = [_dict(_dict(facts).get(dtype)) for dtype in ("float32", "float64")]
    hint = "Return a sklearn.cluster.KMeans."
    if any(fact.get("type") == "none" for fact in both):
        hint = "The function returned nothing: does it end with return?"
    elif any(fact.get("type") in ("array", "list") for fact in both):
        hint = "These are numbers: return the model that labels rows, not centres or labels."
    yield Check(1, "returns a scikit-learn KMeans", all(f.get("model") is True for f in both), hint)

    labels = [_dict(fact.get("labels")) for fact in both]
    errors = " ".join(f"{answer.get('error')} {answer.get('text')}" for answer in labels)
    hint = "predict raises an error for rows of the dtype that was asked for."
    if "_n_threads" in errors:
        hint = "cluster_centers_ alone is not enough: fit leaves private notes that predict reads."
    elif "dtype mismatch" in errors:
        hint = "The centres must have the dtype that was asked for: predict does not mix dtypes."
    elif "not fitted" in errors:
        hint = "The model is not fitted. To what can it be fitted, when only the centres are here?"
    works = all("value" in answer for answer in labels)
    yield Check(1, "labels rows of both dtypes", works, hint)

    given = [_numbers(answer["value"]) for answer in labels]
    hint = "These are other clusters: the centres must be the given ones, not those of another fit."
    if all(_same_groups(answer, expected) for answer in given):
        hint = "The groups are right, their numbers are not: row i of the centres is cluster i."
    exact = all(answer == expected for answer in given)
    if exact and not all(close(fact.get("centers"), centers.tolist(), atol=1e-4) for fact in both):
        hint, exact = "The labels are right, but the centres are not the given ones.", False
    yield Check(1, "keeps the centres and their order", exact, hint)

    narrow = [_dict(fact.get("narrow")) for fact in both]
    refused = all("features" in str(answer.get("text")) for answer in narrow)
    hint = "Rows with too few columns get labels, which mean nothing: n_features_in_ is missing."
    if refused:
        hint = "get_feature_names_out fails: let fit write what a model needs, private or not."
    complete = all(_dict(fact.get("names")).get("value") == len(centers) for fact in both)
    yield Check(1, "is complete", refused and complete, hint)


# 05.2 load_checked


class Stranger:
    """Notes when it is built from a file."""

    def __init__(self):
        self.name = "stranger"

    def __getstate__(self):
        return {"name": self.name}

    def __setstate__(self, state):
        _ran.append("built")


def _note_unpickled():
    _ran.append("unpickled")


class _Hostile:
    """Notes when a pickle of it is loaded."""

    def __reduce__(self):
        return _note_unpickled, ()


def _load_inputs(seed):
    rng = np.random.default_rng([52, seed])
    centers, rows = _problem(rng, k=4, d=2)
    function, other = rng.permutation(FUNCTIONS)[:2].tolist()
    return centers, rows, function, other


def _observe_load(function, seed):
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    centers, rows, name, other = _load_inputs(seed)
    model = _model(centers)
    one, two = (FunctionTransformer(getattr(np, n)) for n in (name, other))
    objects = {
        "model": model,
        "one": make_pipeline(one, model),
        "two": make_pipeline(one, two, model),
        "stranger": {"model": model, "note": Stranger()},
    }
    objects["both"] = objects["two"]  # with nothing allowed
    allowed = {"model": [], "one": [f"numpy.{name}"], "none": [], "two": [f"numpy.{name}"]}
    facts = {}
    with TemporaryDirectory() as folder:
        paths = {key: Path(folder, f"{key}.skops") for key in (*objects, "hostile")}
        for key, value in objects.items():
            skops.io.dump(value, paths[key])
        paths["hostile"].write_bytes(pickle.dumps(_Hostile()))
        paths["none"] = paths["one"]
        _ran.clear()
        for key in ("model", "one", "none", "two", "both", "stranger", "hostile"):
            loaded = _try(lambda key=key: function(paths[key], allowed.get(key, [])))
            if "value" in loaded:
                value = loaded.pop("value")
                loaded["type"] = describe(value)["type"]
                loaded["labels"] = _try(lambda value=value: value.predict(rows).tolist())
            facts[key] = loaded
    facts["ran"] = sorted(set(_ran))
    _ran.clear()
    return facts


def _judge_load(facts, seed):
    centers, rows, name, other = _load_inputs(seed)
    expected = _nearest(centers, rows)
    facts = _dict(facts)
    keys = ("model", "one", "none", "two", "both", "stranger", "hostile")
    case = {key: _dict(facts.get(key)) for key in keys}
    ran = facts.get("ran")

    def loads(fact):
        return _dict(fact.get("labels")).get("value") == expected.tolist()

    def error_of(fact):
        return f"{fact.get('error')}: {fact.get('text')}"

    hint = f"A harmless file was not loaded: {case['model'].get('error', 'see the docstring')}."
    if case["model"].get("type") == "none":
        hint = "The function returned nothing for a harmless file: does it end with return?"
    elif "npickl" in error_of(case["model"]) or "pickle" in error_of(case["model"]).lower():
        hint = "A skops file is no pickle: read it with skops.io."
    elif case["model"].get("type") in ("list", "bool", "str"):
        hint = "Return the loaded model itself."
    yield Check(1, "loads a harmless file", loads(case["model"]), hint)

    hint = "A file that needs an allowed type was refused: pass what is allowed on to skops."
    yield Check(1, "loads what is allowed", loads(case["one"]), hint)

    refused = all(case[key].get("error") is not None for key in ("none", "two", "both", "stranger"))
    hint = "A type that is not allowed got in. Whose list do you trust, the caller's or the file's?"
    if any(case[key].get("type") == "none" for key in ("none", "two", "stranger")):
        hint = "A file that is not allowed needs an error, not None: raise a ValueError."
    elif case["none"].get("error") is not None and case["two"].get("error") is None:
        hint = "One allowed type does not make the others allowed: all must be."
    elif refused:
        hint = "The error must be a ValueError that names every type that is not allowed."
    names = {"none": [name], "two": [other], "both": [name, other], "stranger": ["Stranger"]}
    errors = all("ValueError" in str(case[key].get("error")) for key in names)
    text = {key: str(case[key].get("text")) for key in names}
    named = {key: [wanted in text[key] for wanted in names[key]] for key in names}
    if refused and errors and any(named["both"]) and not all(named["both"]):
        hint = "The message names one type that is not allowed where there are two: name all."
    good = refused and errors and all(all(found) for found in named.values())
    yield Check(1, "refuses what is not allowed", good, hint)

    hint = "A file of another kind was unpickled, and its code ran: never fall back to pickle."
    if "built" in _list(ran):
        hint = "An object of a type that is not allowed was built before the check: check first."
    safe = ran == []
    if safe and "ValueError" not in str(case["hostile"].get("error")):
        safe, hint = False, "A file that is no skops file must raise a ValueError, too."
    yield Check(1, "runs nothing from a file, whatever it is", safe, hint)


# 05.3 predict_chunks


def _chunk_inputs(seed):
    rng = np.random.default_rng([53, seed])
    centers, rows = _problem(rng, k=5, d=3, rows_each=int(rng.integers(8, 14)))
    chunks = (7, 12, len(rows) - 19)
    return centers, rows, chunks


def _noted(block):
    """Pass a chunk of rows on, and note that it was computed."""
    if block.size:
        _ran.append("computed")
    return block


def _observe_chunks(function, seed):
    import dask
    import dask.array as da

    centers, rows, chunks = _chunk_inputs(seed)
    facts = {}
    # Dask's own scheduler, in this process: a cluster of the student's is left alone.
    with dask.config.set(scheduler="sync"):
        for dtype in ("float32", "float64"):
            X = da.from_array(rows.astype(dtype), chunks=(chunks, (3,)))
            X = X.map_blocks(_noted, dtype=dtype, meta=np.empty((0, 0), dtype))
            _ran.clear()
            labels = function(_model(centers.astype("float32")), X)
            facts[dtype] = {"early": len(_ran), "type": type(labels).__name__}
            if isinstance(labels, da.Array):
                facts[dtype] |= {
                    "dtype": str(labels.dtype),
                    "chunks": [[float(size) for size in axis] for axis in labels.chunks],
                    "computed": _try(lambda labels=labels: describe(labels.compute())),
                }
    _ran.clear()
    return facts


def _judge_chunks(facts, seed):
    centers, rows, chunks = _chunk_inputs(seed)
    expected = _nearest(centers, rows)
    facts = [_dict(_dict(facts).get(dtype)) for dtype in ("float32", "float64")]
    lazy = all(fact.get("type") == "Array" and fact.get("early") == 0 for fact in facts)
    hint = "Return a Dask array."
    if any(fact.get("type") == "ndarray" for fact in facts):
        hint = "That is a NumPy array: all rows came here. Return a lazy Dask array."
    elif any(fact.get("early") for fact in facts):
        hint = "Rows were computed while the array was made: map_blocks needs none of them."
    elif any(fact.get("type") == "NoneType" for fact in facts):
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "stays lazy", lazy, hint)

    shapes = [_list(fact.get("chunks")) for fact in facts]
    hint = "There is one label per row, so the labels have the rows' chunks along one axis."
    if any(len(shape) == 2 for shape in shapes):
        hint = "The array claims to have columns. Say which axis is gone: drop_axis."
    right = all(shape == [list(chunks)] for shape in shapes)
    if right and any(fact.get("dtype") != "int32" for fact in facts):
        right = False
        hint = "Say which dtype comes out: scikit-learn's labels are int32."
    yield Check(1, "says its chunks and its dtype", right, hint)

    computed = [_dict(fact.get("computed")) for fact in facts]
    errors = " ".join(str(answer.get("text")) for answer in computed)
    values = [_dict(answer.get("value")) for answer in computed]
    hint = "The labels are not those that the model gives to these rows."
    if "dtype mismatch" in errors:
        hint = "It fails when computed: the rows need the dtype of the centres. Cast each chunk."
    elif any("error" in answer for answer in computed):
        hint = "It fails when computed."
    elif any(value.get("dtype") not in (None, "int32") for value in values):
        hint = "The array claims to hold int32, and holds something else."
    good = all(
        value.get("values") == expected.tolist() and value.get("dtype") == "int32"
        for value in values
    )
    yield Check(1, "labels every row", good, hint)


# 05.4 count_labels


def _count_inputs(seed):
    rng = np.random.default_rng([54, seed])
    centers, rows = _problem(rng, k=5, d=3, rows_each=900)
    labels = ((rows[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    rows, labels = rows[labels != 4], labels[labels != 4]  # the last cluster has no rows
    order = np.argsort(labels, kind="stable")  # and most chunks lack the one before
    sizes = (*[500] * 7, len(rows) - 3500)
    return centers, rows[order], sizes


def _bytes(result):
    """Size of what a computation brought here."""
    if isinstance(result, list | tuple):
        return sum(_bytes(item) for item in result)
    if isinstance(result, dict):
        return sum(_bytes(item) for item in result.values())
    return int(getattr(result, "nbytes", 8))


def _observe_count(function, seed):
    import dask
    import dask.array as da
    from dask.local import get_sync

    centers, rows, sizes = _count_inputs(seed)
    arrived = []

    def get(graph, keys, **options):
        result = get_sync(graph, keys, **options)
        arrived.append(_bytes(result))
        return result

    X = da.from_array(rows.astype("float32"), chunks=(sizes, (3,)))
    X = X.map_blocks(_noted, dtype="float32", meta=np.empty((0, 0), "f4"))
    _ran.clear()
    with dask.config.set(scheduler=get):
        facts = describe(function(_model(centers.astype("float32")), X))
    facts |= {"arrived": sum(arrived), "blocks": len(_ran)}
    _ran.clear()
    return facts


def _judge_count(facts, seed):
    centers, rows, sizes = _count_inputs(seed)
    labels = _nearest(centers, rows)
    facts, k = _dict(facts), len(centers)
    expected = np.bincount(labels, minlength=k).tolist()
    kind = facts.get("type")
    hint = "Return a NumPy array with one whole number per cluster."
    if str(kind).startswith("dask") or kind == "delayed":
        hint = "That is lazy: compute the counts, they are few."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    elif kind == "array" and str(facts.get("dtype")).startswith("float"):
        hint = "Counts are whole numbers. Shares can be made of them, not the other way round."
    whole = kind == "array" and str(facts.get("dtype")).startswith(("int", "uint"))
    yield Check(1, "returns an array of whole numbers", whole, hint)

    shape, values = facts.get("shape"), _numbers(facts.get("values"))
    hint = "One number per cluster is wanted."
    if shape == [len(rows)]:
        hint = "These are the labels, one per row. Count them where they are."
    elif isinstance(shape, list) and len(shape) == 2:
        hint = "These are the counts of each chunk: add them up."
    elif shape is not None and values == expected[: len(values)]:
        hint = "A cluster without rows is missing. It has a count, too: 0."
    yield Check(1, "has one number per cluster", shape == [k], hint)

    hint = "These are not the numbers of rows."
    if sum(values) == sum(expected):
        hint = "The sum is right, the clusters are mixed up."
    elif any(np.bincount(labels[a:b], minlength=k).tolist() == values for a, b in _spans(sizes)):
        hint = "That is a single chunk: add up the counts of all of them."
    yield Check(1, "counts every row", values == expected, hint)

    limit = 8 * k * len(sizes)
    arrived, blocks = facts.get("arrived"), facts.get("blocks")
    few = isinstance(arrived, int) and 0 < arrived <= limit
    hint = "The labels, or the rows, were brought here. Count each chunk where it is."
    once = blocks == len(sizes)
    if few and not once:
        hint = "Rows were computed more than once: compute all counts in one go."
    yield Check(1, "brings only counts here", few and once, hint)


def _spans(sizes):
    stops = np.cumsum(sizes).tolist()
    return zip([0, *stops[:-1]], stops, strict=True)


# 05.5 same_model


def _apart(centers):
    gaps = np.abs(centers[:, None] - centers[None]).max(axis=2)
    return gaps[~np.eye(len(centers), dtype=bool)].min()


SAME = {"itself", "other order", "last digits", "large tolerance"}  # known to the judge only


def _pairs(seed):
    """Pairs of centres with a tolerance."""
    rng = np.random.default_rng([55, seed])
    k, d, tolerance = 5, 3, 1e-3
    a = np.zeros((k, d))
    while _apart(a) < 3:
        a, _ = _problem(rng, k, d)
        a[1, :2] = a[0, :2] + [0, 10]  # two centres that agree in the first column
    noise = rng.choice([-1e-5, 1e-5], (k, d))
    noise[:2, 0] = 1e-5, -1e-5  # after that, the second of them comes first
    order = np.roll(np.arange(k), int(rng.integers(1, k)))
    moved, crossed = a.copy(), a.copy()
    moved[int(rng.integers(k)), int(rng.integers(d))] += 10 * tolerance
    crossed[:, 1] = np.roll(crossed[:, 1], 1)  # each column has the same values as before
    doubled = np.vstack([a[:1], a[:1] + tolerance / 2, a[2:]])
    return {
        "itself": (a, a.copy()),
        "other order": (a, a[order], tolerance),
        "last digits": (a, (a + noise)[order], tolerance),
        "large tolerance": (a, moved[order], 100 * tolerance),
        "one moved": (a, moved[order]),  # the tolerance is what the default says
        "columns crossed": (a, crossed, tolerance),
        "doubled": (doubled, a, tolerance),
        "one more": (a, np.vstack([a, a[:1] + 30]), tolerance),
        "one less": (a, a[:-1], tolerance),
    }


def _observe_same(function, seed):
    return {
        name: _try(lambda a=a, b=b, t=t: describe(function(_model(a), _model(b), *t)))
        for name, (a, b, *t) in _pairs(seed).items()
    }


def _judge_same(facts, seed):
    pairs, facts = _pairs(seed), _dict(facts)
    answers = {name: _dict(_dict(facts.get(name)).get("value")) for name in pairs}
    errors = {name: _dict(facts.get(name)).get("error") for name in pairs}
    same_size = [name for name in pairs if name not in ("one more", "one less")]
    kinds = {str(answers[name].get("type")) for name in same_size}
    hint = "Return True or False."
    if "none" in kinds:
        hint = "The function returned nothing: does it end with return?"
    elif "array" in kinds:
        hint = "That is one answer per number: is all of it equal?"
    elif "AttributeError" in errors.values():
        hint = "A converted model has no labels_ and no inertia_: compare the centres."
    elif any(errors[name] for name in same_size):
        hint = "It raised an error for two models of the same size."
    yield Check(1, "returns a boolean", kinds == {"bool"}, hint)

    def wrong(wanted):
        names = [name for name in pairs if (name in SAME) is wanted]
        return [name for name in names if answers[name].get("value") is not wanted]

    missed = wrong(True)
    hint = "Models that are the same were told apart."
    if "other order" in missed:
        hint = "The same clusters in another order are the same model."
    elif "last digits" in missed:
        hint = "Centres may differ by less than the tolerance, which can change how they sort."
    elif missed == ["large tolerance"]:
        hint = "The tolerance is the caller's, not yours."
    yield Check(1, "finds models that are the same", not missed, hint)

    mixed = wrong(False)
    hint = "Different models were taken for the same."
    if errors["one more"] or errors["one less"]:
        hint = "Models with different numbers of clusters differ: return False, raise nothing."
    elif "columns crossed" in mixed:
        hint = "A centre is a whole row: its coordinates stay together."
    elif "one moved" in mixed:
        hint = "A centre that moved by more than the tolerance makes another model."
    elif mixed:
        hint = "Every centre needs a partner of its own, and none may be left, in either model."
    yield Check(1, "tells different models apart", not mixed, hint)


EXERCISES = [
    Exercise("05.1", "to_plain", 4, _observe_plain, _judge_plain),
    Exercise("05.2", "load_checked", 4, _observe_load, _judge_load),
    Exercise("05.3", "predict_chunks", 3, _observe_chunks, _judge_chunks),
    Exercise("05.4", "count_labels", 4, _observe_count, _judge_count),
    Exercise("05.5", "same_model", 3, _observe_same, _judge_same),
]
