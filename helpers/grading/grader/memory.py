"""How much memory a program and all that it has started really hold, seen from outside.

Memory of one's own is not all: what processes share, and what lies in temporary file systems,
takes the machine's memory as well. Only Linux tells; elsewhere the answer is 0.
"""

import contextlib
import os
from pathlib import Path

SHARED = ("/dev/zero", "/memfd:", "/SYSV")  # names of memory that processes share


def tree(pid, most=2000):
    """Find a process and all its descendants.

    Parameters
    ----------
    pid : int
    most : int
        Threads; the search ends where there are more.

    Returns
    -------
    pids : list of int
        The process alone where /proc is missing.
    threads : int
        Of all of them.
    """
    found, waiting, threads = [], [pid], 0
    while waiting and threads <= most:
        pid, tasks = waiting.pop(), []
        with contextlib.suppress(OSError):
            tasks = os.listdir(f"/proc/{pid}/task")
        found.append(pid)
        threads += max(1, len(tasks))
        for task in tasks[:most]:
            with contextlib.suppress(OSError, ValueError):
                waiting += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found, threads


def held(pids, folders=(), enough=0):
    """Bytes of memory that processes hold.

    Parameters
    ----------
    pids : list of int
        Of one tree, as `tree` gives them.
    folders : sequence of str
        Temporary file systems of the last process; they count with what is in them.
    enough : float
        Up to this, pages that copies of a process have in common may count for each of them,
        which is quicker to find out.

    Returns
    -------
    int
    """
    shared = sum(_shared(pids).values()) + _in_folders(pids[-1], folders)
    own = sum(_fields(pid, "status", "RssAnon", "VmSwap") for pid in pids)
    if own + shared > enough:
        own = sum(_fields(pid, "smaps_rollup", "Pss_Anon", "SwapPss") for pid in pids) or own
    return own + shared


def _fields(pid, file, *names):
    """Sum of some fields of a file about a process, in bytes."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in text.split("\n") if ":" in line)
    return sum(1024 * int(fields[name].split()[0]) for name in names if name in fields)


def _shared(pids):
    """Bytes of each piece of shared memory that is mapped, by its number.

    The whole piece counts: a process can take the pages out of its own tables, so that none is
    resident, and the memory stays taken.
    """
    sizes = {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").split("\n"):
                place, _, offset, _, number, *name = line.split(None, 5) or [""] * 5
                if name and name[0].startswith(SHARED):
                    start, end = (int(part, 16) for part in place.split("-"))
                    size = end - start + int(offset, 16)
                    sizes[number] = max(size, sizes.get(number, 0))
    return sizes


def _in_folders(pid, folders):
    """Bytes in file systems that only the process has."""
    size = 0
    for folder in folders:
        with contextlib.suppress(OSError):
            inside = f"/proc/{pid}/root{folder}"
            device = os.stat(inside).st_dev
            if not os.path.exists(folder) or os.stat(folder).st_dev != device:
                found = os.statvfs(inside)
                size += (found.f_blocks - found.f_bfree) * found.f_frsize
    return size
