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
import warnings
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
    known_workers,
    wait_for_workers,
    within,
)

PER_CORE = 8  # workers of one thread each; more would only take memory from each other
UNGUARDED = "COURSE_CLUSTER_UNGUARDED"  # names a file that a worker writes which starts a cluster

SETTINGS = {  # in the place of Dask's own; what you have set yourself stays
    # A worker that dies is started anew. On a busy machine that takes longer than 15 s, after
    # which the cluster would give it up for good.
    "distributed.deploy.lost-worker-timeout": ("15s", "5 minutes"),
    # A worker that hangs keeps its connections, so only its silence tells. Dask looks every 5
    # minutes for one that was silent as long, and until then a fit waits. With 60 s it is started
    # anew within two minutes. Less would lose sound workers: on two cores with ten times as much
    # to do some were silent for 32 s, and a library that holds the interpreter's lock makes them
    # silent, too.
    "distributed.scheduler.worker-ttl": ("5 minutes", "60 s"),
    # So often a client renews what it knows of the cluster, without its workers: a call of
    # scheduler_info() at that moment comes back without one. The call itself asks anew.
    "distributed.client.scheduler-info-interval": ("2s", "1 hour"),
}
LEVELS = {
    # A message that was under way when somebody closed a cluster is no news to a learner.
    "distributed.batched": logging.WARNING,
    # Dask 2026.7 reports every ordinary shuffle as a warning.
    "distributed.shuffle._scheduler_plugin": logging.ERROR,
}

_open = {"asked": None, "client": None, "cluster": None, "undo": ExitStack()}


def start_cluster(
    backend="auto", n_workers=2, scheduler=None, security=None, timeout=60, **gpu_options
):
    """Start workers on this machine, or join a running scheduler.

    Parameters
    ----------
    backend : Backend or {"auto", "cpu", "gpu"}
        On the CPU the workers are `n_workers` processes with one thread each; on the GPU there is
        one worker per visible GPU, at most `n_workers`.
    n_workers : int
        Workers to start, at most 8 for each CPU core, or to wait for when joining.
    scheduler : str, optional
        Address of a running scheduler, such as ``"tcp://10.0.0.5:8786"`` or ``"tls://…"``. Where
        the backend is the GPU's, workers without a GPU are refused with a ClusterError.
    security : distributed.Security, optional
        TLS certificates for a ``tls://`` scheduler; default: those named in Dask's configuration.
    timeout : float
        Seconds that all of it may take: to start or to join, to wait for the workers, to compare
        versions.
    **gpu_options
        For workers on GPUs of this machine, to ``dask_cuda.LocalCUDACluster``: ``rmm_pool_size``
        (a share of the GPU's memory or bytes, default 0.5; None for no pool) or ``rmm_async``,
        ``enable_cudf_spill`` (True), ``device_memory_limit``, ``protocol`` (``"ucx"`` for NVLink
        and InfiniBand), ``pre_import`` (https://docs.nvidia.com/dask-cuda/26.10/api/). Workers on
        CPUs have no use for them, so the same call works there.

    Returns
    -------
    distributed.Client
        The same one when the cell is run twice.

    Raises
    ------
    ValueError
        If `n_workers` or `timeout` is not a positive number, there are too many workers for this
        machine, `scheduler` is not an address or `security` not a Security, an option is unknown,
        or there are options for workers that are joined and not started.
    ClusterError
        If the workers did not start, no scheduler answers at `scheduler` or it does not accept the
        certificates, fewer than `n_workers` workers came within `timeout`, one does not answer, or
        Python or a package that tasks need has another version somewhere than here. Nothing that
        was started goes on running, and what cannot be reached leaves the open cluster open.

    Notes
    -----
    A worker that dies is started anew at once, one that hangs within two minutes: Dask's
    setting ``distributed.scheduler.worker-ttl`` is 60 s here, unless you have set it.

    Examples
    --------
    >>> client = start_cluster("cpu", n_workers=1)
    >>> client.submit(sum, [1, 2]).result()
    3
    >>> close_cluster()
    """
    _refuse_inside_a_starting_worker()
    _check_arguments(n_workers, scheduler, security, timeout)
    _check_gpu_options(gpu_options, scheduler)
    n_workers, deadline = int(n_workers), monotonic() + timeout
    backend = get_backend(backend)
    asked = (backend.name, n_workers, scheduler, security, gpu_options)
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
            _open["cluster"] = _start(backend, n_workers, timeout, gpu_options)
            _open["client"] = _open["cluster"].get_client()
            n_workers = min(n_workers, len(_open["cluster"].worker_spec))
        wait_for_workers(_open["client"], n_workers, timeout, deadline)
        compare_versions(_open["client"], backend.is_gpu, timeout, deadline)
        if scheduler:
            _compare_gpus(_open["client"], backend, deadline)
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

    workers = known_workers(client).values()
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
    # All are asked before one is changed: workers that are threads share what they log.
    before = client.run(lambda: logging.root.manager.disable)
    client.run(logging.disable, logging.CRITICAL)
    try:
        yield
    finally:  # a worker that came meanwhile was not quiet
        for address in before.keys() & client.nthreads().keys():
            client.run(logging.disable, before[address], workers=[address], on_error="ignore")


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

    get = dask.config.get
    ours = {name: new for name, (dasks, new) in SETTINGS.items() if get(name) == dasks}
    undo.enter_context(dask.config.set(ours | _link_through_jupyterhub(dask.config)))
    for name, level in LEVELS.items():
        undo.enter_context(_logging(name, level))


def _start(backend, n_workers, timeout, gpu_options):
    import dask
    from distributed import Security

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if dask.config.get("distributed.comm.require-encryption"):  # by whoever set up this machine
        options |= {"protocol": "tls", "security": Security.temporary()}
    if backend.is_gpu:
        from helpers.machine import count_gpus

        gpus = count_gpus()[0]
        if n_workers > gpus:
            told = f"{count(gpus, 'GPU')}, {count(gpus, 'worker')}: one worker per GPU."
            warnings.warn(told, stacklevel=3)  # no output of a lesson: those are the same anywhere
        n_workers = min(n_workers, gpus)
        if gpu_options.get("rmm_async"):  # which has a pool of its own
            gpu_options = {"rmm_pool_size": None} | gpu_options
        options |= GPU_OPTIONS | gpu_options
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


# What `start_cluster` hands to dask_cuda.LocalCUDACluster. The defaults are those of RAPIDS' quick
# start, but for the pool's share: the notebook computes on the first GPU, too.
GPU_OPTIONS = {
    "rmm_pool_size": 0.5,
    "rmm_async": False,
    "enable_cudf_spill": True,
    "device_memory_limit": "default",
    "protocol": None,
    "pre_import": None,
}


def _check_gpu_options(options, scheduler):
    unknown = sorted(set(options) - set(GPU_OPTIONS))
    if unknown:
        raise ValueError(
            f"start_cluster knows no {', '.join(unknown)}; options for GPUs are "
            f"{', '.join(GPU_OPTIONS)}"
        )
    if options and scheduler is not None:
        raise ValueError(
            f"{', '.join(options)}: workers that are joined have been started already; give these "
            "options to `dask cuda worker`"
        )


def _compare_gpus(client, backend, deadline):
    """Refuse to compute on a GPU with workers that have none; say when their GPUs stay idle.

    A worker tells the scheduler of its GPU when it starts (distributed.diagnostics.nvml). NVIDIA's
    library for that is not everywhere, so where it matters a silent worker's driver is asked.
    """
    from helpers.machine import count_gpus

    workers = known_workers(client)
    without = [address for address, worker in workers.items() if "gpu" not in worker]
    if backend.is_gpu and without:
        try:
            found = within(deadline, client.run, count_gpus, workers=without)
        except TimeoutError:
            raise ClusterError(
                "A worker does not say whether it has a GPU: it hangs, or its machine is too busy."
            ) from None
        without = [f"{address}, {reason}" for address, (gpus, reason) in found.items() if not gpus]
    if backend.is_gpu and without:
        raise ClusterError(
            "This process computes on a GPU, and not every worker has one:\n"
            + "".join(f"- {line}\n" for line in without)
            + "Workers compute, and the scheduler unpacks graphs: each needs a GPU and RAPIDS. "
            'Start workers with `dask cuda worker`, or use backend="cpu" here.'
        )
    if not backend.is_gpu and len(without) < len(workers):
        print(f"The cluster has GPUs, which stay idle: here {backend.reason}.")


def _host_and_port(address):
    from distributed.comm import get_address_host_port

    try:
        return get_address_host_port(address)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f"scheduler must be an address such as 'tcp://127.0.0.1:8786', not {address!r}"
        ) from None
