"""Federated learning: the same numbers as one process computes, and no row leaves its site."""

import gc
import os
import pickle
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Actor, Client, LocalCluster, default_client, get_worker
from scipy.sparse import csr_array
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

import helpers.actors
from helpers.actors import Actors
from helpers.admission import quorum_for
from helpers.combining import (
    Momentum,
    clipped,
    coordinate_median,
    krum,
    mask,
    rule_name,
    sites_needed,
    trimmed_mean,
    unmask,
    weighted_mean,
)
from helpers.federated import Drift, Federation, QuorumError
from helpers.sites import Site, ask, get_vector, prepare, set_vector
from tests.benchmarks.federated import why_no_flower

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
    plain = {"distributed.comm.compression": None}  # one test reads what travels
    with (
        dask.config.set(patient | plain),
        LocalCluster(n_workers=3, **options) as cluster,
        # Not the default: that is `threads`, whose workers, in this process, take it for theirs.
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def oracle(
    estimator, sites, rounds, batches, combine=weighted_mean, batch=BATCH, missing=None, pull=0.0
):
    """What one process computes, batch by batch; `missing` names the sites lost in a round."""
    rows = {name: make() for name, make in sites.items()}
    X, y = next(iter(rows.values()))
    template = prepare(estimator, X.shape[1], np.unique(y), X.dtype.name)
    models = {name: deepcopy(template) for name in sites}
    place, vector = dict.fromkeys(sites, 0), get_vector(template)
    for number in range(1, rounds + 1):
        vectors, weights, missed = [], [], (missing or {}).get(number, ())
        for name, (X, y) in rows.items():
            if name in missed:
                continue
            set_vector(models[name], vector)
            weights.append(0)
            for _ in range(batches):
                start = place[name] if place[name] < len(X) else 0
                stop = place[name] = start + batch
                models[name].partial_fit(X[start:stop], y[start:stop])
                if pull:
                    step = get_vector(models[name]) - vector
                    set_vector(models[name], vector + (1 - pull) * step)
                weights[-1] += len(X[start:stop])
            vectors.append(get_vector(models[name]))
        for name in missed:  # it goes on at its own rows, with the step size of the others
            models[name].t_ = max(model.t_ for model in models.values())
        combined = combine(np.array(vectors), np.array(weights), vector)
        vector = get_vector(set_vector(deepcopy(template), combined))  # in the model's own dtypes
    return vector


# The same numbers as one process computes


PASSIVE_AGGRESSIVE = SGDClassifier(
    loss="hinge", penalty=None, learning_rate="pa1", eta0=1e-3, random_state=0
)
ESTIMATORS = [
    (SGD, {}),
    (PASSIVE_AGGRESSIVE, {}),
    (SGDClassifier(random_state=0), {"classes": 3}),
    (SGDClassifier(random_state=0), {"dtype": "float32"}),
    (SGDRegressor(random_state=0), {}),
    (Perceptron(random_state=0), {}),
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
        # scikit-learn's own count: one more, and prepare's row
        assert [n - 2 for n in federation._seen.values()] == [600, 592, 600]
        found = get_vector(federation.model)
    np.testing.assert_array_equal(found, oracle(estimator, sites, 4, 5))
    assert np.abs(found).sum() > 0


def first_site(vectors, rows, before):
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


def test_bytes_are_those_of_the_parameters(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        record = federation.round(2)
    assert record.sent == record.received == 3 * 8 * (COLUMNS + 1)
    assert {len(vector) for vector in record.vectors.values()} == {COLUMNS + 1}


def test_scores_are_of_the_rows_kept_for_testing(threads):
    with Federation(threads, SGD, SITES, batch=BATCH, test=0.25) as federation:
        federation.run(2, 5)
        scores, rows = federation.score()
        own, _ = federation.score(federation.history[-1].vectors["EWR"])
        assert federation.score(federation.model)[0] == scores
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


def first_rows(dask_worker):
    return [site.X[0] for site in dask_worker.state.actors.values()]


def test_no_row_of_data_reaches_the_client_or_the_scheduler(processes, monkeypatch):
    """Everything that this process reads from its sockets, scheduler and client are in it."""
    from distributed.comm import tcp

    received = []
    parse = tcp.from_frames

    async def note(frames, *args, **kwargs):
        received.extend(bytes(frame) for frame in frames)
        return await parse(frames, *args, **kwargs)

    monkeypatch.setattr(tcp, "from_frames", note)
    with Federation(processes, SGD, SITES, batch=BATCH, test=0.2) as federation:
        federation.run(3, 4)
        federation.run(2, 2, Drift(moved=1.0, error=0.0))
        federation.score(), federation.score(federation.history[-1].vectors["EWR"])
        federation.label("EWR", load(8, rows=5)[0])
        wire = b"".join(received)
        assert federation.history[0].vectors["EWR"].tobytes() in wire  # what may travel is seen
        for make in SITES.values():
            X, y = make()
            assert not [value for value in X.ravel() if value.tobytes() in wire]
            assert y[:8].tobytes() not in wire and str(y[:8].tolist())[1:-1].encode() not in wire
        # A row that leaves would be seen.
        home = federation.places["EWR"]
        (row,) = processes.run(first_rows, workers=[home])[home]
        assert row.tobytes() in b"".join(received)


# Synchronisation when it is needed


def test_a_site_that_has_moved_ends_the_round_at_all_sites(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        far = federation.round(3, Drift(moved=1e9))
        assert far.reports == () and set(far.batches.values()) == {3}
        near = federation.round(10**6, Drift(moved=1e-9))
        assert near.reports and near.batches[near.reports[0]] == 1
        assert max(near.batches.values()) < 10**6
    assert get_vector(federation.model).any()


def turned(seed):
    """Rows whose classes change places in the middle."""
    X, y = load(seed, rows=1_000)
    return X, np.where(np.arange(len(y)) < 500, y, 1 - y)


def test_the_site_whose_stream_turns_reports_its_error_at_once(threads):
    sites = {"calm": partial(load, 1, rows=1_000), "turned": partial(turned, 2)}
    with Federation(threads, SGD, sites, batch=20) as federation:
        record = federation.round(50, Drift(error=0.3))
    assert record.reports == ("turned",) and 25 < record.batches["turned"] < 32


# Labels while training goes on


class Patient(SGDClassifier):
    """Waits in the middle of its training, until it may go on."""

    training, go_on = threading.Semaphore(0), threading.Event()

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and self.t_ > 2 * BATCH:
            self.training.release()
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
        for _ in SITES:  # each has come to its third batch
            assert Patient.training.acquire(timeout=60)
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
        federation.wait_for_sites(timeout=200)
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
        with pytest.raises(
            QuorumError, match="1 of 3 sites answered within 120 s, quorum is 2; lost: JFK, LGA"
        ):
            federation.round(4)
        np.testing.assert_array_equal(get_vector(federation.model), before)
        assert len(federation.history) == 1
        federation.wait_for_sites(timeout=200)
        assert federation.round(4).lost == ()


def reversed_ends(monkeypatch):
    """Let the tasks of a round end in the reverse order; the names, as they ended."""
    honest, ended = Actors._as_they_end, []

    def backwards(self, waiting, until):
        pairs = [pair for pair in honest(self, waiting, until)][::-1]
        ended[:] = [name for name, _ in pairs]
        return sorted(pairs, reverse=True)

    monkeypatch.setattr(Actors, "_as_they_end", backwards)
    return ended


class Failing(SGDClassifier):
    """Raises at its third batch."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and self.t_ == 2 + 2 * BATCH:
            raise ArithmeticError("no such number")
        return super().partial_fit(X, y, classes, sample_weight)


def test_an_error_at_a_site_is_raised_here_with_its_name(threads, monkeypatch):
    last_first = reversed_ends(monkeypatch)  # the first site in order, whoever ends first
    with Federation(threads, Failing(random_state=0), SITES, batch=BATCH) as federation:
        before = get_vector(federation.model)
        with pytest.raises(ArithmeticError, match="no such number") as error:
            federation.round(4)
        assert error.value.__notes__ == ["raised at site EWR"] and len(last_first) == 3
        np.testing.assert_array_equal(get_vector(federation.model), before)
        federation.round(2)  # and it goes on where it was
    np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, SITES, 1, 2))


def actors(client, federation=None):
    """The sites themselves: these workers are threads of this process."""
    workers = client.cluster.workers.values()
    every = [(key, site) for worker in workers for key, site in worker.state.actors.items()]
    keys = federation and [actor.key for actor in federation._actors._actors.values()]
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


def lie(monkeypatch, change):
    """Let JFK change what it sends."""
    honest = Site.train

    def train(self, *arguments):
        answer = honest(self, *arguments)
        return change(answer) if self.name == "JFK" else answer

    monkeypatch.setattr(Site, "train", train)


def send(**values):
    return lambda answer: answer | values


NO_NUMBERS = np.full(COLUMNS + 1, np.nan)
LIES = [
    (send(vector=NO_NUMBERS), "7 of its 7 parameters are not finite"),
    (lambda answer: send(vector=answer["vector"] / 0)(answer), "parameters are not finite"),
    (send(vector=np.zeros(COLUMNS)), r"it sent the shape \(6,\), the parameters are \(7,\)"),
    (send(vector=np.zeros((1, COLUMNS + 1))), r"it sent the shape \(1, 7\)"),
    (send(vector=np.array(["0"] * 7)), "it sent <U1, not float64"),
    (send(vector=[0.0] * 7), "it sent list, not float64"),
    (send(rows=10**9), "rows=1000000000; from 4 to 128 can be"),
    (send(rows=0), "rows=0"),
    (send(rows=-5), "rows=-5"),
    (send(rows=np.nan), "rows=nan"),
    (send(rows="many"), "rows='many'"),
    (send(next=0), "next=0"),
    (send(next=10**9), "next=1000000000"),
    (send(reported="no"), "does not say whether it has drifted"),
    (send(rows=129), "rows=129; from 4 to 128 can be"),
    (send(batches=5), "batches=5; 4 can be"),
    (lambda answer: None, "it sent NoneType, not an answer"),
    (lambda answer: {"vector": answer["vector"]}, "batches=None"),
]


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize(("change", "wrong"), LIES, ids=[wrong for _, wrong in LIES])
def test_what_cannot_be_is_left_out_by_name_and_the_others_go_on(
    threads, monkeypatch, change, wrong
):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        with monkeypatch.context() as patch:
            lie(patch, change)
            record = federation.round(4)
        assert list(record.refused) == ["JFK"] and re.search(wrong, record.refused["JFK"])
        assert record.lost == ()
        assert set(record.batches) == set(record.rows) == set(record.vectors) == {"EWR", "LGA"}
        honest = {name: make for name, make in SITES.items() if name != "JFK"}
        np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, honest, 1, 4))
        record = federation.round(4)
    assert record.refused == {} and set(record.batches) == set(SITES)


class Erring(SGDClassifier):
    """Raises at the site whose rows are far away."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and X.mean() > 5:
            raise ArithmeticError("an overflow")
        return super().partial_fit(X, y, classes, sample_weight)


def test_one_site_that_errs_stops_nobody(threads):
    sites = SITES | {"JFK": partial(changed, lambda X, y: (X + 9, y))}
    with Federation(threads, Erring(random_state=0), sites, batch=BATCH) as federation:
        for record in federation.run(2, 4):
            assert record.refused == {"JFK": "ArithmeticError: an overflow"}
            assert set(record.batches) == {"EWR", "LGA"} and record.lost == ()
    honest = {name: make for name, make in SITES.items() if name != "JFK"}
    np.testing.assert_array_equal(get_vector(federation.model), oracle(SGD, honest, 2, 4))


def test_below_the_quorum_the_refused_are_named(threads, monkeypatch):
    with Federation(threads, SGD, SITES, batch=BATCH, quorum=3) as federation:
        before = get_vector(federation.model)
        lie(monkeypatch, send(vector=NO_NUMBERS))
        with pytest.raises(QuorumError, match="2 of 3 sites answered well.*refused: JFK, 7 of"):
            federation.round(4)
        np.testing.assert_array_equal(get_vector(federation.model), before)


class Dawdler(SGDClassifier):
    """Hangs at the site whose rows are far away, until it may go on."""

    go_on = threading.Event()

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if classes is None and X.mean() > 5:
            self.go_on.wait(60)
        return super().partial_fit(X, y, classes, sample_weight)


def test_who_is_late_is_left_out_and_its_late_answer_is_never_used(threads):
    Dawdler.go_on.clear()
    sites = SITES | {"JFK": partial(changed, lambda X, y: (X + 9, y))}
    estimator = Dawdler(random_state=0)
    with (
        Federation(threads, estimator, sites, batch=BATCH) as federation,
        ThreadPoolExecutor(1) as pool,
    ):
        federation.deadline = 5
        record = federation.round(4)
        assert record.lost == record.late == ("JFK",) and record.refused == {}
        federation.deadline = 10_000  # now it is not asked, and nobody waits for it
        record = pool.submit(federation.round, 4).result(timeout=50)
        assert record.lost == record.late == ("JFK",)
        Dawdler.go_on.set()
        federation.deadline = 60
        federation.wait_for_sites(60)
        assert federation.round(4).lost == ()
        found = get_vector(federation.model)
    expected = oracle(SGD, sites, 3, 4, missing={1: ["JFK"], 2: ["JFK"]})
    np.testing.assert_array_equal(found, expected)


def test_a_paused_process_is_late_in_bounded_time_and_comes_back(processes):
    """Its connection stays open, and nothing that it should send comes: not even its handle."""
    with (
        Federation(processes, SGD, SITES, batch=BATCH) as federation,
        ThreadPoolExecutor(1) as pool,
    ):
        federation.round(4)
        paused = psutil.Process(processes.run(os.getpid)[federation.places["JFK"]])
        federation.deadline = 5
        paused.suspend()
        try:
            for drift in (None, Drift(moved=1e-9)):
                record = pool.submit(federation.round, 4, drift).result(timeout=60)
                assert record.late == ("JFK",) and set(record.batches) == {"EWR", "LGA"}
        finally:
            paused.resume()
        federation.deadline = 120
        federation.wait_for_sites(timeout=200)
        assert federation.round(4).lost == ()


def test_sites_are_spoken_to_through_their_own_client(threads, monkeypatch):
    waited, wait = set(), helpers.actors.wait
    note = lambda *args, **known: (waited.add(default_client()), wait(*args, **known))  # noqa: E731
    monkeypatch.setattr(helpers.actors, "wait", note)
    options = LOOPBACK | {"worker_dashboard_address": "127.0.0.1:0", "processes": False}
    with (
        LocalCluster(n_workers=2, **options) as cluster,
        Client(cluster, set_as_default=False) as other,
        Federation(other, SGD, dict(list(SITES.items())[:2])) as federation,
    ):
        assert federation._actors.handle("JFK")._client is other and waited == {other}
        assert len(federation.label("JFK", load(5)[0])) == 300


ANSWER = threading.Event()


def load_at_last():
    ANSWER.wait(60)
    return load(2, rows=200)


def test_a_site_that_hangs_as_it_comes_back_holds_one_round_and_no_other(threads):
    ANSWER.clear()
    with (
        Federation(threads, SGD, SITES, batch=BATCH) as federation,
        ThreadPoolExecutor(1) as pool,
    ):
        federation._actors.forget("JFK")
        federation._actors.loads["JFK"] = load_at_last
        federation.deadline = 8  # half of it for sites that come back
        try:
            assert federation.round(1).late == ("JFK",)
            federation.deadline = 10_000
            record = pool.submit(federation.round, 1).result(timeout=50)
            assert record.late == ("JFK",) and set(record.batches) == {"EWR", "LGA"}
        finally:
            ANSWER.set()
        federation.wait_for_sites(60)
        assert federation.round(1).lost == ()


def test_who_waits_for_a_site_hears_why_it_is_refused(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        federation._actors.forget("JFK")
        federation._actors.loads["JFK"] = partial(load, 2, columns=5)
        with pytest.raises(TimeoutError, match=r"not ready after 5 s: JFK \(the sites differ in"):
            federation.wait_for_sites(5)


def test_a_question_to_a_site_that_was_given_up_frees_its_worker(threads):
    """Dask never answers it, and the worker's only thread would wait for ever."""

    def asked():
        worker = get_worker()
        return ask(Actor(Site, worker.address, "gone", worker), "label", pickle.dumps(((),)))

    place = sorted(threads.nthreads())[0]
    error = threads.submit(asked, workers=[place]).exception(timeout=60)
    assert "gone was given up" in str(error)
    assert threads.submit(abs, -1, workers=[place]).result(timeout=60) == 1


def test_an_answer_that_comes_when_the_wait_ends_counts():
    class Answer:
        def __init__(self, outcome):
            self.outcome = outcome

        def done(self):
            return True

        def result(self, timeout=None):
            if timeout or self.outcome is None:
                raise TimeoutError("the site's own" if self.outcome is None else "")
            return self.outcome

    def site(outcome):
        return SimpleNamespace(label=lambda: Answer(outcome), key="site")

    assert ask(site(5), "label", pickle.dumps(())) == 5
    with pytest.raises(TimeoutError, match="the site's own"):
        ask(site(None), "label", pickle.dumps(()))


def test_all_late_is_an_error_in_time(threads):
    Dawdler.go_on.clear()
    sites = {name: partial(changed, lambda X, y: (X + 9, y)) for name in SITES}
    try:
        with Federation(threads, Dawdler(), sites, batch=BATCH) as federation:
            federation.deadline = 1
            with pytest.raises(QuorumError, match="0 of 3 sites answered within 1 s"):
                federation.round(1)
            assert federation.number == 0 and federation._next == dict.fromkeys(SITES, 0)
    finally:
        Dawdler.go_on.set()


def test_a_site_joins_late_and_one_of_another_kind_does_not(threads):
    two = {name: SITES[name] for name in ("EWR", "JFK")}
    with Federation(threads, SGD, two, batch=BATCH) as federation:
        federation.round(4)
        federation.add("BOS", partial(load, 5, columns=5))
        assert list(federation.round(4).refused) == ["BOS"]
        federation._actors.loads["BOS"] = partial(load, 5)
        record = federation.round(4)
        assert record.batches == {"EWR": 4, "JFK": 4, "BOS": 4}
        federation.add("PHL", SITES["LGA"])  # and it waits for a worker
        assert federation.quorum == 3 and federation.round(4).lost == ("PHL",)
        assert federation._seen["BOS"] > 3 * 4 * BATCH - 40  # the step size of the others
        with pytest.raises(ValueError, match="a new name"):
            federation.add("BOS", partial(load, 5))


def test_a_worker_that_comes_back_under_another_name_has_its_site_again(threads):
    with Federation(threads, SGD, SITES) as federation:
        home = {"name": "tcp://1.2.3.4:5", "nanny": "tcp://1.2.3.4:6", "host": "1.2.3.4"}
        federation._actors._homes["JFK"] = home
        federation._actors._anywhere = False
        federation.lost.add("JFK")
        again = home | {"name": "tcp://1.2.3.4:9"}
        other = home | {"name": "tcp://1.2.3.5:8", "nanny": "n", "host": "1.2.3.5"}
        assert federation._actors._place("JFK", {"tcp://a": other, "tcp://b": again}) == "tcp://b"
        new_nanny = again | {"nanny": "tcp://1.2.3.4:7"}
        assert (
            federation._actors._place("JFK", {"tcp://a": other, "tcp://b": new_nanny}) == "tcp://b"
        )
        assert federation._actors._place("JFK", {"tcp://a": other}) is None
        federation._actors._anywhere = True
        assert federation._actors._place("JFK", {"tcp://a": other}) == "tcp://a"
        federation.lost.discard("JFK")


WEIGHTS = {"trained": [128, 128, 128], "held": [300, 200, 300], "equal": [1, 1, 1]}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_are_one_named_choice(threads, weights):
    heard = []

    def listen(vectors, rows, before):
        heard.append((rows.tolist(), before.copy()))
        return weighted_mean(vectors, rows)

    options = {"batch": BATCH, "combine": listen, "weights": weights}
    with Federation(threads, SGD, SITES, **options) as federation:
        begin = get_vector(federation.model)
        federation.round(4)
    assert heard[0][0] == WEIGHTS[weights]
    np.testing.assert_array_equal(heard[0][1], begin)


def test_the_proximal_step_is_what_one_process_computes(threads):
    with Federation(threads, SGD, SITES, batch=BATCH, pull=0.1) as federation:
        federation.run(2, 4)
    expected = oracle(SGD, SITES, 2, 4, pull=0.1)
    np.testing.assert_array_equal(get_vector(federation.model), expected)


# Rows that arrive


def test_rows_that_arrive_are_labelled_first_and_trained_on_later(threads):
    X, y = load(8, rows=50)
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        federation.run(2, 5)
        ticket = federation.arrive("JFK", lambda: X)
        assert federation.round(1).rows["JFK"] <= BATCH
        federation_model = federation.history[1].number
        error = federation.truth("JFK", ticket, lambda: y)
        assert 0 <= error < 0.5 and federation_model == 2
        site = next(s for s in actors(threads, federation) if s.name == "JFK")
        np.testing.assert_array_equal(site.X[200:], X)
        np.testing.assert_array_equal(site.y[200:], y)
        assert federation._found["JFK"]["rows"] == 250 and not site.waiting
        assert federation.round(4).lost == ()
        ticket = federation.arrive("JFK", lambda: X)
        with pytest.raises(ValueError, match="no site had at the start"):
            federation.truth("JFK", ticket, lambda: y + 5)
        with pytest.raises(ValueError, match="site JFK: no rows wait with the ticket 1"):
            federation.truth("JFK", 1, lambda: y)
        with pytest.raises(ValueError, match="5 columns came, not 6"):
            federation.arrive("JFK", lambda: X[:, :5])
        with pytest.raises(ValueError, match="no site 'BOS'"):
            federation.arrive("BOS", lambda: X)


# Rules with a memory


def test_federations_with_the_same_rule_share_no_memory(threads):
    rule, found = Momentum(beta=0.5), []
    for _ in range(2):
        with Federation(threads, SGD, SITES, batch=BATCH, combine=rule) as federation:
            federation.run(3, 4)
            found.append(get_vector(federation.model))
            assert federation.combine.velocity.any()
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], oracle(SGD, SITES, 3, 4, combine=Momentum(beta=0.5)))
    assert rule.velocity is None


@pytest.mark.parametrize(
    "outer", [partial(clipped, limit=1.0, rule=Momentum()), Momentum(rule=Momentum())]
)
def test_a_memory_that_no_checkpoint_would_find_is_refused(threads, outer):
    with pytest.raises(ValueError, match="a rule with a memory has to be the outer one"):
        Federation(threads, SGD, SITES, combine=outer)


# A kernel that ends


@pytest.mark.parametrize("rule", [None, Momentum(beta=0.5)])
def test_a_new_federation_goes_on_from_a_checkpoint_bit_for_bit(threads, tmp_path, rule):
    path, options = tmp_path / "round.npz", {"batch": BATCH}
    if rule:
        options["combine"] = rule
    with Federation(threads, SGD, SITES, **options) as federation:
        federation.run(4, 5)
        whole = get_vector(federation.model)
    if rule:
        options["combine"] = Momentum(beta=0.5)
    with Federation(threads, SGD, SITES, checkpoint=path, **options) as federation:
        federation.run(2, 5)
        federation._actors._submit(
            "EWR", "train", (3, whole, 0, None, 5, None, 0.0)
        )  # a broken round
    if rule:
        options["combine"] = Momentum(beta=0.5)
    with Federation(threads, SGD, SITES, checkpoint=path, **options) as federation:
        assert federation.number == 2
        assert [record.number for record in federation.run(2, 5)] == [3, 4]
        np.testing.assert_array_equal(get_vector(federation.model), whole)
    assert [file.name for file in tmp_path.iterdir()] == ["round.npz"]  # nothing half-written


@pytest.mark.parametrize("content", [b"", b"PK", None])
def test_what_is_no_checkpoint_is_refused_by_name(threads, tmp_path, content):
    path = tmp_path / "round.npz"
    if content is None:
        np.savez(path, vector=np.array([print], dtype=object))  # a pickle, which is not read
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="round.npz is no checkpoint of a federation"):
        Federation(threads, SGD, SITES, checkpoint=path)


def test_the_checkpoint_of_another_model_is_refused(threads, tmp_path):
    path = tmp_path / "round.npz"
    with Federation(threads, SGD, SITES, checkpoint=path) as federation:
        federation.round(1)
    wide = {name: partial(load, 1, columns=5) for name in SITES}
    with pytest.raises(ValueError, match="checkpoint of another model"):
        Federation(threads, SGD, wide, checkpoint=path)


# Names of columns


def table(X, columns="abcdef"):
    return pd.DataFrame(X, columns=list(columns))


@pytest.mark.filterwarnings("error:X does not have valid feature names")
def test_names_of_columns_are_compared_and_kept(threads):
    def as_table(columns):
        return partial(changed, lambda X, y: (table(X, columns), y))

    sites = SITES | {"EWR": as_table("abcdef"), "JFK": as_table("abcdef")}
    with Federation(threads, SGD, sites, batch=BATCH, test=0.2) as federation:
        federation.run(2, 2)
        federation.score()
        assert federation.model.feature_names_in_.tolist() == list("abcdef")
        rows = table(load(5)[0])
        assert federation.model.predict(rows).shape == (300,)  # and no warning about names
        own = set_vector(deepcopy(federation.model), federation.history[-1].vectors["JFK"])
        np.testing.assert_array_equal(federation.label("JFK", rows), own.predict(rows))
        with pytest.raises(ValueError, match="the columns are .*'b', 'a'"):
            federation.label("JFK", table(load(5)[0], "bacdef"))
    with pytest.raises(ValueError, match=r"names of columns \(EWR \[a, .*\], JFK \[b, a,"):
        Federation(threads, SGD, sites | {"JFK": as_table("bacdef")})


# The rules


def test_rules_by_hand():
    vectors = np.array([[0.0, 9.0], [2.0, -9.0], [4.0, 1.0], [100.0, 3.0]])
    rows = np.array([1, 1, 2, 0])
    np.testing.assert_allclose(weighted_mean(vectors, rows), [2.5, 0.5])
    np.testing.assert_allclose(coordinate_median(vectors, rows), [3.0, 2.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows), [3.0, 2.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows, trim=0), [26.5, 1.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows, trim=0.25), [3.0, 2.0])
    np.testing.assert_allclose(trimmed_mean(vectors, rows, trim=0.24), [26.5, 1.0])
    for trim in (2, -1, 0.5, 1.5, -0.1, np.nan, True, "1", None):
        with pytest.raises(ValueError, match=f"trim={trim!r}"):
            trimmed_mean(vectors, rows, trim=trim)


@pytest.mark.parametrize("rule", [weighted_mean, coordinate_median, trimmed_mean])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_rule_lets_one_bad_vector_spoil_all(rule, bad):
    vectors = np.array([[0.0, 9.0], [2.0, bad], [4.0, 1.0]])
    with pytest.raises(ValueError, match=r"numbers \[1\] are not finite"):
        rule(vectors, np.ones(3, int))
    with pytest.raises(ValueError, match=r"vectors must be of shape .*, not \(3,\)"):
        rule(vectors[:, 0], np.ones(3, int))


@pytest.mark.parametrize("rows", [[0, 0, 0], [1, -1, 1], [1, 1]])
def test_a_mean_needs_a_weight_for_each_site(rows):
    with pytest.raises(ValueError, match="rows must be one count for each of 3 sites"):
        weighted_mean(np.zeros((3, 2)), np.array(rows))


RULES = [
    (weighted_mean, 1),
    (first_site, 1),
    (coordinate_median, 3),
    (trimmed_mean, 3),
    (partial(trimmed_mean, trim=0), 1),
    (partial(trimmed_mean, trim=2), 5),
    (partial(trimmed_mean, trim=0.25), 4),
    (partial(trimmed_mean, trim=0.4), 3),
]


@pytest.mark.parametrize(("rule", "needed"), RULES)
def test_from_as_many_sites_on_a_rule_protects(rule, needed):
    assert sites_needed(rule) == needed
    wild = np.zeros((needed, 1))
    wild[-1] = 1e9
    if needed > 1:
        assert rule(wild, np.ones(needed, int)) == 0
        with_fewer = wild[1:]
        try:
            assert rule(with_fewer, np.ones(needed - 1, int)) > 0
        except ValueError as error:
            assert "leaves nothing" in str(error)


def test_krum_and_clipping_by_hand():
    vectors = np.array([[0.0], [1.0], [1.5], [1.75], [900.0]])
    assert krum(vectors) == 1.5
    with pytest.raises(ValueError, match="bad=2 needs 7 sites; there are 5"):
        krum(vectors, bad=2)
    before = np.array([1.0, 1.0])
    far, near = before + [3.0, 4.0], before + [0.3, 0.4]
    found = clipped(np.array([far, near]), np.array([1, 1]), before, limit=1.0)
    np.testing.assert_allclose(found, before + [0.45, 0.6])
    for limit in (0, -1, np.nan, "1"):
        with pytest.raises(ValueError, match="limit must be a number above 0"):
            clipped(np.array([far]), np.ones(1), before, limit=limit)
    assert sites_needed(partial(clipped, limit=1, rule=krum)) == 5
    assert sites_needed(Momentum(rule=coordinate_median)) == 3
    assert rule_name(partial(krum, bad=2)) == "krum(bad=2)"


def test_rules_equal_flowers():
    reason = "Flower is not installed: uv sync --extra bench"
    aggregate = pytest.importorskip("flwr.server.strategy.aggregate", reason=reason)
    rng = np.random.default_rng(0)
    vectors, rows, before = rng.normal(size=(7, 5)), rng.integers(1, 99, 7), rng.normal(size=5)
    results = [([v], int(n)) for v, n in zip(vectors, rows, strict=True)]
    pairs = [
        (weighted_mean(vectors, rows), aggregate.aggregate(results)),
        (coordinate_median(vectors), aggregate.aggregate_median(results)),
        (trimmed_mean(vectors, trim=0.3), aggregate.aggregate_trimmed_avg(results, 0.3)),
        (krum(vectors, bad=2), aggregate.aggregate_krum(results, 2, 0)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs[0], rtol=1e-13)
    try:
        from flwr.supercore import differential_privacy as privacy
    except ImportError:  # older Flower
        from flwr.common import differential_privacy as privacy
    for vector in vectors:
        short = [vector.copy()]
        privacy.compute_clip_model_update(short, [before], 0.7)
        found = clipped(vector[None], np.ones(1), before, limit=0.7)
        np.testing.assert_allclose(found, short[0], rtol=1e-13)


# A sum of which nobody sees the parts


def masked_sites(vectors):
    names = [f"site {n}" for n in range(len(vectors))]
    secrets = {
        frozenset((a, b)): int.from_bytes((a + b).encode(), "big")
        for a in names
        for b in names
        if a < b
    }
    return {
        name: mask(v, name, {o: secrets[frozenset((name, o))] for o in names if o != name})
        for name, v in zip(names, vectors, strict=True)
    }, names


def test_masks_cancel_in_the_sum_and_hide_each_vector():
    vectors = np.random.default_rng(0).normal(size=(5, 400)) * 100
    masked, names = masked_sites(vectors)
    rounded = np.round(vectors * 2**32) / 2**32
    np.testing.assert_array_equal(unmask(masked, names), rounded.sum(axis=0))  # bit for bit
    np.testing.assert_allclose(unmask(masked, names), vectors.sum(axis=0), atol=5 * 2.0**-33)
    for vector, hidden in zip(vectors, masked.values(), strict=True):
        bits = np.unpackbits(hidden.view("u1")).mean()
        assert 0.48 < bits < 0.52  # as many ones as noise has
        assert abs(np.corrcoef(hidden.astype("f8"), vector)[0, 1]) < 0.2
    other = vectors.copy()
    other[0], other[1] = vectors[1], vectors[0]  # another distribution of the same sum
    swapped, _ = masked_sites(other)
    np.testing.assert_array_equal(unmask(swapped, names), unmask(masked, names))


def test_a_masked_sum_without_a_site_is_refused():
    masked, names = masked_sites(np.ones((3, 2)))
    del masked["site 1"]
    with pytest.raises(ValueError, match="nothing came from site 1, .* new secrets"):
        unmask(masked, names)
    for bad in (np.nan, np.inf, 2.0**21):
        with pytest.raises(ValueError, match="can be masked"):
            mask(np.array([bad]), "a", {"b": 1})


def test_the_quorum_is_what_the_rule_needs(threads):
    for sites, needed in ((3, 7), (6, 7)):  # the message names what is there, and nothing else
        said = rf"krum\(bad=2\) needs {needed} sites; there are {sites}: from fewer"
        with pytest.raises(ValueError, match=said):
            quorum_for(None, sites, partial(krum, bad=2))
    with Federation(threads, SGD, SITES, combine=coordinate_median) as federation:
        assert federation.quorum == 3
    with Federation(threads, SGD, SITES) as federation:
        assert federation.quorum == 2


# Bad input


def with_nan(X, y):
    X[7, 2] = np.nan
    return X, y


def with_gap(y):
    """Labels as a nullable integer column, one of them missing."""
    return pd.Series(y, dtype="Int64").where(pd.Series(y).index > 0)


def with_text(y):
    """Labels as numbers, one of them as text."""
    return [*y[:-1].tolist(), "1"]


BAD_SITES = [
    (partial(load, 1, rows=0), "site JFK has no rows"),
    (partial(changed, lambda X, y: (X, np.ones_like(y))), "site JFK has one class only"),
    (partial(load, 1, columns=5), r"differ in columns \(EWR 6, JFK 5, LGA 6\)"),
    (partial(load, 1, dtype="float32"), r"differ in dtype \(EWR float64, JFK float32"),
    (partial(changed, with_nan), "site JFK: Input contains NaN"),
    (partial(changed, lambda X, y: (X, np.where(y, np.nan, 0))), "site JFK: y contains NaN"),
    (partial(changed, lambda X, y: (X, y[:-1])), r"site JFK: X has 300 rows, y has .*\(299,\)"),
    (partial(changed, lambda X, y: (X[:, 0], y)), "site JFK: Expected 2D array"),
    (partial(changed, lambda X, y: (X, y.astype(str))), r"kind of labels \(EWR numbers, JFK text"),
    (partial(changed, lambda X, y: (X, y == 1)), "kind of labels .*JFK True or False"),
    (partial(changed, lambda X, y: (X, np.where(y, "late", None))), "site JFK: y contains missing"),
    (partial(changed, lambda X, y: (X, with_gap(y))), "site JFK: y contains NaN"),
    (partial(changed, lambda X, y: (X, with_text(y))), "site JFK: y mixes .* int, str"),
    (partial(changed, lambda X, y: (X, y + 0.5)), "site JFK: Unknown label type: continuous"),
    (partial(changed, lambda X, y: X), r"site JFK: its function must return \(X, y\), not ndarray"),
    (partial(changed, lambda X, y: X[:2]), r"site JFK: its function must return \(X, y\)"),
    (partial(changed, lambda X, y: (X, y, y)), "site JFK: .* not a tuple of 3"),
    (partial(changed, lambda X, y: None), "site JFK: .* not NoneType"),
    (partial(changed, lambda X, y: (csr_array(X), y)), "site JFK: Sparse data was passed"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_SITES, ids=[m for _, m in BAD_SITES])
def test_a_bad_site_is_refused_by_name(threads, bad, message):
    gc.collect()
    gc.disable()  # a site that only the garbage collector would free is a leak
    try:
        with pytest.raises(ValueError, match=message):
            Federation(threads, SGD, SITES | {"JFK": bad})
        wait_until_free(threads)
    finally:
        gc.enable()
    with Federation(threads, SGD, SITES) as federation:  # and the workers are as good as before
        assert federation.round(1).lost == ()


def wait_until_free(client):
    """Wait until no site is left on the workers."""
    deadline = time.monotonic() + 60
    while actors(client):
        assert time.monotonic() < deadline, f"{len(actors(client))} sites stay on the workers"
        client.run(lambda: None)


BAD_ESTIMATORS = [
    (LogisticRegression(), "LogisticRegression has no partial_fit"),
    (GaussianNB(), "GaussianNB cannot be averaged: it has no coef_ and intercept_"),
    (MLPClassifier(), "MLPClassifier cannot be averaged"),
    (IncrementalPCA(), "IncrementalPCA cannot be prepared"),
    (SGDClassifier(average=True), r"SGDClassifier\(average=...\) averages over its own past"),
    (MiniBatchKMeans(3), "MiniBatchKMeans cannot be averaged: .* see lesson 03"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered")  # in a copy that is then refused
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
    ({"batch": True}, "batch must be"),
    ({"test": "0.25"}, "test must be"),
    ({"test": np.nan}, "test must be"),
    ({"quorum": 4}, "quorum must be from 1 to the 3 sites"),
    ({"quorum": "2"}, "quorum must be from 1 to the 3 sites"),
    ({"combine": "median"}, "combine must be a function"),
    ({"combine": trimmed_mean, "quorum": 2}, "trimmed_mean needs 3 sites; quorum=2: from fewer"),
    ({"combine": coordinate_median, "quorum": 2}, "coordinate_median needs 3 sites"),
    ({"combine": partial(trimmed_mean, trim=2)}, r"trimmed_mean\(trim=2\) needs 5 sites; .* 3"),
    ({"combine": partial(trimmed_mean, trim="1")}, "trim='1' is neither"),
    ({"sites": SITES | {"JFK": partial(load, 2, rows=2)}, "test": 0.25},
     "site JFK has 2 rows: test=0.25 keeps 0 of them"),
    ({"sites": SITES | {"JFK": partial(load, 2, rows=2)}, "test": 0.9},
     "site JFK has 2 rows: test=0.9 keeps 2 of them"),
    ({"sites": SITES | {"JFK": lambda: by_class(2)}, "test": 0.25},
     "site JFK has one class only among the rows that it trains on, 0"),
]  # fmt: skip


def by_class(seed):
    """Rows in the order of their classes: the last ones, kept for testing, are all of one."""
    X, y = load(seed, rows=40)
    order = np.r_[np.flatnonzero(y == 0)[:15], np.flatnonzero(y == 1)[:5]]
    return X[order], y[order]


def test_r2_needs_two_rows(threads):
    sites = SITES | {"JFK": partial(load, 2, rows=4)}
    with Federation(threads, SGD, sites, test=0.25) as federation:
        assert federation.score()[1]["JFK"] == 1
    with pytest.raises(ValueError, match="site JFK has 4 rows: .* 1 of them .* 2 rows there"):
        Federation(threads, SGDRegressor(random_state=0), sites, test=0.25)


def test_a_site_that_comes_back_is_checked_as_at_the_start(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as federation:
        federation.round(1)
        for load_again, message in [
            (partial(load, 2, columns=5), "differ in columns"),
            (
                partial(changed, lambda X, y: (X, y + 5)),
                r"it came with labels that are unknown: \[5, 6",
            ),
        ]:
            federation._actors.loads["JFK"] = load_again
            if "JFK" not in federation.lost:
                federation._actors.forget("JFK")
            for _ in range(2):  # and again in the next round: it is not taken for ready
                record = federation.round(1)
                assert list(record.refused) == ["JFK"] and record.lost == ()
                assert re.search(message, record.refused["JFK"])
        federation._actors.loads["JFK"] = SITES["JFK"]
        assert set(federation.round(1).batches) == set(SITES)


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused(threads, arguments, message):
    with pytest.raises(ValueError, match=message):
        Federation(threads, SGD, **({"sites": SITES} | arguments))


def test_bad_calls_are_refused(threads):
    with Federation(threads, SGD, SITES) as federation:
        for batches in (0, 1.5, True, "2", None):
            with pytest.raises(ValueError, match="batches must be"):
                federation.round(batches)
        for rounds in (0, -1, "3"):
            with pytest.raises(ValueError, match="rounds must be"):
                federation.run(rounds, 1)
        for drift in (1, True, "drift"):
            with pytest.raises(ValueError, match="drift must be a Drift or None"):
                federation.round(1, drift)
        for rows in (load(1)[0][0], [[np.nan] * COLUMNS], [["a"] * COLUMNS]):
            with pytest.raises(ValueError):
                federation.label("EWR", rows)
        with pytest.raises(ValueError, match="no site 'BOS'"):
            federation.label("BOS", load(1)[0])


@pytest.mark.parametrize("limits", [{}, {"moved": -1}, {"error": "0.1"}, {"moved": np.nan}])
def test_a_drift_needs_a_limit(limits):
    with pytest.raises(ValueError, match="limit|must be a number of at least 0"):
        Drift(**limits)


def no_number(vectors, rows, before):
    return vectors[0] * np.nan


def no_rule(vectors, rows, before):
    return vectors


def test_a_rule_that_gives_no_numbers_changes_nothing(threads):
    with Federation(
        threads, SGD, SITES, combine=lambda vectors, rows, before: vectors[0] * np.nan
    ) as it:
        before = get_vector(it.model)
        with pytest.raises(ValueError, match="combine gave parameters that are not finite"):
            it.round(2)
        np.testing.assert_array_equal(get_vector(it.model), before)


def test_a_rule_that_gives_another_shape_changes_nothing(threads):
    with Federation(
        threads, SGD, SITES, combine=lambda vectors, rows, before: vectors
    ) as federation:
        before = get_vector(federation.model)
        with pytest.raises(ValueError, match=r"combine gave the shape \(3, 7\), .* are \(7,\)"):
            federation.round(2)
        np.testing.assert_array_equal(get_vector(federation.model), before)


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


ONLY_HERE = """
def load():
    return None
"""


def test_what_a_worker_cannot_import_is_an_error_and_no_loss(processes, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text(ONLY_HERE)
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import load as load_nothing

    with pytest.raises(ModuleNotFoundError, match="only_here") as error:
        Federation(processes, SGD, SITES | {"JFK": load_nothing})
    assert error.value.__notes__ == ["raised at site JFK"]


def test_an_error_is_kept_though_the_actor_is_not_seen_yet(threads, monkeypatch):
    """On a busy machine the handle of an actor may lag behind what it was asked."""
    monkeypatch.setattr(Actors, "_as_they_end", forgetful(Actors._as_they_end))
    with pytest.raises(ValueError, match="site JFK has no rows"):
        Federation(threads, SGD, SITES | {"JFK": partial(load, 1, rows=0)})


def forgetful(honest):
    def lag(self, waiting, until):
        for name, future in honest(self, waiting, until):
            self._actors[name]._state.status = "pending"
            yield name, future

    return lag


def end(folder):
    """Load nothing, and take the worker along."""
    os._exit(1)


def test_a_worker_that_dies_while_it_loads_is_named(processes):
    with pytest.raises(RuntimeError, match=r"lost while they loaded their rows: JFK \("):
        Federation(processes, SGD, SITES | {"JFK": partial(end, "")})
    processes.wait_for_workers(3, timeout=200)


# The benchmark


def test_the_benchmark_leaves_flower_out_where_ray_would_hang():
    why = why_no_flower("/home/ada/my course/.venv")
    assert "cannot start workers from /home/ada/my course/.venv" in why
    assert "space" not in (why_no_flower("/home/ada/course/.venv") or "")


# Tidiness


def test_two_federations_at_once_do_not_disturb_each_other(threads):
    with Federation(threads, SGD, SITES, batch=BATCH) as one:
        with Federation(threads, SGD, SITES, batch=BATCH) as other:
            drift = Drift(moved=1e-9)
            for federation in (one, other, one, other):
                federation.round(2)
            assert other.round(9, drift).reports
        one.round(2)
    for federation, rounds in ((one, 3),):
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
