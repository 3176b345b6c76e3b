"""Small changes of the solutions lose points; `python -m tests.mutants` tries them all."""

import pytest

from tests.equivalent import why
from tests.mutants import examine, main, mutants


@pytest.mark.parametrize("lesson", ["01", "05"])  # those that need no workers
def test_every_mutant_is_noticed_or_the_same(lesson):
    survivors = [(id, change) for id, change, survived in examine(lesson) if survived]
    assert [survivor for survivor in survivors if not why(*survivor)] == []


def test_mutants_differ_in_one_place():
    source = "def f(x):\n    '''Doc 1.'''\n    return sorted(x, reverse=True) if x < 1 else x + 2"
    found = [change.split(" -> ")[1] for change, _ in mutants(source)]
    assert "return sorted(x) if x < 1 else x + 2" in found
    assert "return sorted(x, reverse=False) if x < 1 else x + 2" in found
    assert "return sorted(x, reverse=True) if x <= 1 else x + 2" in found
    assert "return sorted(x, reverse=True) if x < 1 else x - 2" in found
    assert len(found) == len(set(found)) and not [text for text in found if "Doc" in text]


def test_a_gap_in_a_judge_is_told(monkeypatch, capsys):
    monkeypatch.setattr("tests.mutants.examine", lambda lesson: [("01.1", "a -> b", True)])
    assert main(["01"]) == 1
    assert "SURVIVES 01.1: a -> b" in capsys.readouterr().out
