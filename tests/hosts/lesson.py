"""Run one lesson on a cluster that is there already; on the host where its notebook lives.

``python -m tests.hosts.lesson PATH ADDRESS FOLDER`` prints one line of JSON: which verified outputs
are not the stored ones, what the lesson changed in the cluster, seconds, bytes over the network.
"""

import json
import sys
import time
from pathlib import Path

import pytest
from distributed import Client

from tests.course.test_lessons import SECONDS, differences, execute
from tests.hosts import state
from tests.notebook_format import read

WORKERS = 3  # as many as tests.hosts.network starts


def sent() -> int:
    """Return the bytes that this host has sent over its network."""
    place = Path("/sys/class/net/eth0/statistics/tx_bytes")
    return int(place.read_text()) if place.exists() else 0


def run(path: Path, address: str, folder: Path) -> dict:
    """Run, and compare outputs and the cluster's state."""
    result = {"lesson": path.stem, "error": "", "outputs": [], "state": []}
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=SECONDS)
        before = state.snapshot(client)
    start, bytes_before = time.monotonic(), sent()
    try:
        new = execute(path, folder, scheduler=address)
        result["outputs"] = list(differences(read(path), new))
    except pytest.fail.Exception as error:
        result["error"] = str(error)
    result["seconds"] = round(time.monotonic() - start, 1)
    result["sent"] = sent() - bytes_before
    with Client(address, set_as_default=False) as client:
        result["state"] = list(state.differences(before, state.snapshot(client)))
    return result


if __name__ == "__main__":
    path, address, folder = sys.argv[1:]
    print(json.dumps(run(Path(path), address, Path(folder))), flush=True)
