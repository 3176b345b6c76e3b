"""Rules that combine the models of several sites, and what hides a single one.

A rule is a plain function ``combine(vectors, rows, before)`` on arrays: the parameters of each
site's model, the weight of each site in rows, and the global model that all of them began with.
`helpers.federated` calls it once a round. Options are given with ``functools.partial``:

>>> rule = partial(trimmed_mean, trim=0.25)
>>> rule(np.array([[0.0], [1.0], [3.0], [900.0]]))
array([2.])
"""

from copy import copy
from functools import partial
from math import ceil, floor
from numbers import Integral, Real

import numpy as np

STEPS = 2.0**-32  # masked numbers are counted in steps of this size


def weighted_mean(vectors, rows, before=None):
    """Average the models, each weighted by its rows.

    This is federated averaging, FedAvg: McMahan, Moore, Ramage, Hampson and Agüera y Arcas,
    "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.

    Parameters
    ----------
    vectors : numpy.ndarray of float, shape (n_sites, n_parameters)
        The parameters of each site's model.
    rows : numpy.ndarray of int, shape (n_sites,)
        The weight of each site: rows that it has trained on, rows that it has, or ones.
    before : numpy.ndarray of float, shape (n_parameters,), optional
        The global model before this round; this rule does not look at it.

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


def coordinate_median(vectors, rows=None, before=None):
    """Take the median of each parameter; the rows do not count.

    One wild model among three cannot pull it far; of two models it is the mean. Yin, Chen,
    Ramchandran and Bartlett, "Byzantine-robust distributed learning", ICML 2018.

    Parameters
    ----------
    vectors, rows, before
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


def trimmed_mean(vectors, rows=None, before=None, trim=1):
    """Average each parameter without its lowest and its highest values.

    Yin, Chen, Ramchandran and Bartlett, "Byzantine-robust distributed learning", ICML 2018.

    Parameters
    ----------
    vectors, rows, before
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


def krum(vectors, rows=None, before=None, bad=1):
    """Take the one model that lies closest to its neighbours.

    Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine learning with adversaries", NeurIPS 2017.

    Parameters
    ----------
    vectors, rows, before
        As in `weighted_mean`.
    bad : int
        How many sites may lie. ``2 * bad + 3`` sites are needed.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)

    Raises
    ------
    ValueError
        If there are fewer sites than that; if a parameter is not finite.

    Examples
    --------
    >>> krum(np.array([[0.0], [1.0], [1.5], [1.75], [900.0]]))
    array([1.5])
    """
    vectors = _check_vectors(vectors)
    if len(vectors) < sites_needed(partial(krum, bad=bad)):
        raise ValueError(f"bad={bad} needs {2 * bad + 3} sites; there are {len(vectors)}")
    distances = ((vectors[:, None] - vectors) ** 2).sum(axis=2)
    near = np.sort(distances, axis=1)[:, 1 : len(vectors) - bad - 1]  # 0 is the site itself
    return vectors[near.sum(axis=1).argmin()].copy()


def clipped(vectors, rows, before, limit, rule=weighted_mean):
    """Shorten each site's step from `before` to at most `limit`, then combine.

    Parameters
    ----------
    vectors, rows, before
        As in `weighted_mean`; `before` is needed.
    limit : float
        The longest step that counts (Euclidean norm).
    rule : callable
        What combines the shortened ones.

    Returns
    -------
    numpy.ndarray of float, shape (n_parameters,)

    Examples
    --------
    >>> clipped(np.array([[3.0, 4.0], [0.0, 0.0]]), np.ones(2), np.zeros(2), limit=1.0)
    array([0.3, 0.4])
    """
    if not isinstance(limit, Real) or not limit > 0:
        raise ValueError(f"limit must be a number above 0, not {limit!r}")
    steps = _check_vectors(vectors) - before
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    shorter = before + steps * np.minimum(1, limit / np.maximum(lengths, limit))
    return rule(shorter, rows, before)


class Momentum:
    """A rule with a memory: go on in the direction of the rounds before.

    With `weighted_mean` it is FedAvgM: Hsu, Qi and Brown, "Measuring the effects of non-identical
    data distribution for federated visual classification", 2019.

    Parameters
    ----------
    beta : float
        How much of the last direction is kept, from 0 to below 1.
    rate : float
        How far to go along it.
    rule : callable
        What combines the sites' models.

    Attributes
    ----------
    velocity : numpy.ndarray of float, shape (n_parameters,), or None
        The direction of the last round; a checkpoint keeps it.

    Examples
    --------
    >>> rule, before = Momentum(beta=0.5), np.zeros(1)
    >>> for _ in range(2):
    ...     before = rule(np.array([before + 1.0]), np.ones(1), before)
    >>> before
    array([2.5])
    """

    def __init__(self, beta=0.9, rate=1.0, rule=weighted_mean):
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be from 0 to below 1, not {beta!r}")
        self.beta, self.rate, self.rule, self.velocity = beta, rate, rule, None

    def __call__(self, vectors, rows, before):
        """Combine; see `weighted_mean`."""
        step = self.rule(vectors, rows, before) - before
        self.velocity = step if self.velocity is None else self.beta * self.velocity + step
        return before + self.rate * self.velocity


def sites_needed(rule):
    """From how many sites on a rule is what its name says.

    The median of two models is their mean, `trimmed_mean` has to leave one value out at each end
    and one in the middle, `krum` needs ``2 * bad + 3``; `clipped` and `Momentum` need what the rule
    in them needs. Any other rule: 1.

    Examples
    --------
    >>> sites_needed(partial(trimmed_mean, trim=2))
    5
    """
    known = rule.keywords if isinstance(rule, partial) else {}
    rule = getattr(rule, "func", rule)
    if rule is clipped or isinstance(rule, Momentum):
        return sites_needed(known.get("rule", getattr(rule, "rule", weighted_mean)))
    if rule is coordinate_median:
        return 3
    if rule is krum:
        return 2 * known.get("bad", 1) + 3
    if rule is trimmed_mean:
        trim = known.get("trim", 1)
        return max(3, ceil(1 / trim)) if _check_trim(trim) else 2 * int(trim) + 1
    return 1


def fresh(rule):
    """Copy a rule with a memory, so that nobody else changes it; any other is as it is.

    Raises
    ------
    ValueError
        If a rule with a memory is inside of another one, where no checkpoint looks for it.

    Examples
    --------
    >>> rule = Momentum()
    >>> fresh(rule) is rule, fresh(weighted_mean) is weighted_mean
    (False, True)
    """
    inner = rule.keywords.get("rule") if isinstance(rule, partial) else getattr(rule, "rule", None)
    if hasattr(inner, "velocity"):
        raise ValueError(
            f"{rule_name(rule)}: a rule with a memory has to be the outer one, "
            "Momentum(rule=partial(clipped, limit=1.0))"
        )
    return copy(rule) if hasattr(rule, "velocity") else rule


def rule_name(rule):
    """How a rule is called, with its options."""
    known = getattr(rule, "keywords", {})
    name = getattr(getattr(rule, "func", rule), "__name__", type(rule).__name__)
    options = ", ".join(f"{k}={rule_name(v) if callable(v) else v}" for k, v in known.items())
    return f"{name}({options})" if options else name


# A sum of which nobody sees the parts.


def mask(vector, name, secrets):
    """Hide a vector behind masks that cancel in the sum over all sites.

    Each pair of sites shares a secret; from it both draw the same random numbers, which one adds
    and the other subtracts. The idea of Bonawitz and others, "Practical secure aggregation for
    privacy-preserving machine learning", CCS 2017, without its recovery: the sum needs all sites.

    Parameters
    ----------
    vector : numpy.ndarray of float, shape (n_parameters,)
        Finite numbers of at most 2**20 in size. They are rounded to whole steps of 2**-32.
    name : str
        The site's own name.
    secrets : dict of str to int
        The secret that it shares with each other site; a new one for each round, drawn with
        ``secrets.randbits(128)``.

    Returns
    -------
    numpy.ndarray of uint64, shape (n_parameters,)

    Raises
    ------
    ValueError
        If a number is not finite or too large.

    Examples
    --------
    >>> masked = {"A": mask(np.array([0.5]), "A", {"B": 7}),
    ...           "B": mask(np.array([1.5]), "B", {"A": 7})}
    >>> unmask(masked, ["A", "B"])
    array([2.])
    """
    vector = np.asarray(vector, "f8")
    if not (np.abs(vector) <= 2**20).all():
        raise ValueError("only finite numbers of at most 2**20 in size can be masked")
    hidden = np.round(vector / STEPS).astype("i8").view("u8")
    for other, secret in secrets.items():
        noise = np.frombuffer(_stream(secret, 8 * len(vector)), "<u8")
        hidden = hidden + noise if name < other else hidden - noise  # modulo 2**64
    return hidden


def _stream(secret, size):
    """As many bytes that nobody can foresee who does not know the secret."""
    from hashlib import shake_256

    return shake_256(int(secret).to_bytes(32, "big")).digest(size)


def unmask(masked, names):
    """Sum of the vectors behind `mask`; no single one can be had.

    Parameters
    ----------
    masked : dict of str to numpy.ndarray of uint64
        What each site sent.
    names : list of str
        All sites that have masked for each other.

    Returns
    -------
    numpy.ndarray of float64, shape (n_parameters,)
        The sum, of numbers rounded to steps of 2**-32.

    Raises
    ------
    ValueError
        If one of `names` did not send: its masks stay in the sum, which is noise then.
    """
    missing = sorted(set(names) - set(masked))
    if missing:
        raise ValueError(
            f"nothing came from {', '.join(missing)}, whose masks are in the others' vectors: "
            "mask again, with new secrets, without the lost"
        )
    with np.errstate(over="ignore"):
        total = np.sum([masked[name] for name in names], axis=0, dtype="u8")
    return total.view("i8") * STEPS


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
