"""Tell who somebody is from the names of folders and files, without dropping letters.

What is sure comes from here; what is a guess is marked as one, and `plan` asks about it.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

# The shapes that Moodle and Canvas write, and nothing near them. Canvas: the sortable name in small
# letters without spaces, the user's and the file's numbers, and the name that the file had.
MOODLE = re.compile(r"(?P<name>.+)_(?P<moodle>[1-9]\d*)_assignsubmission_[a-z]+(?:_.*)?")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<canvas>[1-9]\d*)_(?P<file>[1-9]\d*)_.+")
COPY = re.compile(r"(?:\s*\((\d+)\)|[\s_-]*(?<![^\W_])copy[\s_-]*(\d*))\s*$", re.IGNORECASE)
NUMBER = re.compile(r"(?:^(\d\d?)(?=[\s_-])|(?:(?<=[\s_-])|(?<=[^\W\d_]))(\d\d?)$)")
LONG = re.compile(r"(?<![^\W_])\d{4,}(?![^\W_])|(?<![^\W_])\d+[_-]\d+(?![^\W_])")
ABOUT_WORK = "exercises? solutions? homeworks? hw lessons? final answers? assignments?".split()
NOBODY = [
    *ABOUT_WORK,
    *"templates? course notebooks? untitled files? work src main master class tests? data".split(),
    *"submissions? attempts? try versions? old new backup drafts? copy weeks? days?".split(),
    *"downloads? documents desktop project uploads? handed in out part task sheet".split(),
]
NUMBERED = "students? groups? teams? users? participants? sections?".split()
UNSAFE = set('<>:"/\\|?*~%')  # in the names of files, somewhere
JOINERS = "\u200c\u200d"  # they change letters in Persian and Indian scripts


@dataclass(frozen=True)
class Student:
    """Who handed in. ``moodle`` and ``canvas`` are the numbers of these systems' downloads."""

    name: str
    moodle: str = ""
    canvas: str = ""

    @property
    def key(self):
        """The name as part of a file's name, in its own script.

        Small and capital letters, and all that separates words, are the same in it; everything
        else that differs stays different.

        Examples
        --------
        >>> Student("Anna  Lee").key, Student("C++").key, Student("★").key
        ('anna-lee', 'c++', '★')
        """
        text = normal(self.name)
        words = re.sub(r"[\s_.\-]+", "-", text).strip("-") or text
        key = "-".join(filter(None, [words, self.moodle, self.canvas]))
        key = "".join(c if _fine(c) and c not in UNSAFE else f"~{ord(c):x}~" for c in key)
        if len(key.encode()) <= 100:
            return key
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return f"{key.encode()[:80].decode(errors='ignore')}~{digest}"

    @property
    def label(self):
        """The name, with the LMS's number."""
        number = f"Moodle {self.moodle}" if self.moodle else ""
        number = f"Canvas {self.canvas}" if self.canvas else number
        return f"{self.name} ({number})" if number else self.name


def normal(name):
    """A name without differences that nobody sees or means: composed, in small letters."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)


def look(name):
    """What is left of a name when one looks at it fleetingly; equal looks are a doubt."""
    text = re.sub(r"\\(x..|u....|U.{8})", "", normal(name))  # what `shown` wrote
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if not re.match(r"[\s_.\-]", c) and c.isprintable())


def shown(name):
    r"""A file's name that can be printed and written as UTF-8; other names stay others.

    Examples
    --------
    >>> print(shown("a\x1bb"))
    a\x1bb
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape")
    text = text.decode("utf-8", "backslashreplace")
    return "".join(c if _fine(c) else c.encode("unicode_escape").decode() for c in text)


def _fine(character):
    return character.isprintable() or character in JOINERS


def from_lms(name, folder=False):
    """Student of a file or folder as Moodle or Canvas name it, or None.

    Examples
    --------
    >>> from_lms("Anna Lee_4004_assignsubmission_file_", folder=True).moodle
    '4004'
    >>> from_lms("smith_2026_01_homework.ipynb") is None  # a date
    True
    """
    if match := MOODLE.fullmatch(name):
        return Student(match["name"].strip(), moodle=match["moodle"])
    match = None if folder else CANVAS.fullmatch(name)
    if not match or match["name"] != match["name"].lower() or not re.search(r"\D", match["name"]):
        return None
    word = all(c.isalnum() or unicodedata.category(c)[0] == "M" for c in match["name"])
    year = re.fullmatch(r"(19|20)\d\d(\d{4})?", match["canvas"])
    if not word or year or len(match["file"]) < 3:
        return None
    return Student(match["name"], canvas=match["canvas"])


def canvas_file(name):
    """The number of the file in Canvas's name of it; Canvas gives each number once."""
    return CANVAS.fullmatch(name)["file"]


def without_lessons(stem, lessons):
    """The name of a file or folder without the whole names of lessons, however they are joined."""
    name = stem
    for lesson in lessons:
        words = re.escape(lesson).replace("_", r"[\s_-]+")
        name = re.sub(rf"(?i)(?<![^\W_]){words}(?![^\W_])", " ", name)
    return _tidy(name)


def name_in(stem, lessons):
    """Student's name in the name of a loose file or zip.

    Parameters
    ----------
    stem : str
        The file's name without its ending.
    lessons : sequence of str
        Names of the lessons' notebooks without ``.ipynb``.

    Returns
    -------
    name : str
        What is left without the lesson; may be empty.
    guessed : bool
        Whether something else was left out, too, such as "homework" or "(2)".

    Examples
    --------
    >>> name_in("03_mnmg_kmeans_anna", ["03_mnmg_kmeans"])
    ('anna', False)
    >>> name_in("anna homework (2)", [])
    ('anna', True)
    """
    name = without_lessons(stem, lessons)
    words = "|".join(ABOUT_WORK)
    less = re.sub(rf"(?i)(?<![^\W_])(?:{words})\d*(?![^\W_])", " ", COPY.sub("", name))
    return _tidy(less), _tidy(less) != name or _tidy(stem) != stem


def lesson_number(name):
    """A number at the start or the end of a name that may be a lesson's, and the rest.

    Examples
    --------
    >>> lesson_number("01 anna"), lesson_number("anna3"), lesson_number("anna")
    (('01', 'anna'), ('03', 'anna'), ('', 'anna'))
    """
    match = NUMBER.search(name)
    if not match:
        return "", name
    number = match[1] or match[2]
    return number.zfill(2), _tidy(name[: match.start()] + name[match.end() :])


def is_nobody(name, lessons=()):
    """Whether a name names no person but a part of the course, or work in general.

    Examples
    --------
    >>> is_nobody("hw1"), is_nobody("student"), is_nobody("student 1"), is_nobody("★")
    (True, True, False, False)
    """
    text, _ = name_in(normal(name), lessons)
    known = {word for lesson in lessons for word in lesson.lower().split("_")[1:]}
    words = re.findall(r"[^\W_]+", text)
    if not words:
        return not text
    patterns = NOBODY if re.search(r"\d", text) else NOBODY + NUMBERED
    nobody = re.compile(rf"(?:{'|'.join(patterns)})?\d{{0,2}}")
    return all(nobody.fullmatch(word) or word in known for word in words)


def odd_number(name):
    """A number in a file's name that may be an LMS's, a date or a part of the name; or nothing."""
    found = LONG.search(name)
    return found[0] if found and re.search(r"[^\W\d_]", name) else ""


def copy_number(stem):
    """Number that a browser or a file manager gives to a copy."""
    found = COPY.search(stem)
    return int(next(filter(None, found.groups()), 0)) if found else 0


def _tidy(name):
    return re.sub(r"\s+", " ", name).strip(" _-.")
