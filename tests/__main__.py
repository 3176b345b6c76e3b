"""Run all tests with a deadline, and leave no process behind.

``python -m tests [--quick] [--deadline SECONDS] [PYTEST ARGUMENT ...]`` runs the tests and
compares the lessons' outputs; with paths, it runs these only. ``--quick`` tells in two minutes
whether the course works on this machine: one lesson, one solution, the fast tests. A failure is
shown when it happens. Every limit in seconds grows with the machine's slowness, which a small piece
of work measures first. The status is pytest's, 124 after the deadline, and 1 when the tests passed
and left something running. pytest loads this file as a plugin, too.
"""

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest
from xdist.scheduler import LoadFileScheduling

from tests.notebook_format import ANSI, output_text

ROOT = Path(__file__).resolve().parents[1]
MARK = "COURSE_TEST_RUN"  # inherited by whatever a test starts, also when its parent has gone
PROGRESS = "COURSE_TEST_PROGRESS"
SLOWNESS = "COURSE_TEST_SLOWNESS"  # how many times as slow this machine is as the one of the limits
UNIT = 0.2  # seconds of the work in `slowness` there
DEADLINE = 4200  # seconds for all tests
CELL, TEST = 120, 300  # seconds for a cell of a lesson, for a test
GRACE = 5  # seconds for processes that are just ending
QUICK = [  # the gate, the fast tests, and one solution; a lesson is added to them
    "tests/course/test_notebook_format.py",
    "tests/helpers/test_machine.py",
    "tests/helpers/test_compare.py",
    "tests/grading/test_check.py",
    "tests/test_architecture.py",
    "tests/course/test_lessons.py::test_a_solution_is_right[01_rapids_basics]",
    "course/00_setup.ipynb",
]
# Python's resource tracker and joblib's idle processes end with the kernel that has them.
BY_THEMSELVES = ("resource_tracker", "loky")
OPTIONS = [
    "-v",
    "--durations=25",
    "--override-ini=console_output_style=times",  # the seconds of every test and cell
    "--nbval",
    "--nbval-current-env",
    f"--ignore-glob={ROOT / 'tests'}/*.ipynb",  # material of the tests, not lessons
]


# Three at a time, as Scheduling says: on two cores two of them often wait, for a limit or a worker.
# --no-loadscope-reorder leaves the order to longest_first.
SHARED = ["--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder"]
# What takes longest, in this order, comes before all the rest: no process ends minutes before the
# others.
LONG = [
    *("test_hostile.py", "test_exercises.py", "test_federated.py", "test_hosts.py", "course/07"),
    *("course/00",),
    *("test_grader.py", "test_environment.py", "course/03", "course/08", "test_lessons.py"),
    *("course/0", "test_observers.py", "test_runner.py", "test_mutants.py", "test_inputs.py"),
]

# The plugin: what is running, and what a failing cell had printed


class Scheduling(LoadFileScheduling):
    """Keep the cells of a lesson, and the tests of a file, in one process and in order.

    The papermill runs are long and do not depend on each other: they fill all processes. The
    answers to the exercises of a lesson stay together, as they share what was observed of them.
    """

    def _split_scope(self, nodeid: str) -> str:
        if "test_lessons.py" in nodeid:
            return nodeid
        answer = re.search(r"test_exercises\.py.*\b(\d\d)\.\d", nodeid)
        return answer[1] if answer else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Tell xdist how to share out the tests."""
    return Scheduling(config, log)


def longest_first(nodeid: str) -> int:
    """Return a number to sort tests by: place in `LONG`, or after all that is in it."""
    return next((n for n, part in enumerate(LONG) if part in nodeid), len(LONG))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first where the tests are shared out; alone, order makes no difference.

    Tests of one file, and cells of one lesson, stay in their order.
    """
    if not config.option.loadscopereorder:
        items.sort(key=lambda item: longest_first(item.nodeid))


def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Note which test starts, for the message after a deadline."""
    if PROGRESS in os.environ:
        source = item.cell.source.splitlines() if hasattr(item, "cell") else []
        text = "\n    ".join([f"{item.path}::{item.name}", *source])
        mine = os.environ.get("PYTEST_XDIST_WORKER", "main")
        Path(os.environ[PROGRESS], mine).write_text(text, encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Skip the cells after one that hung; nbval would wait for each of them again."""
    if getattr(item.parent, "timed_out", False):
        pytest.xfail("an earlier cell hung")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> pytest.TestReport:
    """Show the outputs of a failing cell; nbval shows only the error or the difference."""
    report = yield
    outputs = getattr(item, "test_outputs", None)
    if report.when == "call" and report.failed and outputs:
        report.sections.append(("What the cell printed", ANSI.sub("", output_text(outputs))))
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Show failures when they happen, once, in the process that shows the progress."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(config), "course-failures")


class Failures:
    """Print what failed at once: a run that is stopped has shown what it had seen."""

    def __init__(self, config: pytest.Config):
        self.config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the text that pytest keeps for its end."""
        if report.failed:
            terminal = self.config.pluginmanager.getplugin("terminalreporter")
            terminal.write_sep("_", f"{report.nodeid} FAILED", red=True)
            terminal.write_line(report.longreprtext)
            for title, text in report.sections:
                terminal.write_line(f"--- {title}\n{text}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last cell, see that the lesson closed its cluster; then the kernel is killed."""
    last = nextitem is None or nextitem.parent is not item.parent
    left = kernel_children(item.parent.kernel) if last and hasattr(item, "cell") else []
    result = yield
    if left:
        pytest.fail("\n    ".join(["the notebook left running:", *left]), pytrace=False)
    return result


def kernel_children(kernel: object) -> list[str]:
    """Return a line for every process that a notebook's kernel has after some seconds."""
    if kernel is None or not kernel.is_alive():
        return []
    parent = psutil.Process(kernel.km.provisioner.pid)
    return settled(lambda: parent.children(recursive=True))


# The runner


def slowness() -> float:
    """Return how many times as slow this machine is as the one of the limits, at least 1.

    Other work on the machine counts: it makes the tests slow, too.
    """
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        sum(number * number for number in range(4_000_000))
        seconds.append(time.perf_counter() - start)
    return max(1.0, round(statistics.median(seconds) / UNIT, 1))


def marked(run: str) -> set[psutil.Process]:
    """Return the living processes that descend from this run."""
    found = set()
    for process in psutil.process_iter():
        try:
            if run in process.environ().get(MARK, "") and process.status() != "zombie":
                # A child may have been started with another environment.
                found |= {process, *process.children(recursive=True)}
        except (psutil.Error, OSError):
            pass  # it has just ended, or is someone else's
    return found


def settled(find: Callable[[], Iterable[psutil.Process]]) -> list[str]:
    """Return a line for every process that is found, and is still there after some seconds."""
    end = time.monotonic() + GRACE
    while (lines := described(find())) and time.monotonic() < end:
        time.sleep(0.2)
    return lines


def described(processes: Iterable[psutil.Process]) -> list[str]:
    """Return number and command of each process, without those that end by themselves."""
    lines = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return [line for line in lines if not any(word in line for word in BY_THEMSELVES)]


def kill(run: str) -> None:
    """End everything that descends from this run; again, as they may start others meanwhile."""
    end = time.monotonic() + 10
    while (found := marked(run)) and time.monotonic() < end:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def command(arguments: list[str], slow: float) -> list[str]:
    """Return the call of pytest; without paths, it gets all tests and lessons."""
    paths = [name for name in arguments if Path(name.partition("::")[0]).exists()]
    if not paths:
        lessons = sorted((ROOT / "course").glob("*.ipynb"))
        arguments = [*arguments, *SHARED, str(ROOT / "tests"), *map(str, lessons)]
    # nbval colours its messages unless it is told not to, also in a log.
    colour = [] if sys.stdout.isatty() else ["--color=no"]
    call = [sys.executable, "-m", "pytest", "-p", "tests.__main__"]
    limits = [f"--nbval-cell-timeout={CELL * slow:.0f}", f"--timeout={TEST * slow:.0f}"]
    return [*call, *colour, *OPTIONS, *limits, *arguments]


def run(arguments: list[str], deadline: float, slow: float, progress: Path) -> int:
    """Run pytest, wait, clean up; return the exit status."""
    name = uuid.uuid4().hex
    # A run inside a run adds its name, so that the outer one finds its processes, too.
    marks = {MARK: f"{os.environ.get(MARK, '')}{name}:", PROGRESS: str(progress)}
    environment = {**os.environ, **marks, SLOWNESS: str(slow)}
    call = command(arguments, slow)
    process = subprocess.Popen(call, env=environment, start_new_session=True)
    try:
        status = process.wait(deadline)
        if left := settled(lambda: marked(name)):
            print("left running:", *left, sep="\n    ", flush=True)
            status = status or 1
    except subprocess.TimeoutExpired:
        kill(name)
        running = [path.read_text(encoding="utf-8") for path in sorted(progress.iterdir())]
        running = "\n".join(running) or "nothing yet"
        print(f"\nthe deadline of {deadline:g} s passed, running was: {running}", flush=True)
        status = 124
    finally:  # also after Ctrl-C, which pytest in its own session does not see
        kill(name)
        process.wait()
    return status


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description=__doc__, allow_abbrev=False
    )
    text = f"seconds, default: {DEADLINE}, and more on a slow machine"
    parser.add_argument("--deadline", type=float, help=text)
    text = "one lesson, one solution, the fast tests"
    parser.add_argument("--quick", action="store_true", help=text)
    options, others = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up there, too
    slow = slowness()
    if slow > 1:
        print(f"This machine is busy or slow: limits of time are {slow:g} times as long.")
    if options.quick:
        others = [*SHARED, *(str(ROOT / name) for name in QUICK), *others]
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(others, options.deadline or DEADLINE * slow, slow, Path(folder))
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
