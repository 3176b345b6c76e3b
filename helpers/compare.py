"""Are two results equal? The first differing rows, and an assertion.

>>> compare([1.0, 2.0, float("nan")], [1.0, 2.5, None])
1 of 3 rows differs; the first differences (positions count from 0):
 position actual expected
        1    2.0      2.5

Rows are compared in order, by position: sort both sides first if their order has no meaning. The
index and the name of a Series are not compared. A missing value (NaN, NA, None) equals a missing
value. 1, 1.0 and True are equal unless you ask for equal dtypes; 1 and "1" never are.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np
import pandas as pd

LISTED = 10
EXACT = 2**53  # from here on float64 does not hold every integer
DOUBLE = np.float64(1)  # times it, an array has float64 at least


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found; true in an ``if`` when both sides are equal.

    Attributes
    ----------
    equal : bool
    reason : str
        "equal", or what differs first: columns, shapes, dtypes or the number of rows that differ.
    rows : pandas.DataFrame
        The first differing values, ten at most: position, column (of a table or a 2-D array),
        actual, expected. Empty if all values are equal or could not be paired.
    """

    equal: bool
    reason: str
    rows: pd.DataFrame

    def __bool__(self):
        return self.equal

    def __str__(self):
        if self.rows.empty:
            return self.reason
        table = self.rows.copy()
        for side in ("actual", "expected"):  # repr shows what str hides: 1 or "1", 0.3 or 0.1 + 0.2
            table[side] = [repr(_to_python(value)) for value in table[side]]
        table = table.to_string(index=False, max_colwidth=60)
        return f"{self.reason}; the first differences (positions count from 0):\n{table}"

    __repr__ = __str__  # what a notebook shows


def compare(actual, expected, *, rtol=0.0, atol=0.0, check_dtype=False):
    """Compare two results, wherever they are: in this process, on a GPU, on Dask workers.

    Parameters
    ----------
    actual, expected : scalar, list, NumPy, pandas, CuPy or cuDF object, Dask array or table
        Of one or two dimensions. Dask collections are computed, GPU data copied to the host,
        whole. Two tables must have the same column names in the same order.
    rtol, atol : float
        Numbers are equal when ``abs(actual - expected) <= atol + rtol * abs(expected)``, as in
        `numpy.isclose`. The default, 0, asks for exact equality.
    check_dtype : bool
        Ask for equal dtypes, too. Lists and object columns count as what pandas infers for them.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If one side has no values to compare by position (a Future, a dict, a generator).
    ValueError
        If a tolerance is negative or not a number, or a side has more than two dimensions.

    Examples
    --------
    >>> table = pd.DataFrame({"month": [1, 2], "late": [0.21, 0.24]})
    >>> compare(table, table.assign(late=[0.21, 0.2400001]), rtol=1e-5).equal
    True
    >>> compare(table, table.rename(columns={"late": "delay"})).reason
    "columns differ: only actual has ['late'], only expected has ['delay']"
    >>> compare(table["late"].to_numpy(), [0.21, 0.24, 0.3]).reason
    'shapes differ: (2,) and (3,)'
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not isinstance(tolerance, numbers.Real) or not 0 <= tolerance < math.inf:
            raise ValueError(f"{name} must be 0 or a positive number, not {tolerance!r}")
    (left, shape, names), (right, other_shape, other_names) = (
        _as_frame(value, side) for value, side in ((actual, "actual"), (expected, "expected"))
    )
    differs = np.zeros(left.shape, dtype=bool)
    if names is not None and other_names is not None and names != other_names:
        reason = f"columns differ: {_differing_names(names, other_names)}"
    elif shape != other_shape:
        reason = f"shapes differ: {shape} and {other_shape}"
    elif check_dtype and (found := _differing_dtypes(left, right, shape)):
        reason = f"dtypes differ: {found}"
    else:
        for j in range(left.shape[1]):
            differs[:, j] = ~_same(left.iloc[:, j], right.iloc[:, j], rtol, atol)
        n = int(differs.any(axis=1).sum())
        reason = f"{n} of {len(left)} rows differ{'s' if n == 1 else ''}" if n else "equal"
        reason = "the values differ" if n and not shape else reason
    at = np.argwhere(differs)[:LISTED].tolist()
    rows = {"position": [i for i, _ in at]}
    if len(shape) == 2:
        rows["column"] = [left.columns[j] for _, j in at]
    for side, frame in (("actual", left), ("expected", right)):
        rows[side] = pd.Series([frame.iloc[i, j] for i, j in at], dtype=object)
    return Comparison(reason == "equal", reason, pd.DataFrame(rows))


def assert_equal(actual, expected, *, rtol=0.0, atol=0.0, check_dtype=False):
    """Raise an AssertionError that shows the differences, unless `compare` finds none.

    Examples
    --------
    >>> assert_equal([0.1 + 0.2], [0.3], atol=1e-12)
    >>> assert_equal(["EWR", "JFK"], ["EWR", "LGA"])
    Traceback (most recent call last):
    AssertionError: 1 of 2 rows differs; the first differences (positions count from 0):
     position actual expected
            1  'JFK'    'LGA'
    """
    found = compare(actual, expected, rtol=rtol, atol=atol, check_dtype=check_dtype)
    if not found:
        raise AssertionError(str(found))


def _as_frame(value, name):
    """Return the values as a host DataFrame, their shape, and a table's column names or None."""
    value = _on_host(value, name)
    if isinstance(value, pd.DataFrame):
        return value, value.shape, list(value.columns)
    if isinstance(value, range | list | tuple):
        items = [_on_host(item, f"{name}[{i}]") for i, item in enumerate(value)]
        value = np.array(items, dtype=object)  # object: [1, "1"] and [2**60, None] stay as they are
    elif pd.api.types.is_scalar(value):
        value = np.array(value, dtype=object)
    arrays = pd.Series | pd.Index | pd.api.extensions.ExtensionArray | np.ndarray
    if (
        not isinstance(value, arrays)
        or isinstance(value, pd.MultiIndex)
        or getattr(value.dtype, "names", None)
    ):
        raise TypeError(
            f"{name} is a {type(value).__name__} and has no plain rows to compare: convert it "
            "first, for example with list(...), pandas.DataFrame(...), .to_frame() or .toarray()"
        )
    if value.ndim > 2:
        raise ValueError(
            f"{name} has {value.ndim} dimensions, compare takes two at most: "
            f"reshape it first, for example with .reshape({len(value)}, -1)"
        )
    return pd.DataFrame(value if value.ndim else value.reshape(1)), value.shape, None


def _on_host(value, name):
    from helpers.backend import to_host

    kinds = {cls.__name__ for cls in type(value).__mro__}
    if "Future" in kinds:
        raise TypeError(f"{name} is a Future, not a result: call .result() first")
    if "Delayed" in kinds:
        raise TypeError(f"{name} is a delayed task, not a result: call .compute() first")
    return to_host(value)


def _differing_names(names, others):
    only, other_only = ([n for n in a if n not in b] for a, b in ((names, others), (others, names)))
    if only or other_only:
        return f"only actual has {only}, only expected has {other_only}"
    return f"the order of {names} and {others}"


def _differing_dtypes(left, right, shape):
    dtypes = left.infer_objects().dtypes, right.infer_objects().dtypes
    for column, dtype, other in zip(left.columns, *dtypes, strict=True):
        if dtype != other:
            return f"column {column!r} is " * (len(shape) == 2) + f"{dtype} and {other}"


def _same(left, right, rtol, atol):
    """Compare two columns of one length; returns a boolean array."""
    missing, other_missing = left.isna().to_numpy(), right.isna().to_numpy()
    same = missing & other_missing
    here = np.flatnonzero(~missing & ~other_missing)
    a, b = left.to_numpy()[here], right.to_numpy()[here]
    one_by_one = range(len(here))
    if a.dtype.kind in "biufc" and b.dtype.kind in "biufc":
        with np.errstate(all="ignore"):
            same[here] = np.isclose(a, b, rtol=rtol, atol=atol)
        # isclose subtracts in float64, where 2**53 + 1 is 2**53
        large = (np.abs(a * DOUBLE) >= EXACT) | (np.abs(b * DOUBLE) >= EXACT)
        one_by_one = np.flatnonzero(large) if {a.dtype.kind, b.dtype.kind} & set("iu") else ()
    else:
        a, b = (column.astype(object).to_numpy()[here] for column in (left, right))
    for i in one_by_one:
        same[here[i]] = _same_value(_to_python(a[i]), _to_python(b[i]), rtol, atol)
    return same


def _same_value(a, b, rtol, atol):
    try:
        if a == b:
            return True
        if not (isinstance(a, numbers.Number) and isinstance(b, numbers.Number) and (rtol or atol)):
            return False
        # Python's integers subtract exactly, whatever their size
        a, b = (int(v) if isinstance(v, float) and v.is_integer() else v for v in (a, b))
        return bool(abs(b) != math.inf and abs(a - b) <= atol + rtol * abs(b))
    except (TypeError, ValueError, OverflowError) as error:
        kinds = f"{type(a).__name__} and {type(b).__name__}"
        raise TypeError(f"cannot compare values of types {kinds}: {error}") from error


def _to_python(value):
    return value.item() if isinstance(value, np.generic) else value
