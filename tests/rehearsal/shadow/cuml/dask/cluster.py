"""cuML's distributed KMeans: lazy results of unknown chunks, the model of the first rank."""

import warnings
from numbers import Integral

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


def _fit(keywords, datatype, ranks):
    """Fit to the rows of all ranks: the first one's model, labels by rank, inertia of all."""
    model = KMeansMG(**keywords, output_type=datatype)
    model._check()
    rows = [np.concatenate([to_numbers(part) for part in parts]) for parts in ranks]
    model._fit(np.concatenate(rows), None, None)
    labels = [model.predict(each) for each in rows]
    inertias = [-model.score(each) for each in rows]
    model.labels_, model.inertia_ = labels[0], inertias[0]
    return model, labels, sum(inertias)


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
        """Fit on the workers that have rows; each is a rank."""
        if sample_weight is not None:
            raise NotImplementedError("the stand-in knows no weights")
        self.datatype = "cudf" if isinstance(X, dd.DataFrame | dd.Series) else "cupy"
        if self.datatype == "cupy" and len(X.chunks) == 2 and len(X.chunks[1]) > 1:
            raise ValueError("Input array cannot be chunked along axis 1")
        placed = self._placed(X)
        k, n_rows = self.kwargs["n_clusters"], sum(size for _, _, size in placed)
        if not isinstance(k, Integral) or k <= 0:
            raise ValueError(f"n_clusters={k} should be a positive integer.")
        if n_rows < k:
            raise ValueError(f"n_samples={n_rows} should be >= n_clusters={k}.")
        ranks = {owner: [] for owner, _, _ in placed}
        for owner, part, _ in placed:
            ranks[owner].append(part)
        parts = list(ranks.values())
        fitted = self.client.submit(_fit, self.kwargs, self.datatype, parts, pure=False)
        self.internal_model, labels, self.inertia_ = fitted.result()
        rest, in_order = dict(zip(ranks, labels, strict=True)), []
        for owner, _, size in placed:
            in_order.append(rest[owner][:size])
            rest[owner] = rest[owner][size:]
        if self.datatype == "cudf":
            self.labels_ = dd.from_delayed([dask.delayed(each) for each in in_order]).persist()
        else:
            chunks = [da.from_array(each, chunks=-1) for each in in_order]
            self.labels_ = da.concatenate(chunks).persist()
        return self

    def _placed(self, X):
        """Return owner, future and rows of each partition; workers without rows are left out."""
        parts = futures_of(self.client.persist(X))
        wait(parts)
        held = self.client.who_has(parts)
        owners = [held[part.key][0] for part in parts]
        sizes = self.client.gather(self.client.map(len, parts, pure=False))
        with_rows = {owner for owner, size in zip(owners, sizes, strict=True) if size}
        if empty := set(owners) - with_rows:
            warnings.warn(
                f"Data was not split among all workers. {len(empty)} worker(s) have no data and "
                "will not participate in training. This can happen when there are more workers "
                "than data partitions.",
                UserWarning,
                stacklevel=3,
            )
        placed = zip(owners, parts, sizes, strict=True)
        return [(owner, part, size) for owner, part, size in placed if owner in with_rows]

    def fit_predict(self, X, sample_weight=None, delayed=True):
        """Fit, and the labels."""
        return self.fit(X, sample_weight).labels_

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
        if self.datatype == "cudf":
            return dd.from_delayed(results)
        dtype = X.dtype if isinstance(X, da.Array) else X.dtypes.iloc[0]
        shape, meta = (np.nan,) * n_dims, cupy.zeros(1, dtype=dtype)
        lazy = [da.from_delayed(each, shape, dtype, meta=meta) for each in results]
        return da.concatenate(lazy, axis=0, allow_unknown_chunksizes=True)

    def predict(self, X, delayed=True):
        """Lazy labels, whose chunks are unknown."""
        lazy = self._run(_predict, X, 1)
        return lazy if delayed else lazy.persist()

    def transform(self, X, delayed=True):
        """Lazy distances, whose chunks are unknown."""
        lazy = self._run(_transform, X, 2)
        return lazy if delayed else lazy.persist()

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
