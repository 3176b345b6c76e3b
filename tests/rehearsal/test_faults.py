"""The rehearsal proves itself: lessons come to their end, and every planted fault is seen."""

import ast
import subprocess
import sys
from importlib.util import find_spec

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebook_format import read
from tests.rehearsal.__main__ import SHADOW, lesson, stage, with_faults
from tests.rehearsal.faults import FAULTS, place, up_to_use, without_conversions

if find_spec("cupy") or find_spec("cudf"):
    pytest.skip("RAPIDS is installed here; stand-ins would hide it", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("RAPIDS runs on Linux, and so does its rehearsal", allow_module_level=True)


@pytest.mark.parametrize("number", ["05"])  # one of the shorter; the weekly workflow has all
def test_a_lesson_is_rehearsed_and_its_faults_are_seen(number):
    different, unseen = with_faults(number)
    assert different == []
    assert unseen == []


def run(source: str) -> str:
    with stage():
        call = [sys.executable, "-c", source]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


def test_helpers_find_two_gpus_on_the_stage_and_none_behind_it():
    source = "from helpers.backend import get_backend; print(get_backend().name)"
    assert run(source) == "gpu"
    assert SHADOW.name not in str(sys.path)
    from helpers.machine import missing_gpu_packages

    assert "cudf" in missing_gpu_packages()


def test_stand_ins_never_hide_the_real_packages(monkeypatch):
    monkeypatch.setattr("tests.rehearsal.__main__.find_spec", lambda name: name)
    with pytest.raises(SystemExit, match="RAPIDS is installed here"):
        run("")


def test_conversions_are_left_out_one_by_one():
    source = "a = to_host(xp.asarray(b)) + c"
    assert without_conversions(source) == ["a = (xp.asarray(b)) + c", "a = to_host((b)) + c"]


def test_what_is_left_out_runs_up_to_where_it_is_used():
    cells = [new_code_cell(text) for text in ("a = to_host(b)", "print(1)", "print(a)", "a + 1")]
    notebook = new_notebook(cells=cells)
    assert up_to_use(notebook, 0) == cells[:3]
    assert up_to_use(notebook, 1) == cells[1:2]
    cells[2].metadata["tags"] = ["raises-exception"]
    assert up_to_use(notebook, 0) == cells[:1]


def test_there_are_enough_faults():
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.lesson} {fault.new[:30]}")
def test_a_fault_has_its_place(fault):
    notebook = read(lesson(fault.lesson))
    ast.parse(notebook.cells[place(notebook, fault)].source.replace(fault.old, fault.new, 1))
