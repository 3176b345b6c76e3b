"""Describe what a student's function returned, as plain JSON that can leave the kernel."""

import math
import numbers

import numpy as np
import pandas as pd

from helpers.backend import to_host

LIMIT = 100_000  # values; a longer result is described without its values


def describe(value):
    """Describe a returned value: its type, its shape, its values.

    Parameters
    ----------
    value : object
        Anything. GPU objects are described like their CPU twins; a Dask collection is described
        as lazy, with its partitions, and computed.

    Returns
    -------
    dict
        ``"type"`` is one of none, bool, int, float, str, list, dict, array, series, table, dask
        array, dask series, dask table, delayed, future, function, or the name of the type. The
        other keys depend on it.

    Examples
    --------
    >>> describe(2.5)
    {'type': 'float', 'value': 2.5}
    >>> describe([1, 2])["length"]
    2
    """
    if hasattr(value, "__dask_graph__"):
        return _describe_dask(value)
    value = to_host(value)
    if isinstance(value, pd.DataFrame):
        columns = {str(name): _values(value[name]) for name in value.columns}
        kinds = {str(name): str(dtype) for name, dtype in value.dtypes.items()}
        return {"type": "table", "rows": len(value), "dtypes": kinds, "columns": columns}
    if isinstance(value, pd.Series):
        index = _values(value.index)
        facts = {"type": "series", "dtype": str(value.dtype), "length": len(value)}
        return facts | {"index": index, "values": _values(value)}
    if isinstance(value, np.ndarray) and value.ndim:
        facts = {"type": "array", "dtype": str(value.dtype), "shape": list(value.shape)}
        return facts | {"values": _values(value)}
    return _describe_plain(value)


def close(value, expected, rtol=1e-4, atol=1e-6):
    """Whether a number, or a list or array of numbers, equals what was expected, nearly.

    NaN equals NaN; None, text and lists of another length are not close to anything.

    Examples
    --------
    >>> close([1.0, 2.00001], [1, 2])
    True
    """
    value, expected = (v.tolist() if isinstance(v, np.ndarray) else v for v in (value, expected))
    if isinstance(expected, list | tuple):
        same = isinstance(value, list | tuple) and len(value) == len(expected)
        return same and all(close(v, e, rtol, atol) for v, e in zip(value, expected, strict=True))
    if not isinstance(value, int | float) or not isinstance(expected, int | float):
        return value == expected
    try:
        if math.isnan(expected) or math.isnan(value):
            return math.isnan(expected) and math.isnan(value)
        return math.isclose(value, expected, rel_tol=rtol, abs_tol=atol)
    except OverflowError:  # a whole number beyond every float
        return value == expected


def _describe_plain(value):
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
        value = value.item()
    if value is None:
        return {"type": "none"}
    if isinstance(value, bool):
        return {"type": "bool", "value": bool(value)}
    if isinstance(value, numbers.Integral):
        return {"type": "int", "value": int(value)}
    if isinstance(value, numbers.Real):
        return {"type": "float", "value": float(value)}
    if isinstance(value, str):
        return {"type": "str", "value": str(value)[:LIMIT]}
    if isinstance(value, list | tuple):
        items = [describe(item) for item in value[:1000]]
        return {"type": "list", "length": len(value), "items": items}
    if isinstance(value, dict):
        items = {str(key): describe(item) for key, item in list(value.items())[:1000]}
        return {"type": "dict", "length": len(value), "items": items}
    if type(value).__name__ == "Future":
        return {"type": "future"}
    return {"type": "function" if callable(value) else type(value).__name__}


def _describe_dask(value):
    kinds = {"DataFrame": "dask table", "Series": "dask series", "Array": "dask array"}
    kind = kinds.get(type(value).__name__, "delayed")
    facts = {"type": kind, "computed": describe(value.compute())}
    if kind == "dask array":
        facts["chunks"] = [[int(size) for size in axis] for axis in value.chunks]
    elif kind != "delayed":
        facts["npartitions"] = int(value.npartitions)
    return facts


def _values(data):
    """Values as plain lists, missing ones as None; None if there are too many."""
    if data.size > LIMIT:
        return None
    return _plain(data.tolist())


def _plain(value):
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return value if isinstance(value, bool | int | str) else str(value)
