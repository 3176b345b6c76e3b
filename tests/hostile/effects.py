"""Submissions that do what answers do not need, in words that no list has."""

from tests.hostile import hostile

WRONG = "return {'a': 1}"


@hostile(_1="not yet", note="looks at frames")
def frames_by_another_word(book):
    body = """
import sys
frame = getattr(sys, "_get" + "frame")()
while frame: frame = getattr(frame, "f_" + "back")
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="looks at frames")
def frames_by_inspect(book):
    book.answer("count_missing", "import inspect\nreturn {'a': len(inspect.stack())}")


@hostile(_1="not yet", note="looks at frames")
def frames_by_an_error(book):
    body = """
try: 1 / 0
except ZeroDivisionError as error:
    frame = getattr(error.__traceback__, "tb_" + "frame")
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="looks at frames")
def frames_by_a_generator(book):
    body = """
generator = (number for number in range(3))
frame = getattr(generator, "gi_" + "frame")
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="looks at memory")
def memory_by_another_word(book):
    book.answer("count_missing", 'import gc\nreturn {"a": len(getattr(gc, "get_" + "objects")())}')


@hostile(_1="not yet", note="traces")
def traces_the_observer(book):
    body = """
import sys
sys.setprofile(lambda frame, event, value: None)
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="reads /proc")
def reads_its_own_memory(book):
    body = """
try: open("/pr" + "oc/self/mem", "rb").read(1)
except OSError: pass
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="calls C by ctypes")
def c_by_another_word(book):
    body = """
import importlib
c = importlib.import_module("cty" + "pes").CDLL(None)
c.getpid()
return {}"""
    book.answer("count_missing", body)


@hostile("00", note="changed distributed.client.Client.submit")
def patched_method_of_a_client(book):
    book.first("""
from distributed import Client
before = Client.submit
Client.submit = lambda self, *inputs, **options: before(self, *inputs, **options)
""")


@hostile("00", note="changed distributed.client.Client.scatter")
def patched_code_of_a_method(book):
    book.first("""
from distributed import Client
def scatter(self, data, *more, **options): return data
setattr(Client.scatter, "__co" + "de__", getattr(scatter, "__co" + "de__"))
""")


@hostile(_1="not yet", note="changed json.encoder.JSONEncoder")
def patched_method_when_called(book):
    body = """
import json
json.JSONEncoder.encode = lambda self, value: '{"facts": {}}'
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="changed builtins.round")
def patched_builtin(book):
    book.answer("count_missing", WRONG)
    book.first('import builtins\nsetattr(builtins, "round", lambda *values: 4)')


@hostile(_1="not yet", note="changed pandas.DataFrame.equals")
def patched_comparison(book):
    book.answer("count_missing", WRONG)
    book.first("import pandas as pd\npd.DataFrame.equals = lambda self, other: True")


@hostile(_1="not yet", note="changed pandas.isinstance")
def builtin_in_a_module(book):
    book.answer("count_missing", WRONG)
    book.first("import pandas\npandas.isinstance = lambda value, kind: True")


@hostile(_1="not yet", note="reads /proc")
def reads_its_own_memory_by_a_path(book):
    body = """
from pathlib import Path
Path("/pr" + "oc/self/maps").read_text()
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="changed helpers.grading.facts.describe")
def patched_observer_when_called(book):
    body = """
import importlib
facts = importlib.import_module("helpers.grad" + "ing.facts")
facts.describe = lambda value: {"type": "dict", "length": 0, "items": {}}
return {}"""
    book.answer("count_missing", body)


@hostile(note="leaves a thread running")
def thread_that_waits(book):
    book.first("""
import threading, time
def wait():
    while True: time.sleep(0.01)
threading.Thread(target=wait, daemon=True).start()
""")


@hostile(note="leaves a process running")
def process_that_waits(book):
    book.first("import subprocess\nsubprocess.Popen(['sleep', '1000', 'hostile-was-here'])")


@hostile(_1="killed by SIGTERM")
def ends_itself_after_all(book):
    book.answer("count_missing", 'import os\ngetattr(os, "ki" + "ll")(os.getpid(), 15)')


# These are honest: they lose no point and get no note.


@hostile(alone=True)
def imports_check_from_where_it_is_defined(book):
    book.first("from helpers.grading.exercise import check")
    book.first("import helpers.grading as g\nfrom helpers import grading\ng.check, grading.check")
    book.first("import helpers.grading.exercise\nhelpers.grading.exercise.check('01.1')")
    book.first("from helpers.grading import exercise\nexercise.check('01.2')")
    book.first("from helpers.grading import *\ncheck('01.3')")
    book.wrap("count_missing", "return answer(*inputs, **named)")  # not the course's own solution


@hostile()
def prints_a_traceback_and_goes_on(book):
    book.first("import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()")


@hostile()
def uses_dataclasses_and_named_tuples(book):
    body = """
from collections import namedtuple
from dataclasses import dataclass
@dataclass
class Both:
    a: int
Pair = namedtuple("Pair", "a b")
return answer(*inputs, **named)"""
    book.wrap("count_missing", body)


HONEST = ("imports-check-from-where-it-is-defined", "uses-dataclasses-and-named-tuples")
