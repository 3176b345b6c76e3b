"""Habits that a reader copies from a lesson: it undoes what it set, and its questions are fair."""

import re

import pytest

from tests.course.test_lessons import LESSONS, by_name
from tests.notebook_format import read

DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
# The sentence of a choice begins with this word if the choice is the right one.
RIGHT = re.compile(r"</summary>\s*Right[.:,]")
# A kernel asks for colours, and Python 3.13 gives them: the text of a traceback then differs.
CHILD = re.compile(r"\bsubprocess\.(run|Popen|check_output)\(|\bPopen\(")
UNCOLOURED = ("PYTHON_COLORS", "NO_COLOR")


def code(path) -> str:
    """Return the code of a notebook."""
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")


def logs_left_silent(source: str) -> bool:
    """Tell whether workers are told to be silent, and never told to speak again."""
    off = source.count("client.run(logging.disable, logging.CRITICAL)")
    return off > source.count("client.run(logging.disable, logging.NOTSET)") or bool(
        re.search(r"client\.run\(.*setLevel|register_worker_callbacks", source)
    )


def reads_coloured_errors(source: str) -> bool:
    """Tell whether the errors of a child process are read, coloured as this kernel asks."""
    reads = CHILD.search(source) and ".stderr" in source
    return bool(reads) and not any(name in source for name in UNCOLOURED)


def places_of_right_choices(text: str) -> list[int]:
    """Return for each question the number of its right choice, from 1."""
    places = []
    for question in re.split(r"^#+ Question \d+", text, flags=re.MULTILINE)[1:]:
        choices = [bool(RIGHT.search(choice)) for choice in DETAILS.findall(question)]
        places += [choices.index(True) + 1] if True in choices else []
    return places


@by_name(LESSONS)
def test_workers_logs_speak_again(path):
    assert not logs_left_silent(code(path))


@by_name(LESSONS)
def test_errors_of_a_child_process_have_no_colours(path):
    assert not reads_coloured_errors(code(path))


@by_name(LESSONS)
def test_the_right_choice_is_not_always_at_the_same_place(path):
    places = places_of_right_choices("\n".join(cell.source for cell in read(path).cells))
    assert len(places) >= 5
    most = max(places.count(place) for place in places)
    assert most < 0.85 * len(places), f"right choices at {places}"


# These functions


@pytest.mark.parametrize(
    ("source", "silent"),
    [
        ("client.run(logging.disable, logging.CRITICAL)", True),
        ("client.register_worker_callbacks(quiet)", True),
        ("client.run(logging.getLogger('distributed').setLevel, 50)", True),
        (
            "client.run(logging.disable, logging.CRITICAL)\n"
            "client.run(logging.disable, logging.NOTSET)",
            False,
        ),
        ("local['silence_logs'] = logging.CRITICAL", False),
    ],
)
def test_a_silence_without_end_is_found(source, silent):
    assert logs_left_silent(source) == silent


@pytest.mark.parametrize(
    ("source", "coloured"),
    [
        ("subprocess.run(command).stderr", True),
        ("subprocess.run(command, env=os.environ | {'PYTHON_COLORS': '0'}).stderr", False),
        ("subprocess.run(command)", False),
    ],
)
def test_a_child_in_colour_is_found(source, coloured):
    assert reads_coloured_errors(source) == coloured


def test_places_are_read():
    choice = "<details><summary>a</summary>{}</details>"
    text = "### Question 1\n" + choice.format("No: b") + "\n" + choice.format("\nRight. c\n")
    assert places_of_right_choices(text + "\n### Question 2\n" + choice.format("Right: d")) == [
        2,
        1,
    ]


@by_name(LESSONS)
def test_plots_are_drawn_in_one_style(path):
    """Axes come from lines, bars and panels of helpers.plots: never bare ones of matplotlib."""
    assert not re.search(r"\bFigure\(|\bplt\.|\.subplots\(", code(path))
