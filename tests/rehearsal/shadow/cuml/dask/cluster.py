"""cuML's distributed KMeans: lazy results of unknown chunks, the model of the first rank."""

import copy

import cupy
import dask
import dask.array as da
import numpy as np
from cuml.base import Base, to_numbers
from cuml.cluster import KMeans as OneGpu
from distributed import futures_of, get_client, wait


def _rows(block):
    if isinstance(block, np.ndarray):
        raise TypeError(f"Expected a CuPy or cuDF partition, got {type(block)}")
    return to_numbers(block)


def _labels(model, block):
    return model.predict(block)


def _distances(model, block):
    return model.transform(block)


class KMeans:
    """Keywords are checked by the workers only, when it is fitted."""

    def __init__(self, *, client=None, verbose=False, n_clusters=8, **kwargs):
        self.client = client if client is not None else get_client()
        self.kwargs = {"n_clusters": n_clusters, "verbose": verbose, **kwargs}
        self.internal_model = None

    def fit(self, X, sample_weight=None):
        if not isinstance(X, da.Array):
            raise TypeError(f"a Dask collection is wanted, not {type(X)}")
        if len(X.chunks) > 1 and len(X.chunks[1]) > 1:
            raise ValueError("X must be chunked by row only. Multi-dimensional chunks not allowed")
        placed = self.client.persist(X)
        wait(placed)
        keys = [f.key for f in futures_of(placed)]
        del keys
        blocks = [block for block in placed.to_delayed().ravel()]
        rows = self.client.gather(self.client.compute([dask.delayed(_rows)(b) for b in blocks]))
        sizes = [len(part) for part in rows]
        if sum(sizes) < self.kwargs["n_clusters"]:
            raise ValueError(f"n_samples={sum(sizes)} should be >= n_clusters")
        model = OneGpu(**self.kwargs).fit(cupy.asarray(np.concatenate(rows)))
        first = copy.copy(model)  # the first rank's: its rows' labels and inertia alone
        first.labels_ = model.predict(cupy.asarray(rows[0])) if sizes[0] else model.labels_[:0]
        first.inertia_ = -first.score(cupy.asarray(rows[0])) if sizes[0] else 0.0
        self.internal_model, self.inertia_, self.datatype = first, model.inertia_, "cupy"
        meta = cupy.zeros(0, dtype="int32")
        parts = [dask.delayed(_labels)(model, block) for block in blocks]
        kept = [da.from_delayed(p, (n,), meta=meta) for p, n in zip(parts, sizes, strict=True) if n]
        self.labels_ = da.concatenate(kept).persist()
        return self

    def get_combined_model(self):
        return self.internal_model

    def _lazy(self, function, X, n_dims):
        meta, shape = cupy.zeros((0,) * n_dims, dtype=X.dtype), (np.nan,) * n_dims
        parts = [
            da.from_delayed(dask.delayed(function)(self.internal_model, block), shape, meta=meta)
            for block in X.to_delayed().ravel()
        ]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    def predict(self, X, delayed=True):
        return self._lazy(_labels, X, 1)

    def transform(self, X, delayed=True):
        return self._lazy(_distances, X, 2)

    def __getattr__(self, name):
        # As in cuML: what is not here is asked of the inner model, pickle's questions, too.
        model = vars(self).get("internal_model")
        if not isinstance(model, Base):
            raise AttributeError(f"Attribute {name} not found in {type(self)}")
        return getattr(model, name)

    def __reduce__(self):
        # cuML's stops at a future's result, when it is unpickled or before.
        raise AttributeError("'KMeans' object has no attribute 'result'")
