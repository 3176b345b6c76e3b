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

import os
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

import numpy as np
from distributed import Actor, wait
from distributed import TimeoutError as DaskTimeoutError
from sklearn.base import is_classifier
from sklearn.utils import check_array

from helpers.admission import (
    agree,
    assign,
    check_arguments,
    check_count,
    quorum_for,
    workers_of,
    wrong_count,
    wrong_vector,
)
from helpers.combining import fresh, sites_needed, weighted_mean
from helpers.sites import Site, ask, check_estimator, column_names, get_vector, prepare, set_vector
from helpers.waiting import steps


class QuorumError(RuntimeError):
    """Too few sites gave a good answer; the global model is the one from before."""


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
        self.client, self.combine, self.weights = client, fresh(combine), weights
        self.quorum = quorum_for(quorum, len(sites), combine)
        self.deadline, self._pull, self._checkpoint = deadline, pull, checkpoint
        self.number, self.history, self.lost, self.places = 0, [], set(sites), {}
        self._loads, self._settings = dict(sites), (batch, test)
        self._classify, self._anywhere = is_classifier(estimator), workers is None
        self._homes = assign(workers_of(client), sites, workers)
        self._actors, self._opening, self._busy, self._tickets = {}, {}, {}, 0
        self._found, self._next, self._seen = {}, dict.fromkeys(sites, 0), {}
        until = monotonic() + deadline
        try:
            self._found, errors = self._open(until)
            if errors:
                raise next(iter(errors.values()))
            if missing := sorted(self.lost):
                gone = [name for name in missing if name not in self._opening]
                why = "lost while they loaded" if gone else f"not ready after {deadline:g} s with"
                raise RuntimeError(f"{why} their rows: {gone or missing}")
            columns, names, classes, dtype = agree(self._found, self._classify)
            self.model = prepare(estimator, columns, classes, dtype)
            if names:
                self.model.feature_names_in_ = np.array(names, dtype=object)
            self._seen = dict.fromkeys(sites, getattr(self.model, "t_", None))
            if checkpoint is not None and Path(checkpoint).exists():
                self._resume()
            ready = self._ask("start", {name: (self.model,) for name in sites}, until)
            if missing := [name for name in sites if name not in ready]:
                raise RuntimeError(f"not ready after {deadline:g} s: {missing}")
        except BaseException:
            self.close()
            raise

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
            for name in self._here()
        }
        errors = {}
        answers = self._ask("train", asked, start + self.deadline, errors, number)
        if errors and len(answers) < self.quorum:  # not one bad site, but a mistake at most of them
            raise next(iter(errors.values()))
        refused |= {name: f"{type(e).__name__}: {e}" for name, e in errors.items()}
        refused |= self._refuse(answers, batches, drift)
        lost = tuple(name for name in self._loads if name not in answers and name not in refused)
        answers = {name: answer for name, answer in answers.items() if name not in refused}
        self._check_quorum(answers, lost, refused)
        vectors = {name: answer["vector"] for name, answer in answers.items()}
        self._combine(vectors, {name: answer["rows"] for name, answer in answers.items()}, before)
        self._go_on(answers)
        record = Round(
            number=number,
            batches={name: answer["batches"] for name, answer in answers.items()},
            rows={name: answer["rows"] for name, answer in answers.items()},
            lost=lost,
            late=tuple(name for name in lost if name in self._busy or name in self._opening),
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
        if name in self._loads or not callable(load):
            raise ValueError(f"add needs a new name and a function, not {name!r} and {load!r}")
        home = {"name": worker, "nanny": None, "host": None}
        self._loads[name], self._homes[name] = load, home
        self.lost.add(name)
        self._next[name], self._seen[name] = 0, max(self._seen.values(), key=lambda n: n or 0)

    def wait_for_sites(self, timeout=60):
        """Wait until all sites are ready; raise TimeoutError if they are not, and say which."""
        until, why = monotonic() + timeout, {}
        while True:
            why |= self._welcome(until)
            missing = sorted(self.lost | set(self._busy))
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
        if not self._settings[1]:
            raise ValueError("no rows were kept for testing: Federation(..., test=0.25)")
        vector = self.model if model is None else model
        vector = vector if isinstance(vector, np.ndarray) else get_vector(vector)
        asked = {name: (vector,) for name in self._here()}
        answers = self._ask("score", asked, monotonic() + self.deadline)
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
        self._check_here(site)
        return self._handle(site).label(check_array(rows)).result(timeout=self.deadline)

    def arrive(self, site, load):
        """Let rows arrive at a site, which labels them with the global model.

        Parameters
        ----------
        site : str
        load : callable
            Runs at the site and returns X; neither the rows nor their labels leave it.

        Returns
        -------
        int
            A ticket, for `truth`.
        """
        self._check_here(site)
        self._tickets += 1
        self._tell(site, "arrive", self._tickets, load, get_vector(self.model))
        return self._tickets

    def truth(self, site, ticket, load):
        """Let the true labels of rows that arrived come in; the site trains on the rows from then.

        They come after all rows that it has. A site that is lost forgets them, unless the function
        that loads its rows returns them, too.

        Parameters
        ----------
        site : str
        ticket : int
            From `arrive`.
        load : callable
            Runs at the site and returns y.

        Returns
        -------
        float
            Share of the labels that were wrong; for a regressor, the mean squared error.
        """
        error, rows = self._tell(site, "truth", ticket, load, self._classify)
        self._found[site]["rows"] = rows
        return error

    def close(self):
        """Let go of the sites: their workers forget rows and models. The cluster stays."""
        if self._actors is not None and self.client.status == "running":
            # The error of a site refers to its actor: to drop our futures is not enough.
            futures = [*self._opening.values(), *self._busy.values(), *self._actors.values()]
            self.client.cancel(futures, force=True)
        self._actors, self._opening, self._busy = None, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _refuse(self, answers, batches, drift):
        """What is wrong with the answers of some sites, by their names."""
        own, refused = get_vector(self.model), {}
        for name, answer in answers.items():
            if not isinstance(answer, dict):
                refused[name] = f"it sent {type(answer).__name__}, not an answer"
                continue
            held = self._found[name]["rows"]
            wrong = wrong_count("batches", answer, 1 if drift else batches, batches)
            most = min(self._settings[0], held) * batches
            wrong = wrong or wrong_count("rows", answer, answer["batches"], most)
            wrong = wrong or wrong_count("next", answer, 1, held + self._settings[0])
            wrong = wrong or wrong_vector(answer.get("vector"), own)
            if wrong or not isinstance(answer.get("reported"), bool):
                refused[name] = wrong or "it does not say whether it has drifted"
        return refused

    def _combine(self, vectors, trained, before):
        """Make the next global model out of what the sites sent."""
        held = {name: self._found[name]["rows"] for name in vectors}
        rows = {"trained": trained, "held": held, "equal": dict.fromkeys(vectors, 1)}[self.weights]
        rows = np.array([rows[name] for name in vectors])
        memory = getattr(self.combine, "velocity", None)
        try:
            combined = np.asarray(self.combine(np.array(list(vectors.values())), rows, before))
            if combined.shape != before.shape:
                raise ValueError(
                    f"combine gave the shape {combined.shape}, the parameters are {before.shape}"
                )
            if not np.isfinite(combined.astype(before.dtype)).all():
                raise ValueError("combine gave parameters that are not finite")
        except BaseException:
            if hasattr(self.combine, "velocity"):
                self.combine.velocity = memory
            raise
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

    def _here(self):
        return [name for name in self._loads if name not in self.lost and name not in self._busy]

    def _check_here(self, site):
        if self._actors is None or site not in self._loads or site in self.lost:
            raise ValueError(f"no site {site!r} is here; there are {self._here()}")

    def _handle(self, site):
        """A handle of a site's actor, made here: a worker that hangs would not send it.

        It speaks through the client that is current when it is made, which need not be ours.
        """
        with self.client.as_current():
            return Actor(Site, self.places[site], self._actors[site].key)

    def _tell(self, site, method, *arguments):
        """Ask one site, which has to answer."""
        self._check_here(site)
        answers = self._ask(method, {site: arguments}, monotonic() + self.deadline)
        if site not in answers:
            raise RuntimeError(f"site {site} did not answer within {self.deadline:g} s, or is lost")
        return answers[site]

    def _check_quorum(self, good, lost, refused):
        if len(good) >= max(self.quorum, sites_needed(self.combine)):
            return
        why = [f"lost: {', '.join(lost)}"] if lost else []
        why += [f"refused: {name}, {wrong}" for name, wrong in refused.items()]
        raise QuorumError(
            f"{len(good)} of {len(self._loads)} sites answered{' well' if refused else ''} within "
            f"{self.deadline:g} s, quorum is {self.quorum}; {'; '.join(why)}. The model is that of "
            f"the round before: {'look at these sites' if refused else 'wait for the workers'} and "
            "repeat the round"
        )

    def _submit(self, name, method, arguments):
        return self.client.submit(
            ask, self._actors[name], method, *arguments, pure=False,
            key=f"{method}-{name}-{uuid4().hex}", workers=[self.places[name]],
        )  # fmt: skip

    def _ask(self, method, arguments, until, errors=None, number=None):
        """Ask several sites at once; return the answers that come in time.

        An error at a site goes to `errors`, if given, and is raised otherwise. With the number of a
        round, the first report of drift ends it at all sites, and so does its deadline.
        """
        if self._actors is None:
            raise ValueError("this federation is closed: its sites have forgotten everything")
        futures = {name: self._submit(name, method, values) for name, values in arguments.items()}
        answers, waiting, told = {}, dict(futures), False
        while waiting and _wait(waiting.values(), until):
            for name in [name for name, future in waiting.items() if future.done()]:
                future = waiting.pop(name)
                if future.status == "finished":
                    found, answer = _result(future, until)
                    if found:
                        answers[name] = answer
                elif self._actors[name].status != "finished":  # gone, and so is its worker
                    self.lost.add(name)
                elif future.status == "error":
                    error = future.exception()
                    error.add_note(f"raised at site {name}")
                    if errors is None:
                        raise error
                    errors[name] = error
            if number and not told and any(_reports(answer) for answer in answers.values()):
                told = self._stop(waiting, number)
        if number:
            self._stop(waiting, number)
        self._busy |= waiting  # kept to see when they are free; the answers are not looked at
        order = [name for name in arguments if name in answers]
        return {name: answers[name] for name in order}

    def _stop(self, names, number):
        """Tell sites to end a round after the batch that they are in; wait for none of them."""
        for name in names:
            if self._actors[name].status == "finished":
                self._handle(name).stop(number)
        return True

    def _open(self, until):
        """Open sites that are lost and have a worker; what the ready ones found, and errors.

        Those that are opened now have until then.
        """
        there, found, errors, new = workers_of(self.client), {}, {}, set()
        for name in [name for name in self._opening if self.places[name] not in there]:
            self._forget(name)
        for name in self._loads:
            place = self._place(name, there)
            if name in self.lost and name not in self._opening and place:
                self.places[name] = place
                self._homes[name] = self._homes[name] | there[place]
                self._actors[name] = self.client.submit(
                    Site, name, self._loads[name], *self._settings, actor=True, pure=False,
                    key=f"site-{name}-{uuid4().hex}", workers=[place],
                )  # fmt: skip
                self._opening[name] = self._submit(name, "open", (self._classify,))
                new.add(name)
        waiting = dict(self._opening)
        # One that has had its time already is looked at, and nobody waits for it again.
        while waiting and _wait(waiting.values(), until if new & waiting.keys() else monotonic()):
            for name in [name for name, future in waiting.items() if future.done()]:
                future = waiting.pop(name)
                ready, answer = _result(future, until) if future.status == "finished" else (0, 0)
                if ready:
                    found[name] = answer
                    self.lost.discard(name)
                    del self._opening[name]
                    continue
                if future.status == "error" and self._actors[name].status == "finished":
                    errors[name] = future.exception()
                    errors[name].add_note(f"raised at site {name}")
                self._forget(name)
        return {name: found[name] for name in self._loads if name in found}, errors

    def _forget(self, name):
        """Give up a site's actor; it counts as lost."""
        known = (self._opening, self._busy, self._actors)
        futures = [futures.pop(name, None) for futures in known]
        self.client.cancel([future for future in futures if future is not None], force=True)
        self.lost.add(name)

    def _place(self, name, there):
        """Address of a free worker for a site: its own one, if that is back under any address."""
        taken = {self.places[n] for n in self.places if n not in self.lost or n in self._opening}
        free, home = sorted(set(there) - taken), self._homes[name]
        for key in ("name", "nanny"):
            for address in free:
                if there[address][key] is not None and there[address][key] == home.get(key):
                    return address
        others = [self._homes[n] for n in self._loads if n != name]
        for address in free:
            kept = any(there[address]["name"] == other["name"] for other in others)
            if not kept and (self._anywhere or there[address]["host"] == home["host"]):
                return address
        return None

    def _welcome(self, until):
        """Open the lost sites whose workers are there again; see who is free again.

        Returns what is wrong, by their names, with those that cannot be used.
        """
        if self._actors is None:
            raise ValueError("this federation is closed: its sites have forgotten everything")
        there = workers_of(self.client)
        for name, actor in list(self._actors.items()):
            gone = actor.status not in ("finished", "pending") or self.places[name] not in there
            if gone and name not in self._opening:
                self._busy.pop(name, None)
                self._forget(name)
        self._busy = {name: future for name, future in self._busy.items() if not future.done()}
        found, errors = self._open(until)
        refused = {name: str(error).splitlines()[0] for name, error in errors.items()}
        for name, answer in found.items():
            try:
                agree(self._found | {name: answer}, self._classify)
                new = set(answer["classes"] or ()) - set(getattr(self.model, "classes_", ()))
                if new:
                    raise ValueError(f"it came with labels that are unknown: {sorted(new)}")
                self._found[name] = answer
                if name not in self._ask("start", {name: (self.model,)}, until):
                    self._forget(name)  # too late: it is opened again in the next round
            except ValueError as error:
                refused[name] = str(error).splitlines()[0]
                self._forget(name)  # it is not ready, and counts as lost
        return refused

    def _save(self):
        """Write the checkpoint: all of it or nothing."""
        if self._checkpoint is None:
            return
        path = Path(self._checkpoint)
        seen = [-1 if self._seen[name] is None else self._seen[name] for name in self._loads]
        state = {
            "number": self.number,
            "vector": get_vector(self.model),
            "classes": getattr(self.model, "classes_", np.zeros(0)),
            "sites": np.array(list(self._loads)),
            "next": np.array([self._next[name] for name in self._loads]),
            "seen": np.array(seen, dtype=float),
        }
        if getattr(self.combine, "velocity", None) is not None:
            state["velocity"] = self.combine.velocity
        part = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with open(part, "wb") as file:
                np.savez(file, allow_pickle=False, **state)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _resume(self):
        """Go on from the checkpoint."""
        path, own = Path(self._checkpoint), get_vector(self.model)
        try:
            with np.load(path, allow_pickle=False) as file:
                state = dict(file)
            vector, classes, number = state["vector"], state["classes"], int(state["number"])
            names, places = state["sites"].tolist(), state["next"].tolist()
            seen = state["seen"].tolist()
        except Exception as error:
            raise ValueError(f"{path} is no checkpoint of a federation: {error}") from None
        mine = getattr(self.model, "classes_", np.zeros(0))
        if wrong_vector(vector, own) or vector.dtype != own.dtype or list(mine) != list(classes):
            raise ValueError(
                f"{path} is the checkpoint of another model: {vector.shape} {vector.dtype} and the "
                f"classes {list(classes)}; this one has {own.shape} {own.dtype} and {list(mine)}"
            )
        if hasattr(self.combine, "velocity"):
            self.combine.velocity = state.get("velocity")
        set_vector(self.model, vector)
        self.number = number
        for name, place, count in zip(names, places, seen, strict=True):
            if name in self._loads:
                self._next[name] = place
                self._seen[name] = None if count < 0 else count


def _wait(futures, until):
    """Wait for one of them to end; whether one has, before it is too late."""
    futures = list(futures)
    try:
        wait(futures, timeout=max(until - monotonic(), 0.01), return_when="FIRST_COMPLETED")
    except (DaskTimeoutError, TimeoutError):
        pass
    return any(future.done() for future in futures)


def _result(future, until):
    """Whether the result came in time, and it: its worker may stop before it has sent it."""
    try:
        return True, future.result(timeout=max(until - monotonic(), 0.5))
    except (DaskTimeoutError, TimeoutError, RuntimeError):
        return False, None


def _reports(answer):
    return isinstance(answer, dict) and answer.get("reported") is True
