"""What to do with centres, whichever library found them: order, errors, a plain model."""

import warnings

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_array

from helpers.backend import to_host
from helpers.shards import FLOATS, Part, about, cost


def canonical_order(centers, decimals=6):
    """Order clusters by their centres: by the first column, then the second, and so on.

    Two fits find the same clusters under different numbers; in canonical order they compare.

    Parameters
    ----------
    centers : array of shape (n_clusters, n_features), on the host or a GPU
    decimals : int
        Coordinates whose difference is below this decimal of their column's range count as equal.

    Returns
    -------
    numpy.ndarray of int64, shape (n_clusters,)
        ``centers[order]`` is sorted.

    Examples
    --------
    >>> canonical_order(np.array([[2.0, 1.0], [1.0, 5.0], [1.0, 3.0]])).tolist()
    [2, 1, 0]
    """
    centers = _host_centers(centers)
    least, span = centers.min(axis=0), np.ptp(centers.astype("f8"), axis=0)
    place = np.divide(
        centers.astype("f8") - least, span, where=span > 0, out=np.zeros(centers.shape)
    )
    return np.lexsort(np.round(place, decimals).T[::-1])


def canonical_labels(labels, centers):
    """Renumber labels, so that they count the clusters in canonical order.

    Parameters
    ----------
    labels : array of int, shape (n_rows,), on the host, a GPU, or a Dask array (computed)
    centers : array of shape (n_clusters, n_features)
        The centres that the labels belong to.

    Returns
    -------
    numpy.ndarray of int32, shape (n_rows,)

    Raises
    ------
    ValueError
        If a label has no centre.

    Examples
    --------
    >>> canonical_labels(np.array([0, 1]), np.array([[5.0], [2.0]])).tolist()
    [1, 0]
    """
    rank = np.argsort(canonical_order(centers)).astype("int32")
    labels = np.asarray(to_host(labels)).astype("int64")
    if labels.size and not 0 <= labels.min() <= labels.max() < len(rank):
        raise ValueError(f"labels must be from 0 to {len(rank) - 1}: these centres have no others")
    return rank[labels]


def sse(X, centers):
    """Sum of squared errors: of each row's squared distance to its nearest centre.

    The same number for every library; ``inertia_`` is not (dask-ml 2025.1.0 sums distances that
    are not squared, unless the last move of the centres was at most 1e-7).

    Parameters
    ----------
    X : Dask, host or GPU array or table, shape (n_rows, n_features)
        A Dask collection is reduced partition by partition.
    centers : array of shape (n_clusters, n_features)

    Returns
    -------
    float

    Examples
    --------
    >>> sse(np.array([[0.0], [3.0]]), np.array([[1.0]]))
    5.0
    """
    centers = _host_centers(centers)
    if hasattr(X, "__dask_graph__"):
        import dask

        X = X.rechunk({1: -1}) if hasattr(X, "rechunk") and X.ndim == 2 else X
        blocks = np.ravel(X.to_delayed())
        return float(sum(dask.compute(*[dask.delayed(sse)(block, centers) for block in blocks])))
    X = check_array(to_host(X), dtype=FLOATS, ensure_min_samples=0, input_name="X")
    if X.shape[1] != centers.shape[1]:
        raise ValueError(f"X has {X.shape[1]} columns, the centres have {centers.shape[1]}")
    origin, centers = about(centers, X.dtype)
    return cost([Part(X)], origin, centers)


def to_sklearn(model):
    """Make a scikit-learn KMeans of a fitted KMeans from cuML, dask-ml or this course.

    It predicts, transforms, scores, clones and fits anew, and knows the names of the columns. It
    has no ``labels_`` and no ``inertia_``: these belong to the training rows. Its ``predict`` is
    scikit-learn's: far from the origin it is less exact than that of this course's model.

    Parameters
    ----------
    model : estimator with ``cluster_centers_``

    Returns
    -------
    sklearn.cluster.KMeans

    Raises
    ------
    ValueError
        If the model has no ``cluster_centers_``.
    """
    centers, names = centers_and_names(model)
    # Fitted to its own centres, a model is complete, whatever scikit-learn keeps inside.
    plain = KMeans(len(centers), init=centers, n_init=1, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain.fit(centers if names is None else pd.DataFrame(centers, columns=names))
    plain.cluster_centers_ = centers
    del plain.labels_, plain.inertia_, plain.n_iter_
    return plain.set_params(init="k-means++", n_init="auto", max_iter=300)


def centers_and_names(model):
    """Centres of a fitted model on the host, and the names of its columns or None."""
    if getattr(model, "cluster_centers_", None) is None:
        raise ValueError(f"{type(model).__name__} is not fitted: it has no cluster_centers_")
    centers = np.array(_host_centers(model.cluster_centers_), order="C")
    return centers, getattr(model, "feature_names_in_", None)


def _host_centers(centers):
    centers = np.asarray(to_host(centers))
    if centers.ndim != 2 or not len(centers):
        raise ValueError(f"centres have the shape (n_clusters, n_features), not {centers.shape}")
    return centers if centers.dtype in FLOATS else centers.astype("float64")
