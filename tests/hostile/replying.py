"""Submissions that answer the grader themselves, in any shape, at any time."""

import json

from tests.hostile import hostile

FORGED = '{"facts": {"type": "dict", "length": 0, "items": {}}, "seconds": 0.1, "noticed": []}'
STOPPED = "of cell 1 left something behind"

# A thread that writes into everything that is open, from the first cell on.
THREAD = """
import os, threading, time
LINE = {line!r}
def write():
    while True:
        for number in range(3, 64):
            try: os.write(number, LINE)
            except OSError: pass
        time.sleep(0.002)
threading.Thread(target=write, daemon=True).start()
"""
LINES = {
    "a_cell_alone": b'{"cell": 1}\n',
    "a_cell_of_wrong_types": b'{"cell": "0", "error": 5, "running": []}\n',
    "a_cell_that_is_true": b'{"cell": false, "error": null, "running": true}\n',
    "a_list": b"[1, 2]\n",
    "nothing": b"\n",
    "no_text": b"\xff\xfe\x00\n",
    "a_bracket_without_end": b"[" * 50_000 + b"\n",
    "a_line_without_end": b"x" * 2**16,
    "numbers_that_are_none": b'{"cell": NaN, "error": null, "running": -Infinity}\n',
    "numbers_beyond_a_float": b'{"cell": 1' + b"0" * 400 + b"}\n",
    "names_twice": b'{"cell": 0, "cell": 0, "error": null, "error": null, "running": 0}\n',
    "the_right_shape": b'{"cell": 0, "error": null, "running": 0}\n',
    "ready_again": b'{"ready": "01"}\n',
    "half_a_reply": b'{"cell": 0, "err',
}


def _register(name, make, **expected):
    make.__name__ = name
    hostile(**expected)(make)


def _thread(line):
    def make(book):
        book.first(THREAD.format(line=line))

    return make


for name, line in LINES.items():
    _register(f"thread_writes_{name}", _thread(line))

# An answer that writes its own facts where the copy that observes it would.
ANSWER = """
import os, sys, time
for number in range(3, 64):
    try: os.write(number, {line!r})
    except OSError: pass
{then}"""
ENDS = {"then": 'getattr(os, "_ex" + "it")(0)'}
WRITTEN = {
    "null": (b'{"facts": null}\n', ENDS, "wrote into the grader's pipe"),
    "a_list": (b"[7]\n", ENDS, "wrote into the grader's pipe"),
    "pairs": (b'[["facts", {}]]\n', ENDS, "not yet"),
    "no_text": (b"\xff\xfe\n", ENDS, "wrote into the grader's pipe"),
    "deep_facts": (
        b'{"facts": ' + b"[" * 400 + b"]" * 400 + b"}\n",
        ENDS,
        "wrote into the grader's pipe",
    ),
    "a_time_that_is_text": (b'{"facts": {}, "seconds": "0"}\n', ENDS, "wrote"),
    "a_time_that_is_none": (b'{"facts": {}, "seconds": NaN}\n', ENDS, "wrote"),
    "many_notes": (
        b'{"facts": {}, "noticed": ' + json.dumps(["x"] * 1000).encode() + b"}\n",
        ENDS,
        "wrote",
    ),
    "another_status": (b'{"none": "right"}\n', ENDS, "wrote into the grader's pipe"),
    "another_key": (b'{"facts": {}, "points": 3}\n', ENDS, "wrote into the grader's pipe"),
    "another_number": (b'{"facts": {}, "id": "01.2", "nonce": "0"}\n', ENDS, "not yet"),
    "two_replies": (b'{"facts": {}}\n{"facts": {}}\n', ENDS, "wrote into the grader's pipe"),
    "and_goes_on": (b"{}\n", {"then": "return {}"}, "wrote into the grader's pipe"),
    "and_ends_by_a_signal": (
        FORGED.encode() + b"\n",
        {"then": "os.kill(os.getpid(), 15)\ntime.sleep(9)"},
        "killed by SIGTERM",
    ),
    "and_fails": (FORGED.encode() + b"\n", {"then": 'getattr(os, "_ex" + "it")(3)'}, "ended the"),
    "and_sleeps": (FORGED.encode() + b"\n", {"then": "time.sleep(99)"}, "killed by SIGKILL"),
}


def _answer(line, then):
    def make(book):
        book.answer("count_missing", ANSWER.format(line=line, **then))

    return make


for name, (line, then, status) in WRITTEN.items():
    _register(f"answer_writes_{name}", _answer(line, then), _1=status)


@hostile(_1="not yet", note="may have answered in the grader's place")
def answer_writes_facts_of_the_right_shape(book):
    book.answer("count_missing", ANSWER.format(line=FORGED.encode() + b"\n", **ENDS))


@hostile(_1="")
def answer_writes_without_end(book):
    body = """
import os
while True:
    for number in range(3, 64):
        try: os.write(number, b"x" * 2**16)
        except OSError: pass"""
    book.answer("count_missing", body)


@hostile(note=STOPPED)
def thread_reads_the_requests(book):
    book.first("""
import os, threading
def read(number):
    while True:
        try: os.read(number, 2**16)
        except OSError: return
for number in range(3, 64):
    threading.Thread(target=read, args=[number], daemon=True).start()
""")


@hostile(alone=True)
def process_reads_the_requests(book):
    book.first("""
import os
if os.fork() == 0:
    while True:
        for number in range(3, 16):
            try:
                os.set_blocking(number, False)
                os.read(number, 2**16)
            except OSError: pass
""")


@hostile(_1="not yet", _2="not yet", _4="not yet")
def returns_numbers_beyond_a_float(book):
    book.answer("count_missing", "return {name: 10**400 for name in inputs[0]}")
    book.answer("share_late", "return 10**400")
    book.answer("same_numbers", "return 10**4000")


@hostile(_1="not yet", _2="not yet")
def returns_what_is_nested_deeply(book):
    body = """
deep = []
for _ in range({}): deep = [deep]
return deep"""
    book.answer("count_missing", body.format(200))
    book.answer("share_late", body.format(80))


@hostile(_1="raised", _2="raised", _3="raised")
def raises_what_cannot_be_shown(book):
    body = """
class Bad(Exception):
    def __str__(self): {}
raise Bad"""
    book.answer("count_missing", body.format("raise Bad"))
    book.answer("share_late", body.format("return 7"))
    book.answer("standardize", body.format("return chr(0xd800) * 10**6"))


@hostile()
def prints_replies_in_a_flood(book):
    book.first('for _ in range(10**5): print(\'{"cell": 0, "error": null, "running": 0}\')')
