"""What the stand-ins of tests/rehearsal claim, compared with the real packages."""

import mmap
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import dask.array as da
import pandas as pd
import pytest

from helpers.machine import missing_gpu_packages
from tests.rehearsal.faults import (
    ARROW,
    CLUSTERS,
    COLUMNS,
    CONCAT,
    FROM,
    LOOP,
    NO_ARRAY,
    NO_LIST,
    PARAMETER,
    ROWS,
    START,
    TOL,
)
from tests.rehearsal.names_of import FILE, as_text, names

if missing := missing_gpu_packages():
    pytest.skip(
        f"{', '.join(missing)} cannot be imported: python3 run.py test --gpu tests/rapids",
        allow_module_level=True,
    )

import cudf
from cuml.cluster.kmeans_mg import KMeansMG
from cuml.dask.common.dask_arr_utils import validate_dask_array


def test_the_names_are_those_of_the_installed_packages():
    again = "write them anew: python -m tests.rehearsal.names_of"
    assert FILE.read_text(encoding="utf-8") == as_text(names()), again


def on_workers(**keywords):
    """The model of one rank, which the workers make."""
    return KMeansMG(handle=None, **keywords)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: iter(cudf.core.mixins.notiterable.NotIterable()), LOOP),
        (lambda: cudf.Series.tolist(None), NO_LIST),
        (lambda: cudf.DataFrame.iterrows(None), ROWS),
        (lambda: cudf.core.frame.Frame.__array__(None), NO_ARRAY),
        (lambda: cudf.core.frame.Frame.__arrow_array__(None), ARROW),
        (lambda: cudf.concat([pd.DataFrame()]), CONCAT),
        (lambda: cudf.from_pandas(3), FROM),
        (lambda: validate_dask_array(da.ones((4, 4), chunks=2)), COLUMNS),
        (lambda: on_workers(init="k-means++")._validate_fit_params(), START),
        (lambda: on_workers(n_clusters=0)._validate_fit_params(), CLUSTERS),
        (lambda: on_workers().set_params(n_cluster=2), PARAMETER),
        (lambda: on_workers(n_cluster=2), "unexpected keyword argument 'n_cluster'"),
    ],
)
def test_the_words_are_those_of_the_installed_packages(call, words):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert words in str(error.value)


def test_cuvs_refuses_a_tolerance_of_zero_in_these_words():
    try:
        (library,) = [f for f in files("libcuvs-cu13") if f.name == "libcuvs.so"]
    except PackageNotFoundError:
        pytest.skip("libcuvs-cu13 is not installed as a wheel: its text cannot be searched")
    with Path(library.locate()).open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            assert text.find(TOL.encode()) > 0
