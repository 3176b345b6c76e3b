"""Who handed in what, and what is doubtful about it; a mapping file settles doubts."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from helpers.grading.grader.identity import (
    Student,
    canvas_file,
    from_lms,
    is_nobody,
    lesson_number,
    look,
    name_in,
    normal,
    odd_number,
    shown,
    without_lessons,
)
from helpers.grading.grader.mapping import Who
from helpers.grading.grader.submissions import Doubt, Found, lessons_of

ENDINGS = r"ipynb|zip|ipynb\..*|pdf|html?|docx?|odt|py|rar|7z|t?gz|tar|png|jpg"
HANDED_IN = re.compile(rf"(?i).+\.({ENDINGS})")
FEW = 5  # examples in one doubt


@dataclass
class HandedIn:
    """Everything that was handed in.

    Attributes
    ----------
    files : list of Found
        What may be a notebook.
    left : list of tuple
        ``(student or None, path, reason)`` of other files.
    doubts : list of Doubt
    """

    files: list[Found] = field(default_factory=list)
    left: list[tuple[Student | None, str, str]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)


def identify(place, units, exercises, lessons, spool, who=None):
    """Tell whose everything is.

    Parameters
    ----------
    place, units
        As `reading.read_class` gives them.
    exercises : dict of str to Exercise
    lessons : sequence of str
        Names of the lessons' notebooks without ``.ipynb``, to tell them from students' names.
    spool : pathlib.Path
        Where the code is.
    who : Who, optional

    Returns
    -------
    HandedIn

    Raises
    ------
    ValueError
        If the mapping file names a path that is not there.
    """
    return _Class(place, units, exercises, lessons, spool, who or Who()).handed_in()


@dataclass
class _Unit:
    """A folder, a zip or a file at the top: as a rule, one student's."""

    name: str
    folder: bool
    files: list[Found]
    left: list[tuple[str, str]]
    more: dict
    problem: str
    student: Student | None = None
    guessed: bool = False  # words or a number were left out of its name

    @property
    def stem(self):
        ending = r"(?i)\.(ipynb|zip)$" if self.folder else r"(?i)(\.ipynb)?\.\w{1,5}$"
        return re.sub(ending, "", self.name) or self.name


class _Class:
    def __init__(self, place, units, exercises, lessons, spool, who):
        self.place, self.exercises, self.names, self.who = place, exercises, lessons, who
        self.out = HandedIn()
        self.units = [_unit(name, unit, spool) for name, unit in units.items()]
        paths = {p for unit in self.units for p in self._paths(unit)}
        there = {
            "/".join(parts[:n]) for parts in map(_parts, paths) for n in range(1, len(parts) + 1)
        }
        for path in who.rows:
            if path not in there:
                raise ValueError(f"{who.lines[path]}: nothing was handed in as {path}")

    def _paths(self, unit):
        return [unit.name, *(file.path for file in unit.files), *(path for path, _ in unit.left)]

    def handed_in(self):
        self._name([unit for unit in self.units if not self._is_settled(unit)])
        for unit in self.units:
            self._take(unit)
        self._compare()
        return self.out

    def _is_settled(self, unit):
        """Whether the mapping file says whose everything in a unit is."""
        paths = [file.path for file in unit.files] or [unit.name]
        return all(self.who.of(path) is not None for path in paths)

    # Names

    def _name(self, units):
        """Give each unit a student; ask where that is a guess."""
        self._name_lms(units)
        others = [unit for unit in units if not unit.student and _counts(unit)]
        for unit in others:
            unit.student, unit.guessed = Student(unit.name), False
            if not unit.folder:
                name, unit.guessed = name_in(unit.stem, self.names)
                unit.student = Student(name or unit.stem)
            elif without_lessons(unit.name, self.names) not in ("", unit.name.strip(" _-.")):
                unit.student = Student(without_lessons(unit.name, self.names))
        self._numbers_of_lessons([unit for unit in others if not unit.folder])
        nameless = [unit for unit in others if is_nobody(unit.student.name, self.names)]
        full = [unit for unit in units if unit.student and unit.files]
        inner = {inner[1] for unit in nameless for inner in self._proposals(unit)}
        if nameless and all(unit in nameless for unit in full or nameless) and not _unlike(inner):
            self._one_student(nameless, units)
        else:
            for unit in nameless:
                text = f"{unit.name}: is this a student's name?"
                self.out.doubts.append(Doubt(text, self._proposals(unit) or [(unit.name, "")]))
            self._groups([unit for unit in others if unit not in nameless])
            self._went_down(full)
        self._odd_numbers([unit for unit in others if not unit.folder])

    def _name_lms(self, units):
        """Names and numbers in the shapes of Moodle and Canvas."""
        for unit in units:
            unit.student = from_lms(unit.name, unit.folder)
        of_canvas = [unit for unit in units if unit.student and unit.student.canvas]
        times = Counter(canvas_file(unit.name) for unit in of_canvas)
        for unit in of_canvas:
            if times[canvas_file(unit.name)] > 1:  # Canvas numbers its files
                unit.student = None
        for kind in ("moodle", "canvas"):
            numbers = {}
            for unit in units:
                if unit.student and getattr(unit.student, kind):
                    numbers.setdefault(getattr(unit.student, kind), []).append(unit)
            for number, those in numbers.items():
                if len({unit.student.name for unit in those}) > 1:
                    text = f"{kind.title()}'s number {number} has two names: {_names(those)}"
                    self.out.doubts.append(Doubt(text, _lines(those)))

    def _numbers_of_lessons(self, units):
        """Take "03" out of "anna_03" where it is the lesson, for all of anna's files or none."""
        alike = {}
        for unit in units:
            number, rest = lesson_number(unit.student.name)
            if number and not is_nobody(rest, self.names):
                alike.setdefault(normal(rest), []).append((unit, number, rest))
        known = {id[:2] for id in self.exercises}
        for those in alike.values():
            fits = [number in (self._lessons(unit) or known) for unit, number, _ in those]
            glued = all(re.search(r"[^\W\d_]\d+$", unit.student.name) for unit, *_ in those)
            if all(fits) and (len(those) > 1 or not glued):
                for unit, _, rest in those:
                    unit.student, unit.guessed = Student(rest), True

    def _lessons(self, unit):
        return {x for file in unit.files for x in lessons_of(file, self.exercises)}

    def _one_student(self, nameless, units):
        """One student's folder was named, not that of a class."""
        for name in reversed(self.place.above):
            stem = re.sub(r"(?i)\.(zip|ipynb)$", "", name)
            student = from_lms(name, folder=True) or from_lms(name) or Student(stem)
            if not is_nobody(stem, self.names):
                break
        else:
            student = Student(re.sub(r"(?i)\.(zip|ipynb)$", "", self.place.above[0]) or "somebody")
            self._ask(f"no name anywhere: one student, {student.name}?", nameless)
        for unit in units:
            unit.student, unit.guessed = student, False
        lessons = Counter(x for unit in nameless if not unit.folder for x in self._lessons(unit))
        if twice := [lesson for lesson, count in sorted(lessons.items()) if count > 1]:
            text = (
                f"lesson {twice[0]} several times and no name: all of one student, {student.name}?"
            )
            self._ask(text, nameless)

    def _ask(self, text, units):
        self.out.doubts.append(Doubt(text, _lines(units)))

    def _groups(self, units):
        """Ask whether a folder holds the work of several students."""
        for unit in units:
            by_lesson = {}
            for file in self._unsettled(unit):
                for lesson in lessons_of(file, self.exercises):
                    if inner := self._inner(unit, file):
                        by_lesson.setdefault(lesson, set()).add(inner[1])
            if any(_unlike(names) for names in by_lesson.values()):
                text = f"{unit.name}: a student, or a group of students?"
                self.out.doubts.append(Doubt(text, self._proposals(unit)))

    def _inner(self, unit, file):
        """Path and name of the first thing in a unit that may be a person's; None if none is."""
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            stem = re.sub(r"(?i)\.(ipynb|zip)$", "", parts[depth])
            name, _ = name_in(stem, self.names)
            number, rest = lesson_number(name)
            name = rest if number else name
            if name and not is_nobody(name, self.names) and _unlike({unit.student.name, name}):
                return "/".join(parts[: depth + 1]), name
        return None

    def _proposals(self, unit):
        files = self._unsettled(unit)
        return sorted({inner for file in files if (inner := self._inner(unit, file))})

    def _unsettled(self, unit):
        return [file for file in unit.files if self.who.of(file.path) is None]

    def _went_down(self, units):
        """Ask whether the only folder there is was a student's, not the class's."""
        names = [name for name in self.place.above[1:] if not is_nobody(name, self.names)]
        lessons = Counter(x for unit in units for x in self._lessons(unit))
        lms = any(unit.student.moodle or unit.student.canvas for unit in units)
        if names and units and not lms and max(lessons.values(), default=0) < 2:
            text = f"{'/'.join(self.place.above[1:])}: a class, or the student {names[-1]}?"
            self.out.doubts.append(Doubt(text, [(unit.name, names[-1]) for unit in units]))

    def _odd_numbers(self, units):
        found = [(unit, odd_number(without_lessons(unit.stem, self.names))) for unit in units]
        odd = [unit for unit, number in found if number]
        if odd:
            few = ", ".join(f"{unit.name} ({number})" for unit, number in found if number)
            few = few if len(odd) <= FEW else f"{odd[0].name}, {odd[1].name}{_and_more(odd, 2)}"
            text = f"a number of an LMS, a date, or a part of the name? {few}"
            self.out.doubts.append(Doubt(text, _lines(odd)))

    # Files

    def _take(self, unit):
        """Give everything in a unit to its student, or to whom the mapping file says."""
        whose = self.who.of(unit.name)
        mine = _mapped(unit, whose) if whose else unit.student
        problem, files, left = unit.problem, [], []
        for file in unit.files:
            row = self.who.of(file.path)
            student = _mapped(unit, row) if row else mine
            if student:
                files.append(replace(file, student=student, lessons=row[1] if row else []))
            else:
                left.append((file.path, f"left out by {self.who.name}" if row else file.problem))
        left += unit.left
        if whose and not whose[0]:
            left = left or [(unit.name, f"left out by {self.who.name}")]
        elif mine and not files:
            files.append(Found(mine, unit.name, problem=problem or _nothing(unit, left)))
            left = left if unit.folder else []
        elif problem and mine:
            files.append(Found(mine, unit.name, problem=problem))
        self.out.files += files
        left += [(unit.name, f"{count} more: {reason}") for reason, count in unit.more.items()]
        for path, reason in left:
            row = self.who.of(path)
            self.out.left.append((_mapped(unit, row) if row else mine, path, reason))

    # Students

    def _compare(self):
        """Ask about students who may be one, or who are one and may be two."""
        by_number = {normal(f.student.name): f.student for f in self.out.files if _number(f)}
        numbered = Counter(
            normal(s.name) for s in {f.student for f in self.out.files if _number(f)}
        )
        for position, file in enumerate(self.out.files):
            name = normal(file.student.name)
            if self.who.of(file.path) and not _number(file) and numbered[name] == 1:
                self.out.files[position] = replace(file, student=by_number[name])
        keys, looks = {}, {}
        for file in self.out.files:
            keys.setdefault(file.student.key, []).append(file)
            looks.setdefault(look(file.student.name), {})[file.student] = file
        for files in keys.values():
            self._one_key(files)
        for students in looks.values():
            keys = {student.key for student in students}
            unnumbered = [student for student in students if not (student.moodle or student.canvas)]
            settled = all(self.who.of(file.path) for file in students.values())
            if len(keys) > 1 and unnumbered and not settled:
                names = " and ".join(student.label for student in students)
                lines = [(_top(file.path), student.name) for student, file in students.items()]
                self.out.doubts.append(Doubt(f"{names}: one student?", lines))

    def _one_key(self, files):
        """Ask about files that became one student's though their names differ."""
        tops = {_top(file.path): file for file in files if not self.who.of(file.path)}
        guessed = [unit for unit in self.units if unit.name in tops and unit.guessed]
        names = {file.student.name for file in files}
        if len(names) > 1 and not tops:
            text = f"{' and '.join(sorted(names))} are too alike: give them names that differ more"
            self.out.doubts.append(Doubt(text))
        elif len(names) > 1 or (guessed and len({_top(file.path) for file in files}) > 1):
            few = ", ".join(list(dict.fromkeys(_top(file.path) for file in files))[:FEW])
            name = files[0].student.name
            text = f"{few}{_and_more(tops)}: all of one student, {name}?"
            self.out.doubts.append(Doubt(text, [(top, name) for top in tops]))


def _unit(name, unit, spool):
    files = []
    for file in unit["files"]:
        path = "/".join(map(shown, file["path"]))
        stored = spool / file["stored"] if file["stored"] else None
        same = {k: file[k] for k in ("problem", "digest", "functions", "checks", "title")}
        modified = file["modified"]
        files.append(Found(None, path, modified, stored=stored, **same))
    left = [("/".join(map(shown, parts)), reason) for parts, reason in unit["left"]]
    folder = unit.get("folder", "." not in name)
    return _Unit(shown(name), folder, files, left, unit["more"], unit["problem"])


def _counts(unit):
    """Whether something at the top may be handed in; a list of names or a text is not."""
    return unit.folder or unit.files or unit.problem or HANDED_IN.fullmatch(unit.name)


def _mapped(unit, row):
    """The student of a row of the mapping file; numbers in an LMS's shape stay."""
    if not row[0]:
        return None
    lms = from_lms(unit.name, unit.folder)
    return replace(lms, name=row[0]) if lms else Student(row[0])


def _number(file):
    return file.student.moodle or file.student.canvas


def _parts(path):
    return path.split("/")


def _top(path):
    return path.split("/")[0]


def _nothing(unit, left):
    """Words for a student without a notebook."""
    if not unit.folder and left:
        return left[0][1]
    saw = ", ".join(path.removeprefix(f"{unit.name}/") for path, _ in left[:3])
    return f"no notebook found, only {saw}" if saw else "no notebook found"


def _names(units):
    return ", ".join(dict.fromkeys(unit.student.name for unit in units))


def _lines(units):
    return [(unit.name, unit.student.name) for unit in units]


def _and_more(found, most=FEW):
    return f" and {len(found) - most} more" if len(found) > most else ""


def _unlike(names):
    """Whether some names have no word in common."""
    words = [set(re.split(r"[\s\W_]+", normal(name))) for name in names]
    return any(not one & two for one in words for two in words)
