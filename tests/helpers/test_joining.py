"""Somebody else's cluster: left as it was found, and clear words when it cannot be joined."""

import contextlib
import datetime
import logging
import socket
import ssl
import threading
import time
import types

import dask
import pytest
from distributed import Client, LocalCluster, Security

import helpers.cluster
from helpers import certificates, joining
from helpers.certificates import make_certificates, security, what_is_wrong
from helpers.cluster import (
    ClusterError,
    close_cluster,
    describe_cluster,
    quiet_workers,
    start_cluster,
)
from helpers.joining import check_shared
from tests.hosts import state
from tests.hosts.network import Cluster


@pytest.fixture(autouse=True)
def closed():
    yield
    close_cluster()


@pytest.fixture
def patient(monkeypatch):
    """Let the other end take its time to show a certificate, on a busy machine."""
    monkeypatch.setattr(joining, "DIAGNOSIS", 60)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A scheduler and two workers with TLS, processes as a terminal starts them."""
    cluster = Cluster(tmp_path_factory.mktemp("theirs"), alone=True, hosts=2)
    try:
        with Client(cluster.address, security=cluster.security, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=100)
            # Their owner wants no messages of level INFO.
            client.run(logging.disable, logging.INFO)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def plain():
    """A scheduler without TLS."""
    address = "127.0.0.1:0"
    with LocalCluster(
        n_workers=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp",
        dashboard_address=address,
        worker_dashboard_address=address,
    ) as cluster:
        yield cluster


def seen(cluster, **options):
    with Client(cluster.address, security=cluster.security, set_as_default=False) as client:
        return state.snapshot(client, **options)


def disabled():
    return logging.root.manager.disable


def of_this_process():
    """Settings of Dask and levels of its loggers; handlers come and go with Dask's servers."""
    found = state.of_process()
    levels = {name: level for name, (level, *_) in found["loggers"].items() if level}
    return {"config": found["config"], "levels": levels, "off": disabled()}


def fails(number):
    raise ValueError(number)


# A joined cluster is somebody else's


def test_a_joined_cluster_is_as_it_was_before(theirs):
    before = seen(theirs)
    client = start_cluster("cpu", 2, theirs.address, theirs.security)
    assert describe_cluster(client).startswith("2 workers, 2 threads, 4.00 GiB; ")
    with quiet_workers(client):
        assert isinstance(client.submit(fails, 1).exception(), ValueError)
        assert set(client.run(disabled).values()) == {logging.INFO}
    data = client.scatter([1, 2, 3], broadcast=True)
    assert client.submit(sum, client.map(str.__len__, ["a", "bc"])).result() == 3
    del data
    close_cluster()
    assert list(state.differences(before, seen(theirs))) == []


def test_after_an_error_while_quiet_it_is_as_before_too(theirs):
    before = seen(theirs)
    client = start_cluster("cpu", 2, theirs.address, theirs.security)
    with pytest.raises(ZeroDivisionError), quiet_workers(client):
        raise ZeroDivisionError
    close_cluster()
    assert list(state.differences(before, seen(theirs))) == []


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "of our own"])
def test_this_process_is_as_before_when_a_cluster_is_closed(theirs, joined, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    import dask_ml.datasets  # noqa: F401  (what is only imported later is no change)
    import distributed  # noqa: F401

    helpers.cluster.get_backend("cpu")
    before = of_this_process()
    start_cluster("cpu", 2, *[theirs.address, theirs.security] * joined)
    assert of_this_process() != before
    close_cluster()
    assert list(state.differences(before, of_this_process())) == []


def test_quiet_workers_of_our_own_are_as_before_too():
    client = start_cluster("cpu", 1)
    client.run(logging.disable, logging.INFO)
    with quiet_workers(client):
        assert set(client.run(disabled).values()) == {logging.CRITICAL}
    assert set(client.run(disabled).values()) == {logging.INFO}


def test_state_sees_what_a_visitor_leaves_behind(theirs):
    """The comparison itself: each of these is found, and gone when it is undone."""

    def leave(dask_worker):
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
        dask.config.set({"distributed.worker.memory.spill": 0.5})
        dask_worker.mine = 1

    def undo(dask_worker):
        logging.getLogger("distributed.worker").setLevel(logging.NOTSET)
        dask.config.config["distributed"]["worker"]["memory"]["spill"] = 0.7
        del dask_worker.mine

    before = seen(theirs)
    with Client(theirs.address, security=theirs.security, set_as_default=False) as client:
        client.run(leave)
        client.publish_dataset(numbers=client.scatter([1]))
        client.amm.stop()
    found = "\n".join(state.differences(before, seen(theirs, settle=0)))
    with Client(theirs.address, security=theirs.security, set_as_default=False) as client:
        client.run(undo)
        client.unpublish_dataset("numbers")
        client.amm.start()
    for part in ("loggers", "spill", "'mine'", "published", "memory manager", "tasks"):
        assert part in found, found
    assert list(state.differences(before, seen(theirs))) == []


# Refusals


def message(*arguments, **options):
    with pytest.raises(ClusterError) as refused:
        start_cluster("cpu", 1, *arguments, **options)
    assert helpers.cluster._open["client"] is None
    return str(refused.value)


def test_certificates_that_are_wrong_are_named_before_anything_is_sent(tmp_path, monkeypatch):
    good, other = make_certificates(tmp_path / "good"), make_certificates(tmp_path / "other")
    with monkeypatch.context() as long_ago:
        long_ago.setattr(certificates, "datetime", clock(days=-60))
        old = make_certificates(tmp_path / "old")
    address = "tls://192.0.2.1:8786"  # nobody is there, and nobody is asked

    def told(ca=good, cert=good, key=good):
        files = {"tls_ca_file": f"{ca}/ca.pem", "tls_client_cert": f"{cert}/client.pem"}
        return message(address, Security(**files, tls_client_key=f"{key}/client.key"))

    assert "client.pem is signed by another authority than ca.pem" in told(ca=other)
    assert "client.key is no key of client.pem" in told(key=other)
    assert "ca.pem has expired on" in told(ca=old, cert=old, key=old)
    assert "client.pem has expired on" in told(cert=old, key=old)
    assert f"{tmp_path}/none/ca.pem cannot be read (No such file" in told(ca=tmp_path / "none")
    assert "and no certificates are given" in message(address, Security(tls_ca_file=None))
    (good / "ca.pem").write_text("empty")
    assert "ca.pem holds no certificate" in told()


def clock(days):
    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + datetime.timedelta(days=days)

    return types.SimpleNamespace(**vars(datetime) | {"datetime": Shifted})


def test_good_certificates_are_good(theirs):
    for name in ("client", "worker", "scheduler"):
        assert what_is_wrong(security(theirs.certificates, name)) == ""
    assert what_is_wrong(Security.temporary()) == ""


def test_a_scheduler_of_another_authority_is_told(theirs, tmp_path, patient):
    mine = security(make_certificates(tmp_path / "mine"))
    text = message(theirs.address, mine)
    assert "its certificate is signed by another authority than ca.pem" in text


def test_a_scheduler_that_trusts_another_authority_is_told(theirs, tmp_path, patient):
    other = make_certificates(tmp_path / "other")
    both = tmp_path / "both.pem"
    both.write_text((other / "ca.pem").read_text() + (theirs.certificates / "ca.pem").read_text())
    mine = Security(
        tls_ca_file=str(both),
        tls_client_cert=str(other / "client.pem"),
        tls_client_key=str(other / "client.key"),
    )
    assert "does not accept yours" in message(theirs.address, mine)


def test_an_expired_certificate_of_the_scheduler_is_told(theirs, tmp_path, monkeypatch, patient):
    with monkeypatch.context() as long_ago:
        long_ago.setattr(certificates, "datetime", clock(days=-60))
        old = make_certificates(tmp_path / "old")
    with speaks_tls(old) as address:
        assert "its certificate has expired on" in message(address, theirs.security, timeout=1)


@contextlib.contextmanager
def speaks_tls(folder):
    """Show a scheduler's certificate to whoever calls."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "scheduler.pem", folder / "scheduler.key")

    def serve(server):
        while True:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                try:
                    source, _ = server.accept()
                except OSError:  # closed
                    return
                context.wrap_socket(source, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"tls://127.0.0.1:{server.getsockname()[1]}"


def test_the_wrong_protocol_is_told(theirs, plain, monkeypatch):
    with monkeypatch.context() as patient:
        patient.setattr(joining, "DIAGNOSIS", 60)
        text = message(theirs.address.replace("tls", "tcp"))
    assert f"speaks TLS: write {theirs.address}" in text
    text = message(plain.scheduler_address.replace("tcp", "tls"), theirs.security)
    assert "Or tcp:// where you wrote tls://?" in text


def test_a_workers_address_is_told(plain):
    (worker,) = plain.workers.values()
    text = message(worker.address)
    assert f"A worker answers at {worker.address}. " in text and plain.scheduler_address in text


@contextlib.contextmanager
def relay(to, silent_after):
    """Pass on some connections to an address; the rest, and all bytes from then on, go nowhere."""
    passed, sockets, over = [], [], threading.Event()

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not over.is_set():
                    target.sendall(data)

    def serve(server):
        with contextlib.suppress(OSError):
            while True:
                source, _ = server.accept()
                sockets.append(source)
                if len(passed) >= silent_after:
                    over.set()
                    continue
                passed.append(source)
                target = socket.create_connection(to)
                sockets.append(target)
                for pair in ((source, target), (target, source)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            for one in sockets:
                one.close()


def test_a_host_that_is_silent_from_the_start_is_told(plain):
    port = int(plain.scheduler_address.rpartition(":")[2])
    with relay(("127.0.0.1", port), silent_after=0) as address:
        assert "No Dask scheduler answers" in message(address, timeout=1)


@pytest.mark.parametrize("connections", [0, 1])
def test_a_host_that_vanishes_while_joining_is_told(plain, connections):
    """A client takes two connections; the second or both never get an answer."""
    port = int(plain.scheduler_address.rpartition(":")[2])
    with (
        relay(("127.0.0.1", port), silent_after=connections) as address,
        pytest.raises(ClusterError, match="answered and then did not take this client"),
    ):
        joining.join(address, None, time.monotonic() + 1)


def test_a_scheduler_that_falls_silent_after_that_is_told(plain, monkeypatch):
    def silent(*arguments, **options):
        raise TimeoutError

    monkeypatch.setattr(Client, "wait_for_workers", silent)
    monkeypatch.setattr(joining, "known_workers", silent)
    text = message(plain.scheduler_address)
    assert "fell silent; nobody knows how many of 1 worker came within 60 s" in text


def test_a_worker_that_does_not_answer_is_told(plain, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(Client, "get_versions", lambda self, packages: over.wait(100))
    with (
        Client(plain, set_as_default=False) as client,
        pytest.raises(ClusterError, match="A worker is there, but did not answer within 0.5 s"),
    ):
        joining.compare_versions(client, False, 0.5, time.monotonic() + 0.5)
    over.set()


# Versions


def changed(monkeypatch, change):
    real = Client.get_versions

    def other(self, *arguments, **options):
        versions = real(self, *arguments, **options)
        change(versions)
        return versions

    monkeypatch.setattr(Client, "get_versions", other)


def test_versions_that_differ_are_named_with_their_place(theirs, monkeypatch):
    def one_is_older(versions):
        first, *_ = versions["workers"].values()
        first["packages"]["scikit-learn"] = "1.0"
        first["packages"]["scale-out-ml-course"] = None
        versions["scheduler"]["host"]["python"] = "3.9.1.final.0"

    changed(monkeypatch, one_is_older)
    text = message(theirs.address, theirs.security)
    assert "- python: 3." in text and "here, 3.9 on the scheduler" in text
    found = [line for line in text.splitlines() if line.startswith("- s")]
    assert [line.split(":")[0] for line in found] == ["- scale-out-ml-course", "- scikit-learn"]
    assert "missing on worker h" in found[0] and "here, 1.0 on worker h" in found[1]
    assert "numpy" not in text


def test_rapids_is_compared_on_gpus_only(plain, monkeypatch):
    packages = []
    changed(monkeypatch, lambda versions: packages.append(versions["client"]["packages"]))
    names = ["cudf-cu13", "cuml", "cupy-cuda13x", "dask-cuda", "cudfish", "numpy"]
    found = [types.SimpleNamespace(name=name) for name in names]
    monkeypatch.setattr(joining.importlib.metadata, "distributions", lambda: found)
    with Client(plain, set_as_default=False) as client:
        for is_gpu in (False, True):
            joining.compare_versions(client, is_gpu, 10, time.monotonic() + 10)
    cpu, gpu = packages
    assert set(gpu) - set(cpu) == {"cudf-cu13", "cuml", "cupy-cuda13x", "dask-cuda"}
    assert {"scikit-learn", "pandas", "numpy", "scale-out-ml-course"} <= set(cpu)


# Paths


def test_a_path_that_a_worker_does_not_see_is_told(theirs, tmp_path):
    client = start_cluster("cpu", 2, theirs.address, theirs.security)
    check_shared(client, tmp_path, __file__)
    with pytest.raises(
        ClusterError, match=r"nowhere is not there on worker h\d at tls.*COURSE_DATA"
    ):
        check_shared(client, tmp_path, tmp_path / "nowhere")


def test_a_scheduler_that_does_not_say_its_workers_is_told():
    def never(ask, n_workers, callback_timeout):
        raise TimeoutError

    client = types.SimpleNamespace(scheduler=types.SimpleNamespace(identity=None), sync=never)
    with pytest.raises(TimeoutError, match="did not say within 7 s which workers it has"):
        joining.known_workers(client, 7)
