"""The grading engine: states, points, hints, facts, and the students' copies."""

import json
import sys

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.grading import check
from helpers.grading.exercise import Check, Exercise, judge, observe
from helpers.grading.facts import close, describe


def observe_double(function, seed):
    return describe(function(seed + 2))


def judge_double(facts, seed):
    yield Check(1, "returns an int", facts["type"] == "int", "Return an int.")
    yield Check(2, "is twice the number", facts["value"] == 2 * (seed + 2), "Twice, not more.")


DOUBLE = Exercise("99.1", "double", 3, observe_double, judge_double)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr("helpers.grading.exercise.all_exercises", lambda: {"99.1": DOUBLE})


def double_stub(n):
    """Double it."""
    ...


@pytest.mark.parametrize("stub", [double_stub, lambda n: None])
def test_a_stub_is_not_attempted(stub):
    result = check("99.1", {"double": stub})
    assert (result.state, result.points) == ("not attempted", 0)


def double_passed(n):
    """Double it, and return it."""
    pass  # no return yet


def double_nothing(n):
    """Double it."""
    return None


def test_what_does_nothing_is_not_attempted_and_what_returns_nothing_is():
    assert check("99.1", {"double": double_passed}).state == "not attempted"
    assert check("99.1", {"double": double_nothing}).state == "not yet"


def test_a_missing_function_is_not_attempted():
    result = check("99.1", {})
    assert str(result) == (
        "99.1 double: not attempted, 0 of 3 points\n"
        "  hint: Define a function named double, then run this cell again."
    )


def test_a_right_answer():
    result = check("99.1", {"double": lambda n: n * 2})
    assert str(result) == (
        "99.1 double: right, 3 of 3 points\n  ok  returns an int\n  ok  is twice the number"
    )


def test_the_first_failing_check_ends_the_judging():
    result = check("99.1", {"double": lambda n: str(n)})
    assert (result.state, result.points) == ("not yet", 0)
    assert [c.title for c in result.checks] == ["returns an int"]
    partly = check("99.1", {"double": lambda n: n * 3})
    assert (partly.state, partly.points) == ("not yet", 1)
    assert "hint: Twice, not more." in str(partly)


def test_an_answer_that_knows_the_visible_inputs_fails_on_fresh_ones():
    remembered = {2: 4}
    answer = lambda n: remembered.get(n, 0)  # noqa: E731
    assert check("99.1", {"double": answer}).state == "right"
    assert judge(DOUBLE, observe(DOUBLE, answer, 7), 7).state == "not yet"


def test_an_error_is_told_with_its_line():
    def double(n):
        n += 1
        return n / 0

    text = str(check("99.1", {"double": double}))
    assert (
        "It raised ZeroDivisionError: division by zero (line 3 of your function: return n / 0)"
        in text
    )


async def double_later(n):
    return 2 * n


def double_in_turn(n):
    yield 2 * n


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (3, "double is a value of type int: write a function"),
        (type("double", (), {}), "double is a class: write a function"),
        (double_later, "double does not return: write def and return"),
        (double_in_turn, "double does not return: write def and return"),
    ],
)
def test_what_is_no_plain_function_is_said(thing, words):
    assert words in str(check("99.1", {"double": thing}))


def test_an_answer_that_exits_does_not_end_the_notebook():
    assert "It raised SystemExit: 3" in str(check("99.1", {"double": lambda n: sys.exit(3)}))


def test_the_function_itself_in_place_of_nothing_is_refused():
    with pytest.raises(TypeError, match=r"as in check\('99.1'\)"):
        check("99.1", double_stub)


def test_the_function_is_found_in_the_calling_notebook():
    namespace = {"check": check}
    exec("def double(n):\n    return 2 * n\nresult = check('99.1')", namespace)
    assert namespace["result"].state == "right"


@pytest.mark.parametrize("id", ["99.2", "1", None, 99.1])
def test_an_unknown_exercise_lists_the_near_ones(id):
    with pytest.raises(ValueError, match="did you mean 99.1"):
        check(id, {})


def test_html_shows_the_same_and_escapes_what_students_wrote():
    def double(n):
        raise ValueError("<script>")

    html = check("99.1", {"double": double})._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html
    assert "grading uses fresh ones" in html


FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]})


@pytest.mark.parametrize(
    "value, type_",
    [
        (None, "none"),
        (True, "bool"),
        (np.int64(3), "int"),
        (np.float32(0.5), "float"),
        (np.array(0.5), "float"),
        ("text", "str"),
        ((1, 2), "list"),
        ({"a": 1}, "dict"),
        (np.ones((2, 3)), "array"),
        (FRAME["a"], "series"),
        (FRAME, "table"),
        (dd.from_pandas(FRAME, npartitions=2), "dask table"),
        (dd.from_pandas(FRAME, npartitions=2)["a"], "dask series"),
        (da.ones((4, 2), chunks=2), "dask array"),
        (dask.delayed(3), "delayed"),
        (len, "function"),
        ((i for i in range(3)), "generator"),
    ],
)
def test_facts_name_the_type_and_are_json(value, type_):
    facts = json.loads(json.dumps(describe(value)))
    assert facts["type"] == type_


def test_facts_hold_the_values():
    facts = describe(
        pd.DataFrame({"x": [1.5, np.nan], "when": pd.to_datetime(["2013-01-01", None])})
    )
    assert facts["columns"]["x"] == [1.5, None]
    assert facts["columns"]["when"] == ["2013-01-01 00:00:00", None]
    assert describe(np.array([[1, 2]], "f4")) == {
        "type": "array",
        "dtype": "float32",
        "shape": [1, 2],
        "values": [[1.0, 2.0]],
    }
    assert describe(da.ones((4, 2), chunks=(3, 2)))["chunks"] == [[3, 1], [2]]


def test_facts_of_something_huge_leave_its_values_out():
    facts = describe(np.zeros(10**6))
    assert facts["shape"] == [10**6] and facts["values"] is None


def test_facts_do_not_trust_a_lying_subclass():
    class Liar(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    assert not close(describe(Liar(3.0))["value"], 4.0)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32)))
def test_everything_is_close_to_itself(values):
    assert close(values, list(values))


@pytest.mark.parametrize(
    "value, expected", [([1], [1, 2]), (None, 1.0), ("1", 1.0), ([1, 3], [1, 2]), (1, float("nan"))]
)
def test_what_differs_is_not_close(value, expected):
    assert not close(value, expected)
