"""The command for a machine with a GPU, as far as it can be tested without one."""

import itertools
import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers.machine import count_gpus
from tests.course.test_lessons import printed
from tests.gpu import __main__ as command
from tests.notebook_format import canonical, dumps


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson, whose compared output is wrong, with a right solution."""
    (tmp_path / "solutions").mkdir()
    backend = new_code_cell("backend = 'auto'", metadata={"tags": ["parameters"]})
    lesson = new_notebook(cells=[backend, printed("auto\n", "print(backend)")])
    solution = new_notebook(
        cells=[
            new_code_cell("def check(id):\n    print('00.1 f: right, 2 of 2 points')"),
            new_code_cell("check('00.1')"),
        ]
    )
    (tmp_path / "00_a.ipynb").write_text(dumps(canonical(lesson)))
    (tmp_path / "solutions" / "00_a.ipynb").write_text(dumps(canonical(solution)))
    monkeypatch.setattr(command.test_lessons, "LESSONS", [tmp_path / "00_a.ipynb"])
    monkeypatch.setenv("COURSE_BACKEND", "")
    return tmp_path


def test_a_changed_output_is_reported_and_counted(course, tmp_path, capsys):
    out = tmp_path / "reports"
    assert command.main(["--backend", "cpu", "--out", str(out)]) == 1
    (page,), (data,) = out.glob("*-cpu.md"), out.glob("*-cpu.json")
    text, report = page.read_text(), json.loads(data.read_text())
    assert "- auto\n+ cpu" in text
    assert command.failures(report) == 1
    assert report["solutions"] == {"00_a": None}
    assert "1 of the runs were not as they should be" in capsys.readouterr().out


def test_a_lesson_that_stops_and_a_wrong_solution_are_counted():
    fine, stopped = {"error": None, "different": []}, {"error": "x stopped", "different": []}
    report = {"lessons": {"00": {"gpu": stopped, "cpu": fine}}, "solutions": {"00": "not right"}}
    assert command.failures(report) == 2


def test_the_largest_answer_is_kept():
    answers = itertools.chain([5.0, 9.0], itertools.repeat(3.0))
    with command.watched(lambda: next(answers), pause=0.001) as largest:
        while len(largest) < 5:
            pass
    assert largest[0] == 5.0
    assert largest[-1] == 9.0


@pytest.mark.skipif(count_gpus()[0] > 0, reason="there is a GPU: python -m tests.gpu runs on it")
def test_without_a_gpu_it_says_what_is_missing(capsys):
    assert command.main([]) == 2
    assert "no NVIDIA driver" in capsys.readouterr().err
