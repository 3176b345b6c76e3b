"""What judges ask and say again and again: reading facts, kinds of values, named mistakes.

Facts come from a process where a student's code ran, so they may be anything: `Facts` reads them
without ever failing. Nothing here knows what any exercise expects.
"""

import numpy as np

from helpers.grading.exercise import Check
from helpers.grading.facts import close

PLAIN = {"bool", "int", "float", "str"}
PLANS = {"delayed", "dask array", "dask series", "dask table"}
NOTHING = "Nothing came back: end the function with return."
SOMETIMES = "For some inputs nothing came back: let every way through the function return."
PROMISE = "That is one future, a promise: .result() waits for what it promises."
EXAMPLE = "The example in the docstring comes out otherwise: run it, and compare."
PROMISES = "Those are futures, promises of results: client.gather waits and brings them here."


class Facts:
    """Facts of any shape, read as a judge needs them: what is missing is empty, never an error.

    Parameters
    ----------
    raw : object
        What `describe` gave, or a dict of such facts. What is no dict is read as an empty one.

    Examples
    --------
    >>> facts = Facts({"answer": {"type": "list", "items": [{"type": "int", "value": 3}]}})
    >>> facts["answer"].kind, facts["answer"].kinds, facts["answer"].values
    ('list', {'int'}, [3])
    >>> facts["other"].kind, facts.get("tasks", 0)
    ('', 0)
    """

    def __init__(self, raw):
        self.raw = raw if isinstance(raw, dict) else {}

    def __getitem__(self, name):
        """Return the facts under a name."""
        return Facts(self.raw.get(name))

    def get(self, name, default):
        """Return what stands under a name if it has the type of the default, else the default."""
        value = self.raw.get(name)
        return value if type(value) is type(default) else default

    def list_of(self, name, kind):
        """Return those items of the list under a name that have this type."""
        return [item for item in self.get(name, []) if type(item) is kind]

    def each(self, name, count):
        """Return the facts in the list under a name, as many as asked for; missing ones empty."""
        found = [Facts(item) for item in self.get(name, [])[:count]]
        return found + [Facts(None)] * (count - len(found))

    @property
    def kind(self):
        """Type of the described value, as text."""
        return self.get("type", "")

    @property
    def value(self):
        """A number, a text, a truth value; None for all else, and for what no float can hold."""
        value = self.raw.get("value")
        if isinstance(value, int) and abs(value) > 1e300:
            return None
        return value if isinstance(value, bool | int | float | str) else None

    @property
    def parts(self):
        """Facts of the values of a dict, by key."""
        return {key: Facts(item) for key, item in self.get("items", {}).items()}

    @property
    def items(self):
        """Facts of the items of a list, or of the values of a dict."""
        return [*map(Facts, self.get("items", [])), *self.parts.values()]

    @property
    def kinds(self):
        """Types of the items."""
        return {item.kind for item in self.items}

    @property
    def values(self):
        """Plain values of an array, of a series or of the items of a list."""
        return self.get("values", []) or [item.value for item in self.items]

    @property
    def mapping(self):
        """Plain values of a dict, or of a series, by key."""
        if self.kind == "series":
            return dict(zip(map(str, self.get("index", [])), self.values, strict=False))
        return {key: item.value for key, item in self.parts.items()}

    @property
    def columns(self):
        """Values of the columns of a table, also of one that Dask computed, by name."""
        table = self["computed"] if "computed" in self.raw else self
        columns = table.get("columns", {})
        return {name: v if isinstance(v, list) else [] for name, v in columns.items()}

    @property
    def shape(self):
        """Shape of an array; empty if it is none."""
        return tuple(self.get("shape", []))

    @property
    def array(self):
        """The values as float64 array of the described shape, None as NaN; None if impossible."""
        try:
            return np.array(self.raw["values"], "float64").reshape(self.raw["shape"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def returns(points, answer, kind, what, *, of=None, shape=None, title=None, **hints):
    """Check that what came back is of the right kind; if not, say what it is instead.

    Parameters
    ----------
    points : int
    answer : Facts or list of Facts
        What `describe` said of the answer; of several ones (cases), all must be right.
    kind : str or tuple of str
        The right types, as `describe` names them.
    what : str
        What should have come, in words that follow "Return" and "returns".
    of : str or tuple of str, optional
        The right types of the items of a list or of the values of a dict; there must be some.
    shape : tuple of int, optional
        The right shape of an array.
    title : str, optional
        Default: "returns …".
    **hints : str
        What to say of some kinds, by `describe`'s name with _ for blanks; "plan" is any lazy Dask
        object, alone or in a list, "future" also a list of futures. Under a right kind: what to
        say if its items or its shape are wrong.

    Returns
    -------
    Check

    Examples
    --------
    >>> three = Facts({"type": "list", "items": [{"type": "int", "value": 3}]})
    >>> returns(1, three, "list", "a list of whole numbers", of="int").holds
    True
    >>> returns(1, three, "int", "one whole number", list="Add them up.").hint
    'Add them up.'
    """
    kind = (kind,) if isinstance(kind, str) else kind
    answers = answer if isinstance(answer, list) else [answer]
    wrong = [a for a in answers if not _is_of(a, kind, of, shape)]
    hint = _say(wrong[0], kind, what, hints) if wrong else ""
    if len(wrong) < len(answers) and hint == NOTHING:
        hint = SOMETIMES
    return Check(points, title or f"returns {what}", bool(answers) and not wrong, hint)


def _is_of(answer, kind, of, shape):
    """Whether an answer has the right kind, kinds of items and shape, and values to match."""
    of = (of,) if isinstance(of, str) else of
    items = of is None or (
        bool(answer.items) and all(_is_of(item, of, None, None) for item in answer.items)
    )
    plain = answer.kind not in PLAIN or type(answer.value).__name__ == answer.kind
    filled = answer.kind != "array" or answer.array is not None
    shaped = shape is None or answer.shape == tuple(shape)
    return answer.kind in kind and items and plain and filled and shaped


def _say(answer, kind, what, hints):
    """The hint for a value of the wrong kind, or with wrong items or shape."""
    held = {answer.kind} | (answer.kinds if answer.kind == "list" else set())
    if held & PLANS:
        plan = hints.get("plan", f"That is a plan and not yet {what}: compute it.")
        return hints.get(answer.kind.replace(" ", "_"), plan)
    if "future" in held:
        return hints.get("future", PROMISES if answer.kind == "list" else PROMISE)
    if answer.kind == "function" and "function" not in hints:
        return "That is a function: call it, and return what it gives."
    if answer.kind == "none" and "none" not in hints:
        return NOTHING
    almost = answer.kind in kind or not answer.kind
    other = f"Return {what}." if almost else f"Return {what}, not {answer.kind}."
    return hints.get(answer.kind, other)


def named(value, mistakes, other, same=close):
    """The hint of the mistake that gives this value.

    Parameters
    ----------
    value : object
    mistakes : dict
        Hint → the value that the mistake gives; the first that fits is taken.
    other : str
        The hint if none fits.
    same : callable, optional

    Returns
    -------
    str

    Examples
    --------
    >>> named(6, {"Those are twice as many.": 6, "That is one.": 1}, "Count again.")
    'Those are twice as many.'
    """
    return next((hint for hint, wrong in mistakes.items() if same(value, wrong)), other)


def with_example(check, holds):
    """The check, which fails, too, if the docstring's example does not come out right.

    Examples
    --------
    >>> with_example(Check(2, "the shares", True, ""), holds=False).hint
    'The example in the docstring comes out otherwise: run it, and compare.'
    """
    return check if holds or not check.holds else check._replace(holds=False, hint=EXAMPLE)


def reordered(values, expected):
    """Whether a list holds what was expected, in any order.

    Examples
    --------
    >>> reordered([3, 1], [1, 3]), reordered([1, 1], [1, 3])
    (True, False)
    """
    return isinstance(values, list) and sorted(map(str, values)) == sorted(map(str, expected))


def attempt(work):
    """Call a function without arguments; give its value or its error, as facts.

    Returns
    -------
    dict
        ``{"value": …}``, or ``{"error": name of the exception, "text": its message}``.

    Examples
    --------
    >>> attempt(lambda: int("x"))["error"]
    'ValueError'
    """
    try:
        return {"value": work()}
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)[:300]}


def mixed(rng, cases):
    """Give the cases of an exercise in an order that follows from the seed.

    Parameters
    ----------
    rng : numpy.random.Generator
    cases : dict
        Name → case.

    Returns
    -------
    dict

    Examples
    --------
    >>> sorted(mixed(np.random.default_rng(0), {"a": 1, "b": 2}).items())
    [('a', 1), ('b', 2)]
    """
    return {name: cases[name] for name in rng.permutation(list(cases)).tolist()}


def by_case(facts, cases):
    """Read a list of facts, one for each case, by the names of the cases.

    Observers list them without names: a name would tell a student's function what is expected.

    Examples
    --------
    >>> by_case([{"type": "int"}], ["one", "two"])["two"].kind
    ''
    """
    listed = facts if isinstance(facts, list) else []
    return dict(zip(cases, map(Facts, [*listed, *[None] * len(cases)]), strict=False))
