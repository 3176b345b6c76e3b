"""Read the code cells of a notebook that nobody vouches for, with the standard library only."""

import ast
import hashlib
import json
import re
from dataclasses import dataclass, field

LEVELS = 3  # how much less of a cell `reduced` can leave
PARSED = 200_000  # characters of a cell; the tree of a longer one could take gigabytes
FIRST_BYTES = {  # what a file with the name of a notebook is instead, by how it begins
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"PK\x03\x04": "a zip with the name of a notebook",
    b"%PDF": "a PDF with the name of a notebook",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8",
    b"<<<<<<< ": "a merge conflict that nobody has solved",
    b"<": "a web page (HTML), not the .ipynb file",
}


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
        raise NotANotebook(f"not a notebook: {_instead(data, error)}") from None
    cells = list(_cells(notebook))
    code = [_text(cell) for cell in cells if cell.get("cell_type") == "code"]
    texts = [_text(cell) for cell in cells if cell.get("cell_type") in ("markdown", "heading")]
    title = next((line for text in texts for line in text.split("\n") if line.strip("# \t")), "")
    if not cells:
        raise NotANotebook("not a notebook: it has no cells")
    return Cells(code, title.strip("# \t")[:200])


def _instead(data, error):
    """Say in words what is there instead of a notebook."""
    start = data[: 2**16].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        return "empty file"
    words = next((words for first, words in FIRST_BYTES.items() if start.startswith(first)), "")
    if words:
        return words
    if b"\n<<<<<<< " in data:
        return FIRST_BYTES[b"<<<<<<< "]
    if start.count(b"\0") == len(start):
        return "nothing but zeros"
    if start.count(b"\0") > len(start) // 4:
        return FIRST_BYTES[b"\xff\xfe"]
    if isinstance(error, json.JSONDecodeError) and start[:1] == b"{":
        end = error.pos >= len(data.rstrip()) - 1 or "Unterminated" in error.msg
        where = f"line {error.lineno}, column {error.colno}"
        return "it breaks off: only a part arrived" if end else f"damaged JSON at {where}"
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deeply, or too large"
    return "no JSON in it"


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


@dataclass(frozen=True)
class Outline:
    """What of a notebook tells whose lesson it is and where it came from.

    Attributes
    ----------
    functions : dict of str to str
        For each function that was asked for and is defined: a digest of what it does, the same for
        every way to write it (comments, spaces, docstring); nothing while its body is ``...``.
    checks : list of str
        Numbers of the exercises that are checked.
    title : str
    """

    functions: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    title: str = ""


def outline(cells, names):
    r"""Outline of a notebook.

    Parameters
    ----------
    cells : Cells
    names : collection of str
        Functions to look for.

    Returns
    -------
    Outline

    Examples
    --------
    >>> one, two = Cells(["def f(x): return 1"]), Cells(["def f(x):\n    return (1)  # one"])
    >>> outline(one, {"f"}) == outline(two, {"f"})
    True
    """
    functions, checks = {}, set()
    for source in cells.code:
        if wanted := set(defined(source)) & set(names):
            found = _digests(source)
            functions |= {name: found.get(name, _digest(source.split())) for name in wanted}
        checks |= set(re.findall(r"\bcheck\(\s*[\"'](\d\d\.\d)\b", source))
    return Outline(functions, sorted(checks), cells.title)


def _digests(source):
    """Digest of each function in a cell that parses."""
    tree = _parsed(source)
    found = {}
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [part for part in node.body if not _says_nothing(part)]
            try:
                words = [ast.dump(part) for part in (node.args, *body)]
            except RecursionError:
                words = source.split()
            found[node.name] = _digest(words) if body else ""
    return found


def _says_nothing(node):
    """Whether a statement is a docstring, ``...`` or ``pass``."""
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone or isinstance(node, ast.Pass)


def _digest(words):
    text = "\0".join(words).encode("utf-8", "replace")
    return hashlib.sha256(text).hexdigest()[:16]


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
    # Parts of the source, not of the tree: writing a deep tree anew would end in a RecursionError.
    lines = source.encode("utf-8", "replace").split(b"\n")
    return "\n".join(_part(lines, node) for node in tree.body if isinstance(node, kept))


def _part(lines, node):
    """Source of a statement, with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first, column = node.lineno - 1, node.col_offset
    if decorators:
        first, column = min(part.lineno for part in decorators) - 1, 0
    part = lines[first : node.end_lineno]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][column:]
    return b"\n".join(part).decode("utf-8", "replace")


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
    if len(source) > PARSED:
        return None
    plain = "\n".join(
        "" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n")
    )
    try:
        return ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
