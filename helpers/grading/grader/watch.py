"""Notice what a student's code does that answers do not need: a list of words can be avoided.

Python tells an audit hook of what is done, whatever it is called in the source. A hook cannot be
removed. It runs in the same process as the code that it watches, so a note is a hint and no proof,
and no note is no proof either.
"""

import sys
import threading

EVENTS = {
    "sys._getframe": "looks at frames",
    "sys._current_frames": "looks at frames",
    "sys.settrace": "traces",
    "sys.setprofile": "traces",
    "sys.addaudithook": "adds an audit hook",
    "gc.get_objects": "looks at memory",
    "gc.get_referrers": "looks at memory",
    "gc.get_referents": "looks at memory",
    "ctypes.dlopen": "calls C by ctypes",
    "ctypes.dlsym": "calls C by ctypes",
    "code.__new__": "makes code objects",
    "os.fork": "starts processes",
    "os.kill": "sends signals",
    "os.killpg": "sends signals",
    "signal.pthread_kill": "sends signals",
    "object.__getattr__": "looks at frames or code",
    "object.__setattr__": "changes functions",
    "object.__delattr__": "changes functions",
}
# Modules that do it for whoever calls them.
THROUGH = ("inspect", "ctypes", "traceback", "pathlib", "IPython.core.interactiveshell")
FOLDERS = ("/proc/", "/sys/")
MOST = 10  # things that are told of those that were noticed


class Watch:
    """What was noticed since this was made; there can be one in a process.

    Attributes
    ----------
    token : str or None
        A secret that is forgotten as soon as something is noticed.
    """

    def __init__(self):
        self._found, self._busy, self.token = {}, False, None
        self._getframe, self._frames = sys._getframe, sys._current_frames
        self._main = threading.get_ident()
        sys.addaudithook(self._hook)

    def note(self, words):
        """Add something, in words that go on from "the code …"."""
        self._found[words[:200]] = True
        self.token = None

    def noticed(self):
        """The first things that were noticed.

        Returns
        -------
        list of str
        """
        return list(self._found)[:MOST]

    def look_at_threads(self):
        """Notice threads other than the first that are in a cell's code now."""
        self._busy = True
        try:
            frames = dict(self._frames())
            frames.pop(self._main, None)
            for frame in frames.values():
                while frame is not None:
                    if _is_students(frame):
                        self.note("leaves a thread running")
                    frame = frame.f_back
        finally:
            self._busy = False

    def _hook(self, event, arguments):
        words = EVENTS.get(event)
        if event == "open" and type(arguments[0]) is str and arguments[0].startswith(FOLDERS):
            words = "reads /proc"
        if words is None or self._busy:
            return
        self._busy = True
        try:
            frame = self._getframe(1)
            while frame is not None and frame.f_globals.get("__name__", "").startswith(THROUGH):
                frame = frame.f_back
            if frame is not None and _is_students(frame):
                self.note(words)
        finally:
            self._busy = False


def _is_students(frame):
    """Whether it runs code of a cell, or code that such code has made."""
    return frame.f_code.co_filename.startswith(("<ipython-input", "<string>"))
