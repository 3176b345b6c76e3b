"""The instructor's command: what it finds, what it writes, how it goes on, what it refuses."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import psutil
import pytest

from helpers.grading.__main__ import main
from helpers.grading.exercise import Check, Exercise, all_exercises
from helpers.grading.grader.marking import row_of
from helpers.grading.grader.report import canvas, feedback, grades, moodle, summary, write_reports
from helpers.grading.grader.sandbox import protection
from helpers.grading.grader.visit import Observation
from tests.hostile import Book
from tests.notebook_format import ROOT

EXERCISES = all_exercises()
works, reason = protection()
needs_bubblewrap = pytest.mark.skipif(
    not works, reason=f"needs bubblewrap: {reason}; apt install bubblewrap, Linux only"
)


def start(submissions, out, *options, **more):
    call = [sys.executable, "-m", "helpers.grading", "grade", str(submissions), "--out", str(out)]
    environment = os.environ | {"COURSE_BACKEND": "cpu"} | more
    return subprocess.Popen(
        [*call, "--seed", "5", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        # Whoever started the tests in the background may have switched Ctrl-C off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def grade(submissions, out, *options, **more):
    process = start(submissions, out, *options, **more)
    printed, errors = process.communicate()
    return process.returncode, printed + errors


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_of(book):
    return json.dumps(book.notebook())


# The whole command


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """A class of five, who handed in in five ways."""
    place = tmp_path_factory.mktemp("class") / "in"
    Book("01").write(place / "student-01" / "01 (1).ipynb")
    partly = Book("01")
    partly.answer("count_missing", "return {}")
    partly.cells.append("1 / 0")
    with zipfile.ZipFile(place / "student-02.zip", "w") as archive:
        archive.writestr("course/exercises/anything.ipynb", text_of(partly))
    Book("01", "exercises").write(place / "01_rapids_basics_student-03.ipynb")
    moodle = place / "Student Four_4004_assignsubmission_file_"
    Book("01").write(moodle / "homework.ipynb")
    Book("01").write(place / "five_LATE_5005_777_01_rapids_basics-1.ipynb")
    (place / "student-06").mkdir()
    (place / "student-06" / "report.docx").write_text("not today")
    return place


@pytest.fixture(scope="module")
def graded(submissions):
    out = submissions.parent / "out"
    code, printed = grade(submissions, out)
    assert code == 0, printed
    return out, printed


POINTS = {"student-01": 14, "student-02": 12, "student-03": 0, "Student Four": 14, "five": 14}


def test_every_answer_has_a_line(graded):
    rows = table(graded[0] / "grades.csv")
    assert list(rows[0]) == ["student", "key", "lesson", "exercise", "points", "of", "status"]
    for name, points in POINTS.items():
        mine = [row for row in rows if row["student"] == name]
        assert [row["exercise"] for row in mine] == ["01.1", "01.2", "01.3", "01.4", "01.5"]
        assert sum(int(row["points"]) for row in mine) == points
        assert sum(int(row["of"]) for row in mine) == 18
    states = {(row["student"], row["exercise"]): row["status"] for row in rows}
    assert states["student-01", "01.1"] == "right"
    assert states["student-02", "01.1"] == "not yet"
    assert states["student-03", "01.1"] == states["student-01", "01.5"] == "not attempted"
    assert [row["status"] for row in rows if row["student"] == "student-06"] == [
        "no notebook found, only report.docx"
    ]


def test_files_for_moodle_and_canvas_have_their_columns(graded):
    rows = table(graded[0] / "moodle-01.csv")
    assert {"Identifier", "Full name", "Grade", "Last modified (grade)"} < set(rows[0])
    mine = next(row for row in rows if row["Full name"] == "Student Four")
    assert (mine["Identifier"], mine["Grade"]) == ("Participant 4004", "14")
    assert "01.1: right" in mine["Feedback comments"]
    rows = table(graded[0] / "canvas.csv")
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lesson 01"]
    assert list(rows[0]) == columns
    assert (rows[0]["Student"].strip(), rows[0]["Lesson 01"]) == ("Points Possible", "18")
    mine = next(row for row in rows if row["Student"] == "five")
    assert (mine["ID"], mine["Lesson 01"]) == ("5005", "14")


def test_pages_tell_points_and_hints_and_nothing_that_was_expected(graded):
    out, printed = graded
    page = (out / "feedback" / "student-02.html").read_text(encoding="utf-8")
    assert "12 of 18 points" in page and "Hint: The keys are the names" in page
    assert "ZeroDivisionError: division by zero" in page
    record = json.loads((out / "results" / "student-02-01.json").read_text(encoding="utf-8"))
    assert "facts" in record["exercises"][0] and "facts" not in page
    assert "student-02" in (out / "summary.html").read_text(encoding="utf-8")
    assert "[####################] 5 of 5, 0 s left" in printed


@needs_bubblewrap
def test_grading_without_bubblewrap_is_the_same_and_says_what_it_is_not(submissions, graded):
    out = submissions.parent / "bare"
    code, printed = grade(submissions, out, "--no-sandbox")
    assert code == 0 and "NOT PROTECTED" in printed
    assert (out / "grades.csv").read_bytes() == (graded[0] / "grades.csv").read_bytes()
    assert not (out / "at-work").exists()


def test_without_bubblewrap_installed_the_reason_is_told(submissions, tmp_path):
    code, printed = grade(submissions / "student-06", tmp_path / "out", PATH="/nowhere")
    assert "bwrap) is not installed" in printed and "NOT PROTECTED" in printed


# Going on after a stop


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("resume") / "in"
    for number in range(4):
        book = Book("01", "exercises" if number % 2 else "solutions")
        book.write(place / f"student-{number}" / "01.ipynb")
    out = place.parent / "out"
    code, printed = grade(place, out)
    assert code == 0, printed
    return place, (out / "grades.csv").read_bytes()


@needs_bubblewrap
@pytest.mark.parametrize("results", [0, 1, 3])
def test_a_killed_run_goes_on_to_the_same_marks(undisturbed, tmp_path, results):
    place, expected = undisturbed
    out = tmp_path / "out"
    process = start(place, out, "--jobs", "1")
    wait_for(lambda: len(list((out / "results").glob("*.json"))) >= results and inside(process))
    sandboxes = inside(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(is_alive, sandboxes)))  # what it had started ends with it
    kept = {path: path.stat().st_mtime_ns for path in (out / "results").glob("*.json")}
    if kept:
        path = kept.popitem()[0]
        path.write_text(path.read_text()[:100])  # as a power cut leaves it
    code, printed = grade(place, out, "--resume")
    assert code == 0, printed
    assert (out / "grades.csv").read_bytes() == expected
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert not (out / "at-work").exists()


@needs_bubblewrap
def test_ctrl_c_stops_at_once_and_says_how_to_go_on(undisturbed, tmp_path):
    place, expected = undisturbed
    slow = Book("01")
    slow.first("import time\ntime.sleep(300)")
    slow.write(tmp_path / "in" / "slow.ipynb")
    process = start(tmp_path / "in", tmp_path / "out", "--timeout", "300")
    wait_for(lambda: inside(process) and not list((tmp_path / "out").glob("*.csv")))
    time.sleep(1)
    sandboxes = inside(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "--resume" in errors
    assert not any(map(is_alive, sandboxes))


def inside(process):
    """Processes in the sandboxes of a run."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def is_alive(process):
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_changed_file_is_graded_anew(undisturbed, tmp_path):
    Book("01", "exercises").write(tmp_path / "in" / "student-1.ipynb")
    assert grade(tmp_path / "in", tmp_path / "out")[0] == 0
    Book("01").write(tmp_path / "in" / "student-1.ipynb")
    assert grade(tmp_path / "in", tmp_path / "out", "--resume")[0] == 0
    assert table(tmp_path / "out" / "grades.csv")[0]["status"] == "right"


# What it refuses


def test_what_cannot_be_graded_is_said(submissions, tmp_path):
    def said(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(["grade", *map(str, arguments)])
        return str(stopped.value)

    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "grades.csv").write_text("mine")
    out = ["--out", tmp_path / "out"]
    assert "there is no folder or zip" in said(tmp_path / "nowhere", *out)
    out = ["--out", tmp_path / "out2"]
    assert "nothing to grade" in said(tmp_path / "empty", *out)
    assert "is not empty" in said(submissions, "--out", tmp_path / "full")
    assert (tmp_path / "full" / "grades.csv").read_text() == "mine"
    assert "no exercises for lesson 77" in said(submissions, *out, "--lesson", "77")
    assert said(submissions, *out, "--jobs", "0") == "2"
    assert "name a new folder for the results: --out FOLDER" in said(submissions)


def test_another_seed_or_a_second_grader_is_refused(tmp_path):
    import fcntl

    out = tmp_path / "out"
    (out / "at-work").mkdir(parents=True)
    (out / "grading.json").write_text('{"seed": 6}')
    place = tmp_path / "in"
    Book("01").write(place / "student-1.ipynb")
    code, printed = grade(place, out, "--resume")
    assert code == 1 and "was begun with --seed 6, not 5" in printed
    (out / "at-work").mkdir()
    with open(out / "at-work" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, printed = grade(place, out, "--resume")
    assert code == 1 and "another grader is at work" in printed


def test_nobody_is_graded_where_the_reference_solution_fails(tmp_path):
    solution = Book("01")
    solution.answer("count_missing", "import no_such_package")
    solution.write(tmp_path / "course" / "solutions" / "01_rapids_basics.ipynb")
    Book("01").write(tmp_path / "in" / "student-1.ipynb")
    options = ["--course", str(tmp_path / "course")]
    code, printed = grade(tmp_path / "in", tmp_path / "out", *options)
    assert code == 1 and "does not get full marks here" in printed
    assert "01.1 count_missing: raised ModuleNotFoundError" in printed
    assert not (tmp_path / "out").exists()  # nothing is in the way of the next try
    assert "Try another --seed" in printed


# Judging


def broken_judge(facts, seed):
    yield Check(1, "first", True, "")
    raise KeyError(facts)


def endless_judge(facts, seed):
    while True:
        pass


def lenient_judge(facts, seed):
    yield Check(2, "all", True, "")


@pytest.mark.parametrize(
    "judge, observation, status",
    [
        (broken_judge, Observation([1]), "could not be judged: KeyError"),
        (endless_judge, Observation([1]), "could not be judged: TimeoutError"),
        (lenient_judge, Observation({"error": "It raised MemoryError"}), "out of memory"),
        (lenient_judge, Observation({"error": "It raised a\x1bb: c"}), "raised a b"),
        (lenient_judge, Observation({"error": ["x"]}), "not yet"),
        (lenient_judge, Observation(happened="missing"), "not defined: cell 2: SyntaxError"),
        (lenient_judge, Observation(happened="killed by SIGSEGV"), "killed by SIGSEGV"),
    ],
)
def test_what_happened_is_never_an_honest_looking_0(judge, observation, status, monkeypatch):
    monkeypatch.setattr("helpers.grading.grader.marking.JUDGING", 0.2)
    exercise = Exercise("99.1", "double", 2, None, judge)
    row = row_of(exercise, observation, 0, ["x", "def double(:"], {1: "SyntaxError: bad"})
    assert (row["status"], row["points"], row["of"]) == (status, 0, 2)


# Reports


def record(name="student-01", **row):
    exercise = {"id": "01.1", "name": "f", "points": 1, "of": 2, "status": "not yet"}
    exercise |= {"hint": "", "checks": [], "seconds": 0.1, **row}
    who = {"name": name, "key": "k", "moodle": "", "canvas": "", "lesson": "01"}
    return {**who, "file": "", "notes": [], "status": "", "cells": {}, "exercises": [exercise]}


def test_what_cannot_be_written_does_not_end_the_reports(tmp_path):
    def judge(facts, seed):
        yield Check(1, "type", False, f"Not {facts['type']}")

    exercise = Exercise("99.1", "double", 1, None, judge)
    row = row_of(exercise, Observation({"type": "\ud800" * 10**6}, "", float("nan")), 0)
    assert len(row["hint"]) < 500
    write_reports(tmp_path, [record("\udcff") | {"exercises": [row]}])
    assert "99.1" in (tmp_path / "grades.csv").read_text(encoding="utf-8")


def test_what_students_wrote_is_text_in_every_report():
    evil = record("=cmd()<script>", status="<b>", hint="<i>")
    evil["notes"], evil["cells"], evil["file"] = ["<u>"], {"1": "<s>"}, "<em>"
    for page in (summary([evil]), feedback([evil])):
        for tag in ("<script>", "<b>&lt;b&gt;</b>" and "<i>", "<u>", "<s>", "<em>"):
            assert tag not in page
    for text in (grades([evil]), moodle([evil]), canvas([evil])):
        assert "'=cmd()" in text and "\n=cmd" not in text


@pytest.mark.parametrize("sign", [*"=+-@\t＝＋－＠−", " =", "\u3000＝"])
def test_no_cell_is_a_formula(sign):
    evil = record(f"{sign}cmd()", status=f"{sign}1")
    evil["key"] = f"{sign}key"
    lines = [text([evil]) for text in (grades, moodle, canvas)]
    cells = [cell for text in lines for row in csv.reader(io.StringIO(text)) for cell in row]
    assert f"'{sign}cmd()" in cells and not [
        c for c in cells if c[:1] == sign[:1] != " " and c != "-"
    ]


def test_two_of_one_name_are_told_apart_in_the_tables():
    two = [record("Kim Lee") | {"key": f"kim-lee-{n}", "moodle": str(n)} for n in (1, 2)]
    keys = [row["key"] for row in csv.DictReader(io.StringIO(grades(two)))]
    assert keys == ["kim-lee-1", "kim-lee-2"]
    assert "Kim Lee (1)" in summary(two) and "Kim Lee (2)" in summary(two)


def test_what_could_not_be_graded_has_no_mark(tmp_path):
    rows = [record("a", status="not graded: KeyError"), record("b")]
    lines = csv.DictReader(io.StringIO(moodle(rows)))
    assert {line["Full name"]: line["Grade"] for line in lines} == {"a": "", "b": "1"}


def test_a_record_that_cannot_be_told_ends_nobody_elses_report(tmp_path):
    broken = record("broken") | {"key": "broken", "exercises": [{"id": None}]}
    write_reports(tmp_path, [broken, record("fine") | {"key": "fine"}])
    rows = table(tmp_path / "grades.csv")
    assert {row["student"]: row["status"] for row in rows} == {
        "broken": "not graded: could not be told: KeyError",
        "fine": "not yet",
    }


def test_everything_can_be_imported_where_unix_modules_are_missing():
    program = (
        "import sys\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        "import helpers.grading.__main__, helpers.grading.handout.release\n"
        "import helpers.grading.grader.grade, helpers.grading.grader.inside\n"
        "from helpers.grading import check\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
