"""KMeans whose data stay on their workers, and what goes with it.

`DistributedKMeans` is the CPU twin of ``cuml.dask.cluster.KMeans``: centroids go out, partial sums
and counts come back. `helpers.shards` holds the rows, and what is computed where they are;
`helpers.centers` what goes with centres, and can be imported from here, too.
"""

import copy
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import euclidean_distances
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_array, check_is_fitted, check_random_state, validate_data

from helpers import shards
from helpers.backend import to_host
from helpers.centers import canonical_labels, canonical_order, centers_and_names, sse, to_sklearn
from helpers.shards import FLOATS, Part, about
from helpers.waiting import steps

__all__ = ["DistributedKMeans", "canonical_labels", "canonical_order", "sse", "to_sklearn"]

ROUNDS = 2  # of oversampling in k-means||, as in Spark's MLlib; Bahmani et al. 2012 take 5
SAMPLING_STARTS = ("k-means||", "scalable-k-means++")


class DistributedKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """KMeans on the workers of a Dask cluster.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means||", "scalable-k-means++", "random"} or array of shape (n_clusters, n_features)
        The first two are names of the same thing.
    n_init : "auto" or int
        Number of starts; the one with the smallest inertia is kept. "auto" takes 10 random starts,
        and otherwise one, as scikit-learn does.
    max_iter : int
    tol : float
        Stop when the squared moves of all centres together are at most this share of the mean
        variance of the columns, as in scikit-learn: the unit of the data makes no difference.
        (cuML compares the moves with tol itself.) A row counts with its weight in the variance.
    oversampling_factor : float
        k-means|| draws about ``oversampling_factor * n_clusters`` candidates a round.
    max_samples_per_batch : int
        Rows that a worker handles at once.
    random_state : int, optional
        The same seed gives the same centres for any number of workers and partitions.
    client : distributed.Client, optional
        Default: the current one. NumPy arrays and pandas tables are fitted in this process. A copy
        made by `sklearn.base.clone` has the same client, one made by pickle has none.
    verbose : bool
        Print the inertia of each iteration, which takes one more pass over the rows.
    device_buffer_samples, init_size : int
        Of cuML, where they bound the memory of a GPU. They have no effect here.

    Attributes
    ----------
    cluster_centers_ : numpy.ndarray of shape (n_clusters, n_features), dtype of X
    labels_ : numpy.ndarray, dask.array.Array or dask.dataframe.Series of int32, shape (n_rows,)
        Distributed like X. On the workers, it lives as long as they do.
    inertia_ : float
        Sum over all rows of weight × squared distance to the centre.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : numpy.ndarray of str, shape (n_features,)
        Names of the columns, if X is a table.

    Notes
    -----
    Start: k-means|| of Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, "Scalable k-means++",
    PVLDB 5(7), 2012. The random number of a row belongs to its position in X, not to its partition.
    A cluster that loses all its rows takes the row farthest from its centre, as in scikit-learn.

    Distances are taken about the mean of the rows, in `predict` about the mean of the centres. So
    an offset common to all rows, such as that of a time in seconds, does not blur them.

    Examples
    --------
    >>> from helpers.data import blobs
    >>> X, _ = blobs(1000, 2, 3, backend="cpu")
    >>> DistributedKMeans(n_clusters=3, random_state=0).fit(X.compute()).cluster_centers_.shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        n_clusters=8,
        init="k-means||",
        n_init="auto",
        max_iter=300,
        tol=1e-4,
        oversampling_factor=2.0,
        max_samples_per_batch=8192,
        random_state=None,
        client=None,
        verbose=False,
        device_buffer_samples=0,
        init_size=0,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.oversampling_factor = oversampling_factor
        self.max_samples_per_batch = max_samples_per_batch
        self.random_state = random_state
        self.client = client
        self.verbose = verbose
        self.device_buffer_samples = device_buffer_samples
        self.init_size = init_size

    def fit(self, X, y=None, sample_weight=None):
        """Find the centres.

        Parameters
        ----------
        X : dask.array.Array, dask.dataframe.DataFrame, or host array or table
            Rows to cluster, shape (n_rows, n_features), real numbers of any dtype and memory
            layout. A Dask collection is computed where its partitions are and stays there.
        y : ignored
            cuML's second argument is `sample_weight`. Give weights by name, on both machines.
        sample_weight : array or Dask collection of shape (n_rows,), or number, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X is empty, has NaN or infinite values, has fewer rows
            than clusters, or its partitions differ in columns; or if the weights do not fit X.
        MemoryError
            If X, or a chunk of it, has more bytes than the workers may use.

        Warns
        -----
        ConvergenceWarning
            If the centres still move after `max_iter` iterations, or some clusters have no rows.
        UserWarning
            If y could be meant as weights.
        """
        self._check_parameters()
        _warn_of_weights(y)
        data = shards.rows_of(self, X, sample_weight, reset=True)
        self.n_features_in_ = data.n_features
        if data.n_rows < self.n_clusters:
            raise ValueError(f"n_samples={data.n_rows} should be >= n_clusters={self.n_clusters}")
        centers, self.n_iter_, rests = self._best_run(data)
        self.cluster_centers_ = (centers + data.origin).astype(data.dtype)
        data.origin, centers = about(self.cluster_centers_, data.dtype)  # as predict does
        labels, self.inertia_, counts = data.label(centers)
        self._labels = labels, data.client
        self._warn(rests, np.count_nonzero(counts))
        return self

    @property
    def labels_(self):
        """Label of each training row."""
        labels, client = vars(self).get("_labels", (None, None))
        if labels is None or (client and client.status != "running"):
            raise AttributeError(
                "no labels_: fit makes them, and those of a Dask collection stay on the workers, "
                "until their cluster is closed. predict(X) makes them again."
            )
        return labels

    @labels_.setter
    def labels_(self, labels):
        self._labels = labels, None

    @property
    def _n_features_out(self):
        return len(self.cluster_centers_)

    def predict(self, X, delayed=True):
        """Label each row with its nearest centre.

        Parameters
        ----------
        X : as in `fit`
        delayed : bool
            For a Dask collection: return it lazy (True) or computed on the workers (False). A
            fault in the values of a lazy one is raised when it is computed.

        Returns
        -------
        numpy.ndarray, dask.array.Array or dask.dataframe.Series of int32, shape (n_rows,)
            A Dask table gives a Series with the index of X.
        """
        return self._map(X, delayed, _labels)

    def fit_predict(self, X, y=None, sample_weight=None, delayed=True):
        """Fit, and return `labels_`; `delayed` as in `predict`."""
        labels = self.fit(X, y, sample_weight).labels_
        return labels if delayed or not hasattr(labels, "__dask_graph__") else labels.persist()

    def transform(self, X, delayed=True):
        """Distances to the centres, shape (n_rows, n_clusters); like `predict`.

        A Dask table gives a table with the columns 0, 1 and so on, as cuML does; `set_output` is
        for rows in this process.
        """
        if hasattr(X, "__dask_graph__") and (
            (kind := _get_output_config("transform", self)["dense"]) != "default"
        ):
            raise ValueError(
                f"set_output(transform={kind!r}) is for rows in this process: set it to 'default' "
                "for a Dask collection; a Dask table gives a table"
            )
        return self._map(X, delayed, _distances)

    def fit_transform(self, X, y=None, sample_weight=None, delayed=True):
        """Fit, and return the distances of X to the centres; `delayed` as in `predict`."""
        return self.fit(X, y, sample_weight).transform(X, delayed)

    def score(self, X, y=None, sample_weight=None):
        """Minus the sum of squared errors of X, weighted."""
        check_is_fitted(self)
        _warn_of_weights(y)
        data = shards.rows_of(self, X, sample_weight, reset=False)
        data.origin, centers = about(self.cluster_centers_, data.dtype)
        return -sum(data.each(shards.cost, centers))

    def get_combined_model(self):
        """Make a scikit-learn KMeans of the same centres, without labels and inertia.

        Returns
        -------
        sklearn.cluster.KMeans
        """
        return to_sklearn(self)

    @classmethod
    def from_sklearn(cls, model):
        """Make one of a fitted KMeans from scikit-learn, cuML or dask-ml, to predict and score.

        It takes the centres and the names of the columns; labels belong to the training rows.

        Examples
        --------
        >>> plain = KMeans(2, n_init=1).fit([[0.0], [1.0], [5.0], [6.0]])
        >>> sorted(DistributedKMeans.from_sklearn(plain).cluster_centers_.ravel().tolist())
        [0.5, 5.5]
        """
        centers, names = centers_and_names(model)
        new = cls(n_clusters=len(centers))
        new.cluster_centers_, new.n_features_in_ = centers, centers.shape[1]
        if names is not None:
            new.feature_names_in_ = names
        return new

    def _map(self, X, delayed, function):
        check_is_fitted(self)
        centers = self.cluster_centers_
        if not hasattr(X, "__dask_graph__"):
            return function(validate_data(self, X, reset=False, dtype=FLOATS), centers)
        X = shards.collection(self, X, reset=False)
        arguments = function, centers, type(self).__name__
        if shards.is_table(X):
            meta = _on_block(to_host(X._meta), *arguments)
            lazy = X.map_partitions(_on_block, *arguments, meta=meta)
        elif function is _labels:
            meta = np.empty(0, "int32")
            lazy = X.map_blocks(_on_block, *arguments, meta=meta, drop_axis=1)
        else:
            dtype = X.dtype if X.dtype in FLOATS else "f8"
            meta = np.empty((0, 0), np.result_type(dtype, centers))
            chunks = (X.chunks[0], (len(centers),))
            lazy = X.map_blocks(_on_block, *arguments, meta=meta, chunks=chunks)
        return lazy if delayed else lazy.persist()

    def _check_parameters(self):
        at_least_1 = {name: 1 for name in ("n_clusters", "max_iter", "max_samples_per_batch")}
        if self.n_init != "auto":
            at_least_1["n_init"] = 1
        for name, least in at_least_1.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}={value!r} should be a positive integer.")
        for name, least in [("tol", 0), ("oversampling_factor", 1e-9)]:
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool) or not value >= least:
                raise ValueError(f"{name}={value!r} should be a positive number.")
        if isinstance(self.init, str) and self.init not in (*SAMPLING_STARTS, "random"):
            raise ValueError(
                f"init={self.init!r} is not known: use 'k-means||', 'random' or an array of "
                "centres ('k-means++' needs all data in one place)."
            )

    # From here on, centres are about the origin of the data.

    def _best_run(self, data):
        """Run Lloyd's algorithm from every start; the centres of the best run."""
        if isinstance(self.init, str):
            n_init = self.n_init
            if n_init == "auto":
                n_init = 10 if self.init == "random" else 1
            random = check_random_state(self.random_state)
            starts = [self._start(data, int(random.randint(2**31 - 1))) for _ in range(n_init)]
        else:
            if self.n_init not in ("auto", 1):
                warnings.warn(
                    "Explicit initial center position passed: performing only one init instead "
                    f"of n_init={self.n_init}.",
                    RuntimeWarning,
                    stacklevel=3,
                )
            starts = [self._given_start(data) - data.origin]
        runs = [self._lloyd(data, start) for start in starts]
        if len(runs) == 1:
            return runs[0]
        return min(runs, key=lambda run: sum(data.each(shards.cost, run[0])))

    def _given_start(self, data):
        init = self.init
        if hasattr(init, "columns"):
            validate_data(self, init, reset=False, skip_check_array=True)
        centers = check_array(to_host(init), dtype=data.dtype)
        for of_init, of_fit, what in [
            (len(centers), self.n_clusters, "number of clusters"),
            (centers.shape[1], data.n_features, "number of features of the data"),
        ]:
            if of_init != of_fit:
                raise ValueError(
                    f"The shape of the initial centers {centers.shape} does not match the {what} "
                    f"{of_fit}."
                )
        return centers.astype("f8")

    def _start(self, data, seed):
        """Choose the first centres."""
        if self.init == "random":
            return data.draw(self.n_clusters, seed)
        candidates = self._oversample(data, seed)
        if len(candidates) <= self.n_clusters:  # hardly any different rows: take some at random
            return np.vstack([candidates, data.draw(self.n_clusters, seed)])[: self.n_clusters]
        counts = sum(data.each(shards.weigh, candidates))
        # Few candidates, each standing for the rows near it: they fit into this process.
        weighted = KMeans(self.n_clusters, n_init=5, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return weighted.fit(candidates, sample_weight=counts).cluster_centers_

    def _oversample(self, data, seed):
        """k-means||: rows far from all candidates are likely to become candidates."""
        wanted = self.oversampling_factor * self.n_clusters
        candidates = data.draw(1, seed)
        for number in range(1, ROUNDS + 1):
            answers = data.each(shards.sample, candidates, wanted, (seed, number))
            costs, drawn = zip(*answers, strict=True)
            limit = wanted / sum(costs) if sum(costs) > 0 else 0.0
            rows = [row for part in drawn for row in part if row[1] < limit]
            rows.sort(key=shards.first_two)  # as they stand in X, however they are spread
            candidates = np.array([*candidates, *(X for *_, X in rows)])
        return candidates

    def _lloyd(self, data, centers):
        """Repeat Lloyd's iterations; the centres, their number, and whether they are at rest."""
        if self.verbose:
            print("Initialization complete")
        limit = self.tol * data.variance
        for n_iter in steps(range(1, self.max_iter + 1), "at most", "iterations"):
            if self.verbose:
                print(f"Iteration {n_iter}, inertia {sum(data.each(shards.cost, centers)):.6g}.")
            before, centers = centers, self._step(data, centers)
            moved = float(((centers - before) ** 2).sum())
            if moved <= limit:
                break
        if self.verbose and moved <= limit:
            why = f"center shift {moved:.3g} within tolerance {limit:.3g}"
            print(f"Converged at iteration {n_iter}: {why if moved else 'strict convergence'}.")
        return centers, n_iter, moved <= limit

    def _step(self, data, centers):
        """One Lloyd iteration: centres out, sums and counts back."""
        parts = data.each(shards.partial_sums, centers)
        sums, counts = (sum(part) for part in zip(*parts, strict=True))
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            self._refill(data, centers, sums, counts, empty)
        some = counts[:, None] > 0
        return np.divide(sums, counts[:, None], where=some, out=centers.astype("f8"))

    def _refill(self, data, centers, sums, counts, empty):
        """Give each empty cluster the row that is farthest from its centre."""
        parts = data.each(shards.farthest, centers, len(empty))
        found = sorted((r for part in parts for r in part), key=lambda row: (-row[0], row[1]))
        for cluster, (distance, _, label, weight, row) in zip(empty, found, strict=False):
            if distance > 0:
                sums[label] -= weight * row
                counts[label] -= weight
                sums[cluster], counts[cluster] = weight * row, weight

    def _warn(self, rests, n_found):
        """Warn as scikit-learn does, and at the end of the iterations."""
        if not rests:
            warnings.warn(
                f"The centres still moved after max_iter={self.max_iter} iterations: raise "
                "max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if n_found < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({n_found}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # A client cannot be copied. A clone works with the same one, a copy elsewhere with none.

    def __sklearn_clone__(self):
        """Clone all parameters but the client, which is shared."""
        new = BaseEstimator.__sklearn_clone__(copy.copy(self))
        new.client = self.client
        return new

    def __getstate__(self):
        """Leave the client, and labels that are on its workers, behind."""
        state = {**super().__getstate__(), "client": None}
        if state.get("_labels", (None, None))[1]:
            del state["_labels"]
        return state


def _labels(X, centers):
    origin, centers = about(centers, X.dtype)
    return shards.label([Part(X)], origin, centers)[0][0]


def _distances(X, centers):
    origin, centers = about(centers, np.result_type(X, centers))
    distances = np.empty((len(X), len(centers)), origin.dtype)
    for rows, batch, _ in Part(X).batches(origin):
        distances[rows] = euclidean_distances(batch, centers.astype(origin.dtype))
    return distances


def _on_block(block, function, centers, estimator):
    """Call `function` with the checked rows; a table's block gives a Series or a table."""
    X = shards.block_rows(block, estimator)
    if X.shape[1] != centers.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features, but {estimator} is expecting {centers.shape[1]} "
            "features as input."
        )
    found, index = function(X, centers), getattr(block, "index", None)
    if index is None:
        return found
    return pd.Series(found, index) if found.ndim == 1 else pd.DataFrame(found, index)


def _warn_of_weights(y):
    if getattr(getattr(y, "dtype", None), "kind", "") == "f":
        warnings.warn(
            "y is ignored, as in scikit-learn. If these numbers are weights (cuML's second "
            "argument), give them by name: sample_weight=...",
            stacklevel=3,
        )
