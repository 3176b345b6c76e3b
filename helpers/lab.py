"""JupyterLab for this course: a start page with the lessons and your progress.

``python -m helpers.lab [ARGUMENTS OF JUPYTER LAB]`` is what ``python3 run.py lab`` runs. The page
is shown by the same server, on this machine only, behind the same token.
"""

import json
import os
import re
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

from helpers.data import DataError, cache_folder, scratch_folder
from helpers.progress import SWITCH, lesson_progress, note_progress, progress_file, read_progress

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {  # as in JupyterLab's settings editor, which can change each of them
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"recordTiming": True},
    "@jupyterlab/toc-extension:registry": {"numberingH1": False},
    "dask-labextension:plugin": {"hideClusterManager": True},  # the lessons start their clusters
}
WORKSPACE = {  # the table of contents is open beside the notebook
    "layout-restorer:data": {
        "main": {"dock": None, "current": None},
        "left": {
            "collapsed": False,
            "visible": True,
            "current": "@jupyterlab/toc:plugin",
            "widgets": [
                "filebrowser",
                "running-sessions",
                "dask-dashboard-launcher",
                "@jupyterlab/toc:plugin",
            ],
        },
        "right": {"collapsed": True, "visible": True, "widgets": []},
        "relativeSizes": [0.2, 0.8, 0],
        "top": {"simpleVisibility": True},
    }
}
STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; }
tr { border-bottom: 1px solid GrayText; }
td.n { white-space: nowrap; }
.bar { letter-spacing: .1em; }
@media (max-width: 640px) {
  thead { position: absolute; left: -99rem; }
  tr, th, td { display: block; padding: .2rem 0; }
  td[data-head]::before { content: attr(data-head) ": "; }
}
"""
AGAIN = """
addEventListener("visibilitychange", () => { if (!document.hidden) location.reload(); });
"""


class Lesson(NamedTuple):
    """What the start page says about a lesson."""

    number: str
    title: str
    goals: str
    minutes: str
    exercises: int


def lesson(path):
    """Read what the title's cell of a lesson says.

    Parameters
    ----------
    path : pathlib.Path
        Of the lesson's notebook; its exercises lie in ``exercises`` beside it.

    Returns
    -------
    Lesson

    Examples
    --------
    >>> lesson(ROOT / "course" / "02_data_partitioning.ipynb").number
    '02'
    """
    text = "".join(_cells(path)[0]["source"])
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    goals = text.split("\n\n")[1] if text.count("\n\n") else ""
    time = re.search(r"about (\d+)( ½)?( minutes| hours)", text)
    minutes = 0
    if time:
        minutes = int(time[1]) * (60 if "hour" in time[3] else 1) + 30 * bool(time[2])
    exercises = path.parent / "exercises" / path.name
    found = {
        id
        for cell in (_cells(exercises) if exercises.exists() else [])
        for id in re.findall(r'check\("(\d\d\.\d+)"\)', "".join(cell["source"]))
    }
    name = title[1] if title else path.stem
    return Lesson(path.name[:2], name, goals, str(minutes or ""), len(found))


def _cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def start_page(root, base="/"):
    """Write the start page.

    Parameters
    ----------
    root : pathlib.Path
        The course's folder.
    base : str
        Where the server's addresses begin.

    Returns
    -------
    str
        HTML.
    """
    known, rows = read_progress(), []
    for path in sorted((root / "course").glob("[0-9]*.ipynb")):
        about = lesson(path)
        done = lesson_progress(known, about.number, about.exercises)
        bar = "■" * done["right"] + "◧" * done["begun"] + "□" * done["open"]
        words = ", ".join(f"{done[state]} {state}" for state in ("right", "begun", "open"))
        link = f'<a href="{base}course?open={path.stem}" target="course-lab">'
        exercises = f'<a href="{base}course?open=exercises/{path.stem}" target="course-lab">'
        rows.append(
            f"<tr><th scope=row>{link}{escape(about.title)}</a></th><td>{escape(about.goals)}</td>"
            f"<td class=n data-head=reading>{about.minutes} min</td>"
            f'<td class=n>{exercises}exercises</a> <span class="bar" aria-hidden="true">{bar}'
            f"</span><br>{words}</td>"
            f'<td class=n data-head="last visit">{escape(done["last"]) or "not yet"}</td></tr>'
        )
    heads = ("lesson", "what it is about", "reading", "your exercises", "last visit")
    head = "".join(f"<th scope=col>{name}</th>" for name in heads)
    try:
        file = progress_file()
        place = next(path for path in file.parents if path.exists())
        where = (
            f"Your progress is in <code>{escape(str(file))}</code> and nowhere else. "
            "Read it or delete it as you like. It never leaves this machine and counts as no mark."
        )
        if not (place.is_dir() and os.access(place, os.W_OK)):
            where = (
                f"Your progress is not kept: <code>{escape(str(place))}</code> cannot be written. "
                "Name a folder of yours in the environment variable COURSE_DATA."
            )
    except DataError as error:
        where = f"Your progress is not kept: {escape(str(error))}"
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>Machine learning that scales out</title><style>{STYLE}</style></head><body><main>"
        "<h1>Machine learning that scales out</h1>"
        "<p>Open a lesson: it opens in JupyterLab, in a tab of its own. Run its cells from top to "
        "bottom, then do its exercises. Come back here for the next one.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "<p>■ right, ◧ begun, □ open. "
        f"{where}</p></main><script>{AGAIN}</script></body></html>"
    )


def _jupyter_server_extension_points():
    return [{"module": "helpers.lab"}]


def _load_jupyter_server_extension(server):
    from jupyter_server.base.handlers import JupyterHandler
    from tornado.web import HTTPError, authenticated

    base = server.web_app.settings["base_url"]

    class Start(JupyterHandler):
        """The start page; with ``?open=``, the way to a lesson."""

        @authenticated
        def get(self):
            name = self.get_argument("open", "")
            if not name:
                return self.finish(start_page(ROOT, base))
            path = f"course/{name}.ipynb"
            if not re.fullmatch(r"(exercises/)?\d\d_\w+", name) or not (ROOT / path).is_file():
                raise HTTPError(404, "there is no such lesson")
            note_progress(re.search(r"\d\d", name)[0])
            self.redirect(f"{base}lab/workspaces/course/tree/{path}")

    server.web_app.add_handlers(".*$", [(f"{base}course/?", Start)])


def prepare(folder):
    """Write JupyterLab's settings for the course, and its layout unless you have one already.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    tuple of (pathlib.Path, pathlib.Path)
        The folder with the settings, and the one with layouts.
    """
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    settings, layouts = folder / "labconfig", folder / "layouts"
    settings.mkdir(parents=True, exist_ok=True)
    text = json.dumps(SETTINGS, indent=1)
    (settings / "default_setting_overrides.json").write_text(text, encoding="utf-8")
    manager = WorkspacesManager(str(layouts))
    try:
        has_one = bool(manager.load("course")["data"])
    except (ValueError, KeyError, TypeError):  # it was cut short, and JupyterLab would stay empty
        has_one = False
    if not has_one:
        manager.save("course", json.dumps({"data": WORKSPACE, "metadata": {"id": "course"}}))
    return folder, layouts


def main(arguments):
    """Start JupyterLab with the start page; come back when it ends."""
    from jupyterlab.labapp import LabApp

    try:
        folder, layouts = prepare(cache_folder() / "lab")
    except OSError:  # somebody prepared the folder for all, or it is full
        folder, layouts = prepare(scratch_folder("lab"))
    more = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([str(folder), *([more] if more else [])])
    os.environ[SWITCH] = "1"  # kernels inherit it
    LabApp.launch_instance(
        [
            f"--ServerApp.root_dir={ROOT}",
            "--ServerApp.jpserver_extensions={'helpers.lab': True}",
            f"--LabApp.workspaces_dir={layouts}",
            "--LabApp.default_url=/course",
            *arguments,
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
