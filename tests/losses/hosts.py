"""Hosts that are lost: a scheduler with the notebook on the first of four, workers on the others.

Whatever has ended is started again, as systemd or a container's restart policy would.
"""

import os
import signal
import threading
from pathlib import Path

from tests.hosts.network import Cluster, ip


class Hosts(Cluster):
    """The hosts and their supervisor; inside of namespaces, see `tests.hosts.network.PRIVATE`."""

    def __init__(self, folder: Path):
        super().__init__(folder, hosts=4, worker_on_first=False)
        self.closed = threading.Event()
        self.supervisor = threading.Thread(target=self._supervise, daemon=True)
        self.supervisor.start()

    def _supervise(self) -> None:
        while not self.closed.wait(1):
            for name, process in list(self.processes.items()):
                if process.poll() is not None:
                    self.begin(name)

    def named(self, address: str) -> str:
        """Name of the host with a worker's address."""
        return next(host.name for host in self.hosts if f"{host.address}:" in address)

    def link(self, name: str, *, up: bool) -> None:
        """Plug a host's cable in, or pull it."""
        ip(f"link set cable{name.removeprefix('h')} {'up' if up else 'down'}")

    def heal(self) -> None:
        """Plug in all cables."""
        for host in self.hosts:
            self.link(host.name, up=True)

    def kill(self, name: str) -> None:
        """End the scheduler, or a worker with its nanny, at once: as if its power were cut."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def close(self) -> None:
        """End all."""
        self.closed.set()
        self.supervisor.join(10)
        super().close()
