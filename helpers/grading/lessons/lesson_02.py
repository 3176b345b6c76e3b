"""Exercises of lesson 02: partitions, what they hold and where they are."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from helpers.backend import current_backend
from helpers.data import FLIGHTS, dtypes
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.meter import metered
from helpers.grading.vocabulary import Facts, reordered, returns, with_example
from helpers.grading.workers import workers_here


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


def _observed(function, table, *args):
    """Call the function; give its result, and what Dask computed for it."""
    with metered() as meter:
        result = function(table, *args)
    return result, {"rounds": meter.rounds, "came": meter.values}


def _dask_computes(facts):
    """Check that Dask computed something at all: what is not seen cannot be judged."""
    hint = "The check saw Dask compute nothing: ask the partitions, and leave scheduler= away."
    return Check(0, "lets Dask compute", facts.get("rounds", 0) > 0, hint)


def _rows_stay(points, facts, tables, hint):
    """Check that only a few numbers came back, eight for each partition at most."""
    stay = facts.get("came", 0) <= 8 * len(tables)
    hint = f"Rows came to this process, not a few numbers: {hint}"
    return Check(points, "the rows do not come here", stay, hint)


# 02.1 rows_per_partition


def _uneven(seed):
    rng = np.random.default_rng([21, seed])
    sizes = 10 + rng.choice(40, int(rng.integers(5, 9)), replace=False)
    sizes[int(rng.integers(1, len(sizes)))] = 0  # as after a filter
    return _delays(rng, sizes.tolist(), [0] * len(sizes))


def _observe_rows(function, seed):
    result, facts = _observed(function, _partitioned(_uneven(seed)))
    parts = [{"arr_delay": [10.0, 20.0]}, {"arr_delay": [None, 60.0, 5.0]}]
    example, _ = _observed(function, _partitioned([pd.DataFrame(part) for part in parts]))
    return {"answer": describe(result), "example": describe(example), **facts}


def _judge_rows(facts, seed):
    tables, facts = _uneven(seed), Facts(facts)
    answer, expected = facts["answer"], [len(table) for table in tables]
    kinds = {
        "int": "That is one number for the whole table: ask each partition for its own.",
        "series": "The numbers are there, in a series: turn it into a list.",
        "array": "The numbers are there, in an array: turn it into a list.",
    }
    yield returns(1, answer, "list", "a list of whole numbers", of="int", **kinds)
    yield _dask_computes(facts)
    rows = answer.values
    hint = "The list has one number for each partition, also for one without rows."
    yield Check(1, "has one number for each partition", len(rows) == len(expected), hint)

    hint = "Some of the numbers are not the numbers of rows."
    if len(set(rows)) == 1:
        hint = "Equal numbers: a mean tells nothing about partitions that differ."
    elif reordered(rows, expected):
        hint = "The numbers are right and their order is not: keep the order of the partitions."
    elif rows == [int(table["arr_delay"].count()) for table in tables]:
        hint = "count() leaves out missing values: a row with a missing value is a row."
    right = Check(1, "each number is that partition's rows", rows == expected, hint)
    yield with_example(right, facts["example"].values == [2, 3])
    hint = "The partitions were computed one after the other: ask for all of them in one compute."
    together = facts.get("rounds", 0) < len(tables)
    yield Check(1, "asks for all partitions at once", together, hint)


# 02.2 mean_delay


def _months_of_delays(seed):
    rng = np.random.default_rng([22, seed])
    sizes = [80 + int(rng.integers(20)), 8, 30 + int(rng.integers(9)), 12]
    means = [60 + int(rng.integers(9)), -20, 25, 0]
    tables = _delays(rng, sizes, means)
    # The second half of a large month is cancelled: its rows and its flights differ most.
    tables[2].loc[10:, "arr_delay"] = np.nan
    tables[3]["arr_delay"] = np.float32(np.nan)  # nothing flew
    late, mixed = int(rng.integers(10, 30)), []
    for table in tables:  # these left late, and to each month come others that did not
        table["dep_delay"] = rng.integers(late + 1, late + 90, len(table)).astype("float32")
        others = table.sample(6, replace=True, random_state=seed).assign(arr_delay=-30)
        others["dep_delay"] = [late, late, *rng.integers(-9, late, 4)]
        both = pd.concat([table, others.astype(table.dtypes)])
        mixed.append(both.iloc[rng.permutation(len(both))].reset_index(drop=True))
    return [mixed[i] for i in (1, 3, 0, 2)], late


def _observe_mean(function, seed):
    tables, late = _months_of_delays(seed)
    result, facts = _observed(function, _partitioned(tables), late)
    parts = [
        {"dep_delay": [20.0, 30.0, 15.0], "arr_delay": [10.0, 20.0, 0.0]},
        {"dep_delay": [40.0, 60.0, 16.0], "arr_delay": [None, 60.0, 5.0]},
    ]
    example, _ = _observed(function, _partitioned([pd.DataFrame(part) for part in parts]), 15)
    return {"answer": describe(result), "example": describe(example), **facts}


def _judge_mean(facts, seed):
    (tables, late), facts = _months_of_delays(seed), Facts(facts)
    answer, value = facts["answer"], facts["answer"].value
    held = "That is {}: add up the partitions' results to one number."
    kinds = {kind: held.format(f"a {kind}") for kind in ("series", "list", "table")}
    kinds |= {"plan": "That is a plan and not yet a number: compute it."}
    kinds |= {"array": held.format("an array")}
    yield returns(1, answer, ("float", "int"), "one number, the mean delay in minutes", **kinds)
    yield _dask_computes(facts)
    hint = "The result is not a number (nan): a partition may hold no delay at all."
    yield Check(1, "copes with a partition without any delay", -1e9 < value < 1e9, hint)

    table = pd.concat(tables).astype("float64")
    parts = [t["arr_delay"][t["dep_delay"] > late].astype("float64") for t in tables]
    every = pd.concat(parts)
    means, rows = pd.Series([part.mean() for part in parts]), [len(part) for part in parts]
    by_rows = (means * rows).sum()
    hint = "Add up the delays and the flights that have one, over all partitions, then divide."
    if close(value, means.mean()) or close(value, means.fillna(0).mean()):
        hint = "A mean of means: a small partition must not count as much as a large one."
    elif close(value, every.sum() / len(every)):
        hint = "Divided by all rows: a flight without a delay does not count."
    elif any(close(value, by_rows / n) for n in (sum(rows), (means.notna() * rows).sum())):
        hint = "Weighed by rows: weigh each mean by the flights that have a delay."
    elif close(value, table["arr_delay"].mean()):
        hint = "That is the mean of all flights: only those count that left late."
    elif close(value, table["arr_delay"][table["dep_delay"] >= late].mean()):
        hint = "A flight that left exactly `late` minutes late counts here: more than that is late."
    elif any(close(value, mean) for mean in means.dropna()):
        hint = "That is the mean of one partition only."
    elif close(value, every.sum()):
        hint = "That is the total: divide it by the number of flights that have a delay."
    right = Check(
        2,
        "is the mean of those that left late",
        close(value, every.mean()),
        hint,
    )
    yield with_example(right, close(facts["example"].value, 23.75))
    yield _rows_stay(1, facts, tables, "reduce each partition where it is, and bring the sums.")


# 02.3 read_months


def _monthly_files(seed):
    """Tables to be written as files, by month, and the columns to ask for."""
    rng = np.random.default_rng([23, seed])
    tables, months = {}, np.arange(1, 13)
    while sorted(months[:3]) == list(months[:3]):  # paths are not in the order of their names
        months = rng.permutation(months)
    for month in months[: rng.integers(4, 7)].tolist():
        n = 15 + int(rng.integers(10))
        table = {}
        for name, (dtype, _) in FLIGHTS.items():
            whole = rng.integers(1, 29, n)
            table[name] = pd.Series([f"N{i}" for i in whole]) if dtype == "str" else whole
        table = pd.DataFrame(table).assign(month=month).astype(dtypes(FLIGHTS))
        table.loc[rng.choice(n, 3, replace=False), "arr_delay"] = np.nan
        tables[month] = table
    columns = ["month", "carrier", "arr_delay", "distance"]  # in the order of the file
    while columns in (sorted(columns), [name for name in FLIGHTS if name in columns]):
        columns = rng.permutation(columns).tolist()
    return tables, columns


def _observe_read(function, seed):
    tables, columns = _monthly_files(seed)
    last = list(tables)[-1]  # its file is in the folder, too, and was not asked for
    with TemporaryDirectory() as folder:
        here, away = Path(folder) / "here", Path(folder) / "away"
        here.mkdir()
        paths = {month: here / f"flights-2013-{month:02d}.csv" for month in [*tables, 1, 2]}
        for month, path in paths.items():
            tables.get(month, tables[last]).to_csv(path, index=False)
        example = function([paths[1], paths[2]], ["dest", "month"])
        asked = [path for month, path in paths.items() if month in tables and month != last]
        result = function(list(asked), list(columns))
        facts = {"lazy": False, "example": [str(name) for name in getattr(example, "columns", ())]}
        if hasattr(result, "__dask_graph__"):
            here.rename(away)  # what is lazy misses its files now
            try:
                result.compute()
            except Exception:
                facts["lazy"] = True
            away.rename(here)
        return facts | {"result": describe(result)}


def _judge_read(facts, seed):
    by_month, columns = _monthly_files(seed)
    *tables, unasked = by_month.values()
    facts = Facts(facts)
    result, lazy = facts["result"], facts.get("lazy", False)
    kinds = {
        "table": "The rows have been read already: return a Dask DataFrame, which reads later.",
        "list": "That is a list: dd.read_csv takes all paths at once and gives one DataFrame.",
        "dask_array": "That is a Dask array: return a Dask DataFrame.",
    }
    kinds["plan"] = kinds["list"] if result.kind == "list" else "Return a Dask DataFrame."
    kind = returns(1, result, "dask table", "a Dask DataFrame that reads later", **kinds)
    if kind.holds and not lazy:
        hint = "The function reads every row itself: let Dask read when something computes."
        kind = kind._replace(holds=False, hint=hint)
    yield kind

    data, kinds = result.columns, result["computed"].get("dtypes", {})
    found, hint = list(data), "The result has the columns that were asked for, and no others."
    if sorted(found) == sorted(columns):
        hint = "The columns are right, their order is not: usecols keeps the order of the file."
    elif set(found) > set(columns):
        hint = "There are more columns than were asked for."
    right = Check(1, "has the columns asked for, in that order", found == columns, hint)
    yield with_example(right, facts.get("example", []) == ["dest", "month"])

    wanted = {name: dtype for name, dtype in dtypes(FLIGHTS).items() if name in columns}
    numbers = {name: dtype for name, dtype in wanted.items() if dtype != "str"}
    right = all(kinds.get(name) == dtype for name, dtype in numbers.items())
    text = all("int" not in str(kinds.get(n)) for n in wanted if n not in numbers)
    hint = "Each column has the dtype that FLIGHTS names."
    if {"int64", "float64"} & set(map(str, kinds.values())):
        hint = "int64 or float64 are what comes where no dtype is named: name them when you read."
    yield Check(1, "has the dtypes of FLIGHTS", right and text, hint)

    def rows_of(tables):
        all_rows = {name: [v for t in tables for v in t[name].tolist()] for name in columns}
        return {name: [None if pd.isna(v) else v for v in all_rows[name]] for name in columns}

    expected, hint = rows_of(tables), "Rows are missing or changed."
    same = all(close(data[name], expected[name]) for name in columns)
    if len(data["month"]) == len(tables[0]):
        hint = "Only one file was read."
    elif same:
        hint = "The rows are right, but each file should be one partition."
    elif all(reordered(data[name], expected[name]) for name in columns):
        hint = "The rows are right, their order is not: read the files in the order of paths."
    elif {str(month) for month in data["month"]} > {str(month) for month in expected["month"]}:
        hint = "Rows of a file that is not in `paths` are there: do not read the whole folder."
    holds = same and result.get("npartitions", 0) == len(tables)
    yield Check(1, "has every row, one partition per file", holds, hint)


# 02.4 balance

LIMIT = 10  # rows


def _skewed(seed):
    rng = np.random.default_rng([24, seed])
    sizes = [int(rng.integers(4 * LIMIT, 7 * LIMIT)), *rng.integers(2, LIMIT, 4).tolist()]
    sizes[0] += not sizes[0] % LIMIT  # so that rounding down is wrong
    tables, start = [], 0
    for size in sizes:
        number = np.arange(start, start + size, dtype="int32")
        delay = rng.integers(-20, 60, size).astype("float32")
        tables.append(pd.DataFrame({"number": number, "arr_delay": delay}))
        start += size
    return tables


def _observe_balance(function, seed):
    parts = [{"number": [1, 2, 3, 4, 5]}, {"number": [6]}]
    example, _ = _observed(function, _partitioned([pd.DataFrame(part) for part in parts]), 2)
    result, facts = _observed(function, _partitioned(_skewed(seed)), LIMIT)
    for name, table in (("result", result), ("example", example)):
        facts[name] = describe(table)
        if facts[name]["type"] == "dask table":
            sizes = table.map_partitions(len).compute(scheduler="threads")
            facts[name]["sizes"] = [int(n) for n in sizes.tolist()]
    return facts


def _judge_balance(facts, seed):
    tables, facts = _skewed(seed), Facts(facts)
    result, table = facts["result"], pd.concat(tables)
    kinds = {
        "table": "All rows are in one table in this process: return a Dask DataFrame.",
        "list": "That is a list of pieces: make one Dask DataFrame of them.",
    }
    kinds |= {"plan": kinds["list"] if result.kind == "list" else "Return a Dask DataFrame."}
    yield returns(1, result, "dask table", "a Dask DataFrame", **kinds)

    numbers, delays = (result.columns.get(name, []) for name in ("number", "arr_delay"))
    expected, hint = table["number"].tolist(), "The rows are not those of the input."
    if len(numbers) < len(expected):
        hint = "Rows were lost: every row belongs into some partition."
    elif len(numbers) > len(expected):
        hint = "There are more rows than before: some are there twice."
    yield Check(1, "has every row once", reordered(numbers, expected), hint)

    hint = "The rows are in another order than before: cut and glue, without sorting or shuffling."
    same = numbers == expected and close(delays, table["arr_delay"].tolist())
    yield Check(1, "keeps the order of the rows", same, hint)

    sizes = result.list_of("sizes", int)
    largest, pieces = max(sizes, default=LIMIT + 1), -(-len(tables[0]) // LIMIT)
    hint = "A partition has more rows than allowed."
    if largest >= len(tables[0]):
        hint = (
            "The largest partition stayed whole: the number of partitions says nothing about "
            "their sizes. Ask for the sizes first."
        )
    elif len(sizes) == len(tables) * (pieces - 1):
        hint = (
            "A partition has more rows than allowed: each was cut into as many pieces as rounding "
            "down gives. Round up."
        )
    right = Check(1, "keeps every partition within the limit", largest <= LIMIT, hint)
    example = facts["example"]
    right_example = example.columns.get("number") == [1, 2, 3, 4, 5, 6]
    yield with_example(right, right_example and max(example.list_of("sizes", int), default=9) <= 2)
    hint = "There are far more partitions than needed: each one costs the scheduler time."
    yield Check(1, "makes no crumbs", len(sizes) <= len(tables) * pieces, hint)
    hint = "ask for the sizes only, and let Dask cut the partitions where they are."
    yield _rows_stay(1, facts, tables, hint)


# 02.5 pin_months


def _months_and_homes(seed):
    """Tables and, for each, the number of the worker where it shall be."""
    rng = np.random.default_rng([25, seed])
    tables = _delays(rng, (5 + rng.choice(20, 6, replace=False)).tolist(), [0] * 6)
    first = int(rng.integers(3))  # twice the same one: no taking of turns gives that
    return tables, [first, first, *rng.permutation([0, 1, 2]).tolist(), first]


def _observe_pin(function, seed):
    tables, homes = _months_and_homes(seed)
    months = [pd.DataFrame({"month": [1, 1]}), pd.DataFrame({"month": [2]})]
    with workers_here([1, 1, 1]) as (client, _):
        facts = _pinned(function, client, tables, homes)
        return facts | {"example": _pinned(function, client, months, [0, 0])}


def _pinned(function, client, tables, homes):
    """Facts about futures: what they hold, and on which workers, by number."""
    workers = sorted(client.has_what())
    tables = [current_backend().to_device(table) for table in tables]
    futures = function(client, tables, [workers[home] for home in homes])
    facts = {"result": describe(futures)}
    items = facts["result"].get("items", [])
    if items and all(item["type"] == "future" for item in items):
        facts["values"] = [describe(value) for value in client.gather(list(futures))]
        held = client.who_has(list(futures))
        facts["homes"] = [sorted(map(workers.index, held[future.key])) for future in futures]
    return facts


def _judge_pin(facts, seed):
    (tables, homes), facts = _months_and_homes(seed), Facts(facts)
    result, where = facts["result"], facts.list_of("homes", list)
    kinds = {"future": "That is one future: send every table on its own."}
    if result.kinds == {"table"}:
        kinds["list"] = (
            "These are the tables themselves: return the futures, and leave the tables there."
        )
    kind = returns(1, result, "list", "one future for each table", of="future", **kinds)
    holds = kind.holds and result.get("length", 0) == len(tables)
    yield kind._replace(holds=holds, hint=kind.hint or "Return one future for each table.")

    found = [Facts(value).columns.get("arr_delay") for value in facts.get("values", [])]
    expected = [[None if pd.isna(v) else v for v in t["arr_delay"].tolist()] for t in tables]
    hint = "A future does not hold its table: future i belongs to table i."
    yield Check(1, "each future holds its table", close(found, expected), hint)

    hint = "Some tables are not on the worker that was asked for."
    if any(len(held) > 1 for held in where):
        hint = "A table is in several places: it shall be on one worker only."
    elif len({str(held) for held in where}) == 1:
        hint = "All tables are on one worker: each has a home of its own."
    elif where[:1] != where[1:2]:
        hint = "The workers took turns: name the one worker of each table, table by table."
    right = where == [[home] for home in homes]
    right = Check(1, "each table is on its own worker only", right, hint)
    yield with_example(right, facts["example"].get("homes", []) == [[0], [0]])


EXERCISES = [
    Exercise("02.1", "rows_per_partition", 4, _observe_rows, _judge_rows),
    Exercise("02.2", "mean_delay", 5, _observe_mean, _judge_mean),
    Exercise("02.3", "read_months", 4, _observe_read, _judge_read),
    Exercise("02.4", "balance", 6, _observe_balance, _judge_balance),
    Exercise("02.5", "pin_months", 3, _observe_pin, _judge_pin),
]
