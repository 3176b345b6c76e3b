"""A cluster on hosts that you reach by SSH. Not run here: adapt the capital letters.

Needs the package asyncssh here, and on every host this repository installed, your public key, and
the files of `python -m helpers.certificates` that the host needs, all at the same paths. The first
host runs the scheduler. The settings below travel to the hosts by SSH.
"""

import dask
from distributed import SSHCluster

TLS = "/COURSE/tls"

if __name__ == "__main__":
    files = {"ca-file": f"{TLS}/ca.pem"}
    for part in ("client", "scheduler", "worker"):
        files[part] = {"cert": f"{TLS}/{part}.pem", "key": f"{TLS}/{part}.key"}
    dask.config.set({"distributed.comm.tls": files, "distributed.comm.require-encryption": True})
    dask.config.set({"distributed.scheduler.worker-ttl": "30 s"})
    cluster = SSHCluster(
        ["HOST_1", "HOST_1", "HOST_2", "HOST_3"],  # the scheduler, then a worker for each entry
        connect_options={"username": "YOU", "known_hosts": "KNOWN_HOSTS_FILE"},
        scheduler_options={"protocol": "tls", "port": 8786, "dashboard_address": "127.0.0.1:8787"},
        worker_options={"nthreads": 1, "memory_limit": "8GB"},
        remote_python="/COURSE/.venv/bin/python",
        # On GPUs, one worker for each: worker_class="dask_cuda.CUDAWorker", without worker_options
    )
    client = cluster.get_client()
    print(cluster.scheduler_address, "with", len(client.nthreads()), "workers")
    input("Return ends the cluster. ")
    cluster.close()
