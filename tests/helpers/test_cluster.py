"""Start, reuse, join, close; and what goes wrong with words that help."""

import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from distributed import Client, LocalCluster, Security

import helpers.cluster
import helpers.machine
from helpers.backend import Backend, get_backend
from helpers.cluster import (
    ClusterError,
    close_cluster,
    describe_cluster,
    quiet_workers,
    start_cluster,
)

IN_THIS_PROCESS = {
    "processes": False,
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "worker_dashboard_address": "127.0.0.1:0",
}


@pytest.fixture(autouse=True)
def closed():
    yield
    close_cluster()


@pytest.fixture(scope="module")
def other_scheduler():
    """A running cluster that somebody else started."""
    with LocalCluster(
        n_workers=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        protocol="tcp",
    ) as cluster:
        yield cluster.scheduler_address


def test_the_same_cluster_is_reused_and_another_replaces_it():
    first = start_cluster("cpu", n_workers=1)
    assert start_cluster("cpu", n_workers=1) is first
    second = start_cluster("cpu", n_workers=2)
    assert second is not first
    assert first.status == "closed"
    assert len(second.scheduler_info(n_workers=-1)["workers"]) == 2


def test_a_closed_client_is_not_reused():
    first = start_cluster("cpu", n_workers=1)
    first.close()
    second = start_cluster("cpu", n_workers=1)
    assert second.submit(sum, [1, 2]).result() == 3


def test_closing_ends_the_workers_and_may_be_done_twice():
    client = start_cluster("cpu", n_workers=1)
    (pid,) = client.run(os.getpid).values()
    assert psutil.pid_exists(pid)
    close_cluster()
    close_cluster()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_everything_listens_on_loopback_only():
    client = start_cluster("cpu", n_workers=1)
    pids = [os.getpid(), *client.run(os.getpid).values()]
    listening = [
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening and set(listening) == {"127.0.0.1"}


def test_a_kernel_that_ends_closes_its_workers():
    code = (
        "import os\nfrom helpers.cluster import start_cluster\n"
        "if __name__ == '__main__':\n"
        "    client = start_cluster('cpu', n_workers=1)\n"
        "    print(*client.run(os.getpid).values())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert gone(int(run.stdout))


def test_a_kernel_that_is_killed_leaves_no_worker():
    code = (
        "import os\nfrom helpers.cluster import start_cluster\n"
        "if __name__ == '__main__':\n"
        "    client = start_cluster('cpu', n_workers=1)\n"
        "    print(*client.run(os.getpid).values(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert gone(int(run.stdout))


START = """
from helpers.cluster import start_cluster
client = start_cluster("cpu", n_workers=2, timeout={timeout})
print(client)
"""
GUARDED = """
import os, time
{in_each_worker}
if __name__ == "__main__":
    from helpers.cluster import ClusterError, start_cluster
    try:
        start_cluster("cpu", n_workers=2, timeout={timeout})
    except ClusterError as error:
        print(error)
"""
SLEEP = 'if __name__ != "__main__": time.sleep(600)'
END = 'if __name__ != "__main__": os._exit(3)'


def run_script(folder, text):
    """Run a script to its end; it must leave no process behind."""
    script = folder / "a script.py"
    script.write_text(text)
    token = f"COURSE_TEST_{os.getpid()}_{time.monotonic_ns()}"
    environment = os.environ | {token: "1", "PYTHONPATH": os.getcwd()}
    call = [sys.executable, script]
    run = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120)
    assert not left_behind(token), "processes stay after a failed start"
    return run


def left_behind(token, seconds=20):
    deadline = time.monotonic() + seconds
    while found := [process.info["pid"] for process in psutil.process_iter(["pid", "environ"])
                    if token in (process.info["environ"] or ())]:  # fmt: skip
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


def test_a_script_without_a_main_guard_gets_one_clear_message(tmp_path):
    run = run_script(tmp_path, START.format(timeout=100))
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count('below the line `if __name__ == "__main__":`. Each worker') == 1
    assert len(run.stderr.splitlines()) < 15, run.stderr


def test_a_process_that_is_starting_and_no_worker_of_ours_is_told(monkeypatch):
    monkeypatch.setattr(helpers.cluster.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ClusterError, match="below the line `if __name__"):
        start_cluster("cpu", n_workers=1)


@pytest.mark.parametrize(
    ("in_each_worker", "timeout", "message"),
    [
        (SLEEP, 5, "2 workers did not start within 5 s: ask for fewer, "),
        (END, 100, "The workers ended before they had started"),
    ],
)
def test_the_time_limit_covers_the_start_and_nothing_is_left_running(
    tmp_path, in_each_worker, timeout, message
):
    text = GUARDED.format(in_each_worker=in_each_worker, timeout=timeout)
    run = run_script(tmp_path, text)
    assert run.returncode == 0 and run.stdout.startswith(message), run.stderr
    assert "Traceback" not in run.stderr


def gone(pid, seconds=30):
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not psutil.pid_exists(pid)


def test_joining_leaves_the_cluster_running(other_scheduler):
    client = start_cluster("cpu", n_workers=1, scheduler=other_scheduler)
    assert client.submit(sum, [1, 2]).result() == 3
    close_cluster()
    with Client(other_scheduler, set_as_default=False) as again:
        assert again.submit(sum, [2, 3]).result() == 5


def test_joining_over_tls():
    pytest.importorskip("cryptography", reason="TLS certificates need the package cryptography")
    security = Security.temporary()
    with LocalCluster(
        n_workers=1,
        processes=False,
        security=security,
        protocol="tls",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        client = start_cluster("cpu", n_workers=1, scheduler=address, security=security)
        assert client.submit(sum, [1, 2]).result() == 3
        close_cluster()
        with pytest.raises(ClusterError, match="and no certificates are given"):
            start_cluster("cpu", n_workers=1, scheduler=address)


def test_nothing_listens_and_the_running_cluster_stays():
    client = start_cluster("cpu", n_workers=1)
    with pytest.raises(ClusterError, match="No Dask scheduler answers at tcp://127.0.0.1:1 "):
        start_cluster("cpu", n_workers=1, scheduler="tcp://127.0.0.1:1", timeout=2)
    assert start_cluster("cpu", n_workers=1) is client


def test_something_else_listens(tmp_path):
    from helpers.data import serve_folder

    with serve_folder(tmp_path) as url:
        address = url.replace("http", "tcp")
        with pytest.raises(ClusterError, match="another program's port"):
            start_cluster("cpu", n_workers=1, scheduler=address, timeout=2)


def test_no_worker_in_time(other_scheduler, monkeypatch):
    wait = Client.wait_for_workers
    monkeypatch.setattr(Client, "wait_for_workers", lambda self, n, timeout: wait(self, n, 0.1))
    with pytest.raises(ClusterError, match="1 of 3 workers came within 60 s"):
        start_cluster("cpu", n_workers=3, scheduler=other_scheduler)
    assert helpers.cluster._open["client"] is None


@pytest.mark.parametrize("n_workers", [10**6, 8 * os.cpu_count() + 1])
def test_more_workers_than_the_machine_can_run_are_refused(n_workers):
    with pytest.raises(ValueError, match=f"n_workers={n_workers} are too many .* at most"):
        start_cluster("cpu", n_workers=n_workers)
    # Other machines may run as many.
    helpers.cluster._check_arguments(n_workers, "tcp://10.0.0.5:8786", None, 1)


@pytest.mark.parametrize("security", ["cert.pem", True, {"tls_ca_file": "ca.pem"}])
def test_the_security_is_checked(security):
    with pytest.raises(ValueError, match="security must be a distributed.Security"):
        start_cluster("cpu", n_workers=1, scheduler="tls://127.0.0.1:1", security=security)


@pytest.mark.parametrize("n_workers", [0, -1, 1.5, "2", "two", None, True, [2]])
def test_the_number_of_workers_is_checked(n_workers):
    with pytest.raises(ValueError, match="n_workers must be a whole number"):
        start_cluster("cpu", n_workers=n_workers)


@pytest.mark.parametrize("scheduler", ["here", "tcp://127.0.0.1", 8786, ""])
def test_the_address_is_checked(scheduler):
    with pytest.raises(ValueError, match="scheduler must be an address such as"):
        start_cluster("cpu", n_workers=1, scheduler=scheduler)


@pytest.mark.parametrize("timeout", [0, -3, "10", None, True, float("nan"), float("inf")])
def test_the_timeout_is_checked(timeout):
    with pytest.raises(ValueError, match="timeout must be a positive number"):
        start_cluster("cpu", n_workers=1, timeout=timeout)


def test_the_dashboard_has_a_free_port_of_its_own_and_a_link_that_follows_dask(monkeypatch):
    import dask

    client = start_cluster("cpu", n_workers=1)
    line = describe_cluster(client)
    assert line.startswith("1 worker, 1 thread, ")
    assert "dashboard: http://127.0.0.1:" in line
    with dask.config.set({"distributed.dashboard.link": "/proxy/{port}/status"}):
        assert "dashboard: /proxy/" in describe_cluster(client)


def test_workers_are_known_while_the_client_renews_its_note_of_them(monkeypatch):
    """Dask's scheduler_info() then comes back without one, now and then."""
    client = start_cluster("cpu", n_workers=1)
    assert client._periodic_callbacks["scheduler-info"].callback_time > 1e6  # ms
    monkeypatch.setattr(Client, "scheduler_info", lambda *args, **options: {"workers": {}})
    assert describe_cluster(client).startswith("1 worker, 1 thread, ")


@pytest.mark.parametrize("own, seconds", [("5 minutes", 60), ("7s", 7)])
def test_the_limit_for_a_silent_worker_reaches_the_scheduler(own, seconds):
    """Unless the user has set one: what Dask has by itself is five minutes."""
    import dask

    with dask.config.set({"distributed.scheduler.worker-ttl": own}):
        client = start_cluster("cpu", n_workers=1)
        assert client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl) == seconds
        close_cluster()


def test_where_encryption_is_required_a_cluster_of_our_own_has_it():
    import dask

    with dask.config.set({"distributed.comm.require-encryption": True}):
        client = start_cluster("cpu", n_workers=1)
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result() == 3
        close_cluster()


def test_the_link_leads_through_jupyterhub(monkeypatch):
    import dask

    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    with dask.config.set({"distributed.dashboard.link": "{scheme}://{host}:{port}/status"}):
        client = start_cluster("cpu", n_workers=1)
        assert "dashboard: /user/ada/proxy/" in describe_cluster(client)


def test_workers_are_quiet_inside_and_log_again_after_an_error():
    client = start_cluster("cpu", n_workers=1)

    def may_log():
        return logging.getLogger("distributed.worker").isEnabledFor(logging.ERROR)

    with pytest.raises(ZeroDivisionError), quiet_workers(client):
        assert set(client.run(may_log).values()) == {False}
        raise ZeroDivisionError
    assert set(client.run(may_log).values()) == {True}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"rmm_pool": 0.5}, "knows no rmm_pool; options for GPUs are rmm_pool_size"),
        ({"scheduler": "tcp://127.0.0.1:1", "protocol": "ucx"}, "have been started already"),
    ],
)
def test_options_for_gpus_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        start_cluster("cpu", n_workers=1, **options)


@pytest.mark.parametrize(
    "asked, pool", [({}, 0.5), ({"rmm_async": True}, None), ({"rmm_pool_size": "2GiB"}, "2GiB")]
)
def test_options_for_gpus_reach_dask_cuda(monkeypatch, asked, pool):
    class Seen(Exception):
        pass

    def cluster(**options):
        seen.update(options)
        raise Seen

    seen, gpu = {}, Backend("gpu", "a test asks for it")
    monkeypatch.setattr(helpers.machine, "count_gpus", lambda: (2, "2 GPUs"))
    monkeypatch.setattr(Backend, "LocalCluster", staticmethod(cluster), raising=False)
    with pytest.raises(ClusterError):
        start_cluster(gpu, n_workers=2, **asked)
    get_backend("cpu")
    assert seen["rmm_pool_size"] == pool and seen["enable_cudf_spill"] is True
    assert seen["n_workers"] == 2 and "threads_per_worker" not in seen


def test_fewer_gpus_than_workers_are_told_beside_the_outputs(monkeypatch, capsys):
    def cluster(n_workers, **options):
        raise OSError(f"asked for {n_workers}")

    monkeypatch.setattr(helpers.machine, "count_gpus", lambda: (1, "one GPU"))
    monkeypatch.setattr(Backend, "LocalCluster", staticmethod(cluster), raising=False)
    with pytest.warns(UserWarning, match="^1 GPU, 1 worker: one worker per GPU.$") as told:
        with pytest.raises(ClusterError, match="asked for 1"):
            start_cluster(Backend("gpu", "a test asks for it"), n_workers=2)
    get_backend("cpu")
    assert told[0].filename == __file__ and capsys.readouterr().out == ""


TOLD, SILENT = {"gpu": {"name": "H100"}}, {}  # what a worker says of itself when it starts


@pytest.mark.parametrize(
    ("workers", "gpus", "refused"),
    [([TOLD], {}, None), ([TOLD, SILENT], {2: 1}, None), ([SILENT, TOLD, SILENT], {1: 1}, 3)],
)
def test_a_worker_without_a_gpu_is_refused(workers, gpus, refused):
    gpu, deadline = Backend("gpu", "a test"), time.monotonic() + 60
    if refused is None:
        return helpers.cluster._compare_gpus(client_of(workers, gpus), gpu, deadline)
    with pytest.raises(ClusterError, match=f"has one:\n- tcp://127.0.0.1:{refused}, 0 GPUs\n"):
        helpers.cluster._compare_gpus(client_of(workers, gpus), gpu, deadline)


def test_gpus_that_stay_idle_are_told(capsys):
    cpu, deadline = Backend("cpu", "there is no driver"), time.monotonic() + 60
    helpers.cluster._compare_gpus(client_of([SILENT, TOLD]), cpu, deadline)
    assert "stay idle: here there is no driver" in capsys.readouterr().out
    helpers.cluster._compare_gpus(client_of([SILENT, SILENT]), cpu, deadline)
    assert capsys.readouterr().out == ""


def client_of(workers, gpus=None):
    """A client of such workers; `gpus` has what the drivers of silent ones count."""
    said = {f"tcp://127.0.0.1:{n}": worker for n, worker in enumerate(workers, 1)}
    counts = {address: (gpus or {}).get(n, 0) for n, address in enumerate(said, 1)}
    return SimpleNamespace(
        scheduler=SimpleNamespace(identity=lambda n_workers: {"workers": said}),
        sync=lambda ask, n_workers, callback_timeout: ask(n_workers),
        run=lambda call, workers: {w: (counts[w], f"{counts[w]} GPUs") for w in workers},
    )


def test_workers_that_somebody_made_quiet_stay_as_quiet():
    client = start_cluster("cpu", n_workers=2)
    first, second = client.scheduler_info(n_workers=-1)["workers"]
    client.run(logging.disable, logging.INFO, workers=[first])
    with quiet_workers(client), quiet_workers(client):
        pass
    levels = client.run(lambda: logging.root.manager.disable)
    assert levels == {first: logging.INFO, second: logging.NOTSET}
