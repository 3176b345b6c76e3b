"""What a student does in JupyterLab, in a browser, from the README's command to the last check.

``python3 run.py test --site tests/browser`` installs what this needs.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from tests.browsing import browser, chromium, faults
from tests.notebook_format import ROOT

pytestmark = pytest.mark.timeout(600)
LONG = 180_000  # milliseconds for what a lesson needs on a busy machine
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


@pytest.fixture
def taken():
    """A port at which somebody else listens: JupyterLab takes the next one that is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def listens(port):
    """Whether anybody does, at a port of this machine."""
    with socket.socket() as visitor:
        return visitor.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def jupyterlab(tmp_path, port, within=lambda folder: []):
    """Start JupyterLab in a copy of the course: its address with the token, and its data."""
    folder, data = tmp_path / "a course", tmp_path / "data"
    for name in ("course", "helpers", "images"):
        shutil.copytree(ROOT / name, folder / name)
    environment = {**os.environ, "COURSE_DATA": str(data), "COURSE_BACKEND": "cpu"}
    environment["TMPDIR"] = str(tmp_path)  # it is stopped without a chance to tidy up
    for name in ("CONFIG", "RUNTIME"):
        environment[f"JUPYTER_{name}_DIR"] = str(tmp_path / name.lower())
    log = tmp_path / "log.txt"
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    options += ["--LabApp.expose_app_in_browser=True"]  # for what is asked of it
    with log.open("w") as file:
        started = subprocess.Popen(
            [*within(folder), *command(), *options],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
        )
    process = psutil.Process(started.pid)
    try:
        end, found = time.monotonic() + LONG / 1000, None
        while not found and time.monotonic() < end and started.poll() is None:
            time.sleep(0.3)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/course\?token=\w+\n", log.read_text())
            if found and not listens(int(found[1])):  # it tells its address before it listens there
                found = None
        assert found, log.read_text()
        assert f":{port}/" not in found[0] and "already in use" in log.read_text()
        yield found[0].strip(), data, started
    finally:
        children = process.children(recursive=True) if process.is_running() else []
        for each in [process, *children]:
            if each.is_running():
                each.kill()
        started.wait()


# What is asked of JupyterLab itself: it draws cells late, and some only when they are seen.
PANEL = "jupyterapp.shell.currentWidget"
# JupyterLab may load itself once more: when a tab has the workspace already, the next gets another.
READY = f"""name => {{
  if (!globalThis.jupyterapp) return false;
  const panel = {PANEL}, kernel = panel?.sessionContext?.session?.kernel;
  return panel?.context?.path.endsWith(name) && panel.context.isReady && kernel?.status === "idle"
    && panel.content.widgets.length > 5 && !document.querySelector(".jp-Spinner");
}}"""
RUN_ALL = """() => jupyterapp.commands.commandExecuted.connect((_, done) => {
  if (done.id == "notebook:run-all-cells") done.result.then((all) => { window.ranAll = all; });
})"""
SHOW = f"""async text => {{
  const book = {PANEL}.content;
  const at = book.widgets.findIndex((cell) => cell.model.type == "code"
    && cell.model.sharedModel.source.includes(text));
  book.deselectAll();
  book.activeCellIndex = at;
  await book.scrollToItem(at, "center");
  return at;
}}"""
COUNT = f"{PANEL}.content.activeCell.model.executionCount"
IDLE = f"{PANEL}.content.activeCell.model.executionState == 'idle'"


def open_lesson(start, name, file):
    """Click a link on the start page; return JupyterLab's tab, with notebook and kernel ready."""
    start.bring_to_front()
    row = start.get_by_role("row").filter(has_text=name)
    link = row.get_by_role("link", name="exercises") if "exercises" in file else row.locator("th a")
    with start.context.expect_page() as opened:
        link.click(modifiers=["Control"])  # a tab of its own, so that both stay
    tab = opened.value
    tab.bring_to_front()  # a tab behind another one draws nothing
    tab.wait_for_function(READY, arg=file, polling=200)
    return tab


def cell(tab, text):
    """Go to the first code cell that has this text; return what is drawn of it."""
    assert tab.evaluate(SHOW, text) >= 0, f"no cell has {text}"
    shown = tab.locator(".jp-NotebookPanel:visible .jp-Cell.jp-mod-active")
    shown.locator(".cm-content").wait_for()
    return shown


def run_cell(tab, text, code=None):
    """Click into a cell, type code in place of its own, run it, wait; return what it shows."""
    shown = cell(tab, text)
    shown.locator(".cm-content").click()
    if code:
        tab.keyboard.press("Control+A")
        tab.keyboard.insert_text(code)
    before = tab.evaluate(COUNT)
    tab.keyboard.press("Control+Enter")
    done = f"before => {IDLE} && {COUNT} != null && {COUNT} != before"
    tab.wait_for_function(done, arg=before, polling=100)
    return shown


def run_all(tab):
    """Choose Run All Cells in the menu, and wait until all have run."""
    tab.evaluate(RUN_ALL)
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    tab.wait_for_function("window.ranAll !== undefined", polling=200)
    assert tab.evaluate("window.ranAll"), "a cell failed"


def plots(tab):
    """Scroll to every plot of the notebook, see it drawn; return the alternative texts."""
    cells = f"""{PANEL}.content.widgets.map((cell, at) => [cell, at]).filter(([cell]) =>
      [...Array(cell.model.outputs?.length ?? 0).keys()].some((n) =>
        cell.model.outputs.get(n).data["image/png"])).map(([, at]) => at)"""
    found = []
    for at in tab.evaluate(cells):
        tab.evaluate(f"at => {PANEL}.content.scrollToItem(at, 'center')", at)
        image = tab.locator(f'.jp-NotebookPanel:visible [data-windowed-list-index="{at}"] img').last
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        found.append(image.get_attribute("alt"))
    return found


def see_dashboard(tab):
    """Start a cluster and open a chart of its dashboard, in three clicks."""
    start = "from helpers.cluster import close_cluster, start_cluster\nstart_cluster(n_workers=1)"
    run_cell(tab, 'check("01.2")', start)
    tab.locator('[data-id="dask-dashboard-launcher"]').click()
    tab.get_by_title("Auto-detect dashboard URL").click()
    tab.get_by_text("Task Stream", exact=True).first.click()
    drawn = tab.frame_locator('iframe[src*="individual-task-stream"]').locator(".bk-Figure")
    drawn.first.wait_for()
    tab.get_by_role("tab", name="01_rapids_basics.ipynb").click()
    run_cell(tab, 'check("01.3")', "close_cluster()")


def test_a_student_learns_solves_and_leaves(tmp_path, taken):
    chromium()  # or it is skipped, before anything starts
    with jupyterlab(tmp_path, taken) as (address, data, server), browser() as chrome:
        context = chrome.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(LONG)
        start = context.new_page()
        start.goto(address)
        assert start.get_by_role("row").count() == 11, "a head and ten lessons"
        for look in ("dark", "light"):
            start.emulate_media(color_scheme=look)
            assert faults(start) == []
        assert "0 right" in start.get_by_role("row").filter(has_text="01 RAPIDS").inner_text()

        lesson = open_lesson(start, "01 RAPIDS", "course/01_rapids_basics.ipynb")
        lesson.locator(".jp-TableOfContents:visible").first.wait_for()
        assert lesson.get_by_text("Would you like to get notified").count() == 0
        run_all(lesson)
        seen = plots(lesson)
        assert len(seen) >= 2 and all(len(text) > 20 for text in seen)

        exercises = open_lesson(start, "01 RAPIDS", "exercises/01_rapids_basics.ipynb")
        run_cell(exercises, "from helpers.grading")
        run_cell(exercises, "example = xdf")
        asked = 'check("01.1")'
        for code, *says in (
            (WRONG, "not yet", "Hint:"),
            (RAISES, "It stopped at the line with the arrow", "table.nothing()"),
            (RIGHT, "01.1 count_missing: right, 3 of 3 points"),
        ):
            run_cell(exercises, "def count_missing", code)
            shown = run_cell(exercises, asked).locator(".jp-OutputArea")
            for text in says:
                shown.get_by_text(text).first.wait_for()
        see_dashboard(exercises)

        start.reload()
        row = start.get_by_role("row").filter(has_text="01 RAPIDS").inner_text()
        assert "1 right" in row and "not yet" not in row
        assert (data / "progress.json").exists()

        chrome.close()
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(LONG / 1000)
        assert psutil.wait_procs(family, timeout=LONG / 1000)[1] == []


def test_a_course_that_cannot_be_written_opens(tmp_path, taken):
    """Somebody prepared it for all: lessons open, and the start page says what is not kept."""
    (tmp_path / "data").mkdir()

    def within(folder):
        read_only = [("--ro-bind", path, path) for path in (folder, tmp_path / "data")]
        return ["bwrap", "--dev-bind", "/", "/", *sum(read_only, ()), "--"]

    works = shutil.which("bwrap") and not subprocess.run([*within(tmp_path), "true"]).returncode
    if not works:
        pytest.skip("no folder can be made read-only here: bubblewrap is missing or refused")
    with jupyterlab(tmp_path, taken, within) as (address, data, _):
        visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page, lesson = (
            visitor.open(f"{address}{more}", timeout=LONG / 1000).read().decode()
            for more in ("", "&open=00_setup")
        )
        assert "Your progress is not kept" in page and f"<code>{data}</code>" in page
        assert "jupyter-config-data" in lesson and list(data.iterdir()) == []
