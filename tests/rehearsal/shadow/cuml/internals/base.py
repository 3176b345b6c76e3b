"""What goes into an estimator of cuML, and what comes out."""

import inspect

import cudf
import cupy
import numpy as np
from cupy import NAMES


def to_numbers(X, name="X", reference=None, n_features=None):
    """Rows on the host in float32 or float64; refuse what cuML's check_array refuses."""
    if hasattr(X, "tocsr"):
        raise TypeError("Sparse inputs are not supported")
    if hasattr(X, "__dask_graph__"):
        raise TypeError(f"Expected array-like, got {type(X)} instead.")
    rows = X.to_numpy() if hasattr(X, "to_numpy") else X
    rows = rows.get() if isinstance(rows, cupy.ndarray) else np.asarray(rows)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype("float32")
    if np.isnan(rows).any():
        raise ValueError(f"Input {name} contains NaN.")
    if n_features is not None and rows.shape[1] != n_features:
        raise ValueError(
            f"X has {rows.shape[1]} features, but {reference} is expecting {n_features} features "
            "as input."
        )
    return rows


class Base:
    """An estimator gives back what it gets: NumPy for NumPy, cuDF for cuDF, else CuPy."""

    output_type = None

    def get_params(self, deep=True):
        """The keywords and their values."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self, **params):
        """Change keywords."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"Invalid parameter {name!r} for `{type(self).__name__}`")
            setattr(self, name, value)
        return self

    def _like(self, X, result):
        table = isinstance(X, cudf.DataFrame | cudf.Series)
        kind = "numpy" if isinstance(X, np.ndarray) else "cudf" if table else "cupy"
        kind = self.output_type or kind
        if kind == "cudf":
            made = cudf.DataFrame if result.ndim == 2 else cudf.Series
            return made(cupy.asarray(result), index=X.index if table else None)
        return result if kind == "numpy" else cupy.asarray(result)


class Through(Base):
    """An estimator whose numbers are those of scikit-learn's class of the same name."""

    plain, fitted = None, ()
    methods = ("transform", "predict", "score", "fit_transform", "predict_proba")
    methods += ("decision_function", "inverse_transform")

    def __init__(self, **keywords):
        known = NAMES[f"{type(self).__module__}.{type(self).__name__}"]
        for name in keywords:
            if name not in known and "kwargs" not in known:
                raise TypeError(f"__init__() got an unexpected keyword argument {name!r}")
        self.model = self.plain(**keywords)

    def get_params(self, deep=True):
        """The keywords and their values."""
        return self.model.get_params()

    def set_params(self, **params):
        """Change keywords."""
        self.model.set_params(**params)
        return self

    def __sklearn_tags__(self):
        return self.model.__sklearn_tags__()

    def fit(self, X, y=None, **more):
        """Fit, and keep the attributes as arrays of the device, but for the classes."""
        self.model.fit(to_numbers(X), _target(y), **more)
        for name in self.fitted:
            value = getattr(self.model, name)
            on_host = name == "classes_" or not isinstance(value, np.ndarray)
            setattr(self, name, value if on_host else self._like(X, value))
        return self

    def __getattr__(self, name):
        if name not in self.methods or not hasattr(self.model, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        method = getattr(self.model, name)

        def call(X, y=None, **more):
            given = (to_numbers(X),) if y is None else (to_numbers(X), _target(y))
            result = method(*given, **more)
            return self._like(X, result) if isinstance(result, np.ndarray) else result

        return call


def _target(y):
    y = y.to_numpy() if hasattr(y, "to_numpy") else y
    return y.get() if isinstance(y, cupy.ndarray) else y
