"""Run the peers' tests of KMeans against ours, and print a line of counts for each suite.

``python -m tests.peers`` runs scikit-learn's, which are installed with it. ``--dask-ml FOLDER``
and ``--cuml FOLDER`` take a checkout of those repositories, whose tests are in no package. Only
imports are adapted, in copies in a temporary folder. A test that is not for us, or that asks for
what we do not offer, stands in a table below, with the reason. The status is 1 if another fails.
"""

import argparse
import ast
import importlib.util
import re
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from tests.peers import adapters

# Of other functions and classes, and of other algorithms and inputs than ours.
NOT_OURS = (
    r"(?i)minibatch|elkan|sparse|csr|plusplus|k_means_function|euclidean_distance|test_inertia"
    r"|relocate_empty|is_same_clustering|lambda|callable|init2|init3|param2|param4|copyx|n_threads"
    r"|test_row_norms|test_too_small|test_check_estimator"
)
# By suite: what of a test's name tells it, and why it may fail.
EXPECTED = {
    "scikit-learn": {
        "n_init_auto|init_auto_with": "they read the private attribute _n_init",
        "sample_weight_init|sample_weight_zero": "they call the private method _init_centroids",
    },
    "dask-ml": {
        "test_empty_chunks": "an empty chunk stays, so that labels have the chunks of X",
        "test_invalid_init": "k_init is a function of dask-ml",
    },
    "cuML": {
        "KMeansMG": "the same is refused in other words: theirs name a class of cuML",
        "partition_too_small": "random starts come from all workers: no partition is too small",
    },
}


class Suite:
    """A plugin that leaves out what is not ours, and counts."""

    def __init__(self, name, client):
        self.expected = EXPECTED[name.partition(",")[0]]
        self.dask, self.counts, self.failed, self.excused = client, {}, [], {}

    def pytest_generate_tests(self, metafunc):
        """One seed, where scikit-learn would take it from the environment."""
        if "global_random_seed" in metafunc.fixturenames:
            metafunc.parametrize("global_random_seed", [42])

    @pytest.fixture
    def global_dtype(self):
        """The dtype that scikit-learn takes by default."""
        return np.float64

    @pytest.fixture
    def client(self):
        """A client, as cuML's tests ask for it."""
        return self.dask

    def pytest_collection_modifyitems(self, items):
        """Leave out tests of other things."""
        items[:] = [item for item in items if not re.search(NOT_OURS, item.name)]

    def pytest_runtest_logreport(self, report):
        """Count, and keep the failures."""
        if report.when != "call" and not (report.failed or report.skipped):
            return
        outcome, name = report.outcome, report.nodeid.partition("::")[2]
        reasons = [why for part, why in self.expected.items() if re.search(part, name)]
        if report.failed and reasons:
            outcome = "not offered"
            self.excused.setdefault(reasons[0], []).append(name)
        elif report.failed:
            self.failed.append(f"{name}: {str(report.longrepr).strip().splitlines()[-1][:150]}")
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def show(self, name):
        """Print the counts, what is not offered, and what failed."""
        print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in sorted(self.counts.items())))
        for reason, names in self.excused.items():
            print(f"    not offered ({len(names)}): {reason}")
        print(textwrap.indent("\n".join(self.failed), "    FAILED ") or "", flush=True)


def source_of(module):
    """Text of an installed module, which is not imported."""
    return Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")


def run(name, source, client, replaced=(), conftest=""):
    """Run a suite's source, in which these names are ours; True if nothing failed."""
    lines = source.splitlines()
    imports = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    end = imports[-1].end_lineno  # ours come last
    ours = [f"from tests.peers.adapters import {theirs} as {here}" for here, theirs in replaced]
    suite = Suite(name, client)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"test_{abs(hash(name))}.py")
        file.write_text("\n".join([*lines[:end], *ours, *lines[end:]]), encoding="utf-8")
        if conftest:
            Path(folder, "conftest.py").write_text(conftest, encoding="utf-8")
        settings = Path(folder, "pytest.ini")
        settings.write_text("[pytest]\n", encoding="utf-8")
        options = ["-p", "no:cacheprovider", "-p", "no:terminal", "--rootdir", folder]
        pytest.main([*options, "-c", str(settings), str(file)], plugins=[suite])
    suite.show(name)
    return not suite.failed and suite.counts.get("passed", 0) > 0


def main(arguments=None):
    """Read the arguments, and run every suite that is at hand."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument("--dask-ml", type=Path, help="a checkout of dask-ml")
    parser.add_argument("--cuml", type=Path, help="a checkout of cuML")
    options = parser.parse_args(arguments)
    free = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, processes=False, **free) as cluster, Client(cluster) as client:
        plain = source_of("sklearn.cluster.tests.test_k_means")
        good = run("scikit-learn", plain, client, [("KMeans", "KMeans")])
        good &= run("scikit-learn, on Dask", plain, client, [("KMeans", "KMeansOnDask")])
        if folder := options.dask_ml:
            text = (folder / "tests" / "test_kmeans.py").read_text(encoding="utf-8")
            text = text.replace("dask_ml.cluster.KMeans(", "DKKMeans(")
            fixtures = (folder / "tests" / "conftest.py").read_text(encoding="utf-8")
            good &= run("dask-ml", text, client, [("DKKMeans", "KMeans")], fixtures)
        if folder := options.cuml:
            python = folder / "python" / "cuml"
            text = (python / "cuml_accel_tests" / "integration" / "test_kmeans.py").read_text()
            good &= run("cuML, accelerated", text, client, [("KMeans", "KMeans")])
            adapters.cuml_modules(client)
            text = (python / "tests" / "dask" / "test_dask_kmeans.py").read_text(encoding="utf-8")
            good &= run("cuML, distributed", text, client)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
