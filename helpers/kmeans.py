"""KMeans whose data stay on their workers, and what goes with it.

`DistributedKMeans` is the CPU twin of ``cuml.dask.cluster.KMeans``: centroids go out, partial sums
and counts come back. Beside it: canonical order of clusters, the sum of squared errors, and
conversions between models.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.cluster._kmeans import _labels_inertia  # the compiled step; pinned with scikit-learn
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import euclidean_distances
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    check_random_state,
    validate_data,
)

from helpers.backend import to_host

ROUNDS = 2  # of oversampling in k-means||, as in Spark's MLlib; Bahmani et al. 2012 take 5
SAMPLING_STARTS = ("k-means||", "scalable-k-means++")
FLOATS = [np.float64, np.float32]


class DistributedKMeans(TransformerMixin, ClusterMixin, BaseEstimator):
    """KMeans on the workers of a Dask cluster.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means||", "scalable-k-means++", "random"} or array of shape (n_clusters, n_features)
        The first two are names of the same thing.
    max_iter : int
    tol : float
        Stop when the squared moves of all centres together are at most this (as cuML does;
        scikit-learn scales its tol by the variance of the data).
    oversampling_factor : float
        k-means|| draws about ``oversampling_factor * n_clusters`` candidates a round.
    max_samples_per_batch : int
        Rows that a worker handles at once.
    random_state : int, optional
        The same seed gives the same centres for any number of workers and partitions.
    client : distributed.Client, optional
        Default: the current one. NumPy arrays and pandas tables are fitted in this process.
    verbose : bool
        Print the inertia of each iteration.

    Attributes
    ----------
    cluster_centers_ : numpy.ndarray of shape (n_clusters, n_features), dtype of X
    labels_ : dask.array.Array or numpy.ndarray of int32, shape (n_rows,)
        Distributed like X.
    inertia_ : float
        Sum over all rows of weight × squared distance to the centre.
    n_iter_ : int
    n_features_in_ : int

    Notes
    -----
    Start: k-means|| of Bahmani, Moseley, Vattani, Kumar and Vassilvitskii, "Scalable k-means++",
    PVLDB 5(7), 2012. The random number of a row belongs to its position in X, not to its partition.
    A cluster that loses all its rows takes the row farthest from its centre, as in scikit-learn.

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
        max_iter=300,
        tol=1e-4,
        oversampling_factor=2.0,
        max_samples_per_batch=8192,
        random_state=None,
        client=None,
        verbose=False,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.oversampling_factor = oversampling_factor
        self.max_samples_per_batch = max_samples_per_batch
        self.random_state = random_state
        self.client = client
        self.verbose = verbose

    def fit(self, X, y=None, sample_weight=None):
        """Find the centres.

        Parameters
        ----------
        X : dask.array.Array, dask.dataframe.DataFrame, or host array or table
            Rows to cluster, shape (n_rows, n_features). A Dask collection is computed where its
            partitions are and stays there.
        y : ignored
        sample_weight : the same kind as X, shape (n_rows,), optional
            Partitioned like X.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X is empty, has NaN or infinite values, has fewer rows
            than clusters, or its partitions differ in columns; or if the weights do not fit X.
        """
        self._check_parameters()
        data = _rows(self, X, sample_weight)
        self.n_features_in_ = data.n_features
        if data.n_rows < self.n_clusters:
            raise ValueError(f"n_samples={data.n_rows} should be >= n_clusters={self.n_clusters}")
        centers = self._start(data)
        for n_iter in range(1, self.max_iter + 1):
            new_centers, inertia = self._step(data, centers)
            moved = float(((new_centers.astype("f8") - centers) ** 2).sum())
            centers = new_centers
            if self.verbose:
                print(f"iteration {n_iter}: inertia {inertia:.6g}, moved {moved:.3g}")
            if moved <= self.tol:
                break
        self.cluster_centers_, self.n_iter_ = centers, n_iter
        self.labels_, self.inertia_ = data.labels(centers)
        return self

    def predict(self, X, delayed=True):
        """Label each row with its nearest centre.

        Parameters
        ----------
        X : as in `fit`
        delayed : bool
            For a Dask collection: return it lazy (True) or computed on the workers (False).

        Returns
        -------
        dask.array.Array or numpy.ndarray of int32, shape (n_rows,)
        """
        return self._map(X, delayed, _predict_block)

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit, and return `labels_`."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def transform(self, X, delayed=True):
        """Distances to the centres, shape (n_rows, n_clusters); like `predict`."""
        return self._map(X, delayed, _transform_block)

    def fit_transform(self, X, y=None, sample_weight=None):
        """Fit, and return the distances of X to the centres."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(self, X, y=None, sample_weight=None):
        """Minus the sum of squared errors of X, weighted."""
        check_is_fitted(self)
        data = _rows(self, X, sample_weight, reset=False)
        return -float(sum(part[2] for part in data.each(_partial_sums, self.cluster_centers_)))

    def get_combined_model(self):
        """Make a scikit-learn KMeans of the same centres, without labels and inertia.

        Returns
        -------
        sklearn.cluster.KMeans
        """
        return to_sklearn(self)

    def _map(self, X, delayed, function):
        check_is_fitted(self)
        if not hasattr(X, "__dask_graph__"):
            X = validate_data(self, X, reset=False, dtype=FLOATS)
            return function(X, self.cluster_centers_)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        X = _one_column_chunk(X)
        if function is _predict_block:
            lazy = X.map_blocks(function, self.cluster_centers_, dtype="int32", drop_axis=1)
        else:
            shape = {"dtype": _floating(X.dtype), "chunks": (X.chunks[0], (self.n_clusters,))}
            lazy = X.map_blocks(function, self.cluster_centers_, **shape)
        return lazy if delayed else lazy.persist()

    def _check_parameters(self):
        for name, least in [("n_clusters", 1), ("max_iter", 1), ("max_samples_per_batch", 1)]:
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

    def _start(self, data):
        """Choose the first centres."""
        if not isinstance(self.init, str):
            centers = check_array(self.init, dtype=data.dtype, copy=True)
            if centers.shape != (self.n_clusters, data.n_features):
                raise ValueError(
                    f"init has shape {centers.shape}, but n_clusters and the columns of X ask "
                    f"for {(self.n_clusters, data.n_features)}."
                )
            return centers
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if self.init == "random":
            return data.draw(self.n_clusters, seed)
        candidates = self._oversample(data, seed)
        if len(candidates) <= self.n_clusters:  # hardly any different rows: take some at random
            return np.vstack([candidates, data.draw(self.n_clusters, seed)])[: self.n_clusters]
        counts = sum(data.each(_counts, candidates))
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
            costs, drawn = zip(*data.each(_sample, candidates, wanted, (seed, number)), strict=True)
            limit = wanted / sum(costs) if sum(costs) > 0 else 0.0
            rows = [row for part in drawn for row in part if row[1] < limit]
            rows.sort(key=_first_two)  # as they stand in X, however they are spread
            candidates = np.array([*candidates, *(X for *_, X in rows)])
        return candidates

    def _step(self, data, centers):
        """One Lloyd iteration: centres out, sums and counts back."""
        parts = data.each(_partial_sums, centers)
        sums, counts, inertia = (sum(part) for part in zip(*parts, strict=True))
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            self._refill(data, centers, sums, counts, empty)
        means = np.divide(
            sums, counts[:, None], where=counts[:, None] > 0, out=centers.astype("f8")
        )
        return means.astype(data.dtype), inertia

    def _refill(self, data, centers, sums, counts, empty):
        """Give each empty cluster the row that is farthest from its centre."""
        found = [row for part in data.each(_farthest, centers, len(empty)) for row in part]
        found.sort(key=lambda row: (-row[0], row[1]))
        for cluster, (distance, _, label, weight, row) in zip(empty, found, strict=False):
            if distance > 0:
                sums[label] -= weight * row
                counts[label] -= weight
                sums[cluster], counts[cluster] = weight * row, weight


def canonical_order(centers, decimals=6):
    """Order clusters by their centres: by the first column, then the second, and so on.

    Two fits find the same clusters under different numbers; in canonical order they compare.

    Parameters
    ----------
    centers : array of shape (n_clusters, n_features), on the host or a GPU
    decimals : int
        Coordinates that agree to this many decimals count as equal.

    Returns
    -------
    numpy.ndarray of int64, shape (n_clusters,)
        ``centers[order]`` is sorted.

    Examples
    --------
    >>> canonical_order(np.array([[2.0, 1.0], [1.0, 5.0], [1.0, 3.0]])).tolist()
    [2, 1, 0]
    """
    centers = _host_centers(centers)
    return np.lexsort(np.round(centers, decimals).T[::-1])


def canonical_labels(labels, centers):
    """Renumber labels, so that they count the clusters in canonical order.

    Parameters
    ----------
    labels : array of int, shape (n_rows,), on the host, a GPU, or a Dask array (computed)
    centers : array of shape (n_clusters, n_features)
        The centres that the labels belong to.

    Returns
    -------
    numpy.ndarray of int32, shape (n_rows,)

    Raises
    ------
    ValueError
        If a label has no centre.

    Examples
    --------
    >>> canonical_labels(np.array([0, 1]), np.array([[5.0], [2.0]])).tolist()
    [1, 0]
    """
    rank = np.argsort(canonical_order(centers)).astype("int32")
    labels = np.asarray(to_host(labels)).astype("int64")
    if labels.size and not 0 <= labels.min() <= labels.max() < len(rank):
        raise ValueError(f"labels must be from 0 to {len(rank) - 1}: these centres have no others")
    return rank[labels]


def sse(X, centers):
    """Sum of squared errors: of each row's squared distance to its nearest centre.

    The same number for every library; ``inertia_`` is not (dask-ml 2025.1.0 sums distances that
    are not squared, unless the last move of the centres was at most 1e-7).

    Parameters
    ----------
    X : Dask, host or GPU array or table, shape (n_rows, n_features)
        A Dask collection is reduced partition by partition.
    centers : array of shape (n_clusters, n_features)

    Returns
    -------
    float

    Examples
    --------
    >>> sse(np.array([[0.0], [3.0]]), np.array([[1.0]]))
    5.0
    """
    centers = _host_centers(centers)
    if hasattr(X, "__dask_graph__"):
        import dask

        blocks = _one_column_chunk(X).to_delayed().ravel()
        return float(sum(dask.compute(*[dask.delayed(sse)(block, centers) for block in blocks])))
    X = check_array(to_host(X), dtype=FLOATS, ensure_min_samples=0)
    if X.shape[1] != centers.shape[1]:
        raise ValueError(f"X has {X.shape[1]} columns, the centres have {centers.shape[1]}")
    return float(sum(_partial_sums([_Part(X)], centers)[2:]))


def to_sklearn(model):
    """Make a scikit-learn KMeans of a fitted KMeans from cuML, dask-ml or this course.

    It predicts, transforms, scores, clones and fits anew. It has no ``labels_`` and no
    ``inertia_``: these belong to the training rows.

    Parameters
    ----------
    model : estimator with ``cluster_centers_``

    Returns
    -------
    sklearn.cluster.KMeans

    Raises
    ------
    ValueError
        If the model has no ``cluster_centers_``.
    """
    if getattr(model, "cluster_centers_", None) is None:
        raise ValueError(f"{type(model).__name__} is not fitted: it has no cluster_centers_")
    centers = np.ascontiguousarray(_host_centers(model.cluster_centers_))
    # Fitted to its own centres, a model is complete, whatever scikit-learn keeps inside.
    plain = KMeans(len(centers), init=centers, n_init=1, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain.fit(centers)
    plain.cluster_centers_ = centers
    del plain.labels_, plain.inertia_, plain.n_iter_
    return plain.set_params(init="k-means++", n_init="auto", max_iter=300)


def _host_centers(centers):
    centers = np.asarray(to_host(centers))
    if centers.ndim != 2 or not len(centers):
        raise ValueError(f"centres have the shape (n_clusters, n_features), not {centers.shape}")
    return centers if centers.dtype in FLOATS else centers.astype("float64")


# What runs where the rows are. A shard is a list of parts: the partitions of one worker.


class _Part:
    """A partition: its rows, their weights, its number, and the number of its first row."""

    def __init__(self, X, weights=None, number=0, first=0, batch=8192):
        self.X = X
        self.weights = np.ones(len(X), X.dtype) if weights is None else weights
        self.number, self.first, self.batch = number, first, batch

    def batches(self):
        for start in range(0, len(self.X), self.batch):
            rows = slice(start, start + self.batch)
            yield self.X[rows], self.weights[rows]

    def random(self, seed):
        """Draw one random number per row, which depends on the row's place in the data only."""
        bits = np.random.PCG64(seed)
        return np.random.Generator(bits.advance(self.first)).random(len(self.X))


def _load(numbers, partitions, weights, batch):
    shard = []
    for number, X, w in zip(numbers, partitions, weights, strict=True):
        try:
            shard.append(_part(X, w, number, batch))
        except ValueError as error:
            raise ValueError(f"partition {number}: {error}") from None
    return shard


def _part(X, weights, number, batch):
    X = check_array(to_host(X), dtype=FLOATS, order="C", ensure_min_samples=0, input_name="X")
    if weights is not None:
        options = {"ensure_non_negative": True, "allow_all_zero_weights": True}
        weights = _check_sample_weight(to_host(weights), X, dtype=X.dtype, **options)
    return _Part(X, weights, number, batch=batch)


def _sizes(shard):
    return [(p.number, *p.X.shape, p.X.dtype.str, float(p.weights.sum())) for p in shard]


def _place(shard, firsts, dtype):
    """Tell each part where its rows begin, and give all the same dtype."""
    return [
        _Part(p.X.astype(dtype, copy=False), p.weights.astype(dtype, copy=False), p.number,
              firsts[p.number], p.batch)
        for p in shard
    ]  # fmt: skip


def _partial_sums(shard, centers):
    """Per cluster the sum and the weight of its rows, in double precision; and the inertia."""
    sums, counts, inertia = np.zeros(centers.shape), np.zeros(len(centers)), 0.0
    # Reused for every batch: fresh memory would cost more than the sums.
    double = np.empty((shard[0].batch, centers.shape[1]))
    for X, weights in (batch for part in shard for batch in part.batches()):
        labels, cost = _labels_inertia(X, weights, centers.astype(X.dtype, copy=False))
        double[: len(X)] = X
        belongs = csr_matrix((weights, labels, np.arange(len(X) + 1)), (len(X), len(centers)))
        sums += belongs.T @ double[: len(X)]
        counts += np.bincount(labels, weights, len(centers))
        inertia += cost
    return sums, counts, inertia


def _counts(shard, centers):
    """Weight of the rows nearest to each centre."""
    counts = np.zeros(len(centers))
    for X, weights in (batch for part in shard for batch in part.batches()):
        labels = _labels_inertia(
            X, weights, centers.astype(X.dtype, copy=False), return_inertia=False
        )
        counts += np.bincount(labels, weights, len(centers))
    return counts


def _sample(shard, candidates, wanted, seed):
    """One round of k-means||, as far as a worker can go without the others' costs.

    A row is drawn if its random number is below ``wanted * its cost / cost of all rows``. The cost
    of this shard is at most that of all rows: whoever knows the whole cost drops what is too much.

    Returns
    -------
    cost : float
        Sum over the shard of weight × squared distance to the nearest candidate.
    drawn : list of (place in X, random number / cost, row)
    """
    costs = _costs(shard, candidates)
    cost = float(sum(part.sum(dtype="f8") for part in costs))
    drawn = []
    for part, own in zip(shard, costs, strict=True):
        random = part.random(seed)
        for row in np.flatnonzero(random * cost < wanted * own) if cost > 0 else []:
            drawn.append((part.first + row, random[row] / own[row], part.X[row]))
    return cost, drawn


def _costs(shard, candidates):
    """Weighted squared distance of each row to its nearest candidate, one array per part."""
    lengths = (candidates * candidates).sum(axis=1)[:, None]
    # Reused for every batch, as above.
    products = np.empty((len(candidates), shard[0].batch), candidates.dtype)
    costs = []
    for part in shard:
        pieces = [np.empty(0, candidates.dtype)]
        for X, weights in part.batches():
            distances = np.matmul(candidates, X.T, out=products[:, : len(X)])
            distances *= -2
            distances += lengths
            least = distances.min(axis=0) + np.einsum("ij,ij->i", X, X)
            pieces.append(weights * np.maximum(least, 0))
        costs.append(np.concatenate(pieces))
    return costs


def _draw(shard, n, seed):
    """Take the n rows with the largest random keys, heavy rows more often.

    The keys are those of Efraimidis and Spirakis, "Weighted random sampling", 2006.
    """
    drawn = []
    for part in shard:
        with np.errstate(divide="ignore"):
            keys = -np.log(part.random(seed)) / part.weights  # the smallest ones win
        rows = np.argpartition(keys, n)[:n] if n < len(keys) else range(len(keys))
        drawn += [(keys[row], row + part.first, part.X[row]) for row in rows]
    return drawn


def _farthest(shard, centers, n):
    found = []
    for part in shard:
        start = part.first
        for X, weights in part.batches():
            labels, _ = _labels_inertia(X, weights, centers.astype(X.dtype, copy=False))
            distances = ((X - centers[labels]) ** 2).sum(axis=1) * (weights > 0)
            found += [
                (float(distances[row]), start + int(row), int(labels[row]), weights[row], X[row])
                for row in np.argsort(-distances, kind="stable")[:n]
            ]
            start += len(X)
    return sorted(found, key=lambda row: (-row[0], row[1]))[:n]


def _label(shard, centers):
    """Label the rows of each part, and sum up the inertia, batch by batch for precision."""
    labels, inertia = [], 0.0
    for part in shard:
        pieces = [np.empty(0, "int32")]
        for X, weights in part.batches():
            own, cost = _labels_inertia(X, weights, centers.astype(X.dtype, copy=False))
            pieces.append(own)
            inertia += float(cost)
        labels.append(np.concatenate(pieces))
    return labels, inertia


def _predict_block(X, centers):
    X = np.ascontiguousarray(X, dtype=_floating(X.dtype))
    centers = centers.astype(X.dtype, copy=False)
    return _labels_inertia(X, np.ones(len(X), X.dtype), centers, return_inertia=False)


def _transform_block(X, centers):
    X = np.ascontiguousarray(X, dtype=_floating(X.dtype))
    return euclidean_distances(X, centers.astype(X.dtype, copy=False))


def _floating(dtype):
    return dtype if dtype in FLOATS else np.dtype("float64")


# What runs in the client: it hands out functions and adds up small answers.


class _Rows:
    """The rows of X in shards: one per worker, or a single one in this process."""

    def __init__(self, shards):
        self.shards = shards
        by_number = sorted(size for sizes in self.each(_sizes) for size in sizes)
        numbers, self.lengths, widths, dtypes, weights = zip(*by_number, strict=True)
        if len(set(widths)) > 1:
            raise ValueError(f"the partitions differ in columns: {sorted(set(widths))}")
        self.n_features, self.n_rows = widths[0], sum(self.lengths)
        if self.n_rows and not sum(weights) > 0:
            raise ValueError("sample_weight is zero for every row")
        self.dtype = np.result_type(*dtypes)
        firsts = dict(zip(numbers, np.cumsum([0, *self.lengths[:-1]]).tolist(), strict=True))
        self.shards = self.keep(_place, firsts, self.dtype)

    def each(self, function, *arguments):
        """Results of ``function(shard, *arguments)``, brought here."""
        return self.gather(self.keep(function, *arguments))

    def draw(self, n, seed):
        """N rows at random: of those drawn in each shard the ones with the smallest keys."""
        drawn = sorted((row for part in self.each(_draw, n, seed) for row in part), key=_first_two)
        return np.array([X for *_, X in drawn[:n]])


class _RowsHere(_Rows):
    def keep(self, function, *arguments):
        return [function(self.shards[0], *arguments)]

    def gather(self, results):
        return results

    def labels(self, centers):
        ((labels,), inertia) = self.each(_label, centers)[0]
        return labels, inertia


class _RowsOnWorkers(_Rows):
    def __init__(self, client, delayed, weights, batch):
        from distributed import wait

        self.client = client
        wait(partitions := client.compute(delayed))
        weights = [None] * len(partitions) if weights is None else client.compute(weights)
        holders = client.who_has(partitions)
        numbers = {}
        for number, future in enumerate(partitions):
            # A partition that failed is nowhere: any worker will tell why.
            worker = min(holders.get(future.key) or [""])
            numbers.setdefault(worker, []).append(number)
        self.workers, self.numbers = list(numbers), list(numbers.values())
        super().__init__(
            [
                self._submit(worker, _load, own, [partitions[i] for i in own],
                             [weights[i] for i in own], batch)
                for worker, own in numbers.items()
            ]
        )  # fmt: skip

    def _submit(self, worker, function, *arguments):
        # If its worker dies, the task runs elsewhere, after its rows were computed there.
        place = {"workers": [worker], "allow_other_workers": True} if worker else {}
        return self.client.submit(function, *arguments, pure=False, **place)

    def keep(self, function, *arguments):
        return [
            self._submit(worker, function, shard, *arguments)
            for worker, shard in zip(self.workers, self.shards, strict=True)
        ]

    def gather(self, results):
        return self.client.gather(results)

    def labels(self, centers):
        import dask
        import dask.array as da

        labelled, chunks = self.keep(_label, centers), {}
        for worker, own, result in zip(self.workers, self.numbers, labelled, strict=True):
            labels = self._submit(worker, _item, result, 0)
            for place, number in enumerate(own):
                chunk = dask.delayed(self._submit(worker, _item, labels, place))
                chunks[number] = da.from_delayed(chunk, (self.lengths[number],), dtype="int32")
        inertia = sum(self.gather([self._submit("", _item, result, 1) for result in labelled]))
        return da.concatenate([chunks[number] for number in sorted(chunks)]), inertia


def _item(items, place):
    return items[place]


def _rows(estimator, X, sample_weight, reset=True):
    """Rows of X where they are: on the workers if X is a Dask collection, else here."""
    batch = estimator.max_samples_per_batch
    if not hasattr(X, "__dask_graph__"):
        X = validate_data(estimator, X, reset=reset, dtype=FLOATS, order="C")
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        return _RowsHere([[_Part(X, weights, batch=batch)]])
    from distributed import get_client

    try:
        client = estimator.client or get_client()
    except ValueError:
        raise ValueError("a Dask collection needs a cluster: client = start_cluster()") from None
    delayed = list(np.ravel(_one_column_chunk(X).to_delayed()))
    weights = None if sample_weight is None else list(np.ravel(sample_weight.to_delayed()))
    if weights is not None and len(weights) != len(delayed):
        raise ValueError(f"X has {len(delayed)} partitions, sample_weight has {len(weights)}")
    return _RowsOnWorkers(client, delayed, weights, batch)


def _one_column_chunk(X):
    """Turn a Dask collection into an array whose chunks hold whole rows."""
    X = X.to_dask_array() if hasattr(X, "to_dask_array") else X
    if X.ndim != 2:
        raise ValueError(f"X has {X.ndim} dimension(s), but rows and columns are needed")
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def _first_two(row):
    return row[:2]  # what follows is an array, which has no order
