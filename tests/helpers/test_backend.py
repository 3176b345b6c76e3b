"""The backend is chosen once, says why, and says what is missing."""

import subprocess
import sys
import types

import dask
import numpy as np
import pandas as pd
import pytest

import helpers.backend
import helpers.machine
from helpers.backend import (
    TWINS,
    Backend,
    current_backend,
    find_backend,
    get_backend,
    to_host,
)


@pytest.fixture(autouse=True)
def no_override(monkeypatch):
    monkeypatch.delenv("COURSE_BACKEND", raising=False)


@pytest.fixture
def machine(monkeypatch):
    """A machine that is told how many GPUs it has and which packages it lacks."""

    def describe(gpus, missing):
        monkeypatch.setattr(helpers.backend, "count_gpus", lambda: (gpus, f"{gpus} GPUs"))
        monkeypatch.setattr(helpers.backend, "missing_gpu_packages", lambda: missing)
        monkeypatch.setattr(helpers.backend, "old_driver", lambda: "")

    return describe


@pytest.mark.parametrize(
    "gpus, missing, expected",
    [(0, [], "cpu"), (2, ["cudf"], "cpu"), (0, ["cudf"], "cpu"), (2, [], "gpu")],
)
def test_auto_takes_the_gpu_only_where_all_of_it_is_here(machine, gpus, missing, expected):
    machine(gpus, missing)
    assert get_backend().name == expected


def test_the_environment_variable_overrides_detection_only(machine, monkeypatch):
    machine(2, [])
    monkeypatch.setenv("COURSE_BACKEND", "CPU")
    assert get_backend("auto").name == "cpu"
    assert "COURSE_BACKEND=cpu" in str(get_backend())
    assert get_backend("gpu").name == "gpu"


def test_asked_for_gpu_without_a_driver(machine):
    machine(0, ["cudf", "cupy"])
    with pytest.raises(RuntimeError, match="0 GPUs") as error:
        get_backend("gpu")
    for words in ("missing cudf, cupy", "nvidia-smi", 'backend="cpu"'):
        assert words in str(error.value)


def test_asked_for_gpu_without_the_packages(machine):
    machine(1, ["cuml"])
    with pytest.raises(RuntimeError, match="cuml cannot be imported"):
        get_backend("gpu")


def test_a_driver_that_is_too_old_is_the_reason(machine, monkeypatch):
    machine(1, [])
    monkeypatch.setattr(helpers.backend, "old_driver", lambda: "the driver knows CUDA 12.4")
    assert get_backend().name == "cpu" and "knows CUDA 12.4" in str(get_backend())
    with pytest.raises(RuntimeError, match="cannot be used: the driver knows CUDA 12.4"):
        get_backend("gpu")


@pytest.mark.parametrize("name", ["cuda", "", None, 3, "CPU "])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="choose one of auto, cpu, gpu"):
        get_backend(name)


def test_an_unknown_override_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_BACKEND", "tpu")
    with pytest.raises(ValueError, match="'tpu'"):
        get_backend()


def test_a_backend_is_returned_as_it_is():
    backend = get_backend("cpu")
    assert get_backend(backend) is backend


def test_the_backend_in_use_is_the_one_chosen_last(machine):
    machine(2, [])
    get_backend("cpu")
    assert current_backend().name == "cpu"
    assert find_backend("gpu").name == "gpu"
    assert current_backend().name == "cpu"
    assert dask.config.get("array.backend") == "numpy"
    get_backend("gpu")
    assert current_backend().name == "gpu"
    get_backend("cpu")


@pytest.mark.parametrize(
    "name, tables, arrays", [("cpu", "pandas", "numpy"), ("gpu", "cudf", "cupy")]
)
def test_dask_is_told(machine, name, tables, arrays):
    machine(1, [])
    get_backend(name)
    assert dask.config.get("dataframe.backend") == tables
    assert dask.config.get("array.backend") == arrays
    get_backend("cpu")


def test_the_libraries_are_the_cpu_ones():
    backend = get_backend("cpu")
    assert (backend.xp, backend.xdf, backend.ml.__name__) == (np, pd, "sklearn")
    assert backend.LocalCluster.__name__ == "LocalCluster"


def test_each_role_has_its_gpu_twin(monkeypatch):
    """With modules of the right names in place of the real ones: only the mapping is tested."""
    backend = Backend("gpu", "this test says so")
    for role, name in [("xp", "cupy"), ("xdf", "cudf"), ("ml", "cuml")]:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        assert getattr(backend, role).__name__ == name


def test_an_unknown_role_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no 'np'; it has xp, xdf, ml"):
        get_backend("cpu").np  # noqa: B018
    assert set(TWINS) == {"xp", "xdf", "ml", "LocalCluster", "KMeans"}


def test_to_device_keeps_host_data_on_a_cpu():
    backend, table = get_backend("cpu"), pd.DataFrame({"a": [1]})
    assert backend.to_device(table) is table
    assert backend.to_device(table["a"]) is not None
    array = np.arange(3)
    assert backend.to_device(array) is array


@pytest.mark.parametrize("wrong", [[1, 2], "text", None, 3.0, {"a": 1}])
def test_to_device_refuses_what_it_cannot_move(wrong):
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}; convert it first"):
        get_backend("cpu").to_device(wrong)


class FakeCupyArray:
    """Stands for a CuPy array: to_host must know it by its interface, without importing cupy."""

    __cuda_array_interface__ = {}

    def get(self):
        return np.arange(2)


class FakeCudfTable:
    """Stands for a cuDF table."""

    def to_pandas(self):
        return pd.DataFrame({"a": [1]})


def test_to_host_moves_gpu_objects_and_computes_dask():
    import dask.array as da
    import dask.dataframe as dd

    assert to_host(FakeCupyArray()).tolist() == [0, 1]
    assert to_host(FakeCudfTable()).a.tolist() == [1]
    assert to_host(da.arange(4, chunks=2)).tolist() == [0, 1, 2, 3]
    table = pd.DataFrame({"a": [1, 2]})
    assert to_host(dd.from_pandas(table, npartitions=2)).equals(table)
    assert to_host({"a": 1}) == {"a": 1}  # a dict has .get, and is no array


def test_importing_helpers_is_quick_because_it_is_lazy():
    code = (
        "import sys, helpers, helpers.backend, helpers.cluster, helpers.machine\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'dask', 'distributed', 'matplotlib', 'cudf'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
