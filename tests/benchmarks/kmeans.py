"""How fast is the distributed KMeans? Ratios, each measured within one run.

``python -m tests.benchmarks.kmeans`` takes about three minutes on 2 cores. Nothing is asserted:
speed depends on the machine, and a busy one makes every ratio noisy.
"""

import resource
import statistics
import time

import dask.array as da
import numpy as np
from sklearn.cluster import KMeans

from helpers.backend import get_backend
from helpers.cluster import close_cluster, start_cluster
from helpers.data import blobs
from helpers.kmeans import DistributedKMeans, sse, to_sklearn

K, COLUMNS, WORKERS = 8, 20, 2


def seconds(function):
    """Wall-clock seconds of one call, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def data(rows, chunk_rows):
    X, _ = blobs(rows, COLUMNS, K, chunk_rows=chunk_rows, backend="cpu")
    return X.persist()


def fit_against_others(rows=1_000_000, repeats=7):
    """Ours, scikit-learn in one process and dask-ml, in turn, on the same rows."""
    from dask_ml.cluster import KMeans as DaskMLKMeans

    X = data(rows, rows // 10)
    host = X.compute()
    ours = lambda: DistributedKMeans(n_clusters=K, random_state=0).fit(X)  # noqa: E731
    plain = lambda: KMeans(K, random_state=0).fit(host)  # noqa: E731
    ours(), plain()
    times = [(seconds(ours), seconds(plain)) for _ in range(repeats)]
    ratio = statistics.median(a[0] / b[0] for a, b in times)
    (_, model), (_, other) = times[-1]
    slow, dask_ml = seconds(lambda: DaskMLKMeans(K, random_state=0).fit(X))
    fast = statistics.median(a[0] for a, _ in times)
    errors = [sse(X, m.cluster_centers_) for m in (model, other, dask_ml)]
    print(f"fit, {rows:,} x {COLUMNS}, k={K}, {WORKERS} workers:")
    print(f"  ours / scikit-learn in one process   {ratio:.2f}   (goal: at most 0.80)")
    print(f"  dask-ml / ours                       {slow / fast:.1f}   (goal: at least 10)")
    print(f"  SSE, relative differences            {np.ptp(errors) / min(errors):.1e} (goal: 1e-4)")


def iterations_against_rows(rows=(20_000, 200_000, 2_000_000), iterations=10):
    """Seconds per iteration and million rows: the same for all sizes if time is linear in rows."""
    print("one iteration, seconds per million rows:")
    for n in rows:
        X = data(n, n // WORKERS)
        start = X[:K].compute()
        few, many = (
            DistributedKMeans(n_clusters=K, init=start, tol=0, max_iter=m)
            for m in (1, 1 + iterations)
        )
        few.fit(X)
        spent = []
        for _ in range(3):
            (a, _), (b, model) = seconds(lambda: few.fit(X)), seconds(lambda: many.fit(X))  # noqa: B023
            spent.append((b - a) / max(model.n_iter_ - 1, 1))
        print(f"  {n:>9,} rows   {statistics.median(spent) / n * 1e6:.4f}")


def predict_cpu_and_memory(client, rows=10_000_000, chunk_rows=250_000):
    """CPU seconds of a distributed predict against scikit-learn's over the same chunks."""
    X, _ = blobs(rows, COLUMNS, K, chunk_rows=chunk_rows, backend="cpu")
    model = DistributedKMeans(n_clusters=K, random_state=0).fit(X[:chunk_rows].persist())
    plain = to_sklearn(model)
    # One chunk, many times: what makes the rows does not count.
    chunk = X[:chunk_rows].compute()
    n_chunks = rows // chunk_rows
    lazy = da.concatenate([da.from_delayed(_delayed(client, chunk), chunk.shape, "f4")] * n_chunks)
    spent = {}
    before, base = sum(_cpu(client)), max(client.run(_peak).values())
    client.gather(client.compute([b.sum() for b in model.predict(lazy).blocks]))
    spent["ours"] = sum(_cpu(client)) - before
    peak = max(client.run(_peak).values()) - base
    start = time.process_time()
    for _ in range(n_chunks):
        plain.predict(chunk).sum()
    spent["scikit-learn"] = time.process_time() - start
    print(f"predict, {rows:,} x {COLUMNS} in chunks of {chunk_rows:,} rows:")
    ratio = spent["ours"] / spent["scikit-learn"]
    print(f"  CPU time, ours / scikit-learn        {ratio:.2f}   (goal: at most 1.30)")
    share = peak * 1024 / (chunk.nbytes * 4)
    print(f"  memory above the start / 4 chunks    {share:.2f}   (goal: below 1, per worker)")


def _delayed(client, chunk):
    import dask

    (future,) = client.scatter([chunk], broadcast=True)
    return dask.delayed(future)


def _cpu(client):
    return client.run(lambda: sum(time.process_time() for _ in [0])).values()


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def helpers_overhead(rows=1_000_000):
    """What get_backend and its KMeans add to a fit."""
    X = data(rows, rows // WORKERS)
    fit, _ = seconds(lambda: DistributedKMeans(n_clusters=K, random_state=0).fit(X))
    extra, _ = seconds(lambda: get_backend("cpu").KMeans(n_clusters=K))
    print(f"helpers' share of a fit              {extra / fit:.2%}   (goal: under 2 %)")


if __name__ == "__main__":
    client = start_cluster("cpu", n_workers=WORKERS)
    try:
        fit_against_others()
        iterations_against_rows()
        predict_cpu_and_memory(client)
        helpers_overhead()
    finally:
        close_cluster()
