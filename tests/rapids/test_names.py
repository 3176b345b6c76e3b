"""Every name and keyword that the course uses on a GPU exists in the real packages.

No GPU is needed: the packages import without one. ``python3 run.py test --gpu tests/rapids``
installs them (4.9 GB) and runs this.
"""

import ast
import inspect
import warnings

import pytest

from helpers.backend import TWINS
from helpers.machine import missing_gpu_packages
from tests.rapids.uses import BEHIND, ONLY_GPU, Walker, all_uses, cpu_name, find, gpu_name

if missing := missing_gpu_packages():
    pytest.skip(
        f"{', '.join(missing)} cannot be imported: python3 run.py test --gpu tests/rapids",
        allow_module_level=True,
    )

USES = all_uses()


def signature(found, name):
    """The signature of what a name stands for, with the keywords of the class behind it."""
    parameters = inspect.signature(found).parameters
    if name in BEHIND:
        parameters = parameters | inspect.signature(find(BEHIND[name])).parameters
        parameters.pop("kwargs")
    return parameters


def as_text(use):
    return f"{use.name}({', '.join(use.keywords)})" if use.keywords else use.name


@pytest.mark.parametrize("use", USES, ids=as_text)
def test_the_name_exists_with_these_keywords(use):
    name = gpu_name(use.name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        found = find(name)
    assert ".. deprecated::" not in (inspect.getdoc(found) or ""), f"{use.where}: {name}"
    if use.keywords:
        parameters = signature(found, name)
        missing = [key for key in use.keywords if key not in parameters]
        assert not missing, f"{use.where}: {name} takes no {missing}, but {list(parameters)}"


@pytest.mark.parametrize("use", [u for u in USES if cpu_name(u.name)], ids=as_text)
def test_its_twin_on_the_cpu_exists(use):
    if use.name in ONLY_GPU:
        with pytest.raises(AttributeError):
            find(cpu_name(use.name))
    else:
        find(cpu_name(use.name))


def test_the_walk_finds_what_it_should():
    code = """
table = xdf.read_csv(path, dtype=kinds)
table.head(3).to_parquet(file, index=False)
for table in tables:
    table.nonsense
import rmm.statistics
backend.KMeans(n_clusters=2).fit(X).labels_
def f(xs): return xs.stuff
"""
    found = Walker(ast.parse(code)).found
    assert found >= {
        ("xdf.read_csv", ("dtype",)),
        ("cudf.DataFrame().to_parquet", ("index",)),
        ("rmm.statistics", ()),
        ("KMeans", ("n_clusters",)),
        ("cuml.dask.cluster.KMeans().labels_", ()),
    }
    assert not any("nonsense" in name or "stuff" in name for name, _ in found)


def test_a_name_that_is_not_there_is_found_out():
    with pytest.raises(AttributeError, match="cupy.nonsense"):
        find("cupy.nonsense")
    with pytest.raises(AttributeError):
        find("cuml.cluster.KMeans.nonsense_")
    assert "nonsense" not in signature(find(gpu_name("KMeans")), gpu_name("KMeans"))


def test_every_role_of_a_backend_is_used():
    used = {use.name.partition(".")[0] for use in USES}
    assert set(TWINS) <= used
