"""Where should the blocks of an incremental training wait? Time and memory, within one run.

``python -m tests.benchmarks.incremental`` takes about ten minutes on 2 cores, 12 GiB of memory and
4 GiB of disk; ``--rows 1_000_000`` takes a tenth of that, ``--lazy-passes 2`` measures two of the
ten lazy passes and counts them fivefold. Nothing is asserted: speed depends on the
machine, and a busy one makes every ratio noisy. Memory is that of all processes of the run
together, seen every 20 ms: resident pages, those that two processes share counted twice.
"""

import argparse
import importlib
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from helpers.cluster import close_cluster, start_cluster

GIB, COLUMNS, WORKERS, PASSES = 2**30, 100, 2, 10
PARTS = ("X-train", "X-test", "y-train", "y-test")
cost = {}  # what was measured: seconds and the highest memory


def memory():
    """Resident bytes of this process and all that it started."""
    me, total = psutil.Process(), 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has just ended
            pass
    return total


@contextmanager
def watch(name):
    """Measure what runs inside, print it, and keep it in `cost`."""
    seen, done = [memory()], threading.Event()

    def look():
        while not done.wait(0.02):
            seen.append(memory())

    thread, start = threading.Thread(target=look), time.perf_counter()
    thread.start()
    try:
        yield
    finally:
        seconds = time.perf_counter() - start
        done.set()
        thread.join()
    cost[name] = seconds, max(seen) / GIB
    start, peak = seen[0] / GIB, cost[name][1]
    print(f"  {name:34} {seconds:7.1f} s   {peak:5.2f} GiB (before: {start:.2f})", flush=True)


def problem(rows, chunks):
    """The seed's problem, lazily: rows made and split by dask-ml, in `chunks` chunks."""
    from dask_ml.datasets import make_classification
    from dask_ml.model_selection import train_test_split

    X, y = make_classification(
        rows, COLUMNS, n_informative=50, chunks=rows // chunks, random_state=0
    )
    return train_test_split(X, y, random_state=0)


def new_model():
    from sklearn.linear_model import SGDClassifier

    rule = {"loss": "hinge", "penalty": None, "learning_rate": "pa1", "eta0": 1e-6}
    return SGDClassifier(**rule, random_state=0)


def new_incremental():
    from dask_ml.wrappers import Incremental

    return Incremental(new_model(), scoring="accuracy", random_state=0)


def lazy(rows, passes):
    """Passes and scores; the rows are made anew in each of them."""
    X_train, X_test, y_train, y_test = problem(rows, 10)
    inc = new_incremental()
    with watch("lazy: first pass"):
        inc.partial_fit(X_train, y_train, classes=[0, 1])
    with watch("lazy: first score"):
        print(f"  accuracy {inc.score(X_test, y_test):.4f}")
    if passes == 1:
        return
    with watch(f"lazy: {passes - 1} more passes and scores"):
        for _ in range(passes - 1):
            inc.partial_fit(X_train, y_train, classes=[0, 1])
            inc.score(X_test, y_test)


def persisted(client, rows):
    """Rows made once and kept on the workers."""
    from distributed import wait

    with watch("persisted: make once"):
        kept = client.persist(problem(rows, 10))
        wait(kept)
    X_train, X_test, y_train, y_test = kept
    inc = new_incremental()
    with watch("persisted: one pass"):
        inc.partial_fit(X_train, y_train, classes=[0, 1])
    with watch("persisted: one score"):
        print(f"  accuracy {inc.score(X_test, y_test):.4f}")


def write_block(folder, number, *parts):
    """Store one block: rows as float32, labels as int8."""
    from numpy import save

    for name, part in zip(PARTS, parts, strict=True):
        save(folder / f"{name}-{number:03d}.npy", part.astype("f4" if part.ndim > 1 else "i1"))


def read_block(folder, kind, number):
    """Map one block; its pages are read when they are touched."""
    from numpy import load

    return [load(folder / f"{part}-{kind}-{number:03d}.npy", mmap_mode="r") for part in "Xy"]


def learn(folder, model, number):
    return model.partial_fit(*read_block(folder, "train", number), classes=[0, 1])


def right(folder, model, number):
    X, y = read_block(folder, "test", number)
    return int((model.predict(X) == y).sum()), len(y)


def write(folder, rows, blocks):
    """Make the rows once, in small blocks, and write each where it was made."""
    import dask

    with watch("disk: write once"):
        pieces = [a.to_delayed(optimize_graph=False).ravel() for a in problem(rows, blocks)]
        task = dask.delayed(partial(write_block, folder))
        dask.compute(*(task(n, *block) for n, block in enumerate(zip(*pieces, strict=True))))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"  on disk {size / GIB:.2f} GiB in {blocks} blocks")


def train_from_disk(client, folder, blocks):
    """Ten passes and ten scores over the blocks, each opened by the task that needs it."""
    import numpy as np

    random = np.random.RandomState(0)

    def one_pass(model):
        for number in random.permutation(blocks).tolist():
            model = client.submit(partial(learn, folder), model, number, pure=False)
        return model.result()

    def score(model):
        futures = client.map(partial(right, folder), [model] * blocks, range(blocks), pure=False)
        hits, rows = np.sum(client.gather(futures), axis=0)
        return hits / rows

    with watch("train: first pass"):
        model = one_pass(new_model())
    with watch("train: first score"):
        print(f"  accuracy {score(client.scatter(model, hash=False)):.4f}")
    with watch(f"train: {PASSES - 1} more passes and scores"):
        for _ in range(PASSES - 1):
            model = one_pass(model)
            score(client.scatter(model, hash=False))


def incremental_from_disk(folder, blocks):
    """The same files as a Dask array, for `Incremental`."""
    import dask
    import dask.array as da

    def mapped(part, kind):
        arrays = []
        for number in range(blocks):
            path = folder / f"{part}-{kind}-{number:03d}.npy"
            head = read_block(folder, kind, number)["Xy".index(part)]
            block = dask.delayed(load)(path)
            arrays.append(da.from_delayed(block, head.shape, head.dtype))
        return da.concatenate(arrays)

    with watch("mapped: one pass of Incremental"):
        inc = new_incremental()
        inc.partial_fit(mapped("X", "train"), mapped("y", "train"), classes=[0, 1])


def load(path):
    from numpy import load

    return load(path, mmap_mode="r")


def summary(lazy_passes):
    """The goals, beside what was measured."""
    training = max(memory for name, (_, memory) in cost.items() if name.startswith("train"))
    disk = sum(seconds for name, (seconds, _) in cost.items() if name.startswith("train"))
    lazy = sum(seconds for name, (seconds, _) in cost.items() if name.startswith("lazy"))
    lazy *= PASSES / lazy_passes
    writing, peak = cost["disk: write once"]
    share = cost["train: first pass"][0] / cost["lazy: first pass"][0]
    print("goals:")
    print(f"  peak while training from disk        {training:.2f} GiB (goal: at most 1)")
    print(f"  peak while writing                   {peak:.2f} GiB (goal: at most 2)")
    print(f"  a pass, disk / lazy                  {share:.2f}     (goal: at most 0.20)")
    print(f"  ten passes and scores, lazy / disk   {lazy / disk:.1f}      (goal: at least 5)")
    print(f"  the same, writing included           {lazy / (disk + writing):.1f}")
    if lazy_passes < PASSES:
        print(f"  (of the lazy passes {lazy_passes} were measured)")


def start(*modules):
    """Start new workers, and load the libraries that they need, so that no pass waits for it."""
    close_cluster()
    client = start_cluster("cpu", n_workers=WORKERS)
    for module in modules:
        importlib.import_module(module)
        client.run(importlib.import_module, module)
    return client


def main(rows, lazy_passes):
    blocks = max(10, rows // 100_000)
    try:
        with TemporaryDirectory() as folder:
            print(f"{rows:,} x {COLUMNS}, {WORKERS} workers:")
            start("dask.array")
            write(Path(folder), rows, blocks)
            train_from_disk(start("sklearn.linear_model"), Path(folder), blocks)
            start("dask_ml.wrappers")
            incremental_from_disk(Path(folder), blocks)
        start("dask_ml.wrappers")
        lazy(rows, lazy_passes)
        persisted(start("dask_ml.wrappers"), rows)
    finally:
        close_cluster()
    summary(lazy_passes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--lazy-passes", type=int, default=PASSES, choices=range(1, PASSES + 1))
    arguments = parser.parse_args()
    main(arguments.rows, arguments.lazy_passes)
