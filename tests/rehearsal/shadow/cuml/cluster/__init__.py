"""cuML's KMeans on one GPU."""

from numbers import Integral

import numpy as np

from cuml.internals.base import Base, to_numbers


def expanded(rows, centers):
    """Squared distances by |x|² + |c|² − 2xc in the dtype of the rows, |x|² included."""
    squares = (rows**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)[None]
    return np.maximum(squares - 2 * (rows @ centers.T), 0)


def lloyd(rows, centers, weights, max_iter, tol):
    """cuVS's loop: the centres, the inertia before the last step, the count of iterations.

    It ends when the centres move, or the inertia falls, by less than tol. Where max_iter ends it,
    the count is one more. A cluster without rows keeps its centre.
    """
    inertia = 0
    for n_iter in range(1, max_iter + 1):
        squares = expanded(rows, centers)
        before, inertia = inertia, float(squares.min(axis=1) @ weights)
        members = (squares.argmin(axis=1) == np.arange(len(centers))[:, None]) * weights
        sizes = members.sum(axis=1, keepdims=True)
        new = np.where(sizes > 0, members @ rows / np.where(sizes > 0, sizes, 1), centers)
        moved, centers = ((new - centers) ** 2).sum(), new
        if moved < tol or before and inertia / before > 1 - tol:
            return centers, inertia, n_iter
    return centers, inertia, max_iter + 1


class KMeans(Base):
    """The keywords, refusals, steps and results of cuML's; scikit-learn draws the starts."""

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
        max_samples_per_batch=1 << 15,
        device_buffer_samples=0,
        init_size=0,
        output_type=None,
    ):
        vars(self).update({k: v for k, v in locals().items() if k not in ("self", "__class__")})

    def fit(self, X, y=None, sample_weight=None):
        """Find centres; what is stored has the type of X."""
        self._check()
        rows = to_numbers(X)
        self._fit(rows, None if sample_weight is None else to_numbers(sample_weight), X)
        squares = expanded(rows, self._centers())
        self.labels_ = self._like(X, squares.argmin(axis=1).astype("int32"))
        self.inertia_ = float(squares.min(axis=1).sum(dtype="float64"))
        return self

    def _check(self):
        if not isinstance(self.n_clusters, Integral) or self.n_clusters <= 0:
            raise ValueError(f"n_clusters={self.n_clusters} should be a positive integer.")
        if self.tol <= 0:  # cuVS
            raise RuntimeError("invalid parameter (tol<=0)")
        if isinstance(self.init, str) and self.init not in (
            *("scalable-k-means++", "k-means||", "k-means++", "random"),
        ):
            raise ValueError(f"init={self.init!r} is not supported")

    def _fit(self, rows, weights, X):
        from sklearn.cluster import kmeans_plusplus

        if len(rows) < self.n_clusters:
            raise ValueError(f"n_samples={len(rows)} should be >= n_clusters={self.n_clusters}.")
        exact = rows.astype("float64")
        weights = np.ones(len(rows)) if weights is None else weights.astype("float64")
        if isinstance(self.init, str):
            draw = np.random.RandomState(self.random_state)
            starts = [kmeans_plusplus(exact, self.n_clusters, random_state=draw)[0] for _ in "1234"]
        else:
            starts = [to_numbers(self.init).astype("float64")]
            if starts[0].shape != (self.n_clusters, rows.shape[1]):
                raise ValueError(
                    f"The shape of the initial centers {starts[0].shape} does not match the number "
                    f"of clusters {self.n_clusters}."
                )
        runs = [lloyd(exact, start, weights, self.max_iter, self.tol) for start in starts]
        centers, _, self.n_iter_ = min(runs, key=lambda run: run[1])
        self.cluster_centers_ = self._like(X, centers.astype(rows.dtype))
        self.n_features_in_ = rows.shape[1]

    def _centers(self):
        return to_numbers(self.cluster_centers_)

    def _squares(self, X):
        self._check()
        rows = to_numbers(X, "X", type(self).__name__, self.n_features_in_)
        return expanded(rows.astype(self._centers().dtype), self._centers())

    def predict(self, X):
        """The nearest centre of each row, int32."""
        return self._like(X, self._squares(X).argmin(axis=1).astype("int32"))

    def transform(self, X):
        """Plain distances, not squared ones."""
        return self._like(X, np.sqrt(self._squares(X)))

    def score(self, X, y=None, sample_weight=None):
        """Minus the sum of squared distances."""
        return -float(self._squares(X).min(axis=1).sum(dtype="float64"))

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit, and the labels."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def as_sklearn(self):
        """Return a model of scikit-learn with everything that was fitted."""
        from sklearn.cluster import KMeans as Plain

        host = {name: value for name, value in vars(self).items() if name.endswith("_")}
        init = self.init if self.init == "random" else "k-means++"
        plain = Plain(self.n_clusters, init=init, max_iter=self.max_iter, tol=self.tol)
        vars(plain).update({k: v.get() if hasattr(v, "get") else v for k, v in host.items()})
        plain._n_threads = 1
        return plain

    @classmethod
    def from_sklearn(cls, model):
        """Return a model with the arrays of a fitted one of scikit-learn on the device."""
        import cupy

        if callable(model.init):
            raise TypeError(f"`init={model.init!r}` is not supported")
        init = {"k-means++": "scalable-k-means++"}.get(str(model.init), model.init)
        made = cls(n_clusters=model.n_clusters, init=init, tol=model.tol, max_iter=model.max_iter)
        for name in ("cluster_centers_", "labels_"):
            setattr(made, name, cupy.asarray(getattr(model, name)))
        for name in ("inertia_", "n_iter_", "n_features_in_"):
            setattr(made, name, getattr(model, name))
        return made
