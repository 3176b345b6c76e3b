"""Start, reuse or join a Dask cluster, and close it.

One cluster at a time: asking twice for the same one gives the running one back, asking for
another closes the first. Everything listens on 127.0.0.1 only.
"""

import atexit
import logging
import math
import os
import tempfile
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from multiprocessing import current_process
from numbers import Integral, Real
from pathlib import Path
from threading import Thread
from time import monotonic

from helpers.backend import get_backend

PER_CORE = 8  # workers of one thread each; more would only take memory from each other
UNGUARDED = "COURSE_CLUSTER_UNGUARDED"  # names a file that a worker writes which starts a cluster

_open = {"asked": None, "client": None, "cluster": None}


class ClusterError(RuntimeError):
    """A cluster could not be started or joined; the message says why and what to do."""


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
        If the workers did not start, nothing listens at `scheduler`, its Python or package versions
        differ from those here, or fewer than `n_workers` workers came within `timeout`. Nothing
        that was started goes on running.

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
    # A message that was under way when somebody closed a cluster is no news to a learner.
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    asked = (backend.name, n_workers, scheduler, security, gpu_options)
    if asked == _open["asked"] and _alive(_open["client"]):
        return _open["client"]
    if scheduler:
        _probe(scheduler, security, timeout=min(timeout, 5))
    close_cluster()
    try:
        if scheduler:
            _open["client"] = _join(scheduler, security, deadline - monotonic())
        else:
            _open["cluster"] = _start(backend, n_workers, timeout, gpu_options)
            _open["client"] = _open["cluster"].get_client()
            n_workers = min(n_workers, len(_open["cluster"].worker_spec))
        _wait_for_workers(_open["client"], n_workers, timeout, deadline)
        _compare_versions(_open["client"], timeout, deadline)
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
    client, cluster = _open["client"], _open["cluster"]
    _open.update(asked=None, client=None, cluster=None)
    if client is not None:
        client.close()
    if cluster is not None:
        # On a busy machine a nanny says that it has to kill its worker: closed is closed.
        logging.getLogger("distributed.nanny").setLevel(logging.ERROR)
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
    memory = sum(worker["memory_limit"] for worker in workers)
    counts = f"{_count(len(workers), 'worker')}, {_count(threads, 'thread')}"
    return f"{counts}, {format_bytes(memory)}; dashboard: {client.dashboard_link}"


@contextmanager
def quiet_workers(client):
    """Keep the workers' own logs quiet while tasks fail on purpose; afterwards they log again.

    Parameters
    ----------
    client : distributed.Client

    Examples
    --------
    >>> client = start_cluster("cpu", n_workers=1)
    >>> with quiet_workers(client):
    ...     print(client.submit(int, "x").exception())
    invalid literal for int() with base 10: 'x'
    >>> close_cluster()
    """
    client.run(logging.disable, logging.CRITICAL)
    try:
        yield
    finally:
        client.run(logging.disable, logging.NOTSET)


def _start(backend, n_workers, timeout, gpu_options):
    import dask
    import distributed  # noqa: F401  (its settings are there only after it is imported)

    _link_through_jupyterhub(dask.config)
    # A worker that dies is started anew. On a busy machine that takes longer than Dask's 15 s,
    # after which the cluster would give it up for good.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"})
    # Dask 2026.7 reports every ordinary shuffle as a warning.
    logging.getLogger("distributed.shuffle._scheduler_plugin").setLevel(logging.ERROR)
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if backend.is_gpu:
        from helpers.machine import count_gpus

        gpus = count_gpus()[0]
        if n_workers > gpus:
            print(f"{_count(gpus, 'GPU')}, {_count(gpus, 'worker')}: one worker per GPU.")
        n_workers = min(n_workers, gpus)
        if gpu_options.get("rmm_async"):  # which has a pool of its own
            gpu_options = {"rmm_pool_size": None} | gpu_options
        options |= GPU_OPTIONS | gpu_options
    else:
        options |= {"threads_per_worker": 1, "processes": True}
    before = _started_processes()
    with _seen_from_workers() as unguarded:
        starting = _in_a_thread(backend.LocalCluster, n_workers=n_workers, **options)
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
            f"{_count(n_workers, 'worker')} did not start within {timeout:g} s: ask for fewer, "
            "close other programs, or give them more time with start_cluster(timeout=...)."
        )
    return (
        f"The workers ended before they had started ({error}). Look at their own output; is there "
        "enough memory? helpers.machine.check_machine() tells."
    )


def _in_a_thread(call, *args, **options):
    """Call in a thread of its own, which nobody needs to wait for; return the future result."""
    future = Future()

    def work():
        try:
            future.set_result(call(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future


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


def _join(scheduler, security, timeout):
    from distributed import Client

    try:
        return Client(scheduler, security=security, timeout=timeout)
    except (OSError, TypeError, ValueError) as error:
        raise ClusterError(f"The scheduler at {scheduler} refused this client: {error}") from None


def _probe(scheduler, security, timeout):
    """Shake hands with the scheduler: a Client would wait forever for a web server."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from distributed import Security
    from distributed.comm import connect

    async def shake_hands():
        arguments = (security or Security()).get_connection_args("client")
        comm = await connect(scheduler, timeout=timeout, **arguments)
        await comm.close()

    try:  # in a thread of its own: a notebook's thread already runs an event loop
        with ThreadPoolExecutor(1) as pool:
            # The outer limit is for what answers, but not as Dask does.
            pool.submit(asyncio.run, asyncio.wait_for(shake_hands(), timeout + 1)).result()
    except Exception as error:
        reason = str(error) or f"no answer within {timeout:g} s"
        raise ClusterError(
            f"No Dask scheduler answers at {scheduler} ({reason}).\n"
            "- Is it running? Start one with `dask scheduler`; it prints its address.\n"
            "- Is it another program's port, or tls:// where you wrote tcp://? A tls:// scheduler "
            "needs security=distributed.Security(...) with its certificates.\n"
            "- scheduler=None starts workers on this machine instead."
        ) from None


def _wait_for_workers(client, n_workers, timeout, deadline):
    from distributed import TimeoutError as DaskTimeoutError

    try:
        client.wait_for_workers(n_workers, timeout=max(deadline - monotonic(), 0.1))
    except (DaskTimeoutError, TimeoutError):
        here = len(client.scheduler_info(n_workers=-1)["workers"])
        raise ClusterError(
            f"{here} of {_count(n_workers, 'worker')} came within {timeout:g} s. "
            f"Start more with `dask worker {client.scheduler.address}`, ask for fewer with "
            "n_workers, or look at the workers' own output for why they stopped."
        ) from None


def _compare_versions(client, timeout, deadline):
    """Refuse a cluster whose Python or packages differ from those of this process."""
    try:
        versions = _in_a_thread(client.get_versions).result(max(deadline - monotonic(), 1))
    except TimeoutError:
        raise ClusterError(
            f"A worker is there, but did not answer within {timeout:g} s: it hangs, or its machine "
            "is too busy. End it, or give it more time with start_cluster(timeout=...)."
        ) from None
    here = _packages(versions["client"])
    differ = set()
    for place in [versions["scheduler"], *versions["workers"].values()]:
        there = _packages(place)
        differ |= {
            f"{name} {here[name]} here, {there[name]} there"
            for name in here
            if here[name] != there.get(name)
        }
    if differ:
        raise ClusterError(
            f"The versions differ: {'; '.join(sorted(differ))}. Objects travel as pickles, which "
            "need the same versions everywhere: install the same environment on every machine."
        )


def _packages(versions):
    names = ("dask", "distributed", "cloudpickle", "numpy", "pandas")
    python = ".".join(versions["host"]["python"].split(".")[:2])
    return {"python": python} | {name: versions["packages"].get(name) for name in names}


def _alive(client):
    return client is not None and client.status == "running"


def _link_through_jupyterhub(config):
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix and config.get("distributed.dashboard.link", "").startswith("{scheme}"):
        config.set({"distributed.dashboard.link": prefix + "proxy/{port}/status"})


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
            f"n_workers={n_workers} are too many for {_count(cores, 'CPU core')} here: ask for at "
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

    workers = client.scheduler_info(n_workers=-1)["workers"]
    without = [address for address, worker in workers.items() if "gpu" not in worker]
    if backend.is_gpu and without:
        asked = _in_a_thread(client.run, count_gpus, workers=without)
        try:
            found = asked.result(max(deadline - monotonic(), 1))
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


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
