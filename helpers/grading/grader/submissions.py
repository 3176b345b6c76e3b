"""Which file counts: for every student and lesson, one notebook, and words about the others."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from helpers.grading.grader.cells import Cells, outline, read_cells
from helpers.grading.grader.identity import Student, copy_number

FEW = 3  # files named in one note


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
    problem : str
        Why there are no cells.
    digest : str
        SHA-256 of its bytes.
    functions : dict of str to str
        Digests of the answers in it, as in `cells.Outline`.
    checks : list of str
    title : str
    stored : pathlib.Path or None
        Where its code is.
    lessons : list of str
        What the mapping file says it is; else nothing.
    """

    student: Student
    path: str
    modified: float = 0.0
    problem: str = ""
    digest: str = ""
    functions: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    title: str = ""
    stored: Path | None = None
    lessons: list[str] = field(default_factory=list)

    @property
    def cells(self):
        """The code, from disk: a class's code need not fit into memory."""
        if self.stored is None:
            return None
        return Cells(**json.loads(self.stored.read_text(encoding="ascii")))


@dataclass
class Submission:
    """What counts of one student in one lesson."""

    student: Student
    lesson: str
    file: Found | None
    notes: list[str] = field(default_factory=list)


@dataclass
class Doubt:
    """Something that the instructor is asked.

    Attributes
    ----------
    text : str
    lines : list of tuple of str
        Lines for the mapping file that would settle it: path, student, lesson.
    """

    text: str
    lines: list[tuple[str, ...]] = field(default_factory=list)


def reference_of(path, exercises):
    """Digests of the answers in a reference solution, by the function's name."""
    return outline(read_cells(Path(path).read_bytes()), {e.name for e in exercises}).functions


def sort_out(found, exercises, lessons=(), references=None):
    """Choose, for every student and lesson, the file that counts.

    Parameters
    ----------
    found : list of Found
    exercises : dict of str to Exercise
    lessons : sequence of str
        Only these; none means all that somebody handed in.
    references : dict of str to dict, optional
        For each lesson what `reference_of` gives.

    Returns
    -------
    submissions : list of Submission
        One for every student and every lesson; ``file`` is None where nothing was handed in. A
        student with nothing that can be placed has one for the lesson "".
    doubts : list of Doubt
        Notebooks with two lessons in them.
    """
    students = {}
    for file in sorted(found, key=lambda file: file.path):
        students.setdefault(file.student.key, []).append(file)
    sorted_out = {
        key: _Sorted(files, exercises, lessons, references or {})
        for key, files in sorted(students.items())
    }
    lessons = sorted(lessons) or sorted({x for each in sorted_out.values() for x in each.handed})
    submissions = [item for each in sorted_out.values() for item in each.submissions(lessons)]
    return submissions, [doubt for each in sorted_out.values() for doubt in each.doubts]


class _Sorted:
    """The files of one student, by lesson."""

    def __init__(self, files, exercises, lessons, references):
        self.files, self.exercises, self.references = files, exercises, references
        self.placed, self.others, self.doubts = {}, [], []
        only = lessons[0] if len(lessons) == 1 else ""
        more = []
        for file in files:
            if _is_solution(file):
                self.others.append((file, "the course's own solution: never graded"))
                continue
            mine = file.lessons or lessons_of(file, exercises)
            mine = mine or ([only] if only and file.problem else [])
            if not mine:
                words = file.problem or "no exercise of the course in it"
                self.others.append((file, words))
            for lesson in mine[: len(file.lessons) or 1]:
                self.placed.setdefault(lesson, []).append(file)
            more += [(lesson, file) for lesson in mine[len(file.lessons) or 1 :]]
        for lesson, file in more:
            if lesson not in self.placed:
                self.placed[lesson] = [file]
                both = " ".join(sorted(lessons_of(file, exercises)))
                text = f"{file.path}: lessons {both.replace(' ', ' and ')} in one notebook"
                self.doubts.append(Doubt(text, [(file.path, file.student.name, both)]))
        # A clone of the course holds every lesson: what is still blank was not handed in.
        solved = {lesson for lesson in self.placed if self._is_answered(lesson)}
        self.handed = solved or set(self.placed)

    def _is_answered(self, lesson):
        first = self._ranked(lesson)[0]
        return bool(first.problem or any(self._answers(first, lesson).values()))

    def _answers(self, file, lesson):
        """Digests of a file's answers to a lesson's exercises, by the function's name."""
        names = {e.name for id, e in self.exercises.items() if id[:2] == lesson}
        return {name: digest for name, digest in file.functions.items() if name in names}

    def submissions(self, lessons):
        """One for each lesson."""
        student = self.files[0].student
        notes = _told(self.others)
        if self.others and not any(lesson in self.placed for lesson in lessons):
            return [Submission(student, "", self.others[0][0], notes)]
        result = []
        for lesson in lessons:
            ranked = self._ranked(lesson)
            file = ranked[0] if ranked else None
            more = _told([(other, f"not graded, {file.path} counts") for other in ranked[1:]])
            if file and self._looks_copied(file, lesson):
                more.insert(0, "please look: the answers are those of the course's solution")
            result.append(Submission(student, lesson, file, more + notes))
        return result

    def _ranked(self, lesson):
        """Files of a lesson; the first counts.

        What can be read comes first, what is the student's own before what came with the course,
        a whole notebook before a single function, then the newest.
        """

        def rank(file):
            mine = self._answers(file, lesson)
            return (
                not file.problem,
                not self._is_reference(file, lesson),
                "solutions" not in _folders(file),
                bool(file.checks) or len(mine) > 1,
                any(mine.values()) or "exercises" in _folders(file),
                file.modified,
                copy_number(Path(file.path).stem),
                file.path,
            )

        return sorted(self.placed.get(lesson, []), key=rank, reverse=True)

    def _is_reference(self, file, lesson):
        wanted = self.references.get(lesson)
        return bool(wanted) and all(file.functions.get(k) == v for k, v in wanted.items())

    def _looks_copied(self, file, lesson):
        wanted = self.references.get(lesson, {})
        given = {name: digest for name, digest in self._answers(file, lesson).items() if digest}
        return len(given) > 2 and all(wanted.get(name) == given[name] for name in given)


def _folders(file):
    return [part.casefold() for part in file.path.split("/")[:-1]]


def _is_solution(file):
    return not file.lessons and _folders(file)[-2:] == ["course", "solutions"]


def _told(files):
    """A note for each reason, with the first files."""
    return told([(file.path, words) for file, words in files], FEW)


def told(files, most):
    """Lines about files: one for each reason, which names the first `most`.

    Examples
    --------
    >>> told([("a.pdf", "no notebook"), ("b.pdf", "no notebook"), ("c", "a link")], 1)
    ['a.pdf and 1 more: no notebook', 'c: a link']
    """
    reasons = {}
    for path, reason in files:
        reasons.setdefault(reason, []).append(path)
    return [
        f"{', '.join(paths[:most])}{f' and {len(paths) - most} more' * (len(paths) > most)}: {why}"
        for why, paths in reasons.items()
    ]


def lessons_of(file, exercises):
    """Lessons of a notebook, by the exercises in it, then by its title; of another file by name.

    Parameters
    ----------
    file : Found
    exercises : dict of str to Exercise

    Returns
    -------
    list of str
        Such as ``["03"]``: the lesson with most in it first, then those whose functions are
        defined, too.
    """
    known = {id[:2] for id in exercises}
    if file.problem:
        # Not the number in a student's name, as in student-03.ipynb.
        name = file.path.rsplit("/", 1)[-1]
        number = re.match(r"(?i)(?:.*[_\s])?(\d\d)(?!\d).*\.ipynb$", name[:300])
        return [number[1]] if number and number[1] in known else []
    lessons = {exercise.name: id[:2] for id, exercise in exercises.items()}
    defined = Counter(lessons[name] for name in file.functions if name in lessons)
    votes = defined + Counter(id[:2] for id in file.checks if id[:2] in known)
    title = re.match(r"(\d\d)\b.*exercises", file.title, re.IGNORECASE)
    if title and title[1] in known:
        votes[title[1]] += 1
    ranked = [lesson for lesson, _ in votes.most_common()]
    return ranked[:1] + sorted(lesson for lesson in ranked[1:] if lesson in defined)
