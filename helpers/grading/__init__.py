"""Exercises and `check`: what a student's notebook needs to be answered at once.

An answer is a function, found by its name. It is judged in two halves: *observe* calls it in the
student's kernel and describes what came back as plain JSON; *judge* compares these facts with what
must hold and never needs the student's kernel.

Here live the two halves' engine (`exercise`), the words for facts (`facts`), a look at what an
answer computes (`meter`) and at workers (`workers`), and the words that judges share
(`vocabulary`). What an exercise asks is in `lessons`; what an instructor runs is in `grader`, what
an author runs in `handout`, and nothing here imports those two: students do not get them.
"""

from helpers.grading.exercise import check

__all__ = ["check"]
