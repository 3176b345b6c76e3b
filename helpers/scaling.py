"""What a scheduler costs: the processor time of each task, with workers that only pretend to work.

A simulated worker has a connection to the scheduler and answers each task at once, without running
it. One process holds thousands of them. The scheduler is a real one in a process of its own, and
does all that it does for real workers. The messages are those of distributed 2026.7; they are no
public interface, and a newer version may have others.
"""

import asyncio
import logging
import multiprocessing
from contextlib import contextmanager
from time import time


def scheduler_seconds(n_workers, n_tasks=2_000, timeout=120):
    """Measure the processor time that a scheduler needs for one small, independent task.

    Parameters
    ----------
    n_workers : int
        Simulated workers. Each needs a connection: some systems allow a process no more than 256.
    n_tasks : int
        Tasks to average over.
    timeout : float
        Seconds for each step: to start, to let the workers join, to run all tasks.

    Returns
    -------
    float
        Seconds of the scheduler's process for each task, from submission until it is forgotten.
        It is processor time: what else runs on this machine hardly changes it.

    Raises
    ------
    ValueError
        If `n_workers` is below 1 or `n_tasks` below 10.
    RuntimeError
        If the scheduler did not start, or the workers did not join, within `timeout`.
    TimeoutError
        If the tasks were not done within `timeout`.

    Examples
    --------
    >>> 0 < scheduler_seconds(2, n_tasks=100) < 0.1
    True
    """
    if n_workers < 1 or n_tasks < 10:
        raise ValueError(f"n_workers={n_workers} must be 1 or more, n_tasks={n_tasks} 10 or more")

    from distributed import Client, wait
    from psutil import Process

    def run_all(numbers):
        futures = client.map(abs, numbers, pure=False)
        wait(futures, timeout=timeout)
        del futures
        client.sync(client.scheduler.identity)  # it answers when it has forgotten them

    def used():
        times = Process(pid).cpu_times()
        return times.user + times.system

    with _process("scheduler", _schedule, timeout) as (address, pid):
        with Client(address, timeout=timeout) as client:
            with _process("simulated workers", _pretend, timeout, address, n_workers):
                run_all(range(n_tasks // 10))  # the first tasks import and compile
                before = used()
                run_all(range(n_tasks))
                return (used() - before) / n_tasks


@contextmanager
def _process(what, target, timeout, *arguments):
    """Run a coroutine in a process of its own meanwhile; yield what it sent when it was ready."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(target, there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        try:
            ready = here.recv() if here.poll(timeout) else None
        except EOFError:  # it has ended
            ready = None
        if ready is None:
            raise RuntimeError(
                f"The {what} did not start within {timeout:g} s, or ended before; does this system "
                "allow a process so many connections?"
            )
        yield ready, process.pid
    finally:
        here.close()
        process.terminate()
        process.join(5)
        process.kill()  # one that did not end by itself
        process.join(5)


def _run(target, *arguments):
    import distributed  # noqa: F401  (it sets its own level when it is imported)

    logging.getLogger("distributed").setLevel(logging.ERROR)  # lines that come and go, and cost
    asyncio.run(target(*arguments))


async def _schedule(pipe):
    from distributed import Scheduler

    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        pipe.send(scheduler.address)
        await scheduler.finished()


async def _pretend(pipe, address, n_workers):
    comms = [await _join(address, number) for number in range(n_workers)]
    pipe.send("joined")
    await asyncio.gather(*map(_answer, comms))


async def _join(address, number):
    from distributed.core import connect

    own = f"tcp://127.0.0.1:{number + 100_000}"  # there is no such port: nobody calls it
    comm = await connect(address, timeout=30)
    await comm.write(
        {
            "op": "register-worker",
            "reply": False,
            "address": own,
            "resolve_address": False,
            "status": "running",
            "server_id": own,
            "name": f"simulated-{number}",
            "nthreads": 1,
            "memory_limit": 2**30,
            "local_directory": "",
            "now": time(),
            "resources": {},
            "metrics": _metrics(),
            "services": {},
            "versions": {},
            "nanny": None,
            "extra": {},
            "stimulus_id": "simulated",
        }
    )
    await comm.read()
    return comm


def _metrics():
    return {
        "task_counts": {},
        "bandwidth": {"total": 100_000_000, "workers": {}, "types": {}},
        "digests_total_since_heartbeat": {},
        "managed_bytes": 0,
        "spilled_bytes": {"memory": 0, "disk": 0},
        "transfer": {"incoming_bytes": 0, "outgoing_bytes": 0},
        "event_loop_interval": 0.02,
        "cpu": 0,
        "memory": 0,
        "time": time(),
    }


async def _answer(comm):
    """Say of each task that it is done, of each one to be taken away that it is too late."""
    from distributed.comm import CommClosedError

    try:
        while True:
            answers = []
            for message in await comm.read():
                if message["op"] == "compute-task":
                    answers.append(_finished(message))
                elif message["op"] == "steal-request":
                    about = {name: message[name] for name in ("key", "stimulus_id")}
                    answers.append({"op": "steal-response", "state": "executing", **about})
            if answers:
                await comm.write(answers)
    except CommClosedError:
        pass


def _finished(message):
    now = time()
    return {
        "op": "task-finished",
        "status": "OK",
        "key": message["key"],
        "run_id": message["run_id"],
        "nbytes": 28,
        "type": b"",
        "typename": "int",
        "metadata": {},
        "thread": 0,
        "startstops": ({"action": "compute", "start": now, "stop": now},),
        "stimulus_id": message["stimulus_id"],
    }
