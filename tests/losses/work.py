"""The notebook of a run: it starts or joins a cluster and does the works it is told.

``python -m tests.losses.work FOLDER [SCHEDULER]`` reads one request a line and answers with one
line of JSON each. A work takes some seconds, most of which its tasks sleep, as on a slow disk: so
a loss falls into its middle, also on a busy machine.
"""

import faulthandler
import json
import os
import signal
import sys
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
from dask_ml.wrappers import Incremental
from distributed import Client, wait
from distributed import TimeoutError as DaskTimeoutError
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from helpers.cluster import ClusterError, close_cluster, start_cluster
from helpers.data import FLIGHTS, blobs, dtypes, write_months
from helpers.federated import Federation
from helpers.kmeans import DistributedKMeans
from tests.losses import WORKS
from tests.losses.resume import from_lesson

WORKERS = 3
SITES = ("EWR", "JFK", "LGA")


def slowly(block, seconds=0.15):
    """Give a block back after a while."""
    sleep(seconds)
    return block


# The works. Each returns numbers that must not depend on what was lost.


def reading(client: Client, folder: Path) -> list[float]:
    """Read twelve files; count the flights of each airport and add up their distances."""
    table = dd.read_csv(write_months("csv"), dtype=dtypes(FLIGHTS), blocksize=None)
    table = table.map_partitions(slowly)
    found = table.groupby("origin")["distance"].agg(["count", "sum"]).compute()
    return found.sort_index().to_numpy().ravel().tolist()


def _rows(chunks: int = 12) -> da.Array:
    X, _ = blobs(6_000, 6, 8, chunk_rows=6_000 // chunks, std=3.0, seed=1, backend="cpu")
    return X


def fit(client: Client, folder: Path) -> list[float]:
    """Find the centres of eight clusters that overlap."""
    X = _rows().map_blocks(slowly, dtype="float32")
    model = DistributedKMeans(n_clusters=8, tol=0, max_iter=300, random_state=0, client=client)
    centers = model.fit(X).cluster_centers_
    return centers[np.lexsort(centers.T)].ravel().tolist()


def predict(client: Client, folder: Path) -> list[float]:
    """Label rows lazily, and count the labels."""
    model = DistributedKMeans(n_clusters=8, init=_rows()[:8].compute(), max_iter=2)
    model.fit(_rows()[:600].compute())
    labels = model.predict(_rows(24).map_blocks(slowly, dtype="float32"))
    return np.bincount(labels.compute(), minlength=8).tolist()


def _labelled(n_rows: int = 1_000) -> tuple[np.ndarray, np.ndarray]:
    return make_classification(n_rows, 10, n_informative=5, flip_y=0.2, random_state=0)


class Slow(SGDClassifier):
    """A classifier whose fit takes a while."""

    def fit(self, X, y):
        """Sleep, then fit."""
        sleep(0.25)  # beyond joblib's 0.2 s, below which it makes batches
        return super().fit(X, y)


def search(client: Client, folder: Path) -> list[float]:
    """Search a grid on joblib's Dask backend, with folds that are plain lists."""
    X, y = _labelled()
    folds = [(a.tolist(), b.tolist()) for a, b in StratifiedKFold(3).split(X, y)]
    found = GridSearchCV(Slow(random_state=0), {"alpha": np.logspace(-6, 0, 7)}, cv=folds)
    with joblib.parallel_config("dask", scatter=[X, y]):
        found.fit(X, y)
    return [found.best_index_, *found.cv_results_["mean_test_score"]]


def score_fold(model, parameters, data, train, test):
    """Fit on the training rows of a fold, score on the others."""
    X, y = data
    return clone(model).set_params(**parameters).fit(X[train], y[train]).score(X[test], y[test])


def plain_search(client: Client, folder: Path) -> list[float]:
    """Search the same grid by plain tasks: one for each combination and fold."""
    X, y = _labelled()
    data = client.submit(tuple, (X, y), pure=False)  # a recipe; scatter would have none
    splits, model = list(StratifiedKFold(3).split(X, y)), Slow(random_state=0)
    grid = [{"alpha": alpha} for alpha in np.logspace(-6, 0, 7)]
    tasks = [
        [client.submit(score_fold, model, one, data, *split, pure=False) for split in splits]
        for one in grid
    ]
    return np.mean(client.gather(tasks), axis=1).tolist()


def incremental(client: Client, folder: Path) -> list[float]:
    """Train by dask-ml's Incremental, block by block; also tell the rows learned."""
    X, y = (da.from_array(part, chunks=(100, *part.shape[1:])) for part in _labelled(1_600))
    model = Incremental(SGDClassifier(random_state=0), shuffle_blocks=False)
    model.fit(X.map_blocks(slowly, dtype=X.dtype), y, classes=[0, 1])
    return [model.estimator_.t_, *model.coef_.ravel()]


def learn(model: SGDClassifier, X: np.ndarray, y: np.ndarray) -> SGDClassifier:
    """Learn a block, with a copy of the model."""
    return deepcopy(model).partial_fit(slowly(X), y, classes=[0, 1])


def chain(client: Client, folder: Path) -> list[float]:
    """Train by the chain that lesson 07 writes down; also tell the rows learned."""
    X, y = _labelled(1_600)
    model = SGDClassifier(random_state=0)
    for block, labels in zip(np.split(X, 16), np.split(y, 16), strict=True):
        model = client.submit(learn, model, block, labels)
    model = model.result()
    return [model.t_, *model.coef_.ravel()]


def site(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the rows of a site."""
    X, y = _labelled(3_000)
    return X[number::3], y[number::3]


def federated(client: Client, folder: Path) -> list[float]:
    """Train six rounds at three sites. Who is lost is left out, and named in the round.

    The first number is 1 if a round went on without a site, and 0 else; then the answer is right if
    every round names each site once and the model is as good as the others' rows allow.
    """
    model = SGDClassifier(loss="log_loss", random_state=0)
    sites = {name: lambda number=n: site(number) for n, name in enumerate(SITES)}
    with Federation(client, model, sites, batch=50, test=0.25, quorum=2) as federation:
        for _ in range(6):
            record = federation.round(batches=10)
            sleep(0.3)
            there = sorted([*record.batches, *record.lost, *record.refused])
            assert there == sorted(SITES), f"a round names {there}"
            assert set(record.batches.values()) == {10}, f"batches: {record.batches}"
        without = any(record.lost or record.refused for record in federation.history)
        right = [float(federation.model.score(*site(n))) for n in range(3)]
    return [float(without), *right]


# Works that note how far they are: whoever loses the notebook goes on with the next.


def resumed_fit(client: Client, folder: Path) -> list[float]:
    """Fit two iterations at a time, with saved centres; the notebook may end at any moment."""
    pieces = from_lesson("04", "pieces", "save_centers", "write")["pieces"]
    new = partial(DistributedKMeans, n_clusters=8, tol=1e-6, random_state=0, client=client)
    *_, model = pieces(folder / "centers.npy", new, _rows().map_blocks(slowly, 0.05, dtype="f4"))
    centers = model.cluster_centers_
    return centers[np.lexsort(centers.T)].ravel().tolist()


def resumed_training(client: Client, folder: Path) -> list[float]:
    """Learn a stream and save the model with its position; the notebook may end at any moment."""
    X, y = _labelled(1_600)
    blocks = list(zip(np.split(X, 16), np.split(y, 16), strict=True))
    train_on = from_lesson("07", "train_on", "save")["train_on"]
    model = SGDClassifier(random_state=0)
    model = train_on(folder / "state.skops", model, lambda n: slowly(blocks[n]), range(16))
    return [model.t_, *model.coef_.ravel()]


def workers(client: Client, deadline: float) -> dict[str, int]:
    """Process of each worker, when all are there and answer.

    Neither `wait_for_workers` nor `client.run` tells: a worker that has died a moment ago still
    counts for the one, and the other waits for it.
    """
    found: dict[str, int] = {}
    while monotonic() < deadline:
        there = list(client.nthreads())
        asked = {a: client.submit(os.getpid, workers=[a], pure=False) for a in there}
        with suppress(DaskTimeoutError):
            wait(list(asked.values()), timeout=10)
        found = {a: f.result() for a, f in asked.items() if f.status == "finished"}
        if len(found) == len(there) == WORKERS:
            return found
        sleep(0.5)
    raise RuntimeError(f"{len(found)} of {WORKERS} workers are there and answer")


def say(**facts: object) -> None:
    """Write a line of JSON where the harness reads it."""
    print(json.dumps(facts), file=sys.__stdout__, flush=True)


def main() -> None:
    """Start or join, then work until the harness closes the pipe."""
    folder, *scheduler = sys.argv[1:]
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it stands, for the log
    sys.stdout = sys.stderr
    start = monotonic()
    while True:  # a scheduler that was lost needs some seconds to be there again
        try:
            client = start_cluster("cpu", WORKERS, *scheduler, timeout=180)
            break
        except ClusterError:
            if not scheduler or monotonic() > start + 90:
                raise
    say(began=monotonic() - start)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "workers":
            try:
                say(workers=workers(client, monotonic() + request["within"]))
            except RuntimeError as error:
                say(error=str(error))
            continue
        work = globals()[WORKS[request["do"]]]
        say(working=request["do"])
        start = monotonic()
        try:
            numbers = [float(number) for number in work(client, Path(folder))]
            answer = {"numbers": numbers}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        say(**answer, seconds=monotonic() - start)
    close_cluster()


if __name__ == "__main__":
    main()
