"""Marks: judge what was observed, and say what happened where nothing was."""

import contextlib
import json
import re
import signal
import threading

from helpers.grading.exercise import judge
from helpers.grading.grader.cells import defined

JUDGING = 20  # seconds for one judge; honest facts take milliseconds
KEPT = 20_000  # characters of facts that are kept for an appeal

# Words that answers do not need. They cost nothing; somebody may look.
SUSPICIOUS = (
    *("_getframe", "currentframe", "f_back", "f_locals", "tb_frame", "_current_frames"),
    *("gc.get_", "ctypes", "helpers.grading.", "sys.modules", "__code__", "__subclasses__"),
    *("/proc/", "_exit(", "input_transformer"),
)


def row_of(exercise, observation, seed, cells=(), errors=()):
    """Mark one exercise.

    Parameters
    ----------
    exercise : Exercise
    observation : Observation
    seed : int
        That of the observation.
    cells : sequence of str
    errors : dict of int to str
        Cells that failed, to tell why a function is missing.

    Returns
    -------
    dict
        One row of the results: id, name, points, of, status, hint, checks, seconds, and the facts
        if they are short.

    Examples
    --------
    >>> from helpers.grading.exercise import find_exercise
    >>> from helpers.grading.grader.visit import Observation
    >>> row_of(find_exercise("00.1"), Observation(happened="timed out"), 0)["status"]
    'timed out'
    """
    row = {"id": exercise.id, "name": exercise.name, "points": 0, "of": exercise.points}
    row |= {"status": "", "hint": "", "checks": [], "seconds": observation.seconds}
    if observation.facts is None:
        return row | {"status": _why(exercise.name, observation.happened, cells, errors)}
    row |= _judged(exercise, observation.facts, seed)
    short = len(json.dumps(observation.facts)) <= KEPT
    return row | ({"facts": observation.facts} if short else {})


def plain(text, most=100):
    r"""Words of a student's making as one short printable line.

    Examples
    --------
    >>> plain("a\nb" + chr(27))
    'a b '
    """
    text = str(text).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in text[:most])


def suspicious(cells):
    """A note on words that answers do not need, or none.

    Examples
    --------
    >>> suspicious(["import ctypes"])
    ['please look: the code uses ctypes']
    """
    # `check` may be imported from where it is defined.
    text = "\n".join(cells).replace("helpers.grading.exercise", "")
    words = [word for word in SUSPICIOUS if word in text]
    return [f"please look: the code uses {', '.join(words)}"] if words else []


def _judged(exercise, facts, seed):
    """Judge facts that may be anything: hostile code can send what no observer makes."""
    try:
        with _deadline(JUDGING):
            result = judge(exercise, facts, seed)
    except Exception as error:
        # Either the facts are made up, or the judge has a fault: somebody should look, and the 0
        # does not pretend to be a mark.
        return {"status": f"could not be judged: {type(error).__name__}"}
    checks = [
        # A hint may name what came back, so a student's code may have written a part of it.
        {"title": c.title, "holds": bool(c.holds), "points": c.points, "hint": plain(c.hint, 400)}
        for c in result.checks
    ]
    hint = next((check["hint"] for check in checks if not check["holds"]), "")
    found = {"points": result.points, "checks": checks, "hint": hint}
    return found | {"status": _status(result.state, facts)}


def _status(state, facts):
    error = str(facts.get("error", "")) if isinstance(facts, dict) else ""
    raised = re.match(r"It raised ([^\s:]+)", error)
    if not raised:
        return state
    return "out of memory" if "MemoryError" in raised[1] else f"raised {plain(raised[1])}"


def _why(name, happened, cells, errors):
    """Words for the status column where there are no facts."""
    if happened == "missing":
        for number, source in enumerate(cells):
            if name in defined(source) and number in errors:
                return f"not defined: cell {number + 1}: {plain(errors[number].split(':')[0])}"
    return "not attempted" if happened in ("missing", "stub") else plain(happened)


@contextlib.contextmanager
def _deadline(seconds):
    """Raise TimeoutError in the block after so many seconds, where the system can."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
