"""Let the NVIDIA driver answer as if there were GPUs; Python loads this file when it starts."""

import ctypes
import importlib.metadata
import os

for name in ("cudf-cu13", "cudf-cu12", "cuml-cu13", "cupy-cuda13x"):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    raise SystemExit(f"{name} is installed: a rehearsal must not hide the real packages")

REAL = ctypes.CDLL


class Driver:
    """Stands for libcuda."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = int(os.environ["REHEARSAL_GPUS"])
        return 0

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = 13000
        return 0

    def cuDeviceGet(self, pointer, ordinal):
        pointer._obj.value = ordinal
        return 0

    def cuDeviceTotalMem_v2(self, pointer, device):
        pointer._obj.value = 16 * 2**30
        return 0


class Libraries(REAL):
    """Every library as ever, but for the driver."""

    def __new__(cls, name=None, *args, **options):
        if name == "libcuda.so.1":
            return Driver()
        return REAL(name, *args, **options)


if "REHEARSAL_GPUS" in os.environ:
    ctypes.CDLL = Libraries
