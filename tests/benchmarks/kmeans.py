"""How fast is the distributed KMeans? Ratios, each measured within one run.

``python -m tests.benchmarks.kmeans`` takes about three minutes on 2 cores. Nothing is asserted:
speed depends on the machine, and a busy one makes every ratio noisy.
"""

import gc
import statistics
import threading
import time
from functools import partial

import numpy as np
import psutil
from sklearn.cluster import KMeans

from helpers.backend import get_backend
from helpers.cluster import close_cluster, start_cluster
from helpers.data import blobs
from helpers.kmeans import DistributedKMeans, sse, to_sklearn

K, COLUMNS, WORKERS = 8, 20, 2


def seconds(function):
    """Wall-clock seconds of one call, and its result."""
    time.sleep(0.5)  # threads of the call before may still spin
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


def iterations_against_rows(rows=(100_000, 1_000_000, 10_000_000), iterations=10):
    """Seconds per iteration: a fixed part, which is the trip to the workers, and one per row."""
    print("one iteration:")
    found = []
    for n in rows:
        X = data(n, n // WORKERS)
        start = X[:K].compute() + 5  # away from the answer, so that it takes its iterations
        few, many = (
            DistributedKMeans(n_clusters=K, init=start, tol=0, max_iter=m)
            for m in (1, 1 + iterations)
        )
        spent = []
        for _ in range(3):
            (a, _), (b, model) = seconds(partial(few.fit, X)), seconds(partial(many.fit, X))
            spent.append((b - a) / max(model.n_iter_ - 1, 1))
        found.append(statistics.median(spent))
        print(f"  {n:>10,} rows   {found[-1]:.4f} s")
    small, large = np.diff(found) / np.diff(rows)
    print(f"  cost of a further row, large / small {large / small:.2f}   (linear: 1)")


def predict_cpu(client, rows=10_000_000, repeats=5):
    """CPU seconds of a distributed predict against scikit-learn's over the same chunks."""
    print(f"predict, {rows:,} x {COLUMNS}:")
    for chunk_rows in (rows // 40, rows // 10, rows // 4):
        X = data(rows, chunk_rows)
        chunks = [block.compute() for block in X.blocks.ravel()]
        model = DistributedKMeans(n_clusters=K, random_state=0).fit(chunks[0])
        labels, plain, ratios = model.predict(X), to_sklearn(model), []
        labels.sum().compute()  # what is imported once does not count
        for _ in range(repeats):
            before = sum(client.run(time.process_time).values())
            labels.sum().compute()
            ours = sum(client.run(time.process_time).values()) - before
            start = time.process_time()
            for chunk in chunks:
                plain.predict(chunk).sum()
            ratios.append(ours / (time.process_time() - start))
        print(f"  CPU time, ours / scikit-learn        {statistics.median(ratios):.2f}   "
              f"(goal: at most 1.30), chunks of {chunk_rows:,} rows")  # fmt: skip


def predict_memory(rows=10_000_000, chunk_rows=250_000):
    """Peak memory of new workers that make rows chunk by chunk, and label them."""
    close_cluster()
    client = start_cluster("cpu", n_workers=WORKERS)
    X, _ = blobs(rows, COLUMNS, K, chunk_rows=chunk_rows, backend="cpu")
    model = DistributedKMeans(n_clusters=K, random_state=0).fit(X[:10_000].compute())
    model.predict(X[:chunk_rows]).sum().compute()  # what is loaded once does not count
    client.run(gc.collect)
    start = sum(client.run(_memory).values())
    client.run(_watch)
    model.predict(X).sum().compute()
    peak = sum(client.run(_watched).values()) - start
    limit = chunk_rows * COLUMNS * 4 * WORKERS * 4
    print(f"  memory above the start / limit       {peak / limit:.2f}   (goal: below 1)")


def _memory():
    return psutil.Process().memory_info().rss


def _watch(dask_worker):
    def look():
        while not dask_worker.course_stop:
            dask_worker.course_peak = max(dask_worker.course_peak, _memory())
            time.sleep(0.01)

    dask_worker.course_stop, dask_worker.course_peak = False, 0
    threading.Thread(target=look, daemon=True).start()


def _watched(dask_worker):
    dask_worker.course_stop = True
    return dask_worker.course_peak


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
        predict_cpu(client)
        helpers_overhead()
        predict_memory()
    finally:
        close_cluster()
