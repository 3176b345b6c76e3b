"""Exercises of lesson 05: from a distributed model to scikit-learn and back."""

import pickle
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np

from helpers import kmeans
from helpers.backend import current_backend
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import describe
from helpers.grading.meter import calls_of
from helpers.grading.vocabulary import Facts, attempt, by_case, mixed, returns

FUNCTIONS = ("asarray", "round", "nan_to_num")  # of NumPy; skops asks before it trusts them

_ran = []  # what ran while a student's function worked; emptied before each call


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
    return kmeans.to_sklearn(SimpleNamespace(cluster_centers_=centers))


def _example_model(rows):
    """The model that the examples fit."""
    from sklearn.cluster import KMeans

    return KMeans(2, n_init=1, random_state=0).fit(rows)


def _same_groups(labels, others):
    """Whether two lists of numbers are the same groups under any numbers."""
    pairs = set(zip(labels, others, strict=False))
    return len(labels) == len(others) and len(pairs) == len(set(labels)) == len(set(others))


# 05.1 to_plain


def _plain_cases(seed):
    """Cases: centres, the dtype that is asked for (none: the default), rows to label."""
    rng = np.random.default_rng([51, seed])
    # Enough numbers that a fit moves some in the last digit.
    centers, rows = _problem(rng, k=int(rng.integers(5, 8)), d=4)
    cases = {
        "default": (centers, (), rows.astype("float32")),
        "narrow centres": (centers.astype("float32"), ("float64",), rows),
        "example": (np.array([[9.0, 9.0], [0.0, 0.0]]), ("float64",), np.array([[1.0, 1.0]])),
    }
    return mixed(rng, cases)


def _observe_plain(function, seed):
    from sklearn.cluster import KMeans

    facts = []
    for centers, dtype, rows in list(_plain_cases(seed).values()):
        with calls_of(kmeans.to_sklearn) as calls:
            model = function(current_backend().to_device(centers), *dtype)
        facts.append({"type": describe(model)["type"], "borrowed": bool(calls)})
        if isinstance(model, KMeans):
            facts[-1] |= _facts_of_model(model, rows) | {"type": "KMeans"}
    return facts


def _facts_of_model(model, rows):
    return {
        "centers": attempt(lambda: np.asarray(model.cluster_centers_).tolist()).get("value"),
        "labels": attempt(lambda: model.predict(rows).tolist()),
        "narrow": attempt(lambda: model.predict(rows[:, :-1]).size),
        "names": attempt(lambda: len(model.get_feature_names_out())),
    }


def _judge_plain(facts, seed):
    cases = _plain_cases(seed)
    facts = by_case(facts, cases)
    numbers = "These are numbers: return the model that labels rows, not centres or labels."
    yield returns(1, [*facts.values()], "KMeans", "a scikit-learn KMeans",
                  array=numbers, list=numbers)  # fmt: skip
    hint = "to_sklearn did the work, and your service has no helpers.kmeans: write what it does."
    alone = not any(fact.get("borrowed", False) for fact in facts.values())
    yield Check(0, "is made with scikit-learn alone", alone, hint)

    labels = {name: fact["labels"] for name, fact in facts.items()}
    errors = " ".join(f"{a.get('error', '')} {a.get('text', '')}" for a in labels.values())
    hint = "predict raises an error for rows of the dtype that was asked for."
    if "_n_threads" in errors:
        hint = "cluster_centers_ alone is not enough: fit leaves private notes that predict reads."
    elif "dtype mismatch" in errors:
        hint = "The centres must have the dtype that was asked for: predict does not mix dtypes."
    elif "not fitted" in errors:
        hint = "The model is not fitted. To what can it be fitted, when only the centres are here?"
    works = all("value" in answer.raw for answer in labels.values())
    yield Check(1, "labels rows of both dtypes", works, hint)

    given = [answer.get("value", []) for answer in labels.values()]
    expected = [_nearest(centers, rows).tolist() for centers, _, rows in cases.values()]
    exact = {
        name: centers.astype(*(dtype or ("float32",))).tolist()
        for name, (centers, dtype, _) in cases.items()
    }
    near = all(
        np.shape(fact.get("centers", [])) == np.shape(exact[name])
        and np.allclose(fact.get("centers", []), exact[name], rtol=0, atol=1e-3)
        for name, fact in facts.items()
    )
    hint = "These are other clusters: their centres are not the given ones."
    if near:
        hint = "The centres have moved in the last digits: fit rounds. Put the given ones back."
    elif given == expected:
        hint = "The labels are right, but the centres are not the given ones."
    elif all(map(_same_groups, given, expected)):
        hint = "The groups are right, their numbers are not: row i of the centres is cluster i."
    kept = given == expected and {n: fact.get("centers", []) for n, fact in facts.items()} == exact
    yield Check(1, "keeps the centres and their order", kept, hint)

    refused = all("features" in fact["narrow"].get("text", "") for fact in facts.values())
    hint = "Rows with too few columns get labels, which mean nothing: n_features_in_ is missing."
    if refused:
        hint = "get_feature_names_out fails: let fit write what a model needs, private or not."
    elif not any("value" in fact["narrow"].raw for fact in facts.values()):
        hint = "Rows with too few columns raise an error that does not name the features."
    named_all = all(
        facts[name]["names"].value == len(centers) for name, (centers, *_) in cases.items()
    )
    yield Check(1, "is complete", refused and named_all, hint)


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
    """Centres, rows, two functions of NumPy, and the order of the files."""
    rng = np.random.default_rng([52, seed])
    centers, rows = _problem(rng, k=4, d=2)
    name, other = rng.permutation(FUNCTIONS)[:2].tolist()
    cases = {  # what is allowed
        **{"model": ([],), "example": (), "one": ([f"numpy.{name}"],)},
        **{"none": ([],), "two": ([f"numpy.{name}"],), "both": ([],), "stranger": ([],)},
        **{"hostile": ([],), "zip": ([],), "damaged": ([],), "text": ([],)},
    }
    return centers, rows, (name, other), mixed(rng, cases)


def _write_files(paths, centers, functions):
    """Write the file of each case."""
    import skops.io
    from sklearn.cluster import KMeans
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    model = _model(centers)
    one, two = (FunctionTransformer(getattr(np, name)) for name in functions)
    objects = {
        "model": model,
        "example": KMeans(2).fit([[0.0], [9.0]]),
        "one": make_pipeline(one, model),
        "none": make_pipeline(one, model),
        "two": make_pipeline(one, two, model),
        "both": make_pipeline(one, two, model),
        "stranger": {"model": model, "note": Stranger()},
        "damaged": model,
    }
    for name, value in objects.items():
        skops.io.dump(value, paths[name])
    with zipfile.ZipFile(paths["damaged"]) as whole:
        schema = whole.read("schema.json")
    with zipfile.ZipFile(paths["damaged"], "w") as damaged:
        damaged.writestr("schema.json", schema)  # and none of the arrays that it names
    with zipfile.ZipFile(paths["zip"], "w") as other:
        other.writestr("readme.txt", "no schema here")
    paths["hostile"].write_bytes(pickle.dumps(_Hostile()))
    paths["text"].write_text("no model", encoding="utf-8")


def _observe_load(function, seed):
    centers, rows, functions, cases = _load_inputs(seed)
    facts = []
    with TemporaryDirectory() as folder:
        # One name in many folders: nothing but its content tells what a file is.
        paths = {name: Path(folder, str(n), "model.skops") for n, name in enumerate(cases)}
        for path in paths.values():
            path.parent.mkdir()
        _write_files(paths, centers, functions)
        calls = list(zip(paths.values(), cases.values(), strict=True))
        del paths, cases, functions
        _ran.clear()
        for path, allowed in calls:
            try:
                value = function(path, *allowed)
            except Exception as error:
                facts.append({"error": type(error).__name__, "text": str(error)[:300]})
                facts[-1]["right"] = isinstance(error, ValueError)
                continue
            width = getattr(value, "n_features_in_", rows.shape[1])
            labels = attempt(lambda v=value, w=width: v.predict(rows[:, :w]).tolist())
            facts.append({"type": describe(value)["type"], "labels": labels})
    ran = sorted(set(_ran))
    _ran.clear()
    return {"cases": facts, "ran": ran}


def _judge_load(facts, seed):
    centers, rows, (name, other), cases = _load_inputs(seed)
    expected = _nearest(centers, rows).tolist()
    facts = Facts(facts)
    case = by_case(facts.get("cases", []), cases)
    error = {key: fact.get("error", "") for key, fact in case.items()}
    text = {key: fact.get("text", "") for key, fact in case.items()}

    def loads(key):
        return case[key]["labels"].get("value", []) == expected

    # The example's clusters have any numbers: rows left and right of 4.5 get different ones.
    example = case["example"]["labels"].get("value", [])
    harmless = loads("model") and _same_groups(example, (rows[:, 0] > 4.5).tolist())
    hint = "Return the loaded model itself."
    told = [f"{error[key]}: {text[key]}" for key in ("model", "example") if error[key]]
    if told:
        hint = f"A harmless file was not loaded: {told[0].split(':')[0]}."
        if "pickl" in told[0].lower():
            hint = "A skops file is no pickle: read it with skops.io."
    elif "none" in (case["model"].kind, case["example"].kind):
        hint = "Nothing came back for a harmless file: end the function with return."
    yield Check(1, "loads a harmless file", harmless, hint)

    hint = "A file whose types are all allowed did not come back as it was saved."
    if "Untrusted" in error["one"]:
        hint = "skops refused a file whose types are all allowed: pass what is allowed on to skops."
    elif error["one"]:
        hint = "A file whose types are all allowed was refused."
    yield Check(1, "loads what is allowed", loads("one"), hint)

    names = {"none": [name], "two": [other], "both": [name, other], "stranger": ["Stranger"]}
    listed = {key: [wanted in text[key] for wanted in names[key]] for key in names}
    hint = "A type that is not allowed got in. Whose list do you trust, the caller's or the file's?"
    if any(case[key].kind == "none" for key in names):
        hint = "A file that is not allowed needs an error, not None: raise a ValueError."
    elif error["none"] and not error["two"]:
        hint = "One allowed type does not make the others allowed: all must be."
    elif all(error[key] for key in names):
        hint = "The error must be a ValueError that names every type that is not allowed."
        if any(listed["both"]) and not all(listed["both"]):
            hint = "The message names one type that is not allowed where there are two: name all."
    refused = {key: fact.get("right", False) for key, fact in case.items()}
    good = all(refused[key] and all(listed[key]) for key in names)
    yield Check(1, "refuses what is not allowed", good, hint)

    ran, strange = facts.get("ran", ["?"]), ("hostile", "text", "zip", "damaged")
    hint = "A file that is no skops file must raise a ValueError, too."
    if "unpickled" in ran:
        hint = "A file of another kind was unpickled, and its code ran: never fall back to pickle."
    elif "built" in ran:
        hint = "An object of a type that is not allowed was built before the check: check first."
    elif refused["hostile"] and refused["text"]:
        hint = "Not every zip file is a whole skops file: what skops raises then is no ValueError."
    safe = ran == [] and all(refused[key] for key in strange)
    yield Check(1, "runs nothing from a file, whatever it is", safe, hint)


# 05.3 predict_chunks


def _chunk_cases(seed):
    """Cases: the rows, the sizes of their chunks, the centres (none: the example's model)."""
    rng = np.random.default_rng([53, seed])
    cases = {"example": (np.ones((10, 2)), (6, 4), None)}
    for dtype in ("float32", "float64"):
        sizes = rng.integers(5, 25, int(rng.integers(3, 6)))
        centers, rows = _problem(rng, k=5, d=3, rows_each=-(-int(sizes.sum()) // 5))
        cases[dtype] = (rows[: sizes.sum()].astype(dtype), tuple(sizes.tolist()), centers)
    return mixed(rng, cases)


def _chunk_model(centers):
    if centers is None:
        return _example_model(np.array([[0, 0], [9, 9]], "float32"))
    return _model(centers.astype("float32"))


def _noted(block):
    """Pass a chunk of rows on, and note that it was computed."""
    if block.size:
        _ran.append("computed")
    return block


def _chunked(rows, sizes):
    """A Dask array of rows; each chunk that is computed is noted."""
    import dask.array as da

    X = da.from_array(rows, chunks=(sizes, rows.shape[1:]))
    return X.map_blocks(_noted, dtype=rows.dtype, meta=np.empty((0, 0), rows.dtype))


def _observe_chunks(function, seed):
    import dask
    import dask.array as da

    facts = []
    # Dask's own scheduler, in this process: a cluster of the student's is left alone.
    with dask.config.set(scheduler="sync"):
        for rows, sizes, centers in list(_chunk_cases(seed).values()):
            X, model = _chunked(rows, sizes), _chunk_model(centers)
            _ran.clear()
            try:
                labels = function(model, X)
            except ValueError as error:
                if "inference failed" not in str(error):
                    raise
                return {"guessed": True}
            kind = "none" if labels is None else type(labels).__name__
            facts.append({"early": len(_ran), "type": kind})
            if isinstance(labels, da.Array):
                facts[-1] |= {
                    "type": "lazy array",
                    "dtype": str(labels.dtype),
                    "chunks": [[float(size) for size in axis] for axis in labels.chunks],
                    "computed": attempt(lambda labels=labels: describe(labels.compute())),
                }
    _ran.clear()
    return {"cases": facts}


def _judge_chunks(facts, seed):
    facts, cases = Facts(facts), _chunk_cases(seed)
    hint = "Dask called the function on a made-up row to find out the dtype, and the model refused "
    hint += "that row: say which dtype comes out."
    yield Check(0, "tells Dask what comes out", not facts.get("guessed", False), hint)
    facts = by_case(facts.get("cases", []), cases)
    lazy = "That is a NumPy array: all rows came here. Return a lazy Dask array."
    answers = [*facts.values()]
    yield returns(0, answers, "lazy array", "a lazy Dask array", ndarray=lazy)
    hint = "Rows were computed while the array was made: map_blocks needs none of them."
    early = any(fact.get("early", 1) for fact in answers)
    yield Check(1, "stays lazy", not early, hint)

    chunks = [fact.get("chunks", []) for fact in answers]
    hint = "There is one label per row, so the labels have the rows' chunks along one axis."
    right = chunks == [[list(sizes)] for _, sizes, _ in cases.values()]
    if any(len(axes) == 2 for axes in chunks):
        hint = "The array claims to have columns. Say which axis is gone: drop_axis."
    elif right:
        hint = "Say which dtype comes out: scikit-learn's labels are int32."
    right = right and all(fact.get("dtype", "") == "int32" for fact in answers)
    yield Check(1, "says its chunks and its dtype", right, hint)

    computed = [fact["computed"] for fact in answers]
    values = [answer["value"] for answer in computed]
    expected = [
        (_example_labels(rows) if centers is None else _nearest(centers, rows)).tolist()
        for rows, _, centers in cases.values()
    ]
    hint = "The labels are not those that the model gives to these rows."
    if any("dtype mismatch" in answer.get("text", "") for answer in computed):
        hint = "It fails when computed: the rows need the dtype of the centres. Cast each chunk."
    elif any("error" in answer.raw for answer in computed):
        hint = "It fails when computed."
    elif any(value.get("dtype", "int32") != "int32" for value in values):
        hint = "The array claims to hold int32, and holds something else."
    good = [value.values for value in values] == expected
    good = good and all(value.get("dtype", "") == "int32" for value in values)
    yield Check(1, "labels every row", good, hint)


def _example_labels(rows):
    return _chunk_model(None).predict(rows.astype("float32"))


# 05.4 count_labels


def _count_cases(seed):
    """Cases: the model's centres (none: the example's model), the rows, the sizes of the chunks."""
    rng = np.random.default_rng([54, seed])
    k = int(rng.integers(4, 7))
    centers, _ = _problem(rng, k, d=3)
    # The last cluster has no rows, and most chunks lack the one before, too.
    labels = np.repeat(np.arange(k - 1), rng.integers(600, 1200, k - 1))
    rows = centers[labels] + rng.normal(0, 0.3, (len(labels), 3))
    sizes = [500] * (len(rows) // 500) + [len(rows) % 500] * bool(len(rows) % 500)
    cases = {
        "many": (centers, rows.astype("float32"), tuple(sizes)),
        "example": (None, np.ones((10, 1)), (6, 4)),
    }
    return mixed(rng, cases)


def _count_model(centers):
    return _example_model([[0.0], [9.0]]) if centers is None else _model(centers.astype("float32"))


def _bytes(result):
    """Size of what a computation brought here."""
    if isinstance(result, list | tuple):
        return sum(_bytes(item) for item in result)
    if isinstance(result, dict):
        return sum(_bytes(item) for item in result.values())
    return int(getattr(result, "nbytes", 8))


def _observe_count(function, seed):
    import dask
    from dask.local import get_sync

    arrived, facts = [], []

    def get(graph, keys, **options):
        result = get_sync(graph, keys, **options)
        arrived.append(_bytes(result))
        return result

    with dask.config.set(scheduler=get):
        for centers, rows, sizes in list(_count_cases(seed).values()):
            X, model = _chunked(rows, sizes), _count_model(centers)
            _ran.clear(), arrived.clear()
            try:
                counts = describe(function(model, X))
            except ValueError as error:
                if not any(words in str(error) for words in ("must match", "broadcast together")):
                    raise
                return {"lengths": True}
            facts.append(counts | {"arrived": sum(arrived), "blocks": len(_ran)})
    _ran.clear()
    return {"cases": facts}


def _judge_count(facts, seed):
    facts, cases = Facts(facts), _count_cases(seed)
    hint = "Arrays of different lengths met. np.bincount is as long as the largest label of its "
    hint += "chunk asks for, unless you say more."
    yield Check(0, "counts of chunks fit together", not facts.get("lengths", False), hint)
    facts = by_case(facts.get("cases", []), cases)
    answers, whole = [*facts.values()], "a NumPy array with one whole number per cluster"
    title = "returns an array of whole numbers"
    yield returns(0, answers, "array", whole, title=title,
                  plan="That is lazy: compute the counts, they are few.")  # fmt: skip
    hint = "Counts are whole numbers. Shares can be made of them, not the other way round."
    whole = all(answer.get("dtype", "").startswith(("int", "uint")) for answer in answers)
    yield Check(1, title, whole, hint)

    centers, rows, sizes = cases["many"]
    labels, k, many = _nearest(centers, rows), len(centers), facts["many"]
    expected, values = np.bincount(labels, minlength=k).tolist(), many.values
    hint = "One number per cluster is wanted."
    if many.shape == (len(rows),):
        hint = "These are the labels, one per row. Count them where they are."
    elif many.shape == (len(sizes), k):
        hint = "These are the counts of each chunk: add them up."
    elif many.shape == (k - 1,) and values == expected[:-1]:
        hint = "A cluster without rows is missing. It has a count, too: 0."
    shapes = [answer.shape for answer in answers]
    right = shapes == [(2 if c is None else k,) for c, *_ in cases.values()]
    yield Check(1, "has one number per cluster", right, hint)

    parts = np.split(labels, np.cumsum(sizes)[:-1])
    single = "That is a single chunk: add up the counts of all of them."
    hint = "These are not the numbers of rows."
    if sorted(values) == sorted(expected):
        hint = "The numbers are right, the clusters are mixed up."
    elif any(np.bincount(part, minlength=k).tolist() == values for part in parts):
        hint = single
    example = _count_model(None).predict(cases["example"][1])
    right = facts["example"].values == np.bincount(example, minlength=2).tolist()
    yield Check(1, "counts every row", values == expected and right, hint)

    hint = "The labels, or the rows, were brought here. Count each chunk where it is."
    arrived = {name: fact.get("arrived", 0) for name, fact in facts.items()}
    few = {name: 8 * len(s) * (2 if c is None else k) for name, (c, _, s) in cases.items()}
    if not all(arrived.values()):
        hint = "Dask computed nothing here: leave the choice of a scheduler to the caller."
    elif all(arrived[name] <= few[name] for name in cases):
        hint = "Rows were computed more than once: compute all counts in one go."
    once = all(facts[name].get("blocks", 0) == len(s) for name, (_, _, s) in cases.items())
    good = once and all(0 < arrived[name] <= few[name] for name in cases)
    yield Check(1, "brings only counts here", good, hint)


# 05.5 same_model


def _apart(centers):
    gaps = np.abs(centers[:, None] - centers[None]).max(axis=2)
    return gaps[~np.eye(len(centers), dtype=bool)].min()


SAME = {
    "itself",
    "other order",
    "last digits",
    "large tolerance",
    "example",
    "rolled",
}  # judge only


def _pairs(seed):
    """Pairs of centres with a tolerance; some pairs are drawn, and so is their order."""
    rng = np.random.default_rng([55, seed])
    k, d, tolerance = int(rng.integers(5, 8)), 3, 1e-3
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
    doubled = a.copy()  # centre 1 is gone, and its neighbour is there twice
    near = np.abs(np.delete(a, 1, axis=0) - a[1]).max(axis=1).argmin()
    neighbour = np.delete(a, 1, axis=0)[near]
    doubled[1] = neighbour + tolerance / 2 * np.sign(a[1] - neighbour)
    pairs = {
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
    more = {"rolled": (moved, moved[order]), "moved back": (moved[order], a)}
    drawn = [name for name in more if rng.random() < 0.5]
    return mixed(rng, pairs | {name: more[name] for name in drawn} | {"example": None})


def _two_models(pair):
    """The two models of a pair; the tolerance, if there is one."""
    from sklearn.cluster import KMeans

    if pair:
        return _model(pair[0]), _model(pair[1]), *pair[2:]
    rows = [[0.0], [9.0]]
    return [KMeans(2, n_init=1, random_state=n).fit(rows[:: 1 - 2 * n]) for n in (0, 1)]


def _observe_same(function, seed):
    calls = [_two_models(pair) for pair in _pairs(seed).values()]
    return [attempt(lambda call=call: describe(function(*call))) for call in calls]


def _judge_same(facts, seed):
    pairs = _pairs(seed)
    facts = by_case(facts, pairs)
    sizes = ("one more", "one less")
    errors = {name: fact.get("error", "") for name, fact in facts.items()}
    answers = {name: fact["value"] for name, fact in facts.items()}
    array = "That is one answer per number: is all of it equal?"
    raised = [errors[name] for name in pairs if errors[name] and name not in sizes]
    hint = f"It raised {', '.join(sorted(set(raised)))} for two models of the same size."
    if "AttributeError" in raised:
        hint = "It raised AttributeError. A converted model has no labels_ and no inertia_."
    yield Check(0, "compares two models of one size", not raised, hint)
    said = [answer for name, answer in answers.items() if not errors[name]]
    yield returns(0, said, "bool", "True or False", title="returns a boolean", array=array)
    hint = "The same came back for every pair: look at the centres of both models."
    yield Check(1, "returns a boolean", len({answer.value for answer in said}) == 2, hint)

    missed = [name for name in pairs if name in SAME and answers[name].value is not True]
    hint = "Models that are the same were told apart."
    if "other order" in missed:
        hint = "The same clusters in another order are the same model."
    elif "last digits" in missed:
        hint = "Centres may differ by less than the tolerance, which can change how they sort."
    elif missed == ["large tolerance"]:
        hint = "The tolerance is the caller's, not yours."
    yield Check(1, "finds models that are the same", not missed, hint)

    mixed_up = [name for name in pairs if name not in SAME and answers[name].value is not False]
    hint = "Every centre needs a partner of its own, and none may be left, in either model."
    if any(errors[name] for name in sizes):
        hint = "Models with different numbers of clusters differ: return False, raise nothing."
    elif "columns crossed" in mixed_up:
        hint = "A centre is a whole row: its coordinates stay together."
    elif "one moved" in mixed_up:
        hint = "A centre that moved by more than the tolerance makes another model."
    yield Check(1, "tells different models apart", not mixed_up, hint)


EXERCISES = [
    Exercise("05.1", "to_plain", 4, _observe_plain, _judge_plain),
    Exercise("05.2", "load_checked", 4, _observe_load, _judge_load),
    Exercise("05.3", "predict_chunks", 3, _observe_chunks, _judge_chunks),
    Exercise("05.4", "count_labels", 4, _observe_count, _judge_count),
    Exercise("05.5", "same_model", 3, _observe_same, _judge_same),
]
