"""Our KMeans behind the names that the suites import."""

import sys
import types

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from helpers.kmeans import DistributedKMeans


class KMeans(DistributedKMeans):
    """With scikit-learn's parameters; its start k-means++ is our k-means||."""

    def __init__(
        self,
        n_clusters=8,
        *,
        init="k-means++",
        n_init="auto",
        max_iter=300,
        tol=1e-4,
        verbose=0,
        random_state=None,
        copy_x=True,
        algorithm="lloyd",
    ):
        super().__init__(
            n_clusters=n_clusters,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
            verbose=verbose,
            random_state=random_state,
        )
        self.copy_x, self.algorithm = copy_x, algorithm

    def fit(self, X, y=None, sample_weight=None):
        """Fit with k-means|| in the place of k-means++."""
        asked = self.init
        if isinstance(asked, str) and asked == "k-means++":
            self.init = "k-means||"
        try:
            return super().fit(self.spread(X), y, sample_weight)
        finally:
            self.init = asked

    @staticmethod
    def spread(X):
        """Leave the rows here."""
        return X


class KMeansOnDask(KMeans):
    """With X cut into three chunks, and what comes back brought here."""

    @staticmethod
    def spread(X):
        """Cut an array in three."""
        plain = isinstance(X, np.ndarray) and X.ndim == 2 and len(X) > 2
        return da.from_array(X, chunks=(-(-len(X) // 3), -1)) if plain else X

    @property
    def labels_(self):
        """Labels of the training rows, here."""
        return np.asarray(super().labels_)

    @labels_.setter
    def labels_(self, labels):
        self._labels = labels, None

    def predict(self, X):
        """Predict in chunks."""
        return np.asarray(super().predict(self.spread(X)))

    def transform(self, X):
        """Transform in chunks."""
        return np.asarray(super().transform(self.spread(X)))

    def fit_transform(self, X, y=None, sample_weight=None):
        """Fit, and transform in chunks."""
        return self.fit(X, y, sample_weight).transform(X)

    def score(self, X, y=None, sample_weight=None):
        """Score in chunks."""
        return super().score(self.spread(X), y, sample_weight)


def cuml_modules(client):
    """Stand-ins on the CPU for the modules that cuML's suite imports."""
    pd.DataFrame.to_cupy = pd.DataFrame.to_numpy

    def blobs(n_samples, n_features, centers, n_parts=None, shuffle=True, verbose=False, **others):
        X, y = make_blobs(n_samples, n_features, centers=centers, shuffle=shuffle, **others)
        rows = -(-n_samples // (n_parts or len(client.nthreads())))
        return da.from_array(X.astype("f4"), chunks=(rows, -1)), da.from_array(y, chunks=rows)

    def to_table(X):
        kind = pd.Series if X.ndim == 1 else pd.DataFrame
        pieces = [dask.delayed(kind)(block) for block in X.to_delayed().ravel()]
        return dd.from_delayed(pieces, meta=kind(X[:0].compute()))

    class Comms:
        def __init__(self, **_):
            pass

        def worker_info(self, workers):
            return {worker: {"rank": rank} for rank, worker in enumerate(workers)}

    parameters = dict.fromkeys(["unit_param", "quality_param", "stress_param"])
    skipped = pytest.mark.skip(reason="cuML's long version")
    parameters["unit_param"] = pytest.param
    for name in ("quality_param", "stress_param"):
        parameters[name] = lambda *values: pytest.param(*values, marks=skipped)
    cupy = {name: getattr(np, name) for name in dir(np) if not name.startswith("__")}
    cupy |= {"asnumpy": np.asarray}
    contents = {
        "cudf": vars(pd),
        "cupy": cupy,
        "dask_cudf": {"from_delayed": dd.from_delayed},
        "raft_dask.common.comms": {"Comms": Comms},
        "cuml.dask.cluster": {"KMeans": DistributedKMeans},
        "cuml.dask.datasets": {"make_blobs": blobs},
        "cuml.dask.common.dask_arr_utils": {"to_dask_cudf": to_table},
        "cuml.metrics": {"adjusted_rand_score": adjusted_rand_score},
        "cuml.testing.utils": parameters,
    }
    for name, content in contents.items():
        for end in [i for i, c in enumerate(name) if c == "."]:
            sys.modules.setdefault(name[:end], types.ModuleType(name[:end])).__path__ = []
        sys.modules[name] = module = types.ModuleType(name)
        module.__dict__.update({k: v for k, v in content.items() if not k.startswith("__")})
