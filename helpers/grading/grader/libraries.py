"""What the libraries' functions were before a student's code ran, and putting them back.

An observer calls pandas, Dask and others. A cell that puts its own function in the place of one of
theirs changes what the observer sees, so what is there before the first cell is kept.
"""

import sys
import types

PACKAGES = (
    *("builtins", "json", "inspect", "threading", "time", "random", "pickle", "socket", "tempfile"),
    *("helpers", "numpy", "pandas", "dask", "distributed", "sklearn", "dask_ml", "joblib"),
    *("cloudpickle", "tornado", "skops", "pyarrow"),
)
UNSTEADY = ("__dict__", "__weakref__", "__loader__", "__spec__")
# Bound here, where no cell can change them.
_setattr, _vars = type.__setattr__, vars


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
        self._modules = [(name, vars(m), _acting(m)) for name, m in modules.items()]
        values = [value for _, _, names in self._modules for value in names.values()]
        classes = {id(v): v for v in values if isinstance(v, type) and v.__module__ in modules}
        self._classes = [(kind, _acting(kind)) for kind in classes.values()]
        values += [value for _, names in self._classes for value in names.values()]
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
        for name, names, before in self._modules:
            for key, old in before.items():
                if names.get(key) is not old:
                    changed.append(f"{name}.{key}")
                    names[key] = old
        for kind, before in self._classes:
            now = _vars(kind)
            for key, old in before.items():
                if now.get(key) is not old:
                    changed.append(f"{kind.__module__}.{kind.__qualname__}.{key}")
                    _setattr(kind, key, old)
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


def _parts(function):
    return function.__code__, function.__defaults__, function.__kwdefaults__
