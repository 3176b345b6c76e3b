"""What is known about one student's answers, in words: for a talk about the marks."""

import ast
import difflib
import json
from html import escape
from pathlib import Path

from helpers.grading.grader.cells import NotANotebook, read_cells
from helpers.grading.grader.report import page

MANY = 20  # items of a list or dict that are shown
LONG = 200  # characters of a value


def write_appeal(out, student, course=Path("course")):
    """Write ``OUT/appeals/KEY.html`` for one student.

    The page says per exercise what was called for, what came back on the inputs of grading, and
    each check with whether it holds. It is for the instructor: who reads it learns the inputs.

    Parameters
    ----------
    out : pathlib.Path
        The folder of a run.
    student : str
        The student's name, as in ``grades.csv``.
    course : pathlib.Path
        The course's folder, for the texts of the exercises.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ValueError
        If the run has no such student; the near names are listed.
    """
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(_results(out))]
    mine = [record for record in found if student in (record["name"], record["key"])]
    if not mine:
        names = sorted({record["name"] for record in found})
        near = difflib.get_close_matches(student, names) or names[:10]
        raise ValueError(f"nobody is named {student!r} in {out}; did you mean {', '.join(near)}?")
    if len({record["key"] for record in mine}) > 1:
        keys = ", ".join(sorted({record["key"] for record in mine}))
        raise ValueError(f"several are named {student!r}: use one of {keys}")
    path = Path(out) / "appeals" / f"{mine[0]['key']}.html"
    path.parent.mkdir(exist_ok=True)
    seed = json.loads((Path(out) / "grading.json").read_text(encoding="utf-8")).get("seed")
    path.write_text(appeal(mine, seed, texts(course)), encoding="utf-8", errors="replace")
    return path


def appeal(records, seed, asked):
    """HTML page with all that is known.

    Parameters
    ----------
    records : list of dict
        Of one student, as in ``results/``.
    seed : int
        Of the run.
    asked : dict of str to str
        The text of each exercise, by the name of its function.
    """
    name = escape(records[0]["name"])
    parts = [
        f"<h1>{name}</h1><p>For the instructor: it shows the inputs of grading. Seed {seed}.</p>"
    ]
    for record in records:
        parts.append(f"<h2>Lesson {escape(record['lesson'])}</h2>")
        parts.append(f"<p>{escape(record['file'])} {escape(record['status'])}</p>")
        parts += [f"<p>Note: {escape(note)}</p>" for note in record["notes"]]
        for number, error in record["cells"].items():
            parts.append(f"<p>Cell {escape(number)}: {escape(error)}</p>")
        parts += [_exercise(row, asked.get(row["name"], "")) for row in record["exercises"]]
    return page(f"Appeal: {records[0]['name']}", "".join(parts))


def _exercise(row, asked):
    title = f"{row['id']} {row['name']}: {row['status']}, {row['points']} of {row['of']} points"
    parts = [f"<h3>{escape(title)}</h3>"]
    if asked:
        parts.append(
            f"<details><summary>What was asked</summary><pre>{escape(asked)}</pre></details>"
        )
    if "facts" in row:
        parts.append(f"<p>What came back:</p>{in_words(row['facts'])}")
    elif row["checks"]:
        parts.append("<p>What came back was too long to be kept.</p>")
    else:
        parts.append("<p>Nothing came back.</p>")
    for check in row["checks"]:
        points = f", {check['points']} points" * bool(check["points"])
        holds = "holds" if check["holds"] else "does not hold"
        parts.append(
            f"<p>{'✓' if check['holds'] else '✗'} {escape(check['title'])}: {holds}{points}"
        )
        parts.append("</p>" if check["holds"] else f"<br>Hint: {escape(check['hint'])}</p>")
    return "".join(parts)


def in_words(facts):
    """Facts as nested HTML lists, everything escaped and long things cut.

    Examples
    --------
    >>> in_words({"type": "int", "value": 3})
    '<ul><li>type: int</li><li>value: 3</li></ul>'
    """
    if isinstance(facts, dict):
        items = [(f"{escape(_cut(name))}: ", value) for name, value in facts.items()]
    elif isinstance(facts, list) and any(isinstance(value, dict | list) for value in facts):
        items = [(f"{number}: ", value) for number, value in enumerate(facts)]
    elif isinstance(facts, list):
        more = f" … {len(facts)} in all" * (len(facts) > MANY)
        return escape(", ".join(_cut(value) for value in facts[:MANY])) + more
    else:
        return escape(_cut(facts))
    lines = [f"<li>{name}{in_words(value)}</li>" for name, value in items[:MANY]]
    lines += [f"<li>… {len(items)} in all</li>"] * (len(items) > MANY)
    return f"<ul>{''.join(lines)}</ul>"


def texts(course):
    """Text of each exercise of the students' notebooks, by the name of its function."""
    found = {}
    for path in sorted((Path(course) / "exercises").glob("*.ipynb")):
        try:
            cells = read_cells(path.read_bytes()).code
        except NotANotebook:
            continue
        for cell in cells:
            try:
                nodes = ast.parse(cell).body
            except SyntaxError:
                continue
            for node in nodes:
                if isinstance(node, ast.FunctionDef):
                    found[node.name] = ast.get_docstring(node) or ""
    return found


def _results(out):
    return (Path(out) / "results").glob("*.json")


def _cut(value):
    text = str(value)
    return text if len(text) <= LONG else f"{text[:LONG]} …"
