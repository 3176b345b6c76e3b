"""The plan of a run: who handed in what, which files count, and what is doubtful."""

import csv
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from helpers.grading.grader.mapping import read_who
from helpers.grading.grader.reading import read_class
from helpers.grading.grader.submissions import Doubt, Submission, reference_of, sort_out, told
from helpers.grading.grader.who import identify

FEW = 5  # files of one reason on the screen
SETTLE = """\
To settle doubts, put what is true into a file (an empty student leaves a path out), for example

{lines}
and name it with --who FILE. Or take the plan as it is, with --accept-doubts.
"""


@dataclass
class Plan:
    """What a run will do.

    Attributes
    ----------
    submissions : list of Submission
    doubts : list of Doubt
    left : list of tuple
        ``(student or None, path, reason)`` of files that are no notebooks.
    """

    submissions: list[Submission]
    doubts: list[Doubt]
    left: list[tuple]

    def text(self, most=FEW):
        """The plan in words; of the files left for one reason, the first `most` are named."""
        students = {}
        for item in self.submissions:
            students.setdefault(item.student.key, []).append(item)
        left = {}
        for student, path, reason in self.left:
            left.setdefault(student and student.key, []).append((path, reason))
        lines = [self._headline(students)]
        for key, items in students.items():
            lines += _of_student(items, told(left.pop(key, []), most))
        rest = [each for those in left.values() for each in those]
        if rest:
            lines += [f"{'of nobody':30}      left: {line}" for line in told(rest, most)]
        return "\n".join(lines) + "\n\n" + self._doubts()

    def _headline(self, students):
        files = [item for item in self.submissions if item.lesson and item.file]
        lessons = sorted({item.lesson for item in files})
        said = f"{_count(len(students), 'student')}, {_count(len(files), 'notebook')}"
        return f"{said} of {_count(len(lessons), 'lesson')}: {', '.join(lessons) or 'none'}\n"

    def _doubts(self):
        if not self.doubts:
            return "No doubts.\n"
        text = io.StringIO()
        lines = dict.fromkeys(line for doubt in self.doubts for line in doubt.lines)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("path", "student", "lesson"), *((*line, "")[:3] for line in lines)])
        told = [f"{number}. {doubt.text}" for number, doubt in enumerate(self.doubts, 1)]
        settle = SETTLE.format(lines=text.getvalue())
        return "\n".join([f"{_count(len(told), 'doubt')}:", *told, "", settle])


def make_plan(submissions, course, exercises, spool, lessons=(), who=None, step=None):
    """Read what was handed in, and plan.

    Parameters
    ----------
    submissions : pathlib.Path
        A folder, one zip of a whole class, or one notebook.
    course : pathlib.Path
        The course folder, whose solutions tell names of lessons.
    exercises : dict of str to Exercise
    spool : pathlib.Path
        A folder for the code of the notebooks.
    lessons : sequence of str
        Only these; none means all that somebody handed in.
    who : pathlib.Path, optional
        A mapping file.
    step : callable, optional
        Called with the number of submissions read and their number in all.

    Returns
    -------
    Plan

    Raises
    ------
    FileNotFoundError
        If there is nothing at `submissions`.
    ValueError
        If it cannot be read, or something is wrong with the mapping file.
    """
    if not Path(submissions).exists():
        raise FileNotFoundError(f"there is no folder or zip {submissions}")
    mapping = read_who(who, {id[:2] for id in exercises}) if who else None
    solutions = sorted((Path(course) / "solutions").glob("*.ipynb"))
    references = {}
    for path in solutions:
        mine = [exercise for id, exercise in exercises.items() if id[:2] == path.name[:2]]
        references[path.name[:2]] = reference_of(path, mine)
    spool.mkdir(parents=True, exist_ok=True)
    names = {exercise.name for exercise in exercises.values()}
    place, units = read_class(submissions, spool, names, step or (lambda done, total: None))
    titles = [path.stem for path in solutions]
    handed_in = identify(place, units, exercises, titles, spool, mapping)
    items, doubts = sort_out(handed_in.files, exercises, lessons, references)
    return Plan(items, handed_in.doubts + doubts, handed_in.left)


def _of_student(items, left):
    """Lines about one student."""
    lines, problems = [], {item.file.problem for item in items if item.file}
    for item in items:
        if item.file:
            why = item.file.problem or ("" if item.lesson else "no exercise of the course in it")
            lines.append(f"{item.lesson or '--'}  {item.file.path}{why and f': {why}'}")
    notes = dict.fromkeys(note for item in items for note in item.notes)
    lines += [f"    {note}" for note in notes if note.split(": ", 1)[-1] not in problems]
    lines += [f"    left: {line}" for line in left]
    label = items[0].student.label
    start = [f"{label:30}  {lines.pop(0)}"] if len(label) <= 30 and lines else [label]
    return start + [f"{'':30}  {line}" for line in lines]


def _count(number, word):
    return f"{number} {word}{'' if number == 1 else 's'}"


def show_plan(options, exercises, show, step):
    """Make the plan, print it, and forget it.

    Returns
    -------
    int
        1 if doubts would stop the run, else 0.
    """
    with tempfile.TemporaryDirectory() as spool:
        plan = make_plan(
            *(options.submissions, options.course, exercises, Path(spool)),
            *(options.lessons, options.who, step),
        )
    show(plan.text())
    return 1 if plan.doubts and not options.accept_doubts else 0
