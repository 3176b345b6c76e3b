"""CPU or GPU, chosen once.

The only module that imports cudf, cupy, cuml and dask_cuda. A lesson says

>>> backend = get_backend()
>>> xp, xdf, ml = backend.xp, backend.xdf, backend.ml

and then writes ``xp.asarray``, ``xdf.DataFrame`` and ``ml.cluster.KMeans`` on either machine.
"""

import importlib
import os
from collections import deque
from dataclasses import dataclass

from helpers.machine import count_gpus, how_to_get_a_gpu, missing_gpu_packages, old_driver

NAMES = ("auto", "cpu", "gpu")

# role: (on the CPU, on the GPU). "module:name" stands for one name out of a module.
TWINS = {
    "xp": ("numpy", "cupy"),
    "xdf": ("pandas", "cudf"),
    "ml": ("sklearn", "cuml"),
    "LocalCluster": ("distributed:LocalCluster", "dask_cuda:LocalCUDACluster"),
    "KMeans": ("helpers.kmeans:DistributedKMeans", "cuml.dask.cluster:KMeans"),
}


_in_use = deque(maxlen=1)


@dataclass(frozen=True)
class Backend:
    """The libraries of one kind of machine; made by `get_backend`.

    Attributes
    ----------
    name : {"cpu", "gpu"}
    reason : str
        Why this one was chosen, as a sentence without a full stop.
    xp : module
        Arrays: NumPy or CuPy.
    xdf : module
        Tables: pandas or cuDF.
    ml : module
        Models: scikit-learn or cuML.
    LocalCluster : type
        Workers on this machine: ``distributed.LocalCluster`` or ``dask_cuda.LocalCUDACluster``.
    KMeans : type
        Distributed: `helpers.kmeans.DistributedKMeans` or ``cuml.dask.cluster.KMeans``.
    """

    name: str
    reason: str

    @property
    def is_gpu(self):
        """True on the GPU."""
        return self.name == "gpu"

    def __getattr__(self, role):
        # Libraries load when a lesson first asks for them, so choosing a backend costs nothing.
        if role not in TWINS:
            raise AttributeError(f"a backend has no {role!r}; it has {', '.join(TWINS)}")
        module, _, name = TWINS[role][self.is_gpu].partition(":")
        module = importlib.import_module(module)
        return getattr(module, name) if name else module

    def to_device(self, data):
        """Move host data to where this backend computes.

        Parameters
        ----------
        data : numpy.ndarray, pandas.DataFrame, pandas.Series or pandas.Index

        Returns
        -------
        The same object on the CPU; a CuPy array or a cuDF object on the GPU.

        Raises
        ------
        TypeError
            If `data` is none of these.

        Examples
        --------
        >>> import numpy as np
        >>> get_backend("cpu").to_device(np.arange(3))
        array([0, 1, 2])
        """
        import numpy as np
        import pandas as pd

        if isinstance(data, np.ndarray):
            return self.xp.asarray(data)
        if isinstance(data, pd.DataFrame | pd.Series | pd.Index):
            return self.xdf.from_pandas(data) if self.is_gpu else data
        raise TypeError(
            f"to_device moves NumPy arrays and pandas tables, not {type(data).__name__}; "
            "convert it first, for example with numpy.asarray"
        )

    def __str__(self):
        names = {"cpu": "pandas, NumPy, scikit-learn", "gpu": "cuDF, CuPy, cuML"}
        return f"backend: {self.name} ({names[self.name]}), because {self.reason}"


def get_backend(name="auto"):
    """Choose the CPU or the GPU libraries, and tell Dask.

    Parameters
    ----------
    name : {"auto", "cpu", "gpu"} or Backend
        ``"auto"`` takes the GPU if there is one and RAPIDS is installed; the environment
        variable ``COURSE_BACKEND`` overrides it. A `Backend` is returned as it is.

    Returns
    -------
    Backend

    Raises
    ------
    ValueError
        If the name is unknown.
    RuntimeError
        If the GPU was asked for and cannot be used; the message says what is missing.

    Notes
    -----
    Sets ``dataframe.backend`` and ``array.backend`` in `dask.config`, so that Dask's readers make
    pandas and NumPy, or cuDF and CuPy, partitions
    (https://docs.dask.org/en/stable/how-to/selecting-the-collection-backend.html).

    Examples
    --------
    >>> get_backend("cpu").xp.__name__
    'numpy'
    """
    backend = name if isinstance(name, Backend) else find_backend(name)
    _tell_dask(backend)
    _in_use.append(backend)
    return backend


def current_backend():
    """Return the backend that `get_backend` chose last; if it was never asked, ask it now."""
    return _in_use[-1] if _in_use else get_backend()


def find_backend(name):
    """Find a backend by its name, as `get_backend` does, but leave Dask as it is."""
    asked, source = name, f"backend={name!r} asks for it"
    if name == "auto":
        asked = os.environ.get("COURSE_BACKEND", "auto").strip().lower() or "auto"
        source = f"the environment variable COURSE_BACKEND={asked} asks for it"
    if asked not in NAMES:
        raise ValueError(f"unknown backend {asked!r}: choose one of {', '.join(NAMES)}")
    return _cpu_or_gpu(asked, source)


def _cpu_or_gpu(asked, source):
    if asked == "cpu":
        return Backend("cpu", source)
    gpus, found = count_gpus()
    packages = missing_gpu_packages()
    old = old_driver() if gpus else ""
    if gpus and not packages and not old:
        return Backend("gpu", found + " and RAPIDS are here" if asked == "auto" else source)
    if old:
        found = old
    elif gpus:
        found = f"RAPIDS is not complete, {', '.join(packages)} cannot be imported"
    if asked == "gpu":
        raise RuntimeError(
            f"The GPU cannot be used: {found}.\n"
            f"- driver and devices: {count_gpus()[1]}\n"
            f"- packages: {'missing ' + ', '.join(packages) if packages else 'all installed'}\n"
            + "".join(f"{line}\n" for line in how_to_get_a_gpu())
            + 'Run `nvidia-smi` to see the driver, or use backend="cpu": every lesson runs on it.'
        )
    return Backend("cpu", found)


def _tell_dask(backend):
    import dask

    tables, arrays = ("cudf", "cupy") if backend.is_gpu else ("pandas", "numpy")
    dask.config.set({"dataframe.backend": tables, "array.backend": arrays})


def to_host(data):
    """Bring data to the host: compute a Dask collection, copy GPU data to pandas and NumPy.

    Parameters
    ----------
    data : Dask, cuDF, CuPy, pandas or NumPy object, or a plain Python value
        Dask collections are computed whole: they must fit into the memory of this process.

    Returns
    -------
    pandas or NumPy object
        Anything that already is on the host comes back unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> to_host(np.arange(3))
    array([0, 1, 2])
    """
    if hasattr(data, "__dask_graph__"):
        data = data.compute()
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    if hasattr(data, "__cuda_array_interface__"):
        return data.get()
    return data
