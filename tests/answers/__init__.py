"""Wrong answers that learners give, and other right ones, for every exercise."""

from typing import NamedTuple

WRONG, RIGHT = [], []


class Answer(NamedTuple):
    id: str
    function: object
    points: int | None = None
    hint: str = ""


def wrong(id, *, points, hint):
    """Register a wrong answer with the points it must get and words its hint must contain."""

    def register(function):
        WRONG.append(Answer(id, function, points, hint))
        return function

    return register


def right(id):
    """Register another right answer: it must get full marks."""

    def register(function):
        RIGHT.append(Answer(id, function))
        return function

    return register
