"""The table of losses: what the harness measured, as text."""

import json
import os
import platform
import statistics
from collections import Counter
from pathlib import Path

import dask
import distributed

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "losses.md"
GOOD = ("same", "without the lost site", "clear error")
BAD = ("stuck", "other numbers", "unclear error", "left something")
NOT_OURS = ("search, joblib",)  # its faults are recorded, and lesson 06 has the cure
TEXT = """# What is lost when something is lost

Written by `python -m tests.losses --page`, from what `python -m tests.losses --json FILE` has
recorded in `tests/losses`. A work begins. At a random moment something is lost. The work ends, and
its numbers are compared with those of a run without a loss.

| the loss | what happens |
|---|---|
| killed | SIGKILL for one of three workers; its nanny starts a new one |
| stopped | SIGSTOP for a worker, and nobody wakes it |
| paused | SIGSTOP, and SIGCONT after 1 to 6 seconds |
| host killed | SIGKILL for a worker and its nanny; a supervisor starts them again |
| link down | the cable of a worker's host is pulled, until after the work |
| link down and up | pulled, and back after 1 to 6 seconds |
| notebook killed | SIGKILL for the process with the client; a new one goes on from what is saved |
| scheduler killed | SIGKILL for the scheduler |

"Same" means the same numbers: bit for bit where the order of sums is fixed, else to 5 digits.
"Without the lost site" is right for a federation: the round names who was lost, and goes on. A
clear error says what was lost. Anything else stands in the column "wrong", with its reason below.
Seconds run from the loss to the end of the work: median, maximum. For a notebook they include the
start of the new one.

`worker-ttl` is 30 s here, half of what `start_cluster` sets: a worker that was stopped is noticed
after 30 to 60 s. The hosts are network namespaces of one machine, with TLS and a folder for data
that all share. A worker has one thread.

joblib's search is here for comparison. It scatters its data, which then have no recipe, and may end
with an error or wait for ever. Lesson 06 says what to do instead: "search, plain tasks".
"""


def machine() -> str:
    """One line about what ran."""
    method = dask.config.get("distributed.worker.multiprocessing-method")
    return (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"dask {dask.__version__}, distributed {distributed.__version__}, workers by {method}"
    )


def failed(runs: list[dict]) -> list[dict]:
    """Runs that must not end as they did."""
    return [run for run in runs if run["outcome"] in BAD and run["work"] not in NOT_OURS]


def line(run: dict) -> str:
    """One run in a line."""
    text = f"{run['work']:18} {run['kind']:16} {run['seconds']:6} s  {run['outcome']}"
    return f"{text}  {run['detail']}" if "detail" in run else text


def table(runs: list[dict], *by: str) -> list[str]:
    """Rows of Markdown: one for each combination of what `by` names."""
    names = {"way": "way", "work": "work", "kind": "lost"}
    heads = [*(names[key] for key in by), "runs", *GOOD, "wrong", "s"]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    groups: dict = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in by), []).append(run)
    for key, own in sorted(groups.items()):
        counts = Counter(run["outcome"] for run in own)
        seconds = [run["seconds"] for run in own]
        cells = [*key, len(own), *(counts[good] for good in GOOD)]
        cells += [sum(counts[bad] for bad in BAD)]
        cells.append(f"{statistics.median(seconds):.1f}, {max(seconds):.1f}")
        rows.append("| " + " | ".join(str(cell or "") for cell in cells) + " |")
    return rows


def text(files: list[dict]) -> str:
    """Make the whole page of what was recorded."""
    runs = [run for facts in files for run in facts["runs"]]
    parts = [TEXT, "\n".join(table(runs, "way", "kind")) + "\n"]
    if "hosts" not in {run["way"] for run in runs}:
        parts.append("Losses of hosts, cables and the scheduler: none is recorded yet.\n")
    for facts in files:
        (way,) = {run["way"] for run in facts["runs"]}
        parts.append(f"## {way.capitalize()}: {len(facts['runs'])} losses\n")
        several = f", {facts['jobs']} clusters at a time" if facts["jobs"] > 1 else ""
        parts.append(
            f"Seed {facts['seed']}{several}; {facts['machine']}; other programs ran, too.\n"
        )
        parts.append("\n".join(table(facts["runs"], "work", "kind")) + "\n")
        wrong = [line(run) for run in facts["runs"] if run["outcome"] in BAD]
        if wrong:
            parts.append("What was wrong:\n")
            parts.append("\n".join(f"- {' '.join(text.split())}" for text in wrong) + "\n")
        errors = Counter(
            f"{run['work']}, {run['kind']}: {' '.join(run['detail'].split())}"
            for run in facts["runs"]
            if run["outcome"] == "clear error"
        )
        if errors:
            parts.append("The clear errors:\n")
            parts.append("\n".join(f"- {n} × {error}" for error, n in errors.items()) + "\n")
    return "\n".join(parts)


def recorded() -> list[dict]:
    """What was recorded, in the order of the files' names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(HERE.glob("*.json"))]


def write() -> None:
    """Write docs/losses.md."""
    PAGE.write_text(text(recorded()), "utf-8")
