"""Observing a submission: what runs with it, what comes back, and its limits."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.grading.exercise import all_exercises
from helpers.grading.exercise import observe as observe_here
from helpers.grading.grader import memory
from helpers.grading.grader.grade import Options, grade
from helpers.grading.grader.libraries import Libraries
from helpers.grading.grader.marking import row_of
from helpers.grading.grader.package import copy_without_judges, without_judges
from helpers.grading.grader.replies import DEEP, NoReply, fit, only, parse
from helpers.grading.grader.sandbox import Ended, Sandbox, TimedOut, protection
from helpers.grading.grader.visit import ANSWER, CELL, CannotStart, Visit
from tests.hostile import Book
from tests.notebook_format import ROOT

EXERCISES = all_exercises()
works, reason = protection()
needs_bubblewrap = pytest.mark.skipif(
    not works, reason=f"needs bubblewrap: {reason}; apt install bubblewrap, Linux only"
)


# What runs with a submission


@pytest.mark.parametrize("lesson", sorted({id[:2] for id in EXERCISES}))
def test_what_runs_with_students_has_no_judge(lesson):
    source = (ROOT / "helpers" / "grading" / "lessons" / f"lesson_{lesson}.py").read_text(
        encoding="utf-8"
    )
    text = without_judges(source)
    names = {"__name__": f"helpers.grading.lessons.lesson_{lesson}"}
    exec(compile(text, lesson, "exec"), names)
    judges = [EXERCISES[id].judge.__name__ for id in EXERCISES if id[:2] == lesson]
    assert not [name for name in judges if name in text]
    assert "hint" not in text and "Check(" not in text
    assert [e.judge for e in names["EXERCISES"]] == [None] * len(judges)
    assert [e.id for e in names["EXERCISES"]] == [id for id in EXERCISES if id[:2] == lesson]


@needs_bubblewrap
def test_where_one_exercise_is_observed_nothing_of_the_others_is_left(open_box):
    look = (
        "def count_missing(table):\n"
        "    import helpers.grading.lessons.lesson_01 as lesson\n"
        "    return {name: 0 for name in vars(lesson)}"
    )
    with open_box() as box:
        run(begun(box), look)
        question = {"id": "01.1", "seed": 1, "seconds": 60, "nonce": "n"}
        box.send({"do": "observe", **question})
        text = json.dumps(box.receive(60, ANSWER)["facts"])
    assert "_observe_count" in text and "_observe_share" not in text


def test_observers_without_judges_observe_the_same():
    source = (ROOT / "helpers" / "grading" / "lessons" / "lesson_03.py").read_text(encoding="utf-8")
    names = {"__name__": "alone"}
    exec(without_judges(source), names)
    for exercise in names["EXERCISES"][:2]:
        answer = lambda *inputs: [repr(each) for each in inputs]  # noqa: E731
        same = observe_here(EXERCISES[exercise.id], answer, 3)
        assert observe_here(exercise, answer, 3) == same and "error" not in same


# What comes back


class Scripted:
    """A sandbox that answers as a list says; an exception is raised."""

    tail, asked, memory = b"why", [], 4

    def __init__(self, replies):
        self.replies = list(replies)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def send(self, message):
        self.message = message
        self.asked.append(message)

    def receive(self, seconds, shape):
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        try:
            return fit(parse(line_of(self.message, reply)), shape)
        except NoReply:
            raise Ended("wrote into the grader's pipe") from None

    def held(self):
        return 0


def line_of(message, reply):
    """A line with what an honest program answers, but for what the reply says."""
    if not isinstance(reply, dict):
        return reply
    honest = {
        "prepare": lambda lesson: {"ready": lesson},
        "run": lambda cell, source: {"cell": cell, "error": None, "running": 0},
        "observe": lambda id, nonce, seed, seconds: {
            **{"id": id, "nonce": nonce, "facts": None, "seconds": 0.0},
            **{"none": None, "code": None, "noticed": []},
        },
    }
    rest = {key: value for key, value in message.items() if key != "do"}
    return json.dumps(honest[message["do"]](**rest) | reply).encode()


def visited(*boxes, cells=("a = 1",), seconds=10, box=Scripted):
    boxes = iter(boxes)
    Scripted.asked = []
    seeds = {"01.1": 1, "01.2": 2}
    return Visit(list(cells), "01", seeds, lambda: box(next(boxes)), seconds).run()


FACTS, FINE = {"facts": 3, "seconds": 0.5}, {}


def test_a_sandbox_that_does_not_start_costs_nobody_a_point():
    with pytest.raises(CannotStart, match="ended the process with exit code 1\nwhy"):
        visited([Ended("ended the process with exit code 1")])


def test_after_a_hang_the_rest_is_observed_in_a_new_process():
    visit = visited([FINE, FINE, FACTS, TimedOut()], [FINE, FINE, TimedOut()])
    assert visit.observed["01.1"].facts == 3
    assert visit.observed["01.2"].happened == "timed out"


STRANGE = [
    *[b"7", b"[]", b"null", b"\xff\xfe", b"", b"{", b"[" * 10**5, b"1" * 10**5, b"\x00"],
    *[{"nonce": "guessed"}, {"id": "01.2"}, {"none": "right"}, {"more": 1}, {"facts": None}],
    *[{"seconds": float("nan")}, {"seconds": -1}, {"seconds": True}, {"seconds": 10**400}],
    *[{"noticed": "x"}, {"noticed": [["x"]]}, {"noticed": ["x"] * 100}, {"noticed": ["x" * 5000]}],
    *[{"none": "ended"}, {"none": "ended", "code": 10**9}, {"none": ["missing"]}, {"code": "0"}],
    {"facts": 3, "none": "stub"},
]


@pytest.mark.parametrize("reply", [*STRANGE, Ended("wrote")], ids=lambda reply: str(reply)[:30])
def test_an_answer_to_no_question_is_no_answer(reply):
    visit = visited([FINE, FINE, reply], [FINE, FINE, FACTS])
    assert visit.observed["01.1"].happened.startswith("wrote")
    assert visit.observed["01.2"].facts == 3


@pytest.mark.parametrize(
    "reply",
    [b"{}", {"cell": 1}, {"cell": False}, {"running": None}, {"running": [1]}, {"error": {}}],
    ids=str,
)
def test_a_strange_reply_about_a_cell_costs_this_cell_only(reply):
    visit = visited([FINE, reply], [FINE, FACTS, FACTS], cells=["run()"])
    assert visit.errors == {0: "wrote into the grader's pipe"}
    assert [seen.facts for seen in visit.observed.values()] == [3, 3]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = [*ANSWER, *CELL, "ready", "more"]
REPLIES = (
    st.binary(max_size=20)
    | ANYTHING.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=2)
)


class Endless(Scripted):
    """Answers its one reply to everything that comes after the start."""

    def __init__(self, reply):
        self.reply = reply

    def receive(self, seconds, shape):
        self.replies = [FINE if self.message["do"] == "prepare" else self.reply]
        return super().receive(seconds, shape)


@settings(max_examples=300, deadline=None)
@given(REPLIES)
def test_no_reply_ends_the_grading_or_earns_a_point(reply):
    boxes = [reply] * 9
    visit = visited(*boxes, cells=["run()", "x = 1"], box=Endless)
    for id, seen in visit.observed.items():
        row = row_of(EXERCISES[id], seen, 0, visit.cells, visit.errors)
        assert row["points"] == 0 and row["status"]
        json.dumps(row)


def test_a_reply_is_of_limited_depth_and_its_numbers_are_finite_or_not():
    deep = b"[" * (DEEP + 1) + b"]" * (DEEP + 1)
    assert parse(deep[1:-1])
    for line in (deep, b"[" * 900 + b"]" * 900, b'{"a":' * 90 + b"1" + b"}" * 90):
        with pytest.raises(NoReply):
            parse(line)
    assert parse(b"1" + b"0" * 400) == float("inf") and parse(b"123") == 123


class Slow(Scripted):
    """Takes some seconds of a clock for each cell and exercise."""

    now = 0.0

    def receive(self, seconds, shape):
        took = 0 if self.message["do"] == "prepare" else 3
        Slow.now += min(took, seconds)
        if took > seconds:
            raise TimedOut
        return super().receive(seconds, shape)


def test_cells_and_exercises_together_have_ten_times_the_seconds_of_one(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: Slow.now)
    monkeypatch.setattr("helpers.grading.grader.visit.time", clock)
    visit = visited([FINE] * 99, cells=["a = 1"] * 40, seconds=4, box=Slow)
    assert Slow.now == 40
    words = "timed out: the submission used up its 40 s"
    assert {seen.happened for seen in visit.observed.values()} == {words}
    Slow.now = 0.0
    visit = visited([FINE] * 13 + [FACTS] * 2, cells=["a = 1"] * 12, seconds=4, box=Slow)
    assert visit.observed["01.1"].facts == 3
    assert visit.observed["01.2"].happened == words and Slow.now == 40


def test_a_cell_that_ends_the_process_is_run_with_less_of_it():
    cell = "x = 1\nexit_now()"
    visit = visited([FINE, Ended("gone")], [FINE, FINE, FACTS, FACTS], cells=[cell])
    sources = [message["source"] for message in Scripted.asked if message["do"] == "run"]
    assert sources == [cell, "x = 1"] and visit.errors == {0: "gone"}


def test_a_cell_that_runs_out_of_memory_is_run_with_less_of_it():
    full = {"error": "MemoryError: no more"}
    visit = visited([FINE, full], [FINE, FINE, FACTS, FACTS], cells=["x = 1\nhog()"])
    assert visit.errors == {0: "MemoryError: no more"}
    assert Scripted.asked[3]["source"] == "x = 1"


def test_what_was_noticed_becomes_one_note():
    noticed = FACTS | {"noticed": ["changed json.dumps", "looks\nat frames"]}
    visit = visited([FINE, FINE, noticed, noticed])
    assert visit.notes == ["please look: the code changed json.dumps, looks at frames"]


# Limits of a real process


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return copy_without_judges(tmp_path_factory.mktemp("package"))


@pytest.fixture
def open_box(package, tmp_path):
    def box(memory=2):
        inside = "helpers.grading.grader.inside"
        return Sandbox(inside, package, tmp_path, tmp_path, memory, works)

    return box


def run(box, source, seconds=60):
    """Run a cell; return its error."""
    box.send({"do": "run", "cell": 0, "source": source})
    return box.receive(seconds, CELL)["error"]


def begun(box):
    box.send({"do": "prepare", "lesson": "01"})
    box.receive(120, {"ready": only("01")})
    return box


def test_a_program_that_does_not_read_does_not_stop_the_grader(open_box, monkeypatch):
    monkeypatch.setattr("helpers.grading.grader.sandbox.READING", 1)
    with open_box() as box:
        with pytest.raises(TimedOut):
            run(begun(box), "import time; time.sleep(1000)", 0.5)
        with pytest.raises(Ended, match="closed the grader's pipe"):
            run(box, "x" * 2**20)


SHARED = """
import mmap
m = mmap.mmap(-1, 3 * 2**29)
for i in range(0, len(m), 4096): m[i] = 1
"""


@needs_bubblewrap
@pytest.mark.parametrize(
    "source",
    [
        SHARED,
        SHARED + "m.madvise(mmap.MADV_DONTNEED)",
        "for place in ('/tmp', '/dev/shm'):\n"
        "    with open(f'{place}/x', 'wb') as file:\n"
        "        for _ in range(31): file.write(bytes(2**24))",
    ],
    ids=["shared", "shared and not resident", "temporary files"],
)
def test_memory_is_counted_whatever_its_kind(source, open_box):
    with pytest.raises(Ended, match="out of memory"), open_box(memory=1) as box:
        run(begun(box), source)
        for _ in range(10):
            run(box, "import time; time.sleep(0.5)")


@needs_bubblewrap
def test_memory_that_could_not_be_counted_is_refused(open_box):
    with open_box() as box:
        assert "not implemented" in run(begun(box), "import os; os.memfd_create('x')")
        call = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        assert run(box, call + "assert libc.shmget(0, 4096, 0o1600) >= 0").startswith("Assertion")
        keys = call + "assert libc.syscall(248, b'user', b'k', b'x', 1, -3) > 0"
        assert run(box, keys).startswith("Assertion")


@needs_bubblewrap
def test_the_call_of_bubblewrap_cannot_be_read_inside(open_box, package):
    with open_box() as box:
        look = "text = open('/proc/1/cmdline').read()\nassert 'python' not in text.split(chr(0))[0]"
        assert run(begun(box), look + f"\nassert {str(package)!r} not in text, text") is None
        assert run(box, "assert open('/proc/1/environ').read() == ''") is None


def test_what_a_program_holds_is_counted():
    # A program of its own: this one may have room left from tests before.
    script = "import sys; piece = bytearray(b'1' * 2**25); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as program:
        program.stdout.readline()
        size = memory.held([program.pid])
        program.stdin.close()
    assert 2**25 < size < 2**27 or not Path("/proc").exists()


# Libraries


def test_what_a_cell_changed_in_a_library_is_named_and_put_back():
    names = {"__name__": "dask_example", "Base": type("Base", (), {"__module__": "dask_example"})}
    source = "class Client(Base):\n    def submit(self): return 1\ndef get(n=1): return n\n"
    exec(source, names)
    module = ModuleType("dask.example")
    vars(module).update({name: names[name] for name in ("Client", "get")}, __name__="dask.example")
    names["Client"].__module__ = "dask.example"
    sys.modules["dask.example"] = module
    try:
        before, submit, get = Libraries(), module.Client.submit, module.get
        assert before.restore() == []
        module.Client.submit = lambda self: 2
        module.get.__defaults__ = (7,)
        module.get = print
        changed = before.restore()
    finally:
        del sys.modules["dask.example"]
    assert [name.rpartition(".")[2] for name in changed] == ["get", "submit", "get"]
    assert (module.Client.submit, module.get, get()) == (submit, get, 1)


def test_importing_and_running_changes_nothing_in_the_libraries():
    before = Libraries()
    import dask.dataframe as dd
    import pandas as pd

    assert dd.from_pandas(pd.DataFrame({"a": [1, 2]}), npartitions=2).a.sum().compute() == 3
    assert before.restore() == []


# A whole class


@pytest.mark.parametrize("where", ["visit", "judge"])
def test_an_error_with_one_submission_is_its_own_and_is_named(where, tmp_path, monkeypatch):
    for name in ("anna", "ben"):
        Book("01", "exercises").write(tmp_path / "in" / name / "01.ipynb")
    Book("01").write(tmp_path / "in" / "carla" / "01.ipynb")
    visit, judge = Visit.run, row_of

    def run(self):
        if where == "visit" and not any("isna" in cell for cell in self.cells):
            raise KeyError("running")
        return visit(self)

    def rows(exercise, observation, *more):
        if where == "judge" and observation.happened == "stub" and exercise.id == "01.1":
            raise RecursionError("too deep")
        return judge(exercise, observation, *more)

    monkeypatch.setattr(Visit, "run", run)
    monkeypatch.setattr("helpers.grading.grader.grade.row_of", rows)
    said = []
    options = {"course": ROOT / "course", "seed": 5, "out": tmp_path / "out"}
    assert grade(Options(tmp_path / "in", **options), said.append) == 1
    words = "KeyError: 'running'" if where == "visit" else "RecursionError: too deep"
    for name in ("anna", "ben"):
        assert any(line.startswith(f"NOT GRADED: {name}, lesson 01: {words}") for line in said)
    results = tmp_path / "out" / "results"
    assert [path.name for path in results.glob("*.json")] == ["carla-01.json"]
    monkeypatch.undo()
    assert grade(Options(tmp_path / "in", resume=True, **options), said.append) == 0
    assert len(list(results.glob("*.json"))) == 3
