"""A cluster in this process, for the tests of KMeans."""

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="session")
def here():
    """Client of four workers that are threads; a test with another client may not close it."""
    free = "127.0.0.1:0"
    options = {"dashboard_address": free, "worker_dashboard_address": free}
    options |= {"processes": False, "threads_per_worker": 1}
    with LocalCluster(n_workers=4, **options) as cluster, Client(cluster) as client:
        yield client
