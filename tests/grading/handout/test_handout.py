"""What an author makes: the students' copies and the release."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.grading.__main__ import main
from helpers.grading.handout import release as releasing
from helpers.grading.handout.generate import generate, student_copy
from tests.notebook_format import ROOT, check_links, check_page

# The students' copies

SOLVED = '''def double(n):
    """Double it."""
    ### BEGIN SOLUTION
    two = 2
    return two * n
    ### END SOLUTION
'''


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def test_the_students_copy_has_no_solution_and_no_output():
    solved = notebook(SOLVED, 'check("99.1")')
    solved.cells[1].outputs = [nbformat.v4.new_output("stream", text="right")]
    copy = student_copy(solved)
    assert copy.cells[0].source == 'def double(n):\n    """Double it."""\n    ...\n'
    assert copy.cells[1].outputs == [] and solved.cells[1].outputs != []


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "a\n### END SOLUTION\n### BEGIN SOLUTION",
    ],
)
def test_a_solution_that_does_not_close_is_refused(source):
    with pytest.raises(ValueError, match="cell 0: a solution begins or ends alone"):
        student_copy(notebook(source))


def test_generating_is_repeatable_and_a_change_is_seen(tmp_path):
    (tmp_path / "solutions").mkdir()
    nbformat.write(notebook(SOLVED), tmp_path / "solutions" / "99_test.ipynb")
    assert "99_test.ipynb" in generate(tmp_path, check_only=True)[0]
    assert not (tmp_path / "exercises").exists()
    generate(tmp_path)
    made = tmp_path / "exercises" / "99_test.ipynb"
    first = made.read_bytes()
    assert b"two" not in first and generate(tmp_path) == [] and made.read_bytes() == first
    made.write_text(made.read_text().replace("...", "return 4"))
    (tmp_path / "exercises" / "98_old.ipynb").write_text("{}")
    assert len(generate(tmp_path, check_only=True)) == 2


@pytest.mark.parametrize(
    "arguments, code", [(["generate", "nowhere"], "no notebook in"), (["nonsense"], 2), ([], 2)]
)
def test_the_command_line_refuses_with_a_message(arguments, code, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    said = str(stopped.value.code) + capsys.readouterr().err
    assert str(code) in said and len(said) > 20


def test_the_command_compares_the_course_with_its_solutions():
    command = [sys.executable, "-m", "helpers.grading", "generate", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (run.returncode, run.stdout.strip()) == (0, "The exercises agree with the solutions.")


# The students' release


@pytest.fixture
def small_course(tmp_path):
    """The course with one lesson only."""
    root = tmp_path / "course-folder"
    shutil.copytree(ROOT / "helpers", root / "helpers", ignore=shutil.ignore_patterns("__pyc*"))
    for folder in ("", "solutions", "exercises"):
        (root / "course" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "course" / folder / "01_rapids_basics.ipynb", root / "course" / folder)
    return root


def test_the_release_runs_and_is_the_same_every_time(small_course, tmp_path):
    said = []
    releasing.release(tmp_path / "a.zip", root=small_course, show=said.append)
    assert "01_rapids_basics.ipynb runs, 5 checks say: not attempted" in said
    os.utime(small_course / releasing.README)
    releasing.release(tmp_path / "b.zip", tried=False, root=small_course, show=said.append)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    releasing.release(tmp_path / "c", tried=False, root=small_course, show=said.append)
    names = {path.relative_to(tmp_path / "c").as_posix() for path in (tmp_path / "c").rglob("*.*")}
    assert {"README.md", "course/01_rapids_basics.ipynb", "helpers/kmeans.py"} < names
    assert "course/exercises/01_rapids_basics.ipynb" in names
    assert not [name for name in names if "solutions" in name or "tests" in name]
    assert "helpers/grading/lessons/lesson_01.py" in names
    assert not [name for name in names if "/grader/" in name or "/handout/" in name]


def test_a_release_that_does_not_run_or_differs_is_refused(small_course, tmp_path):
    solution = small_course / "course" / "solutions" / "01_rapids_basics.ipynb"
    text = solution.read_text(encoding="utf-8")
    solution.write_text(text.replace("import get_backend", "import no_such_name, get_backend"))
    with pytest.raises(ValueError, match="generate"):
        releasing.release(tmp_path / "a.zip", root=small_course)
    generate(small_course / "course")
    with pytest.raises(ValueError, match="does not run in the release: (.|\n)*no_such_name"):
        releasing.release(tmp_path / "a.zip", root=small_course)
    assert not (tmp_path / "a.zip").exists()
    lesson = small_course / "course" / "01_rapids_basics.ipynb"
    lesson.write_text(lesson.read_text(encoding="utf-8") + "### BEGIN SOLUTION")
    with pytest.raises(ValueError, match="01_rapids_basics.ipynb holds a solution"):
        releasing.release(tmp_path / "a.zip", root=small_course)
    with pytest.raises(FileExistsError):
        releasing.release(small_course, root=small_course)


def test_the_real_release_holds_every_lesson_and_no_solution():
    names = releasing.released_files(ROOT)
    lessons = {Path(name).stem for name in names if name.startswith("course/exercises/")}
    assert lessons == {path.stem for path in (ROOT / "course" / "solutions").glob("*.ipynb")}
    assert "run.py" in names and "uv.lock" in names and "pyproject.toml" in names


def test_the_releases_links_and_commands_work_there(tmp_path):
    releasing.release(tmp_path / "given", tried=False, show=str)
    given = tmp_path / "given"
    notebooks = sorted(given.rglob("*.ipynb"))
    problems = [*check_page(given / "README.md")]
    problems += [p for path in notebooks for p in check_links(path, nbformat.read(path, 4))]
    assert notebooks and problems == []
    text = (given / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"run\.py (\w+)", text))
    assert commands == {"lab", "setup"}  # the others need the tests


def test_a_command_that_needs_the_tests_says_so_in_the_release(tmp_path):
    shutil.copy(ROOT / "run.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "run.py", "test"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and "without its tests" in done.stderr
    assert not (tmp_path / ".venv").exists()
