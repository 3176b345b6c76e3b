"""Federated learning: the rows stay at their sites, only parameters and counts travel.

A *site* is a worker of a Dask cluster with rows of its own. `Federation` puts an actor on
each (`helpers.sites`), which loads the rows there and trains a model on them, and combines the
models by a rule (`helpers.combining`):

>>> sites = {"EWR": load_newark, "JFK": load_kennedy}  # doctest: +SKIP
>>> federation = Federation(client, SGDClassifier(), sites)  # doctest: +SKIP
>>> federation.run(rounds=10, batches=20)  # doctest: +SKIP
>>> federation.model.predict(rows)  # doctest: +SKIP

Dask is no trust boundary: who has the client can run any code at any site.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_array

from helpers.actors import Actors
from helpers.admission import (
    agree,
    check_arguments,
    check_count,
    quorum_for,
    wrong_answer,
    wrong_vector,
)
from helpers.checkpoint import read_checkpoint, write_checkpoint
from helpers.combining import fresh, weighted_mean
from helpers.sites import Drift, check_estimator, column_names, get_vector, prepare, set_vector
from helpers.waiting import steps


class QuorumError(RuntimeError):
    """Too few sites gave a good answer; the global model is the one from before."""


@dataclass(frozen=True)
class Round:
    """What happened in a round.

    Attributes
    ----------
    number : int
    batches, rows : dict of str to int
        Batches that each site has trained, and their rows. A site that was lost or refused is not
        in it.
    lost : tuple of str
        Sites that did not answer in time, whatever the reason.
    late : tuple of str
        Those of them whose worker is still known to the scheduler: busy, paused or cut off.
    refused : dict of str to str
        Sites that were left out because of what they sent, and what was wrong with it.
    reports : tuple of str
        Sites that reported drift.
    sent, received : int
        Bytes of parameters, from the client to the sites and back.
    seconds : float
    vectors : dict of str to numpy.ndarray
        Parameters that the sites sent.
    """

    number: int
    batches: dict
    rows: dict
    lost: tuple
    late: tuple
    refused: dict
    reports: tuple
    sent: int
    received: int
    seconds: float
    vectors: dict = field(repr=False)


class Federation:
    """Sites that train one model together, round by round, on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    estimator : scikit-learn estimator
        As for `helpers.sites.prepare`. It is copied.
    sites : dict of str to callable
        For each site a function without arguments that loads its rows, *at the site*, and returns
        ``(X, y)``: X of shape (n_rows, n_features), y of shape (n_rows,). It runs once, and again
        when the site was lost and comes back. If X is a table, the names of its columns must be the
        same at all sites; the global model has them then.
    batch : int
        Rows of a batch. A site goes through its rows in order, then again from the first.
    test : float
        Share of each site's rows, the last ones, that are kept for `score`.
    combine : callable
        ``combine(vectors, rows, before)``: a rule of `helpers.combining` or your own. The vectors
        come in the order of `sites`. One with a memory, such as `helpers.combining.Momentum`, is
        copied: two federations share none.
    weights : {"trained", "held", "equal"}
        What `combine` gets as `rows`: the rows that a site has trained on in this round, the rows
        that it has, or 1 for each site.
    quorum : int, optional
        Sites that must give a good answer in a round; default: more than half, and as many as
        `combine` needs (`helpers.combining.sites_needed`).
    deadline : float
        Seconds that a round may take, and that the sites have to load their rows at the start.
    pull : float
        How far each step of training is drawn back to the global model, from 0 (FedAvg) to below 1:
        the proximal step of FedProx (Li and others, 2020) with ``pull = eta * mu / (1 + eta * mu)``
    workers : dict of str to str or int, optional
        The name of each site's worker; default: one worker after the other, in order of names.
    checkpoint : str or path, optional
        A file to which the global model and its round are written after each round. If it is there,
        this federation goes on from it.

    Attributes
    ----------
    model : scikit-learn estimator
        The global model.
    number : int
        Rounds so far, with those before a checkpoint.
    history : list of Round
        Rounds of this federation.
    lost : set of str
        Sites that are not ready.
    places : dict of str to str
        Address of each site's worker.

    Raises
    ------
    ValueError
        If the estimator cannot be federated; a site has no worker, too few rows, rows or labels
        that are missing or not finite, one class only; the sites differ in columns, their names,
        dtype or kind of labels; `combine` needs more sites than the quorum; or the checkpoint is of
        another model.
    RuntimeError
        If a site was lost while it loaded its rows, or is not ready at the deadline.

    Notes
    -----
    A round is one task per site, and it waits for these tasks and no others, until its deadline.
    They ask the actors, so what a site knows stays in its worker's process. Who has not answered by
    then is left out, and its answer is never used; it is asked again when it is free. A site whose
    worker was lost is opened again on a worker of the same name or nanny, else on one that is free
    (with `workers`, on the same host). It passes the checks of the start again and goes on at the
    row and the step size where the last round with it left them, or the others are. A site that
    sends what cannot be, such as NaN or more rows than it was asked for, is left out of the round.
    A site that raises an error is left out, too; if so many do that the quorum is missed, the first
    error is raised here.
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
        weights="trained",
        quorum=None,
        deadline=120,
        pull=0.0,
        workers=None,
        checkpoint=None,
    ):
        check_estimator(estimator)
        check_arguments(sites, batch, test, combine, weights, deadline, pull)
        self.combine, self.weights = fresh(combine), weights
        self._quorum, self.quorum = quorum, quorum_for(quorum, len(sites), combine)
        self.deadline, self.number, self.history = deadline, 0, []
        self._batch, self._test, self._pull, self._checkpoint = batch, test, pull, checkpoint
        self._classify = is_classifier(estimator)
        self._actors = Actors(client, sites, (batch, test, self._classify), workers)
        try:
            self._begin(estimator, monotonic() + deadline)
        except BaseException:
            self.close()
            raise

    def _begin(self, estimator, until):
        """Open the sites, compare what they found, and give them a model to train."""
        self._found, errors = self._actors.open(until)
        if errors:
            raise next(iter(errors.values()))
        if late := sorted(self._actors.opening):
            raise RuntimeError(f"not ready after {self.deadline:g} s with their rows: {late}")
        if self.lost:
            why = self._actors.losses
            said = [f"{name} ({why[name]})" if name in why else name for name in sorted(self.lost)]
            raise RuntimeError(f"lost while they loaded their rows: {', '.join(said)}")
        columns, names, classes, dtype = agree(self._found, self._classify)
        self.model = prepare(estimator, columns, classes, dtype)
        if names:
            self.model.feature_names_in_ = np.array(names, dtype=object)
        self._next = dict.fromkeys(self._found, 0)
        self._seen = dict.fromkeys(self._found, getattr(self.model, "t_", None))
        if self._checkpoint is not None and Path(self._checkpoint).exists():
            self._resume()
        missing = self._found.keys() - self._start(self._found, until)
        if missing:
            raise RuntimeError(f"not ready after {self.deadline:g} s: {sorted(missing)}")

    @property
    def lost(self):
        """Sites that are not ready, a set of str."""
        return self._actors.lost

    @property
    def places(self):
        """Address of each site's worker, a dict of str to str."""
        return self._actors.places

    def round(self, batches, drift=None):
        """Train at every site, then combine the models.

        Parameters
        ----------
        batches : int
            For each site to train on.
        drift : Drift, optional
            End the round as soon as a site has drifted: it stops, and the others stop after the
            batch that they are in. So `batches` is the most that a site trains on.

        Returns
        -------
        Round

        Raises
        ------
        QuorumError
            If too few sites answered in time. If anything is raised, the global model and the
            place of each site in its rows stay as they were.
        """
        check_count(batches=batches)
        if drift is not None and not isinstance(drift, Drift):
            raise ValueError(f"drift must be a Drift or None, not {drift!r}")
        start, number, before = monotonic(), self.number + 1, get_vector(self.model)
        refused = self._welcome(start + self.deadline / 2)
        asked = {
            name: (number, before, self._next[name], self._seen[name], batches, drift, self._pull)
            for name in self._actors.here()
        }
        answers, errors = self._actors.ask("train", asked, start + self.deadline, number)
        if errors and len(answers) < self.quorum:  # not one bad site, but a mistake at most of them
            raise next(iter(errors.values()))
        refused |= {name: f"{type(e).__name__}: {e}" for name, e in errors.items()}
        refused |= self._refuse(answers, batches, drift)
        lost = [n for n in self._actors.loads if n not in answers and n not in refused]
        answers = {name: answer for name, answer in answers.items() if name not in refused}
        self._check_quorum(answers, lost, refused)
        vectors = {name: answer["vector"] for name, answer in answers.items()}
        rows = {name: answer["rows"] for name, answer in answers.items()}
        self._combine(vectors, rows, before)
        self._go_on(answers)
        record = Round(
            number=number,
            batches={name: answer["batches"] for name, answer in answers.items()},
            rows=rows,
            lost=tuple(lost),
            late=tuple(n for n in lost if n in self._actors.busy or n in self._actors.opening),
            refused=refused,
            reports=tuple(name for name, answer in answers.items() if answer["reported"]),
            sent=len(asked) * before.nbytes,
            received=sum(vector.nbytes for vector in vectors.values()),
            seconds=monotonic() - start,
            vectors=vectors,
        )
        self.number = number
        self.history.append(record)
        self._save()
        return record

    def run(self, rounds, batches, drift=None):
        """Do several rounds; see `round`. Returns their records, a list of Round."""
        check_count(rounds=rounds)
        return [self.round(batches, drift) for _ in steps(range(rounds), "training", "rounds")]

    def add(self, name, load, worker=None):
        """Let one more site join, from the next round on that finds it ready.

        Parameters
        ----------
        name : str
        load : callable
            As in `sites`.
        worker : str or int, optional
            The name of its worker; default: any that is free.
        """
        if name in self._actors.loads or not callable(load):
            raise ValueError(f"add needs a new name and a function, not {name!r} and {load!r}")
        self._actors.add(name, load, worker)
        self.quorum = quorum_for(self._quorum, len(self._actors.loads), self.combine)
        self._next[name], self._seen[name] = 0, max(self._seen.values(), key=lambda n: n or 0)

    def wait_for_sites(self, timeout=60):
        """Wait until all sites are ready; raise TimeoutError if they are not, and say which."""
        until, why = monotonic() + timeout, {}
        while True:
            why |= self._welcome(until)
            missing = sorted(self.lost | set(self._actors.busy))
            if not missing:
                return
            if monotonic() > until:
                said = [f"{name} ({why[name]})" if name in why else name for name in missing]
                raise TimeoutError(f"not ready after {timeout:g} s: {', '.join(said)}")
            sleep(0.1)

    def score(self, model=None):
        """Score a model on the rows kept for testing.

        Parameters
        ----------
        model : scikit-learn estimator or numpy.ndarray, optional
            Or its parameters, such as those in ``history[-1].vectors``; default: the global model.

        Returns
        -------
        scores : dict of str to float
            What the estimator's ``score`` gives: accuracy, R².
        rows : dict of str to int
            How many rows were scored: weights for a mean over sites.
        """
        if not self._test:
            raise ValueError("no rows were kept for testing: Federation(..., test=0.25)")
        vector = self.model if model is None else model
        vector = vector if isinstance(vector, np.ndarray) else get_vector(vector)
        asked = {name: (vector,) for name in self._actors.here()}
        answers, errors = self._actors.ask("score", asked, monotonic() + self.deadline)
        if errors:
            raise next(iter(errors.values()))
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
        known, names = getattr(self.model, "feature_names_in_", None), column_names(rows)
        if known is not None and names is not None and list(known) != list(names):
            raise ValueError(f"the columns are {list(names)}, the model learned {list(known)}")
        rows = check_array(rows)
        self._actors.check_here(site)
        return self._actors.handle(site).label(rows).result(timeout=self.deadline)

    def arrive(self, site, load):
        """Let rows arrive at a site, which labels them with the global model.

        Parameters
        ----------
        site : str
        load : callable
            Runs at the site and returns X; neither the rows nor their labels leave it.

        Returns
        -------
        str
            A ticket, for `truth`.
        """
        ticket = uuid4().hex
        values = (ticket, load, get_vector(self.model))
        self._actors.tell(site, "arrive", values, self.deadline)
        return ticket

    def truth(self, site, ticket, load):
        """Let the true labels of rows that arrived come in; the site trains on the rows from then.

        They come after all rows that it has. A site that is lost forgets them, unless the function
        that loads its rows returns them, too.

        Parameters
        ----------
        site : str
        ticket : str
            From `arrive`.
        load : callable
            Runs at the site and returns y.

        Returns
        -------
        float
            Share of the labels that were wrong; for a regressor, the mean squared error.
        """
        values = (ticket, load, self._classify)
        error, rows = self._actors.tell(site, "truth", values, self.deadline)
        self._found[site]["rows"] = rows
        return error

    def close(self):
        """Let go of the sites: their workers forget rows and models. The cluster stays."""
        self._actors.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _refuse(self, answers, batches, drift):
        """What is wrong with the answers of some sites, by their names."""
        own, refused = get_vector(self.model), {}
        for name, answer in answers.items():
            held = self._found[name]["rows"]
            if wrong := wrong_answer(answer, own, held, self._batch, batches, bool(drift)):
                refused[name] = wrong
        return refused

    def _combine(self, vectors, trained, before):
        """Make the next global model out of what the sites sent; all of it or nothing."""
        held = {name: self._found[name]["rows"] for name in vectors}
        rows = {"trained": trained, "held": held, "equal": dict.fromkeys(vectors, 1)}[self.weights]
        rows, rule = np.array([rows[name] for name in vectors]), fresh(self.combine)
        combined = np.asarray(rule(np.array(list(vectors.values())), rows, before))
        if combined.shape != before.shape:
            raise ValueError(
                f"combine gave the shape {combined.shape}, the parameters are {before.shape}"
            )
        if not np.isfinite(combined.astype(before.dtype)).all():
            raise ValueError("combine gave parameters that are not finite")
        self.combine = rule  # with its memory
        set_vector(self.model, combined)

    def _go_on(self, answers):
        """Note where each site is in its rows, and how far the others' step sizes are."""
        for name, answer in answers.items():
            self._next[name] = int(answer["next"])
            if self._seen[name] is not None:
                self._seen[name] += int(answer["rows"])
        if None not in self._seen.values():
            most = max(self._seen[name] for name in answers)
            self._seen |= {n: most for n in self._seen if n not in answers and self._seen[n] < most}

    def _check_quorum(self, good, lost, refused):
        if len(good) >= self.quorum:
            return
        why = [f"lost: {', '.join(lost)}"] if lost else []
        why += [f"refused: {name}, {wrong}" for name, wrong in refused.items()]
        advice = "look at these sites" if refused else "wait for the workers"
        raise QuorumError(
            f"{len(good)} of {len(self._actors.loads)} sites answered{' well' if refused else ''} "
            f"within {self.deadline:g} s, quorum is {self.quorum}; {'; '.join(why)}. The model is "
            f"that of the round before: {advice} and repeat the round"
        )

    def _start(self, names, until):
        """Give sites the model to train; those that have it."""
        answers, errors = self._actors.ask("start", {n: (self.model,) for n in names}, until)
        if errors:
            raise next(iter(errors.values()))
        return answers.keys()

    def _welcome(self, until):
        """Open the lost sites whose workers are there again; see who is free again.

        Returns what is wrong, by their names, with those that cannot be used.
        """
        self._actors.look()
        found, errors = self._actors.open(until)
        refused = {name: str(error).splitlines()[0] for name, error in errors.items()}
        for name, answer in found.items():
            try:
                agree(self._found | {name: answer}, self._classify)
                new = set(answer["classes"] or ()) - set(getattr(self.model, "classes_", ()))
                if new:
                    raise ValueError(f"it came with labels that are unknown: {sorted(new)}")
                self._found[name] = answer
                if not self._start([name], until):
                    self._actors.forget(name)  # too late: it is opened again in the next round
            except ValueError as error:
                refused[name] = str(error).splitlines()[0]
                self._actors.forget(name)  # it is not ready, and counts as lost
        return refused

    def _save(self):
        """Write the checkpoint."""
        if self._checkpoint is None:
            return
        seen = [-1 if count is None else count for count in self._seen.values()]
        state = {
            "number": self.number,
            "vector": get_vector(self.model),
            "classes": getattr(self.model, "classes_", np.zeros(0)),
            "sites": np.array(list(self._next)),
            "next": np.array(list(self._next.values())),
            "seen": np.array(seen, dtype=float),
        }
        if getattr(self.combine, "velocity", None) is not None:
            state["velocity"] = self.combine.velocity
        write_checkpoint(self._checkpoint, state)

    def _resume(self):
        """Go on from the checkpoint."""
        names = ("number", "vector", "classes", "sites", "next", "seen")
        state, own = read_checkpoint(self._checkpoint, names), get_vector(self.model)
        vector, classes = state["vector"], state["classes"].tolist()
        mine = getattr(self.model, "classes_", np.zeros(0)).tolist()
        if wrong_vector(vector, own) or vector.dtype != own.dtype or mine != classes:
            raise ValueError(
                f"{self._checkpoint} is the checkpoint of another model: {vector.shape} "
                f"{vector.dtype} and the classes {classes}; this one has {own.shape} {own.dtype} "
                f"and {mine}"
            )
        if hasattr(self.combine, "velocity"):
            self.combine.velocity = state.get("velocity")
        set_vector(self.model, vector)
        self.number = int(state["number"])
        for name, place, seen in zip(state["sites"], state["next"], state["seen"], strict=True):
            if name in self._next:
                self._next[str(name)] = int(place)
                self._seen[str(name)] = None if seen < 0 else float(seen)
