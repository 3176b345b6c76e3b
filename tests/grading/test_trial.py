"""``python -m helpers.grading check``, where students and their repositories have it."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers.grading.handout.release import released_files
from helpers.grading.trial import trial
from tests.hostile import Book
from tests.notebook_format import ROOT


def test_points_and_hints_are_a_table(tmp_path):
    book = Book("01")
    book.answer("count_missing", "return {}")
    book.answer("share_late", "raise ValueError('<b>|`' * 9)")
    book.first("1 / 0")
    book.write(tmp_path / "my | answers.ipynb")
    before = (tmp_path / "my | answers.ipynb").read_bytes()
    text = trial(tmp_path / "my | answers.ipynb")
    lines = text.split("\n")
    assert lines[0].startswith("### my \\| answers.ipynb: 8 of ")
    assert "| 01.1 count_missing | 1 of 3 | not yet | The keys are the names" in text
    assert "| 01.3 standardize | 4 of 4 | right |  |" in lines
    assert "| 01.5 delay_model | 0 of 4 | not attempted |" in text
    assert "- cell 1: ZeroDivisionError: division by zero" in lines
    assert "<b>" not in text and text.endswith("grading uses fresh ones.")
    rows = [line for line in lines if line.startswith("| 01.")]
    assert all(line.replace("\\|", "").count("|") == 5 for line in rows) and len(rows) == 5
    assert (tmp_path / "my | answers.ipynb").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": [{"cell_type": "code"}]}'])
def test_what_is_no_notebook_is_said(text, tmp_path):
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(ValueError, match="x.ipynb (is not a notebook|has no exercise)"):
        trial(tmp_path / "x.ipynb")


def test_a_notebook_without_exercises_or_an_end_is_said(tmp_path):
    book = Book("01")
    book.cells = ["print(1)"]
    book.write(tmp_path / "x.ipynb")
    with pytest.raises(ValueError, match="x.ipynb has no exercise"):
        trial(tmp_path / "x.ipynb")
    book.cells = ["check('01.1')", "import os", "os._exit(3)"]
    book.write(tmp_path / "x.ipynb")
    with pytest.raises(ValueError, match="x.ipynb does not run to its end"):
        trial(tmp_path / "x.ipynb")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """What students get, without the permission to write."""
    place = tmp_path_factory.mktemp("shared") / "course-folder"
    for name in released_files(ROOT):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes((ROOT / name).read_bytes())
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield place
    for path in folders:
        path.chmod(0o755)


def in_release(release, *call, cwd):
    environment = os.environ | {"PYTHONPATH": str(release), "COURSE_BACKEND": "cpu"}
    options = {"capture_output": True, "text": True, "env": environment, "cwd": cwd}
    return subprocess.run([sys.executable, *map(str, call)], **options)


def test_the_release_has_the_command_and_not_the_instructors(release, tmp_path):
    notebook = release / "course" / "exercises" / "01_rapids_basics.ipynb"
    run = in_release(release, "-m", "helpers.grading", "check", notebook, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("### 01") and run.stdout.count("| not attempted |") == 5
    more = ("grade", "x", "--out", "y")
    refused = in_release(release, "-m", "helpers.grading", *more, cwd=tmp_path)
    assert refused.returncode == 2 and "invalid choice: 'grade'" in refused.stderr


@pytest.mark.skipif(
    hasattr(os, "geteuid") and not os.geteuid() and not shutil.which("setpriv"),
    reason="root may write everywhere, and there is no setpriv (package util-linux) to be less",
)
def test_exercises_run_from_a_shared_folder_that_nobody_can_write(release, tmp_path):
    source = release / "course" / "exercises" / "01_rapids_basics.ipynb"
    out = tmp_path / "out.ipynb"
    call = [sys.executable, "-m", "papermill", "--cwd", source.parent, source, out]
    home = tmp_path / "home"
    home.mkdir()
    places = {name: str(home) for name in ("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    if hasattr(os, "geteuid") and not os.geteuid():  # root may write everywhere
        call = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *call]
    environment = os.environ | {"PYTHONPATH": str(release), "COURSE_BACKEND": "cpu"} | places
    before = sorted(release.rglob("*"))
    touch = [*call[: call.index(sys.executable)], "touch", source.parent / "x"]
    assert subprocess.run(touch, capture_output=True).returncode
    run = subprocess.run(call, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert out.read_text(encoding="utf-8").count(": not attempted, 0 of") >= 5
    assert sorted(release.rglob("*")) == before
