"""What the libraries' functions were before a student's code ran, and putting them back.

An observer calls pandas, Dask and others. A cell that puts its own function in the place of one of
theirs changes what the observer sees, so what is there before the first cell is kept.
"""

import builtins
import sys
import types

PACKAGES = (
    *("builtins", "json", "inspect", "threading", "time", "random", "pickle", "socket", "tempfile"),
    *("helpers", "numpy", "pandas", "dask", "distributed", "sklearn", "dask_ml", "joblib"),
    *("cloudpickle", "skops", "pyarrow"),
)
UNSTEADY = ("__dict__", "__weakref__", "__loader__", "__spec__", "__doc__")
# Bound here, where no cell can change them.
_setattr, _delattr, _vars = type.__setattr__, type.__delattr__, vars
_BUILTINS = frozenset(vars(builtins))


class Libraries:
    """Functions, methods and classes of the libraries that are imported now.

    Examples
    --------
    >>> import json
    >>> before, dumps = Libraries(), json.dumps
    >>> json.dumps = print
    >>> before.restore()
    ['json.dumps']
    >>> json.dumps is dumps
    True
    """

    def __init__(self):
        modules = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in PACKAGES}
        self._modules = [(n, vars(m), _acting(m), frozenset(vars(m))) for n, m in modules.items()]
        values = [value for _, _, acting, _ in self._modules for value in acting.values()]
        classes = {id(v): v for v in values if isinstance(v, type) and v.__module__ in modules}
        self._classes = [(k, _acting(k), frozenset(vars(k)), _above(k)) for k in classes.values()]
        values += [value for _, acting, _, _ in self._classes for value in acting.values()]
        plain = [getattr(value, "__func__", value) for value in values]
        functions = {id(each): each for each in plain if type(each) is types.FunctionType}
        self._functions = [(each, _parts(each)) for each in functions.values()]

    def restore(self):
        """Put back what is no longer as it was.

        Returns
        -------
        list of str
            Names of what was changed.
        """
        changed = []
        for name, names, before, known in self._modules:
            for key, old in before.items():
                if names.get(key) is not old:
                    changed.append(f"{name}.{key}")
                    names[key] = old
            for key in (names.keys() - known) & _BUILTINS:  # found before the builtin
                changed.append(f"{name}.{key}")
                del names[key]
        for kind, before, known, above in self._classes:
            now = _vars(kind)
            for key, old in before.items():
                if now.get(key) is not old:
                    changed.append(f"{kind.__module__}.{kind.__qualname__}.{key}")
                    _setattr(kind, key, old)
            for key in (now.keys() - known) & above:  # found before the base's
                changed.append(f"{kind.__module__}.{kind.__qualname__}.{key}")
                _delattr(kind, key)
        for function, before in self._functions:
            now = _parts(function)
            if now[0] is not before[0] or now[1] is not before[1] or now[2] is not before[2]:
                changed.append(f"{function.__module__}.{function.__qualname__}")
                function.__code__, function.__defaults__, function.__kwdefaults__ = before
        return changed

    def leave_out(self, names):
        """Look no more at the module that has these names."""
        self._modules = [each for each in self._modules if each[1] is not names]


def _acting(holder):
    """What a module or class has of functions, classes and properties, by name."""
    return {
        name: value
        for name, value in vars(holder).items()
        if (callable(value) or hasattr(type(value), "__get__")) and name not in UNSTEADY
    }


def _above(kind):
    """Names that a class has from its bases."""
    return frozenset(name for base in kind.__mro__[1:] for name in vars(base)) - {*UNSTEADY}


def _parts(function):
    return function.__code__, function.__defaults__, function.__kwdefaults__
