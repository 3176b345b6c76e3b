"""Wrong answers of lesson 02 and other right ones."""

import dask
import dask.dataframe as dd
import numpy as np
from dask import delayed

from helpers.backend import get_backend, to_host
from helpers.data import FLIGHTS, dtypes
from tests.answers import right, wrong

backend = get_backend()
xdf = backend.xdf


# 02.1


@wrong("02.1", points=0, hint="one number for the whole table")
def rows_per_partition(ddf):
    return len(ddf)


@wrong("02.1", points=0, hint="a plan and not yet")
def rows_per_partition(ddf):
    return ddf.map_partitions(len)


@wrong("02.1", points=0, hint="a plan and not yet")
def rows_per_partition(ddf):
    return [delayed(len)(part) for part in ddf.to_delayed()]


@wrong("02.1", points=0, hint="in a series")
def rows_per_partition(ddf):
    return ddf.map_partitions(len).compute()


@wrong("02.1", points=0, hint="Nothing came back")
def rows_per_partition(ddf):
    ddf.map_partitions(len).compute().tolist()


@wrong("02.1", points=1, hint="also for one without rows")
def rows_per_partition(ddf):
    return [len(part) for part in ddf.partitions if len(part)]


@wrong("02.1", points=2, hint="a mean tells nothing")
def rows_per_partition(ddf):
    return [len(ddf) // ddf.npartitions] * ddf.npartitions


@wrong("02.1", points=2, hint="their order is not")
def rows_per_partition(ddf):
    return sorted(ddf.map_partitions(len).compute().tolist())


@wrong("02.1", points=2, hint="leaves out missing values")
def rows_per_partition(ddf):
    return [int(part["arr_delay"].count().compute()) for part in ddf.partitions]


@wrong("02.1", points=3, hint="one after the other")
def rows_per_partition(ddf):
    return [len(part) for part in ddf.partitions]


@wrong("02.1", points=1, hint="compute nothing")
def rows_per_partition(ddf):
    return ddf.map_partitions(len).compute(scheduler="sync").tolist()


@right("02.1")
def rows_per_partition(ddf):
    rows = ddf.map_partitions(lambda part: xdf.DataFrame({"rows": [len(part)]}))
    return to_host(rows.compute())["rows"].tolist()


@right("02.1")
def rows_per_partition(ddf):
    return dask.compute(*[delayed(len)(part) for part in ddf.to_delayed()])


# 02.2


def means(ddf):
    return [to_host(part)["arr_delay"].mean() for part in dask.compute(*ddf.to_delayed())]


@wrong("02.2", points=0, hint="a plan and not yet a number")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return ddf["arr_delay"].mean()


@wrong("02.2", points=0, hint="That is a series")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return ddf["arr_delay"].map_partitions(lambda part: part.mean(), meta=("m", "f8")).compute()


@wrong("02.2", points=1, hint="may hold no delay at all")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(np.mean(means(ddf)))


@wrong("02.2", points=2, hint="A mean of means")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(np.nanmean(means(ddf)))


@wrong("02.2", points=2, hint="A mean of means")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(np.mean(np.nan_to_num(means(ddf))))


@wrong("02.2", points=2, hint="Divided by all rows")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(ddf["arr_delay"].sum().compute()) / len(ddf)


@wrong("02.2", points=2, hint="Weighed by rows")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    rows = ddf.map_partitions(len).compute()
    return float((np.nan_to_num(means(ddf)) * rows).sum() / rows.sum())


@wrong("02.2", points=2, hint="one partition only")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(ddf.partitions[0]["arr_delay"].mean().compute())


@wrong("02.2", points=2, hint="That is the total")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(ddf["arr_delay"].sum().compute())


@wrong("02.2", points=4, hint="Rows came to this process")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(ddf.compute()["arr_delay"].mean())


@wrong("02.2", points=4, hint="Rows came to this process")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    delays = [part["arr_delay"].dropna().compute() for part in ddf.partitions]
    return float(sum(delay.sum() for delay in delays) / sum(map(len, delays)))


@right("02.2")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    return float(ddf["arr_delay"].mean().compute())


@right("02.2")
def mean_delay(ddf, late):
    ddf = ddf[ddf["dep_delay"] > late]
    delays = [delayed(lambda part: part["arr_delay"].dropna())(part) for part in ddf.to_delayed()]
    total = delayed(sum)([delayed(lambda delay: float(delay.sum()))(delay) for delay in delays])
    count = delayed(sum)([delayed(len)(delay) for delay in delays])
    return (total / count).compute()


@wrong("02.2", points=2, hint="only those count that left late")
def mean_delay(ddf, late):
    return float(ddf["arr_delay"].mean().compute())


@wrong("02.2", points=2, hint="more than that is late")
def mean_delay(ddf, late):
    return float(ddf[ddf["dep_delay"] >= late]["arr_delay"].mean().compute())


# 02.3


@wrong("02.3", points=0, hint="reads later")
def read_months(paths, columns):
    tables = [xdf.read_csv(path, dtype=dtypes(FLIGHTS))[columns] for path in paths]
    return xdf.concat(tables, ignore_index=True)


@wrong("02.3", points=0, hint="reads every row itself")
def read_months(paths, columns):
    tables = [xdf.read_csv(path, dtype=dtypes(FLIGHTS))[columns] for path in paths]
    return dd.from_pandas(xdf.concat(tables, ignore_index=True), npartitions=len(paths))


@wrong("02.3", points=0, hint="takes all paths at once")
def read_months(paths, columns):
    return [dd.read_csv(path, dtype=dtypes(FLIGHTS))[columns] for path in paths]


@wrong("02.3", points=1, hint="more columns than were asked for")
def read_months(paths, columns):
    return dd.read_csv(paths, dtype=dtypes(FLIGHTS))


@wrong("02.3", points=1, hint="usecols keeps the order of the file")
def read_months(paths, columns):
    kinds = {name: dtypes(FLIGHTS)[name] for name in columns}
    return dd.read_csv(paths, dtype=kinds, usecols=columns)


@wrong("02.3", points=2, hint="no dtype is named")
def read_months(paths, columns):
    return dd.read_csv(paths)[columns]


@wrong("02.3", points=3, hint="Only one file")
def read_months(paths, columns):
    return dd.read_csv(paths[0], dtype=dtypes(FLIGHTS))[columns]


@wrong("02.3", points=3, hint="each file should be one partition")
def read_months(paths, columns):
    return dd.read_csv(paths, dtype=dtypes(FLIGHTS))[columns].repartition(npartitions=1)


@wrong("02.3", points=3, hint="in the order of paths")
def read_months(paths, columns):
    return dd.read_csv(paths[::-1], dtype=dtypes(FLIGHTS))[columns]


@wrong("02.3", points=3, hint="not in `paths`")
def read_months(paths, columns):
    return dd.read_csv(str(paths[0].parent / "*.csv"), dtype=dtypes(FLIGHTS))[columns]


@wrong("02.3", points=3, hint="in the order of paths")
def read_months(paths, columns):
    return dd.read_csv(sorted(paths), dtype=dtypes(FLIGHTS))[columns]


@right("02.3")
def read_months(paths, columns):
    def read(path):
        return xdf.read_csv(path, dtype=dtypes(FLIGHTS))[columns]

    meta = xdf.read_csv(paths[0], dtype=dtypes(FLIGHTS), nrows=5)[columns].head(0)
    return dd.from_map(read, paths, meta=meta)


@right("02.3")
def read_months(paths, columns):
    months = [dd.read_csv(path, dtype=dtypes(FLIGHTS), blocksize=None) for path in paths]
    return dd.concat(months)[columns]


# 02.4


def slices(part, rows):
    return [part.iloc[start : start + rows] for start in range(0, len(part), rows)]


@wrong("02.4", points=0, hint="in one table in this process")
def balance(ddf, rows):
    return ddf.compute()


@wrong("02.4", points=0, hint="a list of pieces")
def balance(ddf, rows):
    return [piece for part in ddf.to_delayed() for piece in slices(part.compute(), rows)]


@wrong("02.4", points=1, hint="Rows were lost")
def balance(ddf, rows):
    return ddf.map_partitions(lambda part: part.head(rows))


@wrong("02.4", points=1, hint="some are there twice")
def balance(ddf, rows):
    starts = range(0, len(ddf.partitions[0]), rows)
    pieces = [
        ddf.partitions[0].map_partitions(lambda p, s: p.iloc[s : s + rows], s) for s in starts
    ]
    return dd.concat([*pieces, ddf.partitions[0:]])


@wrong("02.4", points=2, hint="in another order")
def balance(ddf, rows):
    step = -(-max(ddf.map_partitions(len).compute()) // rows)
    return dd.concat([ddf.map_partitions(lambda p, k: p.iloc[k::step], k) for k in range(step)])


@wrong("02.4", points=3, hint="says nothing about their sizes")
def balance(ddf, rows):
    return ddf.repartition(npartitions=-(-len(ddf) // rows))


@wrong("02.4", points=3, hint="says nothing about their sizes")
def balance(ddf, rows):
    return ddf.repartition(npartitions=ddf.npartitions * 2 - 1)


@wrong("02.4", points=3, hint="more rows than allowed")
def balance(ddf, rows):
    return ddf.repartition(npartitions=ddf.npartitions * 3)


@wrong("02.4", points=3, hint="Round up")
def balance(ddf, rows):
    largest = int(ddf.map_partitions(len).compute().max())
    return ddf.repartition(npartitions=ddf.npartitions * (largest // rows))


@wrong("02.4", points=4, hint="far more partitions than needed")
def balance(ddf, rows):
    sizes = ddf.map_partitions(len).compute()
    cut = [
        part.repartition(npartitions=max(1, size))
        for part, size in zip(ddf.partitions, sizes, strict=True)
    ]
    return dd.concat(cut)


@wrong("02.4", points=5, hint="Rows came to this process")
def balance(ddf, rows):
    return dd.from_pandas(to_host(ddf.compute()).reset_index(drop=True), chunksize=rows)


@right("02.4")
def balance(ddf, rows):
    sizes = ddf.map_partitions(len).compute()
    cut = [
        part.repartition(npartitions=max(1, -(-size // rows)))
        for part, size in zip(ddf.partitions, sizes, strict=True)
    ]
    return dd.concat(cut)


@right("02.4")
def balance(ddf, rows):
    sizes = ddf.map_partitions(len).compute()
    pieces = [
        delayed(lambda part, start: part.iloc[start : start + rows])(part, start)
        for part, size in zip(ddf.to_delayed(), sizes, strict=True)
        for start in range(0, size, rows)
    ]
    return dd.from_delayed(pieces, meta=ddf._meta)


# 02.5


@wrong("02.5", points=0, hint="the tables themselves")
def pin_months(client, tables, homes):
    return client.gather(client.scatter(tables))


@wrong("02.5", points=0, hint="one future")
def pin_months(client, tables, homes):
    return client.scatter(tables[0], workers=homes)


@wrong("02.5", points=1, hint="future i belongs to table i")
def pin_months(client, tables, homes):
    pairs = sorted(zip(homes, tables, strict=True), key=lambda pair: (pair[0], len(pair[1])))
    return [client.scatter(table, workers=[home]) for home, table in pairs[::-1]]


@wrong("02.5", points=2, hint="took turns")
def pin_months(client, tables, homes):
    return client.scatter(tables)


@wrong("02.5", points=2, hint="took turns")
def pin_months(client, tables, homes):
    return client.scatter(tables, workers=homes)


@wrong("02.5", points=2, hint="on one worker")
def pin_months(client, tables, homes):
    return client.scatter(tables, workers=homes[:1])


@wrong("02.5", points=2, hint="in several places")
def pin_months(client, tables, homes):
    return client.scatter(tables, broadcast=True)


@right("02.5")
def pin_months(client, tables, homes):
    def same(table):
        return table

    pairs = zip(tables, homes, strict=True)
    return [client.submit(same, table, workers=home, pure=False) for table, home in pairs]


@right("02.5")
def pin_months(client, tables, homes):
    futures = []
    for table, home in zip(tables, homes, strict=True):
        futures += client.scatter([table], workers=[home], hash=False)
    return futures
