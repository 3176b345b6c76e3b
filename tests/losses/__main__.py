"""Lose workers at random moments, and look how every work ends.

``python -m tests.losses --runs 100 --seed 1 [--hosts] [--jobs 3] [--json FILE]`` plays that many
losses. With ``--minutes`` it stops early; the same command goes on with those that FILE lacks.
``python -m tests.losses --page`` writes docs/losses.md from tests/losses/*.json, which such runs
have recorded. A run fails if it outlasts its limit, ends with other numbers or an unclear error, or
leaves something behind: a process, half a file, a cluster without its workers.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import psutil

from tests.__main__ import SLOWNESS
from tests.hosts.network import PRIVATE, why_not
from tests.losses import EXACT, WORKS, page
from tests.losses.hosts import Hosts
from tests.notebook_format import ROOT

SLOW = float(os.environ.get(SLOWNESS, "1"))
# Seconds from a loss to the end of the work: twice worker-ttl, and the work again.
LIMIT = 150 * SLOW
# Half of what `start_cluster` sets and lesson 08 tells: more losses in the same time.
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s"}
SAVED = ("KMeans fit, saved", "stream, saved")
# Losses of a worker; of the notebook (its works are the saved ones); of the scheduler.
HERE = ("killed", "stopped", "paused")
ON_HOSTS = ("killed", "stopped", "paused", "host killed", "link down", "link down and up")
# What an error must say to be a clear one: what was lost, or how to go on.
CLEAR = r"KilledWorker|QuorumError|ClusterError|connection to the scheduler"


class Stuck(Exception):
    """The notebook did not answer in time."""


class Session:
    """A notebook with its cluster, here or on hosts, and the numbers that are right."""

    def __init__(self, place: Hosts | None, folder: Path):
        self.place, self.folder, self.right = place, folder, {}
        self.begin()

    def begin(self) -> None:
        """Start the notebook's process."""
        command = [sys.executable, "-m", "tests.losses.work", str(self.folder)]
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with open(self.folder / "notebook.log", "a") as log:
            options |= {"stderr": log, "start_new_session": True}
            if self.place:
                self.notebook = self.place.hosts[0].start(*command, self.place.address, **options)
            else:
                self.notebook = subprocess.Popen(command, cwd=ROOT, **options)
        self.answers: Queue = Queue()
        threading.Thread(target=self._listen, args=(self.notebook,), daemon=True).start()
        try:
            if "began" not in self.hear(240 * SLOW):
                log = (self.folder / "notebook.log").read_text(errors="replace")
                raise Stuck(f"the notebook did not begin: {log[-300:]}")
        except Stuck:
            self.notebook.kill()
            raise

    def _listen(self, notebook: subprocess.Popen) -> None:
        answers = self.answers
        for line in notebook.stdout:
            answers.put(json.loads(line))
        answers.put({"gone": True})

    def hear(self, within: float) -> dict:
        """Wait for the notebook's next answer."""
        try:
            return self.answers.get(timeout=max(within, 0.01))
        except Empty:
            if self.alive():
                self.notebook.send_signal(signal.SIGUSR1)  # its log gets what it is doing
            raise Stuck(f"no answer within {within:.0f} s") from None

    def ask(self, **request: object) -> None:
        """Tell the notebook what to do."""
        try:
            self.notebook.stdin.write(json.dumps(request) + "\n")
            self.notebook.stdin.flush()
        except OSError:
            raise Stuck("the notebook's process has ended") from None

    def workers(self) -> list[tuple[str, int]]:
        """Heal the cluster; return address and process of each worker."""
        if self.place:
            self.place.heal()
        self.ask(do="workers", within=LIMIT)
        answer = self.hear(LIMIT + 20)
        if "workers" not in answer:
            raise Stuck(f"the workers did not come back: {answer}")
        return sorted(answer["workers"].items())

    def learn(self, work: str) -> float:
        """Do a work without a loss, once; return how many seconds it takes."""
        if work not in self.right:
            self.workers()
            self.ask(do=work)
            self.hear(60)
            answer = self.hear(LIMIT)
            if "numbers" not in answer:
                raise Stuck(f"{work} without a loss: {answer}")
            self.right[work] = answer
            clean(self.folder)
        return self.right[work]["seconds"]

    def end(self) -> list[str]:
        """Close; return what was left behind."""
        mine = psutil.Process(self.notebook.pid).children(recursive=True) if self.alive() else []
        with suppress(OSError):
            self.notebook.stdin.close()
        try:
            self.notebook.wait(60)
        except subprocess.TimeoutExpired:
            self.notebook.kill()
            self.notebook.wait(10)
        return orphans(mine)

    def alive(self) -> bool:
        """Tell whether the notebook's process runs."""
        return self.notebook.poll() is None


def orphans(processes: list[psutil.Process], within: float = 30) -> list[str]:
    """Names of the processes that go on although nobody needs them; end them."""
    _, left = psutil.wait_procs(processes, timeout=within)
    found = [f"process {process.pid} goes on" for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    return found


def clean(folder: Path) -> None:
    """Forget saved states."""
    for path in [*folder.glob("*.npy"), *folder.glob("*.skops"), *folder.glob("*.unfinished")]:
        path.unlink()


def half_written(folder: Path) -> list[str]:
    """Saved states that cannot be read."""
    found = []
    for path in folder.glob("*.npy"):
        try:
            np.load(path)
        except (ValueError, EOFError):
            found.append(f"{path.name} is half a file")
    for path in folder.glob("*.skops"):
        import zipfile

        if not zipfile.is_zipfile(path) or zipfile.ZipFile(path).testzip():
            found.append(f"{path.name} is half a file")
    return found


def lose(session: Session, kind: str, victim: tuple[str, int], seconds: float) -> None:
    """Do the harm; a passing one ends after `seconds`."""
    address, pid = victim
    name = session.place.named(address) if session.place else ""
    if kind == "killed":
        os.kill(pid, signal.SIGKILL)
    elif kind in ("stopped", "paused"):
        os.kill(pid, signal.SIGSTOP)
        if kind == "paused":
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    elif kind == "host killed":
        session.place.kill(name)
    elif kind == "scheduler killed":
        session.place.kill("scheduler")
    elif kind == "notebook killed":
        session.notebook.kill()
    else:
        session.place.link(name, up=False)
        if kind == "link down and up":
            time.sleep(seconds)
            session.place.link(name, up=True)


def compare(work: str, right: list[float], got: list[float]) -> str:
    """Name the outcome by the numbers."""
    if work == "federated rounds":
        if got[0] == 0:
            return "same" if got == right else "other numbers"
        near = all(abs(a - b) < 0.1 for a, b in zip(got[1:], right[1:], strict=True))
        return "without the lost site" if near else "other numbers"
    same = got == right if work in EXACT else np.allclose(got, right, rtol=1e-5, atol=1e-6)
    return "same" if same else "other numbers"


def play(session: Session, work: str, kind: str, rng: random.Random) -> dict | None:
    """One work with one loss; None if the work had ended before the loss."""
    usual = session.learn(work)
    victims = session.workers()
    clean(session.folder)
    mine = psutil.Process(session.notebook.pid).children(recursive=True)
    delay, passing = rng.uniform(0, 0.9 * usual), rng.uniform(1, 6)
    run = {"work": work, "kind": kind, "after": round(delay, 2)}
    session.ask(do=work)
    session.hear(60)
    time.sleep(delay)
    if not session.answers.empty():
        session.hear(1)
        return None
    start = begun = time.monotonic()
    try:
        lose(session, kind, rng.choice(victims), passing)
    except ProcessLookupError:  # it ended by itself a moment ago
        session.hear(LIMIT)
        return None
    try:
        if kind == "notebook killed":
            session.notebook.wait(10)
            left = orphans(mine) + half_written(session.folder)
            session.begin()
            session.workers()
            begun = time.monotonic()  # a new notebook's start has limits of its own
            session.ask(do=work)
            session.hear(60)
        else:
            left = []
        answer = session.hear(LIMIT - (time.monotonic() - begun))
    except Stuck as error:
        return run | {"outcome": "stuck", "detail": str(error), "seconds": LIMIT}
    run["seconds"] = round(time.monotonic() - start, 1)
    left += half_written(session.folder)
    if "numbers" in answer:
        run["outcome"] = compare(work, session.right[work]["numbers"], answer["numbers"])
        if run["outcome"] == "other numbers":
            run["detail"] = f"{answer['numbers']} instead of {session.right[work]['numbers']}"
    elif "error" in answer:
        run["detail"] = answer["error"][:300]
        run["outcome"] = "clear error" if re.search(CLEAR, answer["error"]) else "unclear error"
    else:
        run |= {"outcome": "unclear error", "detail": "the notebook's process ended"}
    if left:
        run |= {"outcome": "left something", "detail": "; ".join(left)}
    return run


def after(session: Session, run: dict) -> None:
    """See that a work without a fault has left the cluster as it was."""
    if run["outcome"] in page.BAD or run["kind"] == "scheduler killed":
        return
    try:
        session.workers()
    except Stuck as error:
        run |= {"outcome": "left something", "detail": str(error)}


def cases(given: argparse.Namespace) -> list[list]:
    """Work, kind of loss and seed of each run: all pairs in turn, in a random order."""
    kinds = ON_HOSTS if given.hosts else HERE
    pairs = [(work, kind) for work in WORKS if work not in SAVED for kind in kinds]
    pairs += [(work, "notebook killed") for work in SAVED]
    if given.hosts:
        pairs += [(work, "scheduler killed") for work in WORKS if work not in SAVED]
    pairs = [p for p in pairs if re.search(given.works, p[0]) and re.search(given.kinds, p[1])]
    rng, chosen = random.Random(given.seed), []
    while len(chosen) < given.runs:
        chosen += rng.sample(pairs, len(pairs))
    return [[*pair, 1000 * given.seed + n] for n, pair in enumerate(chosen[: given.runs])]


def series(todo: list[list], on_hosts: bool, minutes: float) -> list[dict]:
    """Play these losses in one place; after one that went wrong with a new notebook."""
    runs, session, place = [], None, None
    until = time.monotonic() + minutes * 60
    folder = Path(tempfile.mkdtemp(prefix="losses-"))
    try:
        place = Hosts(folder) if on_hosts else None
        for work, kind, seed in todo:
            if time.monotonic() > until:
                break
            rng, run = random.Random(seed), None
            while run is None:
                try:
                    session = session or Session(place, folder)
                    run = play(session, work, kind, rng)
                except Stuck as error:  # before the loss
                    run = {"work": work, "kind": kind, "seconds": LIMIT, "outcome": "stuck"}
                    run |= {"detail": f"before the loss: {error}"}
            if session:
                after(session, run)
            if session and (run["outcome"] in page.BAD or kind == "scheduler killed"):
                if (left := session.end()) and run["outcome"] not in page.BAD:
                    run |= {"outcome": "left something", "detail": "; ".join(left)}
                session = None
            runs.append(run | {"seed": seed, "way": "hosts" if on_hosts else "one machine"})
            print(f"{len(runs):3}/{len(todo)} {page.line(run)}", file=sys.stderr, flush=True)
        if session and (left := session.end()):
            runs[-1] |= {"outcome": "left something", "detail": "; ".join(left)}
    finally:
        if session and session.alive():
            session.end()
        if place:
            place.close()
        if not any(run["outcome"] in page.BAD for run in runs):
            shutil.rmtree(folder, ignore_errors=True)
    return runs


def main(arguments: list[str] | None = None) -> int:
    """Play, or write the page; 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.losses", description=__doc__)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hosts", action="store_true", help="on network namespaces (Linux, root)")
    parser.add_argument("--jobs", type=int, default=1, help="clusters at a time")
    parser.add_argument("--minutes", type=float, default=600, help="begin no loss after these")
    parser.add_argument("--works", default="", help="only works that match this pattern")
    parser.add_argument("--kinds", default="", help="only losses that match this pattern")
    parser.add_argument("--json", type=Path, help="where the runs are recorded")
    parser.add_argument("--these", help=argparse.SUPPRESS)  # what one of several processes plays
    parser.add_argument("--page", action="store_true", help="write docs/losses.md, and no more")
    given = parser.parse_args(arguments)
    if given.page:
        page.write()
        return 0
    if given.hosts and (lacks := why_not()):
        parser.error(lacks)
    facts = {"seed": given.seed, "jobs": given.jobs, "machine": page.machine(), "runs": []}
    if given.json and given.json.exists():
        facts = json.loads(given.json.read_text(encoding="utf-8"))
    done = {run["seed"] for run in facts["runs"]}
    todo = [case for case in cases(given) if case[2] not in done]
    ended = True
    if given.these:
        runs = series(json.loads(given.these), given.hosts, given.minutes)
    else:
        runs, ended = _in_processes(todo, given)
    facts["runs"] = sorted(facts["runs"] + runs, key=lambda run: run["seed"])
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print("\n".join(page.table(facts["runs"], "way", "work", "kind")))
    return int(bool(page.failed(runs)) or not ended)


def _in_processes(todo: list[list], given: argparse.Namespace) -> tuple[list[dict], bool]:
    """Share the runs out to processes of this command; on hosts, each in its own namespaces.

    Returns the runs, and whether all processes came to their end.
    """
    started = []
    with tempfile.TemporaryDirectory() as folder:
        for job in range(given.jobs):
            path = Path(folder, f"{job}.json")
            own = ["--these", json.dumps(todo[job :: given.jobs]), "--json", str(path)]
            command = [sys.executable, "-m", "tests.losses", *own, "--minutes", str(given.minutes)]
            if given.hosts:
                command = ["unshare", *PRIVATE, *command, "--hosts"]
            options = {"env": os.environ | SETTINGS, "stdout": subprocess.DEVNULL}
            process = subprocess.Popen(command, cwd=ROOT, **options)
            started.append((path, process))
        for _, process in started:
            process.wait()
        found = [json.loads(path.read_text("utf-8")) for path, _ in started if path.exists()]
    if len(found) < len(started):
        print("a process of the harness ended without a result", file=sys.stderr)
    return [run for facts in found for run in facts["runs"]], len(found) == len(started)


if __name__ == "__main__":
    sys.exit(main())
