"""What a student does in JupyterLab, in a browser, from the README's command to the last check.

``python3 run.py test --site tests/browser`` installs what this needs.
"""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.browsing import browser, chromium, faults
from tests.notebook_format import ROOT

pytestmark = pytest.mark.timeout(600)
LONG = 240_000  # milliseconds for the cells of a lesson on a busy machine
WRONG = "def count_missing(table):\n    return {name: 0 for name in table.columns}"
RAISES = "def count_missing(table):\n    return table.nothing()"
RIGHT = (
    "def count_missing(table):\n    return {n: int(table[n].isna().sum()) for n in table.columns}"
)


def command():
    """Return what ``python3 run.py lab`` runs once its environment is there."""
    spec = importlib.util.spec_from_file_location("run_of_the_course", ROOT / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    return [sys.executable, *run.COMMANDS["lab"]]


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    """A running JupyterLab of a copy of the course: its address with the token, and its data."""
    chromium()
    folder, data = tmp_path / "a course", tmp_path / "data"
    for name in ("course", "helpers", "images"):
        shutil.copytree(ROOT / name, folder / name)
    environment = {**os.environ, "COURSE_DATA": str(data), "COURSE_BACKEND": "cpu"}
    environment["JUPYTER_CONFIG_DIR"] = str(tmp_path / "settings")
    log = tmp_path / "log.txt"
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={free_port()}"]
    options += ["--LabApp.expose_app_in_browser=True"]  # for the question in run_all
    with log.open("w") as file:
        started = subprocess.Popen(
            [*command(), *options],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
        )
    process = psutil.Process(started.pid)
    try:
        end, found = time.monotonic() + 90, None
        while not found and time.monotonic() < end and started.poll() is None:
            time.sleep(0.3)
            found = re.search(r"http://127\.0\.0\.1:\d+/course\?token=\w+", log.read_text())
        assert found, log.read_text()
        yield found[0], data, started
    finally:
        children = process.children(recursive=True) if process.is_running() else []
        for each in [process, *children]:
            if each.is_running():
                each.kill()
        started.wait()


def open_lesson(start, name, exercises=False):
    """Click a lesson on the start page; return JupyterLab's tab, with the notebook ready."""
    start.bring_to_front()
    row = start.get_by_role("row").filter(has_text=name)
    link = row.get_by_role("link", name="exercises") if exercises else row.get_by_role("link").first
    with start.context.expect_page() as opened:
        link.click(modifiers=["Control"])  # a tab of its own, so that both stay
    tab = opened.value
    tab.bring_to_front()  # a tab behind another one draws nothing
    tab.wait_for_selector(".jp-NotebookPanel:visible .jp-CodeCell", timeout=60_000)
    tab.wait_for_selector('.jp-NotebookPanel:visible [data-status="idle"]', timeout=60_000)
    return tab


def cell(tab, text):
    """Return the first code cell that has this text."""
    return tab.locator(".jp-NotebookPanel:visible .jp-CodeCell").filter(has_text=text).first


def run_cell(tab, text, says):
    """Run a cell and wait until its output says this."""
    cell(tab, text).locator(".cm-content").click()
    tab.keyboard.press("Control+Enter")
    cell(tab, text).locator(".jp-OutputArea").get_by_text(says).first.wait_for(timeout=60_000)


def run_all(tab):
    """Run all cells, and wait for the last one."""
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # Asked of the notebook itself: JupyterLab draws only the cells that can be seen.
    cells = "jupyterapp.shell.currentWidget.content.widgets"
    waiting = f"{cells}.some((cell) => cell.model.executionState == 'running')"
    tab.wait_for_function(waiting, timeout=LONG, polling=100)
    tab.wait_for_function(f"!({waiting})", timeout=LONG, polling=300)


def plots(tab):
    """Scroll through the notebook; return the alternative texts of the plots that are seen."""
    return tab.evaluate("""async () => {
      const frame = document.querySelector(".jp-NotebookPanel .jp-WindowedPanel-outer");
      const seen = new Set();
      for (let at = 0; at < frame.scrollHeight; at += frame.clientHeight / 2) {
        frame.scrollTo(0, at);
        await new Promise((resolve) => setTimeout(resolve, 60));
        for (const image of document.querySelectorAll(".jp-OutputArea img"))
          if (image.naturalWidth) seen.add(image.alt);
      }
      return [...seen];
    }""")


def answer(tab, code):
    """Type an answer into its cell and run it."""
    cell(tab, "def count_missing").locator(".cm-content").click()
    tab.keyboard.press("Control+A")
    tab.keyboard.insert_text(code)
    tab.keyboard.press("Control+Enter")


def test_a_student_learns_solves_and_leaves(lab):
    address, data, server = lab
    with browser() as chrome:
        start = chrome.new_context(viewport={"width": 1400, "height": 900}).new_page()
        start.goto(address)
        assert start.get_by_role("row").count() == 11, "a head and ten lessons"
        for look in ("dark", "light"):
            start.emulate_media(color_scheme=look)
            assert faults(start) == []
        assert "0 right" in start.get_by_role("row").filter(has_text="01 RAPIDS").inner_text()

        lesson = open_lesson(start, "01 RAPIDS")
        assert lesson.locator(".jp-TableOfContents:visible").count() > 0
        assert lesson.get_by_text("Would you like to get notified").count() == 0
        run_all(lesson)
        lesson.locator(".jp-OutputArea img").first.wait_for(state="attached", timeout=60_000)
        seen = plots(lesson)
        assert len(seen) >= 2 and all(len(text) > 20 for text in seen)

        exercises = open_lesson(start, "01 RAPIDS", exercises=True)
        cell(exercises, "from helpers.grading").locator(".cm-content").click()
        exercises.keyboard.press("Control+Enter")
        cell(exercises, "example = xdf").locator(".cm-content").click()
        exercises.keyboard.press("Control+Enter")
        answer(exercises, WRONG)
        run_cell(exercises, 'check("01.1")', "not yet")
        assert "Hint:" in cell(exercises, 'check("01.1")').inner_text()
        answer(exercises, RAISES)
        run_cell(exercises, 'check("01.1")', "It stopped at the line with the arrow")
        assert "table.nothing()" in cell(exercises, 'check("01.1")').inner_text()
        answer(exercises, RIGHT)
        run_cell(exercises, 'check("01.1")', "01.1 count_missing: right, 3 of 3 points")

        start.reload()
        row = start.get_by_role("row").filter(has_text="01 RAPIDS").inner_text()
        assert "1 right" in row and "not yet" not in row
        assert (data / "progress.json").exists()

    family = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    server.wait(60)
    assert [each for each in psutil.wait_procs(family, timeout=20)[1]] == []
