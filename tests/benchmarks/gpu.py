"""When does a GPU pay off? Seconds of the same work on both backends of one machine.

``python -m tests.benchmarks.gpu [--rows 10000000 100000000] [--out FILE]`` prints the figures and
writes them as JSON. Without a GPU both sides are the CPU: that shows that the command works, and
how far apart two timings of the same work are.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from helpers.backend import Backend, get_backend
from helpers.data import blobs, flights

K, COLUMNS, ITERATIONS = 8, 20, 10
CPU = get_backend("cpu")


def seconds(backend: Backend, work: Callable, repeats: int = 3) -> float:
    """Return the shortest wall-clock seconds of a call; the clock waits for the GPU."""
    wait = backend.xp.cuda.Device().synchronize if backend.is_gpu else lambda: None
    spent = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        work()
        wait()
        spent.append(time.perf_counter() - start)
    return min(spent[1:])  # what is compiled or loaded once does not count


def group_by(backend: Backend, rows: int) -> dict:
    """Average the delays of every day: flights, repeated to so many rows."""
    table = flights()[["month", "day", "dep_delay"]]
    host = pd.concat([table] * -(-rows // len(table)), ignore_index=True).head(rows)
    found = {}
    for side in (CPU, backend):
        here = side.to_device(host)
        mean = lambda t=here: t.groupby(["month", "day"])["dep_delay"].mean()  # noqa: E731
        found[side.name] = seconds(side, mean)
    found["copy to the device"] = seconds(backend, lambda: backend.to_device(host))
    return found


def kmeans(backend: Backend, rows: int) -> dict:
    """Fit, predict and one Lloyd iteration, in one process; and the copy of the rows."""
    X = blobs(rows, COLUMNS, K, chunk_rows=rows, backend="cpu")[0].compute(scheduler="sync")
    start = X[:K] + 5  # away from the answer, so that it takes its iterations
    found = {"copy to the device": seconds(backend, lambda: backend.to_device(X))}
    for side in (CPU, backend):
        here, KMeans = side.to_device(X), side.ml.cluster.KMeans
        options = {"n_clusters": K, "n_init": 1, "init": start, "tol": 1e-12}
        few, many = (KMeans(max_iter=n, **options) for n in (1, 1 + ITERATIONS))
        once, more = seconds(side, lambda: few.fit(here)), seconds(side, lambda: many.fit(here))  # noqa: B023
        found[f"{side.name}, fit"] = more
        found[f"{side.name}, one iteration"] = (more - once) / max(many.n_iter_ - 1, 1)
        found[f"{side.name}, predict"] = seconds(side, lambda: many.predict(here))  # noqa: B023
    return found


def copy_bandwidth(backend: Backend, size: int = 2**28) -> float:
    """Return bytes per second that a copy within the memory reads and writes."""
    a = backend.xp.ones(size, dtype="float32")
    b = backend.xp.empty_like(a)
    return 2 * a.nbytes / seconds(backend, lambda: backend.xp.copyto(b, a))


def bandwidth_shares(backend: Backend, rows: int, spent: dict) -> dict:
    """Return which part of the copy bandwidth predict and an iteration reach.

    The rows must be read once; predict writes a 4-byte label for each.
    """
    must_move = {"predict": rows * (COLUMNS + 1) * 4, "one iteration": rows * COLUMNS * 4}
    most = copy_bandwidth(backend)
    return {
        name: size / spent[f"{backend.name}, {name}"] / most for name, size in must_move.items()
    } | {"copy, bytes per second": most}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    backend, report = get_backend("auto"), {}
    print(backend)
    for rows in options.rows:
        found = {"group by": group_by(backend, rows), "KMeans": kmeans(backend, rows)}
        found["share of copy bandwidth"] = bandwidth_shares(backend, rows, found["KMeans"])
        report[rows] = found
        for name, values in found.items():
            for what, value in values.items():
                print(f"{rows:>13,} rows  {name:24} {what:24} {value:.3g}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
