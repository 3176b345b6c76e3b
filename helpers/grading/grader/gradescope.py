"""The autograder that Gradescope's servers run: make its zip, and be what runs in it.

Gradescope builds a container from the zip (``setup.sh`` installs what is needed) and starts
``run_autograder`` in it for each submission. What that writes to ``results/results.json`` is shown.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import helpers

DAY = (1980, 1, 1, 0, 0, 0)  # of every file: the same course gives the same bytes
TOP = ("run.py", "pyproject.toml", "uv.lock", "README.md", "LICENSE")
SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image (Ubuntu).
set -e
apt-get update
apt-get install -y python3 python3-venv python3-pip bubblewrap
cd "${AUTOGRADER:-/autograder}/source/course"
python3 run.py setup
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission, in /autograder.
set -e
root="${AUTOGRADER:-/autograder}"
cd "$root/source/course"
exec "${COURSE_PYTHON:-.venv/bin/python}" -m helpers.grading.grader.gradescope "$root" LESSON
"""


def make_autograder(out, lesson="", root=None):
    """Write the zip that is uploaded to Gradescope.

    Parameters
    ----------
    out : pathlib.Path
        A new file that ends in ``.zip``.
    lesson : str
        Such as ``"02"``: grade this lesson only. Default: all that somebody hands in.
    root : pathlib.Path, optional
        The course's folder; default: the one that holds this package.

    Returns
    -------
    str
        A line for the instructor.

    Raises
    ------
    FileExistsError
        If there is something at `out`.
    ValueError
        If `out` does not end in ``.zip``, or there is no such lesson.
    """
    out, root = Path(out), Path(root or Path(helpers.__file__).parents[1])
    if out.suffix != ".zip":
        raise ValueError(f"{out}: Gradescope takes a zip; name a file that ends in .zip")
    if out.exists():
        raise FileExistsError(f"{out} is there already: name another")
    solutions = sorted((root / "course" / "solutions").glob(f"{lesson or '*'}*.ipynb"))
    if not solutions or (lesson and not re.fullmatch(r"\d\d", lesson)):
        raise ValueError(f"there is no lesson {lesson!r} in {root / 'course' / 'solutions'}")
    files = [*solutions, *(root / name for name in TOP if (root / name).exists())]
    files += [path for path in sorted((root / "helpers").rglob("*.py"))]
    files += sorted((root / "course" / "exercises").glob(f"{lesson or '*'}*.ipynb"))
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(f"{out.name}.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "setup.sh", SETUP.encode(), 0o755)
        _add(archive, "run_autograder", RUN.replace("LESSON", lesson).encode(), 0o755)
        for path in files:
            name = f"course/{path.relative_to(root).as_posix()}"
            _add(archive, name, path.read_bytes(), 0o644)
    new.replace(out)
    return f"{out}: upload it as the autograder of a programming assignment"


def _add(archive, name, data, mode):
    entry = zipfile.ZipInfo(name, DAY)
    entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def run_autograder(root, lesson=""):
    """Grade what lies in ``ROOT/submission`` and write ``ROOT/results/results.json``.

    Parameters
    ----------
    root : pathlib.Path
        ``/autograder`` on Gradescope's servers.
    lesson : str

    Returns
    -------
    int
        0 if there is a result. 1 if it could not be graded: then there is no results.json, and
        Gradescope says that the autograder failed, which is no mark.
    """
    from helpers.grading.grader.grade import Options, grade

    results = Path(root) / "results" / "results.json"
    results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        handed_in, out = Path(folder, "in", "submission"), Path(folder, "out")
        shutil.copytree(Path(root) / "submission", handed_in, symlinks=True)
        lessons = (lesson,) if lesson else ()
        options = Options(handed_in.parent, out, jobs=1, lessons=lessons, accept_doubts=True)
        code = grade(options)
        paths = sorted((out / "results").glob("*.json"))
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if code or not records:
        return 1
    results.parent.mkdir(exist_ok=True)
    new = results.with_name("results.json.new")
    new.write_text(json.dumps(as_results(records), indent=1), encoding="utf-8")
    os.replace(new, results)
    return 0


def as_results(records):
    """Results in Gradescope's format: a test for each exercise.

    Parameters
    ----------
    records : list of dict
        Of one submission, as in ``results/``.

    Returns
    -------
    dict
    """
    tests = [
        {
            "score": row["points"],
            "max_score": row["of"],
            "status": "passed" if row["points"] == row["of"] else "failed",
            "name": f"{row['id']} {row['name']}",
            "number": row["id"],
            "output": _output(row),
            "output_format": "text",
            "visibility": "visible",
        }
        for record in records
        for row in record["exercises"]
    ]
    said = [record["status"] for record in records if record["status"]]
    said += [f"cell {n}: {error}" for r in records for n, error in r["cells"].items()]
    return {
        "score": sum(test["score"] for test in tests),
        "output": "\n".join(said) or "Graded with fresh inputs.",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # the instructor's; a submission may have printed there
        "tests": tests,
    }


def _output(row):
    """State, checks and hint of an exercise: what a student may know, as in ``feedback/``."""
    checks = [f"{'ok' if check['holds'] else 'no'}  {check['title']}" for check in row["checks"]]
    return "\n".join([row["status"], *checks, *[f"hint: {row['hint']}"] * bool(row["hint"])])


if __name__ == "__main__":
    sys.exit(run_autograder(*sys.argv[1:]))
