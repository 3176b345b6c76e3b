"""Make the students' notebooks from the solutions, which are the only ones written by hand."""

import difflib
import re
from pathlib import Path

import nbformat

from helpers.grading.handout.notebook import canonical, dumps

SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION[ \t]*\n.*?^[ \t]*### END SOLUTION[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"### (BEGIN|END) SOLUTION")


def student_copy(notebook):
    """Copy a solutions notebook with each solution replaced by ``...`` and all outputs removed.

    Parameters
    ----------
    notebook : nbformat.NotebookNode

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    ValueError
        If a ``### BEGIN SOLUTION`` has no ``### END SOLUTION``, or the other way round.
    """
    copy = nbformat.from_dict(notebook)
    for number, cell in enumerate(copy.cells):
        cell.source = SOLUTION.sub(r"\1...", cell.source)
        if MARK.search(cell.source):
            raise ValueError(
                f"cell {number}: a solution begins or ends alone; enclose it in "
                "### BEGIN SOLUTION and ### END SOLUTION"
            )
        if cell.cell_type == "code":
            cell.outputs = []
    return copy


def generate(course, check_only=False):
    """Write ``exercises/`` from ``solutions/``, or compare them.

    Parameters
    ----------
    course : path
        The folder that holds ``solutions``.
    check_only : bool
        Compare only and write nothing.

    Returns
    -------
    list of str
        One line per file that differed from what is generated (and was written, unless
        `check_only`).

    Raises
    ------
    FileNotFoundError
        If there is no solution in `course`.
    """
    course = Path(course)
    solutions = sorted((course / "solutions").glob("*.ipynb"))
    if not solutions:
        raise FileNotFoundError(f"no notebook in {course / 'solutions'}: name the course folder")
    wanted = {
        path.name: dumps(canonical(student_copy(nbformat.read(path, 4)))) for path in solutions
    }
    folder = course / "exercises"
    changes = [
        f"{path}: has no solution" for path in folder.glob("*.ipynb") if path.name not in wanted
    ]
    for name, text in wanted.items():
        path = folder / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        differ = sum(line[0] in "+-" for line in difflib.ndiff(old.split("\n"), text.split("\n")))
        changes.append(f"{path}: {differ} lines differ from its solution")
        if not check_only:
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return changes
