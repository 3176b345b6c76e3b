"""A stand-in for CuPy: NumPy behind a wrapper that refuses what CuPy refuses."""

import json
import sys
import types
from pathlib import Path

import numpy as _np

__version__ = "14.2.0"
NAMES = json.loads((Path(__file__).parent.parent / "names.json").read_text(encoding="utf-8"))
KINDS = "?bhilqBHILQefdFD"  # characters of the dtypes that CuPy has
# These take what is on the host and copy it; everything else wants arrays of the device.
FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
# A list is a shape, an order of axes or a number of times, or a list of arrays.
LISTS = {"concatenate", "stack", "vstack", "hstack", "column_stack", "full", "zeros", "ones"}
LISTS |= {"empty", "reshape", "transpose", "broadcast_to", "moveaxis", "tile", "repeat", "pad"}
LISTS |= {"broadcast_arrays", "expand_dims", "squeeze", "roll", "flip", "rot90", "tensordot"}
LISTS |= {"zeros_like", "ones_like", "empty_like", "full_like", "einsum", "linspace", "eye", "ix_"}
# Other packages serialise by the device's pointer: here pickle does it.
for _name in ("cupy", "rmm"):
    sys.modules[f"distributed.protocol.{_name}"] = types.ModuleType(_name)


class ndarray:
    """An array of the device. It is no NumPy array, and nothing converts it by itself."""

    __slots__ = ("_host", "__weakref__")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._host = _np.zeros(shape, dtype)

    def __reduce__(self):
        return _device, (self._host,)

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        return "cupy", normalize_token(self._host)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        known = (*_np.ScalarType, ndarray, _np.ndarray)
        foreign = any(not isinstance(x, known) and not _like(x) for x in (*inputs, *(out or ())))
        if ufunc.__name__ not in NAMES["cupy"] or foreign:
            return NotImplemented
        return _call(getattr(ufunc, method), inputs, options | ({"out": out[0]} if out else {}))

    def __array_function__(self, function, types, args, options):
        place = ".".join(["cupy", *function.__module__.split(".")[1:]])
        handled = all(issubclass(t, ndarray | _np.ndarray) for t in types)
        if function.__name__ not in NAMES.get(place, ()) or not handled:
            return NotImplemented
        return _call(function, args, options)

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (0, False), "version": 3}

    @property
    def device(self):
        return sys.modules["cupy.cuda"].Device(0)

    @property
    def flat(self):
        return iter(self.ravel())

    def __dlpack__(self, **options):
        return self

    def get(self, stream=None, order="C", out=None, blocking=True):
        return self._host.copy(order=order)

    def item(self, *args):
        return self._host.item(*args)

    def tolist(self):
        return self._host.tolist()

    def __getattr__(self, name):
        if name not in NAMES["cupy.ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self._host, name)
        if not callable(found):
            return _device(found)

        def method(*args, **options):
            return _call(found, args, options, lists=True)

        return method

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (_device(each) for each in self._host)

    def __getitem__(self, key):
        return _device(self._host[_index(key)])

    def __setitem__(self, key, value):
        whole = isinstance(key, slice) and key == slice(None)
        if whole and isinstance(value, _np.ndarray):
            if (value.dtype, value.shape) != (self.dtype, self.shape):
                raise ValueError(
                    "copying a numpy.ndarray to a cupy.ndarray by empty slice assignment must "
                    "ensure arrays have same shape and dtype"
                )
            self._host[...] = value
        else:
            if isinstance(value, _np.ndarray) and value.ndim:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            self._host[_index(key)] = _operand(value)


def _like(value):
    return hasattr(value, "__cuda_array_interface__")


def _operand(value, lists=False):
    """The host data behind an operand of the device, or CuPy's refusal."""
    if isinstance(value, ndarray):
        return value._host
    if _like(value):  # a column of cuDF
        return value.to_numpy()
    if isinstance(value, dict):
        return {key: _operand(each, lists) for key, each in value.items()}
    if lists and isinstance(value, tuple | list):
        return type(value)(_operand(each, lists) for each in value)
    if isinstance(value, _np.ndarray | tuple | list):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _index(key):
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    return key._host if isinstance(key, ndarray) else key.to_numpy() if _like(key) else key


def _device(value):
    """A result on the device: also a single number is an array, of no dimension."""
    if isinstance(value, _np.ndarray | _np.generic):
        host = _np.asarray(value)
        if host.dtype.char not in KINDS:
            raise ValueError(f"Unsupported dtype {host.dtype}")
        made = object.__new__(ndarray)
        made._host = host
        return made
    if type(value) in (tuple, list):
        return type(value)(_device(each) for each in value)
    return value


def _call(function, args, options, lists=False):
    name = getattr(function, "__name__", "")
    if name in FROM_HOST:
        return _from_host(name, *args, **options)
    if name == "concatenate" and not all(isinstance(each, ndarray) for each in args[0]):
        raise TypeError("Only cupy arrays can be concatenated")
    sent = [_operand(each, lists or name in LISTS) for each in args]
    kept = {"axis", "axes", "shape", "newshape", "keepdims", "where"}  # may be lists, or plain
    named = {k: _operand(each, lists or k in kept) for k, each in options.items() if k != "like"}
    result = function(*sent, **named)
    return options["out"] if options.get("out") is not None else _device(result)


def _from_host(name, a, dtype=None, copy=None, like=None, **options):
    def host(value):
        if isinstance(value, list | tuple):
            return type(value)(map(host, value))
        return value._host if isinstance(value, ndarray) else value

    if _like(a) and not isinstance(a, ndarray):
        a = a.to_numpy()
    made = _np.asarray(host(a), dtype, **{k: options[k] for k in ("order",) if k in options})
    fresh = name == "array" and copy is not False or not isinstance(a, ndarray)
    return _device(made.copy() if fresh else made)


def _operator(name):
    def apply(self, other=None):
        function = getattr(self._host, name)
        if other is None:
            return _device(function())
        if getattr(other, "__array_ufunc__", 0) is None or hasattr(other, "__dask_graph__"):
            return NotImplemented
        if isinstance(other, ndarray | _np.ndarray | list | tuple) or _np.isscalar(other):
            result = function(_operand(other))
        elif _like(other):
            return NotImplemented
        else:
            result = function(other)
        return self if name.startswith("__i") and name != "__invert__" else _device(result)

    return apply


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    for _kind in ("", "r", "i"):
        setattr(ndarray, f"__{_kind}{_name}__", _operator(f"__{_kind}{_name}__"))
for _name in "eq ne lt le gt ge divmod neg pos abs invert".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in "bool int float complex index repr str".split():

    def _convert(self, name=f"__{_name}__"):
        return getattr(self._host, name)()

    setattr(ndarray, f"__{_name}__", _convert)
ndarray.__format__ = lambda self, spec: format(self._host, spec)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """Return a copy on the host."""
    return a.get(order=order) if isinstance(a, ndarray) else _np.asarray(a, order=order)


def from_dlpack(array):
    """Share the memory of an array of the device."""
    return _device(array._host if isinstance(array, ndarray) else _np.from_dlpack(array))


def save(file, arr, allow_pickle=None):
    """Write one array."""
    _np.save(file, asnumpy(arr))


def load(file, mmap_mode=None, allow_pickle=None):
    """Read one array."""
    return _device(_np.load(file))


def get_array_module(*args):
    """Return this module if one of the arguments is on the device."""
    return sys.modules["cupy" if any(map(_like, args)) else "numpy"]


def _names_of(place, numpy_place):
    def find(name):
        if name not in NAMES[place] or not hasattr(numpy_place, name):
            raise AttributeError(f"module {place!r} has no attribute {name!r}")
        found = getattr(numpy_place, name)
        if isinstance(found, type) or not callable(found):
            return found

        def call(*args, **options):
            return _call(found, args, options)

        call.__name__ = name
        return call

    return find


__getattr__ = _names_of("cupy", _np)
for _name in ("linalg", "random"):
    _part = types.ModuleType(f"cupy.{_name}")
    _part.__getattr__ = _names_of(f"cupy.{_name}", getattr(_np, _name))
    sys.modules[f"cupy.{_name}"] = globals()[_name] = _part

from . import cuda  # noqa: E402, F401  (its Device is asked for above)
