"""Submissions that want marks they have not earned, or a look at what is not theirs."""

from tests.hostile import hostile

WRONG = "return {'a': 1}"
FORGED = '{"type": "dict", "length": 4, "items": {"tailnum": {"type": "int", "value": 3}}}'


@hostile(_1="not yet")
def patched_numpy(book):
    book.answer("count_missing", "return {'tailnum': 0, 'gate': 0, 'dep_delay': 0, 'arr_delay': 0}")
    book.first("""
import numpy as np
class Calm:
    def integers(self, *a, **k): return np.zeros(60, int) if len(a) > 2 else 0
    def choice(self, values, n=None, replace=True):
        return np.resize(values, n) if replace else np.arange(0)
np.random.default_rng = lambda *seed: Calm()
""")


@hostile(_1="raised TypeError")
def patched_numpy_when_called(book):
    body = """
import numpy
numpy.random.default_rng = lambda *seed: None
numpy.ndarray = numpy.asarray = numpy.allclose = lambda *a, **k: True
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet")
def patched_builtins(book):
    book.answer("count_missing", WRONG)
    book.first("""
import builtins
builtins.isinstance = lambda value, kind: True
builtins.str = builtins.int = lambda value=0: 7
builtins.len = lambda value: 3
""")


@hostile(_1="not yet")
def patched_json(book):
    book.answer("count_missing", WRONG)
    book.first(f"""
import json
json.dumps = json.JSONEncoder.encode = lambda *a, **k: '{{"facts": {FORGED}}}'
json.loads = json.JSONDecoder.decode = None
""")


@hostile(_1="not yet")
def patched_observers(book):
    book.answer("count_missing", WRONG)
    book.first("""
import sys, helpers
try:
    from helpers.grading.lessons import lesson_01
    raise SystemError("LEAK: observers can be imported")
except ImportError:
    pass
for name in list(sys.modules):
    if name.startswith(("helpers.grading.lessons.", "helpers.grading.grader.")):
        raise SystemError("LEAK:", name)
""")


@hostile(_1="not yet")
def patched_observers_when_called(book):
    body = f"""
import json, sys
facts = json.loads('{FORGED}')
for name in ("exercise", "facts", "lessons.lesson_01", "grader.inside"):
    module = sys.modules.get("helpers.grading." + name) or sys.modules["__main__"]
    for tool in ("describe", "observe", "_observe_count"):
        setattr(module, tool, lambda *inputs: facts)
return {{}}"""
    book.answer("count_missing", body)


@hostile(_1="not yet", note="please look: the code uses _getframe")
def walks_frames_and_memory(book):
    body = """
import gc, sys, threading
from pathlib import Path
seen = set()
def look(name, value):
    if "judge" in str(name) and value is not None and callable(value):
        if getattr(value, "__module__", "") != "helpers.grading.exercise":
            raise SystemError("LEAK: a judge", name)
    if name in ("SAME", "HOSTS_MAKE", "DIFFERS", "expected"):
        if getattr(value, "__module__", "") != "typing": raise SystemError("LEAK: expected", name)
frame = sys._getframe()
while frame:
    for names in (frame.f_locals, frame.f_globals):
        for name, value in list(names.items()): look(name, value)
    frame = frame.f_back
for thing in gc.get_objects():
    if type(thing) is dict and str(thing.get("__name__", "")).startswith("helpers.grading"):
        for name, value in list(thing.items()): look(name, value)
    if type(thing).__name__ == "Exercise" and thing.judge is not None:
        raise SystemError("LEAK: an exercise with its judge")
    if type(thing).__name__ == "function" and "_judge" in thing.__name__:
        raise SystemError("LEAK:", thing.__name__)
for path in map(Path, sys.path):
    for file in (path / "helpers").rglob("*"):
        if file.suffix == ".py" and "def _judge" in file.read_text():
            raise SystemError("LEAK:", file)
return {}"""
    book.answer("count_missing", body)


@hostile(_1="not yet")
def forged_facts_on_stdout(book):
    print_it = f"""
print('{{"id": "01.1", "facts": {FORGED}}}', flush=True)
import os
os.write(1, b'{{"id": "01.1", "facts": {FORGED}}}\\n')
os.write(2, b'{{"id": "01.1", "facts": {FORGED}}}\\n')
"""
    book.first(print_it)
    book.answer("count_missing", print_it + "\nreturn {}")


@hostile(_1="not yet")
def forged_facts_in_mime_data(book):
    book.answer("count_missing", WRONG)
    book.last(f"""
from IPython.display import display
display({{"application/json": {FORGED}, "text/plain": "01.1: right, 3 of 3 points"}}, raw=True)
""")


@hostile()
def forged_answers_to_the_grader(book):
    book.first(f"""
import os
for fd in range(3, 64):
    try: os.write(fd, b'{{"id": "01.1", "nonce": "", "facts": {FORGED}}}\\n')
    except OSError: pass
""")


@hostile(_1="wrote into the grader's pipe")
def forged_answers_when_called(book):
    body = f"""
import os
for fd in range(3, 64):
    try: os.write(fd, b'{{"id": "01.1", "nonce": "guess", "facts": {FORGED}}}\\n')
    except OSError: pass
return {{}}"""
    book.answer("count_missing", body)


@hostile(_1="not yet")
def answers_to_all_questions_in_advance(book):
    book.answer("count_missing", WRONG)
    book.last(f"""
import os
if os.fork() == 0:
    for fd in range(3, 64):
        try: os.write(fd, b'{{"facts": {FORGED}, "seconds": 0.1}}\\n')
        except OSError: pass
    os._exit(0)
os.wait()
""")


@hostile(_1="not yet")
def fake_check(book):
    book.answer("count_missing", WRONG)
    book.first("""
def check(id, namespace=None):
    print(f"{id} count_missing: right, 3 of 3 points")
""")
    book.cells = [cell.replace("from helpers.grading import check", "") for cell in book.cells]


@hostile(_1="not yet")
def input_transformers(book):
    book.answer("count_missing", WRONG)
    book.first("""
def replace(lines):
    return [line.replace('check(', 'print("right, 3 of 3 points") or str(') for line in lines]
get_ipython().input_transformers_cleanup.append(replace)
""")


@hostile(_1="not defined: cell 4", _2="not defined: cell 6", _3="not", _4="not", _5="not")
def input_transformers_that_fail(book):
    book.first("""
def fail(lines):
    raise SyntaxError("no cell runs any more")
get_ipython().input_transformers_cleanup.append(fail)
""")


@hostile(alone=True, _1="not yet")
def gives_the_inputs_of_check(book):
    book.answer(
        "count_missing", "return {'tailnum': 4, 'gate': 0, 'dep_delay': 7, 'arr_delay': 12}"
    )


@hostile(_1="not yet")
def remembers_between_calls(book):
    body = """
if not hasattr(count_missing, "before"): count_missing.before = {n: 0 for n in inputs[0]}
now = {name: int(inputs[0][name].isna().sum()) for name in inputs[0]}
before, count_missing.before = count_missing.before, now
return before"""
    book.answer("count_missing", body)


@hostile(_2="not yet")
def changes_its_inputs(book):
    book.wrap(
        "share_late",
        "result = answer(inputs[0].copy())\ninputs[0]['arr_delay'] = 0.0\nreturn result",
    )


@hostile(_1="not yet")
def returns_a_generator(book):
    book.answer("count_missing", "return ((name, 0) for name in inputs[0])")


@hostile(_1="not yet", _2="not yet")
def lying_equality(book):
    body = """
class Liar(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
    def __ne__(self, other): return False
    def __instancecheck__(self, other): return True
class Always(dict):
    def __eq__(self, other): return True
return Always({Liar(n): Liar(n) for n in range(4)})"""
    book.answer("count_missing", body)
    book.answer("share_late", body)


@hostile(_1="raised", _2="raised")
def names_of_other_types(book):
    body = """
class ndarray(dict):
    __module__ = "cupy"
    def get(self): return self
    def to_pandas(self): raise RuntimeError
class DataFrame:
    __module__ = "cudf"
    def __getattr__(self, name): return lambda *a, **k: self
return {}()"""
    book.answer("count_missing", body.replace("{}", "ndarray"))
    book.answer("share_late", body.replace("{}", "DataFrame"))


@hostile()
def only_warns(book):
    body = """
import warnings
warnings.warn("this may be wrong")
warnings.warn("old", DeprecationWarning)
print("this is fine")
return answer(*inputs, **named)"""
    book.wrap("count_missing", body)


@hostile("02", _1="not yet", _2="raised ZeroDivisionError", _5="not yet")
def returns_lazy_things(book):
    book.answer("rows_per_partition", "return inputs[0].map_partitions(len)")
    book.answer("mean_delay", "import dask\nreturn dask.delayed(lambda: 1 / 0)()", "ddf, late")
    book.answer("pin_months", "return inputs[0].submit(sum, [1])")


@hostile("00")
def leaves_a_cluster_running(book):
    book.first("""
from distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":8787")
client = Client(cluster)
assert client.submit(sum, [1, 2]).result() == 3
""")


@hostile("00")
def occupies_port_8787(book):
    book.first("""
import socket
busy = socket.socket()
busy.bind(("0.0.0.0", 8787))
busy.listen()
""")


PLACES = """
import os, sys, site
home = os.path.expanduser("~")
places = ["/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/run", "/etc", home, "/root", os.getcwd()]
places += [*sys.path, *site.getsitepackages(), SUBMISSIONS, OUT, ROOT]
"""


@hostile()
def writes_all_over(book):
    book.first(
        PLACES
        + """
for place in places:
    try:
        open(f"{place}/hostile-was-here", "w").write("x")
        os.mkdir(f"{place}/hostile-was-here-2")
    except OSError: pass
"""
    )


@hostile()
def reads_what_is_not_its_own(book):
    book.first(
        PLACES
        + """
from pathlib import Path
private = ["/course/solutions", "/tests", "/README.md"]
for place in [SUBMISSIONS, OUT, *(ROOT + name for name in private), "/root/.ssh", "/etc/shadow"]:
    try:
        if os.path.exists(place): raise SystemError("LEAK: can see", place)
    except OSError: pass
for number in os.listdir("/proc"):
    try:
        if not number.isdigit(): continue
        if b"COURSE_SECRET" in Path(f"/proc/{number}/environ").read_bytes():
            raise SystemError("LEAK: the grader's environment")
        if b"grade" in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\\0"):
            raise SystemError("LEAK: the grader's process")
    except OSError: pass
if "COURSE_SECRET" in os.environ: raise SystemError("LEAK: environment")
"""
    )


@hostile()
def uses_the_network(book):
    book.first("""
import socket
socket.setdefaulttimeout(2)
for address in [("127.0.0.1", PORT), ("192.0.2.1", 80), ("localhost", PORT)]:
    try:
        socket.create_connection(address)
        raise SystemError("LEAK: connected to", address)
    except OSError: pass
names = [name for _, name in socket.if_nameindex()]
if names != ["lo"]: raise SystemError("LEAK: interfaces", names)
server = socket.socket()
server.bind(("0.0.0.0", 45679))
server.listen()
""")


@hostile()
def gains_no_rights(book):
    book.first("""
import ctypes, os
if os.getuid() == 0: raise SystemError("LEAK: root")
libc = ctypes.CDLL(None, use_errno=True)
for kind in (0x10000000, 0x00020000):  # new user and mount namespaces
    if libc.unshare(kind) == 0: raise SystemError("LEAK: unshare", hex(kind))
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: raise SystemError("LEAK: mount")
try:
    os.setuid(0)
    raise SystemError("LEAK: setuid")
except OSError: pass
""")
