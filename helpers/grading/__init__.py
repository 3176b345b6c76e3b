"""Exercises, `check` for students, and the tools for instructors.

An answer is a function, found by its name. It is judged in two halves: *observe* calls it in the
student's kernel and describes what came back as plain JSON; *judge* compares these facts with what
must hold and never needs the student's kernel.
"""

from helpers.grading.exercise import check

__all__ = ["check"]
