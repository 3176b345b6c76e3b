"""A stand-in for CuPy: NumPy behind a wrapper that refuses what CuPy refuses."""

import builtins
import json
import pathlib

import numpy as _np

from . import cuda

__version__ = "14.2.0"
_FOLDER = pathlib.Path(__file__).parent.parent
NAMES = set(json.loads((_FOLDER / "names.json").read_text())["cupy"])
METHODS = set(json.loads((_FOLDER / "names.json").read_text())["cupy.ndarray"])
NUMBERS = "?bhilqBHILQefdFD"
# These take what is on the host and copy it; everything else wants arrays of the device.
FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
# Their other arguments are shapes, axes or orders, which may be lists.
SHAPES = {"reshape", "transpose", "zeros", "ones", "empty", "full", "broadcast_to", "moveaxis"}


def _in(value, name=""):
    """The host data behind an operand, or CuPy's refusal."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, _np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list) and name != "ufunc":
        return type(value)(_in(each, name) for each in value)
    if name == "ufunc" and isinstance(value, tuple | list):
        raise TypeError(f"Unsupported type {type(value)}")
    if hasattr(value, "to_pandas"):
        return _np.asarray(value.to_numpy())
    return value


def _out(value):
    """A result on the device: also a single number is an array, of no dimension."""
    if isinstance(value, _np.ndarray | _np.generic):
        return ndarray._of(_np.asarray(value))
    if isinstance(value, tuple | list):
        return type(value)(_out(each) for each in value)
    return value


class ndarray:
    """An array of the device. It is no NumPy array, and nothing converts it by itself."""

    __slots__ = ("_host", "__weakref__")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._host = _np.zeros(shape, dtype)

    @classmethod
    def _of(cls, host):
        if host.dtype.char not in NUMBERS:
            raise ValueError(f"Unsupported dtype {host.dtype}")
        made = object.__new__(cls)
        made._host = host
        return made

    def __reduce__(self):
        return _from_bytes, (self._host,)

    def __dask_tokenize__(self):
        from dask.base import normalize_token

        return "cupy", normalize_token(self._host)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if ufunc.__name__ not in NAMES:
            return NotImplemented
        operands = [_in(each, "ufunc") for each in inputs]
        if out is not None:
            options["out"] = tuple(_in(each, "ufunc") for each in out)
        result = getattr(ufunc, method)(*operands, **options)
        return out[0] if out is not None else _out(result)

    def __array_function__(self, function, types, args, options):
        name = function.__name__
        strangers = [t for t in types if not builtins.issubclass(t, ndarray)]
        if name not in NAMES or strangers:
            return NotImplemented
        return _call(name)(*args, **options)

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (0, False), "version": 3}

    def __dlpack__(self, **options):
        return self

    def get(self, stream=None, order="C", out=None, blocking=True):
        return self._host.copy()

    def tolist(self):
        return self._host.tolist()

    def item(self, *args):
        return self._host.item(*args)

    def __getattr__(self, name):
        if name not in METHODS or name.startswith("__"):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self._host, name)
        if not callable(found):
            return _out(found) if name in ("T", "real", "imag") else found

        def method(*args, **options):
            result = found(*_in(args), **{key: _in(value) for key, value in options.items()})
            if result is None or options.get("out") is not None:
                return options.get("out")
            return _out(result)

        return method

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (_out(each) for each in self._host)

    def __getitem__(self, key):
        return _out(self._host[_key(key)])

    def __setitem__(self, key, value):
        whole = isinstance(key, slice) and key == slice(None)
        if whole and isinstance(value, _np.ndarray) and value.shape == self.shape:
            self._host[...] = value
        else:
            self._host[_key(key)] = _in(value, "ufunc")

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __complex__(self):
        return complex(self._host)

    def __index__(self):
        return self._host.__index__()

    def __repr__(self):
        return repr(self._host)

    def __str__(self):
        return str(self._host)

    def __format__(self, spec):
        return format(self._host.item() if self.ndim == 0 else self._host, spec)


def _key(key):
    parts = key if isinstance(key, tuple) else (key,)
    parts = tuple(part._host if isinstance(part, ndarray) else part for part in parts)
    parts = tuple(getattr(part, "_host", part) for part in parts)
    return parts if isinstance(key, tuple) else parts[0]


def _from_bytes(host):
    return ndarray._of(host)


def _operator(name):
    def forward(self, other):
        return _out(getattr(self._host, name)(_in(other, "ufunc")))

    def in_place(self, other):
        getattr(self._host, name)(_in(other, "ufunc"))
        return self

    return in_place if name.startswith("__i") and name != "__invert__" else forward


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    for _kind in ("", "r", "i"):
        setattr(ndarray, f"__{_kind}{_name}__", _operator(f"__{_kind}{_name}__"))
for _name in "eq ne lt le gt ge divmod".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in "neg pos abs invert".split():
    setattr(ndarray, f"__{_name}__", lambda self, n=f"__{_name}__": _out(getattr(self._host, n)()))


def _host_of(value):
    """What a copy to the device may begin with: arrays, numbers, and lists of either."""
    if isinstance(value, ndarray):
        return value._host
    if hasattr(value, "to_pandas"):
        return value.to_numpy()
    if isinstance(value, list | tuple):
        return [_host_of(each) for each in value]
    return value


def _call(name):
    function = getattr(_np, name)

    def call(*args, **options):
        if name in FROM_HOST:
            host = _np.asarray(_host_of(args[0]), *args[1:2], **_without(options, "copy"))
            mine = isinstance(args[0], ndarray) and name != "array"
            return _out(host if mine else host.copy())
        kind = "ufunc" if isinstance(function, _np.ufunc) else name
        keep = name in SHAPES
        sent = [each if keep and not isinstance(each, ndarray) else _in(each, kind) for each in args]
        if name == "concatenate" and not all(isinstance(a, ndarray) for a in args[0]):
            raise TypeError("Only cupy arrays can be concatenated")
        result = function(*sent, **{key: _in(value, kind) for key, value in options.items()})
        return options["out"] if options.get("out") is not None else _out(result)

    call.__name__ = name
    return call


def _without(options, name):
    return {key: value for key, value in options.items() if key != name}


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get() if isinstance(a, ndarray) else _np.asarray(a)


def from_dlpack(array):
    return _out(array._host) if isinstance(array, ndarray) else _out(_np.from_dlpack(array))


def save(file, arr, allow_pickle=None):
    _np.save(file, asnumpy(arr))


def load(file, mmap_mode=None, allow_pickle=None):
    return _out(_np.load(file))


def __getattr__(name):
    if name not in NAMES or not hasattr(_np, name):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    found = getattr(_np, name)
    if isinstance(found, type) or not callable(found):
        return found
    return _call(name)
