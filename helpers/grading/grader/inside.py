"""What runs where a submission runs: its cells first, then one exercise at a time.

``python -m helpers.grading.grader.inside FD ALONE`` reads messages from standard input and answers
on FD, one JSON value a line. ALONE is 1 if no other process is in its process namespace. Students'
code runs in this same process, so whatever this module says is a claim and not a proof; the grader
judges it by values that never come here.
"""

import ast
import contextlib
import importlib
import inspect
import json
import os
import select
import signal
import sys
import threading
import time
import types

from helpers.grading import exercise as grading

LIMIT = 2 * 2**20  # bytes of the facts about one answer
RESTORED = ("builtins", "helpers", "json", "numpy", "pandas")

# Bound before a student's code can put something else in their place.
_encode, _decode = json.JSONEncoder().encode, json.JSONDecoder().decode
_read, _write, _select, _clock = os.read, os.write, select.select, time.monotonic


def main():
    """Answer the grader's messages until there are none."""
    _limit_resources()
    answers, alone = int(sys.argv[1]), sys.argv[2] == "1"
    os.set_inheritable(answers, False)
    requests = open(os.dup(0), "rb", buffering=0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # input() finds the end of a file
    kernel = Kernel(answers, alone)
    for line in iter(requests.readline, b""):
        message = _decode(line.decode())
        getattr(kernel, message.pop("do"))(**message)


class Kernel:
    """A notebook's state, and the exercises that can be observed in it."""

    def __init__(self, answers, alone):
        self.answers, self.alone = answers, alone

    def prepare(self, lesson):
        """Import what the lesson's exercises need, before any code of a student can."""
        module = importlib.import_module(f"helpers.grading.lessons.lesson_{lesson}")
        for name in {name for each in _own_modules().values() for name in _imported(each)}:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self.modules = _own_modules()
        # The observers' own references: another function in the module changes nothing here.
        self.exercises = {e.id: (e.name, e.points, e.observe) for e in module.EXERCISES}
        self.shell = _shell()
        known = [m for name, m in sys.modules.items() if name.partition(".")[0] in RESTORED]
        self.saved = [(vars(module), dict(vars(module))) for module in known]
        self._hide()
        _send(self.answers, {"ready": lesson})

    def run(self, cell, source):
        """Run a cell as a notebook does; tell its error, and whether it left something running."""
        error = _run(self.shell, source)
        _send(self.answers, {"cell": cell, "error": error, "running": self._running()})

    def _running(self):
        """How many threads and processes there are, besides this one's first."""
        processes = len(list(filter(str.isdigit, os.listdir("/proc")))) - 2 if self.alone else 0
        return processes + threading.active_count() - 1

    def observe(self, id, seed, seconds, nonce):
        """Observe one exercise, in a copy of this process if that can be made safely."""
        if _one_thread():
            answer = self._in_a_copy(id, seed, seconds)
        else:
            answer = self._observation(id, seed)
        _send(self.answers, {**answer, "id": id, "nonce": nonce})

    def _hide(self):
        """Put a package in the place of helpers.grading that has nothing but check."""
        for name in self.modules:
            sys.modules.pop(name, None)
        stand_in = types.ModuleType("helpers.grading")
        stand_in.check = lambda id=None, namespace=None: None  # grading comes after the cells
        sys.modules["helpers.grading"] = sys.modules["helpers"].grading = stand_in

    def _restore(self):
        """Undo what cells did to the functions that observers use most."""
        for names, before in self.saved:
            changed = [n for n, old in before.items() if names.get(n) is not old and callable(old)]
            names.update({name: before[name] for name in changed})
        sys.modules.update(self.modules)
        sys.modules["helpers"].grading = self.modules["helpers.grading"]

    def _observation(self, id, seed):
        """Facts about an answer, or why there are none."""
        name, points, observe = self.exercises[id]
        function = self.shell.user_ns.get(name)
        self._restore()
        if function is None or grading._is_stub(function):
            return {"none": "missing" if function is None else "stub"}
        start = _clock()
        try:
            own = grading.Exercise(id, name, points, observe, None)
            facts = grading.observe(own, function, seed)
            if len(_encode(facts)) > LIMIT:
                facts = {"error": "It returned far more than was asked for."}
        except BaseException as error:  # a student's own kind of exception passes `observe`
            facts = {"error": f"It raised {type(error).__name__}"}
        return {"facts": facts, "seconds": round(_clock() - start, 3)}

    def _in_a_copy(self, id, seed, seconds):
        """Observe in a forked process: whatever happens there happens to this answer only."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                os.setsid()
                _send(writing, self._observation(id, seed))
            os._exit(0)
        os.close(writing)
        data, late = _received(reading, seconds)
        os.close(reading)
        code = _end(pid, grace=0 if late else 1)
        if self.alone:
            with contextlib.suppress(OSError):
                os.kill(-1, 9)  # what the answer left running; nobody else is in here
        if late:
            return {"none": "timed out"}
        return _decode(data.decode()) if data.endswith(b"\n") else {"none": "ended", "code": code}


def _own_modules():
    return {name: m for name, m in sys.modules.items() if name.startswith("helpers.grading")}


def _imported(module):
    """Names of all modules that a module imports, also later, inside its functions."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module for node in nodes if isinstance(node, ast.ImportFrom)]


def _send(descriptor, message):
    data = _encode(message).encode() + b"\n"
    while data:
        data = data[_write(descriptor, data) :]


def _received(descriptor, seconds):
    """Bytes up to the end of a line, or of the pipe; and whether it took too long."""
    data, end = b"", _clock() + seconds
    while not data.endswith(b"\n") and len(data) < 2 * LIMIT:
        if not _select([descriptor], [], [], max(0, end - _clock()))[0]:
            return data, True
        piece = _read(descriptor, 2**20)
        if not piece:
            break
        data += piece
    return data, False


def _end(pid, grace):
    """Wait for a child, then kill its group; return how it ended, as subprocess does."""
    end = _clock() + grace
    while _clock() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(pid, 9)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _one_thread():
    """Whether this process may be forked: no other thread can hold a lock then."""
    return os.path.isdir("/proc/self/task") and len(os.listdir("/proc/self/task")) == 1


def _run(shell, source):
    """Run a cell; return its error as one line, or None."""
    for name in ("stdout", "stderr"):
        if not hasattr(getattr(sys, name, None), "write"):
            setattr(sys, name, getattr(sys, f"__{name}__"))
    try:
        result = shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as raised:  # from a student's hook in IPython itself
        error = raised
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm would end a later cell
    if error is None:
        return None
    with contextlib.suppress(BaseException):
        return f"{type(error).__name__}: {error}".split("\n")[0][:300]
    return "an error that cannot be shown"


def _shell():
    """Make a notebook's namespace, with magics and await, without history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """Have no windows."""

        def ask_exit(self):
            """Go on: exit() in a cell ends nothing."""

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "NoColor"
    return Shell.instance(config=settings)


def _limit_resources():
    """Set limits that hold for every process in here, where the system has them."""
    with contextlib.suppress(ImportError):
        import resource

        memory = int(float(os.environ.get("GRADING_MEMORY", "4")) * 2**30)
        limits = {"DATA": memory, "FSIZE": 2**30, "NOFILE": 4096, "CORE": 0, "NPROC": 400}
        for name, most in limits.items():
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


if __name__ == "__main__":
    main()
