"""Rehearse lessons for a GPU on a CPU: ``python -m tests.rehearsal [LESSON ...]``.

Stand-ins for CuPy, cuDF, cuML and dask-cuda refuse what the real ones refuse (rules.md) and compute
on the host. A lesson must run to its end with the stored outputs. This is a rehearsal, and no test
on a GPU. ``--faults`` plants the mistakes of faults.py, too. ``--drop`` leaves each conversion of a
lesson (`to_host`, `to_device`, `asarray`) out once, runs the cells up to where its result is used,
and prints what came.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.course import test_lessons
from tests.notebook_format import ROOT, dumps, read
from tests.rehearsal.faults import (
    FAULTS,
    place,
    plant,
    unplanted,
    up_to_use,
    without_conversions,
)

SHADOW = Path(__file__).parent / "shadow"
EXAMPLES = """
import doctest

for each in [each for each in globals().values() if getattr(each, "__module__", 0) == "__main__"]:
    doctest.run_docstring_examples(each, dict(globals()), optionflags=doctest.ELLIPSIS)
"""


@contextmanager
def stage(gpus: int = 2) -> Iterator[None]:
    """Let the processes that start meanwhile see the stand-ins; refuse beside real RAPIDS."""
    if find_spec("cudf") or find_spec("cupy"):
        raise SystemExit(
            "RAPIDS is installed here, and a rehearsal would hide it: use another .venv"
        )
    before = dict(os.environ)
    paths = [str(SHADOW), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ |= {"REHEARSAL_GPUS": str(gpus), "COURSE_BACKEND": "auto"}
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def rehearse(path: Path, changes=(), gpus: int = 2) -> tuple[list[str], list[str]]:
    """Run a lesson, with planted cells.

    Returns what differed from its stored outputs, or where it stopped, and what each planted cell
    said.
    """
    stored = read(path)
    with stage(gpus), tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_text(dumps(plant(stored, list(changes))), encoding="utf-8")
        try:
            executed = test_lessons.execute(copy, Path(folder, "run"))
        except pytest.fail.Exception as stopped:
            return [str(stopped)], []
    new, said = unplanted(executed)
    return list(test_lessons.differences(stored, new)), said


def rehearse_solution(path: Path) -> list[str]:
    """Run a solution; return the checks and examples that came out wrong, or where it stopped."""
    with stage(), tempfile.TemporaryDirectory() as folder:
        copy, notebook = Path(folder, path.name), read(path)
        notebook.cells.append(new_code_cell(EXAMPLES))
        copy.write_text(dumps(notebook), encoding="utf-8")
        try:
            new = test_lessons.execute(copy, Path(folder, "run"), cwd=path.parent)
        except pytest.fail.Exception as stopped:
            return [str(stopped)]
    checks = [cell for cell in new.cells if cell.source.startswith("check(")]
    right = [test_lessons.RIGHT.match("\n".join(test_lessons.facts(cell))) for cell in checks]
    wrong = [test_lessons.shown(cell) for cell, ok in zip(checks, right, strict=True) if not ok]
    return wrong + test_lessons.facts(new.cells[-1])


def lesson(number: str) -> Path:
    """Return the lesson of that number."""
    return next(path for path in test_lessons.LESSONS if path.name.startswith(number))


def with_faults(number: str) -> tuple[list[str], list[str]]:
    """Rehearse a lesson with its planted faults; return what differed, and the unseen faults."""
    path = lesson(number)
    notebook, changes = read(path), []
    chosen = [fault for fault in FAULTS if fault.lesson == number]
    chosen.sort(key=lambda fault: place(notebook, fault))  # as the cells run
    for fault in chosen:
        index = place(notebook, fault)
        source = notebook.cells[index].source.replace(fault.old, fault.new, 1)
        changes.append((index, [*filter(None, [source, fault.then])]))
    different, said = rehearse(path, changes)
    seen = dict(zip(chosen, said, strict=True)) if said else {}
    unseen = [f"{fault.new}: {seen.get(fault, 'not reached')}" for fault in chosen]
    return different, [
        text
        for text, fault, change in zip(unseen, chosen, changes, strict=True)
        if not _noticed(fault, seen.get(fault), notebook.cells[change[0]])
    ]


def _noticed(fault, said: str | None, cell: NotebookNode) -> bool:
    if said is None:
        return False
    if fault.says:
        return fault.says in said
    return said.strip().splitlines() != test_lessons.facts(cell)


def drop(path: Path) -> Iterator[str]:
    """Yield a line for each conversion that is left out: what a GPU would say."""
    stored = read(path)
    changes, expected = [], []
    for i, cell in enumerate(stored.cells):
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", ()):
            cells = up_to_use(stored, i)
            for source in without_conversions(cell.source):
                changes.append((i, [source, *(later.source for later in cells[1:])]))
                expected.append([line for each in cells for line in test_lessons.facts(each)])
    _, said = rehearse(path, changes)
    for (i, (source, *_)), right, text in zip(changes, expected, said, strict=True):
        lines = stored.cells[i].source.splitlines()
        changed = next(line for line in source.splitlines() if line not in lines)
        result = "the same" if text.strip().splitlines() == right else text.strip()[-120:]
        yield f"[{i}] {changed.strip()}\n    {result}"


def main(arguments: list[str] | None = None) -> int:
    """Rehearse each lesson; return 0 if every one came to its end with the stored outputs."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    parser.add_argument("lessons", nargs="*", help="such as 05; all if none is named")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--faults", action="store_true", help="with the planted faults, too")
    parser.add_argument("--drop", action="store_true", help="leave conversions out")
    parser.add_argument("--solutions", action="store_true", help="the solutions, not the lessons")
    options, wrong = parser.parse_args(arguments), 0
    for path in test_lessons.SOLUTIONS if options.solutions else test_lessons.LESSONS:
        if options.lessons and path.name[:2] not in options.lessons:
            continue
        if options.drop:
            print(path.stem, *drop(path), sep="\n", flush=True)
            continue
        if options.solutions:
            found = rehearse_solution(path)
        elif options.faults:
            different, unseen = with_faults(path.name[:2])
            found = [*different, *(f"a fault was not seen: {text}" for text in unseen)]
        else:
            found, _ = rehearse(path, gpus=options.gpus)
        print(path.stem, "differs" if found else "rehearsed", *found, sep="\n", flush=True)
        wrong += bool(found)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
