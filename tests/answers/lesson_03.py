"""Answers to the exercises of lesson 03."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from helpers.backend import get_backend, to_host
from helpers.kmeans import DistributedKMeans
from tests.answers import right, wrong

xp = get_backend("auto").xp


def distances(X, centers):
    return ((X[:, None] - xp.asarray(centers)) ** 2).sum(axis=2)


# 03.1


@wrong("03.1", points=0, hint="True or False")
def same_clustering(a, b):
    return adjusted_rand_score(a, b)


@wrong("03.1", points=0, hint="with return")
def same_clustering(a, b):
    print(adjusted_rand_score(a, b) == 1)


@wrong("03.1", points=1, hint="the numbers themselves")
def same_clustering(a, b):
    return bool((a == b).all())


@wrong("03.1", points=1, hint="any whole number")
def same_clustering(a, b):
    return sorted(np.bincount(a)) == sorted(np.bincount(b))


@wrong("03.1", points=2, hint="same sizes")
def same_clustering(a, b):
    sizes = [sorted(np.unique(labels, return_counts=True)[1]) for labels in (a, b)]
    return bool(np.array_equal(*sizes))


@wrong("03.1", points=2, hint="both directions")
def same_clustering(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a))


@wrong("03.1", points=2, hint="One row")
def same_clustering(a, b):
    return bool(adjusted_rand_score(a, b) > 0.95)


@wrong("03.1", points=2, hint="however many agree")
def same_clustering(a, b):
    return bool(adjusted_rand_score(a, b) > 0.9999)


@right("03.1")
def same_clustering(a, b):
    return bool(np.isclose(adjusted_rand_score(a, b), 1, atol=1e-12))


@right("03.1")
def same_clustering(a, b):
    together = [labels[:, None] == labels[None, :] for labels in (a, b)]
    return (together[0] == together[1]).all()


# 03.2


def belonging(labels, k):
    return (labels[None, :] == xp.arange(k)[:, None]).astype("float64")


@wrong("03.2", points=0, hint="pair of arrays")
def weighted_sums(X, weights, labels, k):
    return (belonging(labels, k) * weights) @ X


@wrong("03.2", points=0, hint="with return")
def weighted_sums(X, weights, labels, k):
    (belonging(labels, k) * weights) @ X


@wrong("03.2", points=0, hint="without rows are missing")
def weighted_sums(X, weights, labels, k):
    present = xp.unique(labels)
    belongs = (labels[None, :] == present[:, None]).astype("float64") * weights
    return belongs @ X, belongs.sum(axis=1)


@wrong("03.2", points=1, hint="weight 2 counts twice")
def weighted_sums(X, weights, labels, k):
    belongs = belonging(labels, k)
    return (belongs * weights) @ X, belongs.sum(axis=1)


@wrong("03.2", points=2, hint="without their weights")
def weighted_sums(X, weights, labels, k):
    belongs = belonging(labels, k)
    return belongs @ X, (belongs * weights).sum(axis=1)


@wrong("03.2", points=2, hint="Those are means")
def weighted_sums(X, weights, labels, k):
    weighted = belonging(labels, k) * weights
    totals = weighted.sum(axis=1)
    return (weighted @ X) / xp.maximum(totals, 1e-9)[:, None], totals


@wrong("03.2", points=3, hint="float64 before you add")
def weighted_sums(X, weights, labels, k):
    weighted = (belonging(labels, k) * weights).astype("float32")
    return (weighted @ X).astype("float64"), weighted.sum(axis=1).astype("float64")


@right("03.2")
def weighted_sums(X, weights, labels, k):
    X, weights = X.astype("float64"), weights.astype("float64")
    sums = [(X[labels == j] * weights[labels == j, None]).sum(axis=0) for j in range(k)]
    totals = [weights[labels == j].sum() for j in range(k)]
    return xp.stack(sums), xp.stack(totals)


@right("03.2")
def weighted_sums(X, weights, labels, k):
    X, weights, labels = (to_host(array) for array in (X, weights, labels))
    sums, totals = np.zeros((k, X.shape[1])), np.zeros(k)
    for row, weight, label in zip(X, weights, labels, strict=True):
        sums[label] += float(weight) * row.astype("float64")
        totals[label] += weight
    return xp.asarray(sums), xp.asarray(totals)


# 03.3


@wrong("03.3", points=0, hint="one array")
def merge_means(parts, centers):
    return [sum(counts) for _, counts in parts]


@wrong("03.3", points=0, hint="a line per cluster")
def merge_means(parts, centers):
    return np.nanmean([means for means, _ in parts], axis=(0, 1))


@wrong("03.3", points=1, hint="mean of the means")
def merge_means(parts, centers):
    return sum(means for means, _ in parts) / len(parts)


@wrong("03.3", points=1, hint="divide by the number of rows")
def merge_means(parts, centers):
    return sum(np.nan_to_num(means) * counts[:, None] for means, counts in parts)


@wrong("03.3", points=2, hint="NaN times 0 is NaN")
def merge_means(parts, centers):
    sums = sum(means * counts[:, None] for means, counts in parts)
    counts = sum(counts for _, counts in parts)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)


@wrong("03.3", points=2, hint="neither sum nor count")
def merge_means(parts, centers):
    sums = sum(np.nan_to_num(means) * np.maximum(counts, 1)[:, None] for means, counts in parts)
    return sums / sum(np.maximum(counts, 1) for _, counts in parts)[:, None]


@wrong("03.3", points=3, hint="0 / 0 is NaN")
def merge_means(parts, centers):
    sums = sum(np.nan_to_num(means) * counts[:, None] for means, counts in parts)
    with np.errstate(invalid="ignore"):
        return sums / sum(counts for _, counts in parts)[:, None]


@wrong("03.3", points=3, hint="The origin")
def merge_means(parts, centers):
    sums = sum(np.nan_to_num(means) * counts[:, None] for means, counts in parts)
    return sums / np.maximum(sum(counts for _, counts in parts), 1)[:, None]


@right("03.3")
def merge_means(parts, centers):
    new = centers.copy()
    for j in range(len(centers)):
        here = [(means[j], counts[j]) for means, counts in parts if counts[j]]
        if here:
            means, counts = zip(*here, strict=True)
            new[j] = np.average(means, axis=0, weights=counts)
    return new


@right("03.3")
def merge_means(parts, centers):
    means, counts = (np.array(of_all) for of_all in zip(*parts, strict=True))
    sums = np.where(counts[:, :, None] > 0, means * counts[:, :, None], 0).sum(axis=0)
    rows = counts.sum(axis=0)
    new = np.array(centers)
    new[rows > 0] = sums[rows > 0] / rows[rows > 0, None]
    return new


# 03.4


def draw(parts, draws, rates):
    chosen = [part[r < rate] for part, r, rate in zip(parts, draws, rates, strict=True)]
    return xp.concatenate(chosen)


@wrong("03.4", points=0, hint="join the rows")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [distances(part, candidates).min(axis=1) for part in parts]
    cost = sum(d.sum() for d in nearest)
    rates = [wanted * d / cost for d in nearest]
    return [part[r < rate] for part, r, rate in zip(parts, draws, rates, strict=True)]


@wrong("03.4", points=0, hint="with all their columns")
def next_candidates(parts, candidates, draws, wanted):
    return xp.concatenate([distances(part, candidates).min(axis=1) for part in parts])


@wrong("03.4", points=1, hint="unchanged")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [distances(part, candidates).min(axis=1) for part in parts]
    rates = [wanted * d / sum(d.sum() for d in nearest) for d in nearest]
    return xp.stack([d.mean() * part.mean(axis=0) for part, d in zip(parts, rates, strict=True)])


@wrong("03.4", points=2, hint="not one per part")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [distances(part, candidates).min(axis=1) for part in parts]
    return draw(parts, draws, [wanted * d / d.sum() for d in nearest])


@wrong("03.4", points=2, hint="squared distance")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [xp.sqrt(distances(part, candidates).min(axis=1)) for part in parts]
    return draw(parts, draws, [wanted * d / sum(d.sum() for d in nearest) for d in nearest])


@wrong("03.4", points=2, hint="nearest candidate counts")
def next_candidates(parts, candidates, draws, wanted):
    total = [distances(part, candidates).sum(axis=1) for part in parts]
    return draw(parts, draws, [wanted * d / sum(d.sum() for d in total) for d in total])


@wrong("03.4", points=2, hint="not only the last one")
def next_candidates(parts, candidates, draws, wanted):
    last = [distances(part, candidates[-1:])[:, 0] for part in parts]
    return draw(parts, draws, [wanted * d / sum(d.sum() for d in last) for d in last])


@wrong("03.4", points=2, hint="multiply the chances")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [distances(part, candidates).min(axis=1) for part in parts]
    return draw(parts, draws, [d / sum(d.sum() for d in nearest) for d in nearest])


@wrong("03.4", points=2, hint="not the others")
def next_candidates(parts, candidates, draws, wanted):
    nearest = [distances(part, candidates).min(axis=1) for part in parts]
    rates = [wanted * d / sum(d.sum() for d in nearest) for d in nearest]
    return draw(parts, [-r for r in draws], [-rate for rate in rates])


@right("03.4")
def next_candidates(parts, candidates, draws, wanted):
    rows, numbers = xp.concatenate(parts), xp.concatenate(draws)
    squares = (candidates**2).sum(axis=1) - 2 * rows @ candidates.T
    nearest = squares.min(axis=1) + (rows**2).sum(axis=1)
    return rows[numbers * nearest.sum() < wanted * nearest]


@right("03.4")
def next_candidates(parts, candidates, draws, wanted):
    nearest = []
    for part in parts:
        smallest = xp.full(len(part), xp.inf)
        for candidate in candidates:
            smallest = xp.minimum(smallest, ((part - candidate) ** 2).sum(axis=1))
        nearest.append(smallest)
    cost = xp.concatenate(nearest).sum()
    drawn = [d * cost < wanted * n for d, n in zip(draws, nearest, strict=True)]
    return xp.vstack([part[which] for part, which in zip(parts, drawn, strict=True)])


# 03.5


def sums_and_counts(part, centers):
    labels = distances(part, centers).argmin(axis=1)
    belongs = belonging(labels, len(centers))
    return to_host(belongs @ part), to_host(belongs.sum(axis=1))


def iterate(reports, centers):
    sums, counts = (sum(of_all) for of_all in zip(*reports, strict=True))
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)


@wrong("03.5", points=0, hint="as one array")
def fit_kmeans(client, X, centers, n_iter):
    return KMeans(len(centers), init=centers, max_iter=n_iter).fit(to_host(X))


@wrong("03.5", points=0, hint="they are small")
def fit_kmeans(client, X, centers, n_iter):
    import dask.array as da

    return da.from_array(centers)


@wrong("03.5", points=0, hint="partitions' means")
def fit_kmeans(client, X, centers, n_iter):
    from distributed import futures_of

    for _ in range(n_iter):
        tasks = [client.submit(sums_and_counts, part, centers) for part in futures_of(X)]
        centers = np.mean([iterate([report], centers) for report in client.gather(tasks)], axis=0)
    return centers


@wrong("03.5", points=0, hint="it stays where it is")
def fit_kmeans(client, X, centers, n_iter):
    model = DistributedKMeans(n_clusters=len(centers), init=centers, max_iter=n_iter, tol=0)
    return model.fit(X).cluster_centers_


@wrong("03.5", points=1, hint="0 / 0 is NaN")
def fit_kmeans(client, X, centers, n_iter):
    from distributed import futures_of

    for _ in range(n_iter):
        tasks = [client.submit(sums_and_counts, part, centers) for part in futures_of(X)]
        sums, counts = (sum(of_all) for of_all in zip(*client.gather(tasks), strict=True))
        with np.errstate(invalid="ignore"):
            centers = sums / counts[:, None]
    return centers


@wrong("03.5", points=1, hint="went to the origin")
def fit_kmeans(client, X, centers, n_iter):
    from distributed import futures_of

    for _ in range(n_iter):
        tasks = [client.submit(sums_and_counts, part, centers) for part in futures_of(X)]
        sums, counts = (sum(of_all) for of_all in zip(*client.gather(tasks), strict=True))
        centers = sums / np.maximum(counts, 1)[:, None]
    return centers


@wrong("03.5", points=0, hint="no iteration was done")
def fit_kmeans(client, X, centers, n_iter):
    from distributed import futures_of

    for _ in range(1, n_iter):
        tasks = [client.submit(sums_and_counts, part, centers) for part in futures_of(X)]
        centers = iterate(client.gather(tasks), centers)
    return centers


@wrong("03.5", points=0, hint="after two iterations")
def fit_kmeans(client, X, centers, n_iter):
    rows = X.compute()
    for _ in range(n_iter + 1):
        centers = iterate([sums_and_counts(rows, centers)], centers)
    return centers


@wrong("03.5", points=2, hint="hand them on")
def fit_kmeans(client, X, centers, n_iter):
    from distributed import futures_of

    for _ in range(n_iter):
        tasks = [client.submit(sums_and_counts, part, centers) for part in futures_of(X)]
        new = iterate(client.gather(tasks), centers)
    return new


@wrong("03.5", points=3, hint="rows came to this process")
def fit_kmeans(client, X, centers, n_iter):
    rows = X.compute()
    for _ in range(n_iter):
        centers = iterate([sums_and_counts(rows, centers)], centers)
    return centers


@wrong("03.5", points=3, hint="rows came to this process")
def fit_kmeans(client, X, centers, n_iter):
    for _ in range(n_iter):
        reports = [sums_and_counts(block.compute(), centers) for block in X.blocks]
        centers = iterate(reports, centers)
    return centers


@right("03.5")
def fit_kmeans(client, X, centers, n_iter):
    import dask

    step = dask.delayed(sums_and_counts)
    for _ in range(n_iter):
        reports = dask.compute(*[step(part, centers) for part in X.to_delayed().ravel()])
        centers = iterate(reports, centers)
    return xp.asarray(centers)


@right("03.5")
def fit_kmeans(client, X, centers, n_iter):
    for _ in range(n_iter):
        steps = client.map(
            sums_and_counts, client.compute(list(X.to_delayed().ravel())), centers=centers
        )
        sums, counts = zip(*client.gather(steps), strict=True)
        sums, counts = np.sum(sums, axis=0), np.sum(counts, axis=0)
        centers = centers.copy()
        centers[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return centers
