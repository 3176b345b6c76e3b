"""What is here, what is missing, what fits."""

import ctypes
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest

import helpers.machine as machine
from helpers.backend import Backend
from helpers.machine import check_gpu, check_machine, check_scale, count_gpus, rows_that_fit


class FakeDriver:
    """Stands for libcuda: answers cuInit with a code and counts devices."""

    def __init__(self, code, devices, cuda=13000, memory=2**30):
        self.code, self.devices, self.cuda, self.memory = code, devices, cuda, memory

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = self.cuda
        return 0

    def cuDeviceGet(self, pointer, ordinal):
        return 0

    def cuDeviceTotalMem_v2(self, pointer, device):
        pointer._obj.value = self.memory
        return 0

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = self.devices
        return 0


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(code=0, devices=1, **more):
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(code, devices, **more))

    return install


def test_no_driver(monkeypatch):
    def fail(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", fail)
    count, reason = count_gpus()
    assert count == 0 and "no NVIDIA driver" in reason


@pytest.mark.parametrize("devices, words", [(1, "one GPU"), (3, "3 GPUs"), (0, "sees no GPU")])
def test_devices_are_counted(driver, devices, words):
    driver(devices=devices)
    count, reason = count_gpus()
    assert count == devices and words in reason


def test_a_driver_that_fails_is_named_with_its_code(driver):
    driver(code=100)
    assert count_gpus() == (
        0,
        "the NVIDIA driver answered with CUDA error 100 (does `nvidia-smi` work?)",
    )


@pytest.mark.parametrize("hidden", ["", "-1", " "])
def test_hidden_devices_are_told_from_missing_ones(driver, monkeypatch, hidden):
    driver()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    count, reason = count_gpus()
    assert count == 0 and "hides every GPU" in reason


def test_the_machine_that_runs_the_tests_is_ready():
    needs = check_machine(memory_gib=0.5, disk_gib=0.1)
    assert all(need.ok for need in needs if "cores" not in need.text)
    assert [str(need).split()[0] for need in needs if need.ok] == ["ok"] * sum(n.ok for n in needs)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("no-such-package",))
    needs = check_machine(memory_gib=10**6, disk_gib=10**9)
    missing = [str(need) for need in needs if not need.ok]
    assert [line.split()[:2] for line in missing] == [
        ["missing", "no-such-package"],
        ["missing", "memory:"],
        ["missing", "disk:"],
    ]


def test_check_gpu_names_the_missing_packages(monkeypatch):
    monkeypatch.setattr(machine, "missing_gpu_packages", lambda: ["cudf"])
    assert "cudf (install them: python3 run.py" in check_gpu()[1].text
    assert not check_gpu()[1].ok


def test_rows_that_fit(monkeypatch, capsys):
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    sizes = {"small": 10, "large": 1000}
    assert rows_that_fit("small", sizes, bytes_per_row=10, copies=4) == 10
    assert capsys.readouterr().out == ""
    assert rows_that_fit("large", sizes, bytes_per_row=10, copies=4) == 25
    assert "asks for 1,000 rows" in capsys.readouterr().out


def test_on_a_gpu_its_memory_counts_too(driver, monkeypatch, capsys):
    driver(memory=400)
    monkeypatch.setattr(machine, "available_memory", lambda: 1000)
    sizes = {"small": 10, "large": 1000}
    for backend, rows in ((Backend("gpu", "a test"), 10), (Backend("cpu", "a test"), 25)):
        assert rows_that_fit("large", sizes, bytes_per_row=10, backend=backend) == rows
    assert "GiB has a GPU" in capsys.readouterr().out
    with dask.config.set({"array.backend": "cupy"}):
        assert rows_that_fit("large", sizes, bytes_per_row=10) == 10
    driver(devices=0)
    assert machine.device_memory() is None


@pytest.mark.parametrize(
    "cuda, here, wheels, old",
    [
        (12080, True, True, True),
        (12080, False, False, True),  # told before 5 GB are installed
        (12080, True, False, False),  # conda's, or the wheels for CUDA 12
        (13000, True, True, False),
    ],
)
def test_an_old_driver_is_told_where_it_matters(driver, monkeypatch, cuda, here, wheels, old):
    driver(cuda=cuda)
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: here or None)
    monkeypatch.setattr(machine, "_package", lambda name: machine.Need(wheels, name))
    assert bool(machine.old_driver()) == old
    if old:
        assert "CUDA 12.8" in machine.old_driver()
        assert "-cu12" in machine.how_to_get_a_gpu()[0]


@pytest.mark.parametrize(
    "platform, release, files, environment, words",
    [
        ("win32", "", [], "", ["WSL2", "in the cloud"]),
        ("darwin", "", [], "", ["Linux only", "in the cloud"]),
        ("linux", "5.15-microsoft-standard-WSL2", [], "", ["driver in Windows", "in the cloud"]),
        ("linux", "6.1", ["/.dockerenv"], "", ["docker run --gpus all"]),
        ("linux", "6.1", ["/run/.containerenv"], "", ["docker run --gpus all"]),
        ("linux", "6.1", [], "CONDA_PREFIX", ['A conda environment: `pip install -e ".[gpu]"`']),
        ("linux", "6.1", [], "COLAB_RELEASE_TAG", ["Change runtime", "the extra gpu"]),
        ("linux", "6.1", [], "", ["run.py setup --gpu", "in the cloud"]),
    ],
)
def test_each_case_has_its_advice(monkeypatch, platform, release, files, environment, words):
    monkeypatch.setattr(machine.sys, "platform", platform)
    monkeypatch.setattr(machine, "count_gpus", lambda: (0, "none"))
    monkeypatch.setattr(machine, "driver_cuda", lambda: None)
    monkeypatch.setattr(machine, "missing_gpu_packages", lambda: ["cudf"])
    uname = SimpleNamespace(release=release)
    monkeypatch.setattr(machine.os, "uname", lambda: uname, raising=False)
    monkeypatch.setattr(machine.os.path, "exists", files.__contains__)
    for name in ("CONDA_PREFIX", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        monkeypatch.setenv(environment, machine.sys.prefix)
    advice = machine.how_to_get_a_gpu()
    assert all(line.startswith("- ") for line in advice)
    for each in words:
        assert each in "\n".join(advice)


def test_what_is_installed_is_what_the_backend_asks_for():
    """Neither the extra nor the README's line for Colab lacks one: the CPU would stay in use."""
    root = Path(machine.__file__).parents[1]
    (line,) = re.findall(r"^!pip.* cudf-cu12.*$", (root / "README.md").read_text("utf-8"), re.M)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extra = [re.split(r"[=;]", need)[0] for need in project["optional-dependencies"]["gpu"]]
    here = {name.replace("_", "-") for name in machine.GPU_PACKAGES}
    assert {re.sub(r"-cu(da)?\d+x?$", "", name) for name in extra} == here
    assert {re.sub(r"-cu12.*|-cuda12x|==.*", "", name) for name in line.split()[3:]} == here


@pytest.mark.parametrize("scale", ["huge", None, 3])
def test_an_unknown_scale_is_refused(scale):
    with pytest.raises(ValueError, match="choose one of small, large"):
        rows_that_fit(scale, {"small": 1, "large": 2}, 8)


@pytest.mark.parametrize("scale", ["huge", "Small", "", None, 3, [], ["small"]])
def test_a_lessons_scale_is_checked_early(scale):
    for known in machine.SCALES:
        assert check_scale(known) == known
    message = "is not known; choose one of small, seed, large"
    with pytest.raises(ValueError, match=re.escape(f"scale={scale!r} {message}")):
        check_scale(scale)


@pytest.mark.parametrize("bad", [0, -1, "8", None, True])
def test_sizes_must_be_positive(bad):
    with pytest.raises(ValueError, match="must be a positive number"):
        rows_that_fit("small", {"small": 1}, bad)
    with pytest.raises(ValueError, match="must be a positive number"):
        check_machine(memory_gib=bad)
