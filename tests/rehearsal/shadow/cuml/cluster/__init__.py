"""cuML's KMeans on one GPU. See tests/rehearsal/rules.md for what it keeps to and whence."""

import cupy
import numpy as np
from cuml.base import Base, to_numbers


def expanded(rows, centers):
    """Squared distances by |x|² + |c|² − 2xc in the dtype of the rows, |x|² included."""
    squares = (rows**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)[None]
    return np.maximum(squares - 2 * (rows @ centers.T), 0)


class KMeans(Base):
    """The keywords, refusals and results of cuML's; the search for centres is scikit-learn's."""

    def __init__(
        self,
        *,
        n_clusters=8,
        max_iter=300,
        tol=1e-4,
        verbose=False,
        random_state=None,
        init="scalable-k-means++",
        n_init="auto",
        oversampling_factor=2.0,
        max_samples_per_batch=2**15,
        output_type=None,
    ):
        vars(self).update({k: v for k, v in locals().items() if k not in ("self", "__class__")})

    def fit(self, X, y=None, sample_weight=None):
        from sklearn.cluster import KMeans as Plain

        if self.tol <= 0:
            raise RuntimeError("invalid parameter (tol<=0)")
        rows = to_numbers(X)
        if len(rows) < self.n_clusters:
            raise ValueError(f"n_samples={len(rows)} should be >= n_clusters={self.n_clusters}")
        given = not isinstance(self.init, str)
        init = to_numbers(self.init).astype("float64") if given else "k-means++"
        plain = Plain(
            self.n_clusters,
            init=init,
            n_init=1 if given else 4,
            max_iter=self.max_iter,
            tol=0,
            random_state=self.random_state,
        ).fit(rows.astype("float64"), sample_weight=sample_weight)
        centers = plain.cluster_centers_.astype(rows.dtype)
        self.cluster_centers_ = self.like(X, centers)
        squares = expanded(rows, centers)
        self.labels_ = self.like(X, squares.argmin(axis=1).astype("int32"))
        self.inertia_ = float(squares.min(axis=1).sum(dtype="float64"))
        self.n_iter_, self.n_features_in_ = plain.n_iter_, rows.shape[1]
        return self

    def _squares(self, X):
        if self.tol <= 0:
            raise RuntimeError("invalid parameter (tol<=0)")
        rows, centers = to_numbers(X), to_numbers(self.cluster_centers_)
        if rows.shape[1] != centers.shape[1]:
            raise ValueError(
                f"X has {rows.shape[1]} features, but KMeans is expecting "
                f"{centers.shape[1]} features as input."
            )
        return expanded(rows.astype(centers.dtype), centers)

    def predict(self, X):
        return self.like(X, self._squares(X).argmin(axis=1).astype("int32"))

    def transform(self, X):
        return self.like(X, np.sqrt(self._squares(X)))

    def score(self, X, y=None, sample_weight=None):
        return -float(self._squares(X).min(axis=1).sum(dtype="float64"))

    def as_sklearn(self):
        from sklearn.cluster import KMeans as Plain

        plain = Plain(self.n_clusters, init=self.init, max_iter=self.max_iter, tol=self.tol)
        plain._n_threads = 1
        for name in ("cluster_centers_", "labels_"):
            setattr(plain, name, to_host(getattr(self, name)))
        plain.inertia_, plain.n_iter_ = self.inertia_, self.n_iter_
        plain.n_features_in_ = self.n_features_in_
        return plain

    @classmethod
    def from_sklearn(cls, model):
        made = cls(n_clusters=model.n_clusters)
        made.cluster_centers_ = cupy.asarray(model.cluster_centers_)
        made.labels_ = cupy.asarray(model.labels_)
        made.inertia_, made.n_iter_ = model.inertia_, model.n_iter_
        made.n_features_in_ = model.n_features_in_
        return made


def to_host(values):
    return values.get() if isinstance(values, cupy.ndarray) else values
