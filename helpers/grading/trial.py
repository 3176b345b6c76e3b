"""Run notebooks of exercises from the command line: points and hints as Markdown.

That is what ``check`` says in the notebook, for a machine that runs it after each push. The inputs
are the visible ones; marks come from other inputs.
"""

import json
import re
import warnings
from html import escape
from pathlib import Path

MARK = "course-results:"
# Runs last in the notebook's own kernel, where the functions are.
ASK = """
import json as _json
from helpers.grading.exercise import check as _check
_results = [_check(_id, globals()) for _id in {ids!r}]
_lines = [
    [r.exercise.id, r.exercise.name, r.points, r.exercise.points, r.state, " ".join(r._hints())]
    for r in _results
]
print("\\n{mark}" + _json.dumps(_lines))
"""


def trial(path, timeout=120):
    """Run a notebook and check its exercises with the visible inputs.

    Parameters
    ----------
    path : pathlib.Path
        A notebook with exercises; it is not changed.
    timeout : float
        Seconds for each cell.

    Returns
    -------
    str
        Markdown: a table with a line for each exercise, and what cells raised.

    Raises
    ------
    ValueError
        If it is no notebook, or has no cell with ``check("NN.k")``, or cannot be run to its end.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    path = Path(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # cells without ids run all the same
            notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises what its parsers raise
        raise ValueError(f"{path} is not a notebook: {str(error)[:200]}") from None
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = list(
        dict.fromkeys(
            id for cell in cells for id in re.findall(r"check\([\"'](\d\d\.\d+)", cell.source)
        )
    )
    if not ids:
        raise ValueError(f'{path} has no exercise: no cell says check("NN.k")')
    notebook.cells.append(nbformat.v4.new_code_cell(ASK.format(ids=ids, mark=MARK)))
    client = NotebookClient(
        notebook,
        timeout=timeout,
        interrupt_on_timeout=True,
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except (CellTimeoutError, DeadKernelError) as error:
        raise ValueError(f"{path} does not run to its end: {str(error)[:300]}") from None
    return _page(path, notebook)


def _page(path, notebook):
    *cells, last = notebook.cells
    said = "".join(output.get("text", "") for output in last.outputs)
    if MARK not in said:
        errors = [f"{o.ename}: {o.evalue}" for o in last.outputs if o.output_type == "error"]
        raise ValueError(f"{path} could not be checked: {' '.join(errors)[:300] or 'no answer'}")
    rows = json.loads(said.rpartition(MARK)[2])
    points, of = sum(row[2] for row in rows), sum(row[3] for row in rows)
    lines = [f"### {_text(path.name)}: {points} of {of} points", ""]
    lines += ["| exercise | points | state | hint |", "|---|---|---|---|"]
    for id, name, mine, most, state, hint in rows:
        lines.append(f"| {id} {name} | {mine} of {most} | {state} | {_text(hint)} |")
    errors = [
        f"- cell {number}: {_text(output.ename)}: {_text(output.evalue)}"
        for number, cell in enumerate(cells, 1)
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    lines += ["", "Cells that raised an error:", "", *errors] if errors else []
    return "\n".join([*lines, "", "These are the visible inputs; grading uses fresh ones."])


def _text(text):
    """Text of a student's making for one cell of a Markdown table."""
    text = escape(" ".join(str(text).split())[:300], quote=False)
    return re.sub(r"([\\`*_\[\]|~#@!])", r"\\\1", text)
