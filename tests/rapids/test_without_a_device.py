"""What of RAPIDS works without a GPU, really run; each replaced part is named.

``python3 run.py test --gpu tests/rapids`` installs RAPIDS and runs this.
"""

import contextlib
import pickle

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans as PlainKMeans

from helpers.backend import Backend, get_backend
from helpers.grading.workers import workers_here
from helpers.kmeans import sse, to_sklearn
from helpers.machine import check_gpu, count_gpus, missing_gpu_packages
from tests.rapids.uses import all_uses, find, gpu_name

if missing := missing_gpu_packages():
    pytest.skip(
        f"{', '.join(missing)} cannot be imported: python3 run.py test --gpu tests/rapids",
        allow_module_level=True,
    )
if count_gpus()[0]:
    pytest.skip("there is a GPU: tests/gpu runs the course on it", allow_module_level=True)

import cuml
import cuml.dask.cluster
import cupy

ESTIMATORS = sorted(
    name
    for name in {use.name for use in all_uses()}
    if name.startswith("ml.") and isinstance(find(gpu_name(name)), type)
)
CENTERS = np.array([[0.0, 0.0], [5.0, 5.0]], dtype="float32")


class OnHost(np.ndarray):
    """Centres that answer to ``get``, as a CuPy array does."""

    def get(self, order="C"):
        return np.array(self, order=order)


@pytest.fixture
def no_stream(monkeypatch):
    """Reading a fitted attribute enters a CUDA stream, which needs a driver."""
    monkeypatch.setattr("cuml.internals.outputs.Stream.ptds", contextlib.nullcontext())


def filled(rows, centers=CENTERS):
    """A cuML KMeans as if it had been fitted to these rows for one iteration, on the host."""
    distances = ((rows[:, None] - centers) ** 2).sum(axis=2)
    model = cuml.cluster.KMeans(n_clusters=len(centers), output_type="numpy")
    model.cluster_centers_ = centers.copy().view(OnHost)
    model.labels_ = distances.argmin(axis=1).astype("int32")
    model.inertia_ = float(distances.min(axis=1).sum())
    model.n_iter_ = 1
    model.n_features_in_ = rows.shape[1]
    return model


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_unfitted_estimator_clones_and_pickles(name):
    model = find(gpu_name(name))()
    assert clone(model).get_params() == model.get_params()
    assert pickle.loads(pickle.dumps(model)).get_params() == model.get_params()


def test_lessons_use_some_estimators():
    assert {"ml.cluster.KMeans", "ml.linear_model.LinearRegression"} <= set(ESTIMATORS)


def test_unknown_keywords_are_refused_by_the_model_but_not_by_the_distributed_one():
    with pytest.raises(TypeError, match="nonsense"):
        cuml.cluster.KMeans(nonsense=1)
    with workers_here([1]) as (client, _):
        cuml.dask.cluster.KMeans(client=client, nonsense=1)


def test_train_test_split_is_scikit_learns():
    from sklearn.model_selection import train_test_split

    rows = np.arange(2100)
    ours, theirs = (
        split(rows, train_size=0.7, random_state=5)
        for split in (cuml.model_selection.train_test_split, train_test_split)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_as_sklearn_carries_labels_and_inertia_and_ours_does_not(no_stream):
    rows = np.array([[0, 1], [5, 4], [6, 5]], dtype="float32")
    model = filled(rows)
    official, ours = model.as_sklearn(), to_sklearn(model)
    assert isinstance(official, PlainKMeans) and isinstance(ours, PlainKMeans)
    np.testing.assert_array_equal(official.predict(rows), ours.predict(rows))
    assert official.labels_.tolist() == [0, 1, 1]
    assert official.inertia_ == model.inertia_
    assert not hasattr(ours, "labels_") and not hasattr(ours, "inertia_")


def test_from_sklearn_asks_for_what_fit_leaves(monkeypatch, no_stream):
    # The centres stay on the host: there is no device to copy them to.
    monkeypatch.setattr("cuml.cluster.kmeans.cp.asarray", np.asarray)
    rows = np.array([[0, 1], [5, 4], [6, 5]], dtype="float32")
    plain = to_sklearn(filled(rows))
    with pytest.raises(AttributeError, match="labels_"):
        cuml.cluster.KMeans.from_sklearn(plain)
    plain.labels_, plain.inertia_, plain.n_iter_ = plain.predict(rows), sse(rows, CENTERS), 1
    back = cuml.cluster.KMeans.from_sklearn(plain)
    np.testing.assert_array_equal(np.asarray(back.cluster_centers_), CENTERS)


@pytest.fixture
def orchestration(monkeypatch, no_stream):
    """The distributed fit with its communicator and the workers' computation replaced.

    Comms needs NCCL. What a worker fits needs a GPU: instead, its rows are labelled on the host.
    The type of the empty labels is NumPy's, as CuPy cannot make an array here.
    """

    class NoComms:
        sessionId = b"session"

        def __init__(self, comms_p2p, client):
            pass

        def init(self, workers):
            pass

        def destroy(self):
            pass

    def fit_on_host(session, parts, datatype, has_weights, **keywords):
        return filled(np.concatenate(parts), keywords["init"])

    module = "cuml.dask.cluster.kmeans"
    monkeypatch.setattr(f"{module}.Comms", NoComms)
    monkeypatch.setattr(f"{module}.cp", np)
    distributed = cuml.dask.cluster.KMeans
    monkeypatch.setattr(distributed, "_func_preflight_fit", staticmethod(lambda *a, **k: None))
    monkeypatch.setattr(distributed, "_func_fit", staticmethod(fit_on_host))


def spread(client, chunks, owners):
    """A Dask array whose chunks are where they are wanted."""
    pairs = [
        (client.scatter(c, workers=[w], hash=False), c) for c, w in zip(chunks, owners, strict=True)
    ]
    return da.concatenate([da.from_delayed(future, c.shape, c.dtype) for future, c in pairs])


@pytest.mark.filterwarnings("ignore:Data was not split among all workers")
def test_the_distributed_fit_gathers_what_the_lessons_read(orchestration):
    generator = np.random.default_rng(0)
    near = CENTERS[generator.integers(2, size=90)]
    rows = (near + generator.normal(size=(90, 2))).astype("float32")
    expected = filled(rows)
    with workers_here([1, 1, 1]) as (client, _):
        a, b, c = client.nthreads()
        X = spread(client, np.split(rows, [40, 40, 60]), [a, c, b, a])  # c has an empty chunk only
        model = cuml.dask.cluster.KMeans(client=client, n_clusters=2, init=CENTERS).fit(X)
        assert np.asarray(model.labels_).tolist() == np.asarray(expected.labels_).tolist()
        assert model.inertia_ == pytest.approx(expected.inertia_)
        combined = model.get_combined_model()
        assert 0 < len(combined.labels_) < len(rows), "the first worker's rows only"
        assert combined.inertia_ < model.inertia_
        with pytest.raises(AttributeError):  # it asks its model for the result of a future
            pickle.dumps(model)


def test_a_gpu_that_is_not_there_is_asked_for_in_vain():
    with pytest.raises(RuntimeError, match="The GPU cannot be used"):
        get_backend("gpu")
    assert get_backend("auto").name == "cpu"
    here = {need.text: need.ok for need in check_gpu()}
    assert sorted(here.values()) == [False, True], here
    with pytest.raises(Exception, match="NVML"):
        Backend("gpu", "a test asks for it").LocalCluster()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
        cupy.arange(3)
