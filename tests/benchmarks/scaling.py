"""Record what the appendix on scaling shows: ``python -m tests.benchmarks.scaling``.

It writes course/appendix_scaling.json: processor time of the scheduler for each task with simulated
workers, of the notebook's process for a round with real ones, of all workers for a fit. Processor
time hardly depends on what else runs, so the record needs no idle machine; it takes some minutes
on one. Nothing is asserted. The file is written anew after each measurement.
"""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from time import process_time

import psutil

from helpers.cluster import close_cluster, start_cluster
from helpers.data import blobs
from helpers.kmeans import DistributedKMeans
from helpers.scaling import scheduler_seconds

FILE = Path(__file__).parents[2] / "course" / "appendix_scaling.json"
SIMULATED = (1, 10, 100, 1000, 4000)
REAL = (1, 2, 4, 8, 16)
ROWS, COLUMNS, CLUSTERS = 1_000_000, 20, 8
ROUNDS, FITS = 20, 2
PACKAGES = ("dask", "distributed", "numpy", "scikit-learn")


def used(processes) -> float:
    """Seconds of processor time that processes have used so far."""
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def real(n_workers: int) -> dict:
    """Seconds of the notebook's process for a round: one small task for each worker, and back.

    And seconds of all workers together for a fit.
    """
    client = start_cluster("cpu", n_workers=n_workers, timeout=300)
    try:
        addresses = list(client.nthreads())
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]

        def rounds(count):
            for _ in range(count):
                tasks = [client.submit(abs, 1, workers=w, pure=False) for w in addresses]
                client.gather(tasks)

        X, _ = blobs(ROWS, COLUMNS, CLUSTERS, chunk_rows=ROWS // 16, backend="cpu")
        X = X.persist()
        model = DistributedKMeans(n_clusters=CLUSTERS, random_state=0).fit(X)  # all is imported
        rounds(3)
        before = process_time()
        rounds(ROUNDS)
        hub = (process_time() - before) / ROUNDS
        before = used(workers)
        for _ in range(FITS):
            model.fit(X)
        return {"round": hub, "fit": (used(workers) - before) / FITS}
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
    simulated, measured = {}, {}
    record = {"about": about, "scheduler seconds per task": simulated, "real workers": measured}
    parts = (simulated, SIMULATED, scheduler_seconds), (measured, REAL, real)
    for figures, counts, measure in parts:
        for n in counts:
            figures[n] = measure(n)
            print(n, figures[n], flush=True)
            FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
