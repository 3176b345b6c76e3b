"""A few losses, and what was recorded of many; every week more are played."""

import json
import os
import subprocess
import sys

import pytest

from tests.losses import hosts, page
from tests.losses.__main__ import compare, half_written, main


def played(path, *arguments):
    """Outcomes of the runs of the harness, by work and kind of loss."""
    assert main([*arguments, "--seed", "7", "--json", str(path)]) == 0
    runs = json.loads(path.read_text())["runs"]
    return {(run["work"], run["kind"]): run["outcome"] for run in runs}


def test_losses_here_end_well(tmp_path, forked_workers):
    """Each kind but a worker that hangs for good: it takes a minute, and is played every week."""
    chosen = ["--kinds", "killed|paused", "--works", "plain|federated|stream"]
    found = played(tmp_path / "runs.json", "--runs", "5", *chosen)
    assert len(found) == 5
    assert set(found.values()) <= {"same", "without the lost site"}
    assert found["stream, saved", "notebook killed"] == "same"


@pytest.mark.skipif(hosts.missing() is not None, reason=str(hosts.missing()))
def test_losses_on_hosts_end_well(tmp_path):
    chosen = ["--kinds", "host killed|and up", "--works", "reading"]
    found = played(tmp_path / "runs.json", "--hosts", "--runs", "2", *chosen)
    assert list(found.values()) == ["same", "same"]


def test_the_page_is_what_was_recorded():
    """docs/losses.md is written by the harness, never by hand."""
    assert page.PAGE.read_text("utf-8") == page.text(page.recorded())


def test_every_recorded_loss_ended_well():
    runs = [run for facts in page.recorded() for run in facts["runs"]]
    assert runs
    assert not [page.line(run) for run in page.failed(runs)]


def test_wrong_numbers_are_noticed():
    assert compare("own chain", [401.0, 1.0], [401.0, 1.0]) == "same"
    assert compare("own chain", [401.0, 1.0], [501.0, 1.0]) == "other numbers"
    assert compare("KMeans fit", [1.0, 2.0], [1.0, 2.0000001]) == "same"
    assert compare("KMeans fit", [1.0, 2.0], [1.0, 2.1]) == "other numbers"
    assert compare("federated rounds", [0.0, 0.8], [1.0, 0.79]) == "without the lost site"
    assert compare("federated rounds", [0.0, 0.8], [1.0, 0.5]) == "other numbers"
    assert compare("federated rounds", [0.0, 0.8], [0.0, 0.79]) == "other numbers"


def test_half_a_file_is_noticed(tmp_path):
    (tmp_path / "centers.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "state.skops").write_bytes(b"PK")
    assert len(half_written(tmp_path)) == 2


@pytest.mark.parametrize("own, seconds", [(None, "60"), ("7s", "7")])
def test_a_hung_worker_is_started_anew_within_two_minutes(own, seconds):
    """The limit that `start_cluster` sets reaches the scheduler, unless the user has one."""
    code = (
        "from helpers.cluster import start_cluster, close_cluster\n"
        "if __name__ == '__main__':\n"
        "    client = start_cluster('cpu', 1)\n"
        "    print(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl))\n"
        "    close_cluster()\n"
    )
    environment = os.environ | ({"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": own} if own else {})
    options = {"capture_output": True, "text": True, "timeout": 120, "cwd": hosts.ROOT}
    done = subprocess.run([sys.executable, "-c", code], env=environment, **options)
    assert done.stdout.strip() == seconds, done.stderr
