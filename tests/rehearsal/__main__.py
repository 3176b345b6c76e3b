"""Rehearse lessons for a GPU on a CPU: ``python -m tests.rehearsal [--gpus N] [LESSON ...]``.

Stand-ins for CuPy, cuML and dask-cuda refuse what the real ones refuse (rules.md) and compute on
the host. A lesson must run to its end with the stored outputs. This is a rehearsal and no test on
a GPU.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.course import test_lessons
from tests.notebook_format import ROOT, read

SHADOW = Path(__file__).parent / "shadow"
LESSONS = ("05", "03")  # those that the stand-ins carry to the end


@contextmanager
def stage(gpus: int = 2) -> Iterator[None]:
    """Let the processes that start meanwhile see the stand-ins; refuse beside real RAPIDS."""
    if find_spec("cudf") or find_spec("cupy"):
        raise SystemExit("RAPIDS is installed here: run `python -m tests.gpu`, or use another .venv")
    before = dict(os.environ)
    paths = [str(SHADOW), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ |= {"REHEARSAL_GPUS": str(gpus)}
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def rehearse(path: Path, folder: Path, gpus: int = 2) -> list[str]:
    """Run a lesson; return what differed from its stored outputs, or where it stopped."""
    with stage(gpus):
        try:
            return list(test_lessons.differences(read(path), test_lessons.execute(path, folder)))
        except pytest.fail.Exception as stopped:
            return [str(stopped)]


def main(arguments: list[str] | None = None) -> int:
    """Rehearse each lesson; return 0 if every one came to its end with the stored outputs."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    parser.add_argument("lessons", nargs="*", default=LESSONS, help="such as 05")
    parser.add_argument("--gpus", type=int, default=2)
    options, wrong = parser.parse_args(arguments), 0
    for path in test_lessons.LESSONS:
        if path.name[:2] in options.lessons:
            with tempfile.TemporaryDirectory() as folder:
                found = rehearse(path, Path(folder), options.gpus)
            print(path.stem, "rehearsed" if not found else "differs", *found, sep="\n", flush=True)
            wrong += bool(found)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
