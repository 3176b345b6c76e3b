"""Run the course on a GPU, and report: ``python3 run.py gpu``, or ``python -m tests.gpu``.

Every lesson is executed by papermill with ``backend="gpu"`` and, on the same machine, with
``backend="cpu"``; the compared outputs must be the ones stored in the lesson. The solutions are
checked on the GPU, too. The report and the executed notebooks go to tests/gpu/reports/.

``--backend cpu`` leaves the GPU out: it shows on any machine that this command works.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from helpers.machine import count_gpus, missing_gpu_packages
from tests.course import test_lessons
from tests.notebook_format import ROOT, read

REPORTS = ROOT / "tests" / "gpu" / "reports"
PACKAGES = ("cudf-cu13", "cuml-cu13", "cupy-cuda13x", "dask-cuda", "dask", "scikit-learn")
ASK = "--query-gpu=name,driver_version,memory.total,memory.used"


def nvidia_smi() -> list[str]:
    """Return name, driver, total and used memory in MiB of the first GPU."""
    call = ["nvidia-smi", ASK, "--format=csv,noheader,nounits", "--id=0"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return [word.strip() for word in done.stdout.strip().split(",")]


@contextmanager
def watched(ask: Callable[[], float], pause: float = 0.5) -> list[float]:
    """Ask again and again in the background; the list's last item is the largest answer."""
    largest, done = [ask()], threading.Event()

    def watch():
        while not done.wait(pause):
            largest.append(max(largest[-1], ask()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        done.set()
        thread.join()


def outcome(path: Path, folder: Path, backend: str) -> dict:
    """Run one lesson; return its seconds, what differed, and the error if it stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        new = test_lessons.execute(path, folder, backend=backend)
        different, error = list(test_lessons.differences(read(path), new)), None
    except pytest.fail.Exception as failure:
        different, error = [], str(failure)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "different": different,
        "error": error,
    }


def solution(path: Path, folder: Path) -> str | None:
    """Run one solution; return what was not right, or None."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        test_lessons.test_a_solution_is_right(path, folder)
    except pytest.fail.Exception as failure:
        return str(failure)
    return None


def run(backends: list[str], lessons: list[Path], out: Path) -> dict:
    """Run the lessons on each backend, then the solutions on the first; return the report."""
    on_gpu = "gpu" in backends
    report = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(on_gpu)}
    report["lessons"], report["solutions"] = {}, {}
    with watched(lambda: float(nvidia_smi()[3]) if on_gpu else 0.0) as mib:
        before = mib[0]
        for path in lessons:
            found = {name: outcome(path, out / name, name) for name in backends}
            report["lessons"][path.stem] = found
            print(path.stem, *(line(name, result) for name, result in found.items()), flush=True)
        os.environ["COURSE_BACKEND"] = backends[0]
        for path in lessons:
            wrong = solution(path.parent / "solutions" / path.name, out / "solutions")
            report["solutions"][path.stem] = wrong
            print(f"{path.stem} solutions: {'wrong' if wrong else 'right'}", flush=True)
    report["gpu_mib_above_start"] = mib[-1] - before
    return report


def line(name: str, result: dict) -> str:
    """Say in a few words how a lesson ended."""
    how = "stopped" if result["error"] else f"{len(result['different'])} outputs differ"
    return f"| {name}: {result['seconds']} s, {how}"


def machine(on_gpu: bool) -> dict:
    """Describe what the run is made on."""
    found = {"python": platform.python_version(), "cpu_cores": os.cpu_count()}
    if on_gpu:
        name, driver, total, _ = nvidia_smi()
        found |= {"gpu": name, "driver": driver, "gpu_mib": int(total), "gpus": count_gpus()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def as_text(report: dict) -> str:
    """Write the report as a page."""
    one = "one GPU, one worker: " if report["machine"].get("gpus") == 1 else ""
    what = ", ".join(f"{name} {value}" for name, value in report["machine"].items() if value)
    lines = [f"# {report['date']}", "", f"{one}{what}.", ""]
    lines += [f"GPU memory above the start, at most: {report['gpu_mib_above_start']:,.0f} MiB.", ""]
    backends = [*next(iter(report["lessons"].values()))]
    lines += [f"| lesson | {' | '.join(f'{b}, s | {b}, differ' for b in backends)} | solutions |"]
    lines += ["|---|" + "---|---|" * len(backends) + "---|"]
    for name, found in report["lessons"].items():
        cells = [
            f"{result['seconds']} | {'stopped' if result['error'] else len(result['different'])}"
            for result in found.values()
        ]
        right = "wrong" if report["solutions"][name] else "right"
        lines.append(f"| {name} | {' | '.join(cells)} | {right} |")
    for name, found in report["lessons"].items():
        for backend, result in found.items():
            for text in [*result["different"], *([result["error"]] if result["error"] else [])]:
                lines += ["", f"## {name}, {backend}", "", "```", text, "```"]
    for name, wrong in report["solutions"].items():
        lines += ["", f"## {name}, solutions", "", "```", wrong, "```"] if wrong else []
    return "\n".join(lines) + "\n"


def failures(report: dict) -> int:
    """Count the lessons and solutions that were not as they should be."""
    found = [result for pair in report["lessons"].values() for result in pair.values()]
    bad = sum(bool(result["error"] or result["different"]) for result in found)
    return bad + sum(bool(wrong) for wrong in report["solutions"].values())


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments, run, write the report; return 0 if everything was the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--backend", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--lesson", action="append", default=[], help="such as 03; more than once")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    if options.backend == "gpu" and (not count_gpus()[0] or missing_gpu_packages()):
        print(f"There is nothing to run on: {count_gpus()[1]}", file=sys.stderr)
        print(f"missing packages: {', '.join(missing_gpu_packages()) or 'none'}", file=sys.stderr)
        return 2
    lessons = [
        path
        for path in test_lessons.LESSONS
        if not options.lesson or path.name[:2] in options.lesson
    ]
    backends = ["gpu", "cpu"] if options.backend == "gpu" else ["cpu"]
    report = run(backends, lessons, options.out)
    name = f"{report['date']}-{report['machine'].get('gpu', 'cpu').replace(' ', '-')}"
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (options.out / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    (options.out / f"{name}.md").write_text(as_text(report), encoding="utf-8", newline="\n")
    print(f"{failures(report)} of the runs were not as they should be; see {name}.md")
    return 1 if failures(report) else 0


if __name__ == "__main__":
    sys.exit(main())
