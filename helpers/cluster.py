"""Start, reuse or join a Dask cluster, and close it.

One cluster at a time: asking twice for the same one gives the running one back, asking for
another closes the first. Everything listens on 127.0.0.1 only.
"""

import atexit
import logging
import os
from contextlib import contextmanager

from helpers.backend import get_backend

_open = {"asked": None, "client": None, "cluster": None}


class ClusterError(RuntimeError):
    """A cluster could not be started or joined; the message says why and what to do."""


def start_cluster(backend="auto", n_workers=2, scheduler=None, security=None, timeout=60):
    """Start workers on this machine, or join a running scheduler.

    Parameters
    ----------
    backend : Backend or {"auto", "cpu", "gpu"}
        On the CPU the workers are `n_workers` processes with one thread each; on the GPU there is
        one worker per visible GPU, at most `n_workers`.
    n_workers : int
        Workers to start, or to wait for when joining.
    scheduler : str, optional
        Address of a running scheduler, such as ``"tcp://10.0.0.5:8786"`` or ``"tls://…"``.
    security : distributed.Security, optional
        TLS certificates for a ``tls://`` scheduler; default: those named in Dask's configuration.
    timeout : float
        Seconds to wait for the workers.

    Returns
    -------
    distributed.Client
        The same one when the cell is run twice.

    Raises
    ------
    ValueError
        If `n_workers` or `timeout` is not positive, or `scheduler` is not an address.
    ClusterError
        If nothing listens at `scheduler`, its Python or package versions differ from those here,
        or fewer than `n_workers` workers came within `timeout`.

    Examples
    --------
    >>> client = start_cluster("cpu", n_workers=1)
    >>> client.submit(sum, [1, 2]).result()
    3
    >>> close_cluster()
    """
    _check_arguments(n_workers, scheduler, timeout)
    backend = get_backend(backend)
    # A message that was under way when somebody closed a cluster is no news to a learner.
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    asked = (backend.name, n_workers, scheduler, security)
    if asked == _open["asked"] and _alive(_open["client"]):
        return _open["client"]
    if scheduler:
        _probe(scheduler, security, timeout=min(timeout, 5))
    close_cluster()
    try:
        if scheduler:
            _open["client"] = _join(scheduler, security, timeout)
        else:
            _open["cluster"], _open["client"] = _start(backend, n_workers)
            n_workers = min(n_workers, len(_open["cluster"].worker_spec))
        _wait_for_workers(_open["client"], n_workers, timeout)
        _compare_versions(_open["client"])
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


def _start(backend, n_workers):
    import dask
    import distributed  # noqa: F401  (its settings are there only after it is imported)

    _link_through_jupyterhub(dask.config)
    # A worker that dies is started anew. On a busy machine that takes longer than Dask's 15 s,
    # after which the cluster would give it up for good.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"})
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if backend.is_gpu:
        from helpers.machine import count_gpus

        gpus = count_gpus()[0]
        if n_workers > gpus:
            print(f"{_count(gpus, 'GPU')}, {_count(gpus, 'worker')}: one worker per GPU.")
        n_workers = min(n_workers, gpus)
    else:
        options |= {"threads_per_worker": 1, "processes": True}
    cluster = backend.LocalCluster(n_workers=n_workers, **options)
    return cluster, cluster.get_client()


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


def _wait_for_workers(client, n_workers, timeout):
    from distributed import TimeoutError as DaskTimeoutError

    try:
        client.wait_for_workers(n_workers, timeout=timeout)
    except (DaskTimeoutError, TimeoutError):
        here = len(client.scheduler_info(n_workers=-1)["workers"])
        raise ClusterError(
            f"{here} of {_count(n_workers, 'worker')} came within {timeout:g} s. "
            f"Start more with `dask worker {client.scheduler.address}`, ask for fewer with "
            "n_workers, or look at the workers' own output for why they stopped."
        ) from None


def _compare_versions(client):
    """Refuse a cluster whose Python or packages differ from those of this process."""
    versions = client.get_versions()
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


def _check_arguments(n_workers, scheduler, timeout):
    if not isinstance(n_workers, int) or isinstance(n_workers, bool) or n_workers < 1:
        raise ValueError(f"n_workers must be a whole number of at least 1, not {n_workers!r}")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    if scheduler is not None:
        _host_and_port(scheduler)


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
