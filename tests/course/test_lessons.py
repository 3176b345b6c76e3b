"""papermill runs lessons with other parameters, solutions and exercises; facts still hold."""

import difflib
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import papermill
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.grading.exercise import Result
from tests.__main__ import CELL, SLOWNESS
from tests.notebook_format import (
    ANSI,
    FENCE,
    ROOT,
    canonical,
    dumps,
    is_compared,
    output_text,
    read,
    tags,
)

COURSE = ROOT / "course"
SECONDS = CELL * float(os.environ.get(SLOWNESS, "1"))  # for each cell
TWO_PLANS = "Detected different `run_spec`"  # the scheduler's warning, dask/dask#9888
TWO_PLANS_HELP = "persist a lazy collection that is computed from more than once; tasks get lost"
RIGHT = re.compile(r"\d\d\.\d+ \w+: right, (\d+) of \1 points")


def numbered(folder: Path) -> list[Path]:
    """Return the notebooks of a folder in the order of the course."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


LESSONS = sorted(COURSE.glob("*.ipynb"))  # an appendix is a lesson without exercises
SOLUTIONS = numbered(COURSE / "solutions")
EXERCISES = numbered(COURSE / "exercises")


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    """Run a test once for each notebook."""
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a space in its name, as people have."""
    new = tmp_path / "a folder"
    new.mkdir()
    return new


@pytest.fixture
def forked_workers(monkeypatch):
    """Let workers be copies of a process that has done the imports, where the system can fork.

    The imports of each worker are half of the time of a lesson with four. nbval runs every lesson
    as a student does; the tests with this fixture ask what does not depend on how workers start.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")
        # Dask sets this for its workers, before they import NumPy; these have it imported.
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


# Running


def execute(path: Path, folder: Path, cwd: Path = COURSE, **parameters) -> NotebookNode:
    """Run a notebook from top to bottom and return it; fail with the cell that failed."""
    folder.mkdir(exist_ok=True)
    output, error = folder / path.name, None
    output.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            output,
            parameters,
            cwd=cwd,
            kernel_name="python3",
            language="python",
            execution_timeout=SECONDS,
            progress_bar=False,
        )
    except papermill.PapermillExecutionError as raised:
        # papermill 2.7 raises this also for a cell that may raise, so its notes on cells count.
        error = raised if any(note(cell, "exception") for cell in read(output).cells) else None
    except Exception as raised:  # a cell took too long, the kernel died
        if not output.exists():
            raise
        error = raised
    notebook = read(output)
    if error:
        last = [cell for cell in notebook.cells if note(cell, "start_time")][-1]
        pytest.fail(f"{path.name} stopped at\n{shown(last)}\n{error}", pytrace=False)
    for cell in notebook.cells:
        if cell.cell_type == "code" and TWO_PLANS in output_text(cell.outputs):
            pytest.fail(f"{path.name}: {TWO_PLANS_HELP}\n{shown(cell)}", pytrace=False)
    return notebook


def note(cell: NotebookNode, name: str) -> object:
    """Return what papermill noted about a cell; its own cells have nothing."""
    return cell.metadata.get("papermill", {}).get(name)


def shown(cell: NotebookNode) -> str:
    """Return the source and the outputs of a cell for a message."""
    return f"--- source:\n{cell.source}\n--- outputs:\n{ANSI.sub('', output_text(cell.outputs))}"


# Comparing


def facts(cell: NotebookNode) -> list[str]:
    """Return the lines that must be the same in every run, so not the warnings."""
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return output_text(outputs).splitlines()


def differences(stored: NotebookNode, new: NotebookNode) -> Iterator[str]:
    """Yield every compared cell whose text is not the stored one."""
    old_cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    new_cells = [cell for cell in new.cells if cell.cell_type == "code"]
    new_cells = [cell for cell in new_cells if "injected-parameters" not in tags(cell)]
    for old, now in zip(old_cells, new_cells, strict=True):
        if is_compared(old) and facts(old) != facts(now):
            lines = difflib.ndiff(facts(old), facts(now))
            yield "\n".join(["--- source:", old.source, "--- stored (-) and now (+):", *lines])


# Leaving out


def without_optional(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without the sections whose heading ends with (optional).

    A heading begins a part, also in the middle of a cell.
    """
    kept, inside = [], 0  # the level of the optional section's heading, 0 outside
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept += [] if inside else [cell]
            continue
        parts = []
        for part in re.split(r"^(?=#{1,6} )", FENCE.sub("", cell.source), flags=re.MULTILINE):
            heading = re.match(r"(#+) (.*)", part)
            if heading and (not inside or len(heading[1]) <= inside):
                inside = len(heading[1]) if heading[2].endswith("(optional)") else 0
            parts += [] if inside else [part]
        kept.append(new_markdown_cell("".join(parts)))
    return new_notebook(cells=kept, metadata=notebook.metadata)


OPTIONAL = [path for path in LESSONS if r"(optional)\n" in path.read_text(encoding="utf-8")]


# The course


def test_every_lesson_has_its_exercises():
    names = [path.name for path in numbered(COURSE)]
    assert names, "there is no lesson in course/"
    assert names == [path.name for path in SOLUTIONS]
    assert names == [path.name for path in EXERCISES]


@pytest.mark.parametrize("n_workers", [1, 4])
@by_name(LESSONS)
def test_a_lesson_says_the_same_with_other_workers(path, n_workers, folder, forked_workers):
    stored = read(path)
    different = list(differences(stored, execute(path, folder, n_workers=n_workers)))
    if different:
        text = "\n\n".join([f"{path.name} with {n_workers} workers:", *different])
        pytest.fail(text, pytrace=False)


@by_name(OPTIONAL)
def test_what_is_optional_can_be_left_out(path, folder, forked_workers):
    core = without_optional(read(path))
    shorter = folder / path.name
    shorter.write_text(dumps(core), encoding="utf-8")
    different = list(differences(core, execute(shorter, folder / "run")))
    if different:
        text = "\n\n".join([f"{path.name} without its optional sections:", *different])
        pytest.fail(text, pytrace=False)


@by_name(SOLUTIONS)
def test_a_solution_is_right(path, folder):
    new = execute(path, folder, cwd=path.parent)
    checks = [cell for cell in new.cells if re.search(r"^check\(", cell.source, re.MULTILINE)]
    assert checks, "no cell calls check()"
    for cell in checks:
        if not RIGHT.match("\n".join(facts(cell))):
            pytest.fail(f"{path.name} is not right:\n{shown(cell)}", pytrace=False)


@by_name(EXERCISES)
def test_an_exercise_runs_as_it_is_given_out(path, folder):
    execute(path, folder, cwd=path.parent)


# These functions


def test_only_optional_sections_are_left_out():
    page = "## A (optional)\n\n### Below", "## B", "### C (optional)", "### D", "# E"
    cells = [
        cell for text in page for cell in (new_markdown_cell(text), new_code_cell(text.split()[-1]))
    ]
    cells.append(new_markdown_cell("Text.\n\n### F (optional)\n\nMore.\n\n## G\n\nEnd."))
    kept = without_optional(new_notebook(cells=cells)).cells
    assert [cell.source for cell in kept if cell.cell_type == "code"] == ["B", "D", "E"]
    assert kept[-1].source == "Text.\n\n## G\n\nEnd."


def store(path: Path, *cells: NotebookNode) -> Path:
    """Write a small notebook."""
    path.write_text(dumps(canonical(new_notebook(cells=list(cells)))), encoding="utf-8")
    return path


def printed(text: str, source: str = "print(n_workers)", **metadata) -> NotebookNode:
    """Return a code cell that has printed."""
    output = new_output("stream", name="stdout", text=text)
    return new_code_cell(source, metadata=metadata, outputs=[output])


PARAMETERS = new_code_cell("n_workers = 2", metadata={"tags": ["parameters"]})


def test_the_kernel_is_this_python(tmp_path, folder):
    path = store(tmp_path / "x.ipynb", new_code_cell("import sys\n\nprint(sys.prefix)"))
    assert output_text(execute(path, folder).cells[0].outputs) == sys.prefix


def test_parameters_arrive_and_a_changed_output_is_found(tmp_path, folder):
    path = store(tmp_path / "x.ipynb", PARAMETERS, printed("2\n"), printed("a\n", "print('a')"))
    assert list(differences(read(path), execute(path, folder))) == []
    (found,) = differences(read(path), execute(path, folder, n_workers=4))
    assert "print(n_workers)" in found
    assert "- 2\n+ 4" in found


def test_an_ignored_cell_and_warnings_are_not_compared():
    warning = new_output("stream", name="stderr", text="careful")
    ignored = {"tags": ["nbval-ignore-output"]}
    old = new_notebook(cells=[printed("2\n", **ignored), printed("a\n")])
    new = new_notebook(cells=[printed("4\n"), printed("a\n")])
    new.cells[1].outputs.append(warning)
    assert list(differences(old, new)) == []


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_a_changed_display_or_error_is_found(kind):
    def displaying(value):
        output = new_output("display_data", {kind: value})
        error = new_output("error", ename="ValueError", evalue=value, traceback=[value])
        cells = [new_code_cell("show()", outputs=[output]), new_code_cell("1/0", outputs=[error])]
        return new_notebook(cells=cells)

    assert len(list(differences(displaying("1"), displaying("1")))) == 0
    assert len(list(differences(displaying("1"), displaying("2")))) == 2


def test_a_cell_that_may_raise_does_not_stop_the_run(tmp_path, folder):
    raising = new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})
    path = store(tmp_path / "x.ipynb", raising, new_code_cell("print('after')"))
    assert output_text(execute(path, folder).cells[-1].outputs) == "after"


@pytest.mark.parametrize(
    ("state", "points", "right"),
    [("right", 4, True), ("right", 3, False), ("not yet", 4, False), ("not attempted", 0, False)],
)
def test_only_full_marks_are_right(state, points, right):
    exercise = SimpleNamespace(id="02.1", name="mean_delay", points=4)
    assert bool(RIGHT.match(str(Result(exercise, state, points)))) == right


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print('seen')\n1 / 0", "ZeroDivisionError: division by zero"),
        ("print('seen')\nimport time\ntime.sleep(60)", "time.sleep(60)"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
    ids=["raises", "hangs", "dies"],
)
def test_a_failing_cell_is_shown(tmp_path, folder, monkeypatch, source, message):
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 3)
    path = store(tmp_path / "x.ipynb", new_code_cell("x = 1"), new_code_cell(source))
    with pytest.raises(pytest.fail.Exception) as failure:
        execute(path, folder)
    text = str(failure.value)
    assert text.startswith(f"x.ipynb stopped at\n--- source:\n{source}\n--- outputs:\n")
    assert message in text
    # What a kernel printed right before it died may be lost with it.
    assert "\nseen" in text or message == "Kernel died"
