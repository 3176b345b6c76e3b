"""Observe all exercises of one submission, whatever its code does."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from helpers.grading.grader.cells import LEVELS, reduced
from helpers.grading.grader.marking import plain
from helpers.grading.grader.sandbox import Ended, TimedOut, how_it_ended

START = 120  # seconds for the imports before any code of a student
GRACE = 5  # seconds more than those that the program inside counts itself
TIMES = 10  # a submission has so many times the seconds of one cell


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
        self.suspects = set()  # cells that left a thread or a process behind

    def run(self):
        """Observe, in as many processes as it takes; each round leaves less to do."""
        end = time.monotonic() + TIMES * self.seconds
        while self.pending and time.monotonic() < end:
            with self.open_sandbox() as box:
                self._begin(box)
                if self._cells(box):
                    self._exercises(box)
                self.printed = box.tail.decode("utf-8", "replace")
        words = f"timed out: the submission used up its {TIMES * self.seconds:g} s"
        self.observed |= {id: Observation(happened=words) for id in self.pending}
        return self

    def _begin(self, box):
        try:
            box.send({"do": "prepare", "lesson": self.lesson})
            box.receive(START)
        except (Ended, TimedOut) as error:
            text = box.tail.decode("utf-8", "replace").strip()[-1000:]
            raise CannotStart(f"{_words(error)}\n{text}") from None

    def _cells(self, box):
        """Run all cells; False if one of them hung or ended the process."""
        running = 0
        for number, cell in enumerate(self.cells):
            source = reduced(cell, min(LEVELS, self.levels[number]))
            if not source.strip():
                continue
            try:
                box.send({"do": "run", "cell": number, "source": source})
                reply = box.receive(self.seconds)
                if not isinstance(reply, dict) or reply.get("cell") != number:
                    raise Ended("wrote into the grader's pipe")
            except (Ended, TimedOut) as error:
                if not self._suspected():
                    self.errors[number] = _words(error)
                    self.levels[number] += 1
                return False
            if reply.get("running", 0) != running:
                running = reply["running"]
                self.suspects.add(number)
            if reply.get("error"):
                self.errors.setdefault(number, plain(reply["error"], 300))
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
        """Whether something that a cell left running may have done it; next time less is run."""
        fresh = {number for number in self.suspects if not self.levels[number]}
        for number in fresh:
            self.levels[number] = 1
        return bool(fresh)

    def _ask(self, box, id):
        """Ask for the facts of one answer; what does not fit the question is no answer."""
        nonce = secrets.token_hex(16)
        message = {"id": id, "seed": self.seeds[id], "seconds": self.seconds, "nonce": nonce}
        box.send({"do": "observe", **message})
        reply = box.receive(self.seconds + GRACE)
        if not isinstance(reply, dict) or (reply.get("id"), reply.get("nonce")) != (id, nonce):
            raise Ended("wrote into the grader's pipe")
        if "facts" in reply:
            seconds = reply.get("seconds")
            known = isinstance(seconds, float) and 0 <= seconds <= self.seconds + GRACE
            return Observation(reply["facts"], "", seconds if known else 0.0)
        words, code = reply.get("none"), reply.get("code")
        if words == "ended" and isinstance(code, int):
            return Observation(happened=how_it_ended(code))
        if words not in ("missing", "stub", "timed out"):
            raise Ended("wrote into the grader's pipe")
        return Observation(happened=words)


def _words(error):
    return str(error) if isinstance(error, Ended) else "timed out"
