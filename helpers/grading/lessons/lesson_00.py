"""Exercises of lesson 00: clusters, tasks, futures, and who has what."""

import time

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import describe
from helpers.grading.workers import workers_here

WORLDS = ("SNSG", "SNMG", "MNSG", "MNMG")


# Tools


def _values(answer):
    """Plain values of a described list; None for what is not a number."""
    return [item.get("value") for item in answer.get("items", ()) if isinstance(item, dict)]


def _not_a_list(answer, what):
    """Say what came back in place of a list of results."""
    kind = answer.get("type")
    kinds = {item.get("type") for item in answer.get("items", ()) if isinstance(item, dict)}
    if kind == "future":
        return "That is one future, a promise: .result() waits for what it promises."
    if "future" in kinds:
        return "Those are futures, promises of results: client.gather waits and brings them here."
    if kind == "none":
        return "Nothing came back: end the function with return."
    return f"Return a plain Python list of {what}, not {kind}."


def _numbers_in(value):
    """Numbers in a result, also inside lists, tuples, dicts and arrays."""
    value = value.tolist() if hasattr(value, "tolist") else value
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers_in(item)]
    return [value] if isinstance(value, int | float) else []


def _work(seen):
    """Facts about what the workers computed."""
    return {"tasks": len(seen.tasks), "made": _numbers_in(seen.results)}


def _workers_computed(facts, wanted, each):
    """Check that tasks, one for each, gave what came back."""
    tasks, made = facts.get("tasks", 0), facts.get("made", [])
    hint = f"One task did all the work: make a task of each {each}, so the workers can share."
    if not tasks:
        hint = "No worker computed anything: this process did. Give the work to `client`."
    elif tasks >= len(wanted):
        hint = "The workers computed something else than what came back: return their results."
    right = tasks >= len(wanted) and set(wanted) <= set(made)
    return Check(1, f"the workers compute, one task per {each}", right, hint)


# 00.1 total_threads


def _threads(seed):
    rng = np.random.default_rng(seed)
    # So that the usual wrong counts (workers, one worker, all like the first) are all different.
    others = rng.integers(3, 6, size=rng.integers(1, 4)).tolist()
    return [3, int(rng.integers(6, 9)), *others]


def _observe_total_threads(function, seed):
    with workers_here(_threads(seed)) as (client, _):
        return describe(function(client))


def _judge_total_threads(facts, seed):
    threads = _threads(seed)
    kind, value = facts.get("type"), facts.get("value")
    hints = {
        "none": "Nothing came back: end the function with return.",
        "dict": "client.nthreads() is a dict, worker → threads: add its values up.",
        "list": "That is one number per worker: add them up.",
    }
    other = f"Return one whole number, not {kind}."
    yield Check(1, "returns a whole number", kind == "int", hints.get(kind, other))
    hints = {
        len(threads): "That is the number of workers. A worker may have several threads.",
        max(threads): "Those are the threads of one worker: add up those of all.",
        len(threads) * threads[0]: "The workers differ: add up each one's own threads.",
    }
    other = "Ask the client for the threads of each worker, and add them up."
    right = value == sum(threads)
    yield Check(2, "counts the threads of all workers", right, hints.get(value, other))


# 00.2 squares_on_workers


def _numbers(seed):
    numbers = np.random.default_rng(seed).permutation(np.arange(3, 40))[:7].tolist()
    return [max(numbers), *[n for n in numbers if n != max(numbers)]]  # never in rising order


def _observe_squares(function, seed):
    with workers_here([1, 1]) as (client, seen):
        answer = describe(function(client, _numbers(seed)))
        return {"answer": answer, **_work(seen)}


def _judge_squares(facts, seed):
    numbers, answer = _numbers(seed), facts.get("answer", {})
    kinds = {item.get("type") for item in answer.get("items", ()) if isinstance(item, dict)}
    plain = answer.get("type") == "list" and kinds <= {"int"}
    yield Check(1, "returns a list of whole numbers", plain, _not_a_list(answer, "numbers"))
    squares, values = [n * n for n in numbers], _values(answer)
    hint = "Return one square for each number."
    yield Check(1, "one result per number", len(values) == len(squares), hint)
    hint = "Check the square of one number by hand."
    if sorted(values) == sorted(squares):
        hint = "These are the squares, in another order: keep the order of the numbers."
    yield Check(1, "the squares, in the order of the numbers", values == squares, hint)
    yield _workers_computed(facts, squares, "number")


# 00.3 send_once


class Parcel:
    """Numbers that are found again in a pickle by the name of the function that opens it."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __reduce__(self):
        return _open_parcel, (self.numbers,)

    def __dask_tokenize__(self):
        return "Parcel", self.numbers


def _open_parcel(numbers):
    return Parcel(numbers)


def _total(parcel):
    return sum(parcel.numbers)


def _largest(parcel):
    return max(parcel.numbers)


def _smallest(parcel):
    return min(parcel.numbers)


def _count(parcel):
    return len(parcel.numbers)


def _first(parcel):
    return parcel.numbers[0]


def _last(parcel):
    return parcel.numbers[-1]


def _parcel_and_functions(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(100, 1000, size=50).tolist()
    functions = [_total, _largest, _smallest, _count, _first, _last]
    return Parcel(numbers), [functions[i] for i in rng.permutation(6)]


def _observe_send_once(function, seed):
    data, functions = _parcel_and_functions(seed)
    with workers_here([1, 1]) as (client, seen):
        kept = client.scatter(data)  # else data scattered again can be lost between two tasks
        seen.scattered.clear()
        try:
            answer = describe(function(client, data, functions))
        except AttributeError as error:
            if "'list' object" not in str(error):
                raise
            return {"got_list": True}
        del kept
        scattered = sum(isinstance(item, Parcel) for item in seen.scattered)
        carried = sum(_open_parcel.__name__.encode() in task for task in seen.tasks)
        return {"answer": answer, "scattered": scattered, "carried": carried, **_work(seen)}


def _judge_send_once(facts, seed):
    data, functions = _parcel_and_functions(seed)
    answer = facts.get("answer", {})
    kinds = {item.get("type") for item in answer.get("items", ()) if isinstance(item, dict)}
    plain = answer.get("type") == "list" and kinds <= {"int"}
    hint = _not_a_list(answer, "results")
    if facts.get("got_list"):
        hint = "The functions got a list: scatter([data]) gives a list of futures."
    yield Check(1, "returns a list of results", plain, hint)
    hint = "Return what each function gives for the data, in the order of the functions."
    results = [function(data) for function in functions]
    yield Check(1, "the result of each function, in their order", _values(answer) == results, hint)
    yield _workers_computed(facts, results, "function")
    scattered, carried = facts.get("scattered", 0), facts.get("carried", 0)
    hint = "The data travelled with every task: scatter them first, then pass their future."
    if scattered > 1:
        hint = "The data were scattered for each function anew: scatter once, use that future."
    yield Check(1, "the data are sent once", scattered + carried == 1, hint)


# 00.4 which_world


HOSTS_MAKE = ("SNSG", "SNMG", "MNSG", "MNSG", "MNMG", "MNMG", "MNMG")  # known to the judge only


def _hosts(seed):
    """Lists of hosts, one host per GPU worker."""
    rng = np.random.default_rng(seed)
    a, b, c = (f"node{n}" for n in rng.permutation(np.arange(1, 30))[:3].tolist())
    many = int(rng.integers(2, 5))
    return [
        [a],
        [a] * many,
        [a, b],
        [a, b, c],
        [a, b] * many,
        [a, b, c, b],  # only one of the nodes has several, and not the first
        [a, b, a],  # first and last on the same node
    ]


def _observe_which_world(function, seed):
    return {"answers": [describe(function(list(hosts))) for hosts in _hosts(seed)]}


def _judge_which_world(facts, seed):
    answers = facts.get("answers", [])
    said = [answer.get("value") for answer in answers]
    right = list(HOSTS_MAKE)
    names = len(said) == len(right) and all(name in WORLDS for name in said)
    kinds = {answer.get("type") for answer in answers}
    hint = f"Return one of the texts {', '.join(WORLDS)}, in capital letters."
    if "none" in kinds:
        hint = "For some clusters nothing came back: let every way through the function return."
    yield Check(1, "always names one of the four worlds", names, hint)
    hint = "One node with one worker is a single GPU; with more workers it is several GPUs."
    if said[1].startswith("MN"):
        hint = "Workers on the same host are on one node, however many they are: count the hosts."
    yield Check(1, "one node", said[:2] == right[:2], hint)
    hint = "Several different hosts are several nodes; SG means that none has two workers."
    if said[:5] == right[:5]:
        hint = "The nodes need not be alike: look at the one that has the most workers."
        if said[5] == right[5]:
            hint = "Hosts come in any order: look at all of them, not at the first and last only."
    elif said[2:4] == ["MNMG", "MNMG"]:
        hint = "Several workers in all are not several in one node: count them host by host."
    yield Check(1, "several nodes", said == right, hint)


# 00.5 results_per_worker


def _nap(seconds):
    time.sleep(seconds)
    return seconds


def _placement(seed):
    """Results of the student's list on the first and second worker; the third has none."""
    rng = np.random.default_rng(seed)
    return rng.integers(2, 5, size=2).tolist()


def _observe_results_per_worker(function, seed):
    first, second = _placement(seed)
    with workers_here([1, 1, 1]) as (client, _):
        a, b, c = sorted(client.nthreads())
        send = {"hash": False}
        futures = client.scatter(list(range(first)), workers=[a], **send)
        futures += client.scatter(list(range(second)), workers=[b], **send)
        futures += client.scatter([seed, -seed], workers=[a, b], broadcast=True, **send)
        futures += [client.submit(_nap, 0.2, workers=[b], pure=False)]
        others = client.scatter(list(range(5)), workers=[c], **send)  # not in the student's list
        others += client.scatter([0], workers=[a], **send)
        answer = describe(function(client, list(futures)))
        return {"answer": answer, "workers": [a, b, c], "others": len(others)}


def _judge_results_per_worker(facts, seed):
    first, second = _placement(seed)
    answer, workers = facts.get("answer", {}), facts.get("workers", [])
    items = answer.get("items", {}) if answer.get("type") == "dict" else {}
    plain = bool(items) and {item.get("type") for item in items.values()} <= {"int"}
    hint = f"Return a dict, address → whole number, not {answer.get('type')}."
    if answer.get("type") == "dict":
        hint = "Give each address a whole number: how many results, not which."
    yield Check(1, "returns a dict of whole numbers", plain, hint)
    hint = "The keys are the addresses of the workers, as client.nthreads() has them."
    if set(items) < set(workers):
        hint = "A worker that holds nothing is missing: give it a 0."
    yield Check(1, "has every worker, also an idle one", set(items) == set(workers), hint)
    counts = [items[worker]["value"] for worker in workers]
    hint = "Compare with client.who_has(futures), key by key."
    if counts[2]:
        hint = "That counts all that a worker holds: keep the keys of the given futures only."
    elif counts == [first + 2, second + 2, 0]:
        hint = "One task was still running and its result nowhere yet: wait for the futures first."
    elif sum(counts) == first + second + 3:
        hint = "A result can be on several workers: it counts for each of them."
    right = counts == [first + 2, second + 3, 0]
    yield Check(2, "counts the given results on each worker", right, hint)


EXERCISES = [
    Exercise("00.1", "total_threads", 3, _observe_total_threads, _judge_total_threads),
    Exercise("00.2", "squares_on_workers", 4, _observe_squares, _judge_squares),
    Exercise("00.3", "send_once", 4, _observe_send_once, _judge_send_once),
    Exercise("00.4", "which_world", 3, _observe_which_world, _judge_which_world),
    Exercise(
        "00.5",
        "results_per_worker",
        4,
        _observe_results_per_worker,
        _judge_results_per_worker,
    ),
]
