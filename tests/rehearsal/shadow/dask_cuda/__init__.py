"""A stand-in for dask-cuda: one process of one thread for each GPU."""

import os

from distributed import LocalCluster

OPTIONS = {
    "rmm_pool_size", "rmm_async", "enable_cudf_spill", "device_memory_limit", "protocol",
    "pre_import",
}  # fmt: skip


class LocalCUDACluster(LocalCluster):
    """Workers, each with its own GPU first in CUDA_VISIBLE_DEVICES."""

    def __init__(self, CUDA_VISIBLE_DEVICES=None, n_workers=None, **options):
        if not options.pop("processes", True):
            raise ValueError("Processes are necessary in order to use multiple GPUs with Dask")
        if options.get("rmm_async") and options.get("rmm_pool_size") is not None:
            raise ValueError("rmm_pool_size and rmm_async together")
        self.gpus = int(os.environ["REHEARSAL_GPUS"])
        n_workers = self.gpus if n_workers is None else n_workers
        if n_workers > self.gpus:
            raise ValueError(f"Number of workers {n_workers} cannot be more than {self.gpus} GPUs")
        kept = {key: value for key, value in options.items() if key not in OPTIONS}
        super().__init__(n_workers=n_workers, threads_per_worker=1, **kept)

    def new_worker_spec(self):
        spec = super().new_worker_spec()
        for name, worker in spec.items():
            order = [str((int(name) + i) % self.gpus) for i in range(self.gpus)]
            options = dict(worker["options"])
            options["env"] = {**options.get("env", {}), "CUDA_VISIBLE_DEVICES": ",".join(order)}
            spec[name] = {**worker, "options": options}
        return spec
