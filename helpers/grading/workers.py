"""Workers for exercises that need some: in this process, for the length of one check."""

import logging
from contextlib import contextmanager
from types import SimpleNamespace

import cloudpickle


@contextmanager
def workers_here(threads):
    """Start workers as threads of this process, one per number in `threads`; the student's stay.

    Yields
    ------
    client : distributed.Client
    seen : types.SimpleNamespace
        Four growing lists: ``tasks``, the pickles of the finished tasks, ``results``, what they
        gave, ``scattered``, the objects that arrived by ``client.scatter``, and ``log``, the words
        "sent" and "fetched" in the order in which the client sent tasks and asked for results.
    """
    import dask
    import distributed
    from distributed import Scheduler, SpecCluster, Worker
    from distributed.diagnostics.plugin import SchedulerPlugin

    seen = SimpleNamespace(tasks=[], results=[], scattered=[], log=[])

    class Recorder(SchedulerPlugin):
        def transition(self, key, start, finish, *args, **kwargs):
            if (start, finish) == ("processing", "memory"):
                seen.tasks.append(cloudpickle.dumps(cluster.scheduler.tasks[key].run_spec))
                holders = (worker.data for worker in cluster.workers.values())
                seen.results += [data[key] for data in holders if key in data][:1]

    class Recording(Worker):
        def update_data(self, data, **kwargs):
            seen.scattered += data.values()
            return super().update_data(data, **kwargs)

    class Client(distributed.Client):
        def _graph_to_futures(self, *args, **kwargs):
            seen.log.append("sent")
            return super()._graph_to_futures(*args, **kwargs)

        async def _gather(self, *args, **kwargs):
            seen.log.append("fetched")
            return await super()._gather(*args, **kwargs)

    loopback = {"dashboard_address": "127.0.0.1:0"}
    workers = {
        number: {"cls": Recording, "options": {"nthreads": n, **loopback}}
        for number, n in enumerate(threads)
    }
    options = {"protocol": "inproc", "dashboard": False, "plugins": [Recorder()], **loopback}
    # Copies stay where they are put, and errors of the student's tasks are shown once, by check.
    # What scheduler_info() says is not replaced by a shorter note while an answer asks for it.
    quiet = {
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.client.scheduler-info-interval": "1 hour",
    }
    # A task that asks for a client makes one in this process, which then stays Dask's choice.
    quiet["scheduler"] = dask.config.get("scheduler", None)
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    with (
        dask.config.set(quiet),
        SpecCluster(
            workers=workers,
            scheduler={"cls": Scheduler, "options": options},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        client.as_current(),
    ):
        yield client, seen
