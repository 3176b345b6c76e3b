"""The kernel keeps the limit of processes, where root can make a control group."""

import subprocess
import sys

import pytest

from helpers.grading.grader import cgroup

MANY = """
import os, time
started = 0
try:
    while True:
        if not os.fork():
            time.sleep(60)
        started += 1
except BlockingIOError:
    print(started)
    os.killpg(0, 9)
"""


def test_no_more_processes_start_than_are_allowed(monkeypatch):
    groups = []
    make = cgroup._new
    monkeypatch.setattr(cgroup, "_new", lambda *a: groups.append(make(*a)) or groups[-1])
    with cgroup.at_most(20, "test") as prefix:
        if not prefix:
            pytest.skip("no control group for processes here: it takes root and the controller")
        call = [*prefix, sys.executable, "-u", "-c", MANY]
        run = subprocess.run(call, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert 0 < int(run.stdout) < 20
    assert not groups[0].exists()
