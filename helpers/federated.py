"""Federated learning: the rows stay at their sites, only parameters and counts travel.

A *site* is a worker of a Dask cluster with rows of its own. `Federation` puts an actor on
each, which loads the rows there and trains a model on them, and combines the models:

>>> sites = {"EWR": load_newark, "JFK": load_kennedy}  # doctest: +SKIP
>>> federation = Federation(client, SGDClassifier(), sites)  # doctest: +SKIP
>>> federation.run(rounds=10, batches=20)  # doctest: +SKIP
>>> federation.model.predict(rows)  # doctest: +SKIP

Beside it, the rules that combine models, as plain functions on arrays.
"""

from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from math import floor
from numbers import Integral, Real
from uuid import uuid4

import numpy as np
from pandas import isna
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

LINEAR, CLUSTERS = ("coef_", "intercept_"), ("cluster_centers_",)
RECENT = 5  # batches: the error of one alone is noisy
SECONDS = 120  # to wait for a worker that takes a site: a new one imports its libraries first


class QuorumError(RuntimeError):
    """Too few sites gave a good answer; the global model is the one from before."""


# Rules that combine models.


def weighted_mean(vectors, rows):
    """Average the models, each weighted by its rows.

    This is federated averaging, FedAvg: McMahan, Moore, Ramage, Hampson and Agüera y Arcas,
    "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.

    Parameters
    ----------
    vectors : numpy.ndarray of float, shape (n_sites, n_parameters)
        The parameters of each site's model.
    rows : numpy.ndarray of int, shape (n_sites,)
        Rows that each site has trained on since its last synchronisation.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)

    Raises
    ------
    ValueError
        If a parameter is not finite, a number of rows is negative, or all are 0.

    Examples
    --------
    >>> weighted_mean(np.array([[0.0, 1.0], [4.0, 1.0]]), np.array([300, 100]))
    array([1., 1.])
    """
    vectors, rows = _check_vectors(vectors), np.asarray(rows)
    if rows.shape != (len(vectors),) or (rows < 0).any() or not rows.sum() > 0:
        raise ValueError(f"rows must be one count for each of {len(vectors)} sites, not {rows}")
    return np.average(vectors, axis=0, weights=rows)


def coordinate_median(vectors, rows=None):
    """Take the median of each parameter; the rows do not count.

    One wild model among three cannot pull it far; of two models it is the mean. Yin, Chen,
    Ramchandran and Bartlett, "Byzantine-robust distributed learning", ICML 2018.

    Parameters
    ----------
    vectors, rows
        As in `weighted_mean`.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)

    Examples
    --------
    >>> coordinate_median(np.array([[0.0], [1.0], [900.0]]))
    array([1.])
    """
    return np.median(_check_vectors(vectors), axis=0)


def trimmed_mean(vectors, rows=None, trim=1):
    """Average each parameter without its lowest and its highest values.

    Yin, Chen, Ramchandran and Bartlett, "Byzantine-robust distributed learning", ICML 2018.

    Parameters
    ----------
    vectors, rows
        As in `weighted_mean`.
    trim : int or float
        How many values to leave out at each end, at least as many as there may be wild sites. Three
        sites and `trim` 1 give the median. A float below 0.5 is a share of the sites, rounded down:
        0.25 leaves out one of four, at each end.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)

    Raises
    ------
    ValueError
        If `trim` is neither, or leaves nothing; if a parameter is not finite.

    Examples
    --------
    >>> trimmed_mean(np.array([[0.0], [1.0], [3.0], [900.0]]))
    array([2.])
    """
    vectors = np.sort(_check_vectors(vectors), axis=0)
    share = _check_trim(trim)
    count = floor(trim * len(vectors)) if share else trim
    if count >= len(vectors) / 2:
        raise ValueError(f"trim={trim} leaves nothing of {len(vectors)} sites")
    return vectors[count : len(vectors) - count].mean(axis=0)


def _check_vectors(vectors):
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"vectors must be of shape (n_sites, n_parameters), not {vectors.shape}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(f"the vectors with numbers {bad.tolist()} are not finite: leave them out")
    return vectors


def _check_trim(trim):
    """Whether `trim` is a share; raise ValueError if it is neither share nor count."""
    if isinstance(trim, Integral) and not isinstance(trim, bool) and trim >= 0:
        return False
    if isinstance(trim, Real) and 0 < trim < 0.5:
        return True
    raise ValueError(f"trim={trim!r} is neither a count (0, 1, 2, …) nor a share below 0.5")


def sites_needed(rule):
    """From how many sites on a rule is what its name says.

    The median of two models is their mean, and `trimmed_mean` has to leave one value out at each
    end and one in the middle. Any other rule: 1.

    Examples
    --------
    >>> sites_needed(partial(trimmed_mean, trim=2))
    5
    """
    known = rule.keywords if isinstance(rule, partial) else {}
    rule = getattr(rule, "func", rule)
    if rule is coordinate_median:
        return 3
    if rule is trimmed_mean:
        trim = known.get("trim", 1)
        return max(3, int(np.ceil(1 / trim))) if _check_trim(trim) else 2 * int(trim) + 1
    return 1


@dataclass(frozen=True)
class Drift:
    """When a site asks for a synchronisation before the schedule does.

    Attributes
    ----------
    moved : float, optional
        Its model is farther than this from the last global one (Euclidean distance of the
        parameters).
    error : float, optional
        On its stream, the share of wrong answers (for a regressor, 1 - R²) has risen by more than
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


@dataclass(frozen=True)
class Round:
    """What happened in a round.

    Attributes
    ----------
    number : int
    batches : dict of str to int
        Batches that each site has trained in this round. A site that was lost or refused is not in
        it.
    rows : dict of str to int
        Rows of these batches.
    lost : tuple of str
        Sites that did not answer.
    refused : dict of str to str
        Sites that were left out because of what they sent, and what was wrong with it.
    reports : tuple of str
        Sites that reported drift.
    synced : bool
        Whether the models were combined.
    sent, received : int
        Bytes of parameters, from the client to the sites and back.
    vectors : dict of str to numpy.ndarray
        Parameters that the sites sent, if the models were combined.
    """

    number: int
    batches: dict
    rows: dict
    lost: tuple
    reports: tuple
    synced: bool
    sent: int
    received: int
    vectors: dict = field(repr=False)
    refused: dict = field(default_factory=dict)


# Parameters of a model.


def prepare(estimator, n_features, classes=None, dtype="float64"):
    """Copy an estimator that learns batch by batch, and tell it its columns and classes.

    The copy is shown one row of zeros that weighs next to nothing. So it makes its parameters
    itself, all of the right shape, and has learned nothing: they are 0. A clusterer is shown its
    first centres.

    Parameters
    ----------
    estimator : scikit-learn estimator
        With ``partial_fit``, and with ``coef_`` and ``intercept_`` or ``cluster_centers_``:
        SGDClassifier, SGDRegressor, Perceptron, MiniBatchKMeans.
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
    if is_clusterer(model):
        rows, y = np.array(model.init, dtype), None  # each centre begins as one row
    else:
        rows, y = np.zeros((1, n_features), dtype), np.zeros(1)
        # scikit-learn refuses a weight of 0; what this one moves is rounded away later.
        known["sample_weight"] = np.array([np.finfo(dtype).tiny])
    if is_classifier(model):
        y, known["classes"] = np.asarray(classes)[:1], np.asarray(classes)
    try:
        model.partial_fit(rows, y, **known)
    except TypeError as error:
        raise ValueError(f"{name} cannot be prepared for its sites: {error}") from None
    names = parameter_names(model)
    if not names:
        raise ValueError(
            f"{name} cannot be averaged: it has neither coef_ and intercept_ nor cluster_centers_. "
            "Use SGDClassifier, SGDRegressor, Perceptron or MiniBatchKMeans"
        )
    return model


def check_estimator(estimator):
    """Raise ValueError for an estimator of which it is plain that it cannot be federated."""
    name = type(estimator).__name__
    if not hasattr(estimator, "partial_fit"):
        raise ValueError(
            f"{name} has no partial_fit: it cannot learn batch by batch. "
            "Use SGDClassifier, SGDRegressor, Perceptron or MiniBatchKMeans"
        )
    if getattr(estimator, "average", False):
        raise ValueError(f"{name}(average=...) averages over its own past: leave average out")
    if is_clusterer(estimator) and isinstance(getattr(estimator, "init", ""), str):
        raise ValueError(
            f"{name} starts with other centres at each site, so that their numbers mean "
            "different things: give the same start to all, init=an array of centres"
        )


def parameter_names(model):
    """Names of the fitted attributes that are combined: none if the model has no such."""
    for names in (LINEAR, CLUSTERS):
        if all(isinstance(getattr(model, name, None), np.ndarray) for name in names):
            return names
    return ()


def get_vector(model):
    """Parameters of a model as one array, copied.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)
        ``coef_`` and then ``intercept_``, or ``cluster_centers_``.
    """
    return np.concatenate([getattr(model, name).ravel() for name in parameter_names(model)])


def set_vector(model, vector):
    """Overwrite the parameters of a model with those of `get_vector`; return the model."""
    start = 0
    for name in parameter_names(model):
        own = getattr(model, name)
        own[...] = vector[start : start + own.size].reshape(own.shape)
        start += own.size
    return model


# What lives at a site.


class Site:
    """An actor on a worker: rows that never leave it, and a model that learns from them."""

    def __init__(self, name, load, batch, test):
        self.name, self._load, self._batch, self._test = name, load, batch, test
        self.next_row = 0

    def open(self, supervised, classify):
        """Load the rows, here, and say how many there are and of what kind."""
        X, y = self._pair(self._load(), supervised)
        names = _names(X)
        try:
            X = check_array(X, dtype=["float64", "float32"], order="C", ensure_min_samples=0)
            y = None if y is None else _check_labels(y, len(X), classify)
        except (TypeError, ValueError) as error:
            raise ValueError(f"site {self.name}: {str(error).splitlines()[0]}") from None
        if not len(X):
            raise ValueError(f"site {self.name} has no rows: leave it out")
        split = len(X) - round(self._test * len(X))
        self._check_split(split, len(X) - split, supervised and not classify)
        self.X, self.X_test = X[:split], X[split:]
        self.y, self.y_test = (None, None) if y is None else (y[:split], y[split:])
        if classify and len(np.unique(self.y)) < 2:
            where = "" if len(np.unique(y)) < 2 else " among the rows that it trains on"
            raise ValueError(
                f"site {self.name} has one class only{where}, {y[0]}: a model that saw nothing "
                "else learns to answer nothing else; leave the site out or join it with another one"
            )
        classes = np.unique(y).tolist() if classify else None
        return {
            "columns": X.shape[1],
            "names of columns": names,
            "dtype": X.dtype.name,
            "kind of labels": _kind(y) if classify else None,
            "rows": split,
            "classes": classes,
        }

    def _pair(self, loaded, supervised):
        """Rows and labels, out of what the function of the site returned."""
        if isinstance(loaded, tuple | list) and len(loaded) == 2:
            return loaded if supervised else (loaded[0], None)
        if supervised:
            what = type(loaded).__name__
            what = f"a {what} of {len(loaded)}" if isinstance(loaded, tuple | list) else what
            raise ValueError(f"site {self.name}: its function must return (X, y), not {what}")
        return loaded, None

    def _check_split(self, train, test, regress):
        """Both parts need rows, and R² is not defined for one row alone."""
        least = 0 if not self._test else 2 if regress else 1
        if not train or test < least:
            raise ValueError(
                f"site {self.name} has {_count(train + test, 'row')}: test={self._test:g} keeps "
                f"{test} of them for testing, and {_count(least, 'row')} there and one to train on "
                "are needed. Give it more rows, or choose another share"
            )

    def start(self, model, topic):
        """Take a prepared model to train."""
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        # Workers that are threads of one process are all given the same object.
        self.model, self._labeller = deepcopy(model), deepcopy(model)
        for own in (self.model, self._labeller):  # the rows here are arrays: `open` saw the names
            vars(own).pop("feature_names_in_", None)
        self._begin(get_vector(model))

    def _begin(self, vector):
        """Begin a new period, from a global model."""
        set_vector(self.model, vector)
        self.current = self.synced = get_vector(self.model)
        self.rows_trained, self.reported = 0, False
        self.errors, self.lowest = deque(maxlen=RECENT), np.inf

    def train(self, vector, batches, drift, answer):
        """Train on the next batches, from a global model if one is given."""
        if vector is not None:
            self._begin(vector)
        rows = 0
        for _ in range(batches):
            X, y = self.next_batch()
            if drift and drift.error is not None:
                self._note_error(1 - self.model.score(X, y))
            self.model.partial_fit(X, y)
            rows += len(X)
            self.current = get_vector(self.model)  # a copy, which those who label may read
            if drift and not self.reported:
                self._report(drift)
        self.rows_trained += rows
        return {"batches": batches, "rows": rows} | (self.collect() if answer else {})

    def next_batch(self):
        """Rows and labels of the next batch; after the last row comes the first."""
        if self.next_row >= len(self.X):
            self.next_row = 0
        now = slice(self.next_row, self.next_row + self._batch)
        self.next_row = now.stop
        return self.X[now], None if self.y is None else self.y[now]

    def collect(self):
        """Parameters, and on how many rows they were trained since the last synchronisation."""
        return {"vector": self.current, "trained": self.rows_trained}

    def _note_error(self, error):
        self.errors.append(error)
        if len(self.errors) == RECENT:
            self.lowest = min(self.lowest, np.mean(self.errors))

    def _report(self, drift):
        """Tell the client, through Dask's events, that this model has drifted."""
        moved = np.linalg.norm(self.current - self.synced)
        far = drift.moved is not None and moved > drift.moved
        worse = drift.error is not None and np.mean(self.errors or 0) > self.lowest + drift.error
        if far or worse:
            self.reported = True
            self._worker.log_event(self._topic, {"site": self.name})

    def score(self, vector):
        """Score a model on the rows that were kept for testing; say how many there are."""
        model = set_vector(deepcopy(self.model), self.current if vector is None else vector)
        return model.score(self.X_test, self.y_test), len(self.X_test)

    async def label(self, rows):
        """Label rows with the current model. Answers while `train` is running in its thread."""
        return set_vector(self._labeller, self.current).predict(rows)


def ask(site, method, *arguments):
    """Run on a site's worker, as a task: ask the actor there, and bring its answer."""
    return getattr(site, method)(*arguments).result()


# What runs in the client.


class Federation:
    """Sites that train one model together, round by round, on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    estimator : scikit-learn estimator
        As for `prepare`. It is copied.
    sites : dict of str to callable
        For each site a function without arguments that loads its rows, *at the site*, and returns
        ``(X, y)``, or X alone for a clusterer: X of shape (n_rows, n_features), y of shape
        (n_rows,). It runs once, and again when the site was lost and comes back. If X is a table,
        the names of its columns must be the same at all sites; the global model has them then.
    batch : int
        Rows of a batch. A site goes through its rows in order, then again from the first.
    test : float
        Share of each site's rows, the last ones, that are kept for `score`.
    combine : callable
        ``combine(vectors, rows)``: `weighted_mean`, `coordinate_median`, `trimmed_mean` or your
        own. The vectors come in the order of `sites`.
    quorum : int, optional
        Sites that must give a good answer in a round; default: more than half, and as many as
        `combine` needs (`sites_needed`). A site whose worker was lost is left out, and is back in
        the first round that finds a worker of that name again. A site that sends what cannot be,
        such as NaN or more rows than it was asked for, is left out of this round.
    workers : dict of str to str or int, optional
        The name of each site's worker; default: one worker after the other, in order of names.

    Attributes
    ----------
    model : scikit-learn estimator
        The global model.
    history : list of Round
    lost : set of str
        Sites without a worker.
    places : dict of str to str
        Address of each site's worker.

    Raises
    ------
    ValueError
        If the estimator cannot be federated; a site has no worker, too few rows, rows or labels
        that are missing or not finite, one class only; the sites differ in columns, their names,
        dtype or kind of labels; or `combine` needs more sites than the quorum.

    Notes
    -----
    A round is one task per site, and it waits for these tasks and no others. They ask the actors,
    so what a site knows stays in its worker's process. A site that raises an error in a round is
    left out of it; if so many do that the quorum is missed, the first error is raised here.
    """

    def __init__(
        self,
        client,
        estimator,
        sites,
        *,
        batch=256,
        test=0.0,
        combine=weighted_mean,
        quorum=None,
        workers=None,
    ):
        check_estimator(estimator)
        _check_arguments(sites, batch, test, combine)
        self.client, self.combine = client, combine
        self.quorum = _check_quorum(quorum, len(sites), combine)
        self.history, self.lost = [], set()
        self._loads, self._settings = dict(sites), (batch, test)
        self._kind = (not is_clusterer(estimator), is_classifier(estimator))
        self._workers = _assign(_addresses(client), sites, workers)
        self.places, self._actors, self._reports = {}, {}, []
        self._topic = f"drift-{uuid4().hex}"  # one for each federation
        client.subscribe_topic(self._topic, self._hear)
        try:
            self._found = self._open(list(sites))
            if self.lost:
                raise RuntimeError(f"lost while they loaded their rows: {sorted(self.lost)}")
            columns, names, classes, dtype = _agree(self._found, is_classifier(estimator))
            self.model = prepare(estimator, columns, classes, dtype)
            if names:
                self.model.feature_names_in_ = np.array(names, dtype=object)
            self._outdated, self._asked = set(sites), dict.fromkeys(sites, 0)
            self._spoilt = set()  # sites whose own model cannot be trusted any more
            self._ask("start", {name: (self.model, self._topic) for name in sites})
        except BaseException:
            self.close()
            raise

    def round(self, batches, sync=True):
        """Train at every site, then combine the models.

        Parameters
        ----------
        batches : int
            For each site to train on.
        sync : bool or Drift
            Whether to combine; with a `Drift`, only if a site reported. As long as they are not
            combined, each site goes on with its own model.

        Returns
        -------
        Round

        Raises
        ------
        QuorumError
            If too few sites answered.

        Notes
        -----
        If anything is raised, the global model stays as it was, and all sites begin the next round
        with it.
        """
        _check_count(batches=batches)
        if not isinstance(sync, bool | Drift):
            raise ValueError(f"sync must be True, False or a Drift, not {sync!r}")
        if isinstance(sync, Drift) and sync.error is not None and not self._kind[0]:
            raise ValueError("a clusterer has no wrong answers: use Drift(moved=...)")
        try:
            self.history.append(self._round(batches, sync))
        except BaseException:
            self._outdated = set(self._loads)
            raise
        return self.history[-1]

    def run(self, rounds, batches, sync=True):
        """Do several rounds; see `round`. Returns their records, a list of Round."""
        _check_count(rounds=rounds)
        return [self.round(batches, sync) for _ in range(rounds)]

    def score(self, own=False):
        """Score the global model, or each site's own one, on the rows kept for testing.

        Returns
        -------
        scores : dict of str to float
            What the estimator's ``score`` gives: accuracy, R².
        rows : dict of str to int
            How many rows were scored: weights for a mean over sites.
        """
        if not self._settings[1]:
            raise ValueError("no rows were kept for testing: Federation(..., test=0.25)")
        vector = None if own else get_vector(self.model)
        answers = self._ask("score", {name: (vector,) for name in self._here()})
        scores = {name: score for name, (score, _) in answers.items()}
        return scores, {name: rows for name, (_, rows) in answers.items()}

    def label(self, site, rows):
        """Label rows at a site with its current model, also while a round is running.

        Parameters
        ----------
        site : str
        rows : array of shape (n_rows, n_features)

        Returns
        -------
        numpy.ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            If the site is not here, or the rows do not fit its model.
        """
        if site not in self._actors or site in self.lost:
            raise ValueError(f"no site {site!r} is here; there are {sorted(self._actors)}")
        known, names = getattr(self.model, "feature_names_in_", None), _names(rows)
        if known is not None and names is not None and list(known) != list(names):
            raise ValueError(f"the columns are {list(names)}, the model learned {list(known)}")
        return self._actors[site].result().label(check_array(rows)).result()

    def close(self):
        """Let go of the sites: their workers forget rows and models. The cluster stays."""
        if self._topic and self.client.status == "running":
            self.client.unsubscribe_topic(self._topic)
            # The error of a site refers to its actor: to drop our futures is not enough.
            self.client.cancel(list(self._actors.values()))
        self._topic, self._actors = None, {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _round(self, batches, sync):
        refused = self._welcome_back()
        drift = sync if isinstance(sync, Drift) else None
        vector = get_vector(self.model)
        sent = {name: vector if name in self._outdated else None for name in self._here()}
        self._reports.clear()
        self._asked |= {name: 0 for name, v in sent.items() if v is not None}
        errors = {}
        asked = {name: (v, batches, drift, sync is True) for name, v in sent.items()}
        answers = self._ask("train", asked, errors)
        if errors and len(answers) < self.quorum:  # not one bad site, but a mistake at most of them
            raise next(iter(errors.values()))
        refused |= {name: f"{type(e).__name__}: {e}" for name, e in errors.items()}
        self._outdated -= set(answers)
        for name in answers:
            self._asked[name] += batches
        # Events and results come through one stream, in order: what was reported is here by now.
        if any(name in self._reports for name in answers):
            late = self._ask("collect", {name: () for name in answers})
            answers = {name: {**answers[name], **answer} for name, answer in late.items()}
        refused |= self._refuse(answers, batches)
        lost = tuple(name for name in self._loads if name not in answers and name not in refused)
        answers = {name: answer for name, answer in answers.items() if name not in refused}
        self._outdated |= set(refused)
        self._spoilt |= set(refused)
        self._check_quorum(answers, lost, refused)
        vectors = {name: a["vector"] for name, a in answers.items() if "vector" in a}
        if vectors:
            self._combine(vectors, np.array([answers[name]["trained"] for name in vectors]))
        return Round(
            number=len(self.history) + 1,
            batches={name: answer["batches"] for name, answer in answers.items()},
            rows={name: answer["rows"] for name, answer in answers.items()},
            lost=lost,
            reports=tuple(name for name in answers if name in self._reports),
            synced=bool(vectors),
            sent=sum(v.nbytes for v in sent.values() if v is not None),
            received=sum(v.nbytes for v in vectors.values()),
            vectors=vectors,
            refused=refused,
        )

    def _refuse(self, answers, batches):
        """What is wrong with the answers of some sites, by their names."""
        own, refused = get_vector(self.model), {}
        for name, answer in answers.items():
            if not isinstance(answer, dict):
                refused[name] = f"it sent {type(answer).__name__}, not an answer"
                continue
            held = min(self._settings[0], self._found[name]["rows"])  # rows of a batch, at most
            wrong = _wrong_count("batches", answer, batches, batches)
            wrong = wrong or _wrong_count("rows", answer, batches, batches * held)
            if "vector" in answer:
                most = self._asked[name] * held
                wrong = wrong or _wrong_count("trained", answer, self._asked[name], most)
                wrong = wrong or _wrong_vector(answer["vector"], own)
            if wrong:
                refused[name] = wrong
        return refused

    def _combine(self, vectors, rows):
        """Make the next global model out of what the sites sent."""
        own = get_vector(self.model)
        combined = np.asarray(self.combine(np.array(list(vectors.values())), rows))
        if combined.shape != own.shape:
            raise ValueError(
                f"combine gave the shape {combined.shape}, the parameters are {own.shape}"
            )
        if not np.isfinite(combined.astype(own.dtype)).all():
            raise ValueError("combine gave parameters that are not finite")
        set_vector(self.model, combined)
        self._outdated = set(self._loads)

    def _here(self):
        return [name for name in self._loads if name not in self.lost]

    def _hear(self, event):
        self._reports.append(event[1]["site"])

    def _check_quorum(self, good, lost, refused):
        if len(good) < self.quorum:
            why = [f"lost: {', '.join(lost)}"] if lost else []
            why += [f"refused: {name}, {wrong}" for name, wrong in refused.items()]
            raise QuorumError(
                f"{len(good)} of {len(self._loads)} sites answered{' well' if refused else ''}, "
                f"quorum is {self.quorum}; {'; '.join(why)}. The model is that of the round "
                f"before: {'look at these sites' if refused else 'wait for the workers'} and "
                "repeat the round"
            )

    def _ask(self, method, arguments, errors=None):
        """Ask several sites at once; return the answers of those that are not lost.

        An error at a site goes to `errors`, if given, and is raised otherwise.
        """
        from distributed import wait

        if not self._topic:
            raise ValueError("this federation is closed: its sites have forgotten everything")
        futures = {
            name: self.client.submit(
                ask, self._actors[name], method, *values, pure=False,
                key=f"{method}-{name}-{uuid4().hex}", workers=[self.places[name]],
            )
            for name, values in arguments.items()
        }  # fmt: skip
        wait(list(futures.values()))
        answers = {}
        for name, future in futures.items():
            if future.status == "finished":
                answers[name] = future.result()
            elif self._actors[name].status != "finished":  # the actor is gone, and so is its worker
                self.lost.add(name)
            else:
                error = future.exception()
                error.add_note(f"raised at site {name}")
                if errors is None:
                    raise error
                errors[name] = error
        return answers

    def _open(self, names):
        """Put an actor on each site's worker and let it load its rows there."""
        from distributed import TimeoutError as DaskTimeoutError
        from distributed import wait

        for name in names:
            place = self.places[name] = _addresses(self.client)[self._workers[name]]
            self._actors[name] = self.client.submit(
                Site, name, self._loads[name], *self._settings, actor=True, pure=False,
                key=f"site-{name}-{uuid4().hex}", workers=[place],
            )  # fmt: skip
        try:
            wait([self._actors[name] for name in names], timeout=SECONDS)
        except (DaskTimeoutError, TimeoutError):
            raise RuntimeError(f"no answer from the workers of {', '.join(names)}") from None
        return self._ask("open", {name: self._kind for name in names})

    def _welcome_back(self):
        """Open the lost sites whose workers are there again; they get the global model.

        Returns what is wrong, by their names, with those that cannot be used.
        """
        self.lost |= {name for name, actor in self._actors.items() if actor.status != "finished"}
        there = _addresses(self.client)
        spoilt, self._spoilt = self._spoilt - self.lost, set()
        self._ask("start", {name: (self.model, self._topic) for name in spoilt})
        names = [n for n in self._loads if n in self.lost and self._workers[n] in there]
        refused = {}
        for name in names:
            self.lost.discard(name)
            try:
                self._open_again(name)
            except Exception as error:
                refused[name] = str(error).splitlines()[0]
                self.client.cancel(self._actors[name])  # it is not ready, and counts as lost
                self.lost.add(name)
        return refused

    def _open_again(self, name):
        """Open a site that was lost, if its rows are still of the kind that the model knows."""
        found = self._open([name])
        if not found:  # lost once more
            return
        _agree(self._found | found, self._kind[1])
        new = set(found[name]["classes"] or ()) - set(getattr(self.model, "classes_", ()))
        if new:
            raise ValueError(f"it came back with labels that are unknown: {sorted(new)}")
        self._ask("start", {name: (self.model, self._topic)})
        self._found |= found
        self._outdated.add(name)


def _addresses(client):
    """Name and address of each worker that is there."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {worker["name"]: address for address, worker in workers.items()}


def _assign(there, sites, workers):
    """Name of each site's worker: as asked, or one after the other."""
    if workers is None:
        names = sorted(there, key=lambda name: (len(str(name)), str(name)))
        if len(names) < len(sites):
            raise ValueError(
                f"{len(sites)} sites need as many workers, one each; there are {len(names)}"
            )
        return dict(zip(sites, names, strict=False))
    for name in sites:
        if workers.get(name) not in there:
            raise ValueError(
                f"site {name}: there is no worker named {workers.get(name)!r}; "
                f"there are {sorted(there, key=str)}"
            )
    if len({workers[name] for name in sites}) < len(sites):
        raise ValueError("two sites have the same worker: their rows would lie in one process")
    return {name: workers[name] for name in sites}


def _agree(found, classify):
    """Columns, their names, classes and dtype of all sites; raise ValueError if they differ."""
    for what in ("columns", "names of columns", "dtype", "kind of labels"):
        values = {name: answer[what] for name, answer in found.items() if answer[what] is not None}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{name} {_shown(value)}" for name, value in values.items())
            raise ValueError(
                f"the sites differ in {what} ({said}): one model needs the same {what}"
            )
    first = next(iter(found.values()))
    names = next((a["names of columns"] for a in found.values() if a["names of columns"]), None)
    classes = sorted({label for answer in found.values() for label in answer["classes"] or ()})
    return first["columns"], names, classes if classify else None, first["dtype"]


def _shown(value):
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else value


def _names(X):
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


def _wrong_count(what, answer, least, most):
    """What is wrong with a count that a site sent, or None."""
    count = answer.get(what)
    if not isinstance(count, Integral) or not least <= count <= most:
        limits = f"{least}" if least == most else f"from {least} to {most}"
        return f"it says {what}={count!r}; {limits} can be"
    return None


def _wrong_vector(vector, own):
    """What is wrong with the parameters that a site sent, or None."""
    if not isinstance(vector, np.ndarray) or vector.dtype.kind != "f":
        return f"it sent {getattr(vector, 'dtype', type(vector).__name__)}, not {own.dtype}"
    if vector.shape != own.shape:
        return f"it sent the shape {vector.shape}, the parameters are {own.shape}"
    with np.errstate(over="ignore"):  # too large for the model is not finite there
        bad = np.count_nonzero(~np.isfinite(vector.astype(own.dtype)))
    return f"{bad} of its {len(own)} parameters are not finite" if bad else None


def _check_arguments(sites, batch, test, combine):
    if not isinstance(sites, dict) or not sites:
        raise ValueError('sites must be a dict: {"name": function that loads its rows, ...}')
    for name, load in sites.items():
        if not callable(load):
            raise ValueError(
                f"site {name}: give a function that loads the rows at the site, not "
                f"{type(load).__name__}: rows given here would travel"
            )
    _check_count(batch=batch)
    if not isinstance(test, Real) or isinstance(test, bool) or not 0 <= test < 1:
        raise ValueError(f"test must be a share of at least 0 and below 1, not {test!r}")
    if not callable(combine):
        raise ValueError(f"combine must be a function of (vectors, rows), not {combine!r}")


def _check_quorum(quorum, sites, combine):
    """How many sites must answer; raise ValueError if the rule needs more."""
    needed = sites_needed(combine)
    if quorum is None:
        quorum = max(sites // 2 + 1, needed)
    elif isinstance(quorum, bool) or quorum not in range(1, sites + 1):
        raise ValueError(f"quorum must be from 1 to the {sites} sites, not {quorum!r}")
    if needed > min(quorum, sites):
        rule = getattr(combine, "func", combine).__name__
        known = getattr(combine, "keywords", {})
        options = f"({', '.join(f'{k}={v}' for k, v in known.items())})" if known else ""
        raise ValueError(
            f"{rule}{options} needs {needed} sites; there are {sites}, and the quorum is {quorum}: "
            "from fewer it protects against none"
        )
    return quorum


def _check_count(**numbers):
    for name, number in numbers.items():
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {number!r}")


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
