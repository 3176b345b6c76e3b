"""``python -m tests`` names what hangs and leaves no process behind."""

import os
import subprocess
import sys
import uuid

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.__main__ import MARK, QUICK, ROOT, command, described, marked

WITNESS = uuid.uuid4().hex  # in the environment or the command of all that these tests start
SLEEP = f"[sys.executable, '-c', 'import time; time.sleep(600)  # {WITNESS}']"
CHILD = f"import subprocess, sys\n\nchild = subprocess.Popen({SLEEP})"
UNMARKED = f"import subprocess, sys\n\nchild = subprocess.Popen({SLEEP}, env={{}})"
# Its parent ends at once and it has a session of its own: no parent, no group leads to it.
ORPHAN = f"""import subprocess, sys
orphan = "import subprocess, sys; subprocess.Popen({SLEEP}, start_new_session=True)"
_ = subprocess.run([sys.executable, "-c", orphan])"""
HANG = "import time\n\ntime.sleep(600)"
CLUSTER = """from distributed import LocalCluster
cluster = LocalCluster(n_workers=1, dashboard_address=":0")"""


def still_there():
    """Return the processes of these tests."""
    everyone = psutil.process_iter(["cmdline"])
    told = {process for process in everyone if WITNESS in " ".join(process.info["cmdline"] or [])}
    return told | marked(WITNESS)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the runner on a notebook: status, text, processes left."""

    def run_notebook(*sources, options="--deadline=100"):
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        for count, cell in enumerate(notebook.cells, 1):
            cell.execution_count = count
        path = tmp_path / "a notebook.ipynb"
        nbformat.write(notebook, path)
        call = [sys.executable, "-m", "tests", options, str(path)]
        done = subprocess.run(call, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, described(still_there())

    environment = {**os.environ, MARK: f"{os.environ.get(MARK, '')}{WITNESS}:"}
    yield run_notebook
    for process in still_there():
        process.kill()


def test_a_hanging_notebook_is_named_and_nothing_is_left(run):
    status, text, left = run(UNMARKED, ORPHAN, HANG, "x = 1", options="--deadline=40")
    assert status == 124
    assert "the deadline of 40 s passed, running was:" in text
    assert "a notebook.ipynb::Cell 2\n    import time\n    \n    time.sleep(600)" in text
    assert left == []


def test_a_quiet_notebook_is_green(run):
    status, text, left = run("x = 1", "y = x")
    assert status == 0, text
    assert "Cell 1 PASSED" in text
    assert left == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(ORPHAN, "left running:\n    ", id="orphan"),
        pytest.param(CHILD, "the notebook left running:", id="child"),
        pytest.param(CLUSTER, "the notebook left running:", id="cluster"),
    ],
)
def test_what_is_left_running_turns_a_green_run_red(run, source, message):
    status, text, left = run(source)
    assert "Cell 0 PASSED" in text
    assert message in text
    assert status == 1
    assert left == []


def test_a_cell_that_hangs_costs_its_own_time_only(run):
    status, text, left = run("x = 1", HANG, HANG, options="--nbval-cell-timeout=3")
    assert status == 1
    assert "Cell 1: Timeout of 3 seconds exceeded" in text
    assert "1 failed, 1 passed, 1 xfailed" in text
    assert left == []


def test_a_failing_cell_shows_what_it_printed(run):
    status, text, left = run("print('seen', 40 + 2)\n1 / 0")
    assert status == 1
    assert "seen 42\nZeroDivisionError: division by zero" in text
    assert left == []


def test_a_failure_is_shown_when_it_happens(run):
    """Also if the run never comes to its end."""
    status, text, left = run("x = 1", "print('seen')\n1 / 0", HANG, options="--deadline=40")
    assert status == 124
    assert "Cell 1 FAILED" in text and "seen\nZeroDivisionError: division by zero" in text
    assert left == []


def test_limits_grow_on_a_slow_machine():
    normal, slow = command(["--quiet"], 1), command(["--quiet"], 2.5)
    assert {"--nbval-cell-timeout=120", "--timeout=300"} < set(normal)
    assert {"--nbval-cell-timeout=300", "--timeout=750"} < set(slow)


def test_the_quick_run_names_what_is_there():
    assert [name for name in QUICK if not (ROOT / name.partition("::")[0]).exists()] == []
