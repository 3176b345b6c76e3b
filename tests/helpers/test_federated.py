"""Federated learning: the same numbers as one process computes, and no row leaves its site."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from helpers.federated import (
    Drift,
    Federation,
    QuorumError,
    ask,
    coordinate_median,
    get_vector,
    prepare,
    set_vector,
    trimmed_mean,
    weighted_mean,
)

COLUMNS, BATCH = 6, 32
LOOPBACK = {"dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}


def load(seed, rows=300, columns=COLUMNS, classes=2, dtype="float64", shift=0.0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(rows, columns)) + shift).astype(dtype)
    y = np.clip(np.digitize(X @ np.arange(1, columns + 1), [0, 5][: classes - 1]), 0, classes - 1)
    return X, y


SITES = {"EWR": partial(load, 1), "JFK": partial(load, 2, rows=200), "LGA": partial(load, 3)}
SGD = SGDClassifier(random_state=0)


def changed(spoil, **settings):
    """Load as usual, then spoil the rows."""
    X, y = load(1, **settings)
    return spoil(X, y)


@pytest.fixture(scope="module")
def threads():
    options = LOOPBACK | {"worker_dashboard_address": "127.0.0.1:0", "processes": False}
    with LocalCluster(n_workers=3, **options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def processes():
    options = LOOPBACK | {"host": "127.0.0.1", "processes": True}
    # By default a LocalCluster gives a worker up that is not back after 15 seconds.
    patient = {"distributed.deploy.lost-worker-timeout": "200s"}
    with (
        dask.config.set(patient),
        LocalCluster(n_workers=3, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def oracle(estimator, sites, rounds, batches, combine=weighted_mean, batch=BATCH, missing=None):
    """What one process computes, batch by batch; `missing` names the sites lost in a round."""
    rows = {name: make() for name, make in sites.items()}
    X, y = next(iter(rows.values()))
    template = prepare(estimator, X.shape[1], np.unique(y), X.dtype.name)
    models = {name: deepcopy(template) for name in sites}
    place, vector = dict.fromkeys(sites, 0), get_vector(template)
    for number in range(1, rounds + 1):
        vectors, weights = [], []
        for name, (X, y) in rows.items():
            if name in (missing or {}).get(number, ()):
                models[name], place[name] = deepcopy(template), 0
                continue
            set_vector(models[name], vector)
            weights.append(0)
            for _ in range(batches):
                start = place[name] if place[name] < len(X) else 0
                stop = place[name] = start + batch
                part = (X[start:stop], y[start:stop])
                models[name].partial_fit(*part[: 1 if hasattr(template, "n_clusters") else 2])
                weights[-1] += len(part[0])
            vectors.append(get_vector(models[name]))
        combined = combine(np.array(vectors), np.array(weights))
        vector = get_vector(set_vector(deepcopy(template), combined))  # in the model's own dtypes
    return vector


# The same numbers as one process computes


PASSIVE_AGGRESSIVE = SGDClassifier(
    loss="hinge", penalty=None, learning_rate="pa1", eta0=1e-3, random_state=0
)
STARTS = load(9, rows=3)[0]
ESTIMATORS = [
    (SGD, {}),
    (PASSIVE_AGGRESSIVE, {}),
    (SGDClassifier(random_state=0), {"classes": 3}),
    (SGDClassifier(random_state=0), {"dtype": "float32"}),
    (SGDRegressor(random_state=0), {}),
    (Perceptron(random_state=0), {}),
    (MiniBatchKMeans(3, init=STARTS, n_init=1, random_state=0), {}),
]


@pytest.mark.parametrize(("estimator", "settings"), ESTIMATORS)
def test_bitwise_what_one_process_computes_with_every_batch_counted(threads, estimator, settings):
    sites = {name: partial(make, **settings) for name, make in SITES.items()}
    with Federation(threads, estimator, sites, batch=BATCH) as federation:
        history = federation.run(rounds=4, batches=5)
        for record in history:
            assert record.batches == {"EWR": 5, "JFK": 5, "LGA": 5}
        # Ten batches are 300 rows, and seven are 200: the last ones are short.
        assert [record.rows["EWR"] for record in history] == [160, 140, 160, 140]
        assert [record.rows["JFK"] for record in history] == [160, 136, 136, 160]
        if hasattr(federation.model, "t_"):  # scikit-learn's own count: one more, and prepare's row
            counted = [site.model.t_ - 2 for site in actors(threads, federation)]
            assert sorted(counted) == [592, 600, 600]
        found = get_vector(federation.model)
    np.testing.assert_array_equal(found, oracle(estimator, sites, 4, 5))
    assert np.abs(found).sum() > 0


def first_site(vectors, rows):
    return vectors[0]


@pytest.mark.parametrize("combine", [coordinate_median, trimmed_mean, first_site])
def test_every_rule_and_one_of_your_own(threads, combine):
    with Federation(threads, SGD, SITES, batch=BATCH, combine=combine) as federation:
        federation.run(3, 4)
    np.testing.assert_array_equal(
        get_vector(federation.model), oracle(SGD, SITES, 3, 4, combine=combine)
    )


def test_processes_and_threads_give_the_same_again_and_again(threads, processes):
    found = []
    for client in (threads, threads, processes):
        with Federation(client, SGD, SITES, batch=BATCH, test=0.2) as federation:
            federation.run(3, 4)
            found.append((get_vector(federation.model).tolist(), federation.score()))
    assert found[0] == found[1] == found[2]


def test_rounds_without_synchronisation_go_on_with_each_sites_own_model(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        before = get_vector(federation.model)
        silent = federation.round(3, sync=False)
        assert not silent.synced and silent.received == 0 and silent.vectors == {}
        np.testing.assert_array_equal(get_vector(federation.model), before)
        record = federation.round(2)
    assert record.synced and record.sent == 0
    # Three batches, then two, are five: the weights count all since the last synchronisation.
    np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, SITES, 1, 5))


def test_bytes_are_those_of_the_parameters(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        record = federation.round(2)
    assert record.sent == record.received == 3 * 8 * (COLUMNS + 1)
    assert {len(vector) for vector in record.vectors.values()} == {COLUMNS + 1}


def test_scores_are_of_the_rows_kept_for_testing(threads):
    with Federation(threads, SGD, SITES, batch=BATCH, test=0.25) as federation:
        federation.run(2, 5)
        scores, rows = federation.score()
        own, _ = federation.score(own=True)
        assert rows == {"EWR": 75, "JFK": 50, "LGA": 75}
        X, y = load(1)
        assert scores["EWR"] == federation.model.score(X[-75:], y[-75:])
        site = set_vector(deepcopy(federation.model), federation.history[-1].vectors["EWR"])
        assert own["EWR"] == site.score(X[-75:], y[-75:])
    with Federation(threads, SGD, SITES) as federation, pytest.raises(ValueError, match="test="):
        federation.score()


def test_a_model_is_prepared_by_itself_and_has_learned_nothing():
    for estimator, names in [(SGD, ["no", "yes"]), (Perceptron(), [3, 7, 9])]:
        model = prepare(estimator, 4, names)
        assert model.classes_.tolist() == names and model.n_features_in_ == 4
        np.testing.assert_allclose(get_vector(model), 0, atol=1e-300)
        assert not hasattr(estimator, "coef_")
    assert prepare(SGD, 4, [0, 1], "float32").coef_.dtype == "float32"


# What leaves a site


def test_no_row_of_data_reaches_the_client_or_the_scheduler(monkeypatch):
    """Everything that this process reads from its sockets, scheduler and client are in it."""
    from distributed.comm import tcp

    received = []
    parse = tcp.from_frames

    async def note(frames, *args, **kwargs):
        received.extend(bytes(frame) for frame in frames)
        return await parse(frames, *args, **kwargs)

    monkeypatch.setattr(tcp, "from_frames", note)
    options = LOOPBACK | {"host": "127.0.0.1", "processes": True, "n_workers": 3}
    with (
        dask.config.set({"distributed.comm.compression": None}),
        LocalCluster(**options) as cluster,
        Client(cluster) as client,
        Federation(client, SGD, SITES, batch=BATCH, test=0.2) as federation,
    ):
        federation.run(3, 4)
        federation.run(2, 2, sync=Drift(moved=1.0, error=0.0))
        federation.score(), federation.score(own=True)
        federation.label("EWR", load(8, rows=5)[0])
        wire = b"".join(received)
        assert federation.history[0].vectors["EWR"].tobytes() in wire  # what may travel is seen
        for make in SITES.values():
            X, y = make()
            assert not [value for value in X.ravel() if value.tobytes() in wire]
            assert y[:8].tobytes() not in wire and str(y[:8].tolist())[1:-1].encode() not in wire
        # A row that leaves would be seen.
        X, _ = client.submit(ask, federation._actors["EWR"], "next_batch", pure=False).result()
        assert X[0].tobytes() in b"".join(received)


# Synchronisation when it is needed


def test_sites_report_when_their_models_have_moved(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        far = federation.run(3, 2, sync=Drift(moved=1e9))
        assert [(r.reports, r.synced) for r in far] == [((), False)] * 3
        assert [r.sent for r in far] == [3 * 56, 0, 0]
        near = federation.round(2, sync=Drift(moved=1e-9))
        assert near.reports == ("EWR", "JFK", "LGA") and near.synced
    np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, SITES, 1, 8))


def turned(seed):
    """Rows whose classes change places in the middle."""
    X, y = load(seed, rows=1_000)
    return X, np.where(np.arange(len(y)) < 500, y, 1 - y)


def test_the_site_whose_stream_turns_reports_its_error(threads):
    sites = {"calm": partial(load, 1, rows=1_000), "turned": partial(turned, 2)}
    with Federation(threads, SGD, sites, batch=20) as federation:
        history = federation.run(5, 10, sync=Drift(error=0.3))
    assert [r.reports for r in history] == [(), (), ("turned",), (), ()]
    assert [r.synced for r in history] == [False, False, True, False, False]


# Labels while training goes on


class Patient(SGDClassifier):
    """Waits in the middle of its training, until it may go on."""

    training, go_on = threading.Event(), threading.Event()

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and self.t_ > 2 * BATCH:
            self.training.set()
            assert self.go_on.wait(60)
        return super().partial_fit(X, y, classes, sample_weight)


def test_a_site_labels_with_its_current_model_while_it_trains(threads):
    X, _ = load(5)
    model = prepare(SGD, COLUMNS, [0, 1])
    for start in (0, BATCH):
        rows, y = (part[start : start + BATCH] for part in load(1))
        model.partial_fit(rows, y)
    with (
        Federation(threads, Patient(random_state=0), SITES, batch=BATCH) as federation,
        ThreadPoolExecutor(1) as pool,
    ):
        training = pool.submit(federation.round, 4)
        assert Patient.training.wait(60)
        try:
            labels = federation.label("EWR", X)
            assert not training.done()
        finally:
            Patient.go_on.set()
        assert training.result().batches["EWR"] == 4
    np.testing.assert_array_equal(labels, model.predict(X))


# Sites that are lost, err or lie


class Mortal(SGDClassifier):
    """Ends its process in the middle of a round if a file with its process's number is there."""

    def __init__(self, folder="", random_state=0):
        super().__init__(random_state=random_state)
        self.folder = folder

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        order = Path(self.folder, str(os.getpid()))
        if classes is None and order.exists():
            if order.read_text() == "now":
                os._exit(1)
            order.write_text("now")
        return super().partial_fit(X, y, classes, sample_weight)


def kill(client, federation, folder, *names):
    """Let the workers of these sites die at the second batch of the next round."""
    pids = client.run(os.getpid)
    for name in names:
        Path(folder, str(pids[federation.places[name]])).write_text("next")


def test_a_lost_site_is_left_out_and_comes_back_with_the_global_model(processes, tmp_path):
    mortal = Mortal(str(tmp_path))
    with Federation(processes, mortal, SITES, batch=BATCH) as federation:
        assert federation.round(4).lost == ()
        kill(processes, federation, tmp_path, "JFK")
        record = federation.round(4)
        assert record.lost == ("JFK",) and record.batches == {"EWR": 4, "LGA": 4}
        assert federation.lost == {"JFK"}
        processes.wait_for_workers(3, timeout=200)
        record = federation.round(4)
        assert record.lost == () and federation.lost == set()
        assert record.batches == {"EWR": 4, "JFK": 4, "LGA": 4}
    expected = oracle(SGD, SITES, 3, 4, missing={2: ["JFK"]})
    np.testing.assert_array_equal(get_vector(federation.model), expected)


def test_below_the_quorum_nothing_is_combined_and_nothing_lost(processes, tmp_path):
    with Federation(processes, Mortal(str(tmp_path)), SITES, batch=BATCH) as federation:
        federation.round(4)
        before = get_vector(federation.model)
        kill(processes, federation, tmp_path, "JFK", "LGA")
        with pytest.raises(QuorumError, match="1 of 3 sites answered, quorum is 2; lost: JFK, LGA"):
            federation.round(4)
        np.testing.assert_array_equal(get_vector(federation.model), before)
        assert len(federation.history) == 1
        processes.wait_for_workers(3, timeout=200)
        assert federation.round(4).lost == ()


class Failing(SGDClassifier):
    """Raises at its third batch, once."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and self.t_ == 2 + 2 * BATCH and not hasattr(self, "failed"):
            self.failed = True
            raise ArithmeticError("no such number")
        return super().partial_fit(X, y, classes, sample_weight)


def test_an_error_at_a_site_is_raised_here_with_its_name(threads):
    with Federation(threads, Failing(random_state=0), SITES, batch=BATCH) as federation:
        before = get_vector(federation.model)
        with pytest.raises(ArithmeticError, match="no such number") as error:
            federation.round(4)
        assert error.value.__notes__ == ["raised at site EWR"]
        np.testing.assert_array_equal(get_vector(federation.model), before)
        federation.round(4)
        synced = [actor.synced for actor in actors(threads, federation)]
        np.testing.assert_array_equal(synced, [before] * 3)


def actors(client, federation=None):
    """The sites themselves: these workers are threads of this process."""
    workers = client.cluster.workers.values()
    every = [(key, site) for worker in workers for key, site in worker.state.actors.items()]
    keys = federation and [actor.key for actor in federation._actors.values()]
    return [site for key, site in every if not federation or key in keys]


def poisoned():
    X, y = load(2)
    return 50 * X, 1 - y


@pytest.mark.parametrize(
    ("combine", "survives"),
    [(weighted_mean, False), (coordinate_median, True), (trimmed_mean, True)],
)
def test_median_and_trimmed_mean_survive_a_poisoned_site(threads, combine, survives):
    sites = SITES | {"JFK": poisoned}
    with Federation(threads, SGD, sites, batch=BATCH, combine=combine) as federation:
        federation.run(4, 5)
    X, y = load(7, rows=1_000)
    assert (federation.model.score(X, y) > 0.85) == survives


# The rules


def test_rules_by_hand():
    vectors = np.array([[0.0, 9.0], [2.0, -9.0], [4.0, 1.0], [100.0, 3.0]])
    rows = np.array([1, 1, 2, 0])
    np.testing.assert_allclose(weighted_mean(vectors, rows), [2.5, 0.5])
    np.testing.assert_allclose(coordinate_median(vectors, rows), [3.0, 2.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows), [3.0, 2.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows, trim=0), [26.5, 1.0])
    for trim in (2, -1):
        with pytest.raises(ValueError, match=f"trim={trim}"):
            trimmed_mean(vectors, rows, trim=trim)


# Bad input


def with_nan(X, y):
    X[7, 2] = np.nan
    return X, y


BAD_SITES = [
    (partial(load, 1, rows=0), "site JFK has no rows"),
    (partial(changed, lambda X, y: (X, np.ones_like(y))), "site JFK has one class only"),
    (partial(load, 1, columns=5), r"differ in columns \(EWR 6, JFK 5, LGA 6\)"),
    (partial(load, 1, dtype="float32"), r"differ in dtype \(EWR float64, JFK float32"),
    (partial(changed, with_nan), "site JFK: Input contains NaN"),
    (partial(changed, lambda X, y: (X, np.where(y, np.nan, 0))), "site JFK: y contains NaN"),
    (partial(changed, lambda X, y: (X, y[:-1])), r"site JFK: X has 300 rows, y has .*\(299,\)"),
    (partial(changed, lambda X, y: (X[:, 0], y)), "site JFK: Expected 2D array"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_SITES, ids=[m for _, m in BAD_SITES])
def test_a_bad_site_is_refused_by_name(threads, bad, message):
    with pytest.raises(ValueError, match=message):
        Federation(threads, SGD, SITES | {"JFK": bad})
    wait_until_free(threads)
    with Federation(threads, SGD, SITES) as federation:  # and the workers are as good as before
        assert federation.round(1).synced


def wait_until_free(client):
    """Wait until no site is left on the workers; a test that hangs here has found a leak."""
    while actors(client):
        client.run(lambda: None)


BAD_ESTIMATORS = [
    (LogisticRegression(), "LogisticRegression has no partial_fit"),
    (GaussianNB(), "GaussianNB cannot be averaged"),
    (MLPClassifier(), "MLPClassifier cannot be averaged"),
    (IncrementalPCA(), "IncrementalPCA cannot be prepared"),
    (SGDClassifier(average=True), r"SGDClassifier\(average=...\) averages over its own past"),
    (MiniBatchKMeans(3), "MiniBatchKMeans starts with other centres at each site"),
]


@pytest.mark.parametrize(("estimator", "message"), BAD_ESTIMATORS)
def test_an_estimator_that_cannot_be_federated_is_refused_by_name(threads, estimator, message):
    with pytest.raises(ValueError, match=message):
        Federation(threads, estimator, SITES)


BAD_ARGUMENTS = [
    ({"sites": {}}, "sites must be a dict"),
    ({"sites": {"EWR": load(1)}}, "site EWR: give a function"),
    ({"sites": SITES | {"BOS": SITES["EWR"]}}, "4 sites need as many workers, .* there are 3"),
    ({"workers": {"EWR": 0, "JFK": 1, "LGA": 7}}, r"site LGA: there is no worker named 7"),
    ({"workers": {"EWR": 0, "JFK": 1}}, r"site LGA: there is no worker named None"),
    ({"workers": {"EWR": 0, "JFK": 1, "LGA": 1}}, "two sites have the same worker"),
    ({"batch": 0}, "batch must be"),
    ({"test": 1}, "test must be"),
    ({"quorum": 4}, "quorum must be from 1 to the 3 sites"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused(threads, arguments, message):
    with pytest.raises(ValueError, match=message):
        Federation(threads, SGD, **({"sites": SITES} | arguments))


def test_bad_calls_are_refused(threads):
    with Federation(threads, SGD, SITES) as federation:
        with pytest.raises(ValueError, match="batches must be"):
            federation.round(0)
        with pytest.raises(ValueError, match="no site 'BOS'"):
            federation.label("BOS", load(1)[0])


def test_a_rule_that_gives_another_shape_changes_nothing(threads):
    with Federation(threads, SGD, SITES, combine=lambda vectors, rows: vectors) as federation:
        before = get_vector(federation.model)
        with pytest.raises(ValueError, match=r"combine gave the shape \(3, 7\), .* are \(7,\)"):
            federation.round(2)
        np.testing.assert_array_equal(get_vector(federation.model), before)


def test_a_clusterer_has_no_error_to_watch(threads):
    kmeans = MiniBatchKMeans(3, init=STARTS, n_init=1, random_state=0)
    with Federation(threads, kmeans, SITES) as federation:
        with pytest.raises(ValueError, match="no wrong answers"):
            federation.round(2, sync=Drift(error=0.1))


def test_sites_can_be_given_to_workers_by_name(threads):
    workers = {"EWR": 2, "JFK": 0, "LGA": 1}
    with Federation(threads, SGD, SITES, workers=workers) as federation:
        places = {name: threads.cluster.workers[n].address for name, n in workers.items()}
        assert federation.places == places


def test_a_worker_that_is_dead_at_the_start_is_named():
    options = LOOPBACK | {"worker_dashboard_address": "127.0.0.1:0", "processes": False}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
        cluster.scale(1)
        client.retire_workers([cluster.workers[1].address]) if 1 in cluster.workers else None
        with pytest.raises(ValueError, match="site JFK: there is no worker named 1"):
            Federation(client, SGD, dict(list(SITES.items())[:2]), workers={"EWR": 0, "JFK": 1})


def end(folder):
    """Load nothing, and take the worker along."""
    os._exit(1)


def test_a_worker_that_dies_while_it_loads_is_named(processes):
    with pytest.raises(RuntimeError, match=r"lost while they loaded their rows: \['JFK'\]"):
        Federation(processes, SGD, SITES | {"JFK": partial(end, "")})
    processes.wait_for_workers(3, timeout=200)


# Tidiness


def test_two_federations_at_once_do_not_disturb_each_other(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as one:
        with Federation(threads, SGD, SITES, batch=BATCH) as other:
            drift = Drift(moved=1e-9)
            for federation in (one, other, one, other):
                assert federation.round(2, sync=drift).reports == ("EWR", "JFK", "LGA")
        one.round(2)
    for federation, rounds in ((one, 3), (other, 2)):
        np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, SITES, rounds, 2))


def test_closed_sites_forget_their_rows(threads):
    federation = Federation(threads, SGD, SITES, batch=BATCH)
    federation.round(1)
    federation.label("EWR", load(1)[0])
    assert len(actors(threads)) == 3
    federation.close()
    federation.close()
    wait_until_free(threads)
    with pytest.raises(ValueError, match="this federation is closed"):
        federation.round(1)
