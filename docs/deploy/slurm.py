"""A cluster of SLURM jobs, by dask-jobqueue. Not run here: adapt the capital letters.

Needs the package dask-jobqueue in the course's environment, on a disk that all nodes share. Run it
where jobs may be sent from; the scheduler and this program stay there.
"""

from dask_jobqueue import SLURMCluster
from distributed import Security

if __name__ == "__main__":
    cluster = SLURMCluster(
        queue="PARTITION",
        account="ACCOUNT",
        walltime="01:00:00",
        cores=1,  # of a job; a worker has one thread, as in the lessons
        processes=1,
        memory="8GB",
        interface="NETWORK_CARD",  # by which the nodes reach each other: ib0, eth0
        local_directory="$TMPDIR",  # the node's own disk
        protocol="tls://",
        security=Security.temporary(),
        shared_temp_directory="/SHARED/certificates",  # where jobs find the certificates
        job_script_prologue=["export COURSE_DATA=/SHARED/course"],
        # On GPUs, one job for each:
        # job_extra_directives=["--gpus-per-node=1"], worker_command="dask_cuda.cli",
    )
    print(cluster.job_script())  # what SLURM gets
    cluster.adapt(minimum_jobs=1, maximum_jobs=8)  # or cluster.scale(jobs=4)
    client = cluster.get_client()
    print(cluster.scheduler_address, cluster.dashboard_link)
    input("Return ends the cluster and its jobs. ")
    cluster.close()
