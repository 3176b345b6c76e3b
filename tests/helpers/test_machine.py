"""What is here, what is missing, what fits."""

import ctypes
import re

import pytest

import helpers.machine as machine
from helpers.machine import check_gpu, check_machine, check_scale, count_gpus, rows_that_fit


class FakeDriver:
    """Stands for libcuda: answers cuInit with a code and counts devices."""

    def __init__(self, code, devices):
        self.code, self.devices = code, devices

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = self.devices
        return 0


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(code=0, devices=1):
        monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(code, devices))

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
