"""The exercises and their grading: references, blanks, wrong answers, other right answers."""

import importlib
import json
from pathlib import Path

import nbformat
import pytest

from helpers.grading.exercise import PUBLIC_SEED, all_exercises, check, judge, observe
from helpers.grading.handout.generate import generate
from tests.answers import RIGHT, WRONG

COURSE = Path(__file__).parents[3] / "course"
EXERCISES = all_exercises()
SEEDS = range(10)

for lesson in sorted({id[:2] for id in EXERCISES}):
    importlib.import_module(f"tests.answers.lesson_{lesson}")


def answers(folder, lesson):
    """The names that a notebook defines, without running its checks."""
    (path,) = (COURSE / folder).glob(f"{lesson}_*.ipynb")
    namespace = {"__name__": "__main__"}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code" and not cell.source.startswith("check("):
            exec(compile(cell.source, str(path), "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def solutions():
    return {lesson: answers("solutions", lesson) for lesson in {id[:2] for id in EXERCISES}}


@pytest.fixture(scope="module")
def blanks():
    return {lesson: answers("exercises", lesson) for lesson in {id[:2] for id in EXERCISES}}


def result_of(id, function, seed):
    facts = observe(EXERCISES[id], function, seed)
    # Facts leave the kernel as JSON: judge what is left of them after that.
    return judge(EXERCISES[id], json.loads(json.dumps(facts)), seed)


def name_of(answer):
    return f"{answer.id}-{answer.function.__code__.co_firstlineno}"


@pytest.mark.parametrize("id", EXERCISES)
def test_reference_solution_gets_full_marks_on_ten_seeds(id, solutions):
    exercise = EXERCISES[id]
    for seed in SEEDS:
        result = result_of(id, solutions[id[:2]][exercise.name], seed)
        assert (result.state, result.points) == ("right", exercise.points), str(result)
        assert sum(c.points for c in result.checks) == exercise.points


@pytest.mark.parametrize("id", EXERCISES)
def test_blank_copy_is_not_attempted(id, blanks):
    result = check(id, blanks[id[:2]])
    assert (result.state, result.points) == ("not attempted", 0)


@pytest.mark.parametrize("answer", WRONG, ids=name_of)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1, 2])
def test_wrong_answer_loses_its_points_and_earns_its_hint(answer, seed):
    assert answer.function.__name__ == EXERCISES[answer.id].name
    result = result_of(answer.id, answer.function, seed)
    assert (result.state, result.points) == ("not yet", answer.points), str(result)
    assert answer.hint in str(result)


@pytest.mark.parametrize("answer", RIGHT, ids=name_of)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1, 2])
def test_another_right_answer_gets_full_marks(answer, seed):
    result = result_of(answer.id, answer.function, seed)
    assert (result.state, result.points) == ("right", EXERCISES[answer.id].points), str(result)


@pytest.mark.parametrize("id", EXERCISES)
def test_each_exercise_has_its_wrong_answers_and_other_right_ones(id):
    wrong = [answer for answer in WRONG if answer.id == id]
    assert len(wrong) >= 5
    assert len({answer.hint for answer in wrong}) >= 3
    assert sum(answer.id == id for answer in RIGHT) >= 2


@pytest.mark.parametrize("id", EXERCISES)
def test_hints_do_not_show_what_was_expected(id):
    """The same wrong answer earns the same hint on every seed: no expected value is in it."""
    for answer in WRONG:
        if answer.id == id:
            hints = {result_of(id, answer.function, seed).checks[-1].hint for seed in (1, 2)}
            assert len(hints) == 1 or "raised" in hints.pop()


def test_every_lesson_has_three_exercises():
    counts = {id[:2]: sum(other[:2] == id[:2] for other in EXERCISES) for id in EXERCISES}
    assert counts and min(counts.values()) >= 3


def test_the_students_copies_are_generated():
    assert generate(COURSE, check_only=True) == []
