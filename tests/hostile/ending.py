"""Submissions that do not end, or end what they run in, or use up the machine."""

from tests.hostile import hostile


@hostile(alone=True, _1="not defined: cell 3: SyntaxError")
def syntax_error(book):
    book.cells[book.find("count_missing")] = "def count_missing(table:\n    return {}"


@hostile()
def syntax_error_elsewhere(book):
    book.first("this is no Python")


@hostile(_1="timed out")
def endless_answer(book):
    book.answer("count_missing", "while True: pass")


@hostile(_2="timed out")
def endless_answer_that_swallows_everything(book):
    loop = """
while True:
    try:
        while True: pass
    except BaseException: pass"""
    book.answer("share_late", loop)


@hostile(alone=True)
def endless_cell(book):
    book.first("while True: pass")


@hostile()
def endless_cell_with_an_answer_in_it(book):
    number = book.find("count_missing")
    book.cells[number] += """
import signal
for name in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM): signal.signal(name, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass"""


@hostile(_1="timed out")
def stopped_answer(book):
    book.answer("count_missing", "import os\nos.kill(os.getpid(), 19)")


@hostile()
def waits_for_input(book):
    book.first("input('name? ')")


@hostile(_1="ended the process with exit code 0")
def exit_in_an_answer(book):
    book.answer("count_missing", "import os\nos._exit(0)")


@hostile()
def exit_in_a_cell(book):
    book.first("import os\nos._exit(0)")


@hostile(_1="raised SystemExit")
def polite_exit(book):
    book.first("import sys\nsys.exit(3)")
    book.first("exit()")
    book.answer("count_missing", "raise SystemExit(0)")


@hostile(_1="raised Own")
def own_kind_of_exception(book):
    book.answer("count_missing", "class Own(BaseException): pass\nraise Own")


@hostile(_1="killed by SIGKILL")
def killed_answer(book):
    book.answer("count_missing", "import os\nos.kill(os.getpid(), 9)")


@hostile(_1="killed by SIGKILL")
def killed_parent(book):
    book.answer("count_missing", "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(99)")


@hostile()
def killed_in_a_cell(book):
    book.first("import os\nos.kill(os.getpid(), 15)")


@hostile()
def killed_everything(book):
    book.first("import os\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)")


@hostile()
def killed_later_by_an_alarm(book):
    book.first("import signal\n_ = signal.setitimer(signal.ITIMER_REAL, 0.01)")
    book.cells.insert(1, "import time\ntime.sleep(0.1)")


@hostile(alone=True)
def killed_later_by_a_thread(book):
    book.first("import os, threading\nthreading.Timer(0.3, os._exit, [7]).start()")


@hostile(_1="killed by SIGSEGV")
def segfault_in_an_answer(book):
    book.answer("count_missing", "import ctypes\nctypes.string_at(0)")


@hostile()
def segfault_in_a_cell(book):
    book.last("import ctypes\nctypes.string_at(0)")


@hostile(_1="raised RecursionError", _4="killed by SIGSEGV")
def recursion(book):
    book.answer("count_missing", "return count_missing(*inputs)")
    # Deep recursion in C ends the process, if nothing counts it.
    deep = """
import sys
sys.setrecursionlimit(10**9)
class Deep: pass
Deep.__getattr__ = lambda self, name: getattr(self, name)
Deep.__repr__ = lambda self: repr(self)
x = []
for _ in range(10**6): x = [x]
try: repr(Deep())
except BaseException: pass
import os; os.kill(os.getpid(), 11)"""
    book.answer("same_numbers", deep)


# A slow machine may reach the limit of time first: either way nothing is earned.
@hostile(alone=True, _1=("started too many processes", "timed out"))
def fork_bomb_in_an_answer(book):
    book.answer("count_missing", "import os\nwhile True: os.fork()")


@hostile(alone=True)
def fork_bomb_in_a_cell(book):
    book.first("import os\nwhile True: os.fork()")


@hostile(alone=True)
def thread_bomb(book):
    book.first(
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=[99], daemon=True).start()"
    )


@hostile(_1="out of memory")
def memory_hog(book):
    book.answer("count_missing", "hog = []\nwhile True: hog.append(bytearray(2**24))")


@hostile(alone=True)
def memory_hog_in_a_cell(book):
    book.first("hog = b'x' * 2**26\nwhile True: hog += hog")


SHARED = """
import mmap
shared = mmap.mmap(-1, 3 * 2**30)
for i in range(0, len(shared), 4096): shared[i] = 1"""


@hostile(_1="out of memory")
def shared_memory(book):
    book.answer("count_missing", SHARED + "\nimport time\ntime.sleep(99)")


@hostile(_1="out of memory")
def shared_memory_that_is_not_resident(book):
    step = "    if i % 2**26 == 0: shared.madvise(mmap.MADV_DONTNEED)"
    lines = SHARED.replace("shared[i] = 1", f"\n    shared[i] = 1\n{step}")
    book.answer("count_missing", lines + "\nimport time\ntime.sleep(99)")


@hostile(_1="out of memory")
def shared_memory_of_many_processes(book):
    body = """
import mmap, os, time
for _ in range(5):
    if os.fork() == 0:
        shared = mmap.mmap(-1, 2**29)
        for i in range(0, len(shared), 4096): shared[i] = 1
        time.sleep(99)
time.sleep(99)"""
    book.answer("count_missing", body)


@hostile(_1="raised OSError")
def files_in_memory_without_a_place(book):
    body = """
import os
file = os.memfd_create("hog")
for _ in range(300): os.write(file, bytes(2**24))
return {}"""
    book.answer("count_missing", body)


@hostile(_1="out of memory")
def memory_and_temporary_files_together(book):
    body = """
import os, time
for folder in ("/tmp", "/dev/shm", os.path.expanduser("~")):
    with open(f"{folder}/hog", "wb") as file:
        for _ in range(31): file.write(bytes(2**24))
kept = [bytes([1]) * 2**24 for _ in range(60)]
time.sleep(99)"""
    book.answer("count_missing", body)


@hostile(alone=True)
def raises_memory_error_in_a_cell_and_keeps_it(book):
    book.first("""
hog = []
try:
    while True: hog.append(bytearray(2**24))
except MemoryError as error:
    kept = error
    raise
""")


@hostile(alone=True)
def keeps_half_of_the_memory(book):
    book.first("hog = []\nfor _ in range(85): hog.append(bytes([1]) * 2**24)")


@hostile(alone=True)
def shows_a_gigabyte(book):
    book.first("'x' * 2**29")
    book.first("print('x' * 2**29)")


@hostile()
def raises_errors_with_large_frames(book):
    cell = "def fail():\n    large = bytes([1]) * 2**28\n    raise ValueError\nfail()"
    for _ in range(12):
        book.first(cell)


@hostile(_1="raised OSError")
def fills_the_disk(book):
    fill = """
import os
for folder in ("/tmp", "/dev/shm", os.path.expanduser("~")):
    try:
        for n in range(99):
            with open(f"{folder}/{n}", "wb") as file: file.write(bytes(2**24))
    except OSError as error: full = error
raise OSError("all full")"""
    book.answer("count_missing", fill)


@hostile()
def prints_a_gigabyte(book):
    book.first("import os\nfor _ in range(1024): os.write(1, b'x' * 2**20)")
    book.wrap("count_missing", "for _ in range(10**5): print('x' * 100)\nreturn answer(*inputs)")


@hostile(alone=True)
def ten_thousand_figures(book):
    book.first(
        "import matplotlib.pyplot as plt\nfor _ in range(10_000): plt.plot([1, 2]); plt.figure()"
    )


@hostile(alone=True, _1="not yet")
def returns_too_much(book):
    book.answer("count_missing", "return {str(i): list(range(1000)) for i in range(10**4)}")


@hostile(_1="timed out")
def hangs_when_it_is_described(book):
    body = """
class Slow(dict):
    def items(self):
        while True: pass
    __len__ = items
return Slow(a=1)"""
    book.answer("count_missing", body)


@hostile(alone=True)
def hangs_when_the_process_ends(book):
    book.first("import atexit, time\natexit.register(time.sleep, 1000)")


@hostile(alone=True)
def leaves_processes_behind(book):
    book.first(
        "import os, subprocess\n"
        "subprocess.Popen(['sleep', '1000', ';hostile-was-here'], start_new_session=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0: os.execvp('python', ['python', '-c', "
        "'import time; time.sleep(1000)', 'hostile-was-here'])\n"
        "    os._exit(0)"
    )


@hostile(alone=True)
def closes_all_pipes(book):
    book.first("import os\nos.closerange(0, 200)")


@hostile(alone=True)
def breaks_the_output(book):
    book.first("import sys\nsys.stdout = sys.stderr = None\nsys.displayhook = None")
