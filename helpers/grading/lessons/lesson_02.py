"""Exercises of lesson 02: partitions, what they hold and where they are."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from helpers.backend import current_backend
from helpers.data import FLIGHTS, dtypes
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _list(value):
    return value if isinstance(value, list) else []


def _partitioned(tables):
    """Return a Dask DataFrame with these host tables as partitions, on the live backend."""
    import dask.dataframe as dd
    from dask import delayed

    to_device = current_backend().to_device
    parts = [delayed(to_device(table)) for table in tables]
    return dd.from_delayed(parts, meta=to_device(tables[0].head(0)))


def _delays(rng, sizes, means):
    """Tables of delays, one per size, each with its own mean and some missing values."""
    tables = []
    for size, mean in zip(sizes, means, strict=True):
        delay = np.round(rng.normal(mean, 5, size)).astype("float32")
        delay[rng.random(size) < 0.2] = np.nan
        month = np.full(size, len(tables) + 1, "int32")
        tables.append(pd.DataFrame({"month": month, "arr_delay": delay}))
    return tables


# 02.1 rows_per_partition


def _uneven(seed):
    rng = np.random.default_rng([21, seed])
    sizes = 10 + rng.choice(40, 5, replace=False)
    sizes[int(rng.integers(1, 5))] = 0  # as after a filter
    return _delays(rng, sizes.tolist(), [0] * 5)


def _observe_rows(function, seed):
    return describe(function(_partitioned(_uneven(seed))))


def _judge_rows(facts, seed):
    tables, facts = _uneven(seed), _dict(facts)
    kind, items = facts.get("type"), [_dict(item) for item in _list(facts.get("items"))]
    kinds = {str(item.get("type")) for item in items}
    hint = "Return a list of whole numbers."
    if kind == "int":
        hint = "That is one number for the whole table: ask each partition for its own."
    elif str(kind).startswith("dask") or kind == "delayed" or "delayed" in kinds:
        hint = "That is a plan and not yet numbers: compute it."
    elif kind in ("series", "array"):
        hint = f"The numbers are there, in a {kind}: turn it into a list."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "returns a list of whole numbers", kind == "list" and kinds == {"int"}, hint)

    rows, expected = [item.get("value") for item in items], [len(table) for table in tables]
    hint = "The list has one number for each partition, also for one without rows."
    yield Check(1, "has one number for each partition", len(rows) == len(expected), hint)

    hint = "Some of the numbers are not the numbers of rows."
    if len(set(map(str, rows))) == 1:
        hint = "Equal numbers: a mean tells nothing about partitions that differ."
    elif sorted(map(str, rows)) == sorted(map(str, expected)):
        hint = "The numbers are right and their order is not: keep the order of the partitions."
    elif rows == [int(table["arr_delay"].count()) for table in tables]:
        hint = "count() leaves out missing values: a row with a missing value is a row."
    yield Check(1, "each number is that partition's rows", rows == expected, hint)


# 02.2 mean_delay


def _months_of_delays(seed):
    rng = np.random.default_rng([22, seed])
    sizes = [80 + int(rng.integers(20)), 8, 30 + int(rng.integers(9)), 12]
    means = [60 + int(rng.integers(9)), -20, 25, 0]
    tables = _delays(rng, sizes, means)
    # The second half of a large month is cancelled: its rows and its flights differ most.
    tables[2].loc[10:, "arr_delay"] = np.nan
    tables[3]["arr_delay"] = np.float32(np.nan)  # nothing flew
    return [tables[i] for i in (1, 3, 0, 2)]


def _observe_mean(function, seed):
    return describe(function(_partitioned(_months_of_delays(seed))))


def _judge_mean(facts, seed):
    tables, facts = _months_of_delays(seed), _dict(facts)
    kind, value = facts.get("type"), facts.get("value")
    hint = "Return one number, the mean delay in minutes."
    if kind == "delayed" or str(kind).startswith("dask"):
        hint = "That is a plan and not yet a number: compute it."
    elif kind in ("series", "list", "array", "table"):
        hint = f"That is a {kind}: add up the partitions' results to one number."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    number = kind in ("float", "int") and isinstance(value, int | float)
    yield Check(1, "returns a number", number, hint)

    hint = "The result is not a number (nan): a partition may hold no delay at all."
    finite = -1e9 < value < 1e9  # false for nan
    yield Check(1, "copes with a partition without any delay", finite, hint)

    parts = [table["arr_delay"].astype("float64") for table in tables]
    every = pd.concat(parts)
    means, rows = pd.Series([part.mean() for part in parts]), [len(part) for part in parts]
    hint = "Add up the delays and the flights that have one, over all partitions, then divide."
    if close(value, means.mean()) or close(value, means.fillna(0).mean()):
        hint = "A mean of means: a small partition must not count as much as a large one."
    elif close(value, every.sum() / len(every)):
        hint = "Divided by all rows: a flight without a delay does not count."
    elif close(value, (means.fillna(0) * rows).sum() / sum(rows)) or close(
        value, (means * rows).sum() / sum(np.array(rows)[means.notna()])
    ):
        hint = "Weighed by rows: weigh each mean by the flights that have a delay."
    elif any(close(value, mean) for mean in means.dropna()):
        hint = "That is the mean of one partition only."
    elif close(value, every.sum()):
        hint = "That is the total: divide it by the number of flights that have a delay."
    yield Check(2, "is the mean over all flights that arrived", close(value, every.mean()), hint)


# 02.3 read_months


def _monthly_files(seed):
    """Tables to be written as files, and the columns to ask for."""
    rng = np.random.default_rng([23, seed])
    tables = []
    for month in range(1, 4):
        n = 15 + int(rng.integers(10))
        table = {}
        for name, (dtype, _) in FLIGHTS.items():
            whole = rng.integers(1, 29, n)
            table[name] = pd.Series([f"N{i}" for i in whole]) if dtype == "str" else whole
        table = pd.DataFrame(table).assign(month=month).astype(dtypes(FLIGHTS))
        table.loc[rng.choice(n, 3, replace=False), "arr_delay"] = np.nan
        tables.append(table)
    columns = ["month", "carrier", "arr_delay", "distance"]  # in the order of the file
    while columns in (sorted(columns), [name for name in FLIGHTS if name in columns]):
        columns = rng.permutation(columns).tolist()
    return tables, columns


def _observe_read(function, seed):
    tables, columns = _monthly_files(seed)
    with TemporaryDirectory() as folder:
        here, away = Path(folder) / "here", Path(folder) / "away"
        here.mkdir()
        paths = [here / f"month-{i:02d}.csv" for i in range(1, len(tables) + 1)]
        for path, table in zip(paths, tables, strict=True):
            table.to_csv(path, index=False)
        result = function(list(paths), list(columns))
        if not hasattr(result, "__dask_graph__"):
            return {"result": describe(result), "lazy": False}
        here.rename(away)  # what is lazy misses its files now
        try:
            result.compute()
            lazy = False
        except Exception:
            lazy = True
        away.rename(here)
        return {"result": describe(result), "lazy": lazy}


def _judge_read(facts, seed):
    tables, columns = _monthly_files(seed)
    facts = _dict(facts)
    result = _dict(facts.get("result"))
    computed = _dict(result.get("computed"))
    kind, lazy = result.get("type"), facts.get("lazy") is True
    hint = "Return a Dask DataFrame."
    if kind == "table":
        hint = "The rows have been read already: return a Dask DataFrame, which reads later."
    elif kind == "dask table" and not lazy:
        hint = "The function reads every row itself: let Dask read when something computes."
    elif kind == "list":
        hint = "That is a list: dd.read_csv takes all paths at once and gives one DataFrame."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "returns a Dask DataFrame that reads later", kind == "dask table" and lazy, hint)

    found = list(_dict(computed.get("columns")))
    hint = "The result has the columns that were asked for, and no others."
    if sorted(found) == sorted(columns):
        hint = "The columns are right, their order is not: usecols keeps the order of the file."
    elif set(found) > set(columns):
        hint = "There are more columns than were asked for."
    yield Check(1, "has the columns asked for, in that order", found == columns, hint)

    kinds = _dict(computed.get("dtypes"))
    wanted = {name: dtype for name, dtype in dtypes(FLIGHTS).items() if name in columns}
    numbers = {name: dtype for name, dtype in wanted.items() if dtype != "str"}
    right = all(kinds.get(name) == dtype for name, dtype in numbers.items())
    text = all("int" not in str(kinds.get(n)) for n in wanted if n not in numbers)
    hint = "Each column has the dtype that FLIGHTS names."
    if {"int64", "float64"} & set(map(str, kinds.values())):
        hint = "int64 or float64 were guessed: name the dtypes when you read."
    yield Check(1, "has the dtypes of FLIGHTS", right and text, hint)

    data = {name: _list(values) for name, values in _dict(computed.get("columns")).items()}
    expected = {
        name: [None if pd.isna(v) else v for t in tables for v in t[name].tolist()]
        for name in columns
    }
    partitions = result.get("npartitions")
    same = all(close(data[name], expected[name]) for name in columns)
    hint = "Rows are missing or changed."
    if computed.get("rows") == len(tables[0]):
        hint = "Only the first file was read."
    elif same:
        hint = "The rows are right, but each file should be one partition."
    elif all(sorted(map(str, data[name])) == sorted(map(str, expected[name])) for name in columns):
        hint = "The rows are right, their order is not: read the files in the order of paths."
    holds = same and partitions == len(tables)
    yield Check(1, "has every row, one partition per file", holds, hint)


# 02.4 balance

LIMIT = 10  # rows


def _skewed(seed):
    rng = np.random.default_rng([24, seed])
    sizes = [int(rng.integers(4 * LIMIT, 7 * LIMIT)), *rng.integers(2, LIMIT, 4).tolist()]
    tables, start = [], 0
    for size in sizes:
        number = np.arange(start, start + size, dtype="int32")
        delay = rng.integers(-20, 60, size).astype("float32")
        tables.append(pd.DataFrame({"number": number, "arr_delay": delay}))
        start += size
    return tables


def _observe_balance(function, seed):
    result = function(_partitioned(_skewed(seed)), LIMIT)
    facts = {"result": describe(result)}
    if facts["result"]["type"] == "dask table":
        facts["sizes"] = [int(n) for n in result.map_partitions(len).compute().tolist()]
    return facts


def _judge_balance(facts, seed):
    table = pd.concat(_skewed(seed))
    facts = _dict(facts)
    result = _dict(facts.get("result"))
    sizes = [n for n in _list(facts.get("sizes")) if isinstance(n, int)]
    kind = result.get("type")
    hint = "Return a Dask DataFrame."
    if kind == "table":
        hint = "All rows are in one table in this process: return a Dask DataFrame."
    elif kind == "list":
        hint = "That is a list of pieces: make one Dask DataFrame of them."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "returns a Dask DataFrame", kind == "dask table", hint)

    columns = _dict(_dict(result.get("computed")).get("columns"))
    numbers, delays = _list(columns.get("number")), _list(columns.get("arr_delay"))
    expected = table["number"].tolist()
    hint = "The rows are not those of the input."
    if len(numbers) < len(expected):
        hint = "Rows were lost: every row belongs into some partition."
    elif len(numbers) > len(expected):
        hint = "There are more rows than before: some are there twice."
    yield Check(
        1, "has every row once", sorted(map(str, numbers)) == sorted(map(str, expected)), hint
    )

    hint = "The rows are in another order than before: cut and glue, without sorting or shuffling."
    same = numbers == expected and close(delays, table["arr_delay"].tolist())
    yield Check(1, "keeps the order of the rows", same, hint)

    hint = "A partition has more rows than allowed."
    if len(sizes) == result.get("npartitions") and max(sizes, default=0) >= len(_skewed(seed)[0]):
        hint = (
            "The largest partition stayed whole: the number of partitions says nothing about "
            "their sizes. Ask for the sizes first."
        )
    yield Check(1, "keeps every partition within the limit", max(sizes, default=99) <= LIMIT, hint)


# 02.5 pin_months


def _months_and_homes(seed):
    """Tables and, for each, the number of the worker where it shall be."""
    rng = np.random.default_rng([25, seed])
    tables = _delays(rng, (5 + rng.choice(20, 6, replace=False)).tolist(), [0] * 6)
    first = int(rng.integers(3))  # twice the same one: no taking of turns gives that
    return tables, [first, first, *rng.permutation([0, 1, 2]).tolist(), first]


def _observe_pin(function, seed):
    from distributed import Client, LocalCluster

    tables, homes = _months_and_homes(seed)
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        workers = sorted(client.has_what())
        to_device = current_backend().to_device
        parts = [to_device(table) for table in tables]
        futures = function(client, parts, [workers[home] for home in homes])
        facts = {"result": describe(futures)}
        items = facts["result"].get("items", [])
        if items and all(item["type"] == "future" for item in items):
            values = client.gather(list(futures))
            facts["values"] = [describe(value) for value in values]
            holders = client.who_has(list(futures))
            facts["homes"] = [
                sorted(workers.index(worker) for worker in holders[future.key])
                for future in futures
            ]
        return facts


def _judge_pin(facts, seed):
    tables, homes = _months_and_homes(seed)
    facts = _dict(facts)
    result = _dict(facts.get("result"))
    kinds = {str(_dict(item).get("type")) for item in _list(result.get("items"))}
    kind, length = result.get("type"), result.get("length")
    hint = "Return a list of futures, one for each table."
    if kind == "list" and kinds == {"table"}:
        hint = "These are the tables themselves: return the futures, and leave the tables there."
    elif kind == "future":
        hint = "That is one future: send every table on its own."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    holds = kind == "list" and kinds == {"future"} and length == len(tables)
    yield Check(1, "returns one future for each table", holds, hint)

    values = [_dict(value) for value in _list(facts.get("values"))]
    found = [_list(_dict(value.get("columns")).get("arr_delay")) for value in values]
    expected = [[None if pd.isna(v) else v for v in t["arr_delay"].tolist()] for t in tables]
    hint = "A future does not hold its table: future i belongs to table i."
    yield Check(1, "each future holds its table", close(found, expected), hint)

    where = _list(facts.get("homes"))
    hint = "Some tables are not on the worker that was asked for."
    if any(len(_list(held)) > 1 for held in where):
        hint = "A table is in several places: it shall be on one worker only."
    elif len({str(held) for held in where}) == 1:
        hint = "All tables are on one worker: each has a home of its own."
    elif len({str(held) for held in where[:2]}) == 2:
        hint = "The workers took turns: name the one worker of each table, table by table."
    yield Check(1, "each table is on its own worker only", where == [[h] for h in homes], hint)


EXERCISES = [
    Exercise("02.1", "rows_per_partition", 3, _observe_rows, _judge_rows),
    Exercise("02.2", "mean_delay", 4, _observe_mean, _judge_mean),
    Exercise("02.3", "read_months", 4, _observe_read, _judge_read),
    Exercise("02.4", "balance", 4, _observe_balance, _judge_balance),
    Exercise("02.5", "pin_months", 3, _observe_pin, _judge_pin),
]
