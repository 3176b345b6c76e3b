"""What is known about one student's answers, and grading one student anew."""

import json

import pytest

from helpers.grading.__main__ import main
from helpers.grading.grader.appeal import in_words, texts, write_appeal
from helpers.grading.grader.grade import Options, grade
from tests.grading.grader.test_grader import table
from tests.hostile import Book
from tests.notebook_format import ROOT


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    place = tmp_path_factory.mktemp("appeal")
    book = Book("01")
    book.answer("count_missing", "return {'<script>': '<b>' * 200}")
    book.write(place / "in" / "anna" / "01.ipynb")
    Book("01").write(place / "in" / "ben" / "01.ipynb")
    assert grade(Options(place / "in", place / "out", seed=5, course=ROOT / "course")) == 0
    return place


def test_the_page_tells_what_was_asked_what_came_back_and_each_check(graded):
    path = write_appeal(graded / "out", "anna", ROOT / "course")
    text = path.read_text(encoding="utf-8")
    assert "01.1 count_missing: not yet, 1 of 3 points" in text and "Seed 5." in text
    assert "✓ returns a dict: holds, 1 points" in text
    assert "✗ has every column: does not hold" in text and "Hint: The keys are" in text
    assert "&lt;script&gt;" in text and "<script" not in text and "<b>" not in text
    assert "Parameters" in text and "ben" not in text


def test_nobody_is_not_taken_for_somebody(graded):
    with pytest.raises(ValueError, match="nobody is named 'ana' .* did you mean anna"):
        write_appeal(graded / "out", "ana")
    with pytest.raises(SystemExit, match="nobody is named"):
        main(["appeal", str(graded / "out"), "carla"])


def test_words_for_facts_are_short_and_escaped():
    text = in_words({"a": list(range(1000)), "<i>": ["<b>" * 1000] * 30, "c": [{"d": None}] * 30})
    assert len(text) < 15_000 and "1000 in all" in text and "30 in all" in text
    assert "<i>" not in text and "<b>" not in text and "d: None" in text
    assert "count_missing" in texts(ROOT / "course") and texts(ROOT / "nowhere") == {}


def test_one_student_is_graded_anew_and_the_others_stay(graded):
    out = graded / "out"
    before = json.loads((out / "results" / "ben-01.json").read_text())
    settings = (out / "grading.json").read_bytes()
    when = (out / "results" / "ben-01.json").stat().st_mtime_ns
    Book("01").write(graded / "in" / "anna" / "01.ipynb")
    Book("01", "exercises").write(graded / "in" / "ben" / "01.ipynb")  # handed in too late
    options = {"course": ROOT / "course", "only": "anna"}
    assert grade(Options(graded / "in", out, **options)) == 0
    marks = {(row["student"], row["exercise"]): row["status"] for row in table(out / "grades.csv")}
    assert marks["anna", "01.1"] == marks["ben", "01.1"] == "right"
    assert json.loads((out / "results" / "ben-01.json").read_text()) == before
    assert (out / "results" / "ben-01.json").stat().st_mtime_ns == when
    assert (out / "grading.json").read_bytes() == settings
    with pytest.raises(RuntimeError, match="nobody is named 'ana'; did you mean anna"):
        grade(Options(graded / "in", out, **options | {"only": "ana"}))
    with pytest.raises(RuntimeError, match="there is no run in"):
        grade(Options(graded / "in", graded / "new", **options))
