"""The CPU twin of cuML's distributed KMeans: the same centres however the rows lie."""

import pickle

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.data import blob_centers, blobs
from helpers.kmeans import DistributedKMeans, canonical_labels, canonical_order, sse, to_sklearn

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "the start draws other rows when rows are "
    "repeated, as in scikit-learn's own KMeans"
}


@parametrize_with_checks(
    [DistributedKMeans(n_clusters=3)], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def cluster(here):
    return here


@pytest.fixture(scope="module")
def host():
    X, y = blobs(9_000, 3, 5, seed=3, backend="cpu")
    return X.compute(scheduler="sync"), y.compute(scheduler="sync")


@pytest.fixture(scope="module")
def model(host):
    return DistributedKMeans(n_clusters=5, random_state=0).fit(host[0])


def spread(X, client, n_workers):
    """Chunks of X, each sent to one of the first workers in turn."""
    workers = sorted(client.nthreads())[:n_workers]
    return client.persist(X, workers=workers)


def test_it_finds_what_scikit_learn_finds(host, model):
    X, y = host
    other = KMeans(5, n_init=5, random_state=0).fit(X)
    order, others = canonical_order(model.cluster_centers_), canonical_order(other.cluster_centers_)
    ours, theirs = model.cluster_centers_[order], other.cluster_centers_[others]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert model.inertia_ == pytest.approx(other.inertia_, rel=1e-4)
    assert adjusted_rand_score(y, model.labels_) > 0.99


@pytest.mark.parametrize("n_workers", [1, 2, 4])
@pytest.mark.parametrize("chunk_rows", [500, 2_999, 9_000])
def test_the_same_centres_for_any_workers_and_partitions(
    cluster, host, model, n_workers, chunk_rows
):
    X = spread(da.from_array(host[0], chunks=(chunk_rows, -1)), cluster, n_workers)
    other = DistributedKMeans(n_clusters=5, random_state=0).fit(X)
    np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_, rtol=1e-6)
    assert other.n_iter_ == model.n_iter_
    assert other.inertia_ == pytest.approx(model.inertia_, rel=1e-5)
    assert other.labels_.chunks == (X.chunks[0],)
    np.testing.assert_array_equal(other.labels_.compute(), model.labels_)


@pytest.mark.parametrize("init", ["random", "k-means||", "scalable-k-means++"])
def test_every_start_is_the_same_on_workers_and_here(cluster, host, init):
    parameters = {"n_clusters": 7, "init": init, "random_state": 5, "max_iter": 3}
    here = DistributedKMeans(**parameters).fit(host[0])
    there = DistributedKMeans(**parameters).fit(da.from_array(host[0], chunks=(700, -1)))
    np.testing.assert_allclose(there.cluster_centers_, here.cluster_centers_, rtol=1e-6)


def test_a_start_can_be_given(host):
    start = blob_centers(5, 3, seed=3)
    model = DistributedKMeans(n_clusters=5, init=start, max_iter=1).fit(host[0])
    assert model.n_iter_ == 1
    np.testing.assert_allclose(model.cluster_centers_, start, atol=0.2)


def test_weights_count_rows(cluster, host):
    X = host[0][:2_000]
    weights = np.random.default_rng(0).integers(1, 4, len(X)).astype("f4")
    start = X[:4]
    weighted = DistributedKMeans(n_clusters=4, init=start, tol=0).fit(X, sample_weight=weights)
    repeated = DistributedKMeans(n_clusters=4, init=start, tol=0).fit(
        np.repeat(X, weights.astype(int), axis=0)
    )
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-4)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-4)
    chunked = da.from_array(X, chunks=(300, -1)), da.from_array(weights, chunks=300)
    there = DistributedKMeans(n_clusters=4, init=start, tol=0).fit(*chunked[:1], None, chunked[1])
    np.testing.assert_allclose(there.cluster_centers_, weighted.cluster_centers_, rtol=1e-5)


def test_rows_of_weight_zero_do_not_count(host):
    X = host[0][:500].copy()
    weights = np.ones(500, "f4")
    X[:50], weights[:50] = 1e4, 0
    model = DistributedKMeans(n_clusters=3, random_state=0).fit(X, sample_weight=weights)
    assert np.abs(model.cluster_centers_).max() < 100


def test_an_empty_cluster_takes_the_farthest_row(cluster):
    X = np.array([[0.0], [0.1], [0.2], [10.0], [10.1], [50.0]], "f4")
    start = np.array([[0.0], [10.0], [-900.0]], "f4")  # the last one gets no row
    here = DistributedKMeans(n_clusters=3, init=start).fit(X)
    np.testing.assert_allclose(np.sort(here.cluster_centers_.ravel()), [0.1, 10.05, 50], atol=1e-5)
    there = DistributedKMeans(n_clusters=3, init=start).fit(da.from_array(X, chunks=(2, 1)))
    np.testing.assert_allclose(there.cluster_centers_, here.cluster_centers_)


def test_fewer_different_rows_than_clusters():
    model = DistributedKMeans(n_clusters=3, random_state=0).fit(np.ones((10, 2)))
    assert np.isfinite(model.cluster_centers_).all() and model.inertia_ == 0


def test_empty_partitions_and_more_workers_than_partitions(cluster, host, model):
    parts = [np.empty((0, 3), "f4"), host[0][:5_000], np.empty((0, 3), "f4"), host[0][5_000:]]
    X = da.concatenate([da.from_array(part, chunks=(max(1, len(part)), 3)) for part in parts[1::2]])
    holes = da.concatenate([da.from_array(np.empty((0, 3), "f4")), X])
    for data in (X, holes):
        other = DistributedKMeans(n_clusters=5, random_state=0).fit(data)
        np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_, rtol=1e-6)
        assert len(other.labels_.compute()) == len(host[0])


def test_tables_of_every_kind(cluster, host, model):
    table = pd.DataFrame(host[0], columns=["a", "b", "c"])
    for X in (table, dd.from_pandas(table, npartitions=3)):
        other = DistributedKMeans(n_clusters=5, random_state=0).fit(X)
        np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_, rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(other.predict(X)), model.labels_)


def test_predict_and_transform_are_lazy_on_dask_and_equal_everywhere(cluster, host, model):
    X = da.from_array(host[0], chunks=(2_000, -1))
    assert isinstance(model.predict(X), da.Array)
    np.testing.assert_array_equal(model.predict(X).compute(), model.labels_)
    np.testing.assert_array_equal(model.predict(X, delayed=False).compute(), model.labels_)
    distances = model.transform(X)
    assert (distances.shape, distances.dtype) == ((9_000, 5), "float32")
    assert distances.compute().dtype == "float32"
    np.testing.assert_array_equal(distances.compute().argmin(axis=1), model.labels_)
    assert model.score(X) == pytest.approx(-model.inertia_, rel=1e-5)
    assert model.score(host[0]) == pytest.approx(-sse(host[0], model.cluster_centers_), rel=1e-5)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_clusters": 0}, "n_clusters=0 should be a positive integer"),
        ({"n_clusters": 2.5}, "n_clusters=2.5"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"tol": -1}, "tol=-1"),
        ({"tol": "small"}, "tol='small'"),
        ({"oversampling_factor": 0}, "oversampling_factor=0"),
        ({"max_samples_per_batch": 0}, "max_samples_per_batch=0"),
        ({"init": "k-means++"}, "needs all data in one place"),
        ({"init": np.zeros((2, 3))}, r"initial centers \(2, 3\) does not match the number of clus"),
        ({"init": np.zeros((5, 2))}, r"initial centers \(5, 2\) does not match the number of feat"),
        ({"n_init": 0}, "n_init=0 should be a positive integer"),
        ({"n_clusters": 10_000}, "n_samples=9000 should be >= n_clusters=10000"),
    ],
)
def test_bad_parameters_are_refused(host, parameters, message):
    with pytest.raises(ValueError, match=message):
        DistributedKMeans(**{"n_clusters": 5} | parameters).fit(host[0])


def test_an_unknown_keyword_is_refused_at_once():
    with pytest.raises(TypeError, match="n_cluster"):
        DistributedKMeans(n_cluster=3)


def test_bad_rows_are_refused_with_their_partition(cluster):
    X = np.ones((100, 2), "f4")
    X[70, 1] = np.nan
    with pytest.raises(ValueError, match="partition 1: Input X contains NaN"):
        DistributedKMeans(n_clusters=2).fit(da.from_array(X, chunks=(50, 2)))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        DistributedKMeans(n_clusters=2).fit(da.from_array(X[:0], chunks=(50, 2)))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        DistributedKMeans(n_clusters=2).fit(da.ones(10))


def test_bad_weights_are_refused(cluster):
    X = da.ones((100, 2), chunks=(50, 2))
    for weights, message in [
        (1 - da.arange(100, chunks=50) // 50 * 2, "partition 1: Negative values"),
        (da.zeros(100, chunks=50), "at least one non-zero"),
    ]:
        with pytest.raises(ValueError, match=message):
            DistributedKMeans(n_clusters=2).fit(X, sample_weight=weights)


def test_other_columns_are_refused_before_anything_runs(model):
    with pytest.raises(ValueError, match="X has 2 features.*expecting 3"):
        model.predict(da.ones((10, 2)))


def test_a_dask_collection_needs_a_cluster(monkeypatch):
    def nowhere():
        raise ValueError("No global client found")

    monkeypatch.setattr("distributed.get_client", nowhere)
    with pytest.raises(ValueError, match="needs a cluster"):
        DistributedKMeans().fit(da.ones((10, 2)))


def test_a_task_that_fails_comes_back(cluster):
    def fail(block):
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        DistributedKMeans(n_clusters=2).fit(da.ones((10, 2)).map_blocks(fail, dtype="f8"))


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_canonical_order_forgets_the_numbers(permutation):
    centers = blob_centers(5, 2)
    labels = np.arange(5)
    shuffled = centers[permutation]
    np.testing.assert_array_equal(
        shuffled[canonical_order(shuffled)], centers[canonical_order(centers)]
    )
    moved = np.argsort(permutation)[labels]
    np.testing.assert_array_equal(
        canonical_labels(moved, shuffled), canonical_labels(labels, centers)
    )


def test_labels_without_a_centre_are_refused():
    with pytest.raises(ValueError, match="labels must be from 0 to 1"):
        canonical_labels([0, 2], np.zeros((2, 2)))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_sse_is_the_sum_of_squares(n, d, k, seed):
    rng = np.random.default_rng(seed)
    X, centers = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    expected = sum(min(((x - c) ** 2).sum() for c in centers) for x in X)
    assert sse(X, centers) == pytest.approx(expected)
    assert sse(da.from_array(X, chunks=(7, d)), centers) == pytest.approx(expected)


def test_sse_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="X has 2 columns, the centres have 3"):
        sse(np.ones((4, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="centres have the shape"):
        sse(np.ones((4, 2)), np.ones(3))


def test_the_scikit_learn_model_does_all_that_one_does(host, model):
    X = host[0]
    plain = model.get_combined_model()
    np.testing.assert_array_equal(plain.predict(X), model.labels_)
    np.testing.assert_allclose(plain.transform(X[:9]), model.transform(X[:9]), atol=1e-3)
    assert plain.score(X) == pytest.approx(-model.inertia_, rel=1e-4)
    assert not hasattr(plain, "labels_") and not hasattr(plain, "inertia_")
    assert clone(plain).get_params() == plain.get_params()
    again = make_pipeline(StandardScaler(), clone(plain).set_params(random_state=0)).fit(X)
    assert len(set(again.predict(X))) == 5
    assert to_sklearn(plain) is not plain
    np.testing.assert_array_equal(to_sklearn(plain).cluster_centers_, plain.cluster_centers_)


def test_an_unfitted_model_is_refused():
    with pytest.raises(ValueError, match="is not fitted"):
        to_sklearn(DistributedKMeans())


NOISE = np.random.default_rng(0).normal(size=(2_000, 4))
FAR = {
    "0": NOISE,
    "1e5, float32": (NOISE + 1e5).astype("f4"),
    "1e9": NOISE + 1e9,
    "1.7e9": NOISE + 1.7e9,
    "metres on a map, float32": (NOISE * 2e3 + [5e5, 5.5e6, 0, 0]).astype("f4"),
    "unit 0.001": NOISE * 1e-3,
    "columns of different size": NOISE * [1e-3, 1, 1e3, 1e6],
}


@pytest.mark.parametrize("name", FAR)
def test_offset_and_unit_make_no_difference(cluster, name):
    X = FAR[name]
    plain = KMeans(5, init=X[:5], n_init=1).fit(X)
    wide, centers = X.astype("f8"), plain.cluster_centers_.astype("f8")
    expected = ((wide - centers[plain.labels_]) ** 2).sum()
    for rows in (X, da.from_array(X, chunks=(700, -1))):
        model = DistributedKMeans(n_clusters=5, init=X[:5]).fit(rows)
        labels = np.asarray(model.labels_)
        assert model.inertia_ == pytest.approx(expected, rel=0.01)
        assert model.n_iter_ <= 1.5 * plain.n_iter_
        assert -model.score(rows) == pytest.approx(model.inertia_, rel=1e-4)
        assert sse(rows, model.cluster_centers_) == pytest.approx(model.inertia_, rel=1e-4)
        np.testing.assert_array_equal(np.asarray(model.predict(rows)), labels)
        gaps = np.linalg.norm(wide[:, None] - model.cluster_centers_.astype("f8"), axis=2)
        np.testing.assert_allclose(np.asarray(model.transform(rows)), gaps, rtol=1e-4)


def test_it_warns_at_the_end_and_of_fewer_rows_than_clusters(cluster):
    few = np.repeat(np.eye(3), 4, axis=0)
    for rows, parameters, message in [
        (NOISE, {"max_iter": 1}, "max_iter=1"),
        (few, {}, r"distinct clusters \(3\) found smaller than n_clusters \(5\)"),
    ]:
        for X in (rows, da.from_array(rows, chunks=(len(rows) // 3, -1))):
            with pytest.warns(ConvergenceWarning, match=message):
                DistributedKMeans(n_clusters=5, random_state=0, **parameters).fit(X)


def test_it_clones_pickles_and_searches_with_a_client(cluster, host):
    model = DistributedKMeans(n_clusters=3, random_state=0, client=cluster)
    assert clone(model).client is cluster
    model.fit(da.from_array(host[0], chunks=(3_000, -1)))
    again = pickle.loads(pickle.dumps(model))
    assert again.client is None
    np.testing.assert_array_equal(again.predict(host[0]), model.predict(host[0]))
    with pytest.raises(AttributeError, match=r"no labels_.*predict\(X\) makes them again"):
        again.labels_  # noqa: B018
    search = GridSearchCV(model, {"n_clusters": [2, 5]}, cv=2).fit(host[0])
    assert search.best_params_ == {"n_clusters": 5}


def test_labels_are_spoken_of_when_their_cluster_is_closed(host):
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as own:
        with Client(own, set_as_default=False) as client:
            model = DistributedKMeans(n_clusters=2, client=client).fit(da.from_array(host[0]))
    with pytest.raises(AttributeError, match="until their cluster is closed"):
        model.labels_  # noqa: B018


def test_the_best_of_several_starts_is_kept(host):
    errors = [
        DistributedKMeans(n_clusters=9, init="random", n_init=n, random_state=1)
        .fit(host[0])
        .inertia_
        for n in (1, 6)
    ]
    assert errors[1] < errors[0]
    with pytest.warns(RuntimeWarning, match="only one init"):
        DistributedKMeans(n_clusters=2, init=host[0][:2], n_init=3).fit(host[0])


def test_names_go_to_scikit_learn_and_back(host):
    table = pd.DataFrame(host[0], columns=["a", "b", "c"])
    model = DistributedKMeans(n_clusters=3, random_state=0).fit(table)
    plain = to_sklearn(model)
    back = DistributedKMeans.from_sklearn(plain)
    for other in (plain, back):
        assert other.feature_names_in_.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(other.predict(table), model.labels_)
        with pytest.raises(ValueError, match="same order"):
            other.predict(table[["b", "a", "c"]])
    wide = back.set_output(transform="pandas").transform(table)
    assert list(wide.columns) == back.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match="rows in this process"):
        back.transform(da.from_array(host[0]))


def test_rows_that_no_worker_can_hold_are_refused_before_they_are_made(here):
    limits = [worker["memory_limit"] for worker in here.scheduler_info()["workers"].values()]
    rows = 2 * sum(limits) // 8_000
    X = da.zeros((rows, 1_000), chunks=(rows // 1_000, 1_000))
    with pytest.raises(MemoryError, match="X has .* all workers together may use .*: take more"):
        DistributedKMeans(n_clusters=2, client=here).fit(X)
    rows = 2 * max(limits) // 8_000
    with pytest.raises(MemoryError, match="a chunk of X has .*rechunk|X has"):
        DistributedKMeans(n_clusters=2, client=here).fit(da.zeros((rows, 1_000), chunks=rows))
