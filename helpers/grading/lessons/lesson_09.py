"""Exercises of lesson 09: rules that combine models, rounds that wait, quorum and drift."""

import threading

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.workers import workers_here


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _kind(facts):
    return _dict(facts).get("type")


def _values(facts):
    return _dict(facts).get("values")


# 09.1 weighted_average


def _uneven(seed):
    rng = np.random.default_rng([1, seed])
    return rng.normal(size=(4, 3)), rng.permutation([100, 300, 1_100, 4_000])


def _observe_weighted_average(function, seed):
    vectors, rows = _uneven(seed)
    return describe(function(vectors, rows))


def _judge_weighted_average(facts, seed):
    vectors, rows = _uneven(seed)
    hint = "Nothing came back: end the function with return."
    if _kind(facts) != "none":
        hint = f"Return one NumPy array, not {_kind(facts)}."
    yield Check(0, "returns an array", _kind(facts) == "array", hint)
    hint = "One number for each parameter: average over the sites, which are the first axis."
    right = _dict(facts).get("shape") == [vectors.shape[1]]
    yield Check(1, "one number for each parameter", right, hint)
    values, shares = _values(facts), rows / rows.sum()
    hint = "Multiply each vector by its site's share of all rows, then add them up."
    if close(values, vectors.mean(axis=0).tolist()):
        hint = "Every site counts the same here: a site with more rows must count more."
    elif close(values, (rows @ vectors).tolist()):
        hint = "That is a weighted sum: divide by the number of all rows."
    elif close(values, (rows @ vectors / len(rows)).tolist()):
        hint = "Divide by the number of all rows, not by the number of sites."
    elif close(values, np.median(vectors, axis=0).tolist()):
        hint = "That is the median: it does not look at the rows."
    yield Check(1, "weighs by rows", close(values, (shares @ vectors).tolist()), hint)


# 09.2 trimmed


def _wild(seed):
    """Vectors of seven sites: each parameter has its extremes at other sites."""
    rng = np.random.default_rng([2, seed])
    vectors = rng.normal(size=(7, 5))
    for column in range(5):
        vectors[rng.permutation(7)[:2], column] = [60 + column, -30 - column]
    return vectors


TRIMS = (1, 2, 3, 0)


def _observe_trimmed(function, seed):
    facts, vectors = {}, _wild(seed)
    for n in TRIMS:
        given = vectors.copy()
        facts[str(n)] = describe(function(given, n))
        facts[f"kept {n}"] = bool((given == vectors).all())
    return facts


def _trim(vectors, low, high):
    return np.sort(vectors, axis=0)[low : len(vectors) - high].mean(axis=0).tolist()


def _judge_trimmed(facts, seed):
    facts, vectors = _dict(facts), _wild(seed)
    one = _values(facts.get("1"))
    kind = _kind(facts.get("1"))
    hint = "Nothing came back: end the function with return."
    if kind != "none":
        hint = f"Return one NumPy array, not {kind}."
    yield Check(0, "returns an array", kind == "array", hint)
    shape = _dict(facts.get("1")).get("shape")
    hint = "One number for each parameter: average over the sites, which are the first axis."
    yield Check(0, "one number for each parameter", shape == [vectors.shape[1]], hint)
    hint = "Sort each parameter over the sites, leave out n values at both ends, average the rest."
    if close(one, vectors.mean(axis=0).tolist()):
        hint = "Nothing was left out: that is the plain mean."
    elif close(one, _trim(vectors, 0, 1)) or close(one, _trim(vectors, 1, 0)):
        hint = "Only one end was cut: leave out the lowest values and the highest ones."
    elif close(one, vectors[1:-1].mean(axis=0).tolist()):
        hint = "The first and the last site were left out, whatever they say: sort first."
    elif close(one, np.median(vectors, axis=0).tolist()):
        hint = "That is the median: it leaves out everything but the middle."
    elif any(close(one, vectors[list(keep)].mean(axis=0).tolist()) for keep in _subsets()):
        hint = "Whole sites were left out: each parameter has its own lowest and highest site."
    yield Check(1, "leaves out the lowest and the highest value", close(one, _trim(vectors, 1, 1)),
                hint)  # fmt: skip
    hint = "With another n the result is wrong: leave out n values at each end."
    if close(_values(facts.get("2")), one):
        hint = "With n=2 the same came back as with n=1: use n."
    elif not close(_values(facts.get("0")), _trim(vectors, 0, 0)):
        hint = "With n=0 nothing is left out. Beware of the slice [0:-0]: it is empty."
    right = all(close(_values(facts.get(str(n))), _trim(vectors, n, n)) for n in TRIMS)
    yield Check(1, "leaves out n at each end, for any n", right, hint)
    hint = "The caller's array was changed: sort a copy."
    kept = all(facts.get(f"kept {n}") is True for n in TRIMS)
    yield Check(1, "leaves the vectors as they were", kept, hint)


def _subsets():
    """Five of seven sites."""
    return [set(range(7)) - {a, b} for a in range(7) for b in range(a)]


# 09.3 federated_round


class Trainer:
    """A site whose training is easy to foresee: it adds its own step for each batch."""

    together = None  # a barrier that all sites reach, if they train at the same time
    calls = None

    def __init__(self, number, step, rows):
        self.number, self.step, self.rows = number, step, rows

    def train(self, vector, batches):
        """Begin with a global model, train, return parameters and the number of rows."""
        given = np.asarray(vector, dtype="float64").tolist()
        try:
            Trainer.together.wait(0.3)
            alone = False
        except threading.BrokenBarrierError:
            alone = True
        Trainer.calls.append([self.number, given, int(batches), alone])
        return np.asarray(vector) + batches * self.step, int(batches) * self.rows


def _plan(seed):
    rng = np.random.default_rng([3, seed])
    steps, sizes = rng.normal(size=(3, 4)), rng.permutation([32, 64, 256])
    return rng.normal(size=4), steps, sizes, int(rng.integers(3, 9))


def _observe_federated_round(function, seed):
    start, steps, sizes, batches = _plan(seed)
    Trainer.together, Trainer.calls = threading.Barrier(3), []
    with workers_here([1, 1, 1]) as (client, _):
        places = sorted(client.nthreads())
        futures = [
            client.submit(Trainer, n, steps[n], int(sizes[n]), actor=True, workers=[places[n]])
            for n in range(3)
        ]
        sites = dict(zip(("EWR", "JFK", "LGA"), client.gather(futures), strict=True))
        answer = function(sites, start.copy(), batches)
        done = len(Trainer.calls)
        return {"answer": describe(answer), "done": done, "calls": list(Trainer.calls)}


def _judge_federated_round(facts, seed):
    facts = _dict(facts)
    start, steps, sizes, batches = _plan(seed)
    answer, calls = facts.get("answer"), facts.get("calls")
    calls = calls if isinstance(calls, list) else []
    hint = f"Return the new global vector, one NumPy array, not {_kind(answer)}."
    if _kind(answer) == "none":
        hint = "Nothing came back: end the function with return."
    elif _kind(answer) == "list" and not facts.get("done"):
        hint = "These are promises: train returns at once, .result() waits for the answer."
    right = _kind(answer) == "array" and _dict(answer).get("shape") == [len(start)]
    yield Check(0, "returns one vector", right, hint)
    hint = "Call train once at every site, with all the batches."
    if facts.get("done", 0) < 3:
        hint = "The function returned before every site had trained: wait for all answers."
    once = sorted(call[0] for call in calls) == [0, 1, 2]
    once = once and all(call[2] == batches for call in calls) and facts.get("done") == 3
    yield Check(1, "every site has trained its batches, once", once, hint)
    hint = "Every site begins with the global vector, not with the answer of another site."
    same = all(close(call[1], start.tolist()) for call in calls)
    yield Check(1, "every site begins with the global vector", same, hint)
    values, rows = _values(answer), sizes / sizes.sum()
    expected = (start + batches * (rows @ steps)).tolist()
    hint = "Average the vectors of the answers, each with the weight of its rows."
    if close(values, (start + batches * steps.mean(axis=0)).tolist()):
        hint = "Every site counts the same here: weigh each vector by the rows of its answer."
    elif close(values, start.tolist()):
        hint = "That is the vector you were given: average the answers."
    yield Check(2, "averages, weighted by rows", close(values, expected), hint)
    hint = "One site waited for another: start all of them before you ask for the first result."
    yield Check(1, "all sites train at the same time", not any(call[3] for call in calls), hint)


# 09.4 combine_with_quorum


def _answers(seed):
    """Cases: the answers, the quorum, and whether it is reached."""
    rng = np.random.default_rng([4, seed])
    rows = rng.permutation([100, 200, 700, 900]).tolist()
    every = {name: (rng.normal(size=3), n) for name, n in zip("ABCD", rows, strict=True)}
    without = lambda *lost: {n: None if n in lost else a for n, a in every.items()}  # noqa: E731
    return {
        "all": (every, 3, True),
        "one lost": (without("B"), 2, True),
        "exactly": (without("A", "D"), 2, True),
        "too few": (without("A", "B"), 3, False),
        "nobody": (without("A", "B", "C", "D"), 1, False),
    }


def _observe_combine(function, seed):
    facts = {}
    for case, (answers, quorum, _) in _answers(seed).items():
        try:
            facts[case] = describe(function(dict(answers), quorum))
        except Exception as error:
            facts[case] = {"raised": type(error).__name__}
    return facts


def _judge_combine(facts, seed):
    facts, cases = {k: _dict(v) for k, v in _dict(facts).items()}, _answers(seed)
    facts = {case: facts.get(case, {}) for case in cases}
    expected = {}
    for case, (answers, _, reached) in cases.items():
        here = [answer for answer in answers.values() if answer is not None]
        if reached:
            rows = [n for _, n in here]
            expected[case] = np.average([v for v, _ in here], axis=0, weights=rows).tolist()
    every, lost = facts["all"], facts["one lost"]
    hint = "With all answers there, return the mean of the vectors, weighted by rows."
    if every.get("raised"):
        hint = f"With all answers there it raised {every['raised']}."
    elif every.get("type") != "array":
        hint = f"Return one NumPy array, not {every.get('type')}."
    elif close(every.get("values"), np.mean([v for v, _ in cases["all"][0].values()], 0).tolist()):
        hint = "Every site counts the same here: weigh each vector by its rows."
    yield Check(1, "combines all answers", close(every.get("values"), expected["all"]), hint)
    hint = "A lost site is not a site with zeros: leave it out of the vectors and of the weights."
    if lost.get("raised"):
        hint = "One site was lost, the quorum was there, and it raised: leave the lost site out."
    elif facts["exactly"].get("raised") and close(lost.get("values"), expected["one lost"]):
        hint = "As many as the quorum are enough: raise only below it."
    right = all(close(facts[c].get("values"), expected[c]) for c in ("one lost", "exactly"))
    yield Check(1, "leaves lost sites out", right, hint)
    raised = {facts[case].get("raised") for case in ("too few", "nobody")}
    hint = "Below the quorum raise a RuntimeError."
    if raised == {None}:
        hint = "Below the quorum something came back: raise a RuntimeError, so the caller notices."
    elif None in raised:
        hint = "In one case below the quorum something came back: count the answers, not the sites."
    yield Check(1, "raises below the quorum", raised == {"RuntimeError"}, hint)


# 09.5 first_report


def _streams(seed):
    """Cases: errors, rise, recent."""
    rng = np.random.default_rng([5, seed])
    calm = 0.3 + 0.02 * rng.random(40)
    falls = np.linspace(0.6, 0.2, 40)
    low = np.concatenate([np.full(12, 0.5), np.full(12, 0.2), np.full(12, 0.42)])
    spike = calm.copy()
    spike[20] = 0.9
    steps = np.array([4, 4, 4, 4, 6, 6, 6, 6, 8, 8, 8, 8]) / 16  # no rounding: exact sums
    first = np.concatenate([[0.0, 0.0], np.full(20, 0.5)])
    turned = np.where(np.arange(40) < 25, calm, 1 - calm)
    return {
        "turned": (turned, 0.2, 4),
        "calm": (calm, 0.1, 4),
        "spike": (spike, 0.2, 5),
        "falls": (falls, 0.1, 4),
        "lowest": (low, 0.15, 4),
        "exactly": (steps, 0.125, 4),
        "start": (first, 0.2, 4),
        "long": (turned, 0.2, 10),
    }


def _first(errors, rise, recent):
    lowest = np.inf
    for n in range(recent, len(errors) + 1):
        mean = np.mean(errors[n - recent : n])
        lowest = min(lowest, mean)
        if mean > lowest + rise:
            return n - 1
    return None


def _observe_first_report(function, seed):
    return {
        case: describe(function(errors.tolist(), rise, recent))
        for case, (errors, rise, recent) in _streams(seed).items()
    }


def _judge_first_report(facts, seed):
    cases = _streams(seed)
    said = {case: _dict(_dict(facts).get(case)) for case in cases}
    expected = {case: _first(*arguments) for case, arguments in cases.items()}
    kinds = {answer.get("type") for answer in said.values()}
    hint = "Return the number of a batch, or None."
    if "bool" in kinds:
        hint = "True or False does not say when: return the number of the batch."
    elif kinds == {"none"}:
        hint = "Nothing came back for any stream: return the number of the batch."
    yield Check(0, "returns a number or None", kinds <= {"int", "none"} and kinds != {"none"}, hint)
    values = {case: answer.get("value") for case, answer in said.items()}
    hint = "A stream that turns was reported at another batch: look at the mean of the last ones."
    if values["turned"] is None:
        hint = "A stream whose error rises was not reported."
    elif values["turned"] == expected["turned"] + 1:
        hint = "Count batches from 0, as Python does."
    elif values["turned"] < 20:
        hint = "That was before the stream turned: a report may not look into the future."
    elif values["turned"] < expected["turned"] and values["spike"] is not None:
        hint = "One bad batch is noise: compare means of the last `recent` errors."
    yield Check(1, "reports the batch at which the error has risen",
                values["turned"] == expected["turned"], hint)  # fmt: skip
    hint = "A stream that stays calm, or falls, was reported."
    if values["spike"] is not None:
        hint = "One bad batch is noise: compare means of the last `recent` errors."
    elif values["start"] != expected["start"] and values["falls"] is None:
        hint = "The first batches are too few for a mean of `recent`: wait until there are enough."
    quiet = all(values[case] == expected[case] for case in ("calm", "spike", "falls", "start"))
    yield Check(1, "does not report noise", quiet, hint)
    hint = "Compare with the lowest mean so far, not with the first one."
    if values["exactly"] != expected["exactly"]:
        hint = "The error must have risen by more than `rise`: exactly that much is not enough."
    elif values["long"] != expected["long"]:
        hint = "Use `recent`: it says how many errors belong to a mean."
    right = all(values[case] == expected[case] for case in cases)
    yield Check(1, "compares with the lowest mean so far", right, hint)


EXERCISES = [
    Exercise("09.1", "weighted_average", 2, _observe_weighted_average, _judge_weighted_average),
    Exercise("09.2", "trimmed", 3, _observe_trimmed, _judge_trimmed),
    Exercise("09.3", "federated_round", 5, _observe_federated_round, _judge_federated_round),
    Exercise("09.4", "combine_with_quorum", 3, _observe_combine, _judge_combine),
    Exercise("09.5", "first_report", 3, _observe_first_report, _judge_first_report),
]
