"""A lesson on three hosts whose disks are their own; ``python -m tests.hosts`` runs all."""

import os

import pytest

from tests.__main__ import SLOWNESS
from tests.hosts.__main__ import run, told
from tests.hosts.network import why_not

REASON = why_not()


@pytest.mark.skipif(REASON != "", reason=REASON)
@pytest.mark.timeout(900 * float(os.environ.get(SLOWNESS, "1")))
def test_a_lesson_on_three_hosts_says_the_same_and_leaves_the_cluster_as_it_was():
    (result,) = run(["05_sklearn_conversion"], options=["--own-data"])
    good = not (result["error"] or result["outputs"] or result["state"])
    assert good, told(result)
    assert result["sent"] > 1e6  # rows travelled over the hosts' network, not within one
