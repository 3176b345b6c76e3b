"""Walk through what was handed in, folders and zips alike, within a budget.

Nothing is unpacked to disk, no link is followed, and no size that a file claims is believed. This
runs in the process that `reading` starts, which may be ended at any moment.
"""

import contextlib
import io
import os
import stat
import struct
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from helpers.grading.grader.cells import NotANotebook
from helpers.grading.grader.identity import from_lms

MIB = 2**20
UNPACKED = 256 * MIB  # bytes that are read for one submission
FILES = 5000  # files and folders looked at for one submission
DEPTH = 30  # folders in folders
DIRECTORY = 2 * MIB  # bytes of a zip's list of files
CLASS_DIRECTORY = 32 * MIB  # the same for the one zip of a class
INNER = 64 * MIB  # bytes of a zip in a zip, which is held in memory
ZIPS = 2  # zips in zips
OPEN = 100  # zips of one submission
LONGEST = 1000  # characters of a path
SKIPPED = {"__MACOSX", ".ipynb_checkpoints", "__pycache__", ".git", ".venv", "node_modules"}
SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", ".gitattributes"}
PACKED = (".rar", ".7z", ".gz", ".tgz", ".tar", ".bz2", ".xz")


@dataclass(order=True)
class Entry:
    """A file that may be a notebook or a zip; the smallest are opened first."""

    size: int
    parts: list[str]
    modified: float = field(default=0.0, compare=False)
    open: object = field(default=None, compare=False)  # a function
    zips: int = field(default=0, compare=False)  # how many zips it is in

    @property
    def is_zip(self):
        """Whether it is to be opened as a zip."""
        return self.parts[-1].lower().endswith(".zip")


@dataclass
class Budget:
    """What is left for one submission, and what was left aside and why."""

    unpacked: int = UNPACKED
    files: int = FILES
    zips: int = OPEN
    left: list = field(default_factory=list)  # (parts, reason)

    def leave(self, parts, reason):
        """Say why a file is not read."""
        self.left.append((parts, reason))

    def count(self, parts):
        """Whether one more file may be looked at."""
        self.files -= 1
        if self.files == -1:
            self.leave(parts[:1], f"more than {FILES} files: the rest is not looked at")
        return self.files >= 0

    def read(self, file, size):
        """Read a file that says it has `size` bytes; raise NotANotebook if it is too much."""
        if size > self.unpacked:
            words = f"{size // MIB} MiB" if size > UNPACKED else "with the other files"
            raise NotANotebook(f"too large: {words}, and {UNPACKED // MIB} MiB is the most")
        with _damage_told():
            data = file.read(size + 1)
        self.unpacked -= len(data)
        if len(data) > size:
            raise NotANotebook("damaged: it is longer than it says")
        return data


def plain_reason(name):
    """Why a file that is neither notebook nor zip is left."""
    lower = name.lower()
    if ".ipynb" in lower:
        return "its name does not end in .ipynb: rename it if it is a notebook"
    if lower.endswith(PACKED):
        return "cannot be opened: hand in .ipynb or .zip"
    return "no notebook"


def is_of_the_system(name):
    """Whether a system or an editor wrote a file, not a person."""
    return name in SYSTEM | SKIPPED or name.startswith(("._", "~$", ".~"))


def in_folder(path, parts, budget):
    """Yield the entries of a folder, and of the folders in it.

    Parameters
    ----------
    path : str
    parts : list of str
        Its names, from the submission's on.
    budget : Budget
        Takes what is not looked at.
    """
    waiting = [(path, parts)]
    while waiting and budget.files >= 0:
        path, parts = waiting.pop()
        try:
            with os.scandir(path) as found:
                for entry in found:
                    if not budget.count(parts):
                        return
                    inside = [*parts, entry.name]
                    if is_of_the_system(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        _enter(waiting, entry.path, inside, budget)
                    else:
                        yield from of_file(entry.path, inside, budget)
        except OSError as error:
            budget.leave(parts, f"cannot be read: {error.strerror or type(error).__name__}")


def _enter(waiting, path, parts, budget):
    if len(parts) > DEPTH:
        budget.leave(parts[:3], f"deeper than {DEPTH} folders: not looked at")
    else:
        waiting.append((path, parts))


def of_file(path, parts, budget):
    """Yield the entry of a file on disk, or say why there is none."""
    status, name = os.lstat(path), parts[-1].lower()
    if stat.S_ISLNK(status.st_mode):
        budget.leave(parts, "a link: not followed")
    elif not stat.S_ISREG(status.st_mode):
        budget.leave(parts, "not a regular file")
    elif not name.endswith((".ipynb", ".zip")):
        budget.leave(parts, plain_reason(parts[-1]))
    else:
        yield Entry(status.st_size, parts, status.st_mtime, lambda: open(path, "rb"))


def in_zip(archive, infos, parts, budget, zips=1):
    """Yield the entries of an open zip; it must stay open until they are read."""
    for info in infos:
        if not budget.count(parts):
            return
        names = names_of(info)
        if info.is_dir() or SKIPPED & set(names) or is_of_the_system(names[-1]):
            continue
        inside, reason = [*parts, *(name for name in names if name not in ("", ".."))] or ["?"], ""
        if ".." in names or names[0] == "" or names[0][1:] == ":":
            reason = "its path leads out of the zip: ignored"
        elif stat.S_ISLNK(info.external_attr >> 16):
            reason = "a link: not followed"
        elif not names[-1].lower().endswith((".ipynb", ".zip")):
            reason = plain_reason(names[-1])
        elif info.flag_bits & 1:
            reason = "encrypted: hand in a zip without a password"
        elif len(inside) > DEPTH or len(info.filename) > LONGEST:
            reason = f"its path has more than {DEPTH} folders or {LONGEST} characters"
        if reason:
            budget.leave([name[:LONGEST] for name in inside[:DEPTH]], reason)
        else:
            opened = lambda info=info: _opened(archive, info)  # noqa: E731
            yield Entry(info.file_size, inside, _time(info), opened, zips)


def in_entry(entry, budget):
    """Yield the entries of a zip that is an entry itself."""
    budget.zips -= 1
    if entry.zips > ZIPS or budget.zips < 0:
        raise NotANotebook(f"more than {ZIPS} zips in one another, or {OPEN} in all: not opened")
    file = entry.open()
    if entry.zips:
        if entry.size > INNER:
            raise NotANotebook(f"too large: a zip in a zip of more than {INNER // MIB} MiB")
        with file:
            file = io.BytesIO(budget.read(file, entry.size))
    archive = archive_of(file, DIRECTORY)
    yield from in_zip(archive, archive.infolist(), entry.parts, budget, entry.zips + 1)


def archive_of(file, most):
    """Open a zip whose list of files is of a size that it can have."""
    with _damage_told():
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 65557))
        tail = file.read(65557)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0:
            raise zipfile.BadZipFile("its end is missing")
        # ZIP64, for more than that, has the largest number here.
        if struct.unpack("<I", tail[at + 12 : at + 16])[0] > most:
            raise zipfile.BadZipFile("it lists too many files")
        return zipfile.ZipFile(file)


def names_of(info):
    """Names of the folders and the file of an entry of a zip.

    macOS writes UTF-8 without saying so.
    """
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return [part for part in name.replace("\\", "/").split("/") if part != "."] or [""]


def _opened(archive, info):
    with _damage_told():
        return archive.open(info)


def _time(info):
    try:
        return time.mktime((*info.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0


@contextlib.contextmanager
def _damage_told():
    """Tell every way in which a zip can be damaged as NotANotebook."""
    try:
        yield
    except (NotANotebook, MemoryError):
        raise
    except Exception as error:  # also zlib.error and other decoders' own
        text = str(error) if isinstance(error, zipfile.BadZipFile | RuntimeError) else ""
        raise NotANotebook(f"damaged zip: {text or type(error).__name__}"[:120]) from None


# The class


@dataclass
class Place:
    """Where the submissions of a class begin.

    Attributes
    ----------
    path : str
        A folder, a zip or one file.
    inside : list of str
        Folders in the zip that all have in common.
    above : list of str
        Names on the way from what the instructor named to here, that one included.
    """

    path: str
    inside: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)

    def units(self):
        """Names of the submissions here, sorted; what a system wrote is no submission."""
        if os.path.isdir(self.path):
            names = os.listdir(self.path)
        elif self.path.lower().endswith(".zip"):
            names = list(self.of_zip())
        else:
            return [os.path.basename(self.path)]
        return sorted(name for name in names if not is_of_the_system(name))

    def of_zip(self):
        """Entries of the zip, by the name of the submission that they belong to."""
        found, depth = {}, len(self.inside)
        with open(self.path, "rb") as file, archive_of(file, CLASS_DIRECTORY) as archive:
            for info in archive.infolist():
                names = names_of(info)
                if names[:depth] == self.inside and len(names) > depth and names[depth]:
                    found.setdefault(names[depth], []).append(info)
        return found


def place_of(path):
    """Go down as long as there is one folder, or one zip, that holds only folders."""
    path = os.path.abspath(path)
    place = Place(path, above=[os.path.basename(path)])
    while place.path.lower().endswith(".zip") or os.path.isdir(place.path):
        units = place.units()
        if len(units) != 1 or from_lms(units[0], folder=True) or from_lms(units[0]):
            break
        below = _below(place, units[0])
        if not below:
            break
        place = below
    return place


def _below(place, name):
    """The place in its only unit, if submissions may begin there."""
    above, path = [*place.above, name], os.path.join(place.path, name)
    if not os.path.isdir(place.path):
        below = Place(place.path, [*place.inside, name], above)
        kinds = Counter(len(names_of(i)) for i in place.of_zip()[name] if not i.is_dir())
        return below if kinds and min(kinds) > len(below.inside) + 1 else None
    if os.path.islink(path):
        return None
    below = Place(path, above=above)
    if os.path.isfile(path):
        if not path.lower().endswith(".zip"):
            return None
        with contextlib.suppress(NotANotebook):
            return below if below.of_zip() else None
        return None
    inside = below.units()
    held = [Path(path, name) for name in inside]
    return below if held and all(p.is_dir() or p.suffix.lower() == ".zip" for p in held) else None
