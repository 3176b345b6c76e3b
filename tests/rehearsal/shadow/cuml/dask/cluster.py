"""cuML's distributed KMeans: lazy results of unknown chunks, the model of the first rank."""

import warnings

import cupy
import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
from distributed import futures_of, get_client, wait

from cuml.cluster import KMeans as OneGpu
from cuml.internals.base import Base, to_numbers

STARTS = ("scalable-k-means++", "k-means||", "random")


class KMeansMG(OneGpu):
    """One rank's model. All it gives is on the device, as its ``output_type`` says."""

    def _check(self):
        super()._check()
        if isinstance(self.init, str) and self.init == "k-means++":
            raise ValueError(
                "init='k-means++' is not supported for KMeansMG. "
                "Use init='k-means||' or init='scalable-k-means++'."
            )
        if isinstance(self.init, str) and self.init not in STARTS:
            raise ValueError(f"init={self.init!r} is not supported for KMeansMG.")


def _fit(keywords, *parts):
    """Fit to all rows, and keep what belongs to the first rank's."""
    model = KMeansMG(**keywords, output_type="cupy")
    model._check()
    rows = [to_numbers(part) for part in parts]
    model._fit(np.concatenate(rows), None, None)
    labels = [model.predict(part) for part in rows]
    inertia = [-model.score(part) for part in rows]
    model.labels_, model.inertia_ = labels[0], inertia[0]
    return model, labels, sum(inertia)


def _predict(model, part):
    return model.predict(part)


def _transform(model, part):
    return model.transform(part)


def _score(model, part):
    return model.score(part)


class KMeans:
    """Keywords reach the workers' models unchecked, when it is fitted."""

    def __init__(self, *, client=None, verbose=False, n_clusters=8, **kwargs):
        self.client = client if client is not None else get_client()
        self.verbose = verbose
        self.kwargs = {"n_clusters": n_clusters, "verbose": verbose, **kwargs}
        self.internal_model = None

    def fit(self, X, sample_weight=None):
        """Fit on the workers; labels_ has a chunk for each partition that has rows."""
        if not isinstance(X, da.Array | dd.DataFrame):
            raise TypeError(f"a Dask array or DataFrame is expected, not {type(X)}")
        if isinstance(X, da.Array) and len(X.chunks) > 1 and len(X.chunks[1]) > 1:
            raise ValueError("X must be chunked by row only. Multi-dimensional chunks not allowed")
        self.datatype = "cupy" if isinstance(X, da.Array) else "cudf"
        placed = self.client.persist(X)
        wait(placed)
        parts = futures_of(placed)
        sizes = self.client.gather(self.client.map(len, parts, pure=False))
        k = self.kwargs["n_clusters"]
        if not isinstance(k, int) or k <= 0:
            raise ValueError(f"n_clusters={k} should be a positive integer.")
        if sum(sizes) < k:
            raise ValueError(f"n_samples={sum(sizes)} should be >= n_clusters={k}.")
        if min(sizes) == 0:
            warnings.warn("Data was not split among all workers.", UserWarning, stacklevel=2)
        kept = [part for part, size in zip(parts, sizes, strict=True) if size]
        fitted = self.client.submit(_fit, self.kwargs, *kept, pure=False)
        self.internal_model, labels, self.inertia_ = fitted.result()
        meta = cupy.zeros(0, dtype="int32")
        chunks = [da.from_array(each, chunks=-1) for each in labels]
        self.labels_ = da.concatenate(chunks).persist() if chunks else da.from_array(meta)
        return self

    def fit_predict(self, X, sample_weight=None, delayed=True):
        """Fit, and the labels."""
        return self.fit(X).labels_

    def get_combined_model(self):
        """The first rank's model, with the labels of that rank's rows only."""
        return self.internal_model

    def _run(self, function, X, n_dims):
        parts = X.to_delayed()
        parts = parts.ravel() if isinstance(X, da.Array) else parts
        model = dask.delayed(self.internal_model, pure=True, traverse=False)
        results = [dask.delayed(function, pure=False)(model, part) for part in parts]
        if n_dims is None:
            return results
        dtype = X.dtype if isinstance(X, da.Array) else X.dtypes.iloc[0]
        shape, meta = (np.nan,) * n_dims, cupy.zeros(1, dtype=dtype)
        lazy = [da.from_delayed(each, shape, dtype, meta=meta) for each in results]
        return da.concatenate(lazy, axis=0, allow_unknown_chunksizes=True)

    def predict(self, X, delayed=True):
        """Lazy labels, whose chunks are unknown."""
        return self._run(_predict, X, 1)

    def transform(self, X, delayed=True):
        """Lazy distances, whose chunks are unknown."""
        return self._run(_transform, X, 2)

    def score(self, X, sample_weight=None):
        """Minus the sum of squared distances."""
        return sum(self.client.compute(self._run(_score, X, None), sync=True))

    def __getattr__(self, name):
        # What is not here is asked of the inner model, pickle's questions, too.
        model = vars(self).get("internal_model")
        if not isinstance(model, Base):
            raise AttributeError(f"Attribute {name} not found in {type(self)}")
        return getattr(model, name)

    def __getstate__(self):
        # cuML takes a future here and has the model itself.
        return {"internal_model": self.internal_model and self.internal_model.result()}
