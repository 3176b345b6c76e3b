"""Run one program that nobody vouches for, talk to it, and leave nothing of it behind.

With bubblewrap (Linux) the program and all that it starts live in namespaces of their own: it sees
a read-only Python, an empty private home and /tmp, no process but its own and no network but its
own loopback; when it is closed, the kernel ends everything in it. Without, limits and a process
group are what is left; `what_is_not_protected` says it in words.
"""

import contextlib
import glob
import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path

from helpers.grading.grader import cgroup, seccomp
from helpers.grading.grader import memory as counted
from helpers.grading.grader.replies import LINE, NoReply, fit, parse

READING = 30  # seconds for the program to take a message
TAIL = 4000  # bytes kept of what is printed
TICK = 0.2  # seconds between two looks at memory and processes
PROCESSES = 200
THREADS = 1000
FEW = 20  # processes; more than these are the reason when memory runs out
DISK = 2**29  # bytes of each of the private folders
HOME = "/home/student"
FOLDERS = ("/tmp", "/dev/shm", HOME)  # private ones, in memory
FORGED = "wrote into the grader's pipe"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store")
DETAILS = ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives")
MARK = "COURSE_GRADING_RUN"


class Ended(Exception):
    """The program ended, or was ended; the message says how, for the status column."""


class TimedOut(Exception):
    """The program did not answer in time."""


class Sandbox:
    """A program with a pipe to it, a pipe from it, and limits. Use it in a ``with`` block.

    Parameters
    ----------
    module : str
        What runs inside: ``python -m module FD ALONE``; FD takes its answers, one JSON value a
        line. Its standard input gives it the messages.
    package : pathlib.Path
        The folder ``helpers`` without judges, from `observers.copy_without_judges`. It stands
        where the real one is.
    folder : pathlib.Path
        Private home and temporary folder where there is no bubblewrap.
    data : pathlib.Path
        The course's data folder; what is in it can be read inside.
    memory : float
        GiB for the program and all that it starts.
    protected : bool
        Use bubblewrap.
    """

    def __init__(self, module, package, folder, data, memory, protected):
        self.memory, self.tail, self.printed = memory, b"", 0
        self._mark, self._buffer = uuid.uuid4().hex, bytearray()
        self._groups = contextlib.ExitStack()
        self._home = Path(folder) / self._mark
        answers, theirs = os.pipe()
        os.set_inheritable(theirs, True)
        call = [sys.executable, "-m", module, str(theirs), str(int(protected))]
        environment = _environment(package, HOME if protected else self._home, self._mark, memory)
        self._folders = FOLDERS if protected else ()
        with contextlib.ExitStack() as files:
            passed = [theirs]
            if protected:
                # What bubblewrap is told can be read inside, at /proc/1: it gets its call as a
                # file, and no environment.
                told = [_file(files, text) for text in (_bubblewrap(package, data, environment))]
                passed += told
                options = ["--seccomp", str(told[1])] if len(told) > 1 else []
                call = [shutil.which("bwrap"), "--args", str(told[0]), *options, "--", *call]
                # Whoever counts the processes must come to it, however many want the processor.
                call = ["/usr/bin/nice", "-n", "10", "/usr/bin/env", "-i", *call]
                environment = {}
            else:
                self._home.mkdir(parents=True)
                environment |= _needed_outside(data)
            call = [*self._groups.enter_context(cgroup.at_most(THREADS, self._mark)), *call]
            options = {"pass_fds": passed, "start_new_session": True} if os.name != "nt" else {}
            self._process = subprocess.Popen(
                call,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/" if protected else self._home,
                close_fds=os.name != "nt",
                **options,
            )
        os.close(theirs)
        os.set_blocking(self._process.stdin.fileno(), False)
        self._answers = answers
        self._selector = selectors.DefaultSelector()
        self._selector.register(answers, selectors.EVENT_READ)
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def send(self, message):
        """Send a JSON value; raise Ended if nobody reads it, or if a reply is there already."""
        if self._buffer or select.select([self._answers], [], [], 0)[0]:
            self._read()
            raise Ended(FORGED)
        data, pipe = json.dumps(message).encode() + b"\n", self._process.stdin.fileno()
        end = time.monotonic() + READING
        while data:
            if not select.select([], [pipe], [], max(0, end - time.monotonic()))[1]:
                raise Ended("closed the grader's pipe")
            try:
                data = data[os.write(pipe, data) :]
            except BlockingIOError:
                pass
            except OSError:
                raise Ended(self._how()) from None

    def receive(self, seconds, shape):
        """Wait for a reply from inside, and see that the limits are kept meanwhile.

        Parameters
        ----------
        seconds : float
        shape : dict of str to callable
            Keys and values that the reply must have; see `replies.fit`.

        Raises
        ------
        TimedOut
            After so many seconds without one.
        Ended
            If the program ended, broke a limit, or sent what is no such reply.
        """
        end, look, whole = time.monotonic() + seconds, 0, False
        while not whole:
            now = time.monotonic()
            if now >= end:
                raise TimedOut
            if now >= look:
                self._watch()
                look = time.monotonic() + TICK
            ready = {key.fd for key, _ in self._selector.select(max(0, min(TICK, end - now)))}
            if self._process.stdout.fileno() in ready:
                self._note_printed()
            if self._answers in ready:
                whole = self._read()
        line, self._buffer = self._buffer[:-1], bytearray()
        try:
            return fit(parse(line), shape)
        except NoReply:
            raise Ended(FORGED) from None

    def held(self):
        """Bytes of memory that the program and all that it has started hold."""
        return counted.held(counted.tree(self._process.pid, THREADS)[0], self._folders)

    def kill(self):
        """End the program; another thread may be waiting for it, and is told that it ended."""
        if self._process.returncode is None:
            # The first process of the namespaces: all others in them end with it.
            for pid in counted.tree(self._process.pid, THREADS)[0][1:2]:
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
            self._process.kill()

    def close(self):
        """End the program and everything it has started; remove what it wrote."""
        self.kill()
        if os.name != "nt":
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, 9)
        self._process.wait()
        if self._home.exists():
            _kill_marked(self._mark)
            shutil.rmtree(self._home, ignore_errors=True)
        self._wait_for_the_last()
        self._groups.close()
        self._selector.close()
        self._process.stdin.close()
        self._process.stdout.close()
        os.close(self._answers)

    def _wait_for_the_last(self):
        """Wait until no process holds the other end of the output: then all are gone."""
        end = time.monotonic() + 5
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._selector.unregister(self._answers)
            while time.monotonic() < end and self._selector.get_map():
                if self._selector.select(0.1):
                    self._note_printed()

    def _read(self):
        """Read what is there; return whether it is now a whole line, which ends it."""
        data = os.read(self._answers, 2**20)
        if not data:
            raise Ended(self._how())
        self._buffer += data
        if len(self._buffer) > LINE:
            raise Ended("sent too much")
        end = data.find(b"\n")
        if 0 <= end < len(data) - 1:
            raise Ended(FORGED)  # there is one reply to a question
        return end >= 0

    def _note_printed(self):
        data = os.read(self._process.stdout.fileno(), 2**20)
        if not data:
            self._selector.unregister(self._process.stdout)
        self.printed += len(data)
        self.tail = (self.tail + data)[-TAIL:]

    def _watch(self):
        most = self.memory * 2**30
        processes, threads = counted.tree(self._process.pid, THREADS)
        # Counted first: of a thousand processes, nothing else is found out in time.
        if len(processes) > PROCESSES or threads > THREADS:
            raise Ended("started too many processes")
        if counted.held(processes, self._folders, most) > most:
            few = len(processes) <= FEW
            raise Ended("out of memory" if few else "started too many processes")

    def _how(self):
        """How the program ended, in words."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "closed the grader's pipe"
        return how_it_ended(code)


def how_it_ended(code):
    """Exit code as words; bubblewrap and shells report signal n as 128 + n, Python as -n.

    Examples
    --------
    >>> how_it_ended(-11), how_it_ended(3)
    ('killed by SIGSEGV', 'ended the process with exit code 3')
    """
    number = -code if code < 0 else code - 128
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"ended the process with exit code {code}"


@cache
def protection():
    """Whether bubblewrap is there and works here, and if not, why.

    Returns
    -------
    works : bool
    reason : str
    """
    program = shutil.which("bwrap")
    if not program:
        return False, "bubblewrap (bwrap) is not installed"
    call = [program, "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "--proc", "/proc"]
    run = subprocess.run([*call, sys.executable, "-c", ""], capture_output=True, text=True)
    return run.returncode == 0, run.stderr.strip()[-300:]


def what_is_not_protected():
    """What a submission can do without bubblewrap, for the instructor to read."""
    return (
        "NOT PROTECTED: submissions run as you. They can read and change your files, among them "
        "other submissions, the results and the judges, use the network, see and stop your other "
        "processes, and leave processes behind. Limits of time, memory and output hold as far as "
        "this system has them. Grade unknown code on a machine that holds nothing else, or "
        "install bubblewrap (Linux: apt install bubblewrap, dnf install bubblewrap)."
    )


def _environment(package, home, mark, memory):
    """All environment variables inside. Nothing of the grader's own is among them."""
    one_thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **dict.fromkeys(one_thread, "1"),  # a process of one thread can be copied for an exercise
        **{name: value for name, value in os.environ.items() if name in ("COURSE_BACKEND", "TZ")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "PYTHONPATH": str(package.parent),
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's allocator would be a second
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",  # what was printed before the end is not lost
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": "/tmp" if home == HOME else str(home),
        "COURSE_DATA": f"{home}/data",
        "MPLBACKEND": "agg",
        "GRADING_MEMORY": str(memory),
        MARK: mark,
    }


def _needed_outside(data):
    """More variables for a program without a sandbox: the real data, and what Windows needs."""
    needed = ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH", "PATHEXT", "COMSPEC")
    there = {name: os.environ[name] for name in needed if name in os.environ}
    return there | {"COURSE_DATA": str(data)}


def _file(files, data):
    """Descriptor of a file without a name that holds the data, until the stack is closed."""
    file = files.enter_context(tempfile.TemporaryFile())
    file.write(data)
    file.seek(0)
    return file.fileno()


def _bubblewrap(package, data, environment):
    """What bubblewrap is told: what is visible inside, and the calls that are closed, as bytes."""
    call = _options_of_bubblewrap(package, data, environment)
    told = b"".join(os.fsencode(word) + b"\0" for word in call)
    return [told, *[seccomp.program()] * bool(seccomp.program())]


def _options_of_bubblewrap(package, data, environment):
    """Options of bubblewrap: what is visible inside, and that nothing else is shared."""
    import helpers

    here = Path(helpers.__file__).parent
    call = ["--unshare-user", "--unshare-all", "--uid", "1000"]
    call += ["--gid", "1000", "--hostname", "sandbox", "--cap-drop", "ALL", "--die-with-parent"]
    call += ["--new-session", "--clearenv", *_if_known("--disable-userns")]
    call += ["--proc", "/proc", "--dev", "/dev"]
    for folder in FOLDERS:
        call += [*_if_known("--size", str(DISK)), "--tmpfs", folder]
    for device in glob.glob("/dev/nvidia*"):
        call += ["--dev-bind-try", device, device]
    for path in dict.fromkeys([*SYSTEM, *DETAILS, sys.base_prefix, sys.prefix]):
        call += ["--symlink", os.readlink(path), path] if _is_root_link(path) else []
        call += [] if _is_root_link(path) else ["--ro-bind-try", path, path]
    call += ["--ro-bind", str(package), str(here), "--setenv", "PYTHONPATH", str(here.parent)]
    for path in sorted(data.iterdir()) if data.is_dir() else ():
        call += ["--ro-bind", str(path), f"{HOME}/data/{path.name}"]
    for name, value in environment.items():
        call += ["--setenv", name, value] if name != "PYTHONPATH" else []
    return [*call, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def _is_root_link(path):
    return os.path.islink(path) and os.path.dirname(path) == "/"


def _if_known(option, *values):
    """The option, if this bubblewrap has it: older ones lack some."""
    return [option, *values] if option in _options() else []


@cache
def _options():
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True).stdout.split()


def _kill_marked(mark):
    """End the processes that have a mark in their environment: those that left their group."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                process.kill()
