"""Two lessons on three hosts whose disks are their own; ``python -m tests.hosts`` runs all."""

import os

import pytest

from tests.__main__ import SLOWNESS
from tests.hosts.__main__ import as_expected, run, told
from tests.hosts.network import why_not

REASON = why_not()


@pytest.mark.skipif(REASON != "", reason=REASON)
@pytest.mark.timeout(900 * float(os.environ.get(SLOWNESS, "1")))
def test_lessons_on_three_hosts_say_the_same_and_leave_the_cluster_as_it_was():
    """Lesson 05 ends as on one machine; 02 names the workers that do not see its data."""
    lessons = ["02_data_partitioning", "05_sklearn_conversion"]
    results = list(run(lessons, options=["--own-data"]))
    assert [result["lesson"] for result in results] == lessons
    assert [told(result) for result in results if not as_expected(result, own_data=True)] == []
    # Rows travelled over the hosts' network, not within one.
    assert results[1]["sent"] > 1e6
