"""Observe all exercises of one submission, whatever its code does."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from helpers.grading.grader.cells import LEVELS, reduced
from helpers.grading.grader.marking import plain
from helpers.grading.grader.replies import (
    is_code,
    is_count,
    is_seconds,
    is_text,
    is_texts,
    maybe,
    only,
)
from helpers.grading.grader.sandbox import FORGED, Ended, TimedOut, how_it_ended

START = 120  # seconds for the imports before any code of a student
GRACE = 5  # seconds more than those that the program inside counts itself
TIMES = 10  # a submission has so many times the seconds of one cell
MOST = 10  # notes on one submission

CELL = {"cell": is_count, "error": maybe(is_text), "running": is_count}
ANSWER = {
    **{"id": is_text, "nonce": is_text, "facts": lambda value: True, "seconds": is_seconds},
    **{"none": only(None, "missing", "stub", "timed out", "ended", "forged")},
    **{"code": maybe(is_code), "noticed": is_texts},
}


class Spent(Exception):
    """A submission has used up its time."""


class CannotStart(RuntimeError):
    """The sandbox did not come up: no code of a student has run, nobody loses a point."""


@dataclass(frozen=True)
class Observation:
    """What is known about the answer to one exercise.

    Attributes
    ----------
    facts : object
        What `observe` told; hostile code may have made it up.
    happened : str
        Why there are no facts: "missing", "stub", or words for the status column.
    seconds : float
    """

    facts: object = None
    happened: str = ""
    seconds: float = 0.0


class Visit:
    """Run a submission's cells and observe its exercises; start again after what ends a process.

    Parameters
    ----------
    cells : list of str
    lesson : str
    seeds : dict of str to int
        Seed of each exercise to observe, by its number.
    open_sandbox : callable
        Gives a new `Sandbox`.
    seconds : float
        For each cell and each exercise.

    Attributes
    ----------
    observed : dict of str to Observation
    errors : dict of int to str
        Cells that raised, hung or ended the process.
    notes : list of str
        What somebody should look at.
    printed : str
        The last of what it printed.
    """

    def __init__(
        self,
        cells: list[str],
        lesson: str,
        seeds: dict[str, int],
        open_sandbox: Callable,
        seconds: float,
    ):
        self.cells, self.lesson, self.seeds, self.seconds = cells, lesson, seeds, seconds
        self.open_sandbox, self.observed, self.errors, self.printed = open_sandbox, {}, {}, ""
        self.pending = list(seeds)
        self.levels = [0] * len(cells)  # how much less of each cell is run
        self.suspects = set()  # cells that left a thread, a process or much memory behind
        self.noticed = {}  # what was done, and not only written; the order is kept
        self.end = float("inf")  # the time begins when the first process is ready

    @property
    def notes(self):
        """A note on what the code did that answers do not need, or none."""
        words = ", ".join(list(self.noticed)[:MOST])
        return [f"please look: the code {words}"] if words else []

    def run(self):
        """Observe, in as many processes as it takes; each round leaves less to do."""
        try:
            while self.pending:
                with self.open_sandbox() as box:
                    try:
                        self._begin(box)
                        if self._cells(box):
                            self._exercises(box)
                    finally:
                        self.printed = box.tail.decode("utf-8", "replace")
        except Spent:
            words = f"timed out: the submission used up its {TIMES * self.seconds:g} s"
            self.observed |= {id: Observation(happened=words) for id in self.pending}
        return self

    def _begin(self, box):
        try:
            box.send({"do": "prepare", "lesson": self.lesson})
            self._wait(box, START, {"ready": only(self.lesson)})
        except (Ended, TimedOut) as error:
            text = box.tail.decode("utf-8", "replace").strip()[-1000:]
            raise CannotStart(f"{_words(error)}\n{text}") from None
        self.end = min(self.end, time.monotonic() + TIMES * self.seconds)

    def _wait(self, box, seconds, shape):
        """Wait for a reply; raise Spent when that takes the last of the submission's time."""
        left = self.end - time.monotonic()
        try:
            return box.receive(min(seconds, left), shape)
        except TimedOut:
            if left <= seconds:
                raise Spent from None
            raise

    def _cells(self, box):
        """Run all cells; False if one of them hung, ended the process or left no memory."""
        running, most = 0, box.memory * 2**30
        for number, cell in enumerate(self.cells):
            source = reduced(cell, min(LEVELS, self.levels[number]))
            if not source.strip():
                continue
            try:
                box.send({"do": "run", "cell": number, "source": source})
                reply = self._wait(box, self.seconds, CELL | {"cell": only(number)})
                error = reply["error"] and plain(reply["error"], 300)
                if error and error.startswith("MemoryError"):
                    raise Ended(error)  # what it took may still be taken
            except (Ended, TimedOut) as error:
                if not self._suspected():
                    self.errors[number] = _words(error)
                    self.levels[number] += 1
                return False
            if reply["running"] != running or box.held() > most / 2:
                running = reply["running"]
                self.suspects.add(number)
            if error:
                self.errors.setdefault(number, error)
        return True

    def _exercises(self, box):
        while self.pending:
            id = self.pending[0]
            try:
                self.observed[id] = self._ask(box, id)
            except (Ended, TimedOut) as error:
                if not self._suspected():
                    self.observed[id] = Observation(happened=_words(error))
                    self.pending.pop(0)
                return
            if "MemoryError" in str(self.observed[id].facts)[:200] and self._suspected():
                return
            self.pending.pop(0)

    def _suspected(self):
        """Whether something that a cell left behind may have done it; next time less is run."""
        fresh = {number for number in self.suspects if not self.levels[number]}
        for number in sorted(fresh):
            self.levels[number] = 1
            self.noticed[f"of cell {number + 1} left something behind that stopped the rest"] = True
        return bool(fresh)

    def _ask(self, box, id):
        """Ask for the facts of one answer; what does not fit the question is no answer."""
        nonce, start = secrets.token_hex(16), time.monotonic()
        message = {"id": id, "seed": self.seeds[id], "seconds": self.seconds, "nonce": nonce}
        box.send({"do": "observe", **message})
        mine = {"id": only(id), "nonce": only(nonce)}
        reply = self._wait(box, self.seconds + GRACE, ANSWER | mine)
        took = time.monotonic() - start
        self.noticed |= dict.fromkeys(plain(words) for words in reply["noticed"])
        none, code = reply["none"], reply["code"]
        if none is None and reply["facts"] is not None:
            return Observation(reply["facts"], "", round(min(reply["seconds"], took), 3))
        if none == "ended" and code is not None:
            return Observation(happened=how_it_ended(code))
        if none not in (None, "ended") and reply["facts"] is None:
            return Observation(happened=FORGED if none == "forged" else none)
        raise Ended(FORGED)


def _words(error):
    return str(error) if isinstance(error, Ended) else "timed out"
