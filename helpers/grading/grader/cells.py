"""Read the code cells of a notebook that nobody vouches for, with the standard library only.

``python cells.py < FILE`` writes what `read_cells` finds as JSON. The grader does that for a large
file, in a process of its own with little memory.
"""

import ast
import contextlib
import json
import re
import sys
from dataclasses import asdict, dataclass, field

LEVELS = 3  # how much less of a cell `reduced` can leave


class NotANotebook(ValueError):
    """A file is no notebook; the message says why, for the status column."""


@dataclass(frozen=True)
class Cells:
    """What matters of a notebook.

    Attributes
    ----------
    code : list of str
        Sources of the code cells, in their order.
    title : str
        First heading of a text cell, or nothing.
    """

    code: list[str] = field(default_factory=list)
    title: str = ""


def read_cells(data):
    """Find the code cells in the bytes of a notebook of format 3 or 4, whatever else is in it.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Cells

    Raises
    ------
    NotANotebook
        If it is no JSON, or JSON without cells.

    Examples
    --------
    >>> read_cells(b'{"cells": [{"cell_type": "code", "source": ["a = 1"]}]}').code
    ['a = 1']
    """
    try:
        # A byte order mark and stray bytes are no reason to lose an answer.
        notebook = json.loads(data.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError, MemoryError) as error:
        text = "empty file" if not data.strip() else str(error).split("\n")[0]
        raise NotANotebook(f"not a notebook: {text}") from None
    cells = list(_cells(notebook))
    code = [_text(cell) for cell in cells if cell.get("cell_type") == "code"]
    texts = [_text(cell) for cell in cells if cell.get("cell_type") in ("markdown", "heading")]
    headings = (re.search(r"^#*\s*(\S.*)$", text, re.MULTILINE) for text in texts)
    title = next((heading[1].strip() for heading in headings if heading), "")
    if not cells:
        raise NotANotebook("not a notebook: it has no cells")
    return Cells(code, title[:200])


def _cells(notebook):
    """Yield the cells of format 4, and those in the worksheets of format 3."""
    if not isinstance(notebook, dict):
        return
    sheets = notebook.get("worksheets")
    for holder in [notebook, *(sheets if isinstance(sheets, list) else [])]:
        cells = holder.get("cells") if isinstance(holder, dict) else None
        if isinstance(cells, list):
            yield from (cell for cell in cells if isinstance(cell, dict))


def _text(cell):
    """Source of a cell as one text; lone surrogates, which nothing can print, are replaced."""
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    return text.encode("utf-8", "replace").decode("utf-8")


def reduced(source, level):
    r"""Leave less of a cell that hung or killed the process: its definitions may be innocent.

    Parameters
    ----------
    source : str
    level : int
        0 leaves all, 1 imports, definitions and assignments, 2 imports and definitions, 3 nothing.

    Returns
    -------
    str

    Examples
    --------
    >>> reduced("x = 1\nwhile True: pass", 1)
    'x = 1'
    """
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if level == 1:
        kept += (ast.Assign, ast.AnnAssign)
    tree = _parsed(source)
    if level == 0 or (tree is None and level < LEVELS):
        return source
    if level >= LEVELS:
        return ""
    return "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, kept))


def defined(source):
    r"""Names of the functions that a cell defines, also when the cell does not parse.

    Examples
    --------
    >>> defined("def f(x):\n    return (")
    ['f']
    """
    return re.findall(r"^(?:async\s+)?def\s+(\w+)", source, re.MULTILINE)


def _parsed(source):
    """Syntax tree of a cell, without its magics; None if there is none."""
    plain = "\n".join(
        "" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n")
    )
    try:
        return ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
    try:
        answer = asdict(read_cells(sys.stdin.buffer.read()))
    except NotANotebook as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)
