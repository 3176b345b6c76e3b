"""Run all tests with a deadline, and leave no process behind.

``python -m tests [--deadline SECONDS] [PYTEST ARGUMENT ...]`` runs the tests and compares the
lessons' outputs; with paths, it runs these only. The status is pytest's, 124 after the deadline,
and 1 when the tests passed and left something running. pytest loads this file as a plugin, too.
"""

import argparse
import contextlib
import os
import signal
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
GRACE = 5  # seconds for processes that are just ending
# Python's resource tracker and joblib's idle processes end with the kernel that has them.
BY_THEMSELVES = ("resource_tracker", "loky")
OPTIONS = [
    "-v",
    "--durations=25",
    "--override-ini=console_output_style=times",  # the seconds of every test and cell
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=120",
    f"--ignore-glob={ROOT / 'tests'}/*.ipynb",  # material of the tests, not lessons
]


TWO = ["--numprocesses=2", "--dist=loadfile"]  # two at a time, as Scheduling says

# The plugin: what is running, and what a failing cell had printed


class Scheduling(LoadFileScheduling):
    """Keep the cells of a lesson, and the tests of a file, in one process and in order.

    The papermill runs are long and do not depend on each other: they fill both processes.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "test_lessons.py" in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Tell xdist how to share out the tests."""
    return Scheduling(config, log)


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


def command(arguments: list[str]) -> list[str]:
    """Return the call of pytest; without paths, it gets all tests and lessons."""
    paths = [name for name in arguments if Path(name.partition("::")[0]).exists()]
    if not paths:
        lessons = sorted((ROOT / "course").glob("[0-9]*.ipynb"))
        arguments = [*arguments, *TWO, str(ROOT / "tests"), *map(str, lessons)]
    # nbval colours its messages unless it is told not to, also in a log.
    colour = [] if sys.stdout.isatty() else ["--color=no"]
    call = [sys.executable, "-m", "pytest", "-p", "tests.__main__"]
    return [*call, *colour, *OPTIONS, *arguments]


def run(arguments: list[str], deadline: float, progress: Path) -> int:
    """Run pytest, wait, clean up; return the exit status."""
    name = uuid.uuid4().hex
    # A run inside a run adds its name, so that the outer one finds its processes, too.
    marks = {MARK: f"{os.environ.get(MARK, '')}{name}:", PROGRESS: str(progress)}
    process = subprocess.Popen(
        command(arguments), env={**os.environ, **marks}, start_new_session=True
    )
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
    parser.add_argument("--deadline", type=float, default=2100, help="seconds, default: 2100")
    options, others = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up there, too
    with tempfile.TemporaryDirectory() as folder:
        try:
            return run(others, options.deadline, Path(folder))
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
