"""Run the lessons on three hosts, and compare: ``python -m tests.hosts [LESSON ...]``.

The hosts are Linux network namespaces, each with its own address, name and disk, with a Dask
scheduler and workers that use TLS. Each lesson joins them as a reader would, with ``scheduler=…``.
Its verified outputs must be the stored ones, and the cluster must be as it was before.
"""

import argparse
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator

from tests.__main__ import SLOWNESS
from tests.hosts.network import PRIVATE, why_not
from tests.notebook_format import ROOT

LESSONS = sorted(path.stem for path in (ROOT / "course").glob("[0-9][0-9]_*.ipynb"))
START, LESSON = 120, 700  # seconds, more on a slow machine
NEEDS_SHARED = ("02", "07")  # what these lessons read, every worker must see
BLIND = re.compile(r"disk/data/\S* is not there on worker h2 at tls\S* worker h3 at tls")


class Job:
    """One set of hosts, which runs the lessons that it takes from a queue."""

    def __init__(self, todo: queue.Queue, done: queue.Queue, options: Iterable[str]):
        alone = "--alone" in options
        self.command = [] if alone else ["unshare", *PRIVATE]
        self.command += [sys.executable, "-m", "tests.hosts.inside", *options]
        self.todo, self.done, self.process = todo, done, None
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self) -> None:
        """Start the hosts, hand them lessons, pass on what comes back."""
        pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        self.process = subprocess.Popen(self.command, cwd=ROOT, text=True, **pipes)
        self.process.stdout.readline()  # the hosts are up
        while True:
            try:
                lesson = self.todo.get_nowait()
            except queue.Empty:
                break
            try:
                print(lesson, file=self.process.stdin, flush=True)
                result = json.loads(self.process.stdout.readline())
            except (OSError, ValueError) as error:
                text = f"the hosts ended with {self.process.poll()}: {error}"
                result = {"lesson": lesson, "error": text, "outputs": [], "state": []}
            self.done.put(result)
        self.close()

    def close(self) -> None:
        """End the hosts and wait until they have gone."""
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def run(lessons: list[str], jobs: int = 1, options: Iterable[str] = ()) -> Iterator[dict]:
    """Yield what came of each lesson, as soon as it is known."""
    todo, done = queue.Queue(), queue.Queue()
    for lesson in lessons:
        todo.put(lesson)
    running = [Job(todo, done, list(options)) for _ in range(min(jobs, len(lessons)))]
    try:
        for job in running:
            job.thread.start()
        for _ in lessons:
            yield done.get(timeout=(START + LESSON) * float(os.environ.get(SLOWNESS, "1")))
    finally:
        while not todo.empty():
            todo.get_nowait()
        for job in running:
            job.close()


def as_expected(result: dict, own_data: bool) -> bool:
    """Return whether a lesson ended as it should; without a shared disk some say so and stop."""
    if own_data and result["lesson"].startswith(NEEDS_SHARED):
        return bool(BLIND.search(result["error"])) and not result["state"]
    return not (result["error"] or result["outputs"] or result["state"])


def told(result: dict) -> str:
    """Return what came of a lesson as text."""
    good = not (result["error"] or result["outputs"] or result["state"])
    lines = [f"{result['lesson']}: {'as stored, cluster as before' if good else 'DIFFERENT'}"]
    if "seconds" in result:
        lines[0] += f", {result['seconds']} s, {result['sent'] / 1e6:.1f} MB sent by its host"
    lines += [result["error"]] if result["error"] else []
    lines += [f"output that is not as stored:\n{text}" for text in result["outputs"]]
    lines += [f"left in the cluster: {text}" for text in result["state"]]
    return "\n".join(lines)


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("lessons", nargs="*", help="such as 03, default: all")
    parser.add_argument("--jobs", type=int, default=1, help="sets of hosts at a time")
    parser.add_argument("--alone", action="store_true", help="one host: this machine, no root")
    parser.add_argument("--own-data", action="store_true", help="each host its own COURSE_DATA")
    parser.add_argument("--rate", help="of the network, such as 100mbit")
    asked = parser.parse_args()
    names = [name for name in LESSONS if name.startswith(tuple(asked.lessons or [""]))]
    if not asked.alone and (reason := why_not()):
        parser.error(f"{reason}; --alone runs them on this machine")
    options = ["--alone"] * asked.alone + ["--own-data"] * asked.own_data
    options += ["--rate", asked.rate] if asked.rate else []
    bad = 0
    for result in run(names, asked.jobs, options):
        print(told(result), flush=True)
        bad += not as_expected(result, asked.own_data)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
