"""Read the replies of a program that nobody vouches for.

A reply is a line of JSON. The program behind it may be hostile, so a line can be anything: no text,
no JSON, nested without end, of another shape, about another question. `parse` and `fit` let through
what a reply of the grader's own program can be, and nothing else.
"""

import json

LINE = 3 * 2**20  # bytes of one reply; parsed, it takes some twenty times that
DEEP = 60  # levels of lists and dicts; honest facts have fewer than ten
DIGITS = 300  # a longer number is as good as infinite


class NoReply(ValueError):
    """A line is no reply to what was asked."""


def parse(line):
    """Value of a line of JSON, of limited depth and with numbers that a float can hold.

    Parameters
    ----------
    line : bytes

    Raises
    ------
    NoReply
        If it is none.

    Examples
    --------
    >>> parse(b'{"cell": 3}')
    {'cell': 3}
    """
    try:
        value = json.loads(line.decode("utf-8"), parse_int=_number)
    except (ValueError, RecursionError, MemoryError):
        raise NoReply from None
    level = [value]
    for _ in range(DEEP):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return value
    raise NoReply


def fit(value, shape):
    """The value, if it is a dict with exactly the keys of `shape` and values that pass its tests.

    Parameters
    ----------
    value : object
    shape : dict of str to callable
        A test for the value of each key, such as `is_count`.

    Raises
    ------
    NoReply
        If it is something else.

    Examples
    --------
    >>> fit({"cell": 3}, {"cell": is_count})
    {'cell': 3}
    """
    if type(value) is not dict or value.keys() != shape.keys():
        raise NoReply
    if not all(test(value[name]) for name, test in shape.items()):
        raise NoReply
    return value


def is_count(value):
    """Whether it is a whole number that something could be counted to."""
    return type(value) is int and 0 <= value < 10**6


def is_seconds(value):
    """Whether it is a time that something could have taken; NaN is none."""
    return type(value) in (int, float) and 0 <= value < 10**6


def is_text(value):
    """Whether it is a short text."""
    return type(value) is str and len(value) <= 1000


def is_texts(value):
    """Whether it is a list of a few short texts."""
    return type(value) is list and len(value) <= 20 and all(map(is_text, value))


def is_code(value):
    """Whether it is how a process ended, as subprocess tells it."""
    return type(value) is int and -128 <= value <= 255


def maybe(test):
    """A test that None passes, too."""
    return lambda value: value is None or test(value)


def only(*values):
    """A test that these values pass, and nothing that is merely equal to them."""
    return lambda value: any(type(value) is type(one) and value == one for one in values)


def _number(digits):
    return int(digits) if len(digits) <= DIGITS else float(digits)


def _parts(value):
    """Lists and dicts in a list or dict."""
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return [part for part in parts if type(part) in (dict, list)]
