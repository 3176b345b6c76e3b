"""Start, reuse or join a Dask cluster, and close it.

One cluster at a time: asking twice for the same one gives the running one back, asking for
another closes the first. Everything listens on 127.0.0.1 only. A cluster that is joined is
somebody else's: it is left as it was found. So is this process when its own cluster closes.
"""

import atexit
import logging
import math
import os
import tempfile
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, contextmanager
from multiprocessing import current_process
from numbers import Integral, Real
from pathlib import Path
from time import monotonic

from helpers.backend import get_backend
from helpers.joining import (
    ClusterError,
    close_client,
    compare_versions,
    count,
    in_a_thread,
    join,
    knock,
    wait_for_workers,
)

PER_CORE = 8  # workers of one thread each; more would only take memory from each other
UNGUARDED = "COURSE_CLUSTER_UNGUARDED"  # names a file that a worker writes which starts a cluster

SETTINGS = {
    # A worker that dies is started anew. On a busy machine that takes longer than Dask's 15 s,
    # after which the cluster would give it up for good.
    "distributed.deploy.lost-worker-timeout": "5 minutes",
}
LEVELS = {
    # A message that was under way when somebody closed a cluster is no news to a learner.
    "distributed.batched": logging.WARNING,
    # Dask 2026.7 reports every ordinary shuffle as a warning.
    "distributed.shuffle._scheduler_plugin": logging.ERROR,
}

_open = {"asked": None, "client": None, "cluster": None, "undo": ExitStack()}


def start_cluster(backend="auto", n_workers=2, scheduler=None, security=None, timeout=60):
    """Start workers on this machine, or join a running scheduler.

    Parameters
    ----------
    backend : Backend or {"auto", "cpu", "gpu"}
        On the CPU the workers are `n_workers` processes with one thread each; on the GPU there is
        one worker per visible GPU, at most `n_workers`.
    n_workers : int
        Workers to start, at most 8 for each CPU core, or to wait for when joining.
    scheduler : str, optional
        Address of a running scheduler, such as ``"tcp://10.0.0.5:8786"`` or ``"tls://…"``.
    security : distributed.Security, optional
        TLS certificates for a ``tls://`` scheduler; default: those named in Dask's configuration.
    timeout : float
        Seconds that all of it may take: to start or to join, to wait for the workers, to compare
        versions.

    Returns
    -------
    distributed.Client
        The same one when the cell is run twice.

    Raises
    ------
    ValueError
        If `n_workers` or `timeout` is not a positive number, there are too many workers for this
        machine, `scheduler` is not an address or `security` not a Security.
    ClusterError
        If the workers did not start, no scheduler answers at `scheduler` or it does not accept the
        certificates, fewer than `n_workers` workers came within `timeout`, one does not answer, or
        Python or a package that tasks need has another version somewhere than here. Nothing that
        was started goes on running, and what cannot be reached leaves the open cluster open.

    Examples
    --------
    >>> client = start_cluster("cpu", n_workers=1)
    >>> client.submit(sum, [1, 2]).result()
    3
    >>> close_cluster()
    """
    _refuse_inside_a_starting_worker()
    _check_arguments(n_workers, scheduler, security, timeout)
    n_workers, deadline = int(n_workers), monotonic() + timeout
    backend = get_backend(backend)
    asked = (backend.name, n_workers, scheduler, security)
    if asked == _open["asked"] and _alive(_open["client"]):
        return _open["client"]
    if scheduler:
        knock(scheduler, security, timeout)  # where nobody answers, the open cluster stays open
    close_cluster()
    _set_up(_open["undo"])
    try:
        if scheduler:
            _open["client"] = join(scheduler, security, deadline)
        else:
            _open["cluster"] = _start(backend, n_workers, timeout)
            _open["client"] = _open["cluster"].get_client()
            n_workers = min(n_workers, len(_open["cluster"].worker_spec))
        wait_for_workers(_open["client"], n_workers, timeout, deadline)
        compare_versions(_open["client"], backend.is_gpu, timeout, deadline)
    except BaseException:
        close_cluster()
        raise
    _open["asked"] = asked
    return _open["client"]


def close_cluster():
    """Close the client, and the workers that `start_cluster` started.

    A scheduler that was joined keeps running: it belongs to whoever started it. Closing twice
    does nothing. A kernel that ends closes its cluster too.
    """
    client, cluster, undo = _open["client"], _open["cluster"], _open["undo"]
    _open.update(asked=None, client=None, cluster=None, undo=ExitStack())
    with undo:
        if client is not None:
            close_client(client)
        if cluster is not None:
            # On a busy machine a nanny says that it has to kill its worker: closed is closed.
            undo.enter_context(_logging("distributed.nanny", logging.ERROR))
            cluster.close()


atexit.register(close_cluster)


def describe_cluster(client):
    """Say in one line how many workers there are, with which memory, and where the dashboard is.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    str
        The link follows Dask's setting ``distributed.dashboard.link``; under JupyterHub it leads
        through jupyter-server-proxy
        (https://docs.dask.org/en/stable/dashboard.html).

    Examples
    --------
    >>> describe_cluster(start_cluster("cpu", n_workers=1))  # doctest: +SKIP
    '1 worker, 1 thread, 11.7 GiB; dashboard: http://127.0.0.1:40123/status'
    """
    from dask.utils import format_bytes

    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = sum(worker["nthreads"] for worker in workers)
    limits = [worker["memory_limit"] for worker in workers]
    memory = format_bytes(sum(limits)) if all(limits) else "memory without a limit"
    counts = f"{count(len(workers), 'worker')}, {count(threads, 'thread')}"
    return f"{counts}, {memory}; dashboard: {client.dashboard_link}"


@contextmanager
def quiet_workers(client):
    """Keep the workers' own logs quiet while tasks fail on purpose; afterwards they are as before.

    Parameters
    ----------
    client : distributed.Client
        Of a cluster that was joined, nothing is changed: its workers write into other people's
        logs, and not into this notebook.

    Examples
    --------
    >>> client = start_cluster("cpu", n_workers=1)
    >>> with quiet_workers(client):
    ...     print(client.submit(int, "x").exception())
    invalid literal for int() with base 10: 'x'
    >>> close_cluster()
    """
    if client.cluster is None:  # joined by its address
        yield
        return
    before = client.run(_disable_logging, logging.CRITICAL)
    try:
        yield
    finally:  # a worker that came meanwhile was not quiet
        for address in before.keys() & client.nthreads().keys():
            client.run(_disable_logging, before[address], workers=[address], on_error="ignore")


def _disable_logging(level):
    """Switch messages off up to a level; return up to which they were off."""
    before = logging.root.manager.disable
    logging.disable(level)
    return before


@contextmanager
def _logging(name, level):
    """Set a logger's level, and what it was before afterwards."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _set_up(undo):
    """Set what a cluster needs in this process, until `undo` is closed."""
    import dask
    import distributed  # noqa: F401  (its settings are there only after it is imported)

    undo.enter_context(dask.config.set(SETTINGS | _link_through_jupyterhub(dask.config)))
    for name, level in LEVELS.items():
        undo.enter_context(_logging(name, level))


def _start(backend, n_workers, timeout):
    import dask
    from distributed import Security

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if dask.config.get("distributed.comm.require-encryption"):  # by whoever set up this machine
        options |= {"protocol": "tls", "security": Security.temporary()}
    if backend.is_gpu:
        from helpers.machine import count_gpus

        gpus = count_gpus()[0]
        if n_workers > gpus:
            print(f"{count(gpus, 'GPU')}, {count(gpus, 'worker')}: one worker per GPU.")
        n_workers = min(n_workers, gpus)
    else:
        options |= {"threads_per_worker": 1, "processes": True}
    before = _started_processes()
    with _seen_from_workers() as unguarded:
        starting = in_a_thread(backend.LocalCluster, n_workers=n_workers, **options)
        try:
            return starting.result(timeout)
        except BaseException as error:
            # A cluster whose workers are gone closes itself and ends the call that makes it.
            for process in _started_processes() - before:
                process.kill()
            wait_for([starting], timeout=30)
            if starting.done() and not starting.exception():
                starting.result().close()
            if not isinstance(error, Exception):  # somebody interrupts
                raise
            raise ClusterError(
                _why_it_did_not_start(error, unguarded, n_workers, timeout)
            ) from None


def _why_it_did_not_start(error, unguarded, n_workers, timeout):
    if unguarded.exists():
        return (
            'A script starts its cluster below the line `if __name__ == "__main__":`. Each worker '
            "is a new process that imports the script first; without that line it would start a "
            "cluster, too."
        )
    if isinstance(error, TimeoutError):
        return (
            f"{count(n_workers, 'worker')} did not start within {timeout:g} s: ask for fewer, "
            "close other programs, or give them more time with start_cluster(timeout=...)."
        )
    return (
        f"The workers ended before they had started ({error}). Look at their own output; is there "
        "enough memory? helpers.machine.check_machine() tells."
    )


def _started_processes():
    """The processes that multiprocessing has started here, and theirs."""
    import psutil

    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if "--multiprocessing-fork" in process.cmdline():
                found.add(process)
        except psutil.Error:  # it has ended meanwhile
            pass
    return found


@contextmanager
def _seen_from_workers():
    """Name a file to the workers that start meanwhile; see `_refuse_inside_a_starting_worker`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "unguarded")
        os.environ[UNGUARDED] = str(path)
        try:
            yield path
        finally:
            del os.environ[UNGUARDED]


def _refuse_inside_a_starting_worker():
    """End a worker that imports the script which starts it, and let the script's process know."""
    if not getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks
        return
    path = os.environ.get(UNGUARDED)
    if path is None:
        raise ClusterError('Start the cluster below the line `if __name__ == "__main__":`.')
    Path(path).touch()
    os._exit(1)  # without a traceback, and without what else the script would do


def _alive(client):
    return client is not None and client.status == "running"


def _link_through_jupyterhub(config):
    """The setting of the dashboard's link under a hub; empty elsewhere, or if somebody set one."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix and config.get("distributed.dashboard.link", "").startswith("{scheme}"):
        return {"distributed.dashboard.link": prefix + "proxy/{port}/status"}
    return {}


def _check_arguments(n_workers, scheduler, security, timeout):
    from distributed import Security

    if not isinstance(n_workers, Integral) or isinstance(n_workers, bool) or n_workers < 1:
        raise ValueError(f"n_workers must be a whole number of at least 1, not {n_workers!r}")
    if not isinstance(timeout, Real) or isinstance(timeout, bool) or not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    if security is not None and not isinstance(security, Security):
        raise ValueError(
            f"security must be a distributed.Security, not {type(security).__name__}: "
            "Security(tls_ca_file=..., tls_client_cert=..., tls_client_key=...)"
        )
    if scheduler is not None:
        _host_and_port(scheduler)
        return
    cores = os.cpu_count() or 1
    if n_workers > PER_CORE * cores:
        raise ValueError(
            f"n_workers={n_workers} are too many for {count(cores, 'CPU core')} here: ask for at "
            f"most {PER_CORE * cores}"
        )


def _host_and_port(address):
    from distributed.comm import get_address_host_port

    try:
        return get_address_host_port(address)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f"scheduler must be an address such as 'tcp://127.0.0.1:8786', not {address!r}"
        ) from None
