"""What a cluster is like: everything that whoever joins it could change and leave behind.

`snapshot` describes scheduler, workers and nannies; `differences` names what is not as before. The
functions below travel to the processes of the cluster, which do not know this module: as values.
"""

import time
from collections.abc import Iterator

import cloudpickle
from distributed import Client

SETTLE = 90  # seconds for what ends by itself: released tasks, a client that has said goodbye


def of_process(folders=()):
    """Return the settings of this process, and the files in its folders.

    Of Dask's settings and loggers only what is not the default, as each import brings its own. The
    setting `scheduler` is left out: Dask sets it where a task asked for a client of its own.
    """
    import logging
    import os
    import sys
    from pathlib import Path

    import dask

    def flat(config, prefix=""):
        for key, value in config.items():
            name = prefix + str(key).replace("_", "-")
            if isinstance(value, dict):
                yield from flat(value, name + ".")
            else:
                yield name, repr(value)

    usual = {}
    for defaults in dask.config.defaults:
        usual |= dict(flat(defaults))
    loggers = {"root": logging.getLogger()} | {
        name: logger
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and name.startswith(("dask", "distributed"))
    }
    set_up = {
        name: (logger.level, logger.disabled, len(logger.handlers), len(logger.filters))
        for name, logger in loggers.items()
    }
    return {
        "process": os.getpid(),
        "folder": os.getcwd(),
        "logging switched off up to": logging.root.manager.disable,
        "loggers": {name: found for name, found in set_up.items() if any(found)},
        "config": {
            name: value
            for name, value in flat(dask.config.config)
            if usual.get(name) != value and name != "scheduler"
        },
        "environment": {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("KMP_")  # set when scikit-learn is imported
        },
        "sys.path": list(sys.path),
        "modules from its folders": sorted(
            name
            for name, module in list(sys.modules.items())
            if any(str(getattr(module, "__file__", "")).startswith(str(f)) for f in folders)
        ),
        "files": sorted(
            str(path)
            for folder in [os.environ.get("TMPDIR"), *folders]
            if folder
            for path in Path(folder).rglob("*")
            if path.suffix not in (".lock", ".dirlock")
        ),
    }


def of_worker(dask_worker):
    """Return what a worker holds and how it is set."""
    memory = dask_worker.memory_manager
    return of_process([dask_worker.local_directory]) | {
        "name": str(dask_worker.name),
        "status": dask_worker.status.name,
        "results": sorted(map(str, dask_worker.data)),
        "actors": sorted(map(str, dask_worker.state.actors)),
        "plugins": sorted(dask_worker.plugins),
        "extensions": sorted(dask_worker.extensions),
        "resources": dict(dask_worker.state.total_resources),
        "attributes": sorted(vars(dask_worker)),
        "handlers": sorted(dask_worker.handlers),
        "memory limits": [
            memory.memory_limit,
            memory.memory_target_fraction,
            memory.memory_spill_fraction,
            memory.memory_pause_fraction,
        ],
    }


def of_nanny(dask_worker):
    """Return how a nanny is set."""
    return of_process() | {
        "plugins": sorted(dask_worker.plugins),
        "variables for its worker": {str(k): str(v) for k, v in dask_worker.env.items()},
        "attributes": sorted(vars(dask_worker)),
    }


def of_scheduler(dask_scheduler, me):
    """Return what a scheduler knows, without the client that asks."""
    extensions = dask_scheduler.extensions
    manager = extensions["amm"]
    topics = getattr(dask_scheduler._broker, "_topics", {})
    return of_process() | {
        # The first get_task_stream and the first look at the dashboard start it, for everybody.
        "plugins": sorted(set(dask_scheduler.plugins) - {"task-stream"}),
        "plugins for workers": sorted(map(str, dask_scheduler.worker_plugins)),
        "plugins for nannies": sorted(map(str, dask_scheduler.nanny_plugins)),
        "extensions": sorted(extensions),
        "tasks": sorted(map(str, dask_scheduler.tasks)),
        "clients": sorted(
            client
            for client in set(dask_scheduler.clients) - {me, "fire-and-forget"}
            # Dask's own, and never removed: of published data, and of a task that asked for one.
            if not client.startswith(("published-", "Client-worker-"))
        ),
        "published": sorted(map(str, extensions["publish"].datasets)),
        "variables": sorted(map(str, extensions["variables"].variables)),
        "queues": sorted(map(str, extensions["queues"].queues)),
        "events": sorted(map(str, extensions["events"]._events)),
        "semaphores": sorted(map(str, extensions["semaphores"].max_leases)),
        "subscribers": {
            str(name): len(topic.subscribers)
            for name, topic in topics.items()
            if topic.subscribers and name not in ("print", "warn")  # every client's, for ever
        },
        "memory manager": (manager.running, sorted(map(repr, manager.policies))),
        "allowed failures": dask_scheduler.allowed_failures,
        "workers": sorted(dask_scheduler.workers),
        "worker's ttl": dask_scheduler.worker_ttl,
        "idle timeout": dask_scheduler.idle_timeout,
        "attributes": sorted(vars(dask_scheduler)),
    }


def snapshot(client: Client, settle: float = SETTLE) -> dict:
    """Return a nested dict of everything; what runs out by itself is waited for."""
    import tests.hosts.state as here

    cloudpickle.register_pickle_by_value(here)
    end = time.monotonic() + settle
    while True:
        scheduler = client.run_on_scheduler(of_scheduler, me=client.id)
        if not (scheduler["tasks"] or scheduler["clients"]) or time.monotonic() > end:
            break
        time.sleep(0.3)
    state = {"scheduler": scheduler}
    state |= {f"worker {place}": found for place, found in client.run(of_worker).items()}
    found = client.run(of_nanny, nanny=True)
    return state | {f"nanny {place}": nanny for place, nanny in found.items()}


def differences(before, after, path="") -> Iterator[str]:
    """Yield a line for everything that is not as before."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys(), key=str):
            missing = object()
            old, new = before.get(key, missing), after.get(key, missing)
            name = f"{path} / {key}" if path else str(key)
            if old is missing:
                yield f"{name}: new, {str(new)[:200]}"
            elif new is missing:
                yield f"{name}: gone, was {str(old)[:200]}"
            else:
                yield from differences(old, new, name)
    elif isinstance(before, list) and isinstance(after, list):
        if before != after:
            new = [item for item in after if item not in before]
            gone = [item for item in before if item not in after]
            yield f"{path}: new {new}, gone {gone}"
    elif before != after:
        yield f"{path}: {before!r} before, {after!r} after"
