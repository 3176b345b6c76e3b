"""Observers hold no answers: what lies around where students' code runs is worth nothing.

The observers are loaded as a submission sees them, without judges. A spy solves the exercise, and
at each call compares the right answer with every value within reach: locals of the frames that
called it, globals of the observers' module, what its functions give for the seed, what is inside
all these, and plain things made of them. A thief then returns what was found, without any work, on
another seed.
"""

import collections
import importlib
import inspect
import json
import types

import numpy as np
import pandas as pd
import pytest

from helpers.grading.exercise import judge, observe
from helpers.grading.facts import close, describe
from helpers.grading.grader.package import without_judges
from tests.grading.lessons.test_exercises import EXERCISES, solutions  # noqa: F401

MADE = {
    **{"itself": lambda v: v, "length": len, "sum": sum, "list": list, "sorted": sorted},
    **{"keys": lambda v: [*v.keys()], "largest": max, "truth": lambda v: v is not None},
    **{"lengths": lambda v: [len(item) for item in v], "counts": collections.Counter},
    **{"array": np.asarray, "joined": np.concatenate},
}


@pytest.fixture
def observers(monkeypatch):
    """Load a lesson's module without its judges, in place of the whole one."""

    def load(lesson):
        name = f"helpers.grading.lessons.lesson_{lesson}"
        source = inspect.getsource(importlib.import_module(name))
        module = types.ModuleType(name)
        monkeypatch.setitem(__import__("sys").modules, name, module)
        exec(compile(without_judges(source), f"<observers of {lesson}>", "exec"), vars(module))
        return module

    return load


def within_reach(module, given):
    """Yield (place, value): the module's globals, the callers' locals, what functions give.

    What the student's function was given is no find.
    """
    names = {name: value for name, value in vars(module).items() if name[:2] != "__"}
    places = {("module", name): value for name, value in names.items()}
    frame = inspect.currentframe().f_back.f_back
    while frame and frame.f_code.co_name != "observe":
        places |= {(frame.f_code.co_name, n): v for n, v in list(frame.f_locals.items())}
        seed = frame.f_locals.get("seed", 0)
        frame = frame.f_back
    for name, value in names.items():
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["seed"]:
            places["call", name] = value(seed)
    for place, value in places.items():
        if not any(value is one for one in given):
            yield from opened(place, value)


def opened(place, value, levels=3):
    """Yield a value and what is inside it, some levels deep, and 50 things of each at most."""
    yield place, value
    if isinstance(value, dict):
        inside = list(value.items())[:50]
    elif isinstance(value, list | tuple | collections.deque):
        inside = list(enumerate(value))[:50]
    elif isinstance(value, types.SimpleNamespace):
        inside = list(vars(value).items())[:50]
    else:
        inside = []
    for key, item in inside if levels else ():
        if isinstance(key, str | int | tuple):
            yield from opened((*place, key), item, levels - 1)


def made_of(value):
    """Yield (how, thing) for plain things that are made of a value in one step."""
    plain = (bool, int, float, str, list, tuple, dict, np.ndarray, pd.DataFrame, pd.Series)
    for how, make in MADE.items() if isinstance(value, plain) else ():
        try:
            yield how, make(value)
        except Exception:
            continue


def alike(one, other):
    """Whether two descriptions say the same, numbers nearly."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(alike(a, b) for a, b in zip(one, other, strict=True))
    return close(one, other)


@pytest.mark.parametrize("id", EXERCISES)
def test_nothing_within_reach_of_an_answer_is_the_answer(id, observers, solutions):  # noqa: F811
    exercise, module = EXERCISES[id], observers(id[:2])
    (seen,) = [other for other in module.EXERCISES if other.id == id]
    solution, found, calls = solutions[id[:2]][exercise.name], collections.Counter(), []
    asked = []

    def spy(*args, **kwargs):
        asked.append(args)
        given = [*args, *kwargs.values()]
        reach = list(within_reach(module, given))
        things = [(place, how, t) for place, value in reach for how, t in made_of(value)]
        described = [(place, how, describe(thing)) for place, how, thing in things]
        answer = solution(*args, **kwargs)
        if hasattr(answer, "__dask_graph__"):
            return answer  # a plan is work by itself, and to describe it would run it
        right = describe(answer)
        calls.append(right)
        found.update({(place, how) for place, how, facts in described if alike(facts, right)})
        return answer

    result = judge(exercise, observe(seen, solution, 1), 1)
    assert result.state == "right", str(result)
    observe(seen, spy, 1)  # not judged: where memory is measured, the spy's own counts
    assert asked
    # A truth value is everywhere. What is right in half of the calls is a find.
    suspects = [spot for spot, n in found.most_common() if 2 * n >= len(calls)]
    for place, how in suspects[:20]:

        def thief(*args, place=place, how=how, **kwargs):
            for there, value in within_reach(module, [*args, *kwargs.values()]):
                if there == place:
                    return MADE[how](value)

        facts = json.loads(json.dumps(observe(seen, thief, 2)))
        result = judge(exercise, facts, 2)
        assert 2 * result.points <= exercise.points, f"{how} of {place}: {result}"
