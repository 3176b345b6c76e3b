"""Rows that stay where they are, and what is computed there.

`rows_of` finds the rows of X: on the workers if X is a Dask collection, else in this process. Both
answer to ``each(function, *arguments)``, which runs one of the functions below on every shard and
brings its small answers here. A shard is a list of parts: the partitions of one worker.

Distances are taken about an origin near the rows. Far from zero, the squares of coordinates would
swallow them: in float32 a row at 100,000 has no digits left for what lies behind the comma.
"""

import math
from numbers import Number

import numpy as np
import pandas as pd
from dask.utils import format_bytes
from scipy.sparse import csr_matrix
from sklearn.cluster._kmeans import _labels_inertia  # the compiled step; pinned with scikit-learn
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from helpers.backend import to_host
from helpers.joining import known_workers

FLOATS = [np.float64, np.float32]


class Part:
    """A partition: its rows, their weights, its number, and the number of its first row."""

    def __init__(self, X, weights=None, number=0, batch=8192, index=None):
        self.X, self.weights, self.index = X, weights, index
        self.number, self.batch, self.first = number, batch, 0

    def batches(self, origin):
        """Yield rows, batch by batch: their slice, the rows minus `origin`, and their weights."""
        size = min(self.batch, len(self.X))
        # Reused for every batch: fresh memory would cost more than the subtraction.
        centred = np.empty((size, self.X.shape[1]), origin.dtype)
        ones = np.ones(size, origin.dtype)
        for start in range(0, len(self.X), self.batch):
            rows = slice(start, min(start + self.batch, len(self.X)))
            n = rows.stop - start
            np.subtract(self.X[rows], origin, out=centred[:n])
            yield rows, centred[:n], ones[:n] if self.weights is None else self.weights[rows]

    def random(self, seed):
        """Draw one random number per row, which depends on the row's place in the data only."""
        bits = np.random.PCG64(seed)
        return np.random.Generator(bits.advance(self.first)).random(len(self.X))


def about(centers, dtype):
    """Choose an origin near the centres, and subtract it from them.

    Returns
    -------
    origin : numpy.ndarray of `dtype` in this machine's byte order, shape (n_features,)
    centers : numpy.ndarray of float64, shape (n_clusters, n_features)
    """
    centers = np.asarray(centers, "f8")
    origin = centers.mean(axis=0).astype(np.dtype(dtype).newbyteorder("="))
    return origin, centers - origin


# What runs where the rows are. All centres, and the rows that come back, are about the origin.


def load(numbers, partitions, weights, batch, estimator):
    """Check partitions, and make them a shard."""
    shard = []
    for number, partition, w in zip(numbers, partitions, weights, strict=True):
        try:
            X = block_rows(partition, estimator)
            if w is not None:
                options = {"ensure_non_negative": True, "allow_all_zero_weights": True}
                w = _check_sample_weight(to_host(w), X, dtype=X.dtype, **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"partition {number}: {error}") from None
        shard.append(Part(X, w, number, batch, getattr(partition, "index", None)))
    return shard


def block_rows(block, estimator):
    """Check the rows of a block as scikit-learn checks X; it may be empty."""
    options = {"dtype": FLOATS, "ensure_min_samples": 0, "input_name": "X", "estimator": estimator}
    return check_array(to_host(block), **options)


def describe(shard):
    """Per part: number, shape, dtype, weight, mean of each column, squares about that mean."""
    found = []
    for part in shard:
        pivot = np.zeros(part.X.shape[1], part.X.dtype)
        if len(part.X):  # a row that counts, so that its distance from the others does, too
            pivot = part.X[0 if part.weights is None else np.argmax(part.weights > 0)].copy()
        weight, sums, squares = 0.0, np.zeros(pivot.shape), np.zeros(pivot.shape)
        buffer = np.empty((min(part.batch, len(part.X)), len(pivot)))
        for _, X, weights in part.batches(pivot):
            (double := buffer[: len(X)])[:] = X
            weight += weights.sum(dtype="f8")
            sums += weights @ double
            squares += weights @ np.square(double, out=double)
        offset = sums / (weight or 1)
        found.append(
            (part.number, *part.X.shape, part.X.dtype.str, weight, pivot + offset,
             np.maximum(squares - weight * offset**2, 0))
        )  # fmt: skip
    return found


def place(shard, firsts, dtype):
    """Tell each part where its rows begin, and give all the same dtype."""
    placed = []
    for old in shard:
        weights = None if old.weights is None else old.weights.astype(dtype, copy=False)
        part = Part(old.X.astype(dtype, copy=False), weights, old.number, old.batch, old.index)
        part.first = firsts[part.number]
        placed.append(part)
    return placed


def partial_sums(shard, origin, centers):
    """Per cluster the sum and the weight of its rows, in double precision."""
    sums, counts = np.zeros(centers.shape), np.zeros(len(centers))
    near = np.ascontiguousarray(centers, origin.dtype)
    for part in shard:
        double = np.empty((min(part.batch, len(part.X)), centers.shape[1]))
        for rows, X, weights in part.batches(origin):
            labels = _labels_inertia(X, weights, near, return_inertia=False)
            # Not from X, which is rounded: a centre of one row is that row, to the last bit.
            double[: len(X)] = part.X[rows]
            double[: len(X)] -= origin
            belongs = csr_matrix((weights, labels, np.arange(len(X) + 1)), (len(X), len(centers)))
            sums += belongs.T @ double[: len(X)]
            counts += np.bincount(labels, weights, len(centers))
    return sums, counts


def weigh(shard, origin, centers):
    """Weight of the rows nearest to each centre."""
    counts, near = np.zeros(len(centers)), np.ascontiguousarray(centers, origin.dtype)
    for part in shard:
        for _, X, weights in part.batches(origin):
            labels = _labels_inertia(X, weights, near, return_inertia=False)
            counts += np.bincount(labels, weights, len(centers))
    return counts


def cost(shard, origin, centers):
    """Sum of weight × squared distance to the nearest centre, batch by batch for precision."""
    near = np.ascontiguousarray(centers, origin.dtype)
    return float(
        sum(
            _labels_inertia(X, weights, near)[1]
            for part in shard
            for _, X, weights in part.batches(origin)
        )
    )


def label(shard, origin, centers):
    """Label the rows of each part; sum up the inertia, and count the rows of each cluster."""
    found, inertia, counts = [], 0.0, np.zeros(len(centers), int)
    near = np.ascontiguousarray(centers, origin.dtype)
    for part in shard:
        labels = np.empty(len(part.X), "int32")
        for rows, X, weights in part.batches(origin):
            labels[rows], own = _labels_inertia(X, weights, near)
            inertia += float(own)
        counts += np.bincount(labels, minlength=len(centers))
        found.append(labels if part.index is None else pd.Series(labels, part.index))
    return found, inertia, counts


def draw(shard, origin, n, seed):
    """Take the n rows with the largest random keys, heavy rows more often.

    The keys are those of Efraimidis and Spirakis, "Weighted random sampling", 2006.
    """
    drawn = []
    for part in shard:
        with np.errstate(divide="ignore"):
            keys = -np.log(part.random(seed))  # the smallest ones win
            if part.weights is not None:
                keys /= part.weights
        rows = np.argpartition(keys, n)[:n] if n < len(keys) else range(len(keys))
        drawn += [(keys[row], row + part.first, part.X[row] - origin) for row in rows]
    return drawn


def sample(shard, origin, candidates, wanted, seed):
    """One round of k-means||, as far as a worker can go without the others' costs.

    A row is drawn if its random number is below ``wanted * its cost / cost of all rows``. The cost
    of this shard is at most that of all rows: whoever knows the whole cost drops what is too much.

    Returns
    -------
    cost : float
        Sum over the shard of weight × squared distance to the nearest candidate.
    drawn : list of (place in X, random number / cost, row)
    """
    costs = [_costs(part, origin, candidates) for part in shard]
    whole = float(sum(part.sum(dtype="f8") for part in costs))
    drawn = []
    for part, own in zip(shard, costs, strict=True):
        random = part.random(seed)
        for row in np.flatnonzero(random * whole < wanted * own) if whole > 0 else []:
            drawn.append((part.first + row, random[row] / own[row], part.X[row] - origin))
    return whole, drawn


def _costs(part, origin, candidates):
    """Weighted squared distance of each row to its nearest candidate."""
    candidates = np.ascontiguousarray(candidates, origin.dtype)
    lengths = (candidates * candidates).sum(axis=1)[:, None]
    products = np.empty((len(candidates), min(part.batch, len(part.X))), candidates.dtype)
    costs = np.empty(len(part.X), candidates.dtype)
    for rows, X, weights in part.batches(origin):
        distances = np.matmul(candidates, X.T, out=products[:, : len(X)])
        distances *= -2
        distances += lengths
        least = distances.min(axis=0) + np.einsum("ij,ij->i", X, X)
        costs[rows] = weights * np.maximum(least, 0)
    return costs


def farthest(shard, origin, centers, n):
    """The n rows farthest from their centres: (distance, place in X, label, weight, row)."""
    found, near = [], np.ascontiguousarray(centers, origin.dtype)
    for part in shard:
        for rows, X, weights in part.batches(origin):
            labels = _labels_inertia(X, weights, near, return_inertia=False)
            distances = ((X - near[labels]) ** 2).sum(axis=1) * (weights > 0)
            found += [
                (float(distances[row]), part.first + rows.start + int(row), int(labels[row]),
                 float(weights[row]), part.X[rows.start + row].astype("f8") - origin)
                for row in np.argsort(-distances, kind="stable")[:n]
            ]  # fmt: skip
    return sorted(found, key=lambda row: (-row[0], row[1]))[:n]


# What runs in the client: it hands out functions and adds up small answers.


class _Rows:
    """The rows of X in shards: one per worker, or a single one in this process.

    Attributes
    ----------
    n_rows, n_features : int
    dtype : numpy.dtype
        Of the rows, float32 or float64.
    origin : numpy.ndarray of `dtype`, shape (n_features,)
        Distances are taken about it. At first, it is the mean of the rows.
    variance : float
        Mean of the columns' variances. A row counts with its weight here and in the origin.
    """

    def __init__(self, shards):
        self.shards = shards
        found = sorted((part for parts in self._gather(self._keep(describe)) for part in parts),
                       key=lambda part: part[0])  # fmt: skip
        numbers, self.lengths, widths, dtypes, weights, means, squares = zip(*found, strict=True)
        if len(set(widths)) > 1:
            raise ValueError(f"the partitions differ in columns: {sorted(set(widths))}")
        self.n_features, self.n_rows = widths[0], sum(self.lengths)
        if self.n_rows and not sum(weights) > 0:
            raise ValueError("Sample weights must contain at least one non-zero number.")
        self.dtype, whole = np.result_type(*dtypes).newbyteorder("="), sum(weights) or 1
        # Chan, Golub and LeVeque: means and squares of parts give those of all rows.
        mean = sum(w * m for w, m in zip(weights, means, strict=True)) / whole
        apart = sum(w * (m - mean) ** 2 for w, m in zip(weights, means, strict=True))
        self.origin, self.variance = (
            mean.astype(self.dtype),
            np.mean((sum(squares) + apart) / whole),
        )
        firsts = dict(zip(numbers, np.cumsum([0, *self.lengths[:-1]]).tolist(), strict=True))
        self.shards = self._keep(place, firsts, self.dtype)

    def each(self, function, *arguments):
        """Results of ``function(shard, origin, *arguments)``, brought here."""
        return self._gather(self._keep(function, self.origin, *arguments))

    def draw(self, n, seed):
        """N rows at random: of those drawn in each shard the ones with the smallest keys."""
        drawn = sorted((row for part in self.each(draw, n, seed) for row in part), key=first_two)
        return np.array([X for *_, X in drawn[:n]])


class _RowsHere(_Rows):
    client = None

    def _keep(self, function, *arguments):
        return [function(self.shards[0], *arguments)]

    def _gather(self, results):
        return results

    def label(self, centers):
        """Labels, inertia, and the number of rows in each cluster."""
        (((labels,), inertia, counts),) = self.each(label, centers)
        return labels, inertia, counts


class _RowsOnWorkers(_Rows):
    def __init__(self, client, X, weights, batch, estimator):
        from distributed import wait

        self.client, self.X = client, X
        _check_memory(client, X)
        wait(partitions := client.compute(list(np.ravel(X.to_delayed()))))
        weights = self._weights(weights, partitions)
        holders = client.who_has(partitions)
        numbers = {}
        for number, future in enumerate(partitions):
            # A partition that failed is nowhere: any worker will tell why.
            worker = min(holders.get(future.key) or [""])
            numbers.setdefault(worker, []).append(number)
        self.workers, self.numbers = list(numbers), list(numbers.values())
        super().__init__(
            [
                self._submit(worker, load, own, [partitions[i] for i in own],
                             [weights[i] for i in own], batch, estimator)
                for worker, own in numbers.items()
            ]
        )  # fmt: skip

    def _weights(self, weights, partitions):
        """Weights of each partition: none, a number, or a future."""
        if weights is None or isinstance(weights, Number):
            return [weights] * len(partitions)
        chunks = _chunks(self.X)
        if hasattr(weights, "__dask_graph__"):
            own = _chunks(weights)
            if own == chunks or np.isnan([*own, *chunks]).any():
                parts = list(np.ravel(weights.to_delayed()))
                if len(parts) != len(partitions):
                    raise ValueError(
                        f"X has {len(partitions)} partitions, sample_weight has {len(parts)}: "
                        "give them the same ones"
                    )
                return self.client.compute(parts)
            n_rows = sum(chunks)
            if weights.ndim == 1 and weights.shape != (n_rows,):
                raise ValueError(f"sample_weight.shape == {weights.shape}, expected ({n_rows},)!")
            return self.client.compute(list(np.ravel(weights.rechunk({0: chunks}).to_delayed())))
        if np.isnan(chunks).any():
            chunks = self.client.gather(self.client.map(len, partitions))
        ends = np.cumsum(chunks)
        weights = _check_sample_weight(
            to_host(weights), np.empty((ends[-1], 0)), ensure_non_negative=True
        )
        return self.client.scatter(np.split(weights, ends[:-1]), hash=False)

    def _submit(self, worker, function, *arguments):
        # If its worker dies, the task runs elsewhere, after its rows were computed there.
        place = {"workers": [worker], "allow_other_workers": True} if worker else {}
        return self.client.submit(function, *arguments, pure=False, **place)

    def _keep(self, function, *arguments):
        return [
            self._submit(worker, function, shard, *arguments)
            for worker, shard in zip(self.workers, self.shards, strict=True)
        ]

    def _gather(self, results):
        return self.client.gather(results)

    def label(self, centers):
        """Labels on the workers, partitioned as X is; inertia, and rows in each cluster."""
        import dask
        import dask.array as da
        import dask.dataframe as dd

        labelled, pieces = self._keep(label, self.origin, centers), {}
        for worker, own, result in zip(self.workers, self.numbers, labelled, strict=True):
            labels = self._submit(worker, _item, result, 0)
            for place, number in enumerate(own):
                pieces[number] = dask.delayed(self._submit(worker, _item, labels, place))
        small = [self._submit("", _item, result, slice(1, None)) for result in labelled]
        inertias, counts = zip(*self._gather(small), strict=True)
        pieces = [pieces[number] for number in sorted(pieces)]
        if is_table(self.X):
            meta = label_meta(self.X)
            labels = dd.from_delayed(pieces, meta=meta, divisions=self.X.divisions)
        else:
            sized = zip(pieces, self.lengths, strict=True)
            labels = da.concatenate([da.from_delayed(p, (n,), dtype="int32") for p, n in sized])
        return labels, sum(inertias), sum(counts)


def rows_of(estimator, X, sample_weight, reset):
    """Rows of X where they are: on the workers if X is a Dask collection, else here.

    Columns are compared with those that the estimator was fitted to, or noted if `reset`.
    """
    batch = estimator.max_samples_per_batch
    if not hasattr(X, "__dask_graph__"):
        X = validate_data(estimator, X, reset=reset, dtype=FLOATS)
        if sample_weight is not None:
            options = {"dtype": X.dtype, "ensure_non_negative": True}
            sample_weight = _check_sample_weight(to_host(sample_weight), X, **options)
        return _RowsHere([[Part(X, sample_weight, batch=batch)]])
    X = collection(estimator, X, reset)
    client = _client(estimator.client)
    data = _RowsOnWorkers(client, X, sample_weight, batch, type(estimator).__name__)
    if not data.n_rows:
        check_array(np.zeros((0, data.n_features)), estimator=estimator)
    return data


def _check_memory(client, X):
    """Refuse rows that the workers cannot hold; else nannies would kill one after the other.

    A table does not know its bytes. What a chunk needs while it is made is not known, either.
    """
    workers = known_workers(client).values()
    limits = [worker["memory_limit"] for worker in workers]
    if is_table(X) or np.isnan(X.nbytes) or not limits or not all(limits):  # 0: no limit
        return
    chunk = X.dtype.itemsize * math.prod(max(sizes) for sizes in X.chunks)
    for what, needed, limit, remedy in (
        ("X has", X.nbytes, sum(limits), "more workers, fewer rows or float32"),
        ("a chunk of X has", chunk, max(limits), "smaller chunks, X.rechunk(...)"),
    ):
        if needed > limit:
            whose = "all workers together" if what == "X has" else "a worker"
            raise MemoryError(
                f"{what} {format_bytes(needed)}, {whose} may use {format_bytes(limit)}: take "
                f"{remedy}"
            )


def _client(client):
    from distributed import get_client

    try:
        client = client or get_client()
    except ValueError:
        raise ValueError("a Dask collection needs a cluster: client = start_cluster()") from None
    if client.status not in ("running", "connecting"):
        raise ValueError(f"the client is {client.status}: make a new one, or leave client=None")
    return client


def collection(estimator, X, reset):
    """Check what a Dask collection tells without computing, as scikit-learn checks X.

    Returns
    -------
    Dask table, or Dask array whose chunks hold whole rows
    """
    if is_table(X):
        validate_data(estimator, to_host(X._meta), reset=reset, skip_check_array=True)
        return X
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array()
    if not hasattr(X, "rechunk"):
        raise TypeError(f"X is a {type(X).__name__}: give a Dask array or a Dask table")
    if np.isnan(X.shape[1:]).any():
        raise ValueError("the number of columns is not known: X.compute_chunk_sizes() finds it")
    rows = np.zeros((int(X.shape[0] != 0), *X.shape[1:]), "f4")
    validate_data(estimator, rows, reset=reset)
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def is_table(X):
    """Tell a Dask table from a Dask array."""
    return hasattr(X, "divisions") and X.ndim == 2


def _chunks(X):
    """Rows of each partition; of a table they are not known."""
    return (np.nan,) if hasattr(X, "divisions") else X.chunks[0]


def label_meta(X):
    """What labels of a Dask table look like."""
    return pd.Series([], index=to_host(X._meta).index[:0], dtype="int32")


def _item(items, place):
    return items[place]


def first_two(row):
    """Sort by these: what follows is an array, which has no order."""
    return row[:2]
