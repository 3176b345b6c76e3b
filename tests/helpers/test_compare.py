"""helpers.compare: what counts as equal, what is listed, what is refused."""

import concurrent.futures
import datetime
import math
import subprocess
import sys

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.compare import assert_equal, compare

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INT64,
    st.floats(),
    st.text(max_size=3),
    st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
)
FEW = st.sampled_from([None, math.nan, 0, 1, 1.0, True, 2**53, 2**53 + 1, 2.0**53, "1", "a", ""])
FLOATS = st.floats(width=32)


class FakeCupyArray:
    """No GPU here: it only has the two attributes by which a CuPy array is known."""

    __cuda_array_interface__ = {}

    def __init__(self, host):
        self.host = np.asarray(host)

    def get(self):
        return self.host


class FakeCudf:
    """No GPU here: it only has the method by which a cuDF object is known."""

    def __init__(self, host):
        self.host = host

    def to_pandas(self):
        return self.host


def flights():
    return pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "LGA"],
            "delay": [11.0, None, -3.5],
            "day": pd.to_datetime(["2013-01-01", "2013-01-02", None]),
        }
    )


# --- equal -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(SCALARS, max_size=12))
def test_a_list_equals_itself(values):
    found = compare(values, list(values))
    assert found.equal and found.reason == "equal" and found.rows.empty


@settings(deadline=None)
@given(SCALARS)
def test_a_scalar_equals_itself(value):
    assert compare(value, value).equal


@pytest.mark.parametrize("rtol", [0, 1e-6])
@settings(deadline=None)
@given(values=st.lists(st.floats() | INT64, max_size=12))
def test_a_column_equals_itself(values, rtol):
    for column in (pd.Series(values), np.array(values, dtype=float), np.array(values, object)):
        assert compare(column, column.copy(), rtol=rtol, check_dtype=True).equal


@settings(deadline=None)
@given(st.lists(st.tuples(FEW, FEW), max_size=6))
def test_equality_is_symmetric(pairs):
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = compare(left, right), compare(right, left)
    assert there.equal == back.equal
    assert there.rows["position"].tolist() == back.rows["position"].tolist()


@settings(deadline=None)
@given(st.lists(INT64, min_size=1, max_size=8), st.data())
def test_integers_and_floats_are_compared_as_python_does(integers, data):
    floats = [data.draw(st.sampled_from([float(i), i + 0.5])) for i in integers]
    truth = [i != f for i, f in zip(integers, floats, strict=True)]
    found = compare(np.array(integers, dtype="int64"), np.array(floats))
    assert found.rows["position"].tolist() == np.flatnonzero(truth).tolist()


@settings(deadline=None)
@given(
    st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=8),
    st.sampled_from([0, 1e-3, 0.5]),
    st.sampled_from([0, 1e-3, 2.0]),
)
def test_tolerances_are_those_of_numpy(pairs, rtol, atol):
    left, right = np.array(pairs).T
    with np.errstate(all="ignore"):
        truth = np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
    wrong = np.flatnonzero(~truth).tolist()
    for a, b in ((left, right), (left.tolist(), right.tolist())):
        found = compare(a, b, rtol=rtol, atol=atol)
        assert found.rows["position"].tolist() == wrong and found.equal == truth.all()


@pytest.mark.parametrize(
    "other",
    [
        flights().set_index("origin", drop=False),
        flights().astype({"origin": object}),
        FakeCudf(flights()),
        dd.from_pandas(flights(), npartitions=2),
    ],
    ids=["other index", "object dtype", "fake cuDF", "Dask"],
)
def test_tables_of_every_kind(other):
    assert compare(other, flights()).equal
    changed = flights()
    changed.loc[1, "origin"] = "ATL"
    assert compare(other, changed).rows["position"].tolist() == [1]


@pytest.mark.parametrize(
    "other",
    [
        range(4),
        (0, 1, 2, 3),
        np.arange(4, dtype="uint8"),
        np.arange(4.0, dtype="float16"),
        pd.Series(range(4), index=list("abcd"), name="n"),
        pd.Index(range(4)),
        pd.array([0, 1, 2, 3]),
        pd.Series(range(4), dtype="int64[pyarrow]"),
        pd.Series(range(4)).astype("category"),
        da.arange(4, chunks=2),
        dd.from_pandas(pd.Series(range(4)), npartitions=2),
        FakeCupyArray(range(4)),
        [FakeCupyArray(i) for i in range(4)],
    ],
    ids=lambda other: type(other).__name__,
)
def test_columns_of_every_kind(other):
    assert compare(other, [0, 1, 2, 3]).equal
    assert compare([0, 1, 5, 3], other).rows["position"].tolist() == [2]


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT, np.datetime64("NaT")])
def test_missing_values_are_equal_only_to_missing_values(missing):
    assert compare([missing, "a"], [None, "a"]).equal
    assert compare(missing, None).equal
    for value in (0, "", "nan", False, math.inf):
        assert not compare([missing], [value]).equal


def test_missing_values_of_columns():
    whole = pd.Series([1, None], dtype="Int64")
    assert compare(whole, np.array([1, np.nan])).equal
    assert compare(np.ma.array([1, 7], mask=[False, True]), whole).equal
    assert not compare(whole, np.array([np.nan, 1])).equal
    assert compare([2**60 + 1, None], [2**60, None]).rows["position"].tolist() == [0]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (2**53 + 1, 2.0**53),
        (np.array([2**53 + 1]), np.array([2.0**53])),
        (np.array([2**63 - 1]), np.array([2.0**63])),
        (np.array([-1]), np.array([2**64 - 1], dtype="uint64")),
        (pd.Series([2**60 + 1]), [2**60]),
    ],
)
def test_huge_integers_are_not_rounded(a, b):
    for left, right in ((a, b), (b, a)):
        assert not compare(left, right).equal
        assert not compare(left, right, atol=0.5).equal
    assert compare(a, a, atol=0.5).equal


def test_huge_integers_within_the_tolerance():
    assert compare(np.array([2**53 + 1]), np.array([2.0**53]), atol=1).equal
    assert compare([2**60 + 2**10], [2**60], rtol=1e-12).equal


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1", 1),
        ("a", "A"),
        ("a", b"a"),
        (0.1 + 0.2, 0.3),
        (np.float32(0.1), 0.1),
        (1.0, math.inf),
        (-math.inf, math.inf),
        (datetime.datetime(2013, 1, 1), datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC)),
        (np.datetime64("2013-01-01", "ns"), 1356998400 * 10**9),
        (np.timedelta64(1, "ns"), 1),
    ],
)
def test_values_that_differ(a, b):
    for left, right in ((a, b), (b, a), ([a], [b])):
        assert not compare(left, right).equal
    assert compare(a, b).reason == "the values differ"


def test_dates_of_other_units_and_types():
    day = np.array(["2013-01-01"], dtype="datetime64[D]")
    for same in (
        pd.to_datetime(["2013-01-01"]),
        [datetime.datetime(2013, 1, 1)],
        day.astype("M8[ns]"),
    ):
        assert compare(day, same).equal
    assert not compare(day, pd.to_datetime(["2013-01-01 00:00:01"])).equal


def test_text_has_no_tolerance():
    assert not compare(["a", 1.0], ["b", 1.4], atol=9).equal
    assert compare(["a", 1.0], ["a", 1.4], atol=9).equal
    assert not compare(["a", 1.0], ["a", math.inf], rtol=0.5).equal


# --- what is listed ----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5) | st.text(max_size=2), min_size=1, max_size=40), st.data())
def test_exactly_the_changed_values_are_listed(values, data):
    places = data.draw(st.sets(st.integers(0, len(values) - 1)))
    changed = [v * 2 + type(v)("1") if i in places else v for i, v in enumerate(values)]
    changed = [v if i not in places or v != values[i] else v + 1 for i, v in enumerate(changed)]
    found = compare(changed, values)
    listed = sorted(places)[:10]
    assert found.equal == (not places)
    assert len(found.rows) == min(10, len(places))
    assert found.rows["position"].tolist() == listed
    assert found.rows["actual"].tolist() == [changed[i] for i in listed]
    assert found.rows["expected"].tolist() == [values[i] for i in listed]


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_one_changed_cell_of_a_table(n, m, data):
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, m - 1))
    array = np.arange(n * m, dtype=float).reshape(n, m)
    changed = array.copy()
    changed[i, j] += 0.25
    assert compare(changed, array).rows.values.tolist() == [[i, j, i * m + j + 0.25, i * m + j]]
    names = list("abcdef")[:m]
    tables = pd.DataFrame(changed, columns=names), pd.DataFrame(array, columns=names)
    found = compare(*tables)
    assert found.rows[["position", "column"]].values.tolist() == [[i, names[j]]]
    assert found.reason == f"1 of {n} rows differs"
    assert compare(*tables, atol=0.25).equal


def test_rows_are_counted_once_and_values_are_listed():
    found = compare(np.ones((20, 3)), np.zeros((20, 3)))
    assert found.reason == "20 of 20 rows differ" and len(found.rows) == 10
    assert found.rows.iloc[-1].tolist() == [3, 0, 1.0, 0.0]


def test_the_text_shows_what_differs():
    found = compare([1, "1", 0.3, 4], ["1", "1", 0.1 + 0.2, 4])
    lines = str(found).splitlines()
    assert lines[0] == "2 of 4 rows differ; the first differences (positions count from 0):"
    assert [line.split() for line in lines[1:]] == [
        ["position", "actual", "expected"],
        ["0", "1", "'1'"],
        ["2", "0.3", "0.30000000000000004"],
    ]
    assert repr(found) == str(found) and not bool(found)
    assert str(compare(np.ones(1), np.zeros(1))).split()[-3:] == ["0", "1.0", "0.0"]
    assert str(compare([1], [1])) == "equal" and bool(compare([1], [1]))


def test_a_comparison_cannot_be_changed():
    with pytest.raises(AttributeError):
        compare(1, 2).equal = True


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), "shapes differ: (3, 2) and (4, 2)"),
        ([1, 2], [1, 2, 3], "shapes differ: (2,) and (3,)"),
        (3, [3], "shapes differ: () and (1,)"),
        ([[1], [2]], [1, 2], "shapes differ: (2, 1) and (2,)"),
        (np.zeros((0, 2)), np.zeros((0, 3)), "shapes differ: (0, 2) and (0, 3)"),
        (
            pd.DataFrame({"a": [1], "b": [2]}),
            pd.DataFrame({"a": [1], "c": [2]}),
            "columns differ: only actual has ['b'], only expected has ['c']",
        ),
        (
            pd.DataFrame({"a": [1], "b": [1]}),
            pd.DataFrame({"b": [1], "a": [1]}),
            "columns differ: the order of ['a', 'b'] and ['b', 'a']",
        ),
    ],
)
def test_sides_that_cannot_be_paired(a, b, reason):
    found = compare(a, b)
    assert not found.equal and found.reason == reason == str(found) and found.rows.empty


@pytest.mark.parametrize(
    "empty", [[], np.zeros((0, 2)), np.zeros((3, 0)), pd.DataFrame(), pd.Series([], dtype=float)]
)
def test_nothing_equals_nothing(empty):
    assert compare(empty, empty).reason == "equal"


def test_dtypes_count_only_when_asked_for():
    small, large = pd.DataFrame({"a": np.float32([1, 2])}), pd.DataFrame({"a": [1.0, 2.0]})
    assert compare(small, large).equal
    found = compare(small, large, check_dtype=True)
    assert found.reason == "dtypes differ: column 'a' is float32 and float64" and found.rows.empty
    assert compare([1], [1.0], check_dtype=True).reason == "dtypes differ: int64 and float64"
    assert not compare(np.float32(1), 1.0, check_dtype=True).equal
    assert compare(True, 1).equal and not compare(True, 1, check_dtype=True).equal
    assert compare([1, 2], np.array([1, 2]), check_dtype=True).equal


def test_assert_equal():
    assert assert_equal([1.0], [1.1], atol=0.2) is None
    assert assert_equal([1.0], [1.1], rtol=0.2) is None
    with pytest.raises(AssertionError) as raised:
        assert_equal([1.0], [1.1], atol=0.05)
    assert str(raised.value) == str(compare([1.0], [1.1]))
    with pytest.raises(AssertionError, match="int64 and float64"):
        assert_equal([1], [1.0], check_dtype=True)
    with pytest.raises(AssertionError):
        assert_equal([100.0], [101.0], rtol=0.001)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((i for i in range(3)), "is a generator .* list"),
        ({"a": 1}, "is a dict "),
        ({1, 2}, "is a set "),
        (pd.MultiIndex.from_tuples([(1, 2)]), r"MultiIndex .*\.to_frame"),
        (np.zeros(2, dtype="i4,f4"), "DataFrame"),
        (concurrent.futures.Future(), r"is a Future.* call \.result\(\) first"),
        (dask.delayed(1) + 1, r"is a delayed task.* call \.compute\(\) first"),
        ([1, dask.delayed(1)], r"\[1\] is a delayed task"),
        ([np.zeros(2), np.zeros(3)], "cannot compare values of types ndarray and ndarray"),
        (print, "is a builtin_function_or_method"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_has_no_rows_is_refused(bad, message):
    with pytest.raises(TypeError, match=message):
        compare(bad, bad)
    if "cannot compare" not in message:
        with pytest.raises(TypeError, match="expected"):
            compare([1, 2], bad)


def test_a_future_of_a_cluster_is_refused():
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "n_workers": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.Client(**options) as client:
        future = client.submit(abs, -3)
        with pytest.raises(TypeError, match=r"actual is a Future.* \.result\(\) first"):
            compare(future, 3)
        with pytest.raises(TypeError, match=r"actual\[0\] is a Future"):
            compare([future], [3])
        assert compare(future.result(), 3).equal


@pytest.mark.parametrize("dimensions", [3, 4])
def test_more_than_two_dimensions_are_refused(dimensions):
    with pytest.raises(
        ValueError, match=rf"actual has {dimensions} dimensions.* \.reshape\(1, -1\)"
    ):
        compare(np.zeros((1,) * dimensions), 0)


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf, "0.1", None])
def test_bad_tolerances_are_refused(name, tolerance):
    with pytest.raises(ValueError, match=f"{name} must be 0 or a positive number"):
        compare(1, 1, **{name: tolerance})


def test_importing_it_is_cheap():
    code = (
        "import sys, numpy, helpers.compare as c; assert c.compare(numpy.ones(3), [1, 1, 1])\n"
        "print(sorted({'dask', 'distributed', 'matplotlib', 'sklearn', 'cudf'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr


LAYOUTS = {
    "column by column": np.asfortranarray,
    "every second row of another": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards and back": lambda X: X[::-1].copy()[::-1],
    "big-endian": lambda X: X.astype(">f8"),
    "half": lambda X: X.astype("float16"),
    "long": lambda X: X.astype("longdouble"),
    "whole numbers": lambda X: X.astype("int8"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("other", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_and_dtype_make_no_difference(other):
    X = np.arange(12.0).reshape(4, 3)
    changed = X.copy()
    changed[2, 1] = 0
    for a, b in ((X, other(X)), (other(X), X), (other(X), other(X))):
        assert compare(a, b).equal
        assert not compare(changed, b).equal
