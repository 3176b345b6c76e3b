"""What the stand-ins of tests/rehearsal claim, compared with the real packages."""

import mmap
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pandas as pd
import pytest

from helpers.machine import missing_gpu_packages
from tests.rehearsal.faults import CONCAT, LOOP, NO_ARRAY, NO_LIST, TOL
from tests.rehearsal.names_of import FILE, as_text, names

if missing := missing_gpu_packages():
    pytest.skip(
        f"{', '.join(missing)} cannot be imported: python3 run.py test --gpu tests/rapids",
        allow_module_level=True,
    )

import cudf


def test_the_names_are_those_of_the_installed_packages():
    again = "write them anew: python -m tests.rehearsal.names_of"
    assert FILE.read_text(encoding="utf-8") == as_text(names()), again


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: iter(cudf.core.mixins.notiterable.NotIterable()), LOOP),
        (lambda: cudf.Series.tolist(None), NO_LIST),
        (lambda: cudf.core.frame.Frame.__array__(None), NO_ARRAY),
        (lambda: cudf.concat([pd.DataFrame()]), CONCAT),
    ],
)
def test_the_words_are_those_of_the_installed_packages(call, words):
    with pytest.raises(TypeError) as error:
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
