"""The exercises and their grading: references, blanks, wrong answers, other right answers."""

import copy
import doctest
import functools
import importlib
import itertools
import json
from pathlib import Path

import nbformat
import pytest

from helpers.cluster import close_cluster
from helpers.grading.exercise import PUBLIC_SEED, all_exercises, check, judge, observe
from helpers.grading.facts import describe
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
    """Observe an answer and judge it."""
    facts = observe(EXERCISES[id], function, seed)
    # Facts leave the kernel as JSON: judge what is left of them after that.
    return judge(EXERCISES[id], json.loads(json.dumps(facts)), seed)


# The points and the hints of a stored answer are asked for by different tests: it is called once.
stored_result_of = functools.cache(result_of)


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


@pytest.mark.parametrize("id", EXERCISES)
def test_recorded_answers_earn_at_most_half_of_the_points_on_other_seeds(id, solutions):
    """Who writes down what was right for the visible inputs, and in which order, has not solved it.

    Cases, their order, their number and what is right follow from the seed.
    """
    exercise, outcomes = EXERCISES[id], []
    solution = solutions[id[:2]][exercise.name]

    def recording(*args, **kwargs):
        outcomes.append((solution(*args, **kwargs), None))
        return outcomes[-1][0]

    def recording_errors(*args, **kwargs):
        try:
            return recording(*args, **kwargs)
        except Exception as error:
            outcomes.append((None, error))
            raise

    assert result_of(id, recording_errors, PUBLIC_SEED).state == "right"
    for seed in range(1, 11):
        recorded = itertools.cycle(outcomes)

        def replay(*args, recorded=recorded, **kwargs):
            value, error = next(recorded)
            if error:
                raise error
            return value

        result = result_of(id, replay, seed)
        assert 2 * result.points <= exercise.points, f"seed {seed}: {result}"


@pytest.mark.parametrize("answer", WRONG, ids=name_of)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1, 2])
def test_wrong_answer_loses_its_points_and_earns_its_hint(answer, seed):
    assert answer.function.__name__ == EXERCISES[answer.id].name
    result = stored_result_of(answer.id, answer.function, seed)
    assert (result.state, result.points) == ("not yet", answer.points), str(result)
    assert answer.hint in str(result)


@pytest.mark.parametrize("answer", RIGHT, ids=name_of)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1, 2])
def test_another_right_answer_gets_full_marks(answer, seed):
    result = stored_result_of(answer.id, answer.function, seed)
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
            hints = {stored_result_of(id, answer.function, seed).checks[-1].hint for seed in (1, 2)}
            assert len(hints) == 1 or "raised" in hints.pop()


@pytest.fixture(scope="module")
def example_of(solutions):
    """Run the examples of a docstring with the notebook's own names; say what they were given."""

    @functools.cache
    def run(id):
        lesson, name = id[:2], EXERCISES[id].name
        solution, given = solutions[lesson][name], []
        names = dict(solutions[lesson]) | {name: remembering(solution, given)}
        (tests,) = doctest.DocTestFinder(recurse=False).find(solution, name, globs=names)
        report = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(tests, out=report.append)
        close_cluster()
        return given, "".join(report)

    return run


def remembering(function, given):
    """The function; what it was given goes to a list, as text."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        given.append(json.dumps([told(value) for value in (*args, *kwargs.values())]))
        return function(*args, **kwargs)

    return wrapper


def told(value):
    """What an argument is, as far as it can be compared."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list | tuple):
        return [told(item) for item in value]
    if type(value) is type(iter([])):
        return [told(item) for item in copy.copy(value)]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and "://" in value:
        return "address of a worker"
    facts = describe(value)
    return getattr(value, "__name__", facts) if facts == {"type": "function"} else facts


@pytest.mark.parametrize("id", EXERCISES)
def test_the_docstrings_example_runs_in_its_notebook(id, example_of):
    given, report = example_of(id)
    assert given and not report, report


@pytest.mark.parametrize("id", EXERCISES)
def test_the_docstrings_example_is_among_the_observed_inputs(id, example_of, solutions):
    examples, _ = example_of(id)
    assert examples
    for seed in (PUBLIC_SEED, 1):
        given = []
        result_of(id, remembering(solutions[id[:2]][EXERCISES[id].name], given), seed)
        assert set(examples) <= set(given)


def test_every_lesson_has_three_exercises():
    counts = {id[:2]: sum(other[:2] == id[:2] for other in EXERCISES) for id in EXERCISES}
    assert counts and min(counts.values()) >= 3


def test_the_students_copies_are_generated():
    assert generate(COURSE, check_only=True) == []
