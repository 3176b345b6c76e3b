"""What an exercise is, how an answer is observed and judged, and how the result is shown."""

import contextlib
import difflib
import dis
import doctest
import importlib
import inspect
import linecache
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from typing import NamedTuple

PUBLIC_SEED = 0  # check() always draws the same inputs; grading draws others


class Check(NamedTuple):
    """One thing that must hold for an answer to be right.

    Judges yield checks in the order exists, type, shape, value; the first that fails ends the
    judging, so that later ones may rely on it.
    """

    points: int
    title: str
    holds: bool
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A named function that a student writes, with its two halves of grading.

    Attributes
    ----------
    id : str
        Lesson and number, such as ``"02.1"``.
    name : str
        Name of the function.
    points : int
        The points of all its checks together.
    observe : callable
        ``observe(function, seed)`` calls the student's function on inputs drawn from the seed and
        returns JSON facts. Runs in the student's kernel.
    judge : callable
        ``judge(facts, seed)`` yields `Check` objects. Never runs where students' code runs, except
        in `check`, which uses the public seed.
    """

    id: str
    name: str
    points: int
    observe: Callable
    judge: Callable[[object, int], Iterator[Check]]


@dataclass(frozen=True)
class Result:
    """The outcome of one exercise. Printed, it is text; in a notebook, a small table."""

    exercise: Exercise
    state: str  # "not attempted", "not yet" or "right"
    points: int = 0
    checks: list[Check] = field(default_factory=list)
    note: str = ""
    shown: list[tuple[str, str]] = field(default_factory=list)  # titles and code, for the table

    def __str__(self):
        lines = [self._headline()]
        lines += [f"  {'ok ' if check.holds else 'no '} {check.title}" for check in self.checks]
        lines += [f"  hint: {hint}" for hint in self._hints()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        rows = [
            ["✓ ok" if check.holds else "✗ not yet", check.title, _points(check)]
            for check in self.checks
        ]
        missing = self.exercise.points - self.points
        if self.checks and missing:
            rows.append(["", "still to get", str(missing)])
        style = "text-align:left;white-space:nowrap"
        parts = [f'<caption style="{style}"><b>{escape(self._headline())}</b></caption>']
        parts += [_row("th scope=col", ["", "what must hold", "points"])] if rows else []
        parts += [_row("td", row) for row in rows]
        said = [f"<p><b>Hint:</b> {escape(hint)}</p>" for hint in self._hints()]
        for what, text in self.shown:
            said.append(f'<p>{escape(what)}</p><pre style="margin-left:1em">{escape(text)}</pre>')
        small = "These checks use visible inputs; grading uses fresh ones."
        return f"<table>{''.join(parts)}</table>{''.join(said)}<p><small>{small}</small></p>"

    def _headline(self):
        exercise = self.exercise
        points = f"{self.points} of {exercise.points} points"
        return f"{exercise.id} {exercise.name}: {self.state}, {points}"

    def _hints(self):
        return [self.note] * bool(self.note) + [c.hint for c in self.checks if not c.holds]


def _row(tag, texts):
    """Return a row of an HTML table."""
    name, align = tag.partition(" ")[0], 'style="text-align:left"'
    return f"<tr>{''.join(f'<{tag} {align}>{escape(text)}</{name}>' for text in texts)}</tr>"


def _points(check):
    return f"{check.points if check.holds else 0} of {check.points}" if check.points else ""


def check(id, namespace=None):
    """Check your answer to an exercise, here and now.

    Parameters
    ----------
    id : str
        Number of the exercise, such as ``"02.1"``.
    namespace : dict, optional
        Where to look for the function; default: the notebook that calls.

    Returns
    -------
    Result
        What holds, and a hint for the first thing that does not. Grading uses fresh inputs: an
        answer that only knows these will not pass there.

    Raises
    ------
    ValueError
        If there is no such exercise; the near ones are listed.

    Examples
    --------
    >>> print(check("00.1", {}))
    00.1 total_threads: not attempted, 0 of 3 points
      hint: Define a function named total_threads, then run this cell again.
    """
    exercise = find_exercise(id)
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    if not isinstance(namespace, dict):
        raise TypeError(
            f"check takes the number of the exercise only, as in check({id!r}): it finds the "
            f"function {exercise.name} by its name"
        )
    function = namespace.get(exercise.name)
    if function is None:
        note = f"Define a function named {exercise.name}, then run this cell again."
        return Result(exercise, "not attempted", note=note)
    if _is_stub(function):
        note = f"Replace the ... in {exercise.name} by your answer, run its cell, then this one."
        return Result(exercise, "not attempted", note=note)
    result = judge(exercise, observe(exercise, function, PUBLIC_SEED), PUBLIC_SEED)
    # JupyterLab was started by the course, and this notebook is open in it: no program runs it.
    if os.environ.get("COURSE_PROGRESS") and os.environ.get("JPY_SESSION_NAME"):
        from helpers.progress import note_progress

        note_progress(exercise.id, result.state)
    return replace(result, shown=_shown(result, function, namespace))


def _shown(result, function, namespace):
    """What helps to find the mistake: the line that raised, the example that came out otherwise."""
    hints = " ".join(result._hints())
    if line := re.search(r"\(line (\d+) of your function", hints):
        try:
            lines = inspect.getsource(function).splitlines()
        except (OSError, TypeError):
            return []
        at, near = int(line[1]), range(max(1, int(line[1]) - 2), int(line[1]) + 3)
        arrows = {n: "→" if n == at else " " for n in near if n <= len(lines)}
        text = "\n".join(f"{arrow} {n:3}  {lines[n - 1]}" for n, arrow in arrows.items())
        return [("It stopped at the line with the arrow:", text)]
    if "example in the docstring" in hints:
        title = "The example in the docstring, and what came back:"
        return [(title, text) for text in _examples(function, namespace)]
    return []


def _examples(function, namespace):
    """Run the docstring's examples; return those that come out otherwise, with what came."""
    failed = []

    class Runner(doctest.DocTestRunner):
        def report_failure(self, out, test, example, got):
            failed.append(f">>> {example.source}expected: {example.want}came:     {got}".rstrip())

        def report_unexpected_exception(self, out, test, example, info):
            failed.append(f">>> {example.source}raised: {info[0].__name__}: {info[1]}"[:500])

    try:
        test = doctest.DocTestParser().get_doctest(
            function.__doc__ or "", dict(namespace), function.__name__, None, None
        )
        Runner(verbose=False).run(test, out=lambda text: None)
    except Exception:  # a student's docstring may be anything
        return []
    return failed[:2]


def observe(exercise, function, seed):
    """Call the student's function on inputs drawn from `seed`; return the facts as plain JSON.

    An exception in the student's code becomes the fact ``{"error": …}``.
    """
    if isinstance(function, type) or not callable(function):
        kind = "class" if isinstance(function, type) else f"value of type {type(function).__name__}"
        return {"error": f"{exercise.name} is a {kind}: write a function with that name."}
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        return {"error": f"{exercise.name} does not return: write def and return, no yield."}
    try:
        return exercise.observe(function, seed)
    except (Exception, SystemExit) as error:
        first = f"{type(error).__name__}: {error}".strip().split("\n")[0][:300]
        return {"error": f"It raised {first}{_student_line(error, function)}"}


def judge(exercise, facts, seed):
    """Judge the facts that `observe` gave for the same seed.

    Returns
    -------
    Result
    """
    if isinstance(facts, dict) and "error" in facts:
        ran = Check(0, "runs without an error", False, str(facts["error"]))
        return Result(exercise, "not yet", 0, [ran])
    checks = []
    for outcome in exercise.judge(facts, seed):
        checks.append(outcome)
        if not outcome.holds:
            break
    points = sum(outcome.points for outcome in checks if outcome.holds)
    right = checks and checks[-1].holds
    return Result(exercise, "right" if right else "not yet", points, checks)


def all_exercises():
    """All exercises, by number.

    Returns
    -------
    dict of str to Exercise
    """
    package = importlib.import_module("helpers.grading.lessons")
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[-1].isdigit())
    modules = [importlib.import_module(f"helpers.grading.lessons.{name}") for name in names]
    return {exercise.id: exercise for module in modules for exercise in module.EXERCISES}


def find_exercise(id):
    """Find an exercise by its number; raise ValueError with the near ones if there is none."""
    name = f"helpers.grading.lessons.lesson_{str(id)[:2]}"
    known = {}
    with contextlib.suppress(ModuleNotFoundError):  # what other lessons import takes seconds
        known = {exercise.id: exercise for exercise in importlib.import_module(name).EXERCISES}
    exercises = known if id in known else all_exercises()
    if id in exercises:
        return exercises[id]
    near = difflib.get_close_matches(str(id), exercises, cutoff=0.5) or list(exercises)
    raise ValueError(f"there is no exercise {id!r}; did you mean {', '.join(near)}?")


def _is_stub(function):
    """Whether the function's body is still ``...``, or ``pass``: it does not do anything.

    ``return None`` is an answer: somebody wrote it, and learns that it is not the right one.
    """
    code = getattr(function, "__code__", None)
    quiet = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    if code is None or {step.opname for step in dis.get_instructions(code)} - quiet:
        return False
    if code.co_consts not in ((None,), (function.__doc__, None)):
        return False
    # Compiled, it is the same as return None; only the source tells them apart.
    lines = (linecache.getline(code.co_filename, line) for *_, line in code.co_lines() if line)
    return not any(re.search(r"\breturn\b", line.partition("#")[0]) for line in lines)


def _student_line(error, function):
    """The line of the student's function where the error passed, counted from its ``def``."""
    code = getattr(function, "__code__", None)
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code is code:
            text = linecache.getline(code.co_filename, line).strip()[:100]
            number = line - code.co_firstlineno + 1
            return f" (line {number} of your function{': ' * bool(text)}{text})"
    return ""
