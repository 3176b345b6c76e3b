"""Write shadow/names.json from the real packages: ``python -m tests.rehearsal.names_of``.

Run it where RAPIDS is installed; no GPU is needed. tests/rapids compares, and fails on drift.
"""

import inspect
import json
from pathlib import Path

FILE = Path(__file__).parent / "shadow" / "names.json"


def names() -> dict[str, list[str]]:
    """Return the public names of modules and classes, and the keywords of the estimators."""
    import cudf
    import cuml
    import cuml.cluster
    import cuml.dask.cluster
    import cupy
    import dask_cuda

    def public(place):
        return sorted(name for name in dir(place) if not name.startswith("_"))

    def keywords(call):
        return sorted(set(inspect.signature(call.__init__).parameters) - {"self"})

    groups = {"DataFrameGroupBy": cudf.core.groupby.groupby.DataFrameGroupBy}
    tables = {name: getattr(cudf, name) for name in ("DataFrame", "Series", "Index")} | groups
    estimators = {
        "cuml.cluster.KMeans": cuml.cluster.KMeans,
        "cuml.dask.cluster.KMeans": cuml.dask.cluster.KMeans,
        "cuml.linear_model.LinearRegression": cuml.linear_model.LinearRegression,
        "cuml.linear_model.LogisticRegression": cuml.linear_model.LogisticRegression,
        "cuml.decomposition.PCA": cuml.decomposition.PCA,
        "cuml.preprocessing.StandardScaler": cuml.preprocessing.StandardScaler,
        "dask_cuda.LocalCUDACluster": dask_cuda.LocalCUDACluster,
    }
    return {
        "cupy": public(cupy),
        "cupy.linalg": public(cupy.linalg),
        "cupy.random": public(cupy.random),
        "cupy.ndarray": public(cupy.ndarray),
        "cudf": public(cudf),
        **{f"cudf.{name}": public(table) for name, table in tables.items()},
        **{name: keywords(call) for name, call in estimators.items()},
    }


def as_text(found: dict[str, list[str]]) -> str:
    """Return one line for each place."""
    lines = [f"{json.dumps(place)}: {json.dumps(known)}" for place, known in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(as_text(names()), encoding="utf-8")
