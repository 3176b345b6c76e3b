"""Real, seeded, offline, checksummed."""

import errno
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers.data as data
from helpers.compare import assert_equal
from helpers.data import (
    FLIGHTS,
    WEATHER,
    DataError,
    blob_centers,
    blobs,
    classification,
    digits,
    dtypes,
    flights,
    scratch_folder,
    serve_folder,
    weather,
    write_months,
)


@pytest.fixture
def damaged(monkeypatch):
    """The package's files, with a published SHA-256 that they do not have."""
    data._checked.cache_clear()
    data._read_csv.cache_clear()
    monkeypatch.setattr(data, "SHA256", dict.fromkeys(data.SHA256, "0" * 64))
    yield
    data._checked.cache_clear()
    data._read_csv.cache_clear()


@pytest.mark.parametrize(
    "table, schema, rows", [(flights, FLIGHTS, 336_776), (weather, WEATHER, 26_115)]
)
def test_tables_follow_their_schema(table, schema, rows):
    made = table()
    assert len(made) == rows
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == dtypes(schema)


def test_flights_are_in_order_and_of_three_airports():
    table = flights()
    assert table.groupby("month").ngroups == 12
    assert (table.month * 100 + table.day).is_monotonic_increasing
    assert set(table.origin) == {"EWR", "JFK", "LGA"}
    assert table.index.equals(pd.RangeIndex(len(table)))


def test_changing_a_table_does_not_change_the_next_one():
    table = flights()
    table.loc[0, "distance"] = -1
    assert flights().distance.min() > 0


def test_a_damaged_package_is_never_used(damaged):
    with pytest.raises(DataError, match="flights.csv.zip is damaged.*--force-reinstall"):
        flights()


def test_a_missing_package_is_named(monkeypatch):
    data._checked.cache_clear()
    monkeypatch.setattr(data, "PACKAGE", "nycflights99")
    with pytest.raises(DataError, match="The package nycflights99 is not installed. Install it"):
        data._checked("flights.csv.zip")
    data._checked.cache_clear()


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_twelve_files_are_the_whole_table(tmp_path, format):
    folder = tmp_path / "with a space"
    paths = write_months(format, folder)
    read = {"csv": lambda p: pd.read_csv(p, dtype=dtypes(FLIGHTS)), "parquet": pd.read_parquet}[
        format
    ]
    parts = [read(path) for path in paths]
    assert [set(part.month) for part in parts] == [{month} for month in range(1, 13)]
    assert_equal(pd.concat(parts), flights(), check_dtype=True)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(p.name for p in paths), "SHA256SUMS"]
    )


def test_whole_files_are_kept_and_a_damaged_one_is_written_anew(tmp_path):
    paths = write_months("csv", tmp_path)
    times = [path.stat().st_mtime_ns for path in paths]
    assert [p.stat().st_mtime_ns for p in write_months("csv", tmp_path)] == times
    good = paths[2].read_bytes()
    paths[2].write_bytes(good[: len(good) // 2])
    with pytest.warns(UserWarning, match="flights-2013-03.csv is damaged"):
        write_months("csv", tmp_path)
    assert paths[2].read_bytes() == good


def test_a_missing_file_is_written_anew(tmp_path):
    paths = write_months("csv", tmp_path)
    paths[5].unlink()
    assert write_months("csv", tmp_path)[5].exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="Cannot use .*COURSE_DATA"):
        write_months("csv", tmp_path / "file" / "folder")


@pytest.mark.parametrize("format", ["json", None, "CSV"])
def test_an_unknown_format_is_refused(format):
    with pytest.raises(ValueError, match="'csv' or 'parquet'"):
        write_months(format)


def test_the_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "here"))
    assert data.cache_folder() == tmp_path / "here"
    assert write_months("parquet")[0].parent == tmp_path / "here" / "flights-parquet"


@pytest.fixture
def few(monkeypatch):
    """A year of few flights, so that it is written in no time."""
    table = flights().iloc[::500].reset_index(drop=True)
    assert table.month.nunique() == 12
    monkeypatch.setattr(data, "flights", lambda: table)
    return table


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_many_threads_fill_one_folder_and_no_half_file_is_seen(tmp_path, few, format, no_warnings):
    folder, filled, seen = tmp_path / "cache", threading.Event(), []
    lengths = few.groupby("month").size().to_list()
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[format]

    def look():
        while not filled.is_set():
            for path in sorted(folder.glob(f"flights-2013-*.{format}")):
                seen.append(len(read(path)) == lengths[int(path.stem[-2:]) - 1])

    with ThreadPoolExecutor(9) as pool:
        looking = pool.submit(look)
        found = list(pool.map(lambda _: write_months(format, folder), range(8)))
        time.sleep(0.1)
        filled.set()
        looking.result()
    assert len(seen) > 0 and all(seen)
    assert all(paths == found[0] for paths in found)
    assert len(list(folder.iterdir())) == 13
    assert all(data._is_whole(path, data._read_sums(folder)) for path in found[0])


def test_many_processes_fill_one_folder(tmp_path):
    code = "from helpers.data import write_months; print(len(write_months('parquet')))"
    environment = os.environ | {"COURSE_DATA": str(tmp_path / "cache")}
    call = [sys.executable, "-W", "error::UserWarning", "-c", code]
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    runs = [subprocess.Popen(call, text=True, **options) for _ in range(3)]
    for run in runs:
        assert run.communicate(timeout=200) == ("12\n", "")
    assert len(list((tmp_path / "cache" / "flights-parquet").iterdir())) == 13


def test_names_of_new_files_differ_between_processes_and_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as on two hosts that share a disk
    names = []
    for _ in range(2):
        data.replace_file(tmp_path / "a", lambda new: names.append(new) or new.write_text("x"))
    assert len(set(names)) == 2 and all(name.name.startswith(".") for name in names)


DAMAGE = {
    "NULs": b"\0" * 900,
    "cut off": "half",
    "a line of somebody else": b"# made by hand\n",
    "no UTF-8": b"\xff\xfe\x00",
    "empty": b"",
    "a folder on the way": b"../../etc/passwd  x\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_index_is_named_and_written_anew(tmp_path, few, damage):
    write_months("csv", tmp_path)
    index = tmp_path / "SHA256SUMS"
    good = index.read_bytes()
    index.write_bytes(good[: len(good) // 2 + 7] if damage == "half" else damage)
    with pytest.warns(UserWarning, match="SHA256SUMS is damaged; it is written anew"):
        paths = write_months("csv", tmp_path)
    assert index.read_bytes() == good and len(pd.concat(map(pd.read_csv, paths))) == len(few)


def test_both_formats_may_lie_in_one_folder(tmp_path, few, no_warnings):
    paths = [*write_months("csv", tmp_path), *write_months("parquet", tmp_path)]
    times = [path.stat().st_mtime_ns for path in paths]
    write_months("csv", tmp_path), write_months("parquet", tmp_path)
    assert [path.stat().st_mtime_ns for path in paths] == times


STRAYS = ["flights-2013-01 - Copy.csv", "flights-2013-13.csv", "flights-2013-1.csv"]


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_file_is_named_and_not_read(tmp_path, few, stray):
    paths = write_months("csv", tmp_path)
    (tmp_path / "notes.csv").write_text("not of the flights: no pattern for them matches it")
    assert write_months("csv", tmp_path) == paths
    (tmp_path / stray).write_bytes(paths[0].read_bytes())
    with pytest.raises(DataError, match=re.escape(f"with the others: {stray}. Move them")):
        write_months("csv", tmp_path)


ODD_NAMES = ["class [2026]", "Ünïcode straße"]
ODD_NAMES += [] if os.name == "nt" else ["what?", "all *", "a::b"]  # Windows has no such names


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["named", "cached"])
def test_a_path_is_never_taken_for_a_pattern(tmp_path, monkeypatch, few, name, format, how):
    folder = tmp_path / name
    monkeypatch.setenv("COURSE_DATA", str(folder))
    paths = write_months(format, folder if how == "named" else None)
    where = folder if how == "named" else folder / f"flights-{format}"
    assert {p.name for p in where.iterdir()} == {"SHA256SUMS", *(p.name for p in paths)}
    read = {"csv": dd.read_csv, "parquet": dd.read_parquet}[format]
    for source in (paths, paths[0].parent / f"flights-2013-*.{format}"):
        table = read(source)
        assert (table.npartitions, len(table)) == (12, len(few))
    assert len(read(paths[0])) == (few.month == 1).sum()
    table.to_parquet(scratch_folder("lesson") / "written")
    assert data.cache_folder().samefile(folder)


def test_links_and_scratch_folders_go_with_the_process(tmp_path):
    code = (
        "from helpers.data import cache_folder, scratch_folder\n"
        "folder = scratch_folder('lesson-02')\n"
        "(folder / 'a').write_text('x')\n"
        "print(cache_folder(), folder, sep='\\n')"
    )
    course = tmp_path / "class [2026]"
    environment = os.environ | {"COURSE_DATA": str(course), "TMPDIR": str(tmp_path)}
    call = [sys.executable, "-c", code]
    run = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=60)
    link, folder = run.stdout.splitlines()
    assert folder.startswith(link) and "[" not in folder.removeprefix(str(tmp_path))
    assert not Path(link).exists() and not Path(folder).exists()
    assert course.is_dir() and list(course.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["class [2026]"]


def test_a_folder_that_cannot_be_linked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", failing(errno.EPERM))
    with pytest.raises(DataError, match=r"what \[2\] .*Name a folder without \*, \? and \["):
        write_months("csv", tmp_path / "what [2]")


def failing(code):
    """Stands for a call that the system refuses."""

    def fail(*args, **options):
        raise OSError(code, os.strerror(code))

    return fail


REMEDIES = [
    (errno.ENOSPC, "No space left on device.*Free some disk space, or name another folder.*COURSE"),
    (errno.EROFS, "Read-only file system.*Ask for the right to write there, or name .*COURSE_DATA"),
    (errno.EACCES, "Permission denied.*Ask for the right to write there"),
]


@pytest.mark.parametrize(("code", "words"), REMEDIES)
def test_a_disk_that_is_full_or_read_only_keeps_nothing_half_written(
    tmp_path, monkeypatch, few, code, words
):
    write_months("parquet", tmp_path)
    (tmp_path / "flights-2013-07.parquet").unlink()
    whole = data._write_table

    def write(table, path, format):
        whole(table, path, format)
        path.write_bytes(path.read_bytes()[:100])
        failing(code)()

    monkeypatch.setattr(data, "_write_table", write)
    with pytest.raises(DataError, match=words):
        write_months("parquet", tmp_path)
    assert len(list(tmp_path.iterdir())) == 12  # eleven months and the index


def test_a_prepared_folder_need_not_be_writable(tmp_path, monkeypatch, few):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    paths = write_months("parquet")
    monkeypatch.setattr(Path, "mkdir", failing(errno.EROFS))
    monkeypatch.setattr(os, "replace", failing(errno.EROFS))
    assert write_months("parquet") == paths


def test_scratch_goes_elsewhere_where_the_prepared_folder_is_read_only(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    assert scratch_folder("lesson-02").parent == tmp_path / "data"
    make = tempfile.mkdtemp

    def refuse(prefix, dir):
        failing(errno.EROFS)() if Path(dir) == tmp_path / "data" else None
        return make(prefix=prefix, dir=dir)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    folder = scratch_folder("lesson-02")
    assert folder.is_dir() and folder.parent == Path(tempfile.gettempdir())
    monkeypatch.setattr(tempfile, "mkdtemp", failing(errno.ENOSPC))
    with pytest.raises(DataError, match="No folder for scratch files .*Free some disk space"):
        scratch_folder("lesson-02")


def test_without_a_home_directory_the_variable_is_named(monkeypatch):
    def homeless(self):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(Path, "expanduser", homeless)
    for named in ("~/data", None):
        monkeypatch.setenv("COURSE_DATA", named) if named else monkeypatch.delenv("COURSE_DATA")
        if named is None:
            monkeypatch.setattr("platformdirs.user_cache_path", failing_home)
        with pytest.raises(DataError, match="no home directory .*absolute path .*COURSE_DATA"):
            write_months("csv")


def failing_home(name):
    raise RuntimeError("could not determine the home directory for '~/.cache'")


def test_a_relative_folder_is_the_same_for_a_worker_that_runs_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", "data")
    assert data.cache_folder() == tmp_path / "data"


def test_a_folder_is_served_on_loopback_only_while_the_block_runs(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with serve_folder(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(f"{url}/a.txt").read() == b"hello"
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/a.txt", timeout=2)
    with pytest.raises(NotADirectoryError, match="is not a folder"), serve_folder(tmp_path / "no"):
        pass


def test_digits():
    X, y = digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), "float32", (1797,), "int32")
    assert X.min() == 0 and X.max() == 16 and set(y) == set(range(10))


MAKERS = {
    "blobs": lambda rows, **options: blobs(rows, 3, 4, backend="cpu", **options),
    "classification": lambda rows, **options: classification(rows, backend="cpu", **options),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 20_000), chunk=st.integers(1, 9), seed=st.integers(0, 2**40))
def test_rows_do_not_depend_on_the_chunks(make, rows, chunk, seed):
    chunk_rows = max(1, rows // chunk)
    X, y = make(rows, chunk_rows=chunk_rows, seed=seed)
    X_whole, y_whole = make(rows, chunk_rows=rows, seed=seed)
    assert X.chunks[0] == y.chunks[0] and X.chunks[0][0] == chunk_rows
    np.testing.assert_array_equal(X.compute(scheduler="sync"), X_whole.compute(scheduler="sync"))
    np.testing.assert_array_equal(y.compute(scheduler="sync"), y_whole.compute(scheduler="sync"))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_seeds_differ_and_more_rows_begin_with_the_same_ones(make):
    X, _ = make(9_000)
    assert not np.array_equal(X.compute(), make(9_000, seed=1)[0].compute())
    np.testing.assert_array_equal(make(10_000)[0][:9_000].compute(), X.compute())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_meta_is_what_is_computed(make):
    X, y = make(100)
    assert (X.dtype, y.dtype) == (X.compute().dtype, y.compute().dtype) == ("float32", "int32")


def test_the_first_rows_of_a_seed_stay_the_same_for_ever():
    """A changed generator would change every stored output: this says so first."""
    X, y = blobs(1000, 2, 3, backend="cpu")
    np.testing.assert_allclose(X[:2].compute(), [[11.26897, 10.17767], [2.96336, -5.02118]], 1e-5)
    assert y[:12].compute().tolist() == [2, 0, 2, 1, 0, 2, 1, 0, 2, 1, 1, 2]
    X, y = classification(1000, backend="cpu")
    np.testing.assert_allclose(X[0, :3].compute(), [0.12573, -0.13210, 0.64042], 1e-4)
    assert int(y.compute().sum()) == 476


def test_blobs_lie_around_their_centers():
    X, y = blobs(30_000, 2, 4, backend="cpu")
    X, y = X.compute(), y.compute()
    centers = np.array([X[y == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(centers, blob_centers(4, 2), atol=0.06)
    assert X[y == 0].std(axis=0) == pytest.approx([1, 1], abs=0.05)


@settings(max_examples=20, deadline=None)
@given(k=st.integers(2, 8), seed=st.integers(0, 1000))
def test_centers_are_far_apart(k, seed):
    centers = blob_centers(k, 2, seed=seed)
    distance = np.linalg.norm(centers[:, None] - centers[None], axis=2) + 99 * np.eye(k)
    assert distance.min() > 4


def test_flipped_labels_and_redundant_columns():
    X, y = classification(20_000, 10, 4, 2, flip_y=0.0, backend="cpu")
    X, y = X.compute(), y.compute()
    weights, *_ = np.linalg.lstsq(X[:, :4], X[:, 4:6], rcond=None)
    np.testing.assert_allclose(X[:, :4] @ weights, X[:, 4:6], atol=1e-3)
    flipped = classification(20_000, 10, 4, 2, flip_y=0.5, backend="cpu")[1].compute()
    assert (y != flipped).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("bad", [0, -5, 1.5, "10", None, True])
@pytest.mark.parametrize("name", ["n_rows", "n_features", "chunk_rows"])
def test_sizes_are_checked(name, bad):
    for make in (blobs, classification):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
            make(**{"n_rows": 100, name: bad})


@pytest.mark.parametrize(
    "options, words",
    [
        ({"flip_y": 1.5}, "flip_y must be from 0 to 1"),
        ({"n_informative": 30}, "do not fit into n_features=20"),
        ({"n_redundant": -1}, "do not fit"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": "a"}, "seed must be a whole number"),
    ],
)
def test_bad_problems_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        classification(100, **options)


def test_bad_blobs_are_refused():
    with pytest.raises(ValueError, match="std must be positive"):
        blobs(10, std=0)
    with pytest.raises(ValueError, match="n_clusters"):
        blobs(10, n_clusters=0)
