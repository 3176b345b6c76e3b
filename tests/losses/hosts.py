"""Four hosts as Linux network namespaces on a bridge: a scheduler with the notebook, three workers.

All of it runs inside namespaces of its own (see `enter`), so nothing here touches the machine's
network, and nothing survives.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEDULER = "tcp://10.77.0.1:8786"
# Half of what `start_cluster` sets and lesson 08 tells: more losses in the same time.
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s"}
INSIDE = "COURSE_LOSSES_INSIDE"


def missing() -> str | None:
    """What this machine lacks for hosts, and how to get it; None if nothing."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root: sudo, or a container that has it"
    for tool, package in (("ip", "iproute2"), ("unshare", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt install {package}"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def enter(command: list[str]) -> list[str]:
    """Put a command into namespaces of its own; when it ends, so does all that it started."""
    options = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *options, "env", f"{INSIDE}=1", *command]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


class Hosts:
    """The hosts, and the processes on them."""

    def __init__(self, folder: Path, workers: int):
        assert os.environ.get(INSIDE), "only inside of `enter`"
        self.folder, self.processes = folder, {}
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "bridge", "type", "bridge")
        _ip("link", "set", "bridge", "up")
        self.names = [f"h{number}" for number in range(1, workers + 1)]
        for number, name in enumerate(["h0", *self.names], start=1):
            _ip("netns", "add", name)
            _ip("link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"v-{name}", "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
        self.closed = threading.Event()
        self.supervisor = threading.Thread(target=self._supervise, daemon=True)
        self.supervisor.start()

    def on(self, name: str, command: list[str], **options: object) -> subprocess.Popen:
        """Start a command on a host."""
        environment = os.environ | SETTINGS | {"PYTHONPATH": str(ROOT)}
        command = ["ip", "netns", "exec", name, *command]
        return subprocess.Popen(
            command, env=environment, cwd=ROOT, start_new_session=True, **options
        )

    def _commands(self) -> dict[str, list[str]]:
        """What runs on which host."""
        wanted = {"h0": ["dask_scheduler", "--host", "10.77.0.1", "--no-dashboard"]}
        for number, name in enumerate(self.names, start=2):
            scratch = str(self.folder / f"scratch-{name}")
            command = ["dask_worker", SCHEDULER, "--host", f"10.77.0.{number}", "--name", name]
            command += ["--nthreads", "1", "--memory-limit", "2GiB", "--no-dashboard"]
            wanted[name] = [*command, "--local-directory", scratch, "--death-timeout", "60"]
        return wanted

    def _supervise(self) -> None:
        """Start again whatever has ended, as systemd or a container's restart policy would."""
        while not self.closed.is_set():
            for name, (module, *arguments) in self._commands().items():
                if name not in self.processes or self.processes[name].poll() is not None:
                    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
                    with open(self.folder / f"{name}.log", "ab") as log:
                        self.processes[name] = self.on(name, command, stdout=log, stderr=log)
            self.closed.wait(1)

    def heal(self) -> None:
        """Plug in all cables."""
        for name in self.names:
            self.link(name, up=True)

    def named(self, address: str) -> str:
        """Name of the host with a worker's address."""
        return f"h{int(re.search(r'10.77.0.([0-9]+)', address)[1]) - 1}"

    def link(self, name: str, *, up: bool) -> None:
        """Plug a host's cable in, or pull it."""
        _ip("link", "set", f"v-{name}", "up" if up else "down")

    def kill(self, name: str) -> None:
        """End all Dask processes of a host at once, as if its power were cut."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def close(self) -> None:
        """End all; the namespaces go with the process that `enter` began."""
        self.closed.set()
        self.supervisor.join(10)
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        for process in self.processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
