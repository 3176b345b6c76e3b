"""Wrong answers of lesson 05 and other right ones."""

import pickle
import zipfile
from types import SimpleNamespace
from zipfile import BadZipFile

import dask
import dask.array as da
import numpy as np
import skops.io
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from helpers.backend import to_host
from helpers.kmeans import canonical_order, to_sklearn
from tests.answers import right, wrong

# 05.1


def fitted(centers):
    model = KMeans(len(centers), init=centers, n_init=1, max_iter=1).fit(centers)
    model.cluster_centers_ = np.array(centers)
    return model


@wrong("05.1", points=0, hint="Nothing came back")
def to_plain(centers, dtype="float32"):
    fitted(to_host(centers).astype(dtype))


@wrong("05.1", points=0, hint="return the model that labels rows")
def to_plain(centers, dtype="float32"):
    return to_host(centers).astype(dtype)


@wrong("05.1", points=1, hint="leaves private notes")
def to_plain(centers, dtype="float32"):
    model = KMeans(len(centers))
    model.cluster_centers_ = to_host(centers).astype(dtype)
    return model


@wrong("05.1", points=1, hint="does not mix dtypes")
def to_plain(centers, dtype="float32"):
    return fitted(to_host(centers))


@wrong("05.1", points=1, hint="does not mix dtypes")
def to_plain(centers, dtype="float32"):
    return fitted(to_host(centers).astype("float32"))


@wrong("05.1", points=1, hint="not fitted")
def to_plain(centers, dtype="float32"):
    return KMeans(len(centers), init=to_host(centers).astype(dtype), n_init=1)


@wrong("05.1", points=2, hint="their numbers are not")
def to_plain(centers, dtype="float32"):
    return KMeans(len(centers), n_init=1, random_state=1).fit(to_host(centers).astype(dtype))


@wrong("05.1", points=2, hint="their numbers are not")
def to_plain(centers, dtype="float32"):
    centers = to_host(centers).astype(dtype)
    return fitted(centers[canonical_order(centers)])


@wrong("05.1", points=2, hint="These are other clusters")
def to_plain(centers, dtype="float32"):
    centers = to_host(centers).astype(dtype)
    rows = np.random.default_rng(0).normal(size=(100, centers.shape[1])).astype(dtype)
    return KMeans(len(centers), init=centers, n_init=1).fit(rows)


@wrong("05.1", points=2, hint="not the given ones")
def to_plain(centers, dtype="float32"):
    return fitted(to_host(centers).round(1).astype(dtype))


@wrong("05.1", points=3, hint="n_features_in_ is missing")
def to_plain(centers, dtype="float32"):
    model = KMeans(len(centers))
    model.cluster_centers_ = to_host(centers).astype(dtype)
    model._n_threads = 1
    return model


@wrong("05.1", points=3, hint="get_feature_names_out fails")
def to_plain(centers, dtype="float32"):
    model = KMeans(len(centers))
    model.cluster_centers_ = to_host(centers).astype(dtype)
    model._n_threads, model.n_features_in_ = 1, centers.shape[1]
    return model


@wrong("05.1", points=1, hint="to_sklearn did the work")
def to_plain(centers, dtype="float32"):
    return to_sklearn(SimpleNamespace(cluster_centers_=to_host(centers).astype(dtype)))


@wrong("05.1", points=2, hint="moved in the last digits")
def to_plain(centers, dtype="float32"):
    centers = to_host(centers).astype(dtype)
    return KMeans(len(centers), init=centers, n_init=1, max_iter=1).fit(centers)


@right("05.1")
def to_plain(centers, dtype="float32"):
    return fitted(to_host(centers).astype(dtype))


@right("05.1")
def to_plain(centers, dtype="float32"):
    centers = np.asarray(to_host(centers), dtype)
    model = KMeans(len(centers), n_init=1, random_state=3).fit(centers)
    model.cluster_centers_[:] = centers
    return model


# 05.2


def needed_by(path):
    try:
        return skops.io.get_untrusted_types(file=path)
    except (BadZipFile, KeyError) as error:
        raise ValueError(str(error)) from None


@wrong("05.2", points=0, hint="no pickle")
def load_checked(path, allowed=()):
    with open(path, "rb") as file:
        return pickle.load(file)


@wrong("05.2", points=0, hint="Nothing came back")
def load_checked(path, allowed=()):
    if set(skops.io.get_untrusted_types(file=path)) <= set(allowed):
        skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=1, hint="pass what is allowed on")
def load_checked(path, allowed=()):
    return skops.io.load(path, trusted=[])


@wrong("05.2", points=2, hint="the caller's or the file's")
def load_checked(path, allowed=()):
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


@wrong("05.2", points=2, hint="all must be")
def load_checked(path, allowed=()):
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown and not set(unknown) & set(allowed):
        raise ValueError(f"not allowed: {unknown}")
    return skops.io.load(path, trusted=unknown)


@wrong("05.2", points=2, hint="must be a ValueError")
def load_checked(path, allowed=()):
    return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=2, hint="where there are two")
def load_checked(path, allowed=()):
    for name in needed_by(path):
        if name not in allowed:
            raise ValueError(f"{name} is not allowed")
    return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=3, hint="no skops file")
def load_checked(path, allowed=()):
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(allowed)
    if unknown:
        raise ValueError(f"not allowed: {unknown}")
    return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=2, hint="names every type")
def load_checked(path, allowed=()):
    if not set(skops.io.get_untrusted_types(file=path)) <= set(allowed):
        raise ValueError("this file is not allowed")
    return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=2, hint="not None")
def load_checked(path, allowed=()):
    if set(skops.io.get_untrusted_types(file=path)) <= set(allowed):
        return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=3, hint="built before the check")
def load_checked(path, allowed=()):
    unknown = skops.io.get_untrusted_types(file=path)
    model = skops.io.load(path, trusted=unknown)
    if not set(unknown) <= set(allowed):
        raise ValueError(f"not allowed: {unknown}")
    return model


@wrong("05.2", points=3, hint="never fall back to pickle")
def load_checked(path, allowed=()):
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(allowed)
    except Exception:
        return pickle.loads(path.read_bytes())
    if unknown:
        raise ValueError(f"not allowed: {unknown}")
    return skops.io.load(path, trusted=list(allowed))


def needed_if_zip(path):
    if not zipfile.is_zipfile(path):
        raise ValueError("no skops file")
    return set(skops.io.get_untrusted_types(file=path))


@wrong("05.2", points=3, hint="Not every zip file is a whole skops file")
def load_checked(path, allowed=()):
    if unknown := needed_if_zip(path) - set(allowed):
        raise ValueError(f"not allowed: {unknown}")
    return skops.io.load(path, trusted=list(allowed))


@wrong("05.2", points=3, hint="Not every zip file is a whole skops file")
def load_checked(path, allowed=()):
    if "schema.json" not in zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else True:
        raise ValueError("no skops file")
    if unknown := needed_if_zip(path) - set(allowed):
        raise ValueError(f"not allowed: {unknown}")
    return skops.io.load(path, trusted=list(allowed))


@right("05.2")
def load_checked(path, allowed=()):
    try:
        return skops.io.load(path, trusted=list(allowed))
    except Exception as error:
        raise ValueError(str(error)) from None


@right("05.2")
def load_checked(path, allowed=()):
    needed = needed_by(path)
    for name in needed:
        if name not in allowed:
            raise ValueError(f"{needed} has what is not allowed")
    return skops.io.loads(path.read_bytes(), trusted=list(allowed))


# 05.3


@wrong("05.3", points=0, hint="That is a NumPy array")
def predict_chunks(model, X):
    return model.predict(X.compute().astype("float32"))


@wrong("05.3", points=0, hint="Rows were computed")
def predict_chunks(model, X):
    return da.from_array(model.predict(X.compute().astype("float32")), chunks=X.chunks[0])


@wrong("05.3", points=0, hint="Rows were computed")
def predict_chunks(model, X):
    rows = X.astype("float32").persist()
    return rows.map_blocks(model.predict, drop_axis=1, dtype="int32")


@wrong("05.3", points=0, hint="Nothing came back")
def predict_chunks(model, X):
    X.map_blocks(model.predict, drop_axis=1, dtype="int32")


@wrong("05.3", points=1, hint="drop_axis")
def predict_chunks(model, X):
    return X.astype("float32").map_blocks(model.predict, dtype="int32")


@wrong("05.3", points=1, hint="labels are int32")
def predict_chunks(model, X):
    return X.astype("float32").map_blocks(model.predict, drop_axis=1, dtype="int64")


@wrong("05.3", points=1, hint="the rows' chunks")
def predict_chunks(model, X):
    rows = X.astype("float32").rechunk((len(X), -1))
    return rows.map_blocks(model.predict, drop_axis=1, dtype="int32")


@wrong("05.3", points=2, hint="Cast each chunk")
def predict_chunks(model, X):
    return X.map_blocks(model.predict, drop_axis=1, dtype="int32")


@wrong("05.3", points=2, hint="holds something else")
def predict_chunks(model, X):
    def label(rows):
        return model.predict(rows.astype("float32")).astype("int64")

    return X.map_blocks(label, drop_axis=1, dtype="int32")


@wrong("05.3", points=2, hint="not those that the model gives")
def predict_chunks(model, X):
    rows = X.astype("float32")
    fit = KMeans(len(model.cluster_centers_), n_init=1, random_state=0)
    return rows.map_blocks(fit.fit_predict, drop_axis=1, dtype="int32")


@wrong("05.3", points=0, hint="say which dtype comes out")
def predict_chunks(model, X):
    return X.astype("float32").map_blocks(model.predict, drop_axis=1)


@wrong("05.3", points=0, hint="not list")
def predict_chunks(model, X):
    return [model.predict(block.compute().astype("float32")) for block in X.blocks]


@right("05.3")
def predict_chunks(model, X):
    def label(rows, centers):
        gaps = ((rows[:, None] - centers[None]) ** 2).sum(axis=2)
        return gaps.argmin(axis=1).astype("int32")

    return X.map_blocks(label, model.cluster_centers_, drop_axis=1, dtype="int32")


@right("05.3")
def predict_chunks(model, X):
    predict = dask.delayed(lambda rows: model.predict(rows.astype("float32")))
    pieces = zip(X.to_delayed().ravel(), X.chunks[0], strict=True)
    return da.concatenate(
        [da.from_delayed(predict(rows), (n,), dtype="int32") for rows, n in pieces]
    )


# 05.4


def labels_of(model, X):
    return X.map_blocks(model.predict, drop_axis=1, dtype="int32")


@wrong("05.4", points=0, hint="That is lazy")
def count_labels(model, X):
    return da.bincount(labels_of(model, X), minlength=len(model.cluster_centers_))


@wrong("05.4", points=0, hint="Counts are whole numbers")
def count_labels(model, X):
    counts = da.bincount(labels_of(model, X), minlength=len(model.cluster_centers_))
    return (counts / len(X)).compute()


@wrong("05.4", points=1, hint="A cluster without rows is missing")
def count_labels(model, X):
    return np.bincount(labels_of(model, X).compute())


@wrong("05.4", points=1, hint="These are the labels")
def count_labels(model, X):
    return labels_of(model, X).compute()


@wrong("05.4", points=1, hint="add them up")
def count_labels(model, X):
    k = len(model.cluster_centers_)
    count = dask.delayed(lambda rows: np.bincount(model.predict(rows), minlength=k))
    return np.array(dask.compute(*[count(rows) for rows in X.to_delayed().ravel()]))


@wrong("05.4", points=2, hint="a single chunk")
def count_labels(model, X):
    k = len(model.cluster_centers_)
    return da.bincount(labels_of(model, X.blocks[0]), minlength=k).compute()


@wrong("05.4", points=3, hint="brought here")
def count_labels(model, X):
    return np.bincount(model.predict(X.compute()), minlength=len(model.cluster_centers_))


@wrong("05.4", points=3, hint="brought here")
def count_labels(model, X):
    labels = labels_of(model, X).compute()
    return np.bincount(labels, minlength=len(model.cluster_centers_))


@wrong("05.4", points=3, hint="brought here")
def count_labels(model, X):
    k = len(model.cluster_centers_)
    return sum(np.bincount(model.predict(X.blocks[i].compute()), minlength=k)
               for i in range(X.numblocks[0]))  # fmt: skip


@wrong("05.4", points=3, hint="more than once")
def count_labels(model, X):
    labels = labels_of(model, X)
    return np.array([int((labels == i).sum()) for i in range(len(model.cluster_centers_))])


@wrong("05.4", points=0, hint="as long as the largest label")
def count_labels(model, X):
    def count(rows):
        return np.bincount(model.predict(rows))[None]

    chunks = ((1,) * X.numblocks[0], (len(model.cluster_centers_),))
    return X.map_blocks(count, chunks=chunks, dtype="int64").sum(axis=0).compute()


@wrong("05.4", points=0, hint="as long as the largest label")
def count_labels(model, X):
    count = dask.delayed(lambda rows: np.bincount(model.predict(rows)))
    return sum(dask.compute(*[count(rows) for rows in X.to_delayed().ravel()]))


@wrong("05.4", points=1, hint="A cluster without rows is missing")
def count_labels(model, X):
    return np.bincount(labels_of(model, X).compute())[: len(model.cluster_centers_) - 1]


@wrong("05.4", points=2, hint="the clusters are mixed up")
def count_labels(model, X):
    counts = da.bincount(labels_of(model, X), minlength=len(model.cluster_centers_)).compute()
    return np.sort(counts)


@wrong("05.4", points=3, hint="leave the choice of a scheduler")
def count_labels(model, X):
    counts = da.bincount(labels_of(model, X), minlength=len(model.cluster_centers_))
    return counts.compute(scheduler="threads")


@right("05.4")
def count_labels(model, X):
    return da.bincount(labels_of(model, X), minlength=len(model.cluster_centers_)).compute()


@right("05.4")
def count_labels(model, X):
    k = len(model.cluster_centers_)
    count = dask.delayed(lambda rows: np.bincount(model.predict(rows), minlength=k))
    return sum(dask.compute(*[count(rows) for rows in X.to_delayed().ravel()]))


# 05.5


@wrong("05.5", points=0, hint="one answer per number")
def same_model(a, b, tolerance=1e-3):
    return np.abs(a.cluster_centers_ - b.cluster_centers_[: len(a.cluster_centers_)]) < tolerance


@wrong("05.5", points=0, hint="no labels_ and no inertia_")
def same_model(a, b, tolerance=1e-3):
    return bool(abs(a.inertia_ - b.inertia_) < tolerance)


@wrong("05.5", points=1, hint="in another order")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    return np.allclose(a.cluster_centers_, b.cluster_centers_, rtol=0, atol=tolerance)


@wrong("05.5", points=1, hint="can change how they sort")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    first, second = (sorted(m.cluster_centers_.tolist()) for m in (a, b))
    return np.allclose(first, second, rtol=0, atol=tolerance)


@wrong("05.5", points=1, hint="can change how they sort")
def same_model(a, b, tolerance=1e-3):
    first, second = (sorted(m.cluster_centers_.tolist()) for m in (a, b))
    return first == second


@wrong("05.5", points=1, hint="the caller's")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    gaps = np.abs(a.cluster_centers_[:, None] - b.cluster_centers_[None]).max(axis=2)
    return bool((gaps.min(axis=1) < 1e-3).all())


@wrong("05.5", points=2, hint="coordinates stay together")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    first, second = (np.sort(m.cluster_centers_, axis=0) for m in (a, b))
    return np.allclose(first, second, rtol=0, atol=tolerance)


@wrong("05.5", points=2, hint="none may be left")
def same_model(a, b, tolerance=1e-3):
    gaps = np.abs(a.cluster_centers_[:, None] - b.cluster_centers_[None]).max(axis=2)
    return bool((gaps.min(axis=1) <= tolerance).all())


@wrong("05.5", points=2, hint="raise nothing")
def same_model(a, b, tolerance=1e-3):
    gaps = np.abs(a.cluster_centers_[:, None] - b.cluster_centers_[None]).max(axis=2)
    rows, columns = linear_sum_assignment(gaps)
    return bool(np.abs(a.cluster_centers_[rows] - b.cluster_centers_[columns]).max() <= tolerance
                and len(a.cluster_centers_ - b.cluster_centers_))  # fmt: skip


@wrong("05.5", points=2, hint="makes another model")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    rows = np.vstack([a.cluster_centers_, b.cluster_centers_])
    first, second = a.predict(rows), b.predict(rows)
    return len(set(zip(first, second, strict=True))) == len(a.cluster_centers_)


@wrong("05.5", points=0, hint="The same came back for every pair")
def same_model(a, b, tolerance=1e-3):
    return True


@wrong("05.5", points=0, hint="The same came back for every pair")
def same_model(a, b, tolerance=1e-3):
    return a == b


@wrong("05.5", points=0, hint="for two models of the same size")
def same_model(a, b, tolerance=1e-3):
    return a.cluster_centers_.reshape(3, 100) == b.cluster_centers_


@right("05.5")
def same_model(a, b, tolerance=1e-3):
    if a.cluster_centers_.shape != b.cluster_centers_.shape:
        return False
    gaps = np.abs(a.cluster_centers_[:, None] - b.cluster_centers_[None]).max(axis=2)
    return bool(gaps[linear_sum_assignment(gaps)].max() <= tolerance)


@right("05.5")
def same_model(a, b, tolerance=1e-3):
    return all(
        any(np.abs(center - other).max() <= tolerance for other in there.cluster_centers_)
        for here, there in ((a, b), (b, a))
        for center in here.cluster_centers_
    )
