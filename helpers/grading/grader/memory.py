"""How much memory a program and all that it has started really hold, seen from outside.

Memory of one's own is not all: what processes share, and what lies in temporary file systems,
takes the machine's memory as well. Only Linux tells; elsewhere the answer is 0.
"""

import contextlib
import glob
import os
from pathlib import Path

MANY = 1000  # processes that are looked at
SHARED = ("/dev/zero", "/memfd:", "/SYSV")  # names of memory that processes share


def tree(pid):
    """Numbers of a process and of all its descendants; of itself alone where /proc is missing."""
    found, waiting = [], [pid]
    while waiting and len(found) <= MANY:
        pid = waiting.pop()
        found.append(pid)
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with contextlib.suppress(OSError, ValueError):
                waiting += map(int, Path(path).read_text().split())
    return found


def held(pids, folders=()):
    """Bytes of memory that processes hold.

    Parameters
    ----------
    pids : list of int
        Of one tree, as `tree` gives them.
    folders : sequence of str
        Temporary file systems of the last process; they count with what is in them.

    Returns
    -------
    int
    """
    shared = sum(_shared(pids).values()) + _in_folders(pids[-1], folders)
    return sum(map(_own, pids)) + shared


def _own(pid):
    """Bytes that a process does not share; pages that copies have in common count in parts."""
    for name, fields in (("smaps_rollup", ("Pss_Anon", "SwapPss")), ("status", ("RssAnon",))):
        with contextlib.suppress(OSError):
            lines = (line.split() for line in Path(f"/proc/{pid}/{name}").read_text().split("\n"))
            sizes = {words[0].rstrip(":"): words[1] for words in lines if len(words) == 3}
            if fields[0] in sizes:
                return sum(1024 * int(sizes[field]) for field in fields if field in sizes)
    return 0


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
