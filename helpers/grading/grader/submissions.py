"""Find what students handed in: folders, zips, loose notebooks, under any names.

Nothing is unpacked to disk, no link is followed, and no size that a file claims is believed. Which
lesson a notebook belongs to follows from the exercises in it, not from its name.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import struct
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from helpers.grading.grader import cells
from helpers.grading.grader.cells import Cells, NotANotebook, defined, read_cells

SMALL = 4 * 2**20  # bytes that the grader parses itself; more goes to a process of its own
LARGEST = 512 * 2**20  # bytes of a notebook
DIRECTORY = 2 * 2**20  # bytes of a zip's list of files
INNER = 64 * 2**20  # bytes of a zip in a zip
FILES = 10_000  # files looked at for one student
OPENED = (".ipynb", ".zip")
SKIPPED = {"__MACOSX", ".ipynb_checkpoints", "__pycache__", ".git", ".venv"}
PACKED = (".rar", ".7z", ".gz", ".tgz", ".tar", ".bz2", ".xz")
MOODLE = re.compile(r"(?P<name>.+)_(?P<moodle>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<canvas>\d+)_\d+_(?P<rest>.+)")
COPY = re.compile(r"(?:\s*\((\d+)\)|[\s_-]*copy[\s_-]*(\d*))\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Student:
    """Who handed in. ``moodle`` and ``canvas`` are the numbers of these systems' downloads."""

    name: str
    moodle: str = ""
    canvas: str = ""

    @property
    def key(self):
        """The name as part of a file's name; the same for every way to write the name."""
        text = unicodedata.normalize("NFKC", self.name).casefold()
        words = re.sub(r"[\W_]+", "-", text).strip("-")
        key = "-".join(filter(None, [words, self.moodle, self.canvas]))
        plain = re.sub(r"[^a-z0-9-]", "", key)
        if plain == key and 0 < len(key) <= 60:
            return key
        return f"{plain[:40]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}".lstrip("-")


@dataclass(frozen=True)
class Found:
    """A file that may be a notebook.

    Attributes
    ----------
    student : Student
    path : str
        Where it was, as the instructor knows it; zips look like folders.
    modified : float
        Seconds since 1970.
    cells : Cells or None
    problem : str
        Why there are no cells.
    digest : str
        SHA-256 of its bytes.
    """

    student: Student
    path: str
    modified: float = 0.0
    cells: Cells | None = None
    problem: str = ""
    digest: str = ""


@dataclass
class Submission:
    """What counts of one student in one lesson."""

    student: Student
    lesson: str
    file: Found | None
    notes: list[str] = field(default_factory=list)


def find(place, lessons=()):
    """Find everything that may be a notebook.

    Parameters
    ----------
    place : pathlib.Path
        A folder, or one zip of a whole class.
    lessons : sequence of str
        Names of the lessons' notebooks without ``.ipynb``, to tell them from students' names.

    Returns
    -------
    list of Found
        Sorted by path, and for a student without any notebook one entry that says so.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `place`.
    """
    place = Path(place)
    if not place.exists():
        raise FileNotFoundError(f"there is no folder or zip {place}")
    inside = _in_zip(lambda: open(place, "rb")) if place.is_file() else _in_folder(place)
    files = [(parts or [place.name], modified, content) for parts, modified, content in inside]
    shared = _shared_folders([parts for parts, *_ in files])
    found, seen = [], Counter()
    for parts, modified, content in files:
        parts = parts[shared:]
        student = _student(parts, lessons)
        seen[student] += 1
        if seen[student] <= FILES:
            found.append(_read(student, "/".join(parts), modified, content))
    top = place.joinpath(*files[0][0][:shared]) if files else place
    return found + _empty_ones(found, sorted(top.iterdir()) if top.is_dir() else ())


def sort_out(found, exercises, lessons=()):
    """Choose, for every student and lesson, the file that counts.

    Parameters
    ----------
    found : list of Found
    exercises : dict of str to Exercise
    lessons : sequence of str
        Only these; none means all that somebody handed in.

    Returns
    -------
    list of Submission
        One for every student and every lesson; ``file`` is None where nothing was handed in. A
        student with nothing that can be placed has one for the lesson "".
    """
    placed, others = {}, {}
    for file in found:
        lesson = lesson_of(file, exercises) or (lessons[0] if len(lessons) == 1 else "")
        if not file.problem and lesson_of(file, exercises) == "":
            lesson = ""
        target = placed if lesson else others
        target.setdefault((file.student.key, lesson), []).append(file)
    names = {file.student.key: file.student for file in reversed(found)}
    lessons = sorted(lessons) or sorted({lesson for _, lesson in placed})
    result = []
    for key, student in sorted(names.items()):
        left = others.get((key, ""), [])
        notes = [
            f"{_shown(f.path)}: {f.problem or 'no exercise of the course in it'}" for f in left
        ]
        mine = [lesson for lesson in lessons if (key, lesson) in placed]
        if not mine and left:
            result.append(Submission(student, "", left[0], notes))
            continue
        for lesson in lessons:
            file, more = _newest(placed.get((key, lesson), []))
            result.append(Submission(student, lesson, file, more + notes))
    return result


def lesson_of(file, exercises):
    """Lesson of a notebook, by the exercises in it, then by its title; of another file by name.

    Parameters
    ----------
    file : Found
    exercises : dict of str to Exercise

    Returns
    -------
    str
        Such as ``"03"``, or nothing.
    """
    known = {id[:2] for id in exercises}
    if file.cells is None:
        # Not the number in a student's name, as in student-03.ipynb.
        name = _shown(file.path).rsplit("/", 1)[-1]
        number = re.match(r"(?i)(?:.*[_\s])?(\d\d)(?!\d).*\.ipynb$", name)
        return number[1] if number and number[1] in known else ""
    lessons = {exercise.name: id[:2] for id, exercise in exercises.items()}
    votes = Counter()
    for source in file.cells.code:
        votes.update({lessons[name] for name in defined(source) if name in lessons})
        votes.update(set(re.findall(r"\bcheck\(\s*[\"'](\d\d)\.\d", source)) & known)
    title = re.match(r"(\d\d)\b.*exercises", file.cells.title, re.IGNORECASE)
    if title and title[1] in known:
        votes[title[1]] += 1
    return votes.most_common(1)[0][0] if votes else ""


def _newest(files):
    """The newest file that can be read, and a note about the others."""
    if not files:
        return None, []
    ranked = sorted(
        files, key=lambda f: (not f.problem, f.modified, _copy_number(f.path), f.path), reverse=True
    )
    notes = [f"{_shown(f.path)}: not graded, {_shown(ranked[0].path)} counts" for f in ranked[1:]]
    return ranked[0], notes


def _copy_number(path):
    found = COPY.search(Path(path).stem)
    return int(next(filter(None, found.groups()), 0)) if found else 0


# Who


def _student(parts, lessons=()):
    """Student of a file, from the folder, the zip or the file at the top."""
    top = _shown(parts[0])
    if len(parts) == 1 or top.lower().endswith(".zip"):
        top = re.sub(r"\.(ipynb|zip)$", "", top, flags=re.IGNORECASE)
    known = MOODLE.fullmatch(top) or CANVAS.fullmatch(top)
    if known:
        return Student(**{k: v.strip() for k, v in known.groupdict().items() if k != "rest"})
    if len(parts) > 1:
        return Student(top.strip() or "?")
    return Student(_name_in(top, lessons))


def _name_in(stem, lessons):
    """Student's name in a file's name: what is left without the lesson and marks of copies."""
    name = COPY.sub("", stem)
    for lesson in lessons:
        words = re.escape(lesson).replace("_", r"[\s_-]+")
        name = re.sub(rf"(?i)(?<![^\W_]){words}(?![^\W_])", " ", name)
        name = re.sub(rf"^{lesson[:2]}(?=[\s_])|(?<=[\s_]){lesson[:2]}$", " ", COPY.sub("", name))
    name = re.sub(r"(?i)\b(exercises?|solutions?|homework|lesson|final)\b", " ", name)
    return re.sub(r"\s+", " ", name).strip(" _-.") or stem


def _empty_ones(found, entries):
    """One entry for every student whose folder at the top holds no notebook."""
    known, empty = {file.student.key for file in found}, []
    for entry in entries:
        if entry.is_symlink() or not entry.is_dir() or entry.name in SKIPPED:
            if not entry.name.lower().endswith(".zip"):
                continue
        student = _student([entry.name, ""] if entry.is_dir() else [entry.name])
        if student.key not in known:
            saw = ", ".join(sorted(_shown(path.name) for path in entry.glob("*"))[:3])
            problem = f"no notebook found, only {saw}" if saw else "no notebook found"
            empty.append(Found(student, entry.name, problem=problem))
    return empty


def _shared_folders(paths):
    """How many folders all files have in common, before those of the students begin."""
    depth = 0
    while len(paths) > 1 and all(len(parts) > depth + 2 for parts in paths):
        if len({parts[depth] for parts in paths}) > 1:
            break
        depth += 1
    return depth


def _shown(name):
    """A file's name that can be printed and written as UTF-8."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "�" for c in text)


# What


def _in_folder(place):
    """Yield (parts of the path, time, content) of the files in a folder.

    The content is a function that opens it, or a text that says why it must not be opened.
    """
    for folder, names, files in os.walk(place):
        names[:] = sorted(name for name in names if name not in SKIPPED)
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for name in sorted(files) + links:
            path, lower = os.path.join(folder, name), name.lower()
            parts = list(Path(path).relative_to(place).parts)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode) and (name in links or lower.endswith(OPENED)):
                yield parts, status.st_mtime, "a link: not followed"
            elif lower.endswith(OPENED + PACKED) and not stat.S_ISREG(status.st_mode):
                yield parts, status.st_mtime, "not a regular file"
            elif lower.endswith(PACKED):
                yield parts, status.st_mtime, "cannot be opened: hand in .ipynb or .zip"
            elif lower.endswith(".ipynb"):
                yield parts, status.st_mtime, lambda path=path: open(path, "rb")
            elif lower.endswith(".zip"):
                for inner, modified, content in _in_zip(lambda path=path: open(path, "rb")):
                    yield parts + inner, modified or status.st_mtime, content


def _in_zip(opened, depth=0):
    """Yield the same for the files in a zip, and in zips inside it."""
    try:
        with opened() as file, _archive(file) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.filename)[:FILES]
    except NotANotebook as error:
        yield [], 0.0, str(error)
        return
    for entry in entries:
        parts = [part for part in entry.filename.replace("\\", "/").split("/") if part != "."]
        lower, modified = entry.filename.lower(), _zip_time(entry)
        if SKIPPED & set(parts) or not lower.endswith(OPENED):
            continue
        content = lambda entry=entry: _Inner(opened, entry)  # noqa: E731
        if ".." in parts or parts[0] == "" or re.match(r"[a-z]:", lower):
            parts = [part for part in parts if part not in ("", "..")]
            yield parts, modified, "its path leads out of the zip: ignored"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            yield parts, modified, "a link: not followed"
        elif lower.endswith(".ipynb"):
            yield parts, modified, content
        elif depth < 2:
            for inner, inner_time, inner_content in _in_zip(content, depth + 1):
                yield parts + inner, inner_time, inner_content


class _Inner(contextlib.AbstractContextManager):
    """A file in a zip, opened for reading; a zip in a zip is read into memory, up to a limit."""

    def __init__(self, opened, entry):
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(_archive(stack.enter_context(opened())))
            with _damage_told():
                self._file = stack.enter_context(archive.open(entry))
            if entry.filename.lower().endswith(".zip"):
                data = self.read(INNER + 1)
                if len(data) > INNER:
                    raise NotANotebook(f"too large: more than {INNER >> 20} MiB")
                self._file = io.BytesIO(data)
                self.seek, self.tell = self._file.seek, self._file.tell
                self.seekable = self._file.seekable
            self.close = stack.pop_all().close

    def __exit__(self, *error):
        self.close()

    def read(self, size=-1):
        """Read; damage is told as NotANotebook."""
        with _damage_told():
            return self._file.read(size)


@contextlib.contextmanager
def _damage_told():
    """Tell every way in which a zip can be damaged as NotANotebook."""
    try:
        yield
    except NotANotebook:
        raise
    except Exception as error:  # also zlib.error and other decoders' own
        text = str(error) if isinstance(error, zipfile.BadZipFile | RuntimeError) else ""
        raise NotANotebook(f"damaged zip: {text or type(error).__name__}") from None


@contextlib.contextmanager
def _archive(file):
    """Open a zip whose list of files is of a size that a student's can have."""
    with _damage_told():
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 65557))
        tail = file.read(65557)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0:
            raise zipfile.BadZipFile("its end is missing")
        # ZIP64, for more than that, has the largest number here.
        if struct.unpack("<I", tail[at + 12 : at + 16])[0] > DIRECTORY:
            raise zipfile.BadZipFile("it lists too many files")
        archive = zipfile.ZipFile(file)
    with archive:
        yield archive


def _zip_time(entry):
    try:
        return time.mktime((*entry.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0


def _read(student, path, modified, content):
    """Read one file."""
    try:
        if isinstance(content, str):
            raise NotANotebook(content)
        with content() as file:
            parsed, digest = _parsed(file)
    except (NotANotebook, OSError) as error:
        return Found(student, path, modified, None, str(error) or type(error).__name__)
    except Exception as error:  # one strange file must not end the run
        return Found(student, path, modified, None, f"cannot be read: {type(error).__name__}")
    return Found(student, path, modified, parsed, "", digest)


def _parsed(file):
    """Cells and digest of a notebook; a large one is parsed in a process of its own.

    That process may run out of memory instead of the grader.
    """
    data = file.read(SMALL + 1)
    digest, size = hashlib.sha256(data), len(data)
    if size <= SMALL:
        return read_cells(data), digest.hexdigest()
    command, pipe = [sys.executable, "-I", cells.__file__], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as parser:
        with contextlib.suppress(BrokenPipeError):
            while data and size <= LARGEST:
                parser.stdin.write(data)
                data = file.read(2**20)
                digest.update(data)
                size += len(data)
            if size > LARGEST:
                parser.kill()
        try:
            answer = json.loads(parser.communicate(timeout=120)[0])
        except (subprocess.TimeoutExpired, ValueError, BrokenPipeError):
            parser.kill()
            answer = {"error": f"too large: {size >> 20} MiB"}
    if "error" in answer:
        raise NotANotebook(answer["error"])
    return Cells(**answer), digest.hexdigest()
