"""What was handed in: whose it is, which lesson it is, which file counts, and what is doubtful."""

import json
import os
import shutil
import subprocess
import zipfile

import pytest

from helpers.grading.__main__ import main
from helpers.grading.exercise import all_exercises
from helpers.grading.grader import opening, reading
from helpers.grading.grader.cells import (
    Cells,
    NotANotebook,
    defined,
    outline,
    read_cells,
    reduced,
)
from helpers.grading.grader.identity import Student, from_lms, shown
from helpers.grading.grader.mapping import read_who
from helpers.grading.grader.plan import make_plan
from helpers.grading.grader.submissions import Found, lessons_of
from tests.hostile import Book
from tests.notebook_format import ROOT

EXERCISES = all_exercises()


@pytest.fixture
def planned(tmp_path_factory):
    """A function that plans a folder: ``planned(place, who="path,student\\n…")``."""

    def make(place, who="", **options):
        spool = tmp_path_factory.mktemp("spool")
        if who:
            (spool / "who.csv").write_text(who, encoding="utf-8")
            options["who"] = spool / "who.csv"
        return make_plan(place, ROOT / "course", EXERCISES, spool, **options)

    return make


def handed(plan):
    """{(name, lesson): path} of what counts."""
    return {(i.student.name, i.lesson): i.file.path for i in plan.submissions if i.file}


def names(plan):
    return {item.student.name for item in plan.submissions}


def doubts(plan):
    return "\n".join(doubt.text for doubt in plan.doubts)


def text_of(book):
    return json.dumps(book.notebook())


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


# Who


@pytest.mark.parametrize(
    "file, name",
    [
        ("student-01/03.ipynb", "student-01"),
        ("student-01/deep/down/Untitled1.IPYNB", "student-01"),
        ("03_mnmg_kmeans_student-01.ipynb", "student-01"),
        ("student-01_03_mnmg_kmeans (2).ipynb", "student-01"),
        ("03-mnmg-kmeans-student-01 - Copy.ipynb", "student-01"),
        ("03 student-01.ipynb", "student-01"),
        ("student-01 exercises 03.ipynb", "student-01"),
        ("student-03.ipynb", "student-03"),
        ("student_03.ipynb", "student_03"),
        ("anna_03.ipynb", "anna"),
        ("Student One_123_assignsubmission_file_03 (1).ipynb", "Student One"),
        ("Student One_123_assignsubmission_file_/03.ipynb", "Student One"),
        ("onestudent_LATE_12_345_03_mnmg_kmeans.ipynb", "onestudent"),
        ("onestudent_12_345_03_mnmg_kmeans-2.ipynb", "onestudent"),
    ],
)
def test_the_student_is_found_under_any_name(tmp_path, planned, file, name):
    Book("03", "exercises").write(tmp_path / file)
    Book("03", "exercises").write(tmp_path / "other" / "03.ipynb")
    plan = planned(tmp_path)
    assert set(handed(plan)) == {(name, "03"), ("other", "03")}
    assert not plan.doubts


@pytest.mark.parametrize(
    "pair",
    [
        ("मीना शर्मा", "मोना शर्मा"),
        ("★", "☆"),
        ("!!!", "???"),
        ("___", "---"),
        ("李雷", "李蕾"),
        ("محمد", "محمود"),
        ("c", "c++"),
        ("ана", "ана́"),
        ("a" * 200, "a" * 199 + "b"),
        ("नि" * 60, "नि" * 59 + "नी"),
        ("\udcff", "\udcfe"),
        ("a\x1b", "a\x07"),
        ("anna~", "anna"),
    ],
)
def test_two_names_never_share_a_key(pair):
    one, two = (Student(shown(name)).key for name in pair)
    assert one != two
    for key in (one, two):
        assert len(f"{key}-01.json.new".encode()) < 255 and not set(key) & set('/\\:*?"<>|')


@pytest.mark.parametrize("pair", [("José", "José"), ("ANNA", "anna"), ("Straße", "STRASSE")])
def test_ways_to_write_a_name_share_a_key(pair):
    assert Student(pair[0]).key == Student(pair[1]).key


def test_a_key_is_in_the_names_own_script():
    assert Student("मीना शर्मा").key == "मीना-शर्मा"
    assert Student("Anna Lee", moodle="4004").key == "anna-lee-4004"


def test_numbered_students_are_as_many_as_their_files(tmp_path, planned):
    for number in range(1, 12):
        Book("01", "exercises").write(tmp_path / f"student_{number:02}.ipynb")
        Book("01", "exercises").write(tmp_path / f"kim{number:02}.ipynb")
    plan = planned(tmp_path)
    assert len(names(plan)) == 22 and not plan.doubts


@pytest.mark.parametrize(
    "files",
    [
        ["Anna/01.ipynb", "anna/03.ipynb"],
        ["anna lee/01.ipynb", "anna_lee.zip"],
        ["anna/01.ipynb", "ANNA.ipynb"],
        ["ａｎｎａ/01.ipynb", "anna/01.ipynb"],
        ["anna/01.ipynb", "a\u200bnna/01.ipynb"],
        ["Anna Lee/01.ipynb", "Anna Lee_4004_assignsubmission_file_/01.ipynb"],
        ["anna_01.ipynb", "anna_03.ipynb"],
        ["anna01.ipynb", "anna03.ipynb"],
        ["01_topic_anna.zip", "03_topic_anna.zip"],
        ["anna (1).ipynb", "anna (2).ipynb"],
        ["anna homework.ipynb", "anna final.ipynb"],
        ["smith_2026_01_homework.ipynb", "other/01.ipynb"],
        ["anna_20260115.ipynb", "other/01.ipynb"],
        ["anna_12_34_hw.ipynb", "other/01.ipynb"],
        ["a_777_500_hw.ipynb", "b_778_500_hw.ipynb"],
        ["a_777_500_hw.ipynb", "b_777_501_hw.ipynb"],
        ["Anna_5_assignsubmission_file_/01.ipynb", "Ben_5_assignsubmission_file_/01.ipynb"],
        ["exercises/01.ipynb", "anna/01.ipynb"],
        ["template/01.ipynb", "anna/01.ipynb"],
        ["hw1/anna/01.ipynb", "hw1/ben/01.ipynb", "template/01.ipynb"],
        ["section a/anna/01.ipynb", "section a/ben/01.ipynb", "section b/carl/01.ipynb"],
        ["section a/anna.ipynb", "section a/ben.ipynb", "section b/carl.ipynb"],
        ["01.ipynb", "01 (1).ipynb"],
        ["down/anna/part one/01.ipynb", "down/anna/part two/03.ipynb"],
    ],
)
def test_what_is_doubtful_about_students_is_asked(tmp_path, planned, files):
    for file in files:
        book = Book("03" if "03" in file else "01")
        path = tmp_path / file
        if file.endswith(".zip"):
            zipped(path, {"x.ipynb": text_of(book)})
        else:
            book.write(path)
    plan = planned(tmp_path)
    assert plan.doubts
    assert not any(item.student.canvas for item in plan.submissions if "smith" in item.student.name)
    # The lines that the plan proposes settle it.
    lines = [line for doubt in plan.doubts for line in doubt.lines]
    assert lines
    who = "path,student,lesson\n" + "".join(f"{','.join((*li, '')[:3])}\n" for li in lines)
    settled = planned(tmp_path, who=who)
    assert not settled.doubts, who


def test_lms_numbers_come_in_the_exact_shapes_only():
    assert from_lms("Anna Lee_4004_assignsubmission_file_hw.zip").moodle == "4004"
    assert from_lms("lee_LATE_5005_77701_hw.ipynb").canvas == "5005"
    for name in (
        "Lee_5005_77701_hw.ipynb",
        "anna lee_5005_77701_hw.ipynb",
        "lee_05_777_hw.ipynb",
    ):
        assert from_lms(name) is None
    assert from_lms("lee_5005_77701_hw", folder=True) is None  # Canvas makes no folders


def test_two_of_one_name_are_two_by_their_numbers(tmp_path, planned):
    for number in (1, 2):
        Book("01").write(tmp_path / f"Kim Lee_{number}_assignsubmission_file_" / "01.ipynb")
    plan = planned(tmp_path)
    assert {item.student.key for item in plan.submissions} == {"kim-lee-1", "kim-lee-2"}
    assert not plan.doubts


@pytest.mark.parametrize(
    "files", [["exercises/01.ipynb"], ["01.ipynb", "03.ipynb"], ["course/exercises/01.ipynb"]]
)
@pytest.mark.parametrize("above", ["", "anna"])
def test_the_folder_of_one_student_alone_is_hers(tmp_path, planned, files, above):
    for file in files:
        Book(file[-8:-6]).write(tmp_path / "anna" / file)
    plan = planned(tmp_path / above)
    assert names(plan) == {"anna"} and len(handed(plan)) == len(files) and not plan.doubts


def test_folders_that_all_share_do_not_count(tmp_path, planned):
    for name in ("student-1", "student-2"):
        Book("03").write(tmp_path / "download" / "all" / name / "03.ipynb")
    assert set(handed(planned(tmp_path))) == {("student-1", "03"), ("student-2", "03")}


def test_one_zip_of_the_class_is_read_like_a_folder(tmp_path, planned):
    files = {f"top/student-{n}/03.ipynb": text_of(Book("03")) for n in (1, 2)}
    zipped(tmp_path / "class.zip", files)
    expected = {("student-1", "03"), ("student-2", "03")}
    assert set(handed(planned(tmp_path / "class.zip"))) == expected
    assert set(handed(planned(tmp_path))) == expected


def test_names_in_a_mac_s_zip_are_read_as_it_wrote_them(tmp_path, planned):
    zipped(tmp_path / "class.zip", {f"J?rg-{n}/03.ipynb": text_of(Book("03")) for n in (1, 2)})
    data = (tmp_path / "class.zip").read_bytes().replace(b"J?rg", b"J\xc3\xb6g")
    (tmp_path / "class.zip").write_bytes(data)
    assert names(planned(tmp_path / "class.zip")) == {"Jög-1", "Jög-2"}


def test_the_mapping_file_decides(tmp_path, planned):
    for name in ("anna", "ben"):
        Book("01").write(tmp_path / "hw1" / f"{name}.ipynb")
    Book("01").write(tmp_path / "template" / "01.ipynb")
    both = Book("01")
    both.cells += Book("03").cells
    both.write(tmp_path / "Carl Ode_7_assignsubmission_file_" / "all.ipynb")
    who = (
        "path,student,lesson\nhw1/anna.ipynb,Anna Lee\nhw1/ben.ipynb,Ben\ntemplate,,\n"
        "Carl Ode_7_assignsubmission_file_,Carl,01 03\n"
    )
    plan = planned(tmp_path, who=who)
    assert set(handed(plan)) == {("Anna Lee", "01"), ("Ben", "01"), ("Carl", "01"), ("Carl", "03")}
    assert {i.student.moodle for i in plan.submissions if i.student.name == "Carl"} == {"7"}
    assert (None, "template/01.ipynb", "left out by who.csv") in plan.left
    assert not plan.doubts
    assert not planned(tmp_path, who=who.replace(",", ";")).doubts  # as spreadsheets may save it


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is empty"),
        ("a,b\n", "line 1: the columns must be path,student"),
        ("path,student\nanna\n", "line 2: 1 values"),
        ("path,student\n\nanna,Anna\nanna,Ben\n", "line 4: anna is there twice"),
        ("path,student\n,Anna\n", "line 2: there is no path"),
        ("path,student,lesson\nanna,Anna,1\n", "line 2: there is no lesson 1"),
        ("path,student\nanna,Anna\nnoone,No\n", "line 3: nothing was handed in as noone"),
        ("path,student\nann,Anna\n", "line 2: nothing was handed in as ann"),
    ],
)
def test_errors_in_the_mapping_file_name_the_line(tmp_path, planned, text, words):
    Book("01").write(tmp_path / "anna" / "01.ipynb")
    (tmp_path / "who").mkdir()
    (tmp_path / "who" / "w.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        planned(tmp_path, **({"who": text} if text else read_who(tmp_path / "who" / "w.csv", ())))


# Which lesson, which file


def test_the_lesson_is_found_by_what_is_in_the_notebook(tmp_path, planned):
    Book("03").write(tmp_path / "a" / "01_rapids_basics.ipynb")
    deleted = Book("04")
    deleted.cells = ["check('04.1')", "check('04.2')"]
    deleted.write(tmp_path / "b" / "x.ipynb")
    shutil.copy(ROOT / "course" / "01_rapids_basics.ipynb", tmp_path / "b")
    shutil.copy(next((ROOT / "course" / "exercises").glob("01*")), tmp_path / "c.ipynb")
    plan = planned(tmp_path)
    assert set(handed(plan)) == {("a", "03"), ("b", "04"), ("c", "01")}
    notes = [note for item in plan.submissions for note in item.notes]
    assert any("no exercise of the course in it" in note for note in notes)


def test_the_newest_counts_and_the_others_are_named(tmp_path, planned):
    for name, age in {"03.ipynb": 10, "03 (1).ipynb": 30, "03 (2).ipynb": 20}.items():
        Book("03").write(tmp_path / "a" / name)
        os.utime(tmp_path / "a" / name, (10**9 + age, 10**9 + age))
    (tmp_path / "a" / "03 (3).ipynb").write_text("{")
    Book("03").write(tmp_path / "b" / "03.ipynb")
    (item,) = [item for item in planned(tmp_path).submissions if item.student.name == "a"]
    assert item.file.path == "a/03 (1).ipynb"
    (note,) = [note for note in item.notes if "not graded" in note]
    assert all(f"a/03{n}.ipynb" in note for n in (" (2)", "", " (3)"))


def test_of_a_clone_of_the_course_the_exercises_are_graded(tmp_path, planned):
    for name in ("anna", "ben"):
        clone = tmp_path / name / "scale-out-main"
        for folder in ("", "exercises", "solutions"):
            for path in (ROOT / "course" / folder).glob("0[14]_*.ipynb"):
                target = clone / "course" / folder / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        shutil.copytree(ROOT / "helpers", clone / "helpers")
        Book("01").write(clone / "course" / "exercises" / "01_rapids_basics.ipynb")
        for path in (clone / "course").rglob("*.ipynb"):  # a clone writes the solutions last
            age = 10**9 + (100 if "solutions" in path.parts else 0)
            os.utime(path, (age, age))
    plan = planned(tmp_path)
    assert not plan.doubts
    files = handed(plan)
    assert set(files) == {("anna", "01"), ("ben", "01")}
    assert files["anna", "01"] == "anna/scale-out-main/course/exercises/01_rapids_basics.ipynb"
    assert "never graded" in "\n".join(plan.submissions[0].notes)
    plan = planned(tmp_path, lessons=["04"])
    assert all("/exercises/" in path for path in handed(plan).values())


def test_the_reference_solution_never_wins_over_the_students_own(tmp_path, planned):
    (solution,) = (ROOT / "course" / "solutions").glob("03_*.ipynb")
    own = Book("03")
    own.answer(EXERCISES["03.1"].name, "return 1")
    for place in ("x", "solutions"):
        own.write(tmp_path / place / "work" / "mine.ipynb")
        (tmp_path / place / "solutions").mkdir()
        shutil.copy(solution, tmp_path / place / "solutions" / "answers.ipynb")
        os.utime(tmp_path / place / "work" / "mine.ipynb", (10**9, 10**9))
    assert all(path.endswith("mine.ipynb") for path in handed(planned(tmp_path)).values())


def test_a_copy_of_the_reference_solution_is_named(tmp_path, planned):
    (solution,) = (ROOT / "course" / "solutions").glob("03_*.ipynb")
    copied = json.loads(solution.read_text(encoding="utf-8"))
    for cell in copied["cells"]:
        source = "".join(cell["source"]).replace("### BEGIN SOLUTION", "# me, alone")
        cell["source"] = source + "\n\n" if cell["cell_type"] == "code" else source
    (tmp_path / "a.ipynb").write_text(json.dumps(copied), encoding="utf-8")
    own = Book("03")
    own.answer(EXERCISES["03.2"].name, "return 1")
    own.write(tmp_path / "b.ipynb")
    Book("03", "exercises").write(tmp_path / "c.ipynb")
    notes = {item.student.name: "\n".join(item.notes) for item in planned(tmp_path).submissions}
    assert "please look: the answers are those of the course's solution" in notes["a"]
    assert "please look" not in notes["b"] + notes["c"]


def test_two_lessons_in_one_notebook_are_both_graded_and_asked_about(tmp_path, planned):
    both = Book("01")
    both.cells += Book("03").cells
    both.write(tmp_path / "anna" / "homework.ipynb")
    Book("03").write(tmp_path / "ben" / "03.ipynb")
    borrowed = Book("01")
    borrowed.cells.append(Book("03").cells[Book("03").find(EXERCISES["03.1"].name)])
    borrowed.write(tmp_path / "ben" / "01.ipynb")
    plan = planned(tmp_path)
    assert {("anna", "01"), ("anna", "03"), ("ben", "01"), ("ben", "03")} == set(handed(plan))
    assert doubts(plan) == "anna/homework.ipynb: lessons 01 and 03 in one notebook"
    assert not planned(tmp_path, who="path,student,lesson\nanna,anna,01 03\n").doubts


def test_no_notebook_of_the_course_has_two_lessons(tmp_path, planned):
    for folder in ("exercises", "solutions"):
        for path in (ROOT / "course" / folder).glob("*.ipynb"):
            found = outline(read_cells(path.read_bytes()), {e.name for e in EXERCISES.values()})
            file = Found(None, "x", functions=found.functions, checks=found.checks)
            assert lessons_of(file, EXERCISES) == [path.name[:2]]


def test_a_file_that_is_no_notebook_belongs_to_the_lesson_in_its_name():
    names = {"student-03.ipynb": [], "student-04_03.ipynb": ["03"], "03.zip": [], "student-03": []}
    names |= {"a/03 (1).ipynb": ["03"], "a/thoughts.ipynb": []}
    for name, lesson in names.items():
        assert lessons_of(Found(None, name, problem="broken"), EXERCISES) == lesson


# Every file has a line


def test_every_file_is_taken_or_left_with_a_reason(tmp_path, planned):
    Book("01").write(tmp_path / "anna" / "01.ipynb")
    (tmp_path / "anna" / "essay.pdf").write_text("x")
    mos = {"01.ipynb": text_of(Book("01")), "e.pdf": ""}
    zipped(tmp_path / "Mo_9_assignsubmission_file_hw.zip", mos)
    for name in ("ben.pdf", "carl.ipynb.txt", "Di_5_assignsubmission_file_hw.html", "list.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "eva").mkdir()
    (tmp_path / "fay.rar").write_text("x")
    plan = planned(tmp_path)
    text = plan.text(most=100)
    for words in (
        *("left: anna/essay.pdf: no notebook", "e.pdf: no notebook", "ben.pdf: no notebook"),
        *("carl.ipynb.txt: its name does not end in .ipynb", "file_hw.html: no notebook"),
        *("left: list.csv: no notebook", "eva: no notebook found", "fay.rar: cannot be opened"),
    ):
        assert words in text
    assert names(plan) == {"anna", "ben", "carl", "Di", "eva", "fay", "Mo"}


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "empty file"),
        (b"[]", "no cells"),
        (b"{}", "no cells"),
        (b"7", "no cells"),
        (b'{"cells": 3}', "no cells"),
        (b"\0\0", "nothing but zeros"),
        (b"[" * 9**5, "nested too deeply"),
        (b"\xef\xbb\xbf <!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b'{"cells": [\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> x\n]}', "a merge conflict"),
        ('{"cells": []}'.encode("utf-16"), "UTF-16"),
        ('{"cells": []}'.encode("utf-16-le"), "UTF-16"),
        (b'{"cells": [{"cell_type": "code", "sou', "it breaks off"),
        (b'{"cells": [1 2]}', "damaged JSON at line 1"),
        (b"PK\x03\x04rest", "a zip"),
        (b"%PDF-1.7", "a PDF"),
        (b"import os", "no JSON"),
    ],
)
def test_what_is_no_notebook_is_said_in_words(data, words):
    with pytest.raises(NotANotebook, match=f"not a notebook: .*{words}"):
        read_cells(data)


def test_an_encrypted_zip_is_named(tmp_path, planned):
    zipped(tmp_path / "anna.zip", {"01.ipynb": "{}"})
    data = bytearray((tmp_path / "anna.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "anna.zip").write_bytes(data)
    Book("01").write(tmp_path / "ben.ipynb")
    assert "encrypted: hand in a zip without a password" in planned(tmp_path).text()


# Budgets


def test_a_folder_a_thousand_levels_deep_ends_nobody_elses_grading(tmp_path, planned):
    Book("01").write(tmp_path / "deep" / "01.ipynb")
    Book("01").write(tmp_path / "honest" / "01.ipynb")
    at = os.open(tmp_path / "deep", os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    try:
        plan = planned(tmp_path)
    finally:  # Python's own way to remove it would end in a RecursionError
        subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)
    assert set(handed(plan)) == {("deep", "01"), ("honest", "01")}
    assert "deeper than 30 folders" in plan.text()


def unit(tmp_path, name="anna"):
    """One submission as the reading process reads it."""
    place = opening.Place(str(tmp_path))
    return reading.Reader(place, tmp_path, {e.name for e in EXERCISES.values()}).read(name)


def problems(unit):
    return {"/".join(file["path"]): file["problem"] for file in unit["files"]}


def test_bytes_are_counted_for_all_files_of_a_submission(tmp_path, monkeypatch):
    monkeypatch.setattr(
        opening.Budget,
        "__init__",
        lambda self: vars(self).update(unpacked=200_000, files=100, zips=100, left=[]),
    )
    inner = tmp_path / "inner.tmp"
    zipped(inner, {f"{n}.ipynb": '{"cells": []}' + " " * 60_000 for n in range(4)})
    zipped(tmp_path / "anna.zip", {"a.zip": inner.read_bytes(), "0.ipynb": text_of(Book("01"))})
    found = unit(tmp_path, "anna.zip")
    assert problems(found)["anna.zip/0.ipynb"] == ""  # the smallest are read first
    assert sum("too large" in words for words in problems(found).values()) == 1
    assert found["used"]["bytes"] <= opening.UNPACKED


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "anna.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zz.ipynb", text_of(Book("01")))
        with archive.open("a.ipynb", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(2**20))
    found = unit(tmp_path, "anna.zip")
    assert problems(found)["anna.zip/a.ipynb"].startswith("too large: 300 MiB")
    assert problems(found)["anna.zip/zz.ipynb"] == ""


def test_code_is_limited_for_all_files_of_a_submission(tmp_path):
    long = {"cells": [{"cell_type": "code", "source": "x = 1 " * 500_000}]}
    zipped(tmp_path / "anna.zip", {f"{n}.ipynb": json.dumps(long) for n in range(9)})
    words = list(problems(unit(tmp_path, "anna.zip")).values())
    assert sum("MiB of code in all" in each for each in words) == 7


def test_a_thousand_files_are_opened_once_each(tmp_path, monkeypatch):
    zipped(tmp_path / "anna.zip", {f"{n}.ipynb": "{}" for n in range(1000)})
    opened = []
    first = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda self, *a, **k: opened.append(1) or first(self, *a, **k)
    )
    found = unit(tmp_path, "anna.zip")
    assert len(opened) == 1
    assert len(found["files"]) == 100 and found["more"] == {"not a notebook: it has no cells": 900}


def test_more_files_than_a_person_has_are_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(
        opening.Budget,
        "__init__",
        lambda self: vars(self).update(unpacked=10**9, files=50, zips=100, left=[]),
    )
    for number in range(60):
        (tmp_path / "anna").mkdir(exist_ok=True)
        (tmp_path / "anna" / f"{number}.ipynb").write_text("{}")
    found = unit(tmp_path)
    assert len(found["files"]) == 50 and "the rest is not looked at" in str(found["left"])


@pytest.mark.parametrize("fault", ["seconds", "memory", "died"])
def test_whoever_ends_the_reading_is_named_and_the_class_goes_on(tmp_path, fault):
    for name in ("anna", "ben", "carl"):
        Book("01").write(tmp_path / "in" / name / "01.ipynb")
    harm = {
        "seconds": "reading.SECONDS = 1\n    list(iter(int, 1))",
        "memory": "held = bytearray(2**33)",
        "died": "os.abort()",
    }[fault]
    program = f"""
import os
from helpers.grading.grader import reading
first = reading.Reader.read
def read(self, name):
    if name != "ben":
        return first(self, name)
    {harm}
reading.Reader.read, reading.SECONDS = read, 1
reading.main()
"""
    (tmp_path / "evil.py").write_text(program)
    lines = reading._lines

    def evil(request):
        call = reading.sys.executable
        (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{call}" "{tmp_path}/evil.py"\n')
        (tmp_path / "python").chmod(0o755)
        reading.sys.executable = str(tmp_path / "python")
        try:
            yield from lines(request)
        finally:
            reading.sys.executable = call

    reading._lines = evil
    try:
        _, units = reading.read_class(tmp_path / "in", tmp_path, set())
    finally:
        reading._lines = lines
    assert units["ben"]["problem"].startswith("it took more than")
    assert units["anna"]["files"] and units["carl"]["files"]


@pytest.mark.parametrize("limit", ["CLASS_FILES", "CLASS_BYTES", "CLASS_SECONDS"])
def test_the_class_has_a_budget_too(tmp_path, monkeypatch, limit):
    for name in ("anna", "ben", "carl"):
        Book("01").write(tmp_path / "in" / name / "01.ipynb")
    monkeypatch.setattr(reading, limit, 0)
    _, units = reading.read_class(tmp_path / "in", tmp_path, set())
    assert "not read: the class" in units["carl"]["problem"]


def test_progress_is_shown_from_the_start(tmp_path):
    Book("01").write(tmp_path / "in" / "anna" / "01.ipynb")
    seen = []
    reading.read_class(tmp_path / "in", tmp_path, set(), lambda *step: seen.append(step))
    assert seen == [(0, 1), (1, 1)]


# The command


@pytest.fixture
def run(capsys, monkeypatch):
    """A function that runs the command here, where everything is imported: status and text."""

    def run_here(*arguments):
        try:
            code = main(["grade", *map(str, arguments)])
        except SystemExit as stopped:  # the interpreter would print the words, and end with 1
            code = 1
            print(stopped)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    monkeypatch.chdir(ROOT)
    return run_here


def test_doubts_stop_the_run_before_anything_has_run(tmp_path, run):
    for name in ("Anna", "anna"):
        Book("01").write(tmp_path / "in" / name / "01.ipynb")
    for options in (["--plan"], ["--out", tmp_path / "out"]):
        code, printed = run(tmp_path / "in", *options)
        assert code == 1 and "all of one student, Anna?" in printed
        assert not (tmp_path / "out").exists()
    assert "--accept-doubts" in printed and "--who FILE" in printed
    assert run(tmp_path / "in", "--plan", "--accept-doubts")[0] == 0
    (tmp_path / "who.csv").write_text("path,student\nAnna,Anna Lee\nanna,Anna Ode\n")
    code, printed = run(tmp_path / "in", "--plan", "--who", tmp_path / "who.csv")
    assert code == 0 and "2 students" in printed and "No doubts." in printed


def test_results_do_not_go_where_the_submissions_are(tmp_path, run):
    Book("01").write(tmp_path / "in" / "anna" / "01.ipynb")
    for out in (tmp_path / "in" / "results", tmp_path / "in"):
        code, printed = run(tmp_path / "in", "--out", out)
        assert code == 1 and "name a folder outside of it" in printed
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["anna"]
    with pytest.raises(SystemExit, match="--out FOLDER"):
        main(["grade", str(tmp_path / "in")])


# Less of a cell


def test_less_and_less_of_a_cell_is_left():
    cell = "%time\nimport os\nx = 1\ndef f():\n    return x\nwhile True: pass"
    assert reduced(cell, 0) == cell
    assert reduced(cell, 1) == "import os\nx = 1\ndef f():\n    return x"
    assert reduced(cell, 2) == "import os\ndef f():\n    return x"
    assert reduced(cell, 3) == reduced("def", 3) == "" and reduced("def", 1) == "def"
    assert defined("async def a(): ...\n  def b(): ...\ndef c(") == ["a", "c"]
    assert reduced('@a\n@b("é")\ndef f(): pass\n1/0; x = "é"; 2', 1) == (
        '@a\n@b("é")\ndef f(): pass\nx = "é"'
    )


def test_a_deep_or_long_cell_does_not_end_the_grader():
    deep = "x = " + "+".join(["1"] * 3000)
    assert reduced(deep, 1) == deep
    long = "[" + "[]," * 500_000 + "]"
    assert reduced(long, 1) == long and reduced(long, 3) == ""
    assert outline(Cells([f"def f():\n    return {deep[4:]}"]), {"f"}).functions["f"]
