"""The judges' vocabulary: hostile facts are read, kinds are named, mistakes are found."""

import numpy as np
import pytest

from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import NOTHING, SOMETIMES, Facts, attempt, named, returns

HOSTILE = [
    *(None, 1, "x", [], [[1], 2], {}, {"type": []}, {"type": "list", "items": 7}),
    {"type": "array", "values": [[1], [2, 3]], "shape": [9]},
    {"type": "array", "values": [10**400], "shape": ["a"]},
    {"type": "dict", "items": {"a": 1}},
    {"type": "series", "index": 3, "values": "ab"},
    {"items": [None, "a", [3]]},
    {"columns": {"a": 3}, "computed": 0},
]


@pytest.mark.parametrize("raw", HOSTILE, ids=str)
def test_facts_of_any_shape_are_read(raw):
    facts = Facts(raw)
    assert isinstance(facts.kind, str) and isinstance(facts["x"], Facts)
    assert all(isinstance(item, Facts) for item in [*facts.items, *facts.parts.values()])
    assert isinstance(facts.values, list) and isinstance(facts.mapping, dict)
    assert isinstance(facts.shape, tuple) and isinstance(facts.columns, dict)
    assert facts.value is None and facts.array is None and facts.kinds <= {""}
    assert not returns(1, facts, "list", "a list", of="int").holds


def test_a_value_of_another_type_is_the_default():
    facts = Facts({"tasks": True, "made": "x", "moved": 1})
    assert (facts.get("tasks", 0), facts.get("made", []), facts.get("moved", False)) == (
        0,
        [],
        False,
    )


def test_described_values_are_read_as_they_were():
    facts = Facts(describe(np.arange(6.0).reshape(2, 3)))
    assert facts.shape == (2, 3) and np.array_equal(facts.array, np.arange(6.0).reshape(2, 3))
    assert Facts(describe([1, "a"])).values == [1, "a"]
    assert Facts(describe({"a": 1, "b": None})).mapping == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, NOTHING),
        ("three", "Return a list of whole numbers, not str."),
        ({"a": 1}, "The values only."),
        ([1, "a"], "Return a list of whole numbers."),
        ([], "Return a list of whole numbers."),
        (len, "call it"),
    ],
    ids=str,
)
def test_a_wrong_kind_is_named(value, words):
    answer = Facts(describe(value))
    check = returns(1, answer, "list", "a list of whole numbers", of="int", dict="The values only.")
    assert not check.holds and words in check.hint


@pytest.mark.parametrize("kind", ["delayed", "dask array", "dask series", "dask table", "future"])
def test_a_plan_or_a_promise_is_told_alone_and_in_a_list(kind):
    words = "promise" if kind == "future" else "a plan and not yet"
    for facts in ({"type": kind}, {"type": "list", "items": [{"type": kind}]}):
        assert words in returns(1, Facts(facts), "list", "a list of numbers", of="int").hint


def test_nothing_for_some_inputs_is_told_apart_from_nothing_at_all():
    number, nothing = Facts(describe(1)), Facts(describe(None))
    assert returns(1, [number, nothing], "int", "a number").hint == SOMETIMES
    assert returns(1, [nothing, nothing], "int", "a number").hint == NOTHING
    assert not returns(1, [], "int", "a number").holds


def test_a_number_of_any_size_can_be_compared():
    assert not close(10**400, 1.0) and close(np.array([1.0, np.nan]), [1, float("nan")])
    assert named([1, 2], {"twice": [2, 4], "same": [1, 2]}, "other") == "same"


def test_an_attempt_gives_the_error_as_facts():
    assert attempt(lambda: 3) == {"value": 3}
    assert attempt(lambda: int("x"))["error"] == "ValueError"
