"""Runs inside the container of JupyterLab: fit again and again while workers are lost.

``fits.py N`` joins N workers and fits until the file /shared/stop is there, then once more. It
prints a line when the first fit is done, and at the end how many different results there were.
"""

import sys
import time
from pathlib import Path

from helpers.cluster import close_cluster, start_cluster
from helpers.data import blobs
from helpers.kmeans import DistributedKMeans, canonical_order

STOP = Path("/shared/stop")


def fit(X) -> str:
    """Return the centres of a fit as a text that does not depend on their order."""
    centers = DistributedKMeans(n_clusters=4, random_state=0, tol=1e-6).fit(X).cluster_centers_
    return str(centers[canonical_order(centers)].round(3).tolist())


if __name__ == "__main__":
    STOP.unlink(missing_ok=True)
    start_cluster("cpu", n_workers=int(sys.argv[1]), scheduler="tls://scheduler:8786")
    X, _ = blobs(200_000, 10, 4, chunk_rows=20_000, backend="cpu")
    X = X.persist()
    results, fits = {fit(X)}, 1
    print("ready", flush=True)
    last = False
    while not last:
        last = STOP.exists()
        results.add(fit(X))
        fits += 1
        time.sleep(0.2)
    close_cluster()
    print(f"{fits} fits, {len(results)} result", flush=True)
