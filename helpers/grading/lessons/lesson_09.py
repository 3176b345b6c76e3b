"""Exercises of lesson 09: rules that combine models, rounds that wait, quorum and drift."""

import threading

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import Facts, by_case, mixed, named, returns, with_example
from helpers.grading.workers import workers_here

EQUAL = "Every site counts the same here: a site with more rows must count more."


def _one_each(answer, vectors):
    """Check that there is one number for each parameter."""
    hint = "One number for each parameter: average over the sites, which are the first axis."
    return answer.shape == vectors.shape[1:], hint


# 09.1 weighted_average


def _uneven(seed):
    rng = np.random.default_rng([1, seed])
    return rng.normal(size=(4, 3)), rng.permutation([100, 300, 1_100, 4_000])


def _observe_weighted_average(function, seed):
    example = function(np.array([[0.0, 1.0], [4.0, 1.0]]), np.array([300, 100]))
    return {"answer": describe(function(*_uneven(seed))), "example": describe(example)}


def _judge_weighted_average(facts, seed):
    facts, (vectors, rows) = Facts(facts), _uneven(seed)
    answer = facts["answer"]
    yield returns(0, [answer, facts["example"]], "array", "one NumPy array")
    yield Check(1, "one number for each parameter", *_one_each(answer, vectors))
    mistakes = {
        EQUAL: vectors.mean(axis=0),
        "That is a weighted sum: divide by the number of all rows.": rows @ vectors,
        "Divide by the number of all rows, not by the number of sites.":
            rows @ vectors / len(rows),
        "That is the median: it does not look at the rows.": np.median(vectors, axis=0),
    }  # fmt: skip
    hint = "Multiply each vector by its site's share of all rows, then add them up."
    right = close(answer.values, np.average(vectors, axis=0, weights=rows))
    right = Check(1, "weighs by rows", right, named(answer.values, mistakes, hint))
    yield with_example(right, close(facts["example"].values, [1.0, 1.0]))


# 09.2 trimmed


def _wild(seed):
    """Cases: vectors of several sites, each parameter with its extremes at other sites, and n."""
    rng = np.random.default_rng([2, seed])
    vectors = rng.normal(size=(7, 5))
    for column in range(5):
        vectors[rng.permutation(7)[:2], column] = [60 + column, -30 - column]
    few = np.array([[0.0, 5.0], [1.0, 6.0], [3.0, -9.0], [900.0, 7.0]])
    return mixed(rng, {str(n): (vectors, n) for n in (0, 1, 2, 3)} | {"example": (few, 1)})


def _observe_trimmed(function, seed):
    facts = []
    for vectors, n in list(_wild(seed).values()):
        given = vectors.copy()
        facts.append(describe(function(given, n)))
        facts[-1]["kept"] = bool((given == vectors).all())
    return facts


def _trim(vectors, low, high):
    return np.sort(vectors, axis=0)[low : len(vectors) - high].mean(axis=0)


def _judge_trimmed(facts, seed):
    cases = _wild(seed)
    facts, vectors = by_case(facts, cases), cases["1"][0]
    one = facts["1"].values
    yield returns(0, [*facts.values()], "array", "one NumPy array")
    yield Check(0, "one number for each parameter", *_one_each(facts["1"], vectors))
    mistakes = {
        "Nothing was left out: that is the plain mean.": vectors.mean(axis=0),
        "Only one end was cut: leave out the lowest values, too.": _trim(vectors, 0, 1),
        "Only one end was cut: leave out the highest values, too.": _trim(vectors, 1, 0),
        "The first and the last site were left out, whatever they say: sort first.":
            vectors[1:-1].mean(axis=0),
        "That is the median: it leaves out everything but the middle.":
            np.median(vectors, axis=0),
    }  # fmt: skip
    hint = "Sort each parameter over the sites, leave out n values at both ends, average the rest."
    if any(close(one, vectors[list(keep)].mean(axis=0)) for keep in _subsets()):
        hint = "Whole sites were left out: each parameter has its own lowest and highest site."
    hint = named(one, mistakes, hint)
    right = Check(1, "leaves out the lowest and the highest value",
                  close(one, _trim(vectors, 1, 1)), hint)  # fmt: skip
    yield with_example(right, close(facts["example"].values, [2.0, 5.5]))
    hint = "With another n the result is wrong: leave out n values at each end."
    if close(facts["2"].values, one):
        hint = "With n=2 the same came back as with n=1: use n."
    elif set(facts["0"].values) == {None}:
        hint = "With n=0 nothing is left out. Beware of the slice [0:-0]: it is empty."
    right = all(close(facts[str(n)].values, _trim(vectors, n, n)) for n in range(4))
    yield Check(1, "leaves out n at each end, for any n", right, hint)
    hint = "The caller's array was changed: sort a copy."
    kept = all(fact.get("kept", False) for fact in facts.values())
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
            Trainer.together.wait(2)
            alone = False
        except threading.BrokenBarrierError:
            alone = True
        Trainer.calls.append([self.number, given, int(batches), alone])
        return np.asarray(vector) + batches * self.step, int(batches) * self.rows


class Site:
    """A site of the example."""

    def __init__(self, step):
        self.step = step

    def train(self, vector, batches):
        """Add a step for each batch."""
        return vector + batches * self.step, 100


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
        answer = describe(function(sites, start.copy(), batches))
        calls = list(Trainer.calls)
        few = [client.submit(Site, step, actor=True) for step in (1.0, 3.0)]
        sites = dict(zip(("EWR", "JFK"), client.gather(few), strict=True))
        example = describe(function(sites, np.zeros(2), batches=2))
        return {"answer": answer, "calls": calls, "example": example}


def _judge_federated_round(facts, seed):
    facts = Facts(facts)
    start, steps, sizes, batches = _plan(seed)
    answer = facts["answer"]
    promises = "These are promises: train returns at once, .result() waits for the answer."
    vectors = "Return the new global vector, one NumPy array, not list."
    asked = any("Future" in kind or kind == "future" for kind in answer.kinds)
    yield returns(0, [answer, facts["example"]], "array", "the new global vector, one NumPy array",
                  title="returns one vector", list=promises if asked else vectors)  # fmt: skip
    hint = f"Return one vector of {len(start)} numbers, the average of those of the sites."
    yield Check(0, "one number for each parameter", answer.shape == start.shape, hint)
    calls = [call for call in facts.get("calls", []) if isinstance(call, list) and len(call) == 4]
    hint = "Call train once at every site, with all the batches."
    if len({call[0] for call in calls}) < 3:
        hint = "It returned before every site had trained: ask each of them, and wait for all."
    once = sorted(call[0] for call in calls) == [0, 1, 2]
    once = once and all(call[2] == batches for call in calls)
    yield Check(1, "every site has trained its batches, once", once, hint)
    hint = "Every site begins with the global vector, not with the answer of another site."
    same = all(close(call[1], start) for call in calls)
    yield Check(1, "every site begins with the global vector", same, hint)
    mistakes = {EQUAL: start + batches * steps.mean(axis=0)}
    mistakes["That is the vector you were given: average the answers."] = start
    hint = "Average the vectors of the answers, each with the weight of its rows."
    expected = start + batches * np.average(steps, axis=0, weights=sizes)
    right = close(answer.values, expected)
    right = Check(2, "averages, weighted by rows", right, named(answer.values, mistakes, hint))
    yield with_example(right, close(facts["example"].values, [4.0, 4.0]))
    hint = "One site waited for another: start all of them before you ask for the first result."
    yield Check(1, "all sites train at the same time", not any(call[3] for call in calls), hint)


# 09.4 combine_with_quorum


def _answers(seed):
    """Cases: the answers, and the quorum."""
    rng = np.random.default_rng([4, seed])
    rows = rng.permutation([100, 200, 700, 900]).tolist()
    every = {name: (rng.normal(size=3), n) for name, n in zip("ABCD", rows, strict=True)}
    a, b, c, d = rng.permutation(list("ABCD")).tolist()
    without = lambda *lost: {n: None if n in lost else v for n, v in every.items()}  # noqa: E731
    cases = {
        "all": (every, 3),
        "one lost": (without(a), 2),
        "exactly": (without(b, c), 2),
        "too few": (without(c, d), 3),
        "nobody": (without(*"ABCD"), 1),
        "example": ({"EWR": (np.array([1.0, 2.0]), 50), "JFK": None}, 1),
    }
    return mixed(rng, cases)


def _observe_combine(function, seed):
    facts = []
    for answers, quorum in list(_answers(seed).values()):
        try:
            facts.append(describe(function(dict(answers), quorum)))
        except Exception as error:
            facts.append({"raised": type(error).__name__})
            facts[-1]["right"] = isinstance(error, RuntimeError)
    return facts


def _judge_combine(facts, seed):
    cases = _answers(seed)
    facts = by_case(facts, cases)
    raised = {case: fact.get("raised", "") for case, fact in facts.items()}
    here = {case: [a for a in answers.values() if a] for case, (answers, _) in cases.items()}
    expected = {
        case: np.average([v for v, _ in some], axis=0, weights=[n for _, n in some])
        for case, some in here.items()
        if len(some) >= cases[case][1]
    }
    right = {case: close(facts[case].values, expected[case]) for case in expected}
    hint = f"With all answers there it raised {raised['all']}."
    yield Check(0, "combines all answers", not raised["all"], hint)
    yield returns(0, facts["all"], "array", "one NumPy array")
    hint = "With all answers there, return the mean of the vectors, weighted by rows."
    if close(facts["all"].values, np.mean([vector for vector, _ in here["all"]], axis=0)):
        hint = EQUAL
    yield Check(1, "weighs all answers by rows", right["all"], hint)
    hint = "This is not the mean of the sites that answered, weighted by their rows."
    if raised["one lost"]:
        hint = "One site was lost, the quorum was there, and it raised: leave the lost site out."
    elif _shrunk(facts["one lost"].values, expected["one lost"]):
        hint = "A lost site is not a site with zeros: leave it out of the vectors and the weights."
    yield Check(1, "leaves lost sites out", right["one lost"], hint)
    below = {case: facts[case].get("right", False) for case in ("too few", "nobody")}
    silent = [case for case in below if not raised[case]]
    hint = "Below the quorum raise a RuntimeError."
    if raised["exactly"]:
        hint = "As many as the quorum are enough: raise only below it."
    elif not (right["exactly"] and right["example"]):
        hint = "With as many answers as the quorum something else came back than their mean."
    elif len(silent) == 2:
        hint = "Below the quorum something came back: raise a RuntimeError, so the caller notices."
    elif silent:
        hint = "In one case below the quorum something came back: count the answers, not the sites."
    good = all(below.values()) and right["exactly"] and right["example"]
    yield Check(1, "raises below the quorum, and only there", good, hint)


def _shrunk(values, expected):
    """Whether a vector is a part of another: zeros were averaged in, with some weight."""
    if len(values) != len(expected) or None in values:
        return False
    ratios = np.array(values) / expected
    return bool(np.ptp(ratios) < 1e-6 and 0 < ratios[0] < 1)


# 09.5 first_report


def _streams(seed):
    """Cases: errors, rise, recent. Where something happens in a stream is drawn."""
    rng = np.random.default_rng([5, seed])
    calm = 0.3 + 0.02 * rng.random(int(rng.integers(40, 50)))
    turn, peak, fall, low = (int(n) for n in rng.integers([20, 12, 30, 10], [32, 28, 45, 20]))
    spike = calm.copy()
    spike[peak] = 0.9
    deep = np.concatenate([np.full(low, 0.5), np.full(low, 0.2), np.full(12, 0.42)])
    steps = np.repeat([4, 6, 8], 4 + rng.integers(0, 4)) / 16  # no rounding: exact sums
    first = np.concatenate([[0.0, 0.0], np.full(20, 0.5)])
    turned = np.where(np.arange(len(calm)) < turn, calm, 1 - calm)
    later = np.concatenate([calm[:peak], turned])
    cases = {
        "turned": (turned, 0.2, 4),
        "later": (later, 0.2, 4),
        "calm": (calm, 0.1, 4),
        "spike": (spike, 0.2, 5),
        "falls": (np.linspace(0.6, 0.2, fall), 0.1, 4),
        "lowest": (deep, 0.15, 4),
        "exactly": (steps, 0.125, 4),
        "start": (first, 0.2, 4),
        "long": (turned, 0.2, 10),
        "slow": (np.linspace(0.2, 0.6, fall + 11), 0.3035, 4),
        "example": (np.array([0.5, 0.5, 0.25, 0.25, 0.75, 0.75]), 0.25, 2),
    }
    return mixed(rng, cases)


def _first(errors, rise, recent):
    lowest = np.inf
    for n in range(recent, len(errors) + 1):
        mean = np.mean(errors[n - recent : n])
        lowest = min(lowest, mean)
        if mean > lowest + rise:
            return n - 1
    return None


def _observe_first_report(function, seed):
    cases = list(_streams(seed).values())
    return [describe(function(e.tolist(), rise=r, recent=n)) for e, r, n in cases]


def _judge_first_report(facts, seed):
    cases = _streams(seed)
    facts = by_case(facts, cases)
    when = "True or False does not say when: return the number of the batch."
    yield returns(0, [*facts.values()], ("int", "none"), "the number of a batch, or None",
                  title="returns a number or None", bool=when)  # fmt: skip
    values = {case: fact.value for case, fact in facts.items()}
    hint = "None came back for every stream, though some have risen: return the batch's number."
    yield Check(0, "reports something", set(values.values()) != {None}, hint)
    expected = {case: _first(*arguments) for case, arguments in cases.items()}
    wrong = [case for case in cases if values[case] != expected[case]]
    noise = "One bad batch is noise: compare means of the last `recent` errors."
    turned, errors = values["turned"], cases["turned"][0]
    hint = "A stream that turns was reported at another batch: look at the mean of the last ones."
    if turned is None:
        hint = "A stream whose error rises was not reported."
    elif turned == expected["turned"] + 1:
        hint = "Count batches from 0, as Python does."
    elif turned < np.argmax(errors > 0.5):
        hint = "That is before the stream turned: at that batch, nothing has risen yet."
    elif turned < expected["turned"] and values["spike"] is not None:
        hint = noise
    right = not {"turned", "later"} & {*wrong}
    yield Check(1, "reports the batch at which the error has risen", right, hint)
    hint = "A stream that stays calm, or falls, was reported."
    if values["spike"] is not None:
        hint = noise
    elif "start" in wrong and values["falls"] is None:
        hint = "The first batches are too few for a mean of `recent`: wait until there are enough."
    quiet = not {"calm", "spike", "falls", "start"} & {*wrong}
    yield Check(1, "does not report noise", quiet, hint)
    hint = "Compare with the lowest mean so far, with nothing else."
    before = {case: _first_against(cases[case], lambda means: means[0]) for case in cases}
    if "exactly" in wrong and values["exactly"] is not None:
        hint = "The error must have risen by more than `rise`: exactly that much is not enough."
    elif "long" in wrong:
        hint = "Use `recent`: it says how many errors belong to a mean."
    elif values["lowest"] == before["lowest"]:
        hint = "Compare with the lowest mean so far, not with the first one."
    yield with_example(Check(1, "compares with the lowest mean so far", not wrong, hint),
                       wrong != ["example"])  # fmt: skip


def _first_against(case, chosen):
    """The report of somebody who compares with another mean than the lowest."""
    errors, rise, recent = case
    means = [np.mean(errors[n - recent : n]) for n in range(recent, len(errors) + 1)]
    risen = [n for n in range(len(means)) if means[n] > chosen(means[: n + 1]) + rise]
    return risen[0] + recent - 1 if risen else None


EXERCISES = [
    Exercise("09.1", "weighted_average", 2, _observe_weighted_average, _judge_weighted_average),
    Exercise("09.2", "trimmed", 3, _observe_trimmed, _judge_trimmed),
    Exercise("09.3", "federated_round", 5, _observe_federated_round, _judge_federated_round),
    Exercise("09.4", "combine_with_quorum", 3, _observe_combine, _judge_combine),
    Exercise("09.5", "first_report", 3, _observe_first_report, _judge_first_report),
]
