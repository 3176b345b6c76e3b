"""helpers.waiting: whoever watches sees how far work is; outputs of notebooks stay the same."""

import io
from types import SimpleNamespace

import pytest

from helpers import waiting
from helpers.waiting import steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def streams(monkeypatch):
    """Where work that takes long writes to: a terminal."""
    streams = SimpleNamespace(stdout=Terminal(), stderr=Terminal())
    monkeypatch.setattr(waiting, "DELAY", 0)
    monkeypatch.setattr(waiting, "sys", streams)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return streams


def is_taken_away(text):
    """Whether the last line was overwritten with blanks."""
    return text.endswith("\r") and not text.split("\r")[-2].strip()


def test_a_terminal_shows_the_steps_and_is_clean_at_the_end(streams):
    assert list(steps(["a", "b"], "writing", "files")) == ["a", "b"]
    text = streams.stderr.getvalue()
    assert "writing" in text and "/2" in text and "files" in text and is_taken_away(text)
    assert not streams.stdout.getvalue(), "it can go on into a pipe"


def test_an_open_notebook_shows_them(streams, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "course/03.ipynb")
    streams.stdout, streams.stderr = io.StringIO(), io.StringIO()
    list(steps(range(2), "training", "rounds"))
    assert "training" in streams.stdout.getvalue() and not streams.stderr.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), None])  # None: a program without a window
def test_nothing_is_written_where_nobody_watches(streams, stream):
    streams.stderr = stream
    assert list(steps(range(3), "training", "rounds")) == [0, 1, 2]
    assert not streams.stdout.getvalue() and not (stream and stream.getvalue())


def test_short_work_shows_nothing(streams, monkeypatch):
    monkeypatch.setattr(waiting, "DELAY", 3600)
    assert list(steps(range(3), "training", "rounds")) == [0, 1, 2]
    assert not streams.stderr.getvalue()


def test_the_line_goes_when_work_ends_early(streams):
    for _ in steps(range(9), "at most", "iterations"):
        break
    assert "at most" in streams.stderr.getvalue() and is_taken_away(streams.stderr.getvalue())
