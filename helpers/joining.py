"""Reach a scheduler that somebody else started, or say in clear words why not.

`helpers.cluster.start_cluster` is what lessons call. Whatever happens at the other end, each step
here ends within a limit of time: a host may vanish in the middle of a conversation.
"""

import asyncio
import importlib.metadata
import os
import re
import ssl
from concurrent.futures import Future
from threading import Thread
from time import monotonic

from helpers.certificates import what_is_wrong

# What travels as pickles; the tasks of lessons are functions of these packages.
PACKAGES = ["dask", "distributed", "cloudpickle", "numpy", "pandas", "scikit-learn", "dask-ml"]
PACKAGES += ["scale-out-ml-course"]
RAPIDS = re.compile(r"(cudf|cuml|cupy|dask-cudf|dask-cuda|raft-dask)(-|$)")
HANDSHAKE, DIAGNOSIS, CLOSE = 5, 2, 10  # seconds
HERE = "- scheduler=None starts workers on this machine instead."


class ClusterError(RuntimeError):
    """A cluster could not be started or joined; the message says why and what to do."""


def knock(address, security, timeout):
    """Ask who is there: a Client would wait forever for a web server."""
    from distributed import Security
    from distributed.comm import connect

    security = security or Security()
    if address.startswith("tls://") and (wrong := what_is_wrong(security)):
        raise ClusterError(
            f"{address} asks for certificates, and {wrong}.\n"
            "- security=helpers.certificates.security(FOLDER) takes those of a folder; without it "
            "Dask's configuration names them (distributed.comm.tls).\n"
            "- Who started the scheduler has its authority, ca.pem, and signs a client's.\n" + HERE
        )
    limit = min(timeout, HANDSHAKE)

    async def ask():
        comm = await connect(address, timeout=limit, **security.get_connection_args("client"))
        try:
            await comm.write({"op": "identity", "reply": True, "close": True})
            return await comm.read()
        finally:
            comm.abort()

    def conversation():  # the limit of time is for what answers, but not as Dask does
        return asyncio.run(asyncio.wait_for(ask(), limit + 1))

    try:  # in a thread of its own: a notebook's thread already runs an event loop
        identity = within(monotonic() + limit + 2, conversation)
    except Exception as error:
        reason = _words(error, f"no answer within {limit:g} s")
        hints = _diagnosis(address, security, error)
        text = f"No Dask scheduler answers at {address} ({reason})."
        raise ClusterError("\n".join([text, *hints, HERE])) from None
    if identity.get("type") in ("Worker", "Nanny") or "scheduler" in identity:
        other = identity.get("scheduler", "another address")
        raise ClusterError(
            f"A worker answers at {address}. Its scheduler is at {other}: join that."
        )


def join(address, security, deadline):
    """Connect a client to a running scheduler, after `knock`.

    Parameters
    ----------
    address : str
        Such as ``"tcp://10.0.0.5:8786"`` or ``"tls://…"``.
    security : distributed.Security or None
        Certificates for a ``tls://`` address; default: those that Dask's configuration names.
    deadline : float
        When to give up, in seconds of `time.monotonic`.

    Returns
    -------
    distributed.Client

    Raises
    ------
    ClusterError
        If the scheduler refuses this client or falls silent.
    """
    from distributed import Client

    starting = in_a_thread(Client, address, security=security, timeout=_left(deadline))
    try:
        return starting.result(_left(deadline))
    except BaseException as error:
        starting.add_done_callback(_close_late)  # nobody will want a client that comes later
        if not isinstance(error, (OSError, ImportError, TypeError, ValueError, RuntimeError)):
            raise
        raise ClusterError(
            f"The scheduler at {address} answered and then did not take this client "
            f"({_words(error, 'it fell silent')}). Is its host still there, and not too busy?"
        ) from None


def wait_for_workers(client, n_workers, timeout, deadline):
    """Wait until there are as many workers, or say how many came."""
    try:
        within(deadline + 1, client.wait_for_workers, n_workers, timeout=_left(deadline))
    except OSError:  # a TimeoutError is one
        raise ClusterError(
            f"{_came(client)} of {count(n_workers, 'worker')} came within {timeout:g} s. "
            f"Start more with `dask worker {client.scheduler.address}`, ask for fewer with "
            "n_workers, or look at the workers' own output for why they stopped."
        ) from None


def compare_versions(client, is_gpu, timeout, deadline):
    """Refuse a cluster whose Python or packages differ from those of this process."""
    packages = list(PACKAGES)
    if is_gpu:  # their names end with CUDA's version, or are shorter in conda
        installed = {found.name for found in importlib.metadata.distributions() if found.name}
        packages += sorted(name for name in installed if RAPIDS.match(name))
    try:
        versions = within(deadline, client.get_versions, packages=packages)
        names = _names(client)
    except OSError:
        raise ClusterError(
            f"A worker is there, but did not answer within {timeout:g} s{_silent(client)}: it "
            "hangs, or its machine is too busy or cut off. End it, or give it more time with "
            "start_cluster(timeout=...)."
        ) from None
    here = _versions(versions["client"], packages)
    places = {"the scheduler": versions["scheduler"]}
    places |= {names.get(address, address): found for address, found in versions["workers"].items()}
    differ = {}
    for place, found in places.items():
        there = _versions(found, packages)
        for name, version in here.items():
            if version and there[name] != version:
                differ.setdefault((name, version, there[name] or "missing"), []).append(place)
    if differ:
        lines = [
            f"- {name}: {mine} here, {theirs} on {_some(where)}"
            for (name, mine, theirs), where in sorted(differ.items())
        ]
        raise ClusterError(
            "\n".join(["The versions differ.", *lines])
            + "\nObjects travel as pickles, which need the same versions everywhere: install the "
            "same environment on every machine. (scale-out-ml-course is this repository.)"
        )


def check_shared(client, *paths):
    """Refuse to go on if a worker does not see a file or folder of this machine.

    Parameters
    ----------
    client : distributed.Client
    *paths : path-like
        Files or folders that exist here.

    Raises
    ------
    ClusterError
        Naming the workers that do not see one of them.

    Examples
    --------
    >>> from helpers.cluster import close_cluster, start_cluster
    >>> check_shared(start_cluster("cpu", n_workers=1), os.getcwd())
    >>> close_cluster()
    """
    names = _names(client)
    for path in paths:
        try:
            seen = within(monotonic() + 60, client.run, os.path.exists, str(path))
        except OSError as error:
            raise ClusterError(
                f"Not every worker tells whether it sees {path} "
                f"({_words(error, 'no answer within a minute')}){_silent(client)}."
            ) from None
        blind = sorted(names.get(address, address) for address, sees in seen.items() if not sees)
        if blind:
            raise ClusterError(
                f"{path} is not there on {_some(blind)}. Workers read and write such files "
                "themselves. Set the environment variable COURSE_DATA to one folder of a disk that "
                "all machines share, for this notebook and for every worker, before they start."
            )


def close_client(client):
    """Close a client in bounded time, also when its scheduler's host has gone."""
    try:
        client.close(timeout=CLOSE)
    except TimeoutError:  # the connection ends with the process
        pass


def in_a_thread(call, *args, **options):
    """Call in a thread of its own, which nobody needs to wait for; return the future result."""
    future = Future()

    def work():
        try:
            future.set_result(call(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future


def within(deadline, call, *args, **options):
    """Call, and raise TimeoutError if there is no result at the deadline."""
    return in_a_thread(call, *args, **options).result(_left(deadline))


def count(number, noun):
    """The number with its noun, in the plural where there are several."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _diagnosis(address, security, error):
    """What to do about a handshake that failed, as lines."""
    from distributed.comm import get_address_host_port

    theirs = None
    if isinstance(error, (OSError, ssl.SSLError)):
        try:
            place = get_address_host_port(address)
            ask = ssl.get_server_certificate
            theirs = within(monotonic() + DIAGNOSIS + 1, ask, place, timeout=DIAGNOSIS)
        except (OSError, ValueError):
            pass
    secure = address.startswith("tls://")
    if theirs and not secure:
        return [
            f"- What listens there speaks TLS: write tls://{address.partition('://')[2]}, and "
            "security=helpers.certificates.security(FOLDER) for its certificates."
        ]
    if theirs:
        wrong = what_is_wrong(security, theirs=theirs)
        return [
            f"- The other end shows a certificate, but {wrong}. Ask who started it for the files."
            if wrong
            else "- It shows a good certificate, and does not accept yours: is yours of the "
            "authority that the scheduler trusts, and are the clocks of both machines right?"
        ]
    return [
        "- Is it running? Start one with `dask scheduler`; it prints its address.",
        "- Is it another program's port, or a firewall's?"
        + (" Or tcp:// where you wrote tls://?" if secure else ""),
    ]


def known_workers(client, seconds=60):
    """What the scheduler knows of each worker, by its address.

    ``client.scheduler_info()`` says the same and may come back without a worker: it returns a note
    of the client's, which the client renews every two seconds, without workers.

    Parameters
    ----------
    client : distributed.Client
    seconds : float
        To wait for the scheduler's answer.

    Returns
    -------
    dict of str to dict

    Raises
    ------
    TimeoutError
        If it does not come.

    Examples
    --------
    >>> sorted(known_workers(client))  # doctest: +SKIP
    ['tcp://127.0.0.1:36155', 'tcp://127.0.0.1:43235']
    """
    try:
        told = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=seconds)
    except TimeoutError:
        raise TimeoutError(
            f"The scheduler did not say within {seconds:g} s which workers it has: it hangs, or "
            "its machine is too busy. Try again, or start a new cluster."
        ) from None
    return told["workers"]


def _names(client):
    """For each worker's address the name that people gave it, too."""
    return {
        address: address if worker["name"] == address else f"worker {worker['name']} at {address}"
        for address, worker in known_workers(client, CLOSE).items()
    }


def _came(client):
    try:
        return len(known_workers(client, CLOSE))
    except OSError:
        return "The scheduler fell silent; nobody knows how many"


def _silent(client):
    """Name the workers that the scheduler has not heard of for a while, for a message."""
    try:
        heard = {
            address: worker["last_seen"] for address, worker in known_workers(client, CLOSE).items()
        }
    except OSError:
        return ""
    late = [address for address, when in heard.items() if max(heard.values()) - when > CLOSE]
    return f" ({_some(late)} was not heard of for {CLOSE} s)" if late else ""


def _some(places):
    shown = ", ".join(places[:3])
    return shown if len(places) <= 3 else f"{shown} and {len(places) - 3} more"


def _versions(found, packages):
    python = ".".join(found["host"]["python"].split(".")[:2])
    return {"python": python} | {name: found["packages"].get(name) for name in packages}


def _words(error, otherwise):
    return str(error) or otherwise


def _left(deadline):
    return max(deadline - monotonic(), 0.1)


def _close_late(starting):
    if not starting.cancelled() and not starting.exception():
        close_client(starting.result())
