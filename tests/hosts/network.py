"""Hosts: Linux network namespaces on a bridge, each with its own address, name, disk and home.

Everything lives in the namespaces of one process (`unshare`), so that nothing is seen from outside
and nothing outlives it. Where that is not possible, one host stands for all: this machine.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from helpers.certificates import make_certificates, security
from tests.__main__ import SLOWNESS
from tests.notebook_format import ROOT

PRIVATE = "--net --mount --uts --ipc --pid --fork --kill-child --mount-proc".split()
ON_HOST = 'hostname "$1"; mount --bind "$2" "$3"; cd "$3/work"; shift 3; exec "$@"'
START = 90 * float(os.environ.get(SLOWNESS, "1"))  # seconds until the scheduler is there
# A worker's own dashboard costs a second of its start, and no lesson looks at it.
WORKER = "--nthreads 1 --memory-limit 2GiB --death-timeout 60 --local-directory . --no-dashboard"


def why_not() -> str:
    """Return why there can be no hosts here, or nothing."""
    if sys.platform != "linux":
        return "hosts are Linux network namespaces: needs Linux"
    missing = [tool for tool in ("ip", "unshare", "tc") if not shutil.which(tool)]
    if missing:
        return f"needs {', '.join(missing)} (packages iproute2 and util-linux)"
    try:
        trial = ["unshare", *PRIVATE, "ip", "link", "add", "trial", "type", "bridge"]
        run = subprocess.run(trial, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"namespaces cannot be made: {error}"
    if run.returncode:
        return f"namespaces need root and the right to use them: {run.stderr.strip()}"
    return ""


class Host:
    """A host with an address, a name, a disk and a home of its own."""

    def __init__(self, name: str, address: str, folder: Path, environment: dict, alone: bool):
        self.name, self.address = name, address
        self.disk = folder / ("disk" if alone else f"disk-of-{name}")
        for part in ("home", "tmp", "work", "data"):
            (self.disk / part).mkdir(parents=True, exist_ok=True)
        seen = folder / "disk"  # the same path on every host, and another disk
        seen.mkdir(exist_ok=True)
        inside = [*"ip netns exec".split(), name, *"unshare --uts --mount sh -c".split()]
        self.prefix = [] if alone else [*inside, ON_HOST, "sh", name, str(self.disk), str(seen)]
        self.environment = environment | {
            "HOME": str(seen / "home"),
            "TMPDIR": str(seen / "tmp"),
            "XDG_CACHE_HOME": str(seen / "home" / ".cache"),
        }

    def start(self, *words: str, **options) -> subprocess.Popen:
        """Start a program on this host."""
        environment = self.environment | options.pop("environment", {})
        command = [*self.prefix, *map(str, words)]
        return subprocess.Popen(command, env=environment, cwd=self.disk / "work", **options)


def connect(names: list[str]) -> None:
    """Make the hosts' network: a bridge, and a cable from each host to it."""
    # `ip netns` keeps its names here; on a file system of our own they clash with nobody's.
    subprocess.run("mount -t tmpfs tmpfs /run".split(), check=True, capture_output=True)
    ip("link set lo up")
    ip("link add bridge0 type bridge")
    ip("link set bridge0 up")
    for number, name in enumerate(names, start=1):
        ip(f"netns add {name}")
        ip(f"link add cable{number} type veth peer name eth0 netns {name}")
        ip(f"link set cable{number} master bridge0 up")
        ip(f"-n {name} addr add 10.77.0.{number}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        ip(f"-n {name} link set lo up")


def limit(names: list[str], rate: str) -> None:
    """Let the cables carry no more than a rate such as 100mbit, in both directions."""
    shape = f"root tbf rate {rate} burst 64kb latency 100ms"
    for number, name in enumerate(names, start=1):
        tc(f"qdisc replace dev cable{number} {shape}")
        tc(f"-n {name} qdisc replace dev eth0 {shape}")


def ip(words: str) -> None:
    """Call `ip`."""
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)


def tc(words: str) -> None:
    """Call `tc`."""
    subprocess.run(["tc", *words.split()], check=True, capture_output=True, text=True)


class Cluster:
    """A scheduler on the first host and a worker on each, with TLS; somebody else's, to lessons.

    Parameters
    ----------
    folder : pathlib.Path
        Empty; for certificates, disks and logs.
    alone : bool
        All on this machine, on 127.0.0.1, instead of on three hosts.
    own_data : bool
        The course's data are on each host's own disk, not in a folder that all share.
    hosts : int
        How many.
    worker_on_first : bool
        Whether the scheduler's host has a worker, too.
    """

    def __init__(
        self,
        folder: Path,
        alone: bool = False,
        own_data: bool = False,
        hosts: int = 3,
        worker_on_first: bool = True,
    ):
        self.folder, self.commands, self.processes = folder, {}, {}
        names = [f"h{number}" for number in range(1, hosts + 1)]
        addresses = [f"10.77.0.{number}" for number in range(1, hosts + 1)]
        if alone:
            addresses = ["127.0.0.1"] * hosts
        (folder / "shared").mkdir()
        self.certificates = make_certificates(folder / "tls")
        data = folder / ("disk" if own_data else "shared") / "data"
        environment = os.environ | {"COURSE_DATA": str(data), "PYTHONPATH": str(ROOT)}
        environment |= {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "warning"}
        if not alone:
            connect(names)
        self.hosts = [
            Host(name, address, folder, environment | self.tls("client"), alone)
            for name, address in zip(names, addresses, strict=True)
        ]
        place, port = folder / "scheduler.json", 0 if alone else 8786
        options = ["--protocol", "tls", "--port", port, "--scheduler-file", place]
        options += ["--dashboard-address", "127.0.0.1:0"]
        self._dask("scheduler", self.hosts[0], *options)
        self.address = self._written(place)["address"]
        for host in self.hosts[0 if worker_on_first else 1 :]:
            self._dask("worker", host, self.address, "--name", host.name, *WORKER.split())
        self.security = security(self.certificates)

    def tls(self, part: str) -> dict:
        """Return the variables by which Dask finds the certificates of a part."""
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        variables = {f"{tls}CA_FILE": str(self.certificates / "ca.pem")}
        for role in {part, "client"}:
            role = role.upper()
            variables[f"{tls}{role}__CERT"] = str(self.certificates / f"{part}.pem")
            variables[f"{tls}{role}__KEY"] = str(self.certificates / f"{part}.key")
        return variables

    def _dask(self, part: str, host: Host, *words) -> None:
        strict = self.tls(part) | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"}
        command = [sys.executable, "-m", "dask", part, *words, "--host", host.address]
        name = part if part == "scheduler" else host.name
        self.commands[name] = partial(host.start, *command, environment=strict)
        self.begin(name)

    def begin(self, name: str) -> None:
        """Start the scheduler, or the worker of a host."""
        with (self.folder / f"{name}.log").open("a") as log:
            options = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
            self.processes[name] = self.commands[name](**options)

    def _written(self, place: Path) -> dict:
        end = time.monotonic() + START
        while time.monotonic() < end and self.processes["scheduler"].poll() is None:
            try:
                return json.loads(place.read_text())
            except (OSError, ValueError):  # not there yet, or not whole
                time.sleep(0.1)
        raise RuntimeError(f"the scheduler did not start:\n{self.logs()}")

    def logs(self) -> str:
        """Return what the processes wrote."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def close(self) -> None:
        """End everything."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
