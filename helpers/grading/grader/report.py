"""What an instructor gets: CSV files, a page about the class, a page for each student."""

import csv
import io
import unicodedata
from collections import Counter
from html import escape
from pathlib import Path
from urllib.parse import quote

# The key tells two students of one name apart; their pages and results have it in their names.
COLUMNS = ("student", "key", "lesson", "exercise", "points", "of", "status")
# What Moodle's offline grading worksheet must have (Identifier, Grade, Last modified (grade)), and
# may have. Canvas finds a student by ID, else by name, and an assignment by its title.
MOODLE = (
    *("Identifier", "Full name", "Grade", "Maximum grade"),
    *("Last modified (grade)", "Feedback comments"),
)
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #111827; background: #ffffff; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { text-align: left; padding: 0.3rem 0.6rem; border-bottom: 1px solid #cbd5e1;
  vertical-align: top; }
td.n { text-align: right; white-space: nowrap; }
meter { width: 8rem; }
"""


def write_reports(out, records):
    """Write all reports.

    Parameters
    ----------
    out : pathlib.Path
    records : list of dict
        As in ``results/``.
    """
    records = [_sound(record) for record in records]
    records.sort(key=lambda record: (record["key"], record["lesson"]))
    files = {"grades.csv": grades(records), "summary.html": summary(records)}
    files["canvas.csv"] = canvas(records)
    for lesson in sorted({record["lesson"] for record in records} - {""}):
        files[f"moodle-{lesson}.csv"] = moodle([r for r in records if r["lesson"] == lesson])
    for key in sorted({record["key"] for record in records}):
        mine = [record for record in records if record["key"] == key]
        files[f"feedback/{key}.html"] = feedback(mine)
    for name, text in files.items():
        path = Path(out) / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(text, encoding="utf-8", errors="replace", newline="")
        new.replace(path)


def _sound(record):
    """A record that every report can take: one that cannot be told is one line that says so."""
    try:
        for text in (grades, moodle, canvas, summary, feedback):
            text([record])
    except Exception as error:
        words = f"not graded: could not be told: {type(error).__name__}"
        who = {name: str(record.get(name) or "") for name in ("name", "key", "moodle", "canvas")}
        empty = {"lesson": "", "file": "", "notes": [], "exercises": [], "cells": {}}
        return {**who, **empty, "status": words}
    return record


def grades(records):
    """Text of the CSV with a line for each student and exercise, and its ``COLUMNS``."""
    lines = [COLUMNS]
    for record in records:
        who = _cell(record["name"]), _cell(record["key"]), record["lesson"]
        for row in record["exercises"]:
            lines.append((*who, row["id"], row["points"], row["of"], _cell(row["status"])))
        if not record["exercises"]:
            lines.append((*who, "", 0, 0, _cell(record["status"])))
    return _csv(lines)


def moodle(records):
    """Text of the offline grading worksheet of one lesson, for Moodle's upload."""
    lines = [MOODLE]
    for record in records:
        points, of = _mark(record), _sums([record])[1]
        comment = "\n".join(f"{row['id']}: {row['status']}" for row in record["exercises"])
        number = f"Participant {record['moodle']}" if record["moodle"] else ""
        lines.append((number, _cell(record["name"]), points, of, "-", _cell(comment)))
    return _csv(lines)


def canvas(records):
    """Text of the CSV for the import into Canvas's gradebook: a column for each lesson."""
    lessons = sorted({record["lesson"] for record in records} - {""})
    of = {lesson: _sums([r for r in records if r["lesson"] == lesson][:1])[1] for lesson in lessons}
    lines = [(*CANVAS, *(f"Lesson {lesson}" for lesson in lessons))]
    lines.append(("    Points Possible", "", "", "", "", *of.values()))
    for key in dict.fromkeys(record["key"] for record in records):
        mine = {record["lesson"]: record for record in records if record["key"] == key}
        first = next(iter(mine.values()))
        points = [_mark(mine[lesson]) if lesson in mine else 0 for lesson in lessons]
        lines.append((_cell(first["name"]), first["canvas"], "", "", "", *points))
    return _csv(lines)


def summary(records):
    """HTML page about the class: marks, which exercise was hard, what to look at."""
    rows = [row for record in records for row in record["exercises"]]
    students = dict.fromkeys(record["key"] for record in records)
    parts = [f"<h1>The class</h1><p>{len(students)} students, {len(rows)} answers.</p>"]
    parts += ["<h2>Exercises</h2>", _exercises_table(rows)]
    parts += ["<h2>Students</h2>", _students_table(records)]
    notes = [(record, note) for record in records for note in record["notes"]]
    if notes:
        lines = [(escape(r["name"]), escape(r["lesson"]), escape(note)) for r, note in notes]
        parts += ["<h2>Notes</h2>", _table(("student", "lesson", "note"), lines)]
    return page("The class", "".join(parts))


def _exercises_table(rows):
    lines = []
    for id in sorted({row["id"] for row in rows}):
        mine = [row for row in rows if row["id"] == id and row["status"] != "nothing handed in"]
        right = sum(row["status"] == "right" for row in mine) / max(1, len(mine))
        tried = [row["seconds"] for row in mine if row["seconds"]]
        median = sorted(tried)[len(tried) // 2] if tried else 0
        states = Counter(row["status"].split(":")[0] for row in mine)
        hints = Counter(row["hint"] for row in mine if row["hint"]).most_common(3)
        meter = f'<meter value="{right:.2f}">{right:.0%}</meter> {right:.0%}'
        name = mine[0]["name"] if mine else ""
        said = "<br>".join(f"{count} × {escape(hint)}" for hint, count in hints)
        other = ", ".join(f"{escape(state)} {n}" for state, n in states.most_common())
        lines.append((f"{id} {escape(name)}", meter, other, f"{median:.1f} s", said))
    titles = ("exercise", "right", "states", "median time", "common hints")
    return _table(titles, lines, numbers=(3,))


def _students_table(records):
    lines = []
    for key in dict.fromkeys(record["key"] for record in records):
        mine = [record for record in records if record["key"] == key]
        points, of = _sums(mine)
        number = mine[0]["moodle"] or mine[0]["canvas"]
        name = f"{mine[0]['name']} ({number})" if number else mine[0]["name"]
        link = f'<a href="feedback/{quote(key)}.html">{escape(name)}</a>'
        lines.append((link, f"{points} of {of}"))
    return _table(("student", "points"), lines, numbers=(1,))


def feedback(records):
    """HTML page for one student: points, what holds, and hints; nothing that was expected."""
    points, of = _sums(records)
    parts = [f"<h1>{escape(records[0]['name'])}: {points} of {of} points</h1>"]
    for record in records:
        mine, most = _sums([record])
        parts.append(f"<h2>Lesson {escape(record['lesson'])}: {mine} of {most} points</h2>")
        file = f"Graded: {record['file']}" if record["file"] else record["status"]
        parts.append(f"<p>{escape(file)}</p>")
        lines = [
            (escape(row["id"]), escape(row["name"]), f"{row['points']} of {row['of']}", _said(row))
            for row in record["exercises"]
        ]
        parts.append(_table(("", "exercise", "points", "what was seen"), lines, numbers=(2,)))
        if record["cells"]:
            failed = [(escape(n), escape(error)) for n, error in record["cells"].items()]
            parts += ["<p>Cells that did not run to their end:</p>", _table(("", ""), failed)]
    parts.append("<p>Inputs were fresh ones, not those that <code>check</code> uses.</p>")
    return page(records[0]["name"], "".join(parts))


def _said(row):
    """What was seen of an answer, as HTML."""
    checks = [f"{'✓' if c['holds'] else '✗'} {escape(c['title'])}" for c in row["checks"]]
    hint = [f"Hint: {escape(row['hint'])}"] if row["hint"] else []
    return "<br>".join([f"<b>{escape(row['status'])}</b>", *checks, *hint])


def _mark(record):
    """Points for an LMS; nothing, not 0, for a submission that could not be graded."""
    rows = record["exercises"]
    if any(row["status"].startswith("not graded") for row in rows):
        return ""
    return _sums([record])[0]


def _sums(records):
    rows = [row for record in records for row in record["exercises"]]
    return sum(row["points"] for row in rows), sum(row["of"] for row in rows)


def page(title, body):
    """HTML page with a title and the reports' style around a body."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{view}</head><body>{body}</body></html>\n'


def _table(titles, lines, numbers=()):
    head = "".join(f"<th>{title}</th>" for title in titles)
    kinds = [' class="n"' if column in numbers else "" for column in range(len(titles))]
    body = "".join(
        "<tr>"
        + "".join(f"<td{k}>{cell}</td>" for k, cell in zip(kinds, line, strict=True))
        + "</tr>"
        for line in lines
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _csv(lines):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _cell(text):
    """Text that a spreadsheet does not take for a formula."""
    # Some take full-width signs for formulas, too, or look behind spaces.
    start = unicodedata.normalize("NFKC", text[:20]).lstrip()[:1]
    formula = start and start in "=+-@\N{MINUS SIGN}"
    return f"'{text}" if formula or text[:1] in ("\t", "\r", "\n") else text
