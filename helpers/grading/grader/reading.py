"""Read what a class handed in, in a process of its own that may run out of time or memory.

``python -m helpers.grading.grader.reading`` takes one request on its standard input and writes one
line for each submission. Where it ends too early, that submission is named, and another process
goes on with the next.
"""

import contextlib
import hashlib
import heapq
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from helpers.grading.grader import opening
from helpers.grading.grader.cells import NotANotebook, outline, read_cells
from helpers.grading.grader.opening import MIB, Budget, Entry, Place, place_of

SECONDS = 60  # for one submission
MEMORY = 2**31  # bytes for the process that reads
CODE = 8 * MIB  # bytes of code kept of one submission
KEPT = 100  # notebooks with exercises, other notebooks and other files told of one submission
_TOO_MUCH = f"it took more than {SECONDS} s or {MEMORY // MIB} MiB"
CLASS_SECONDS = 1800
CLASS_BYTES = 64 * 2**30
CLASS_FILES = 500_000


def read_class(path, spool, names, step=lambda done, total: None):
    """Read all submissions.

    Parameters
    ----------
    path : pathlib.Path
        A folder, a zip or a notebook.
    spool : pathlib.Path
        A folder that takes the code of each notebook.
    names : collection of str
        The functions that exercises ask for.
    step : callable
        Called with the number of submissions read and their number in all.

    Returns
    -------
    place : Place
    units : dict of str to dict
        For each submission: ``files`` and ``left`` as `read_unit` makes them, ``more``, and
        ``problem`` where reading was ended.

    Raises
    ------
    ValueError
        If the folder or the zip itself cannot be read.
    """
    request = {"path": str(path), "spool": str(spool), "names": sorted(names)}
    answers = list(_lines(request))
    answer = answers[0] if answers else {"problem": f"{_TOO_MUCH} to look into it"}
    if "problem" in answer:
        raise ValueError(f"{path}: {answer['problem']}")
    place, waiting = Place(**answer["place"]), answer["units"]
    units, used = {}, Counter(files=0, bytes=0)
    total, start = len(waiting), time.monotonic()
    step(0, total)
    while waiting:
        done = 0
        for unit in _lines(request | {"place": asdict(place), "units": waiting}):
            units[waiting[done]], done = unit, done + 1
            used.update(unit.pop("used"))
            step(len(units), total)
            if _spent(used, time.monotonic() - start):
                break
        if words := _spent(used, time.monotonic() - start):
            units |= {name: _unread(f"not read: {words}") for name in waiting[done:]}
            break
        if done < len(waiting):
            units[waiting[done]] = _unread(f"{_TOO_MUCH} to read it")
            step(len(units), total)
        waiting = waiting[done + 1 :]
    return place, units


def _spent(used, seconds):
    """Words for a limit of the class that is used up."""
    if seconds > CLASS_SECONDS:
        return f"the class took more than {CLASS_SECONDS} s"
    if used["bytes"] > CLASS_BYTES:
        return f"the class has more than {CLASS_BYTES >> 30} GiB"
    return f"the class has more than {CLASS_FILES} files" if used["files"] > CLASS_FILES else ""


def _unread(words):
    return {"files": [], "left": [], "more": {}, "problem": words}


def _lines(request):
    """Start a reading process; yield what it writes. It ends with the loop that reads from it."""
    call = [sys.executable, "-m", __name__]
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(call, stdin=pipe, stdout=pipe, stderr=null, env=environment) as process:
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode())
                process.stdin.close()
            for line in process.stdout:
                if line.endswith(b"\n"):
                    yield json.loads(line)
        finally:
            process.kill()


# In the process


def main():
    """Answer the request on standard input."""
    _limit()
    request = json.load(sys.stdin)
    out = sys.stdout
    _set_alarm()
    if "units" not in request:
        try:
            place = place_of(request["path"])
            answer = {"place": asdict(place), "units": place.units()}
        except (NotANotebook, OSError, MemoryError) as error:
            answer = {"problem": str(error) or type(error).__name__}
        print(json.dumps(answer), file=out, flush=True)
        return
    place, spool = Place(**request["place"]), Path(request["spool"])
    reader = Reader(place, spool, set(request["names"]))
    for name in request["units"]:
        _set_alarm()
        print(json.dumps(reader.read(name)), file=out, flush=True)


def _set_alarm():
    with contextlib.suppress(AttributeError):
        # No handler: the kernel ends the process, whatever it is in.
        signal.setitimer(signal.ITIMER_REAL, SECONDS)


def _limit():
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


class Reader:
    """Reads submissions of a class one after the other.

    Parameters
    ----------
    place : Place
    spool : pathlib.Path
    names : set of str
        The functions that exercises ask for.
    """

    def __init__(self, place, spool, names):
        self.place, self.spool, self.names = place, spool, names
        self.zip = None if os.path.isdir(place.path) else self._open_zip()

    def _open_zip(self):
        if not self.place.path.lower().endswith(".zip"):
            return None
        archive = opening.archive_of(open(self.place.path, "rb"), opening.CLASS_DIRECTORY)
        return archive, self.place.of_zip()

    def read(self, name):
        """Read one submission: all notebooks in it.

        Returns
        -------
        dict
            ``files``: path, time, problem, digest, functions, checks, title and where the code is;
            ``left``: path and reason; ``more``: how many more of each reason; ``folder``;
            ``used``: files and bytes.
        """
        budget, waiting, files, self.code = Budget(), [], [], CODE
        try:
            for entry in self._entries(name, budget):
                waiting.append(entry)
        except Exception as error:
            budget.leave([*self.place.inside, name], _words(error))
        heapq.heapify(waiting)
        while waiting:
            entry = heapq.heappop(waiting)
            try:
                if entry.is_zip:
                    for inner in opening.in_entry(entry, budget):
                        heapq.heappush(waiting, inner)
                else:
                    files.append(self._notebook(entry, budget))
            except Exception as error:  # one strange file must not end the submission
                files.append(_found(entry, problem=_words(error)))
        self._sort(files, budget.left)
        used = {"files": opening.FILES - budget.files, "bytes": opening.UNPACKED - budget.unpacked}
        path = os.path.join(self.place.path, name)
        folder = os.path.isdir(path) or (self.zip and not name.lower().endswith((".zip", ".ipynb")))
        return _shortened(files, budget.left) | {
            "folder": bool(folder),
            "problem": "",
            "used": used,
        }

    def _sort(self, files, left):
        """Count what could have been a notebook with the files; paths begin with the student's."""
        ends = (".ipynb", ".zip", *opening.PACKED)
        files += [
            _found(Entry(0, parts), problem=reason)
            for parts, reason in left
            if parts[-1].lower().endswith(ends)
        ]
        left[:] = [each for each in left if not each[0][-1].lower().endswith(ends)]
        if self.zip:
            common = len(self.place.inside)
            left[:] = [(parts[common:] or ["?"], reason) for parts, reason in left]
            for file in files:
                file["path"] = file["path"][common:] or ["?"]

    def _entries(self, name, budget):
        path = os.path.join(self.place.path, name)
        if self.zip:
            archive, found = self.zip
            yield from opening.in_zip(archive, found[name], [], budget)
        elif not os.path.isdir(self.place.path):
            yield from opening.of_file(self.place.path, [name], budget)
        elif os.path.isdir(path) and not os.path.islink(path):
            yield from opening.in_folder(path, [name], budget)
        else:
            yield from opening.of_file(path, [name], budget)

    def _notebook(self, entry: Entry, budget):
        """Read one notebook; put its code into the spool."""
        with entry.open() as file:
            data = budget.read(file, entry.size)
        digest = hashlib.sha256(data).hexdigest()
        cells = read_cells(data)
        text = json.dumps(asdict(cells))
        self.code -= len(text)
        if self.code < 0:
            raise NotANotebook(f"too large: more than {CODE // MIB} MiB of code in all")
        name = f"{digest[:32]}.json"
        (self.spool / name).write_text(text, encoding="ascii")
        return _found(entry, digest=digest, stored=name, **asdict(outline(cells, self.names)))


def _words(error):
    """Why a file cannot be read."""
    if isinstance(error, NotANotebook):
        return str(error)
    if isinstance(error, MemoryError):
        return f"too large: reading it takes more than {MEMORY // MIB} MiB"
    said = error.strerror if isinstance(error, OSError) else ""
    return f"cannot be read: {said or type(error).__name__}"


def _found(entry, **what):
    empty = {"problem": "", "digest": "", "stored": "", "functions": {}, "checks": [], "title": ""}
    return {"path": entry.parts, "modified": entry.modified, **empty, **what}


def _shortened(files, left):
    """So many of each kind as somebody can look at; of the rest their number."""
    kinds = {True: [], False: [], "problem": []}
    for file in sorted(files, key=lambda file: file["path"]):
        kind = "problem" if file["problem"] else bool(file["functions"] or file["checks"])
        kinds[kind].append(file)
    more = Counter()
    for found in kinds.values():
        more.update(file["problem"] or "a notebook" for file in found[KEPT:])
    more.update(reason for _, reason in sorted(left)[KEPT:])
    files = [file for found in kinds.values() for file in found[:KEPT]]
    return {"files": files, "left": sorted(left)[:KEPT], "more": dict(more.most_common(20))}


if __name__ == "__main__":
    main()
