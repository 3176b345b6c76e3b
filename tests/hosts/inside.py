"""Inside the namespaces: make the hosts, run lessons one after the other, print a line for each.

Started by `tests.hosts.__main__`, never by hand: it makes devices and mounts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.__main__ import SLOWNESS
from tests.hosts.network import Cluster, limit
from tests.notebook_format import ROOT

LESSON = 600 * float(os.environ.get(SLOWNESS, "1"))  # seconds


def run_lesson(cluster: Cluster, name: str) -> dict:
    """Run a lesson on the first host and return what came of it."""
    path = ROOT / "course" / f"{name}.ipynb"
    command = [sys.executable, "-m", "tests.hosts.lesson", path, cluster.address]
    process = cluster.hosts[0].start(
        *command,
        cluster.folder / "shared" / "run",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=LESSON)
        return json.loads(out.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        process.kill()
        out, err = process.communicate()
        text = f"{error!r}\n{out[-2000:]}\n{err[-4000:]}\n{cluster.logs()}"
        return {"lesson": name, "error": text, "outputs": [], "state": []}


def main() -> None:
    """Read the arguments; take names of lessons from standard input, one a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.inside")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--own-data", action="store_true")
    parser.add_argument("--rate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), options.alone, options.own_data)
        try:
            if options.rate:
                limit([host.name for host in cluster.hosts], options.rate)
            print(json.dumps({"address": cluster.address}), flush=True)
            for line in sys.stdin:
                print(json.dumps(run_lesson(cluster, line.strip())), flush=True)
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
