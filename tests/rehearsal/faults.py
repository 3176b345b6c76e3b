"""Mistakes that only a GPU would notice, planted into copies of lessons.

A fault stands in a cell of its own before the right one, which then runs as ever. So one run of a
lesson shows the lesson's own outputs and what became of each fault.
"""

import ast
import copy
import re
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.notebook_format import output_text

MARK = "planted"
# Runs sources as cells do, up to the first that raises, and prints what they said.
PLANTED = """
def planted(*sources):
    import ast, contextlib, io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            for body in map(ast.parse, sources):
                last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
                exec(compile(body, "planted", "exec"), globals())
                if last is not None:
                    value = eval(compile(ast.Expression(last.value), "planted", "eval"), globals())
                    print("" if value is None else repr(value))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    print(said.getvalue())
"""
CONVERSIONS = r"(to_host|to_device|asarray|asnumpy)$"


class Fault(NamedTuple):
    """A change of a lesson's cell."""

    lesson: str
    old: str  # stands in one cell only
    new: str
    says: str  # words that the GPU's library says; empty: the cell prints something else
    then: str = ""  # a cell that shows it, where this one does not


IMPLICIT = "Implicit conversion to a NumPy array is not allowed"
ON_HOST = "Unsupported type <class 'numpy.ndarray'>"
LOOP = "object is not iterable. Consider using `.to_arrow()`"
NO_LIST = "cuDF does not support conversion to host memory via the `tolist()` method"
NO_ARRAY = "Implicit conversion to a host NumPy array via __array__ is not allowed"
CONCAT = "can only concatenate objects which are instances of"
JOIN = "right must be a Series or DataFrame"
TOL = "invalid parameter (tol<=0)"
# No lesson makes these mistakes: test_rules.py and tests/rapids compare the words.
ROWS = "cuDF does not support iteration of DataFrame via iterrows"
ARROW = "Implicit conversion to a host PyArrow object via __arrow_array__ is not allowed"
FROM = "from_pandas unsupported for object of type int"
COLUMNS = "Input array cannot be chunked along axis 1"
START = "init='k-means++' is not supported for KMeansMG."
PARAMETER = "Invalid parameter 'n_cluster' for `KMeans"
CLUSTERS = "n_clusters=0 should be a positive integer."
FAULTS = [
    # Lesson 01: tables, arrays, models
    Fault("01", "sorted(to_host(categories))", "sorted(categories)", LOOP),
    Fault("01", "to_host(table.isna().sum())", "table.isna().sum()", LOOP),
    Fault("01", "backend.to_device(weather())", "weather()", JOIN),
    Fault("01", "to_host(by_airport).sort_index()", "to_host(by_airport)", ""),
    Fault(
        "01",
        "to_host(arrived.groupby(",
        "(arrived.groupby(",
        NO_LIST,
        "by_hour.index.tolist()",
    ),
    Fault("01", "to_host(model.coef_) /", "model.coef_ /", ON_HOST),
    Fault("01", "xdf.concat([table[", "xdf.concat([host_table[", CONCAT),
    Fault("01", "speed = X[:, 3]", "speed = to_host(X[:, 3])", ON_HOST),
    Fault("01", 'table["distance"].values', 'table["distance"]', "has no attribute 'nbytes'"),
    Fault("01", "arrived[names].values", "arrived[names].to_numpy()", ON_HOST, "xp.sqrt(X)"),
    # Lesson 02: partitions
    Fault("02", 'to_host(months["carrier"].v', '(months["carrier"].v', LOOP),
    Fault("02", "to_host(pairs.sum().compute())", "pairs.sum().compute()", LOOP),
    Fault("02", 'to_host(two.groupby("origin")', '(two.groupby("origin")', LOOP),
    # Lesson 03: arrays on workers, KMeans
    Fault("03", "pushed, tol=1e-6).fit(X)\n", "pushed, tol=0).fit(X)\n", TOL),
    Fault("03", "n_init=1, tol=1e-6)", "n_init=1, tol=0)", TOL),
    Fault("03", "model.transform(few)", "model.transform(X)[:8_000]", "chunk sizes are unknown"),
    Fault("03", "*to_host(clouds).T, c=", "*clouds.T, c=", IMPLICIT),
    Fault("03", "few.fit(to_host(candidates)", "few.fit(candidates", IMPLICIT),
    Fault("03", "xp.asarray(rng.random(len(clouds)))", "rng.random(len(clouds))", ON_HOST),
    Fault("03", "adjusted_rand_score(to_host(y)", "adjusted_rand_score(y", IMPLICIT),
    Fault("03", "(y), to_host(model.labels_))", "(y), model.labels_)", IMPLICIT),
    Fault("03", "partial_sums(part, xp.asarray(centers))", "partial_sums(part, centers)", ON_HOST)
    ._replace(then="local_step(points, to_host(start))"),
    Fault("03", "to_host(air).join(to_host(late))", "air.join(to_host(late))", JOIN),
    Fault("03", "lazy = model.predict(X)", "import pickle\npickle.dumps(model)", "'result'"),
    Fault("03", "init=day_start, tol", "init=z, tol", "does not match the number of clusters"),
    Fault("03", "da.from_array(xp.asarray(images)", "da.from_array(xp.asarray(images.astype(str))",
          "Unsupported dtype"),
    # Lesson 04: a fit in pieces
    Fault("04", "model.n_iter_ > 1", "model.n_iter_ == 2", "only one: True", """
from dask.array import from_array
from numpy.random import default_rng

noise = backend.to_device(default_rng(0).normal(size=(3_000, 8)).astype("float32"))
noise = from_array(noise, chunks=(1_000, 8))
fits = lambda **start: backend.KMeans(n_clusters=5, tol=1e-6, random_state=0, **start)
print("only one:", len([*pieces(Path(folder.name, "planted.npy"), fits, noise)]) == 1)"""),
    # Lesson 05: to the host, to scikit-learn
    Fault("05", "centers = to_host(model.cluster_centers_)", "centers = model.cluster_centers_",
          ON_HOST, "centers - __import__('numpy').zeros((8, 20))"),
    Fault("05", ", chunk_rows=10_000, backend=\"cpu\")", ", chunk_rows=10_000)", IMPLICIT),
    Fault("05", "rows = to_host(test)", "rows = test.compute()", IMPLICIT,
          "np.asarray(rows)"),
    Fault("05", "far_on_workers = da.from_array(backend.to_device(far)",
          "far_on_workers = da.from_array(backend.to_device(far) + far", ON_HOST),
]  # fmt: skip


def plant(notebook: NotebookNode, changes: list[tuple[int, list[str]]]) -> NotebookNode:
    """Return a copy with a cell before each of the given ones that runs other sources."""
    new = copy.deepcopy(notebook)
    before: dict[int, list[NotebookNode]] = {}
    for index, sources in changes:
        cell = new_code_cell(f"planted(*{sources!r})", metadata={"tags": [MARK]})
        before.setdefault(index, []).append(cell)
    first = next(i for i, cell in enumerate(new.cells) if cell.cell_type == "code") + 1
    before.setdefault(first, []).insert(0, new_code_cell(PLANTED, metadata={"tags": [MARK]}))
    new.cells = [each for i, cell in enumerate(new.cells) for each in (*before.get(i, ()), cell)]
    return new


def unplanted(notebook: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Take the planted cells out of an executed copy; return also what each of them said."""
    new = copy.copy(notebook)
    said = [
        output_text(cell.outputs) for cell in new.cells if MARK in cell.metadata.get("tags", ())
    ]
    new.cells = [cell for cell in new.cells if MARK not in cell.metadata.get("tags", ())]
    return new, said[1:]


def place(notebook: NotebookNode, fault: Fault) -> int:
    """Return the number of the one cell that a fault changes."""
    found = [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and fault.old in cell.source
    ]
    if len(found) != 1:
        raise ValueError(f"{fault.old!r} stands in {len(found)} cells of lesson {fault.lesson}")
    return found[0]


def without_conversions(source: str) -> list[str]:
    """Return the source again and again, each time without one call that converts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and re.search(CONVERSIONS, ast.unparse(node.func)):
            whole = ast.get_source_segment(source, node)
            inner = ast.get_source_segment(source, node.args[0])
            found.append(source.replace(whole, f"({inner})", 1))
    return found


def up_to_use(notebook: NotebookNode, index: int) -> list[NotebookNode]:
    """Return a cell, and those up to one that uses what it made if one of the next three does.

    What ends the cluster, or raises on purpose, is not run twice.
    """
    cells, made = [cell for cell in notebook.cells[index:] if cell.cell_type == "code"][:4], set()
    for node in ast.walk(ast.parse(cells[0].source)):
        if isinstance(node, ast.FunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    for count, cell in enumerate(cells[1:], start=2):
        raising = "raises-exception" in cell.metadata.get("tags", ())
        if raising or cell.source.startswith("%") or "close_cluster" in cell.source:
            break
        if made & set(re.findall(r"\w+", cell.source)):
            return cells[:count]
    return cells[:1]
