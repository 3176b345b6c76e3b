"""A cluster in a cloud, by dask-cloudprovider. Not run here, and it costs money.

Needs the package dask-cloudprovider[aws] and credentials of the cloud; Azure, Google Cloud,
DigitalOcean and Hetzner have classes of the same form. The image is one with this repository
installed, as compose.yaml builds it. Coiled (https://docs.coiled.io) does the same as a service.
"""

from dask_cloudprovider.aws import EC2Cluster

if __name__ == "__main__":
    with EC2Cluster(
        region="REGION",
        docker_image="REGISTRY/course:0.2.0",
        instance_type="m6i.large",  # with a GPU: g5.xlarge, and worker_class below
        # worker_class="dask_cuda.CUDAWorker",
        n_workers=2,
        security=True,  # TLS with certificates of its own: the cluster is on the internet
        env_vars={"COURSE_DATA": "/tmp/course"},  # no shared disk: lessons 02 and 07 say so
        auto_shutdown=True,  # the machines end when the cluster does
    ) as cluster:
        client = cluster.get_client()
        print(cluster.scheduler_address, "with", len(client.nthreads()), "workers")
        input("Return ends the cluster and its machines. ")
