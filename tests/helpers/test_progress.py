"""What has been done is kept in a plain file; one that is damaged or in the way does no harm."""

import json
import os
from pathlib import Path

import pytest

from helpers.grading import check
from helpers.lab import ROOT, SETTINGS, WORKSPACE, lesson, main, prepare, start_page
from helpers.progress import SWITCH, lesson_progress, note_progress, progress_file, read_progress


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv(SWITCH, "1")
    return tmp_path / "data"


def test_what_was_right_stays_right():
    assert read_progress() == {}
    for state in ("not yet", "right", "not yet", "not attempted"):
        assert note_progress("02.1", state)
    assert note_progress("02")
    known = read_progress()
    assert known["02.1"]["state"] == "right" and set(known["02"]) == {"when"}
    assert lesson_progress(known, "02", 5) | {"last": ""} == {
        "right": 1, "begun": 0, "open": 4, "last": "",
    }  # fmt: skip
    assert lesson_progress(known, "03", 4)["open"] == 4
    note_progress("02.6", "right")  # of an older course, where the lesson had more
    assert lesson_progress(read_progress(), "02", 5)["right"] == 1


def test_nothing_is_kept_elsewhere_than_in_the_courses_jupyterlab(monkeypatch):
    monkeypatch.delenv(SWITCH)
    assert not note_progress("02.1", "right")
    assert not progress_file().exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b'{"02.1": 3}',
        b'{"02.1": {"state": "perfect", "when": ""}}',
        b'{"../x": {"when": ""}}', b'{"02.1": {"state": ["right"], "when": ""}}',
        b'{"02": {"state": "right", "when": ""}}', b'{"02.1": {"state": "right"}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(content):
    progress_file().parent.mkdir()
    progress_file().write_bytes(content)
    assert "0 right" in start_page(ROOT)
    assert progress_file().with_name("progress.damaged.json").read_bytes() == content
    assert note_progress("02.1", "right") and read_progress()["02.1"]["state"] == "right"


def test_a_file_that_is_cut_while_it_is_written_cannot_happen(monkeypatch):
    note_progress("02.1", "right")
    half = lambda path, text, **more: path.write_bytes(b"{") and 1 / 0  # noqa: E731
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(ZeroDivisionError):
        note_progress("02.2", "right")
    assert set(read_progress()) == {"02.1"}
    assert [path.name for path in progress_file().parent.iterdir()] == ["progress.json"]


def test_a_folder_that_cannot_be_written_is_no_harm(data):
    data.write_text("in the way")
    assert not note_progress("02.1", "right")
    assert read_progress() == {}
    page = start_page(ROOT)
    assert "0 right" in page and f"<code>{data}</code> cannot be written" in page


def test_check_keeps_progress_where_the_notebook_is_open(monkeypatch):
    for names in ((), (SWITCH,), ("JPY_SESSION_NAME",), (SWITCH, "JPY_SESSION_NAME")):
        for name in (SWITCH, "JPY_SESSION_NAME"):  # a terminal of JupyterLab has the first one
            monkeypatch.delenv(name, raising=False)
        for name in names:
            monkeypatch.setenv(name, "1")
        assert check("01.1", {"count_missing": lambda table: 3}).state == "not yet"
        assert progress_file().exists() == (len(names) == 2), names
    assert read_progress()["01.1"]["state"] == "not yet"


def test_the_start_page_names_every_lesson_with_its_exercises():
    lessons = sorted((ROOT / "course").glob("[0-9]*.ipynb"))
    note_progress(f"{lessons[2].name[:2]}.1", "right")
    page = start_page(ROOT)
    for path in lessons:
        about = lesson(path)
        assert int(about.minutes) > 30 and about.exercises >= 3 and about.goals
        assert f"/course?open={path.stem}" in page
    assert page.count("1 right") == 1
    assert str(progress_file()) in page and "counts as no mark" in page


def test_settings_are_written_and_a_layout_is_kept_unless_it_is_damaged(tmp_path):
    folder, layouts = prepare(tmp_path / "lab")
    written = json.loads((folder / "labconfig" / "default_setting_overrides.json").read_text())
    assert written == SETTINGS
    (layout,) = layouts.iterdir()
    own = '{"data": {"left": 1}, "metadata": {"id": "course"}}'  # the student's
    for found in (own, own[:20], "[]", "\0"):
        layout.write_text(found)
        prepare(tmp_path / "lab")
        data = json.loads(layout.read_text())["data"]
        assert data == ({"left": 1} if found == own else WORKSPACE), found


def test_jupyterlab_starts_where_the_data_folder_cannot_be_written(data, monkeypatch):
    data.write_text("in the way")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    calls = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", calls.append)
    main(["--no-browser"])
    (arguments,) = calls
    assert arguments[-1] == "--no-browser" and "--LabApp.default_url=/course" in arguments
    assert os.environ["JUPYTER_CONFIG_PATH"].endswith(f"{os.pathsep}mine")
