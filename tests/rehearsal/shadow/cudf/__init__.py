"""A stand-in for cuDF: pandas behind wrappers that refuse what cuDF refuses.

No row is handed out to a loop or to NumPy, `.values` is on the device, tables of the host are no
operands, and where cuDF promises no order, the order is another one on purpose.
"""

import functools
import json
from pathlib import Path

import cupy
import numpy as _np
import pandas as _pd

__version__ = "26.10.02"
NAMES = json.loads((Path(__file__).parent.parent / "names.json").read_text(encoding="utf-8"))
NA, NaT = _pd.NA, _pd.NaT
HOST = (_pd.DataFrame, _pd.Series, _pd.Index)
FOREIGN = (_np.ndarray, list, tuple, *HOST)
OPERATORS = "add sub mul truediv floordiv mod pow eq ne lt le gt ge and or xor".split()
ALIKE = {*OPERATORS, "div", "radd", "rsub", "rmul", "rtruediv", "dot", "corr", "update"}
REDUCING = {"agg", "aggregate", "all", "any", "corr", "count", "cov", "first", "idxmax", "idxmin"}
REDUCING |= {"last", "max", "mean", "median", "min", "nunique", "prod", "quantile", "size", "std"}
REDUCING |= {"sum", "var", "value_counts"}


def _host(value):
    """What pandas needs for an argument."""
    if isinstance(value, Frame | GroupBy):
        return value._host
    if isinstance(value, cupy.ndarray):
        return value.get()
    if type(value) in (list, tuple):
        return type(value)(map(_host, value))
    if type(value) is dict:
        return {key: _host(each) for key, each in value.items()}
    return value


def _device(value):
    """The stand-in for a result of pandas."""
    for plain, kind in KINDS.items():
        if isinstance(value, plain):
            made = object.__new__(kind)
            object.__setattr__(made, "_host", value)
            return made
    if isinstance(value, _np.ndarray):
        return cupy.asarray(value)
    return type(value)(map(_device, value)) if type(value) in (list, tuple) else value


def _mixed(host):
    """Rows in another order: where cuDF promises none, nobody may count on one."""
    order = _np.random.default_rng(0).permutation(len(host))
    if (order[:-1] <= order[1:]).all():
        order = order[::-1]
    return host.iloc[order]


class Frame:
    """What tables, columns and indexes share."""

    __slots__ = ("_host",)
    __hash__ = None

    def __reduce__(self):
        return _device, (self._host,)

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        return type(self).__name__, normalize_token(self._host)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a host NumPy array via __array__ is not allowed, To "
            "explicitly construct a GPU matrix, consider using .to_cupy()\nTo explicitly "
            "construct a host matrix, consider using .to_numpy()."
        )

    def __arrow_array__(self, type=None):
        raise TypeError(
            "Implicit conversion to a host PyArrow object via __arrow_array__ is not allowed. "
            "Consider using .to_arrow()"
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__" or any(isinstance(x, FOREIGN) for x in inputs):
            return NotImplemented
        return _device(ufunc(*map(_host, inputs)))

    def __array_function__(self, function, types, args, options):
        if function.__name__ not in NAMES["cudf.Series"] or not all(t is Series for t in types):
            return NotImplemented
        return getattr(args[0], function.__name__)(*args[1:], **options)

    def __len__(self):
        return len(self._host)

    def __contains__(self, key):
        return key in self._host

    def __getitem__(self, key):
        return _device(self._host[_host(key)])

    def __repr__(self):
        return repr(self._host)

    def __bool__(self):
        return bool(self._host)  # pandas refuses, in the same words

    @property
    def values(self):
        return self.to_cupy()

    @property
    def _constructor(self):
        return type(self)

    def to_cupy(self, dtype=None, copy=True, na_value=None):
        return cupy.asarray(self._host.to_numpy(dtype=dtype))

    def to_numpy(self, dtype=None, copy=True, na_value=None):
        return self._host.to_numpy(dtype=dtype, copy=True)

    def to_pandas(self, *, nullable=False, arrow_type=False):
        return self._host.copy()

    def to_arrow(self, preserve_index=None):
        import pyarrow

        if isinstance(self, DataFrame):
            return pyarrow.Table.from_pandas(self._host, preserve_index=preserve_index)
        return pyarrow.Array.from_pandas(self._host)

    def sort_index(self, **options):
        return _device(self._host.sort_index(**{k: _host(v) for k, v in options.items()}))


class Column(Frame):
    """What a column and an index refuse."""

    __slots__ = ()

    @property
    def __cuda_array_interface__(self):
        return self.values.__cuda_array_interface__

    def __iter__(self):
        raise TypeError(
            f"{type(self).__name__} object is not iterable. Consider using `.to_arrow()`, "
            "`.to_pandas()` or `.to_numpy()` if you wish to iterate over the values."
        )

    def tolist(self):
        raise TypeError(
            "cuDF does not support conversion to host memory via the `tolist()` method. Consider "
            "using `.to_arrow().to_pylist()` to construct a Python list."
        )

    to_list, items = tolist, __iter__

    def value_counts(self, sort=True, ascending=False, **options):
        counts = _mixed(self._host.value_counts(**options))
        return _device(counts.sort_values(ascending=ascending, kind="stable") if sort else counts)


class Series(Column):
    """A column of the device."""

    __slots__ = ()

    def __init__(self, data=None, index=None, dtype=None, name=None, copy=False, **options):
        made = _pd.Series(_host(data), index=_host(index), dtype=dtype, name=name)
        object.__setattr__(self, "_host", made)

    def __setitem__(self, key, value):
        self._host[_host(key)] = _host(value)

    def groupby(self, by=None, *, sort=False, **options):
        return GroupBy(self._host.groupby(_host(by), sort=sort, **options), sort)

    from_pandas = staticmethod(lambda s, nan_as_null=None: from_pandas(s))


class Index(Column):
    """Row labels of the device."""

    __slots__ = ()

    def __init__(self, data=None, dtype=None, copy=False, name=None, **options):
        object.__setattr__(self, "_host", _pd.Index(_host(data), dtype=dtype, name=name))


class DataFrame(Frame):
    """A table of the device. Its column names are on the host, so a loop over them is fine."""

    __slots__ = ()

    def __init__(self, data=None, index=None, columns=None, dtype=None, copy=None, **options):
        made = _pd.DataFrame(_host(data), index=_host(index), columns=_host(columns), dtype=dtype)
        object.__setattr__(self, "_host", made)

    def __iter__(self):
        return iter(self._host.columns)

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._host.columns:
            raise AttributeError(f"'DataFrame' object has no attribute {name!r}")
        return self[name]

    def __setattr__(self, name, value):
        setattr(self._host, name, _host(value))

    def __setitem__(self, key, value):
        self._host[_host(key)] = _host(value)

    @property
    def columns(self):
        return self._host.columns

    @property
    def dtypes(self):
        return self._host.dtypes

    @property
    def _constructor_sliced(self):
        return Series

    def items(self):
        for name in self:
            yield name, self[name]

    def iterrows(self):
        raise TypeError(
            "cuDF does not support iteration of DataFrame via iterrows. Consider using "
            "`.to_pandas().iterrows()` if you wish to iterate over each row."
        )

    def itertuples(self, index=True, name="Pandas"):
        raise TypeError(
            "cuDF does not support iteration of DataFrame via itertuples. Consider using "
            "`.to_pandas().itertuples()` if you wish to iterate over namedtuples."
        )

    def groupby(self, by=None, *, sort=False, **options):
        return GroupBy(self._host.groupby(_host(by), sort=sort, **options), sort)

    def merge(self, right, how="inner", on=None, sort=False, **options):
        if not isinstance(right, DataFrame | Series):
            raise TypeError("right must be a Series or DataFrame")
        made = self._host.merge(right._host, how=how, on=on, sort=sort, **options)
        if sort:
            return _device(made)
        keep = options.get("left_index") or options.get("right_index")
        return _device(_mixed(made) if keep else _mixed(made).reset_index(drop=True))

    def join(self, other, on=None, how="left", lsuffix="", rsuffix="", sort=False):
        if not isinstance(other, DataFrame | Series):
            raise TypeError("right must be a Series or DataFrame")
        made = self._host.join(other._host, on=on, how=how, lsuffix=lsuffix, rsuffix=rsuffix)
        return _device(made.sort_index() if sort else _mixed(made))

    from_pandas = staticmethod(lambda dataframe, nan_as_null=None: from_pandas(dataframe))
    from_arrow = staticmethod(lambda table: _device(table.to_pandas()))


class GroupBy:
    """Groups; without ``sort=True`` their order is nobody's."""

    __slots__ = ("_host", "_sort")

    def __init__(self, host, sort):
        self._host, self._sort = host, sort

    def __getitem__(self, key):
        return GroupBy(self._host[key], self._sort)

    def __iter__(self):
        return ((name, _device(part)) for name, part in self._host)

    def __getattr__(self, name):
        known = name in NAMES["cudf.DataFrameGroupBy"]
        if name.startswith("_") or not (known or name in getattr(self._host, "obj", ())):
            raise AttributeError(f"'GroupBy' object has no attribute {name!r}")
        if not known:
            return self[name]

        found = getattr(self._host, name)
        if not callable(found):
            return found

        def method(*args, **options):
            result = found(*_host(list(args)), **_host(options))
            mixed = name in REDUCING and not self._sort and hasattr(result, "iloc")
            return _device(_mixed(result) if mixed else result)

        return method


class Part:
    """An accessor (`str`, `dt`, `cat`) or an indexer (`loc`, `iloc`)."""

    def __init__(self, host):
        self._host = host

    def __getattr__(self, name):
        found = getattr(self._host, name)
        if not callable(found):
            return _device(found)
        return lambda *args, **options: _device(found(*_host(list(args)), **_host(options)))

    def __getitem__(self, key):
        return _device(self._host[_host(key)])

    def __setitem__(self, key, value):
        self._host[_host(key)] = _host(value)


KINDS = {_pd.DataFrame: DataFrame, _pd.Series: Series, _pd.Index: Index}
PARTS = {"str", "dt", "cat", "loc", "iloc", "at", "iat"}


def _same_kind(name, values):
    for value in values:
        if isinstance(value, HOST):
            raise TypeError(f"unsupported operand type(s) for {name}: cuDF and {type(value)}")


def _method(name):
    def method(self, *args, **options):
        if name in ALIKE:
            _same_kind(name, (*args, *options.values()))
        result = getattr(self._host, name)(*_host(list(args)), **_host(options))
        return _device(result)

    return method


def _operator(name):
    def apply(self, other):
        if isinstance(other, FOREIGN) or hasattr(other, "__dask_graph__"):
            return NotImplemented
        return _device(getattr(self._host, name)(_host(other)))

    return apply


for _plain, _kind in KINDS.items():
    for _name in set(NAMES[f"cudf.{_kind.__name__}"]) & set(dir(_plain)):
        if hasattr(_kind, _name):
            continue
        if _name in PARTS:
            _get = property(lambda self, name=_name: Part(getattr(self._host, name)))
        elif callable(getattr(_plain, _name)):
            _get = _method(_name)
        else:
            _get = property(
                lambda self, name=_name: _device(getattr(self._host, name)),
                lambda self, value, name=_name: setattr(self._host, name, _host(value)),
            )
        setattr(_kind, _name, _get)
    for _name in OPERATORS:
        for _side in ("", "r") if _name in OPERATORS[:7] or _name in OPERATORS[-3:] else ("",):
            setattr(_kind, f"__{_side}{_name}__", _operator(f"__{_side}{_name}__"))
    for _name in ("neg", "abs", "invert"):
        setattr(
            _kind,
            f"__{_name}__",
            lambda self, name=f"__{_name}__": _device(getattr(self._host, name)()),
        )
Series._constructor_expanddim = property(lambda self: DataFrame)
RangeIndex = DatetimeIndex = MultiIndex = CategoricalIndex = Index
CategoricalDtype = _pd.CategoricalDtype


def from_pandas(obj, nan_as_null=None):
    """Copy a table, a column or an index of the host."""
    if not isinstance(obj, HOST):
        raise TypeError(f"from_pandas unsupported for object of type {type(obj).__name__}")
    return _device(obj.copy())


def concat(objs, axis=0, join="outer", ignore_index=False, keys=None, sort=None):
    """Put objects of the device together."""
    objs = [each for each in (objs.values() if isinstance(objs, dict) else objs)]
    if not all(isinstance(each, Frame) for each in objs if each is not None):
        raise TypeError(
            "can only concatenate objects which are instances of {Series, DataFrame, Index}, "
            f"instead received {[type(each) for each in objs]}"
        )
    hosts = [each._host for each in objs if each is not None]
    if all(isinstance(each, Index) for each in objs):
        return _device(hosts[0].append(hosts[1:]))
    return _device(_pd.concat(hosts, axis=axis, join=join, ignore_index=ignore_index))


def set_option(name, value):
    """Take a setting, such as spilling."""


def __getattr__(name):
    found = getattr(_pd, name, None)
    if name not in NAMES["cudf"] or not callable(found):
        raise AttributeError(f"module 'cudf' has no attribute {name!r}")

    @functools.wraps(found)
    def call(*args, **options):
        _same_kind(name, args)
        return _device(found(*_host(list(args)), **_host(options)))

    return call
