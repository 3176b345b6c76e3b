"""What lives at a site of `helpers.federated`: its rows, and a model that learns from them.

Beside it, what travels: the parameters of a model as one array.
"""

import pickle
from collections import deque
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real

import numpy as np
from distributed import get_worker
from pandas import isna
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from helpers.joining import count

PARAMETERS = ("coef_", "intercept_")
RECENT = 5  # batches: the error of one alone is noisy
KNOWN = "SGDClassifier, SGDRegressor or Perceptron"


@dataclass(frozen=True)
class Drift:
    """When a site asks for a synchronisation, in the middle of a round.

    Attributes
    ----------
    moved : float, optional
        Its model is farther than this from the global one of the round (Euclidean distance of the
        parameters).
    error : float, optional
        In this round, the share of wrong answers (for a regressor, 1 - R²) has risen by more than
        this since it was lowest. Each batch is scored before it is learned, and the mean of the
        last five counts.
    """

    moved: float | None = None
    error: float | None = None

    def __post_init__(self):
        for name, limit in (("moved", self.moved), ("error", self.error)):
            if limit is not None and not (isinstance(limit, Real) and limit >= 0):
                raise ValueError(f"{name} must be a number of at least 0, not {limit!r}")
        if self.moved is None and self.error is None:
            raise ValueError("a Drift without a limit is never reported: give moved= or error=")

    def seen(self, step, errors, lowest):
        """Whether a site has drifted by this step, or by these last errors."""
        far = self.moved is not None and np.linalg.norm(step) > self.moved
        worse = self.error is not None and np.mean(errors or 0) > lowest + self.error
        return bool(far or worse)


def prepare(estimator, n_features, classes=None, dtype="float64"):
    """Copy an estimator that learns batch by batch, and tell it its columns and classes.

    The copy is shown one row of zeros that weighs next to nothing. So it makes its parameters
    itself, all of the right shape, and has learned nothing: they are 0.

    Parameters
    ----------
    estimator : scikit-learn estimator
        With ``partial_fit``, ``coef_`` and ``intercept_``: SGDClassifier, SGDRegressor, Perceptron.
    n_features : int
    classes : array, optional
        All classes that any site has; for classifiers.
    dtype : {"float64", "float32"}

    Returns
    -------
    scikit-learn estimator

    Raises
    ------
    ValueError
        If models of this kind cannot be combined; the message says why.

    Examples
    --------
    >>> from sklearn.linear_model import SGDClassifier
    >>> prepare(SGDClassifier(), 3, classes=[0, 1]).coef_
    array([[0., 0., 0.]])
    """
    check_estimator(estimator)
    model, name, known = clone(estimator), type(estimator).__name__, {}
    rows, y = np.zeros((1, n_features), dtype), np.zeros(1)
    # scikit-learn refuses a weight of 0; what this one moves is rounded away later.
    known["sample_weight"] = np.array([np.finfo(dtype).tiny])
    if is_classifier(model):
        y, known["classes"] = np.asarray(classes)[:1], np.asarray(classes)
    try:
        model.partial_fit(rows, y, **known)
    except TypeError as error:
        raise ValueError(f"{name} cannot be prepared for its sites: {error}") from None
    if not all(isinstance(getattr(model, name, None), np.ndarray) for name in PARAMETERS):
        raise ValueError(f"{name} cannot be averaged: it has no coef_ and intercept_. Use {KNOWN}")
    return model


def check_estimator(estimator):
    """Raise ValueError for an estimator of which it is plain that it cannot be federated."""
    name = type(estimator).__name__
    if is_clusterer(estimator):
        raise ValueError(
            f"{name} cannot be averaged: its centres are numbered by chance and need the counts of "
            "each cluster as weights. helpers.kmeans does that, see lesson 03"
        )
    if not hasattr(estimator, "partial_fit"):
        raise ValueError(f"{name} has no partial_fit: it cannot learn batch by batch. Use {KNOWN}")
    if getattr(estimator, "average", False):
        raise ValueError(f"{name}(average=...) averages over its own past: leave average out")


def get_vector(model):
    """Parameters of a model as one array, copied.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)
        ``coef_`` and then ``intercept_``.
    """
    return np.concatenate([getattr(model, name).ravel() for name in PARAMETERS])


def set_vector(model, vector):
    """Overwrite the parameters of a model with those of `get_vector`; return the model."""
    start = 0
    for name in PARAMETERS:
        own = getattr(model, name)
        own[...] = vector[start : start + own.size].reshape(own.shape)
        start += own.size
    return model


class Site:
    """An actor on a worker: rows that never leave it, and a model that learns from them.

    Between two rounds it remembers its rows only. What else a round needs is said when it is asked
    to `train`; so a site that is lost and opened again goes on where it was.
    """

    def __init__(self, name, batch, test):
        self.name, self._batch, self._test = name, batch, test
        self.stopped, self.waiting = 0, {}

    def open(self, load, classify):
        """Load the rows, here, and say how many there are and of what kind."""
        loaded = load()
        if not isinstance(loaded, tuple | list) or len(loaded) != 2:
            what = type(loaded).__name__
            what = f"a {what} of {len(loaded)}" if isinstance(loaded, tuple | list) else what
            raise ValueError(f"site {self.name}: its function must return (X, y), not {what}")
        names = column_names(loaded[0])
        X, y = self._check(*loaded, classify)
        if not len(X):
            raise ValueError(f"site {self.name} has no rows: leave it out")
        split = len(X) - round(self._test * len(X))
        self._check_split(split, len(X) - split, not classify)
        self.X, self.X_test = X[:split], X[split:]
        self.y, self.y_test = y[:split], y[split:]
        if classify and len(np.unique(self.y)) < 2:
            where = "" if len(np.unique(y)) < 2 else " among the rows that it trains on"
            raise ValueError(
                f"site {self.name} has one class only{where}, {y[0]}: a model that saw nothing "
                "else learns to answer nothing else; leave the site out or join it with another one"
            )
        return {
            "columns": X.shape[1],
            "names of columns": names,
            "dtype": X.dtype.name,
            "kind of labels": _kind(y) if classify else None,
            "rows": split,
            "classes": np.unique(y).tolist() if classify else None,
        }

    def _check(self, X, y, classify):
        try:
            X = check_array(X, dtype=["float64", "float32"], order="C", ensure_min_samples=0)
            return X, _check_labels(y, len(X), classify)
        except (TypeError, ValueError) as error:
            raise ValueError(f"site {self.name}: {str(error).splitlines()[0]}") from None

    def _check_split(self, train, test, regress):
        """Both parts need rows, and R² is not defined for one row alone."""
        least = 0 if not self._test else 2 if regress else 1
        if not train or test < least:
            raise ValueError(
                f"site {self.name} has {count(train + test, 'row')}: test={self._test:g} keeps "
                f"{test} of them for testing, and {count(least, 'row')} there and one to train on "
                "are needed. Give it more rows, or choose another share"
            )

    def start(self, model):
        """Take a prepared model to train."""
        self.model, self._labeller = model, deepcopy(model)
        for own in (self.model, self._labeller):  # the rows here are arrays: `open` saw the names
            vars(own).pop("feature_names_in_", None)
        self.current = get_vector(self.model)

    def train(self, number, vector, first, seen, batches, drift, pull):
        """Train from a global model and a row on; stop early for drift or when told to."""
        model = set_vector(deepcopy(self.model), vector)
        if seen is not None:
            model.t_ = seen
        self.current, rows, done, reported = vector, 0, 0, False
        errors, lowest = deque(maxlen=RECENT), np.inf
        while done < batches and not reported and (not done or self.stopped < number):
            first = first if first < len(self.X) else 0
            now = slice(first, first + self._batch)
            first, X, y = now.stop, self.X[now], self.y[now]
            if drift and drift.error is not None:
                errors.append(1 - model.score(X, y))
                lowest = min(lowest, np.mean(errors)) if len(errors) == RECENT else lowest
            model.partial_fit(X, y)
            if pull:
                set_vector(model, vector + (1 - pull) * (get_vector(model) - vector))
            done, rows = done + 1, rows + len(X)
            self.current = get_vector(model)  # a copy, which those who label may read
            reported = bool(drift) and drift.seen(self.current - vector, errors, lowest)
        return {"vector": self.current, "batches": done, "rows": rows, "next": first,
                "reported": reported}  # fmt: skip

    async def stop(self, number):
        """End a round early, also while `train` is running in its thread."""
        self.stopped = max(self.stopped, number)

    def score(self, vector):
        """Score a model on the rows that were kept for testing; say how many there are."""
        model = set_vector(deepcopy(self.model), vector)
        return model.score(self.X_test, self.y_test), len(self.X_test)

    async def label(self, rows):
        """Label rows with the current model. Answers while `train` is running in its thread."""
        return set_vector(self._labeller, self.current).predict(rows)

    def arrive(self, ticket, load, vector):
        """Label rows that arrived, here, and keep both until the truth comes."""
        X = check_array(load(), dtype=[self.X.dtype.name], order="C")
        if X.shape[1] != self.X.shape[1]:
            raise ValueError(f"site {self.name}: {X.shape[1]} columns came, not {self.X.shape[1]}")
        self.waiting[ticket] = X, set_vector(deepcopy(self.model), vector).predict(X)
        return len(X)

    def truth(self, ticket, load, classify):
        """Compare the labels with the truth; the rows are then trained on, after all others."""
        if ticket not in self.waiting:
            raise ValueError(
                f"site {self.name}: no rows wait with the ticket {ticket!r}: their truth has come, "
                "or the site was lost since and has forgotten them"
            )
        X, said = self.waiting[ticket]
        X, y = self._check(X, load(), classify)
        if classify and not np.isin(y, self.model.classes_).all():
            raise ValueError(f"site {self.name}: labels that no site had at the start")
        error = np.mean(said != y) if classify else np.mean((said - y) ** 2)
        self.X, self.y = np.concatenate([self.X, X]), np.concatenate([self.y, y])
        del self.waiting[ticket]
        return float(error), len(self.X)


def ask(site, method, arguments):
    """Run on a site's worker, as a task: ask the actor there, and bring its answer.

    The arguments come as the bytes of a pickle, from the client of the federation.
    """
    answer = getattr(site, method)(*pickle.loads(arguments))
    while True:
        try:
            return answer.result(timeout=1)
        except TimeoutError:
            if answer.done():  # it came this moment, or this is the site's own error
                return answer.result()
            # Dask forgets a question to an actor that has just gone, and its thread would wait for
            # ever.
            if site.key not in get_worker().state.actors:
                raise RuntimeError(f"{site.key} was given up while it was asked") from None


def column_names(X):
    """Names of a table's columns, as scikit-learn takes them: if all are text."""
    names = tuple(getattr(X, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def _check_labels(y, rows, classify):
    """Labels as an array of shape (rows,), all there, finite, of one kind."""
    # NumPy would make text of a list with numbers and text.
    y = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if y.shape != (rows,):
        raise ValueError(f"X has {rows} rows, y has the shape {y.shape}")
    if y.dtype.kind == "O":
        if isna(y).any():
            raise ValueError("y contains missing labels (None or NaN): leave these rows out")
        kinds = {type(label).__name__ for label in y}
        y = np.array(y.tolist())
        if len(kinds) > 1 and y.dtype.kind not in "if":
            raise ValueError(f"y mixes labels of the types {', '.join(sorted(kinds))}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("y contains NaN or infinity")
    if classify:
        check_classification_targets(y)
    elif y.dtype.kind not in "biuf":
        raise ValueError(f"y must be numbers for a regressor, not {y.dtype}")
    return y


def _kind(y):
    return {"b": "True or False", "U": "text", "S": "bytes"}.get(y.dtype.kind, "numbers")
