"""The autograder for Gradescope: its zip, and what it writes, in the documented format."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from helpers.grading.grader.gradescope import as_results, make_autograder
from tests.hostile import Book

# https://gradescope-autograders.readthedocs.io/en/latest/specs/
SHOWN = {"hidden", "after_due_date", "after_published", "visible"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
OF_ALL = {
    **{"score": int, "execution_time": int, "output": str, "output_format": str},
    **{"visibility": str, "stdout_visibility": str, "extra_data": dict, "tests": list},
}
OF_A_TEST = {
    **{"score": int, "max_score": int, "status": str, "name": str, "name_format": str},
    **{"number": str, "output": str, "output_format": str, "tags": list, "visibility": str},
    **{"extra_data": dict},
}


def is_in_the_format(results):
    for part, kinds in [(results, OF_ALL), *((test, OF_A_TEST) for test in results["tests"])]:
        assert part.keys() <= kinds.keys()
        assert all(type(value) is kinds[name] for name, value in part.items())
        assert part.get("visibility", "visible") in SHOWN
        assert part.get("stdout_visibility", "hidden") in SHOWN
        assert part.get("output_format", "text") in FORMATS
        assert part.get("status", "passed") in ("passed", "failed")
    return True


@pytest.fixture(scope="module")
def autograder(tmp_path_factory):
    """A tree like /autograder, unpacked from the zip."""
    place = tmp_path_factory.mktemp("gradescope")
    said = make_autograder(place / "auto.zip", "01")
    assert "upload it" in said
    root = place / "autograder"
    with zipfile.ZipFile(place / "auto.zip") as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, root / "source")
            os.chmod(path, entry.external_attr >> 16)
    shutil.copy2(root / "source" / "run_autograder", root)
    (root / "results").mkdir()
    return root


def graded(root, write, **more):
    shutil.rmtree(root / "submission", ignore_errors=True)
    (root / "submission").mkdir()
    write(root / "submission")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"AUTOGRADER": str(root), "COURSE_PYTHON": sys.executable, **more}
    environment |= {"COURSE_BACKEND": "cpu"}
    run = subprocess.run(
        [root / "run_autograder"], cwd=root, env=environment, capture_output=True, text=True
    )
    path = root / "results" / "results.json"
    return run, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_the_zip_has_what_gradescope_needs_at_its_root(autograder):
    for name in ("setup.sh", "run_autograder"):
        path = autograder / "source" / name
        assert os.access(path, os.X_OK) and path.read_text().startswith("#!/usr/bin/env bash\n")
        subprocess.run(["bash", "-n", path], check=True)
    solutions = autograder / "source" / "course" / "course" / "solutions"
    assert [path.name for path in solutions.iterdir()] == ["01_rapids_basics.ipynb"]


def test_a_submission_becomes_one_test_per_exercise(autograder):
    book = Book("01")
    book.answer("count_missing", "return {}")
    book.last("1 / 0")
    run, results = graded(autograder, lambda place: book.write(place / "my answers.ipynb"))
    assert run.returncode == 0, run.stderr
    assert is_in_the_format(results)
    tests = {test["number"]: test for test in results["tests"]}
    assert [test["max_score"] for test in tests.values()] == [3, 4, 4, 3, 4]
    assert [tests[f"01.{n}"]["score"] for n in range(1, 6)] == [1, 4, 4, 3, 0]
    assert results["score"] == 12
    assert "hint: The keys are the names of the table's columns" in tests["01.1"]["output"]
    assert "ZeroDivisionError" in results["output"] and "facts" not in json.dumps(results)
    again = graded(autograder, lambda place: book.write(place / "my answers.ipynb"))[1]
    assert again == results


def test_what_is_no_notebook_is_told_and_what_could_not_run_is_no_mark(autograder):
    run, results = graded(autograder, lambda place: (place / "x.ipynb").write_text("{"))
    assert run.returncode == 0, run.stderr
    assert is_in_the_format(results) and results["score"] == 0
    text = json.dumps(results)
    assert "not a notebook" in text or "no notebook" in text
    solutions = autograder / "source" / "course" / "course" / "solutions"
    hidden = solutions.with_name("away")
    broken = Book("01")
    broken.answer("count_missing", "import no_such_package")
    solutions.rename(hidden)
    broken.write(solutions / "01_rapids_basics.ipynb")
    try:
        run, results = graded(autograder, lambda place: Book("01").write(place / "x.ipynb"))
    finally:
        shutil.rmtree(solutions)
        hidden.rename(solutions)
    assert run.returncode and results is None and "does not get full marks" in run.stderr


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.zip"):
        make_autograder(tmp_path / "auto")
    for lesson in ("77", "1", "../"):
        with pytest.raises(ValueError, match="there is no lesson"):
            make_autograder(tmp_path / "auto.zip", lesson)
    (tmp_path / "auto.zip").write_text("mine")
    with pytest.raises(FileExistsError):
        make_autograder(tmp_path / "auto.zip")


def test_the_same_course_gives_the_same_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        make_autograder(tmp_path / name, "01")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_a_student_wrote_is_text():
    row = {"id": "01.1", "name": "f", "points": 0, "of": 2, "status": "raised <b>", "hint": "<i>"}
    record = {"status": "", "cells": {"1": "<s>"}, "exercises": [{**row, "checks": []}]}
    assert is_in_the_format(as_results([record]))
    assert {test["output_format"] for test in as_results([record])["tests"]} == {"text"}
