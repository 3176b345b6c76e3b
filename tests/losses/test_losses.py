"""Two losses, and what was recorded of many; every week more are played, on hosts too."""

import json
import os

import pytest

from tests.__main__ import SLOWNESS
from tests.losses import page
from tests.losses.__main__ import compare, half_written, main

pytestmark = pytest.mark.timeout(600 * float(os.environ.get(SLOWNESS, "1")))


def played(path, *arguments):
    """Outcomes of the runs of the harness, by work and kind of loss."""
    assert main([*arguments, "--seed", "7", "--json", str(path)]) == 0
    runs = json.loads(path.read_text())["runs"]
    return {(run["work"], run["kind"]): run["outcome"] for run in runs}


def test_losses_here_end_well(tmp_path, forked_workers):
    """A worker and a notebook; one that hangs takes a minute, and is played every week."""
    chosen = ["--kinds", "killed", "--works", "federated|stream"]
    found = played(tmp_path / "runs.json", "--runs", "2", *chosen)
    assert found.pop(("stream, saved", "notebook killed")) == "same"
    assert list(found) == [("federated rounds", "killed")]
    assert set(found.values()) <= {"same", "without the lost site"}


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
