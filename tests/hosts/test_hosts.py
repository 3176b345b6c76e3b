"""Two lessons on three hosts say the same, and leave the cluster as it was; a path is not seen.

``python -m tests.hosts`` runs all of them.
"""

import os

import pytest

from tests.__main__ import SLOWNESS
from tests.hosts.__main__ import as_expected, run, told
from tests.hosts.network import why_not

REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON != "", reason=REASON),
    pytest.mark.timeout(900 * float(os.environ.get(SLOWNESS, "1"))),
]


def test_lessons_on_three_hosts_say_the_same_and_leave_the_cluster_as_it_was():
    results = list(run(["03_mnmg_kmeans", "05_sklearn_conversion"]))
    assert len(results) == 2
    assert [told(result) for result in results if not as_expected(result, own_data=False)] == []
    # Rows and centres travelled over the hosts' network, not within one.
    assert all(result["sent"] > 1e6 for result in results)


def test_a_worker_that_does_not_see_the_data_is_named_by_the_lesson():
    (result,) = run(["02_data_partitioning"], options=["--own-data"])
    assert as_expected(result, own_data=True), told(result)
