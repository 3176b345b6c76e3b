"""How fast are federated rounds? Ratios, each measured within one run.

``python -m tests.benchmarks.federated`` runs everything three times, most of the time in the seed's
loop; ``--rows 100_000`` takes a tenth of that. It prints medians with their spread, and start-up
apart from work on both sides. It needs 2 cores and 8 GiB of memory. Flower is in the extra
``bench``; without it, it is left out. Nothing is asserted but that the numbers are right: speed
depends on the machine, and a busy one makes every ratio noisy.
"""

import argparse
import importlib.util
import os
import platform
import sys
import time
from copy import deepcopy
from functools import cache, partial

import numpy as np
from distributed import Client, LocalCluster, Nanny, Worker, fire_and_forget, get_worker
from sklearn.linear_model import SGDClassifier

from helpers.cluster import close_cluster, start_cluster
from helpers.combining import weighted_mean
from helpers.federated import Federation
from helpers.sites import get_vector, prepare, set_vector

COLUMNS, BATCH, WORKERS, SYNC = 100, 4_096, 2, 50  # the seed's: 50 batches of all workers together
PASSIVE_AGGRESSIVE = {"loss": "hinge", "penalty": None, "learning_rate": "pa2"}  # squared hinge


def model():
    """The seed's passive-aggressive classifier under the name that it has in scikit-learn 1.9."""
    return SGDClassifier(**PASSIVE_AGGRESSIVE, eta0=1e-6, random_state=0)


def make_site(number, rows):
    """Rows and labels of a site: a linear border in 50 columns, every fifth label at random."""
    border = np.random.default_rng(7).standard_normal(COLUMNS) * (np.arange(COLUMNS) < 50)
    rng = np.random.default_rng((7, number))
    X = rng.standard_normal((rows, COLUMNS))
    noise = rng.random(rows) < 0.2
    return X, np.where(noise, rng.integers(0, 2, rows), X @ border > 0).astype("int64")


def rounds(rows):
    """Batches of each site in each round, for one pass over its rows."""
    batches, each = -(-rows // WORKERS // BATCH), SYNC // WORKERS
    return [each] * (batches // each) + ([batches % each] if batches % each else [])


def accuracy(trained):
    X, y = make_site(99, 20_000)
    return trained.score(X, y)


def seconds(function, *arguments):
    """Wall-clock seconds of one call, and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


# Ours, and what it is compared with


def ours(client, rows):
    """One pass: the sites make their rows, train and are combined; the model and its history."""
    sites = {str(n): partial(make_site, n, rows // WORKERS) for n in range(WORKERS)}
    with Federation(client, model(), sites, batch=BATCH) as federation:
        times = [seconds(federation.round, batches)[0] for batches in rounds(rows)]
        return federation.model, federation.history, times


def oracle(rows):
    """The same rounds in this process, site after site; and the batches at each synchronisation."""
    sites = [make_site(n, rows // WORKERS) for n in range(WORKERS)]
    template = prepare(model(), COLUMNS, [0, 1])
    models, start, counted = [deepcopy(template) for _ in sites], 0, []
    for batches in rounds(rows):
        vectors, weights = [], []
        for own, (X, y) in zip(models, sites, strict=True):
            set_vector(own, get_vector(template))
            before = own.t_
            for n in range(start, start + batches * BATCH, BATCH):
                own.partial_fit(X[n : n + BATCH], y[n : n + BATCH])
            vectors.append(get_vector(own))
            weights.append(own.t_ - before)
        set_vector(template, weighted_mean(np.array(vectors), np.array(weights)))
        start += batches * BATCH
        counted.append(batches * WORKERS)
    return template, counted


def one_process(rows):
    """One model, one pass over all rows, which are made here."""
    own = model()
    for number in range(WORKERS):
        X, y = make_site(number, rows // WORKERS)
        for n in range(0, len(X), BATCH):
            own.partial_fit(X[n : n + BATCH], y[n : n + BATCH], classes=[0, 1])
    return own


# The seed's loop, written anew from its description


class SeedWorker(Worker):
    """A worker that holds a model of its own."""

    def open_model(self):
        self.model, self.trained = model(), 0
        self.model.classes_ = np.array([0, 1])
        self.model.coef_, self.model.intercept_ = np.zeros((1, COLUMNS)), np.zeros(1)

    def learn(self, X, y):
        self.model.partial_fit(X, y, classes=[0, 1])
        self.trained += 1


class SeedNanny(Nanny):
    """A nanny whose worker is a process of its own, and a SeedWorker."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs | {"worker_class": SeedWorker})


def open_model(dask_worker):
    dask_worker.open_model()


def learn(X, y):
    """A task: compute the batch, which came lazy, and train on it."""
    get_worker().learn(X.compute(), y.compute())


def state(dask_worker):
    return dask_worker.model.coef_, dask_worker.model.intercept_, dask_worker.trained


def overwrite(coef, intercept, dask_worker):
    dask_worker.model.coef_, dask_worker.model.intercept_ = coef.copy(), intercept.copy()


def seed_loop(rows):
    """The seed's loop on real processes: seconds of start and work, batches at each sync."""
    from dask_ml.datasets import make_classification
    from dask_ml.model_selection import train_test_split

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    began = time.perf_counter()
    with (
        LocalCluster(n_workers=WORKERS, worker_class=SeedNanny, **options) as cluster,
        Client(cluster) as client,
    ):
        ready = time.perf_counter()
        X, y = make_classification(
            rows, COLUMNS, n_informative=50, n_redundant=10, flip_y=0.2, chunks=BATCH,
            random_state=0,
        )  # fmt: skip
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.1, random_state=0)
        client.run(open_model)
        places, sent, counted = sorted(client.nthreads()), 0, []
        for X_batch, y_batch in zip(X.partitions, y.partitions, strict=True):
            place = places[sent % WORKERS]
            batch = [client.scatter(part, workers=place) for part in (X_batch, y_batch)]
            fire_and_forget(client.submit(learn, *batch, workers=place, pure=False))
            sent += 1
            if sent % SYNC == 0:
                counted.append((sent, synchronise(client)))
        counted.append((sent, synchronise(client)))
        while sum(answer[2] for answer in client.run(state).values()) < sent:
            time.sleep(0.1)  # nobody holds a future that one could wait for
        return ready - began, time.perf_counter() - ready, counted


def synchronise(client):
    answers = client.run(state).values()
    coef, intercept, trained = zip(*answers, strict=True)
    client.run(overwrite, np.mean(coef, axis=0), np.mean(intercept, axis=0))
    return sum(trained)


# Flower


@cache
def flower_site(number, rows):
    return make_site(number, rows // WORKERS)


def why_no_flower(prefix=sys.prefix):
    """Why Flower's simulation cannot run here, or None."""
    if any(character.isspace() for character in prefix):
        return (
            f"Flower is left out: Ray, under its simulation, cannot start workers from {prefix}, a "
            "path with a space, and would wait for ever. Copy the course to one without."
        )
    if importlib.util.find_spec("flwr") is None:
        return "Flower is not installed: uv sync --extra bench"
    return None


def flower(rows):
    """The same rounds in Flower's simulation; seconds of each round."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    plan, ends = rounds(rows), []

    class Site(NumPyClient):
        def __init__(self, number):
            # By its module: Ray cannot send a cached function of a program that is run.
            from tests.benchmarks.federated import flower_site

            self.X, self.y = flower_site(number, rows)

        def fit(self, parameters, config):
            own = set_vector(prepare(model(), COLUMNS, [0, 1]), parameters[0])
            first, batches = config["first"], config["batches"]
            for n in range(first, first + batches * BATCH, BATCH):
                own.partial_fit(self.X[n : n + BATCH], self.y[n : n + BATCH])
            return [get_vector(own)], batches * BATCH, {}

    def configure(number):
        return {"first": sum(plan[: number - 1]) * BATCH, "batches": plan[number - 1]}

    def note(number, parameters, config):
        ends.append(time.perf_counter())

    def server(context):
        start = ndarrays_to_parameters([np.zeros(COLUMNS + 1)])
        strategy = FedAvg(
            fraction_evaluate=0.0, min_fit_clients=WORKERS, min_available_clients=WORKERS,
            initial_parameters=start, on_fit_config_fn=configure, evaluate_fn=note,
        )  # fmt: skip
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=len(plan)))

    run_simulation(
        ServerApp(server_fn=server),
        ClientApp(client_fn=lambda context: Site(context.node_config["partition-id"]).to_client()),
        num_supernodes=WORKERS,
        backend_config={"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": WORKERS}},
    )
    return np.diff(ends).tolist()


def spread(values):
    """Median, and the least and the most, in seconds."""
    values = sorted(values)
    return f"{np.median(values):.3f} s (from {values[0]:.3f} to {values[-1]:.3f})"


def ratio(theirs, ours):
    """Ratio of two medians, and the range that their spreads allow."""
    low, high = min(theirs) / max(ours), max(theirs) / min(ours)
    return f"{np.median(theirs) / np.median(ours):6.2f} (from {low:.2f} to {high:.2f})"


def machine():
    """What this ran on: a figure without it says nothing."""
    import dask
    import psutil
    import sklearn

    load = ", ".join(f"{value:.1f}" for value in psutil.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    versions = f"Python {platform.python_version()}, dask {dask.__version__}"
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load}; {versions}, "
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
    )


def empty_rounds(sites):
    """Seconds of rounds that train one batch of 8 rows each, at so many sites."""
    client = start_cluster("cpu", n_workers=sites)
    loads = {str(n): partial(make_site, n, 64) for n in range(sites)}
    with Federation(client, model(), loads, batch=8) as federation:
        times = [seconds(federation.round, 1)[0] for _ in range(12)]
    close_cluster()
    return times[2:]


def main(rows, seed_rows, repeats):
    print(machine())
    print(
        f"{rows:,} x {COLUMNS}, batches of {BATCH:,}, {WORKERS} workers x 1 thread, {repeats} runs"
    )
    starts, warm, single, per_round = [], [], [], []
    for _ in range(repeats):
        started, client = seconds(partial(start_cluster, "cpu", n_workers=WORKERS))
        starts.append(started)
        took, (trained, history, times) = seconds(ours, client, rows)
        warm.append(took)
        per_round += times[1:-1] or times
        close_cluster()
        took, lone = seconds(one_process, rows)
        single.append(took)
    cold = [start + work for start, work in zip(starts, warm, strict=True)]
    print(f"  our start {spread(starts)}, our work {spread(warm)}")
    print(f"  accuracy: ours {accuracy(trained):.3f}, one process {accuracy(lone):.3f}")
    expected, counted = oracle(rows)
    same = np.array_equal(get_vector(trained), get_vector(expected))
    counts = [sum(record.batches.values()) for record in history]
    print(f"  batches at each synchronisation: ours {counts}, oracle {counted}")
    print(f"  coefficients bitwise equal to the oracle: {same}   (goal: True)")
    assert same and counts == counted
    print(f"  our work / one process        {ratio(warm, single)}   (goal: at most 1)")
    loops = [seed_loop(seed_rows) for _ in range(repeats)]
    seed_starts = [start for start, _, _ in loops]
    # Only the work grows with the rows.
    work = [took * rows / seed_rows for _, took, _ in loops]
    scaled = f", work scaled from {seed_rows:,} rows" if seed_rows != rows else ""
    print(f"  the seed's loop: start {spread(seed_starts)}, work {spread(work)}{scaled}")
    print("  its batches, trained of sent:", ", ".join(f"{t} of {s}" for s, t in loops[-1][2]))
    both = [start + took for start, took in zip(seed_starts, work, strict=True)]
    print(f"  the seed's loop / ours, both with start     {ratio(both, cold)}   (goal: 18)")
    print(f"  the seed's loop / ours, both without start  {ratio(work, warm)}   (goal: 60)")
    for sites in (2, 4, 8, 16):
        if sites <= 8 * (os.cpu_count() or 1):
            print(f"  an empty round, {sites:2} sites: {spread(empty_rounds(sites))}")
    if why := why_no_flower():
        print(f"  {why}")
        return
    runs = [seconds(flower, rows) for _ in range(repeats)]
    theirs = [time for _, times in runs for time in times[1:]]
    print(f"  Flower with its start {spread([took for took, _ in runs])}")
    print(f"  Flower / ours, both with start {ratio([t for t, _ in runs], cold)}   (goal: 3)")
    print(f"  our round / Flower's round     {ratio(per_round, theirs)}   (goal: at most 0.4)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed-rows", type=int, help="fewer rows for the seed's loop, scaled up")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    main(options.rows, options.seed_rows or options.rows, options.repeats)
