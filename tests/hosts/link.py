"""What travels in lesson 03, and how long it takes: ``python -m tests.hosts.link``.

On one host, and on three whose cables carry no more than a rate. Writes the table in docs/hosts.md
and docs/hosts.json beside it. As root, on Linux.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import numpy as np
from distributed import Client

from tests.hosts.network import PRIVATE, Cluster, limit
from tests.notebook_format import ROOT

PAGE, DATA = ROOT / "docs" / "hosts.md", ROOT / "docs" / "hosts.json"
WAYS = {"one host": None, "three hosts": "", "100 Mbit/s": "100mbit", "10 Mbit/s": "10mbit"}
RUNS, ROWS, COLUMNS, CLUSTERS, ITERATIONS = 3, 400_000, 16, 8, 5  # as in lesson 03
SECONDS = 540
BEGIN, END = "<!-- measured by python -m tests.hosts.link -->", "<!-- end -->"


def on_wire() -> int:
    """Return the bytes that this host has sent over its cable."""
    place = Path("/sys/class/net/eth0/statistics/tx_bytes")
    return int(place.read_text()) if place.exists() else 0


def counted(dask_worker) -> int:
    """Return the bytes of results that a worker has sent, by Dask's counter."""
    return dask_worker.transfer_outgoing_bytes_total


def local_step(part: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums and counts of the rows that are next to each centre."""
    near = (part @ (-2 * centers.T) + (centers**2).sum(axis=1)).argmin(axis=1)
    counts = np.bincount(near, minlength=len(centers)).astype(float)
    sums = [np.bincount(near, column, minlength=len(centers)) for column in part.T]
    return np.transpose(sums), counts


def works(client: Client) -> Iterator[tuple[str, int, Callable[[int], object]]]:
    """Yield name, bytes of results to expect (0: unknown), and a work to repeat."""
    from helpers.backend import get_backend
    from helpers.data import blob_centers, blobs
    from helpers.kmeans import DistributedKMeans

    get_backend("cpu")
    X = blobs(ROWS, COLUMNS, CLUSTERS, chunk_rows=ROWS // 8, backend="cpu")[0].persist()
    parts = client.compute(list(X.to_delayed().ravel()))
    client.gather([client.submit(len, part) for part in parts])
    start = blob_centers(CLUSTERS, COLUMNS) + 1

    def iterations(run: int) -> None:
        centers, holders = start + run / 100, client.who_has(parts)
        for _ in range(ITERATIONS):
            tasks = [
                client.submit(local_step, part, centers, workers=holders[part.key])
                for part in parts
            ]
            reports = client.gather(tasks)
            centers = sum(s for s, _ in reports) / sum(c for _, c in reports)[:, None]

    back = ITERATIONS * len(parts) * CLUSTERS * (COLUMNS + 1) * 8
    yield f"{ITERATIONS} iterations by hand", back, iterations

    def fit(run: int) -> None:
        DistributedKMeans(n_clusters=CLUSTERS, random_state=run, tol=1e-6).fit(X)

    yield "a fit of DistributedKMeans", 0, fit
    yield "all rows to the notebook", X.nbytes, lambda run: X.compute()


def measure(address: str) -> list[dict]:
    """Run the works on a cluster; return a row for each, the median of some runs."""
    rows = []
    with Client(address) as client:
        client.wait_for_workers(3, timeout=60)
        for name, expected, work in works(client):
            found = []
            for run in range(RUNS + 1):  # the first one imports and connects, and is left out
                before = [sum(client.run(count).values()) for count in (counted, on_wire)]
                begin = time.perf_counter()
                work(run)
                seconds = time.perf_counter() - begin
                after = [sum(client.run(count).values()) for count in (counted, on_wire)]
                found.append((seconds, *(b - a for a, b in zip(before, after, strict=True))))
            medians = [statistics.median(values) for values in zip(*found[1:], strict=True)]
            row = {"work": name, "expected": expected, "seconds": round(medians[0], 3)}
            rows.append(row | {"counter": int(medians[1]), "wire": int(medians[2])})
    return rows


def inside(rate: str | None) -> list[dict]:
    """Make the hosts, limit their cables, and measure from the first one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), alone=rate is None)
        try:
            if rate:
                limit([host.name for host in cluster.hosts], rate)
            command = [sys.executable, "-m", "tests.hosts.link", "--measure", cluster.address]
            process = cluster.hosts[0].start(*command, stdout=subprocess.PIPE, text=True)
            out = process.communicate(timeout=SECONDS)[0]
            return json.loads(out.splitlines()[-1])
        finally:
            cluster.close()


def table(recorded: dict) -> str:
    """Return the rows as Markdown."""
    lines = ["| work | way | seconds | results, computed | Dask's counter | over all cables |"]
    lines.append("|---|---|---|---|---|---|")
    for work in dict.fromkeys(row["work"] for rows in recorded["ways"].values() for row in rows):
        for way, rows in recorded["ways"].items():
            row = next(row for row in rows if row["work"] == work)
            numbers = [f"{row[name]:,}" if row[name] else "" for name in ("expected", "counter")]
            wire = f"{row['wire']:,}" if row["wire"] else ""
            lines.append(
                f"| {work} | {way} | {row['seconds']:.2f} | {' | '.join(numbers)} | {wire} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure all ways and write the page, or one step of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.link", description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure or asked.inside:
        print(json.dumps(measure(asked.measure) if asked.measure else inside(WAYS[asked.inside])))
        return
    recorded = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "dask": dask.__version__,
        "rows": ROWS,
        "columns": COLUMNS,
        "clusters": CLUSTERS,
        "runs": RUNS,
        "load": round(os.getloadavg()[0], 1),
        "ways": {},
    }
    for way, rate in WAYS.items():
        command = [sys.executable, "-m", "tests.hosts.link", "--inside", way]
        command = [*(["unshare", *PRIVATE] if rate is not None else []), *command]
        out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        recorded["ways"][way] = json.loads(out.stdout.splitlines()[-1])
        print(way, *recorded["ways"][way], sep="\n  ", flush=True)
    DATA.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = "\n\n".join([f"{before}{BEGIN}", table(recorded), f"{END}{after}"])
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
