"""A scheduler with simulated workers: all tasks are done, and nothing is left running."""

import psutil
import pytest

from helpers.scaling import scheduler_seconds


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_many_simulated_workers_do_all_tasks_and_leave_nothing():
    before = children()
    assert scheduler_seconds(50, n_tasks=500) > 0
    # multiprocessing's own resource tracker stays for the next process
    assert len(children() - before) <= 1


def test_a_start_that_takes_too_long_is_said():
    before = children()
    with pytest.raises(RuntimeError, match=r"scheduler did not start within 0\.01 s"):
        scheduler_seconds(2, timeout=0.01)
    assert len(children() - before) <= 1


@pytest.mark.parametrize(("n_workers", "n_tasks"), [(0, 100), (-1, 100), (1, 9)])
def test_without_workers_or_tasks_nothing_starts(n_workers, n_tasks):
    with pytest.raises(ValueError, match="or more"):
        scheduler_seconds(n_workers, n_tasks=n_tasks)
