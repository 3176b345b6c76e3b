"""A stand-in for dask-cuda: one process of one thread for each GPU."""

import json
import os
import warnings
from pathlib import Path

from distributed import LocalCluster

NAMES = json.loads((Path(__file__).parent.parent / "names.json").read_text(encoding="utf-8"))
OWN = set(NAMES["dask_cuda.LocalCUDACluster"]) - {"n_workers", "threads_per_worker", "memory_limit"}
OWN -= {"local_directory", "kwargs"}


class LocalCUDACluster(LocalCluster):
    """Workers, each with its own GPU first in CUDA_VISIBLE_DEVICES."""

    def __init__(self, CUDA_VISIBLE_DEVICES=None, n_workers=None, **options):
        if not options.pop("processes", True):
            raise ValueError("Processes are necessary in order to use multiple GPUs with Dask")
        if options.get("rmm_async") and options.get("rmm_pool_size") is not None:
            warnings.warn(
                "'rmm_pool_size' is not needed when 'rmm_async' is enabled and will raise an "
                "exception in the future.",
                FutureWarning,
                stacklevel=2,
            )
        self.gpus = int(os.environ["REHEARSAL_GPUS"])
        n_workers = self.gpus if n_workers is None else n_workers
        if n_workers > self.gpus:
            raise ValueError("Can not scale beyond visible devices", list(range(self.gpus)))
        kept = {key: value for key, value in options.items() if key not in OWN}
        super().__init__(n_workers=n_workers, **{"threads_per_worker": 1} | kept)

    def new_worker_spec(self):
        """Give each worker the same GPUs in another order."""
        spec = super().new_worker_spec()
        for name, worker in spec.items():
            order = ",".join(str((int(name) + i) % self.gpus) for i in range(self.gpus))
            env = {**worker["options"].get("env", {}), "CUDA_VISIBLE_DEVICES": order}
            spec[name] = {**worker, "options": {**worker["options"], "env": env}}
        return spec
