"""Submissions that cheat, break or hang, each with what must come out of grading it.

A hostile submission is the reference solution of a lesson with something done to it. Whatever is
not named in its `expected` must get full marks. Code in a submission that gets somewhere it must
not raises an error that says LEAK.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

COURSE = Path(__file__).parents[2] / "course"
SECRET = "hostile-was-here"  # names of files and processes that must not outlive the grading
HOSTILE = []
LEFT_OUT = {"01.5": "not attempted"}  # it imports scikit-learn, a second for every submission


@dataclass
class Hostile:
    """A submission and what must come out: the start of a status for each exercise not right."""

    name: str
    make: Callable
    lesson: str
    expected: dict = field(default_factory=dict)
    note: str = ""
    folder: bool = False
    alone: bool = False


def hostile(lesson="01", note="", alone=False, **expected):
    """Register a function that changes a `Book`. ``_3="timed out"`` is about exercise NN.3.

    What asks for no note may share a submission with others, see `shared`, if it is not `alone`:
    what it leaves behind would hide what they do.
    """

    def register(make):
        statuses = dict(LEFT_OUT) if lesson == "01" else {}
        statuses |= {f"{lesson}.{number[1:]}": status for number, status in expected.items()}
        name = make.__name__.replace("_", "-")
        HOSTILE.append(Hostile(name, make, lesson, statuses, note, alone=alone))
        return make

    return register


def handed_in(lesson="01", note="", **expected):
    """Register a function that writes its files itself: ``make(place, name, book)``."""

    def register(make):
        hostile(lesson, note, **expected)(make)
        HOSTILE[-1].folder = True
        return make

    return register


class Book:
    """Code cells of a solution, to be changed."""

    def __init__(self, lesson, folder="solutions"):
        (path,) = (COURSE / folder).glob(f"{lesson}_*.ipynb")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        self.cells = [
            "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"
        ]
        if lesson == "01":
            self.cells = [cell for cell in self.cells if "delay_model" not in cell]
            self.cells[0] = self.cells[0].replace("backend.ml", "None")

    def find(self, name):
        """Position of the cell that defines a function."""
        return next(i for i, cell in enumerate(self.cells) if f"def {name}(" in cell)

    def answer(self, name, body, arguments="*inputs, **named"):
        """Replace an answer."""
        lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
        self.cells[self.find(name)] = f"def {name}({arguments}):\n{lines}"

    def wrap(self, name, body):
        """Put something around an answer; in it, ``answer(*inputs)`` is the right one."""
        lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
        cell = f"answer_of_{name} = {name}\n\n\ndef {name}(*inputs, **named):\n"
        cell += f"    answer = answer_of_{name}\n{lines}"
        self.cells.insert(self.find(name) + 1, cell)

    def first(self, source):
        """Put a cell at the beginning."""
        self.cells.insert(0, source.strip("\n"))

    def last(self, source):
        """Put a cell at the end."""
        self.cells.append(source.strip("\n"))

    def notebook(self):
        """The notebook as a dict, format 4."""
        code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        cells = [{**code, "source": source} for source in self.cells]
        return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}

    def write(self, path):
        """Write the notebook."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.notebook()), encoding="utf-8")


# Starting is most of what a submission costs: what needs no process of its own shares one.

SLOTS = {"count_missing": "01.1", "share_late": "01.2", "standardize": "01.3"}  # 01.4 stays honest
CELLS = 4  # cases that add cells, in one submission


@dataclass
class Submission:
    """What one student hands in: `expected` holds for each case what it is about."""

    name: str
    book: Book
    expected: dict  # name of a case: {exercise: the start of its status}


def shared(cases):
    """Put cases into submissions: answers beside answers, cells after cells, the others alone.

    Parameters
    ----------
    cases : list of Hostile
        Those that do not write their files themselves.

    Returns
    -------
    list of Submission
    """
    whole, answers, cells = [], [], []
    for case in cases:
        book, plain = Book(case.lesson), Book(case.lesson).cells
        case.make(book)
        number = None if case.lesson != "01" else book.find("count_missing")
        first = book.cells[: -len(plain)]
        if case.alone or case.note or case.lesson != "01":
            whole.append(Submission(case.name, book, {case.name: case.expected}))
        elif case.expected == LEFT_OUT and book.cells == [*first, *plain]:
            cells.append((case, first))
        elif case.expected.keys() == {*LEFT_OUT, "01.1"} and _same_but(number, book.cells, plain):
            answers.append((case, book.cells[number]))
        else:
            whole.append(Submission(case.name, book, {case.name: case.expected}))
    return [*whole, *_beside(answers), *_one_after_another(cells)]


def _same_but(number, cells, others):
    """Whether one cell makes the difference."""
    return cells[:number] == others[:number] and cells[number + 1 :] == others[number + 1 :]


def _beside(answers):
    """Three answers in each submission, dealt out like cards: slow ones stand side by side."""
    # What uses its inputs can only be the answer that it was written for.
    answers = sorted(answers, key=lambda answer: "inputs[" not in answer[1])
    count = -(-len(answers) // len(SLOTS))
    made = [Submission(f"answers-{n}", Book("01"), {}) for n in range(count)]
    for number, (case, cell) in enumerate(answers):
        one = made[number % count]
        name, id = list(SLOTS.items())[number // count]
        one.book.cells[one.book.find(name)] = cell.replace("count_missing", name)
        one.expected[case.name] = {id: case.expected["01.1"]}
    return made


def _one_after_another(cells):
    """Four cases' cells in each submission: what ends it is left out at the next start."""
    made = []
    for number in range(0, len(cells), CELLS):
        one = Submission(f"cells-{number // CELLS}", Book("01"), {})
        for case, first in cells[number : number + CELLS]:
            one.book.cells[:0] = first
            one.expected[case.name] = {}
        made.append(one)
    return made
