"""What lessons ask of a device."""

from types import SimpleNamespace

runtime = SimpleNamespace(
    memGetInfo=lambda: (12 * 2**30, 16 * 2**30), getDeviceCount=lambda: 2, is_hip=False
)


class Device:
    """A device that has always done its work."""

    def __init__(self, device=None):
        self.id = device or 0

    def synchronize(self):
        pass
