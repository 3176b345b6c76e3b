"""Record what the appendix on scaling shows: ``python -m tests.benchmarks.scaling``.

It writes course/appendix_scaling.json: the scheduler's processor time for each task with simulated
workers, and rounds and fits with real ones. It takes about five minutes on 2 idle cores. Nothing
is asserted; the file says on which machine it was made, and how busy that was.
"""

import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from helpers.cluster import close_cluster, start_cluster
from helpers.data import blobs
from helpers.kmeans import DistributedKMeans
from helpers.scaling import scheduler_seconds

FILE = Path(__file__).parents[2] / "course" / "appendix_scaling.json"
SIMULATED = (1, 10, 100, 1000, 3000)
REAL = (1, 2, 4, 8, 16)
ROWS, COLUMNS, CLUSTERS = 1_000_000, 20, 8
ROUNDS, FITS = 20, 3
PACKAGES = ("dask", "distributed", "numpy", "scikit-learn")


def seconds(function) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def real(n_workers: int) -> dict:
    """Seconds of a round, one small task for each worker and back, and of a whole fit."""
    from distributed import wait

    client = start_cluster("cpu", n_workers=n_workers, timeout=180)
    try:
        addresses = list(client.nthreads())

        def one_round():
            tasks = [client.submit(abs, n, workers=w, pure=False) for n, w in enumerate(addresses)]
            client.gather(tasks)

        X, _ = blobs(ROWS, COLUMNS, CLUSTERS, chunk_rows=ROWS // 16, backend="cpu")
        X = X.persist()
        wait(X)
        model = DistributedKMeans(n_clusters=CLUSTERS, random_state=0)
        one_round(), model.fit(X)
        return {
            "round": statistics.median(seconds(one_round) for _ in range(ROUNDS)),
            "fit": statistics.median(seconds(lambda: model.fit(X)) for _ in range(FITS)),
        }
    finally:
        close_cluster()


def main() -> None:
    """Measure all and write the file."""
    about = {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "load before": round(psutil.getloadavg()[0], 1),
        "rows": ROWS,
    }
    simulated = {n: scheduler_seconds(n, 3_000, timeout=300) for n in SIMULATED}
    measured = {n: real(n) for n in REAL}
    recorded = {"about": about, "scheduler seconds per task": simulated, "real workers": measured}
    FILE.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
