"""One table of inputs × methods × kinds: the same answer or the same message for each kind."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.kmeans import DistributedKMeans, sse

pytestmark = pytest.mark.usefixtures("here")
ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
NAMES = ["a", "b", "c"]
KINDS = ("numpy", "pandas", "array", "odd chunks", "table")
METHODS = ("fit", "predict", "transform", "score", "sse")


def with_one(value, dtype="f4"):
    X = ROWS.astype(dtype)
    X[33, 1] = value
    return X


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


INPUTS = {
    "good": ROWS,
    "float64": ROWS.astype("f8"),
    "Fortran order": np.asfortranarray(ROWS),
    "a view with steps": np.repeat(ROWS, 2, axis=0)[::2, ::-1],
    "read-only": read_only(ROWS),
    "int": (ROWS * 10).astype("i8"),
    "uint8": (ROWS * 10).clip(0).astype("u1"),
    "bool": ROWS > 0,
    "float16": ROWS.astype("f2"),
    "another byte order": ROWS.astype(ROWS.dtype.newbyteorder()),
    "objects": ROWS.astype(object),
    "one row": ROWS[:1],
    "NaN": with_one(np.nan),
    "infinite": with_one(np.inf),
    "text": with_one("a", object),
    "complex": ROWS.astype("c8"),
    "no row": ROWS[:0],
    "two columns": ROWS[:, :2],
    "four columns": np.hstack([ROWS, ROWS[:, :1]]),
    "one dimension": ROWS[:, 0],
    "three dimensions": ROWS[:, :, None],
}


def as_kind(X, kind, names=None):
    """The rows as this kind; None if there is no such thing."""
    if kind == "numpy":
        return X
    chunks = (20 if len(X) else -1, *(-1 for _ in X.shape[1:]))
    array = da.from_array(X, chunks=chunks)
    if kind == "array":
        return array
    if X.ndim != 2:
        return None
    table = pd.DataFrame(X, columns=names or [f"c{i}" for i in range(X.shape[1])])
    if kind == "pandas":
        return table
    if kind == "table":  # an empty one is not known to be empty
        return dd.from_pandas(table, npartitions=3) if len(X) else None
    # Empty ones, unknown sizes, and rows cut in two.
    odd = da.concatenate([array[:0], array, array[:0]]).rechunk({1: 2})
    return odd[da.ones(len(X), chunks=odd.chunks[0], dtype=bool)] if len(X) else None


def value(found):
    found = found.compute() if hasattr(found, "compute") else found
    return np.asarray(found, "f8")


def call(method, X, model, weights=None):
    """What comes back, or the message; and the warnings' first words."""
    new = DistributedKMeans(n_clusters=3, random_state=0)
    calls = {
        "fit": lambda: new.fit(X, sample_weight=weights).labels_,
        "predict": lambda: model.predict(X),
        "transform": lambda: model.transform(X),
        "score": lambda: model.score(X, sample_weight=weights),
        "sse": lambda: sse(X, model.cluster_centers_),
    }
    try:
        return value(calls[method]())
    except (ValueError, TypeError) as error:
        text = str(error).splitlines()[0].rpartition("partition ")[2].partition(": ")
        text = text[2] if text[0].isdigit() else "".join(text)  # without the partition's number
        return type(error).__name__ + ": " + text.replace("np.str_('a')", "'a'")


@pytest.fixture(scope="module")
def model():
    return DistributedKMeans(n_clusters=3, random_state=0).fit(ROWS)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has feature names|X does not have valid feature")
        yield


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_gives_the_same_answer_or_the_same_message(model, name, method):
    expected = call(method, INPUTS[name], model)
    for kind in KINDS[1:]:
        X = as_kind(INPUTS[name], kind)
        if X is None:
            continue
        found = call(method, X, model)
        assert isinstance(found, str) == isinstance(expected, str), (kind, found, expected)
        if isinstance(expected, str):
            assert found == expected, kind
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize(
    "name, message",
    [
        ("NaN", "ValueError: Input X contains NaN."),
        ("infinite", "ValueError: Input X contains infinity"),
        ("text", "ValueError: could not convert string to float: 'a'"),
        ("complex", "ValueError: Complex data not supported"),
        ("no row", "ValueError: Found array with 0 sample(s)"),
        ("two columns", "ValueError: X has 2 features, but DistributedKMeans is expecting 3"),
        ("one dimension", "ValueError: Expected 2D array, got 1D array instead"),
    ],
)
def test_what_is_refused_and_how(model, name, message):
    assert call("predict", INPUTS[name], model).startswith(message)


def test_what_scikit_learn_takes_is_taken(model):
    refused = {name for name, X in INPUTS.items() if isinstance(call("predict", X, model), str)}
    assert refused == set(list(INPUTS)[list(INPUTS).index("NaN") :])


@pytest.mark.parametrize("dtype", ["float32[pyarrow]", "Float64", "Int64", "int64[pyarrow]"])
@pytest.mark.parametrize("missing", [False, True])
def test_tables_of_nullable_dtypes(model, dtype, missing):
    table = pd.DataFrame((ROWS * 100).astype("i4"), columns=NAMES).astype(dtype)
    if missing:
        table.loc[33, "b"] = pd.NA
    for method in METHODS:
        expected = call(method, table, model)
        found = call(method, dd.from_pandas(table, npartitions=3), model)
        assert isinstance(expected, str) == missing
        assert (found == expected) if missing else np.allclose(found, expected, rtol=1e-4)
    if missing:
        with pytest.raises(ValueError, match="partition 1: Input X contains NaN"):
            model.score(dd.from_pandas(table, npartitions=3))


# Weights

W = np.random.default_rng(1).integers(1, 5, 60).astype("f4")
WEIGHTS = {
    "good": W,
    "float64": W.astype("f8"),
    "int": W.astype("i8"),
    "a number": 2.5,
    "some zero": np.where(np.arange(60) < 20, 0, W),
    "NaN": np.where(np.arange(60) == 33, np.nan, W),
    "negative": np.where(np.arange(60) == 33, -1, W),
    "all zero": 0 * W,
    "too short": W[:50],
    "a column": W[:, None],
}


def weight_kinds(weights):
    yield weights
    if not np.isscalar(weights):
        yield da.from_array(weights, chunks=20)
        yield pd.DataFrame(weights) if weights.ndim == 2 else pd.Series(weights)


@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_every_kind(model, name, method):
    expected = call(method, ROWS, model, WEIGHTS[name])
    refused = name in list(WEIGHTS)[list(WEIGHTS).index("NaN") :]
    assert isinstance(expected, str) == refused, expected
    for kind in ("numpy", "array", "table"):
        for weights in weight_kinds(WEIGHTS[name]):
            X = as_kind(ROWS, kind)
            found = call(method, X, model, weights)
            if refused:
                part = "weight" if name in ("too short", "a column") else expected
                assert part in found, (kind, type(weights), found)
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=kind)


def test_weights_in_other_partitions():
    host = DistributedKMeans(n_clusters=3, random_state=0).fit(ROWS, sample_weight=W)
    other = da.from_array(W, chunks=7)
    ours = DistributedKMeans(n_clusters=3, random_state=0)
    ours.fit(da.from_array(ROWS, chunks=20), sample_weight=other)
    assert ours.inertia_ == pytest.approx(host.inertia_, rel=1e-4)
    table = dd.from_pandas(pd.DataFrame(ROWS, columns=NAMES), npartitions=3)
    with pytest.raises(ValueError, match="X has 3 partitions, sample_weight has 9: give them"):
        DistributedKMeans(n_clusters=3).fit(table, sample_weight=other)
    series = dd.from_pandas(pd.Series(W), npartitions=3)
    ours.fit(table, sample_weight=series)
    assert ours.inertia_ == pytest.approx(host.inertia_, rel=1e-4)


@pytest.mark.parametrize("kind", ["numpy", "array", "table"])
def test_weights_in_the_place_of_y_are_spoken_of(kind):
    X = as_kind(ROWS, kind)
    for method in ("fit", "fit_predict", "fit_transform", "score"):
        model = DistributedKMeans(n_clusters=3, random_state=0).fit(ROWS)
        with pytest.warns(UserWarning, match="y is ignored.*sample_weight="):
            getattr(model, method)(X, W)
        with warnings.catch_warnings(action="error"):
            warnings.filterwarnings("ignore", "X has feature names|X does not have valid feature")
            getattr(model, method)(X, np.arange(60))  # labels, as in a pipeline


# Names of columns

TABLE = pd.DataFrame(ROWS, columns=NAMES)
TABLES = {"pandas": TABLE, "table": dd.from_pandas(TABLE, npartitions=3)}


@pytest.mark.parametrize("fitted", TABLES)
@pytest.mark.parametrize("asked", TABLES)
def test_names_are_compared(fitted, asked):
    model = DistributedKMeans(n_clusters=3, random_state=0).fit(TABLES[fitted])
    assert model.feature_names_in_.tolist() == NAMES
    other = TABLES[asked]
    renamed = other.rename(columns={"a": "x"})
    for method in ("predict", "transform", "score"):
        with pytest.raises(ValueError, match="(?s)must be in the same order as they were in fit"):
            getattr(model, method)(other[["b", "a", "c"]])
        with pytest.raises(ValueError, match="(?s)unseen at fit time.*x"):
            getattr(model, method)(renamed)
        with pytest.raises(ValueError, match="(?s)seen at fit time, yet now missing.*c"):
            getattr(model, method)(other[["a", "b"]])
        getattr(model, method)(other)


def test_names_are_those_of_the_last_fit():
    model = DistributedKMeans(n_clusters=3).fit(TABLE)
    others = TABLES["table"].rename(columns=dict(zip(NAMES, "xyz", strict=True)))
    assert model.fit(others).feature_names_in_.tolist() == ["x", "y", "z"]
    assert not hasattr(model.fit(da.from_array(ROWS, chunks=20)), "feature_names_in_")
    assert model.fit(TABLES["table"]).feature_names_in_.tolist() == NAMES
    assert not hasattr(model.fit(ROWS), "feature_names_in_")


def test_names_of_a_given_start_are_compared():
    start = TABLE[["b", "a", "c"]].iloc[:3]
    for X in TABLES.values():
        with pytest.raises(ValueError, match="same order as they were in fit"):
            DistributedKMeans(n_clusters=3, init=start).fit(X)
        DistributedKMeans(n_clusters=3, init=start[NAMES]).fit(X)


# Tables in, tables out

INDEX = pd.Index(range(100, 160), name="row")


def test_a_table_gives_a_series_and_a_table_with_its_index():
    table = dd.from_pandas(TABLE.set_index(INDEX), npartitions=3)
    model = DistributedKMeans(n_clusters=3, random_state=0).fit(table)
    for labels in (model.labels_, model.predict(table), model.predict(table, delayed=False)):
        assert isinstance(labels, dd.Series) and labels.divisions == table.divisions
        assert labels.dtype == labels.compute().dtype == "int32"
        pd.testing.assert_index_equal(labels.compute().index, INDEX)
    np.testing.assert_array_equal(model.labels_, model.predict(TABLE))
    distances = model.transform(table)
    assert isinstance(distances, dd.DataFrame) and list(distances.columns) == [0, 1, 2]
    np.testing.assert_allclose(distances.compute(), model.transform(TABLE), rtol=1e-6)
    assert distances.compute().dtypes.tolist() == ["float32"] * 3
    assert table.assign(kind=labels).compute()["kind"].notna().all()


def test_other_collections_are_refused():
    import dask.bag as db

    with pytest.raises(TypeError, match="X is a Bag: give a Dask array or a Dask table"):
        DistributedKMeans().fit(db.from_sequence([1, 2]))
    unknown = da.from_delayed(da.ones(1).to_delayed()[0], (np.nan, np.nan), "f8")
    with pytest.raises(ValueError, match="number of columns is not known"):
        DistributedKMeans().fit(unknown)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    method=st.sampled_from(METHODS),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    at=st.tuples(st.integers(0, 59), st.integers(0, 2)),
)
def test_no_bad_value_gets_through_anywhere(here, kind, method, bad, at):
    X = ROWS.copy()
    X[at] = bad
    model = DistributedKMeans.from_sklearn(type("Model", (), {"cluster_centers_": ROWS[:3]}))
    assert "Input X contains" in call(method, as_kind(X, kind), model)
