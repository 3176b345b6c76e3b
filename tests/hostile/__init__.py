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


def hostile(lesson="01", note="", **expected):
    """Register a function that changes a `Book`. ``_3="timed out"`` is about exercise NN.3."""

    def register(make):
        statuses = dict(LEFT_OUT) if lesson == "01" else {}
        statuses |= {f"{lesson}.{number[1:]}": status for number, status in expected.items()}
        HOSTILE.append(Hostile(make.__name__.replace("_", "-"), make, lesson, statuses, note))
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
