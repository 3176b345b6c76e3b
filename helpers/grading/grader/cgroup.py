"""A limit of processes that the kernel keeps: a control group, where this system gives one.

The limit of a user's processes does not hold for root, and a program that starts processes as
fast as it can may outrun whoever counts them from outside. Root can make a control group (version
1 or 2); for everybody else the limit of a user holds.
"""

import contextlib
import os
from pathlib import Path

ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
JOIN = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


@contextlib.contextmanager
def at_most(tasks, name):
    """Make a control group for so many processes and threads; remove it at the end.

    Parameters
    ----------
    tasks : int
    name : str
        A name that no other group has.

    Yields
    ------
    list of str
        What to put before a command, so that it starts in the group; nothing where there is none.
    """
    group = _new(tasks, name)
    try:
        yield ["/bin/sh", "-c", JOIN, str(group)] if group else []
    finally:
        if group:
            with contextlib.suppress(OSError):  # what is left of it is still ending
                group.rmdir()


def _new(tasks, name):
    for root in ROOTS if hasattr(os, "getuid") and os.getuid() == 0 else ():
        group = root / f"course-grading-{name}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(tasks))
            return group
        except OSError:  # no such controller here
            group.rmdir()
    return None
