"""What runs where a submission runs: its cells first, then one exercise at a time.

``python -m helpers.grading.grader.inside FD ALONE`` reads messages from standard input and answers
on FD, one JSON value a line. ALONE is 1 if no other process is in its process namespace. Students'
code runs in this same process, so whatever this module says is a claim and not a proof; the grader
judges it by values that never come here.
"""

import ast
import contextlib
import gc
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
from helpers.grading.grader.libraries import Libraries
from helpers.grading.grader.names import bound, reached
from helpers.grading.grader.watch import Watch

LIMIT = 2 * 2**20  # bytes of the facts about one answer
DEEP = 50  # levels of lists and dicts in them
LEAVING = 10  # seconds for a copy to end after its answer

# Bound before a student's code can put something else in their place.
_encode, _decode = json.JSONEncoder().encode, json.JSONDecoder().decode
_read, _write, _select, _clock = os.read, os.write, select.select, time.monotonic


def main():
    """Answer the grader's messages until there are none."""
    _limit_resources()
    answers, alone = int(sys.argv[1]), sys.argv[2] == "1"
    os.set_inheritable(answers, False)
    requests = open(os.dup(0), "rb", buffering=0)
    os.set_inheritable(requests.fileno(), False)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # input() finds the end of a file
    kernel = Kernel(answers, requests.fileno(), alone)
    for line in iter(requests.readline, b""):
        message = _decode(line.decode())
        getattr(kernel, message.pop("do"))(**message)


class Kernel:
    """A notebook's state, and the exercises that can be observed in it."""

    def __init__(self, answers, requests, alone):
        self.answers, self.requests, self.alone = answers, requests, alone

    def prepare(self, lesson):
        """Import what the lesson's exercises need, before any code of a student can."""
        module = importlib.import_module(f"helpers.grading.lessons.lesson_{lesson}")
        for name in {name for each in _own_modules().values() for name in _imported(each)}:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self.modules, self.module = _own_modules(), module
        self.needed = _needed(module)
        self.own = {name for name in vars(module) if not name.startswith("__")}
        # The observers' own references: another function in the module changes nothing here.
        self.exercises = {e.id: (e.name, e.points, e.observe) for e in module.EXERCISES}
        self.shell = _shell()
        self.libraries, self.watch = Libraries(), Watch()
        self._hide()
        _send(self.answers, {"ready": lesson})

    def run(self, cell, source):
        """Run a cell as a notebook does; tell its error, and whether it left something running."""
        error = _run(self.shell, source)
        self.watch.look_at_threads()
        _send(self.answers, {"cell": cell, "error": error, "running": self._running()})

    def _running(self):
        """How many threads and processes there are, besides this one's first."""
        processes = [n for n in os.listdir("/proc") if n.isdigit()] if self.alone else []
        others = [n for n in processes if int(n) not in (1, os.getpid())]
        for number in others:
            with contextlib.suppress(OSError), open(f"/proc/{number}/cmdline", "rb") as file:
                if b"multiprocessing" not in file.read():  # Dask's workers have it
                    self.watch.note("leaves a process running")
        return len(others) + threading.active_count() - 1

    def observe(self, id, seed, seconds, nonce):
        """Observe one exercise, in a copy of this process if that can be made safely."""
        if _one_thread():
            answer = self._in_a_copy(id, seed, seconds)
        else:
            answer = self._observation(id, seed)
        empty = {"facts": None, "none": None, "code": None, "seconds": 0.0, "noticed": []}
        _send(self.answers, {**empty, **answer, "id": id, "nonce": nonce})

    def _hide(self):
        """Put a package in the place of helpers.grading that has nothing but check."""
        for name in self.modules:
            sys.modules.pop(name, None)
        stand_in, inner = (types.ModuleType(f"helpers.grading{n}") for n in ("", ".exercise"))
        for module in (stand_in, inner):  # an editor may import it from where it is defined
            module.check = lambda id=None, namespace=None: None  # grading comes after the cells
            module.__all__ = ["check"]
            sys.modules[module.__name__] = module
        sys.modules["helpers"].grading, stand_in.exercise = stand_in, inner

    def _restore(self):
        """Undo what cells did to the functions that observers use."""
        changed = self.libraries.restore()
        sys.modules.update(self.modules)
        sys.modules["helpers"].grading = self.modules["helpers.grading"]
        for name in changed:
            self.watch.note(f"changed {name}")

    def _observation(self, id, seed):
        """Facts about an answer, or why there are none; and what was noticed."""
        name, points, observe = self.exercises[id]
        function = self.shell.user_ns.get(name)
        self._restore()
        if function is None or grading._is_stub(function):
            none = "missing" if function is None else "stub"
            return {"none": none, "noticed": self.watch.noticed()}
        start = _clock()
        try:
            own = grading.Exercise(id, name, points, observe, None)
            facts = grading.observe(own, function, seed)
            if len(_encode(facts)) > LIMIT:
                facts = {"error": "It returned far more than was asked for."}
            elif _depth(facts) > DEEP:
                facts = {"error": "It returned something that is nested too deeply."}
        except BaseException as error:  # a student's own kind of exception passes `observe`
            facts = {"error": f"It raised {type(error).__name__}"}
        seconds = round(_clock() - start, 3)
        self.watch.look_at_threads()
        self._restore()
        return {"facts": facts, "seconds": seconds, "noticed": self.watch.noticed()}

    def _in_a_copy(self, id, seed, seconds):
        """Observe in a forked process: whatever happens there happens to this answer only."""
        reading, writing = os.pipe()
        token = os.urandom(16).hex()
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                os.setsid()
                for descriptor in (self.answers, self.requests, reading):
                    os.close(descriptor)  # the answer has no way to the grader
                # Whoever answers in this module's place does not know the token, and it is gone
                # as soon as something is noticed.
                self.watch.token, token = token, None
                self._leave_only(id)
                answer = self._observation(id, seed)
                _send(writing, {**answer, "token": self.watch.token})
                os._exit(0)
            os._exit(1)
        os.close(writing)
        data, late = _received(reading, seconds)
        code = _end(pid, grace=LEAVING if data.endswith(b"\n") else 0 if late else 1)
        if self.alone:
            with contextlib.suppress(OSError):
                os.kill(-1, 9)  # what the answer left running; nobody else is in here
        more = b"" if late or not _select([reading], [], [], 0)[0] else _read(reading, 1)
        os.close(reading)
        if late:
            return {"none": "timed out"}
        if code or not data.endswith(b"\n"):
            return {"none": "ended", "code": code}
        try:
            answer = dict(_decode(data.decode()))
            if answer.pop("token", None) != token and not answer.get("noticed"):
                answer["noticed"] = ["may have answered in the grader's place"]
            return {"none": "forged"} if more else answer
        except (ValueError, TypeError, RecursionError):
            return {"none": "forged"}

    def _leave_only(self, id):
        """Forget what the observing of other exercises needs; it may say what they ask for."""
        self._restore()
        self.exercises = {id: self.exercises[id]}
        names = vars(self.module)
        self.libraries.leave_out(names)
        for name in self.own - self.needed.get(id, self.own):
            names.pop(name, None)


def _needed(module):
    """Names of a lesson's module that each exercise needs, by the exercise's number."""
    tree = ast.parse(inspect.getsource(module))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_exercise(node)]
    return {
        call.args[0].value: {name for node in reached(tree, [call]) for name in bound(node)}
        for call in calls
    }


def _is_exercise(call):
    return getattr(call.func, "id", "") == "Exercise" and len(call.args) > 3


def _own_modules():
    return {name: m for name, m in sys.modules.items() if name.startswith("helpers.grading")}


def _imported(module):
    """Names of all modules that a module imports, also later, inside its functions."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module for node in nodes if isinstance(node, ast.ImportFrom)]


def _depth(facts):
    """Levels of lists, tuples and dicts, at most one more than are allowed."""
    level, depth = [facts], 0
    while level and depth <= DEEP:
        level = [each for each in level if isinstance(each, dict | list | tuple)]
        level = [p for each in level for p in (each.values() if isinstance(each, dict) else each)]
        depth += bool(level)
    return depth


def _send(descriptor, message):
    data = _encode(message).encode() + b"\n"
    while data:
        data = data[_write(descriptor, data) :]


def _received(descriptor, seconds):
    """Bytes up to the end of a line, or of the pipe; and whether it took too long."""
    data, end = b"", _clock() + seconds
    while not data.endswith(b"\n") and len(data) < 2 * LIMIT:
        left = end - _clock()
        if left <= 0 or not _select([descriptor], [], [], left)[0]:
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
        words = f"{type(error).__name__}: {error}".split("\n")[0][:300]
        _forget(shell, error)
        return words
    return "an error that cannot be shown"


def _forget(shell, error):
    """Let go of an error and of all that its frames hold."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)
    for shown in vars(shell).values():
        if hasattr(shown, "etype"):
            shown.etype = shown.evalue = shown.value = shown.tb = None
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    gc.collect()


def _shell():
    """Make a notebook's namespace, with magics and await, without history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """Have no windows."""

        def ask_exit(self):
            """Go on: exit() in a cell ends nothing."""

        def _tee(self, channel):
            """Keep no second copy of what a cell prints."""
            return contextlib.nullcontext()

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.cache_size = 0  # what a cell shows is not kept
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
