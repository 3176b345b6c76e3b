"""Hostile submissions gain nothing, stop nothing, and leave nothing behind."""

import csv
import hashlib
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from helpers.grading.exercise import all_exercises
from helpers.grading.grader.sandbox import protection
from tests.__main__ import SLOWNESS
from tests.hostile import HOSTILE, LEFT_OUT, SECRET, Book, shared
from tests.notebook_format import ROOT

for module in ("ending", "cheating", "handing", "replying", "effects"):
    importlib.import_module(f"tests.hostile.{module}")

HONEST = importlib.import_module("tests.hostile.effects").HONEST
works, reason = protection()
pytestmark = [
    pytest.mark.skipif(
        not works, reason=f"needs bubblewrap: {reason}; apt install bubblewrap, Linux only"
    ),
    pytest.mark.timeout(2400),
]
EXERCISES = all_exercises()
SHARED = shared([each for each in HOSTILE if not each.folder])
SUBMISSION_OF = {name: one for one in SHARED for name in one.expected}
LESSON_OF = {each.name: each.lesson for each in HOSTILE}
SEED = 11
SECONDS = 20 * float(os.environ.get(SLOWNESS, "1"))  # for each cell and each exercise
PLACES = ("/", "/tmp", "/var/tmp", "/dev/shm", "/etc", "~", "~/.cache", ROOT, ROOT / "course")

# The grader, and the most memory that it itself had, in MiB.
PROGRAM = """
import re, sys
from helpers.grading.__main__ import main
code = main(sys.argv[1:])
print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
sys.exit(code)
"""


def grade(submissions, out, *options):
    call = [sys.executable, "-c", PROGRAM, "grade", str(submissions), "--out", str(out)]
    call += [
        "--seed",
        str(SEED),
        "--jobs",
        "2",
        "--timeout",
        str(SECONDS),
        "--memory",
        "2",
        *options,
    ]
    call += ["--accept-doubts"]
    environment = os.environ | {"COURSE_SECRET": "the grader's own", "COURSE_BACKEND": "cpu"}
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env=environment)


def rows_of(out):
    """{student: {exercise: (points, of, status)}} of a CSV."""
    table = {}
    with open(out / "grades.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            mark = int(row["points"]), int(row["of"]), row["status"]
            table.setdefault(row["student"], {})[row["exercise"]] = mark
    return table


def digest(folder):
    """Names and bytes of everything in a folder."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        whole = path.is_file() and not path.is_symlink()
        found[path] = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
    return found


def write_honest(place):
    Book("01").write(place / "honest-1" / "01.ipynb")
    partly = Book("01")
    partly.answer("count_missing", "return {}")
    partly.answer("same_numbers", "return bool((inputs[0] == inputs[1]).all())")
    partly.write(place / "honest-2.ipynb")
    Book("01", "exercises").write(place / "honest-3" / "01 copy.ipynb")


@pytest.fixture(scope="module")
def class_of(tmp_path_factory):
    """Grade all hostile submissions, and some honest ones, in one run."""
    place = tmp_path_factory.mktemp("class") / "submissions"
    place.mkdir()
    out = place.parent / "out"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        names = (
            f"SUBMISSIONS, OUT, ROOT, PORT = {str(place)!r}, {str(out)!r}, {str(ROOT)!r}, {port}"
        )
        for each in HOSTILE:
            if each.folder:
                each.make(place, each.name, Book(each.lesson))
        for one in SHARED:
            lesson = LESSON_OF[next(iter(one.expected))]
            if any(word in cell for cell in one.book.cells for word in ("ROOT", "PORT")):
                one.book.first(names)
            one.book.write(place / one.name / f"{lesson}.ipynb")
        write_honest(place)
        before = digest(place)
        run = grade(place, out)
    assert run.returncode == 0, run.stdout + run.stderr
    return place, out, run, before


@pytest.fixture(scope="module")
def marks(class_of):
    return rows_of(class_of[1])


def handed_in_as(each):
    """Who handed in a case, what is expected of its exercises, and which are other cases'."""
    if each.folder:
        return each.name, each.expected, set()
    one = SUBMISSION_OF[each.name]
    others = [set(ids) for name, ids in one.expected.items() if name != each.name]
    return one.name, LEFT_OUT | one.expected[each.name], set().union(*others) - LEFT_OUT.keys()


@pytest.mark.parametrize("each", HOSTILE, ids=lambda each: each.name)
def test_marks_are_what_the_honest_part_deserves(each, class_of, marks):
    student, expected, others = handed_in_as(each)
    mine = {id: mark for id, mark in marks[student].items() if id[:2] == each.lesson}
    path = class_of[1] / "results" / f"{student}-{each.lesson}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    about = json.dumps({key: record[key] for key in ("cells", "notes", "printed")}, indent=1)
    assert mine.keys() == {id for id in EXERCISES if id[:2] == each.lesson}
    for id in mine.keys() - others:
        points, of, status = mine[id]
        assert status.startswith(expected.get(id, "right")), f"{id}: {status}\n{about}"
        assert points == of if status == "right" else points < of
        assert of == EXERCISES[id].points
    assert each.note in about
    assert "LEAK" not in about


def test_there_are_many():
    assert len(HOSTILE) >= 130 and len({each.name for each in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("name", HONEST)
def test_honest_ways_get_no_note(name, class_of):
    record = json.loads((class_of[1] / "results" / f"{name}-01.json").read_text())
    assert record["notes"] == []


def test_honest_submissions_get_the_same_without_hostile_ones(tmp_path, marks):
    write_honest(tmp_path / "in")
    run = grade(tmp_path / "in", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    alone = rows_of(tmp_path / "out")
    assert set(alone) == {"honest-1", "honest-2", "honest-3"}
    for name, rows in alone.items():
        assert rows == {id: mark for id, mark in marks[name].items() if id[:2] == "01"}


def test_no_process_stays(class_of):
    words = (SECRET, str(class_of[1]), "helpers.grading.grader.inside")
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        assert not any(word in line for word in words), line


def test_no_port_stays(class_of):
    for port in (8787, 45679):
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


def test_no_file_stays(class_of):
    place, out, _, before = class_of
    assert digest(place) == before
    for folder in (*map(os.path.expanduser, PLACES), *sys.path, place, out, out / "results"):
        assert not [path for path in Path(folder or ".").glob(f"{SECRET}*")]
    names = {path.name for path in out.iterdir()}
    fixed = {"grades.csv", "canvas.csv", "summary.html", "grading.json", "results", "feedback"}
    fixed |= {"plan.txt"}
    assert names - {f"moodle-{lesson}.csv" for lesson in ("00", "01", "02")} == fixed


def test_the_grader_stays_small(class_of):
    peak = int(class_of[2].stdout.split("PEAK")[1])
    assert peak < 300, f"{peak} MiB"


def test_pages_show_what_students_wrote_as_text(class_of):
    out = class_of[1]
    for path in [out / "summary.html", *(out / "feedback").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text and "<img" not in text
    table = (out / "grades.csv").read_text(encoding="utf-8")
    assert "raised =HYPERLINK" in table and ",=" not in table
