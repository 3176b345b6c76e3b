"""What tests of several folders use."""

import multiprocessing
from collections.abc import Iterator

import dask
import pytest


@pytest.fixture(scope="module", autouse=True)
def own_scheduler() -> Iterator[None]:
    """Give the next file's tests Dask's scheduler as it was.

    A worker in this process may become a client, too, which ends after the others and then leaves
    "dask.distributed" behind.
    """
    with dask.config.set(scheduler=dask.config.get("scheduler", None)):
        yield


@pytest.fixture
def forked_workers(monkeypatch):
    """Let workers be copies of a process that has done the imports, where the system can fork.

    The imports of each worker are half of the time of a lesson with four. nbval runs every lesson
    as a student does; the tests with this fixture ask what does not depend on how workers start.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")
        # Dask sets this for its workers, before they import NumPy; these have it imported.
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
