"""Write shadow/names.json from the real packages; run where RAPIDS is installed.

``python -m tests.rehearsal.names_of``
"""

import json
from pathlib import Path

FILE = Path(__file__).parent / "shadow" / "names.json"


def names() -> dict[str, list[str]]:
    """Return the public names, and the keywords of what the stand-ins define."""
    import inspect

    import cuml.cluster
    import cuml.dask.cluster
    import cupy
    import dask_cuda

    def keywords(call):
        return sorted(set(inspect.signature(call).parameters) - {"self"})

    return {
        "cupy": sorted(name for name in dir(cupy) if not name.startswith("_")),
        "cupy.ndarray": sorted(dir(cupy.ndarray)),
        "cuml.cluster.KMeans": keywords(cuml.cluster.KMeans.__init__),
        "cuml.dask.cluster.KMeans": keywords(cuml.dask.cluster.KMeans.__init__),
        "dask_cuda.LocalCUDACluster": keywords(dask_cuda.LocalCUDACluster.__init__),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(names(), indent=0) + "\n", encoding="utf-8")
