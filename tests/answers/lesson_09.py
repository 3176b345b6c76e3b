"""Answers to the exercises of lesson 09."""

from collections import deque
from statistics import mean

import numpy as np

from tests.answers import right, wrong

# 09.1 weighted_average


@wrong("09.1", points=1, hint="Every site counts the same")
def weighted_average(vectors, rows):
    return vectors.mean(axis=0)


@wrong("09.1", points=1, hint="weighted sum")
def weighted_average(vectors, rows):
    return rows @ vectors


@wrong("09.1", points=1, hint="not by the number of sites")
def weighted_average(vectors, rows):
    return (vectors * rows[:, None]).sum(axis=0) / len(vectors)


@wrong("09.1", points=1, hint="does not look at the rows")
def weighted_average(vectors, rows):
    return np.median(vectors, axis=0)


@wrong("09.1", points=1, hint="share of all rows")
def weighted_average(vectors, rows):
    return np.average(vectors, axis=0, weights=1 / rows)


@wrong("09.1", points=0, hint="first axis")
def weighted_average(vectors, rows):
    return vectors.mean(axis=1)


@wrong("09.1", points=0, hint="not list")
def weighted_average(vectors, rows):
    return list(np.average(vectors, axis=0, weights=rows))


@wrong("09.1", points=0, hint="Nothing came back")
def weighted_average(vectors, rows):
    np.average(vectors, axis=0, weights=rows)


@wrong("09.1", points=1, hint="share of all rows")
def weighted_average(vectors, rows):
    return vectors[rows.argmax()]


@right("09.1")
def weighted_average(vectors, rows):
    return (rows / rows.sum()) @ vectors


@right("09.1")
def weighted_average(vectors, rows):
    total = np.zeros(vectors.shape[1])
    for vector, n in zip(vectors, rows, strict=True):
        total += vector * n
    return total / sum(rows)


# 09.2 trimmed


@wrong("09.2", points=0, hint="plain mean")
def trimmed(vectors, n):
    return vectors.mean(axis=0)


@wrong("09.2", points=0, hint="Only one end")
def trimmed(vectors, n):
    return np.sort(vectors, axis=0)[: len(vectors) - n].mean(axis=0)


@wrong("09.2", points=0, hint="sort first")
def trimmed(vectors, n):
    return vectors[n : len(vectors) - n].mean(axis=0)


@wrong("09.2", points=0, hint="everything but the middle")
def trimmed(vectors, n):
    return np.median(vectors, axis=0)


@wrong("09.2", points=0, hint="Whole sites")
def trimmed(vectors, n):
    order = np.argsort(np.linalg.norm(vectors, axis=1))
    return vectors[order[n : len(vectors) - n]].mean(axis=0)


@wrong("09.2", points=1, hint="use n")
def trimmed(vectors, n):
    return np.sort(vectors, axis=0)[1:-1].mean(axis=0)


@wrong("09.2", points=1, hint="it is empty")
def trimmed(vectors, n):
    if n == 0:
        return np.full(vectors.shape[1], np.nan)  # what the slice [0:-0] gives, with a warning
    return np.sort(vectors, axis=0)[n:-n].mean(axis=0)


@wrong("09.2", points=2, hint="sort a copy")
def trimmed(vectors, n):
    vectors.sort(axis=0)
    return vectors[n : len(vectors) - n].mean(axis=0)


@wrong("09.2", points=0, hint="first axis")
def trimmed(vectors, n):
    return np.sort(vectors, axis=1)[:, n : vectors.shape[1] - n].sum(axis=1)


@wrong("09.2", points=1, hint="leave out n values at each end")
def trimmed(vectors, n):
    ordered = np.sort(vectors, axis=0)
    return ordered[1:-1].mean(axis=0) if n == 1 else ordered[n // 2 : len(vectors) - n].mean(axis=0)


@wrong("09.2", points=0, hint="leave out the lowest values, too")
def trimmed(vectors, n):
    return np.sort(vectors, axis=0)[: len(vectors) - n].mean(axis=0)


@right("09.2")
def trimmed(vectors, n):
    columns = [sorted(column) for column in vectors.T]
    return np.array([mean(column[n : len(column) - n]) for column in columns])


@right("09.2")
def trimmed(vectors, n):
    from scipy.stats import trim_mean

    return trim_mean(vectors, (n + 0.5) / len(vectors), axis=0)


# 09.3 federated_round


@wrong("09.3", points=4, hint="One site waited for another")
def federated_round(sites, vector, batches):
    answers = [site.train(vector, batches).result() for site in sites.values()]
    vectors, rows = zip(*answers, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.3", points=2, hint="Every site counts the same")
def federated_round(sites, vector, batches):
    promises = [site.train(vector, batches) for site in sites.values()]
    return np.mean([promise.result()[0] for promise in promises], axis=0)


@wrong("09.3", points=1, hint="not with the answer of another site")
def federated_round(sites, vector, batches):
    answers = []
    for site in sites.values():
        vector, rows = site.train(vector, batches).result()
        answers.append((vector, rows))
    vectors, rows = zip(*answers, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.3", points=0, hint="promises")
def federated_round(sites, vector, batches):
    return [site.train(vector, batches) for site in sites.values()]


@wrong("09.3", points=0, hint="not list")
def federated_round(sites, vector, batches):
    promises = [site.train(vector, batches) for site in sites.values()]
    return [promise.result() for promise in promises]


@wrong("09.3", points=0, hint="before every site had trained")
def federated_round(sites, vector, batches):
    first, *_ = [site.train(vector, batches) for site in list(sites.values())[:1]]
    return first.result()[0]


@wrong("09.3", points=0, hint="with all the batches")
def federated_round(sites, vector, batches):
    promises = [site.train(vector, 1) for site in sites.values() for _ in range(batches)]
    vectors, rows = zip(*[promise.result() for promise in promises], strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.3", points=2, hint="the vector you were given")
def federated_round(sites, vector, batches):
    promises = [site.train(vector, batches) for site in sites.values()]
    [promise.result() for promise in promises]
    return vector


@right("09.3")
def federated_round(sites, vector, batches):
    promises = {name: site.train(vector, batches) for name, site in sites.items()}
    total, count = np.zeros_like(vector), 0
    for promise in promises.values():
        new, rows = promise.result()
        total, count = total + rows * new, count + rows
    return total / count


@right("09.3")
def federated_round(sites, vector, batches):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(sites)) as pool:
        answers = list(pool.map(lambda site: site.train(vector, batches).result(), sites.values()))
    rows = np.array([n for _, n in answers])
    return rows @ np.array([v for v, _ in answers]) / rows.sum()


# 09.4 combine_with_quorum


@wrong("09.4", points=0, hint="Every site counts the same")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise RuntimeError("too few")
    return np.mean([vector for vector, _ in here], axis=0)


@wrong("09.4", points=1, hint="not a site with zeros")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise RuntimeError("too few")
    most = max(rows for _, rows in here)
    full = [(np.zeros(3), most) if a is None else a for a in answers.values()]
    return np.average([v for v, _ in full], axis=0, weights=[n for _, n in full])


@wrong("09.4", points=1, hint="leave the lost site out")
def combine_with_quorum(answers, quorum):
    if None in answers.values():
        raise RuntimeError("a site was lost")
    vectors, rows = zip(*answers.values(), strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=2, hint="raise only below it")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) <= quorum:
        raise RuntimeError("too few")
    vectors, rows = zip(*here, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=2, hint="so the caller notices")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) >= quorum:
        vectors, rows = zip(*here, strict=True)
        return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=2, hint="raise a RuntimeError")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise ValueError("too few")
    vectors, rows = zip(*here, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=2, hint="count the answers, not the sites")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if not here or len(answers) < quorum:
        raise RuntimeError("too few")
    vectors, rows = zip(*here, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=0, hint="not list")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise RuntimeError("too few")
    vectors, rows = zip(*here, strict=True)
    return list(np.average(vectors, axis=0, weights=rows))


@wrong("09.4", points=0, hint="With all answers there it raised RuntimeError")
def combine_with_quorum(answers, quorum):
    if len(answers) > quorum:
        raise RuntimeError("too many")
    vectors, rows = zip(*answers.values(), strict=True)
    return np.average(vectors, axis=0, weights=rows)


@wrong("09.4", points=1, hint="weighted by their rows")
def combine_with_quorum(answers, quorum):
    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise RuntimeError("too few")
    if len(here) < len(answers):
        return np.mean([vector for vector, _ in here], axis=0)
    return np.average([v for v, _ in here], axis=0, weights=[n for _, n in here])


@right("09.4")
def combine_with_quorum(answers, quorum):
    class TooFew(RuntimeError):
        pass

    here = [answer for answer in answers.values() if answer is not None]
    if len(here) < quorum:
        raise TooFew("wait for the others")
    vectors, rows = zip(*here, strict=True)
    return np.average(vectors, axis=0, weights=rows)


@right("09.4")
def combine_with_quorum(answers, quorum):
    here = {name: answer for name, answer in answers.items() if answer}
    if quorum > len(here):
        raise RuntimeError(f"lost: {sorted(set(answers) - set(here))}")
    total = sum(rows for _, rows in here.values())
    return sum(rows / total * vector for vector, rows in here.values())


@right("09.4")
def combine_with_quorum(answers, quorum):
    vectors, rows = [], []
    for answer in answers.values():
        if answer is not None:
            vectors.append(answer[0])
            rows.append(answer[1])
    if len(rows) < quorum:
        raise RuntimeError("too few sites answered")
    return np.array(rows) @ np.array(vectors) / sum(rows)


# 09.5 first_report


@wrong("09.5", points=2, hint="not with the first one")
def first_report(errors, rise, recent):
    first = np.mean(errors[:recent])
    for number in range(recent - 1, len(errors)):
        if np.mean(errors[number - recent + 1 : number + 1]) > first + rise:
            return number


@wrong("09.5", points=0, hint="One bad batch is noise")
def first_report(errors, rise, recent):
    lowest = float("inf")
    for number, error in enumerate(errors):
        lowest = min(lowest, error)
        if error > lowest + rise:
            return number


@wrong("09.5", points=0, hint="at that batch, nothing has risen yet")
def first_report(errors, rise, recent):
    for number in range(recent - 1, len(errors)):
        if np.mean(errors[number - recent + 1 : number + 1]) > min(errors) - rise:
            return number


@wrong("09.5", points=2, hint="more than `rise`")
def first_report(errors, rise, recent):
    lowest = float("inf")
    for number in range(recent - 1, len(errors)):
        recently = np.mean(errors[number - recent + 1 : number + 1])
        lowest = min(lowest, recently)
        if recently >= lowest + rise:
            return number


@wrong("09.5", points=0, hint="Count batches from 0")
def first_report(errors, rise, recent):
    lowest = float("inf")
    for number in range(recent, len(errors) + 1):
        recently = np.mean(errors[number - recent : number])
        lowest = min(lowest, recently)
        if recently > lowest + rise:
            return number


@wrong("09.5", points=1, hint="too few for a mean")
def first_report(errors, rise, recent):
    last, lowest = deque(maxlen=recent), float("inf")
    for number, error in enumerate(errors):
        last.append(error)
        lowest = min(lowest, mean(last))
        if mean(last) > lowest + rise:
            return number


@wrong("09.5", points=0, hint="does not say when")
def first_report(errors, rise, recent):
    means = [np.mean(errors[n - recent : n]) for n in range(recent, len(errors) + 1)]
    return bool(means[-1] > min(means) + rise)


@wrong("09.5", points=0, hint="None came back for every stream")
def first_report(errors, rise, recent):
    means = [np.mean(errors[n - recent : n]) for n in range(recent, len(errors) + 1)]
    print(int(np.argmax(means)) + recent - 1)


@wrong("09.5", points=2, hint="Use `recent`")
def first_report(errors, rise, recent):
    lowest, recent = float("inf"), min(recent, 5)
    for number in range(recent - 1, len(errors)):
        recently = np.mean(errors[number - recent + 1 : number + 1])
        lowest = min(lowest, recently)
        if recently > lowest + rise:
            return number


@wrong("09.5", points=0, hint="though some have risen")
def first_report(errors, rise, recent):
    means = [np.mean(errors[n - recent : n]) for n in range(recent, len(errors) + 1)]
    for number in range(1, len(means)):
        if means[number] > means[number - 1] + rise:  # against the mean before
            return number + recent - 1
    return None


@wrong("09.5", points=2, hint="with nothing else")
def first_report(errors, rise, recent):
    means = [np.mean(errors[n - recent : n]) for n in range(recent, len(errors) + 1)]
    for number in range(len(means)):
        if means[number] > min(means[max(0, number - 8) : number + 1]) + rise:  # of the last few
            return number + recent - 1
    return None


@right("09.5")
def first_report(errors, rise, recent):
    means = np.convolve(errors, np.full(recent, 1 / recent), mode="valid")
    risen = np.flatnonzero(means - np.minimum.accumulate(means) > rise + 1e-12)
    return int(risen[0]) + recent - 1 if len(risen) else None


@right("09.5")
def first_report(errors, rise, recent):
    last, lowest = deque(maxlen=recent), None
    for number, error in enumerate(errors):
        last.append(error)
        if len(last) == recent:
            recently = mean(last)
            lowest = recently if lowest is None else min(lowest, recently)
            if recently > lowest + rise:
                return number
    return None
