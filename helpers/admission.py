"""Who may take part in a federation: arguments, workers, sites that agree, answers that can be."""

from math import isfinite
from numbers import Integral, Real

import numpy as np

from helpers.combining import rule_name, sites_needed
from helpers.joining import known_workers

WEIGHTS = ("trained", "held", "equal")


def workers_of(client):
    """Name, nanny and host of each worker that is there, by its address."""
    workers = known_workers(client)
    keys = ("name", "nanny", "host")
    return {address: {k: worker.get(k) for k in keys} for address, worker in workers.items()}


def assign(there, sites, workers):
    """The worker of each site: as asked, or one after the other."""
    by_name = {worker["name"]: worker for worker in there.values()}
    if workers is None:
        names = sorted(by_name, key=lambda name: (len(str(name)), str(name)))
        if len(names) < len(sites):
            raise ValueError(
                f"{len(sites)} sites need as many workers, one each; there are {len(names)}"
            )
        return {site: by_name[name] for site, name in zip(sites, names, strict=False)}
    for name in sites:
        if workers.get(name) not in by_name:
            raise ValueError(
                f"site {name}: there is no worker named {workers.get(name)!r}; "
                f"there are {sorted(by_name, key=str)}"
            )
    if len({workers[name] for name in sites}) < len(sites):
        raise ValueError("two sites have the same worker: their rows would lie in one process")
    return {name: by_name[workers[name]] for name in sites}


def agree(found, classify):
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


def wrong_answer(answer, own, held, batch, batches, may_stop):
    """What is wrong with what a site answered to `helpers.sites.Site.train`, or None.

    Parameters
    ----------
    answer : object
    own : numpy.ndarray of float, shape (n_parameters,)
        Parameters of the global model.
    held, batch, batches : int
        Rows that the site has, rows of a batch, and batches that it was asked for.
    may_stop : bool
        Whether it may end the round early.

    Returns
    -------
    str or None
    """
    if not isinstance(answer, dict):
        return f"it sent {type(answer).__name__}, not an answer"
    wrong = wrong_count("batches", answer, 1 if may_stop else batches, batches)
    wrong = wrong or wrong_count("rows", answer, answer["batches"], min(batch, held) * batches)
    wrong = wrong or wrong_count("next", answer, 1, held + batch)
    wrong = wrong or wrong_vector(answer.get("vector"), own)
    if not wrong and not isinstance(answer.get("reported"), bool):
        wrong = "it does not say whether it has drifted"
    return wrong


def wrong_count(what, answer, least, most):
    """What is wrong with a count that a site sent, or None."""
    count = answer.get(what)
    if not isinstance(count, Integral) or not least <= count <= most:
        limits = f"{least}" if least == most else f"from {least} to {most}"
        return f"it says {what}={count!r}; {limits} can be"
    return None


def wrong_vector(vector, own):
    """What is wrong with the parameters that a site sent, or None."""
    if not isinstance(vector, np.ndarray) or vector.dtype.kind != "f":
        return f"it sent {getattr(vector, 'dtype', type(vector).__name__)}, not {own.dtype}"
    if vector.shape != own.shape:
        return f"it sent the shape {vector.shape}, the parameters are {own.shape}"
    with np.errstate(over="ignore"):  # too large for the model is not finite there
        bad = np.count_nonzero(~np.isfinite(vector.astype(own.dtype)))
    return f"{bad} of its {len(own)} parameters are not finite" if bad else None


def check_arguments(sites, batch, test, combine, weights, deadline, pull):
    """Raise ValueError for an argument of `Federation` that cannot be."""
    if not isinstance(sites, dict) or not sites:
        raise ValueError('sites must be a dict: {"name": function that loads its rows, ...}')
    for name, load in sites.items():
        if not callable(load):
            raise ValueError(
                f"site {name}: give a function that loads the rows at the site, not "
                f"{type(load).__name__}: rows given here would travel"
            )
    check_count(batch=batch)
    for name, share in (("test", test), ("pull", pull)):
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share < 1:
            raise ValueError(f"{name} must be a share of at least 0 and below 1, not {share!r}")
    if not callable(combine):
        raise ValueError(f"combine must be a function of (vectors, rows, before), not {combine!r}")
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, not {weights!r}")
    if not isinstance(deadline, Real) or not 0 < deadline or not isfinite(deadline):
        raise ValueError(f"deadline must be a number of seconds above 0, not {deadline!r}")


def quorum_for(quorum, sites, combine):
    """How many sites must answer; raise ValueError if the rule needs more."""
    needed, fewer = sites_needed(combine), "from fewer it protects against none"
    if needed > sites:
        raise ValueError(f"{rule_name(combine)} needs {needed} sites; there are {sites}: {fewer}")
    if quorum is None:
        return max(sites // 2 + 1, needed)
    if isinstance(quorum, bool) or quorum not in range(1, sites + 1):
        raise ValueError(f"quorum must be from 1 to the {sites} sites, not {quorum!r}")
    if needed > quorum:
        raise ValueError(f"{rule_name(combine)} needs {needed} sites; quorum={quorum}: {fewer}")
    return quorum


def check_count(**numbers):
    """Raise ValueError for a number, given by its name, that is no count."""
    for name, number in numbers.items():
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {number!r}")
