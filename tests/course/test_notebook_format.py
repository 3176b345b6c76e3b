"""Every planted fault is found, the valid notebook is clean, and the fixer is gentle."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from tests import notebook_format as gate

CHOICE = "<details><summary>{}</summary>\n\nBecause of {}.\n</details>\n"
QUESTION = "### Question {}\n\nWhat?\n\n" + CHOICE.format("a", "b") + CHOICE.format("c", "d")
PARAMETERS = 'backend = "auto"\nscheduler = None\nn_workers = 2\nscale = "small"'
HTML = new_output("display_data", {"text/html": "<p><img src='a.png'></p>"})
PNG = {"image/png": "iVBORw0KGgo/tmp/AAAA", "text/plain": "<Figure>"}


def printing(source: str, text: str, *tags: str):
    """Return a code cell that has printed."""
    cell = new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)])
    cell.metadata = {"tags": list(tags)} if tags else {}
    return cell


def lesson():
    """Return a small valid lesson; the faults are planted by cell number."""
    intro = "# 01 Title\n\n![A box](../images/box.svg) and [below](#The-end), [web](https://a.b)"
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    error = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    raising = new_code_cell("int('x')", outputs=[error], metadata={"tags": ["raises-exception"]})
    plot = new_output("display_data", PNG, metadata={"image/png": {"alt": "a line"}})
    questions = "\n".join(QUESTION.format(n) for n in range(1, 6))
    return new_notebook(
        cells=[
            new_markdown_cell(intro),
            parameters,
            printing("from helpers.cluster import close_cluster", "a\n"),
            printing("print(1)", "1\n"),
            printing("print(id(1))", "2\n", "nbval-ignore-output"),
            raising,
            new_code_cell("show()", outputs=[plot]),
            new_markdown_cell("## The end\n\n" + questions),
            new_code_cell("close_cluster()"),
        ]
    )


@pytest.fixture
def path(tmp_path):
    """Return where a lesson may stand, with the picture it links."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "box.svg").write_text("<svg/>")
    (tmp_path / "course").mkdir()
    return tmp_path / "course" / "01_title.ipynb"


def write(path: Path, notebook) -> list[str]:
    """Store a notebook canonically and return its problems."""
    path.write_text(gate.dumps(gate.canonical(notebook)), encoding="utf-8", newline="\n")
    return list(gate.problems(path))


def test_the_valid_lesson_is_clean(path):
    assert write(path, lesson()) == []


def replace(number, old, new):
    """Return a fault that changes the source of a cell."""

    def plant(notebook):
        cell = notebook.cells[number - 1]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return plant


def tag(number, *tags):
    """Return a fault that gives a cell other tags."""

    def plant(notebook):
        notebook.cells[number - 1].metadata = {"tags": list(tags)}

    return plant


def put(number, cell):
    """Return a fault that puts another cell in place."""

    def plant(notebook):
        notebook.cells[number - 1] = cell

    return plant


BOX = "![A box](../images/box.svg)"
LONG = "\n".join(f"x{n} = {n}" for n in range(13))
FAULTS = [
    (tag(6), "cell 6: raises an error"),
    (tag(4, "raises-exception"), "cell 4: is tagged raises-exception"),
    (put(4, printing("print(1)", "x" * 103_000)), "cell 4: an output has 100 KiB"),
    (replace(1, "![A box]", "![]"), "cell 1: the picture ../images/box.svg has no alt"),
    (replace(1, BOX, '<img src="../images/box.svg">'), "cell 1: the picture ../images/box.svg has"),
    (replace(1, BOX, '<img src="../images/box.svg" alt=" ">'), "cell 1: the picture"),
    (replace(1, "box.svg", "bax.svg"), "cell 1: ../images/bax.svg does not exist"),
    (replace(1, "https://a.b", "02_next.ipynb"), "cell 1: 02_next.ipynb does not exist"),
    (replace(1, "https://a.b", "/etc"), "cell 1: /etc does not exist"),
    (replace(1, "#The-end", "#the-end"), "cell 1: the link #the-end has no heading"),
    (put(4, new_code_cell("h()", outputs=[HTML])), "cell 4: a picture in its HTML output"),
    (replace(1, "# 01", "# 02"), "cell 1: does not begin with '# 01 Title'"),
    (put(1, new_code_cell("# 01 Title")), "cell 1: does not begin with '# 01 Title'"),
    (replace(8, "## The end", "### The end"), "cell 8: heading 'The end' skips a level"),
    (tag(3, "injected-parameters"), "cell 3: was put in by papermill"),
    (replace(4, "1", "'/home/me/x'"), "cell 4: names /home/me"),
    (replace(4, "1", r"'C:\me'"), r"cell 4: names C:\me"),
    (put(4, printing("print(1)", "\x1b[32m/Users/me")), "cell 4: names /Users/me"),
    (put(4, printing("print(1)", f"File {gate.ROOT}/x")), f"cell 4: names {gate.ROOT}"),
    (put(7, new_code_cell("", outputs=[new_output("display_data", PNG)])), "cell 7: its plot has"),
    (tag(2), "0 cells are tagged parameters"),
    (tag(3, "parameters"), "2 cells are tagged parameters"),
    (replace(2, "n_workers = 2", "n_workers = 4"), "cell 2: the parameters are not exactly"),
    (replace(2, "scheduler = None\n", ""), "cell 2: the parameters are not exactly"),
    (replace(2, "None", "get()"), "cell 2: the parameters are not exactly"),
    (put(2, new_code_cell(PARAMETERS + "\nx += 1", metadata={"tags": ["parameters"]})), "cell 2:"),
    (put(9, new_code_cell(LONG + "\nclose_cluster()")), "cell 9: has 14 lines"),
    (replace(4, "print(1)", "print(1);\n"), "cell 4: ends with a semicolon"),
    (tag(4, "nbval-ignore-output"), "2 of 5 printing cells are not compared"),
    (replace(4, "print(1)", "# NBVAL_IGNORE_OUTPUT\nprint(1)"), "2 of 5 printing cells"),
    (replace(8, "### Question 5", "### Fragment 5"), "4 cells or parts are '### Question N'"),
    (replace(8, "### Question 5", "### Question 6"), "the questions are numbered [1, 2, 3, 4, 6]"),
    (replace(8, "Because of b.", ""), "cell 8: question 1: 'a' has no explanation"),
    (replace(8, "Because of b.", "<b></b>"), "cell 8: question 1: 'a' has no explanation"),
    (replace(8, "<summary>a</summary>", ""), "cell 8: question 1: a choice has no <summary>"),
    (replace(8, CHOICE.format("a", "b"), ""), "cell 8: question 1: has 1 <details>"),
    (replace(9, "close_cluster()", "pass"), "cell 9: the last code cell leaves the cluster open"),
]


@pytest.mark.parametrize(("plant", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_planted_fault_is_found(path, plant, message):
    notebook = lesson()
    plant(notebook)
    assert message in "\n".join(write(path, notebook))


def test_a_lesson_without_outputs_is_found(path):
    notebook = lesson()
    for cell in notebook.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    assert write(path, notebook) == ["no cell has outputs: execute it"]


def test_solutions_and_exercises_have_fewer_rules(path):
    (path.parent / "exercises").mkdir()
    notebook = new_notebook(cells=[new_markdown_cell("# 01 Title"), new_code_cell(LONG)])
    assert write(path.parent / "exercises" / path.name, notebook) == []


def change_text(old, new):
    """Return a fault that changes the file and not what the notebook says."""
    return lambda text: text.replace(old, new, 1)


WRITTEN_OTHERWISE = {
    "other indent": lambda text: json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n",
    "escaped": lambda text: json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n",
    "unsorted": lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=1) + "\n",
    "windows lines": lambda text: text.replace("\n", "\r\n"),
    "no last newline": lambda text: text.rstrip(),
    "older format": change_text('"nbformat_minor": 5', '"nbformat_minor": 4'),
    "kernel": change_text("(ipykernel)", "(mine)"),
    "language": change_text('"name": "python"\n', '"name": "python", "version": "3.11.7"\n'),
    "count": change_text('"execution_count": 2', '"execution_count": 17'),
    "no count": change_text('"execution_count": 2', '"execution_count": null'),
    "metadata": change_text('"metadata": {}', '"metadata": {"collapsed": true}'),
    "id": lambda text: text.replace(gate.canonical(lesson()).cells[3].id, "other-id"),
    "no id": lambda text: text.replace(f'"id": "{gate.canonical(lesson()).cells[3].id}",', ""),
}


@pytest.mark.parametrize("fault", WRITTEN_OTHERWISE)
def test_another_way_to_write_the_same_is_found_and_repaired(path, fault):
    notebook = lesson()
    notebook.cells[0].source += " ünïcode"
    write(path, notebook)
    good = path.read_bytes()
    path.write_bytes(WRITTEN_OTHERWISE[fault](good.decode()).encode())
    assert path.read_bytes() != good
    assert any("canonical form: run with --fix" in problem for problem in gate.problems(path))
    gate.fix(path)
    assert path.read_bytes() == good


def test_a_file_that_is_no_notebook_is_reported_and_left(path):
    for text in ("", "{}", "[1]", '{"cells": [{"cell_type": "code"}]}'):
        path.write_text(text)
        gate.fix(path)
        assert "is not a valid notebook" in next(gate.problems(path))
        assert path.read_text() == text


streams = st.builds(
    new_output, st.just("stream"), name=st.sampled_from(["stdout", "stderr"]), text=st.text()
)
results = st.builds(
    lambda text, count: new_output("execute_result", {"text/plain": text}, execution_count=count),
    st.text(),
    st.none() | st.integers(0, 99),
)
code_cells = st.builds(new_code_cell, st.text(), outputs=st.lists(streams | results, max_size=4))
notebooks = st.lists(code_cells | st.builds(new_markdown_cell, st.text()), max_size=5)


def content(notebook) -> list:
    """Return what readers see: sources and outputs."""
    found = []
    for cell in notebook.cells:
        outputs = gate.merged(copy.deepcopy(cell.get("outputs", [])))
        found.append((cell.cell_type, cell.source, list(gate.strings(outputs))))
    return found


@given(notebooks.map(lambda cells: new_notebook(cells=cells)))
@settings(deadline=None)
def test_the_fixer_changes_nothing_that_is_read_and_nothing_twice(notebook):
    before = copy.deepcopy(notebook)
    fixed = gate.canonical(notebook)
    assert notebook == before, "the notebook it was given stays as it is"
    assert content(fixed) == content(notebook)
    assert gate.canonical(fixed) == fixed
    again = gate.nbformat.v4.reads(gate.dumps(fixed))
    assert gate.dumps(gate.canonical(again)) == gate.dumps(fixed)
    ids = [cell.id for cell in fixed.cells]
    assert len(set(ids)) == len(ids)


def test_pieces_of_a_stream_are_joined():
    pieces = [new_output("stream", name=name, text=name) for name in ["stdout"] * 2 + ["stderr"]]
    fixed = gate.canonical(new_notebook(cells=[new_code_cell("", outputs=pieces)]))
    assert [output.text for output in fixed.cells[0].outputs] == ["stdoutstdout", "stderr"]


def test_pages_are_checked_too(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b` title\n\n[ok](#a-b-title) [no](#b) ![](page.md) [gone](x.md)\n")
    assert [problem.partition(":")[0] for problem in gate.problems(page)] == [
        "the link #b has no heading",
        "the picture page.md has no alt text",
        "x.md does not exist beside this file",
    ]


def test_the_command_repairs_code_and_reports_the_rest(path, capsys):
    notebook = lesson()
    notebook.cells[3].source = "print( 1 )"
    notebook.cells[6].source = "import os\n\nundefined()"
    write(path, notebook)
    assert gate.main([str(path)]) == 1
    assert "unformatted" in capsys.readouterr().out
    assert gate.main(["--fix", str(path)]) == 1
    left = capsys.readouterr().out
    assert "F821" in left and "unformatted" not in left and "canonical" not in left
    assert gate.read(path).cells[3].source == "print(1)"


def test_the_course_is_in_form(capsys):
    status = gate.main([])
    assert status == 0, capsys.readouterr().out
