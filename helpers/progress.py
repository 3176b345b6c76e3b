"""What you have done of the course: a small file of your own, which never leaves this machine.

It is written only where JupyterLab was started by ``python3 run.py lab``, and counts as no mark.
"""

import json
import os
import re
from contextlib import suppress
from datetime import datetime

from helpers.data import cache_folder, replace_file

SWITCH = "COURSE_PROGRESS"  # set where progress is to be kept
STATES = ("not attempted", "not yet", "right")


def progress_file():
    """Where progress is kept.

    Returns
    -------
    pathlib.Path
        In `helpers.data.cache_folder`. It may be read, and deleted at any time.
    """
    return cache_folder() / "progress.json"


def read_progress():
    """Read what has been done.

    Returns
    -------
    dict of str to dict
        By exercise, as ``"02.1"``: its best ``state`` so far; by lesson, as ``"02"``: nothing
        more; both with ``when``, the minute of the last time. A file that cannot be understood is
        put aside as ``progress.damaged.json``, and an empty dict comes back.
    """
    path = progress_file()
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(known, dict) or not all(map(_is_entry, known, known.values())):
            raise ValueError("not a file of this course")
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):  # also of JSON and of UTF-8
        with suppress(OSError):
            os.replace(path, path.with_name("progress.damaged.json"))
        return {}
    except OSError:
        return {}
    return known


def note_progress(name, state=None):
    """Keep that an exercise was checked, or a lesson opened.

    Parameters
    ----------
    name : str
        An exercise, ``"02.1"``, or a lesson, ``"02"``.
    state : {"not attempted", "not yet", "right"}, optional
        Of an exercise. A worse one than before is not kept: what was right stays right.

    Returns
    -------
    bool
        Whether it was kept. Where the folder cannot be written nothing is, and nothing is raised.

    Examples
    --------
    >>> note_progress("02.1", "right")  # outside of ``run.py lab``
    False
    """
    if not os.environ.get(SWITCH):
        return False
    try:
        known, path = read_progress(), progress_file()
        entry = known.get(name, {}) | {"when": datetime.now().isoformat(" ", "minutes")}
        if state is not None:
            entry["state"] = max(entry.get("state", STATES[0]), state, key=STATES.index)
        known[name] = entry
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(sorted(known.items())), indent=1)
        replace_file(path, lambda new: new.write_text(text, encoding="utf-8"))
    except (OSError, ValueError):  # ValueError: no folder could be named
        return False
    return True


def _is_entry(name, entry):
    right = re.fullmatch(r"\d\d(\.\d+)?", name) and isinstance(entry, dict)
    return bool(right) and isinstance(entry.get("when"), str) and (
        entry.get("state") in (STATES if "." in name else (None,))
    )  # fmt: skip


def lesson_progress(known, number, exercises):
    """Sum up a lesson.

    Parameters
    ----------
    known : dict
        What `read_progress` returned.
    number : str
        The lesson's, ``"02"``.
    exercises : int
        How many the lesson has.

    Returns
    -------
    dict
        Counts of exercises that are ``right``, ``begun`` and ``open``, and ``last``, the minute of
        the last visit, or an empty text.

    Examples
    --------
    >>> lesson_progress({"02.1": {"state": "right", "when": "2026-11-25 09:30"}}, "02", 5)
    {'right': 1, 'begun': 0, 'open': 4, 'last': '2026-11-25 09:30'}
    """
    names = {number, *(f"{number}.{k + 1}" for k in range(exercises))}  # not what it once had
    mine = {name: entry for name, entry in known.items() if name in names}
    states = [entry.get("state") for entry in mine.values()]
    right, begun = states.count("right"), states.count("not yet")
    last = max((entry["when"] for entry in mine.values()), default="")
    return {"right": right, "begun": begun, "open": exercises - right - begun, "last": last}
