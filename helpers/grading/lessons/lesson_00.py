"""Exercises of lesson 00: clusters, tasks, futures, and who has what."""

import time

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import describe
from helpers.grading.vocabulary import Facts, reordered, returns, with_example
from helpers.grading.workers import workers_here

# Tools


def _numbers_in(value):
    """Numbers in a result, also inside lists, tuples, dicts and arrays."""
    value = value.tolist() if hasattr(value, "tolist") else value
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers_in(item)]
    return [value] if isinstance(value, int | float) else []


def _work(seen):
    """Facts about what the workers computed, and what was sent after something was fetched."""
    first = seen.log.index("fetched") if "fetched" in seen.log else len(seen.log)
    late = seen.log[first:].count("sent")
    return {"tasks": len(seen.tasks), "made": _numbers_in(seen.results), "late": late}


def _workers_computed(facts, wanted, each):
    """Check that tasks, one for each, gave what came back."""
    tasks, made = facts.get("tasks", 0), facts.get("made", [])
    hint = f"One task did all the work: make a task of each {each}, so the workers can share."
    if not tasks:
        hint = "No worker computed anything: this process did. Give the work to `client`."
    elif tasks >= len(wanted):
        hint = "The workers computed something else than what came back: return their results."
    elif tasks > 1:
        hint = f"There are fewer tasks than there should be: make a task of each {each}."
    right = tasks >= len(wanted) and all(value in made for value in wanted)
    return Check(1, f"the workers compute, one task per {each}", right, hint)


def _side_by_side(facts, each):
    """Check that all tasks were sent before a result was fetched."""
    hint = f"A result was fetched before the next {each} was sent: one works, all others wait."
    return Check(1, "all tasks are sent before a result is fetched", not facts.get("late", 0), hint)


# 00.1 total_threads


def _cluster(seed):
    """Workers that differ: the usual wrong counts (workers, one worker, the first) do, too."""
    rng = np.random.default_rng(seed)
    first, most = int(rng.integers(3, 90)), int(rng.integers(300, 900))
    others = rng.integers(100, 300, size=rng.integers(1, 4)).tolist()
    return workers_here([first, most, *others])


def _observe_total_threads(function, seed):
    with workers_here([1, 1]) as (client, _):
        example = describe(function(client))
    with _cluster(seed) as (client, _):
        answer = describe(function(client))
        # What is right is looked up afterwards: nobody finds it here before.
        return {"answer": answer, "threads": list(client.nthreads().values()), "example": example}


def _judge_total_threads(facts, seed):
    facts = Facts(facts)
    answer, threads = facts["answer"], facts.list_of("threads", int) or [0]
    kinds = {
        "dict": "client.nthreads() is a dict, worker → threads: add its values up.",
        "list": "That is one number per worker: add them up.",
    }
    yield returns(1, [answer, facts["example"]], "int", "a whole number", **kinds)
    mistakes = {
        len(threads): "That is the number of workers. A worker may have several threads.",
        max(threads): "Those are the threads of one worker: add up those of all.",
        len(threads) * threads[0]: "The workers differ: add up each one's own threads.",
    }
    hint = "Ask the client for the threads of each worker, and add them up."
    hint = mistakes.get(answer.value, hint)
    right = Check(2, "counts the threads of all workers", answer.value == sum(threads), hint)
    yield with_example(right, facts["example"].value == 2)


# 00.2 squares_on_workers


def _numbers(seed):
    numbers = np.random.default_rng(seed).permutation(np.arange(3, 40))[:7].tolist()
    return [max(numbers), *[n for n in numbers if n != max(numbers)]]  # never in rising order


def _observe_squares(function, seed):
    with workers_here([1, 1]) as (client, seen):
        facts = {"answer": describe(function(client, _numbers(seed))), **_work(seen)}
        return facts | {"example": describe(function(client, [5, 2, 3]))}


def _judge_squares(facts, seed):
    facts, numbers = Facts(facts), _numbers(seed)
    answer, squares = facts["answer"], [n * n for n in numbers]
    yield returns(1, answer, "list", "a list of whole numbers", of="int")
    hint = "Return one square for each number."
    yield Check(1, "one result per number", len(answer.values) == len(squares), hint)
    hint = "Check the square of one number by hand."
    if reordered(answer.values, squares):
        hint = "These are the squares, in another order: keep the order of the numbers."
    right = Check(1, "the squares, in the order of the numbers", answer.values == squares, hint)
    yield with_example(right, facts["example"].values == [25, 4, 9])
    yield _workers_computed(facts, squares, "number")
    yield _side_by_side(facts, "number")


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
        # Else data scattered again can be lost between two tasks.
        kept = [client.scatter(item, broadcast=True) for item in (data, b"abc")]
        seen.scattered.clear()
        try:
            answer = describe(function(client, data, functions))
        except AttributeError as error:
            if "'list' object" not in str(error):
                raise
            return {"got_list": True}
        scattered = sum(isinstance(item, Parcel) for item in seen.scattered)
        carried = sum(_open_parcel.__name__.encode() in task for task in seen.tasks)
        facts = {"answer": answer, "scattered": scattered, "carried": carried, **_work(seen)}
        facts["example"] = describe(function(client, b"abc", [len, max]))
        del kept
        return facts


def _judge_send_once(facts, seed):
    facts, (data, functions) = Facts(facts), _parcel_and_functions(seed)
    answer, results = facts["answer"], [function(data) for function in functions]
    if facts.get("got_list", False):
        hint = "The functions got a list: scatter([data]) gives a list of futures."
        yield Check(1, "returns a list of results", False, hint)
        return
    yield returns(1, answer, "list", "a list of results", of="int")
    hint = "Return what each function gives for the data, in the order of the functions."
    right = answer.values == results
    right = Check(1, "the result of each function, in their order", right, hint)
    yield with_example(right, facts["example"].values == [3, 99])
    yield _workers_computed(facts, results, "function")
    scattered, carried = facts.get("scattered", 0), facts.get("carried", 0)
    hint = "The data travelled with every task: scatter them first, then pass their future."
    if scattered > 1:
        hint = "The data were scattered for each function anew: scatter once, use that future."
    yield Check(1, "the data are sent once", scattered + carried == 1, hint)
    yield _side_by_side(facts, "function")


# 00.4 which_world

WORLDS = ("SNSG", "SNMG", "MNSG", "MNMG")
# Kinds of clusters and their world; known to the judge only.
ONE_NODE = {"one": "SNSG", "one, many": "SNMG"}
ALIKE = {"two": "MNSG", "three": "MNSG", "alike": "MNMG", "example": "MNSG"}
UNLIKE = {"unlike": "MNMG", "ends": "MNMG"}


def _hosts(seed):
    """Kinds of clusters with lists of hosts, one host per GPU worker; some kinds several times."""
    rng = np.random.default_rng(seed)
    clusters = [("example", ["ada", "bob"])]
    for n in range(int(rng.integers(21, 30))):
        a, b, c = (f"node{n}" for n in rng.permutation(np.arange(1, 30))[:3].tolist())
        many = int(rng.integers(2, 5))
        kinds = {
            "one": [a],
            "one, many": [a] * many,
            "two": [a, b],
            "three": [a, b, c],
            "alike": [a, b] * many,
            "unlike": [a, b, c, b],  # only one of the nodes has several, and not the first
            "ends": [a, b, a],  # first and last on the same node
        }
        clusters.append(list(kinds.items())[n % len(kinds)])
    return [clusters[n] for n in rng.permutation(len(clusters))]


def _observe_which_world(function, seed):
    return {"answers": [describe(function(list(hosts))) for _, hosts in _hosts(seed)]}


def _judge_which_world(facts, seed):
    kinds, expected = [kind for kind, _ in _hosts(seed)], ONE_NODE | ALIKE | UNLIKE
    answers = Facts(facts).each("answers", len(kinds))
    said = [str(answer.value) for answer in answers]
    what = f"one of the texts {', '.join(WORLDS)}, in capital letters"
    title = "always names one of the four worlds"
    kind = returns(1, answers, "str", what, title=title)
    yield kind if not kind.holds else Check(1, title, set(said) <= set(WORLDS), f"Return {what}.")

    wrong = {kind: name for kind, name in zip(kinds, said, strict=True) if name != expected[kind]}
    hint = "One node with one worker is a single GPU; with more workers it is several GPUs."
    if wrong.get("one, many", "").startswith("MN"):
        hint = "Workers on the same host are on one node, however many they are: count the hosts."
    yield Check(1, "one node", not wrong.keys() & ONE_NODE.keys(), hint)
    hint = "Several different hosts are several nodes; SG means that none has two workers."
    if "MNMG" in (wrong.get("two"), wrong.get("three")):
        hint = "Several workers in all are not several in one node: count them host by host."
    elif wrong.keys() == {"ends"}:
        hint = "Hosts come in any order: look at all of them, not at the first and last only."
    elif wrong.keys() <= UNLIKE.keys():
        hint = "The nodes need not be alike: look at the one that has the most workers."
    yield Check(1, "several nodes", not wrong, hint)


# 00.5 results_per_worker


def _nap(seconds):
    time.sleep(seconds)
    return seconds


def _place(client, seed):
    """Results on two workers, copies on both, a task that runs; and others, also on the third."""
    rng, send = np.random.default_rng(seed), {"hash": False}
    a, b, c = np.array(sorted(client.nthreads()))[rng.permutation(3)].tolist()
    first, second = rng.permutation(np.arange(2, 40))[:2].tolist()
    futures = client.scatter(list(range(first)), workers=[a], **send)
    futures += client.scatter(list(range(second)), workers=[b], **send)
    futures += client.scatter([seed, -seed], workers=[a, b], broadcast=True, **send)
    futures += [client.submit(_nap, 0.2, workers=[b], pure=False)]
    others = client.scatter(list(range(5)), workers=[c], **send)  # not in the student's list
    return futures, others + client.scatter([0], workers=[a], **send)


def _observe_results_per_worker(function, seed):
    with workers_here([1, 1, 1]) as (client, _):
        futures, others = _place(client, seed)
        answer = describe(function(client, list(futures)))
        # What is right is looked up afterwards: nobody finds it here before.
        slow = futures[-1].key if futures[-1].result() else None
        held = {worker: list(keys) for worker, keys in client.has_what().items()}
        facts = {"answer": answer, "held": held, "keys": [f.key for f in futures], "slow": slow}
        del others
        return facts | {"example": describe(function(client, client.map(abs, [-1, -2, -3])))}


def _judge_results_per_worker(facts, seed):
    facts = Facts(facts)
    answer, given, slow = facts["answer"], set(facts.list_of("keys", str)), facts.get("slow", "")
    held = {worker: set(facts["held"].list_of(worker, str)) for worker in facts["held"].raw}
    which = "Give each address a whole number: how many results, not which."
    yield returns(1, answer, "dict", "a dict, address → whole number", of="int", dict=which)
    counts = answer.mapping
    hint = "The keys are the addresses of the workers, as client.nthreads() has them."
    if counts.keys() < held.keys():
        hint = "A worker that holds nothing is missing: give it a 0."
    yield Check(1, "has every worker, also an idle one", counts.keys() == held.keys(), hint)

    expected = {worker: len(keys & given) for worker, keys in held.items()}
    early = {worker: len(keys & given - {slow}) for worker, keys in held.items()}
    everything = {worker: len(keys) for worker, keys in held.items()}
    hint = "Compare with client.who_has(futures), key by key."
    if counts == everything:
        hint = "That counts all that a worker holds: keep the keys of the given futures only."
    elif counts == early:
        hint = "One task was still running and its result nowhere yet: wait for the futures first."
    elif sum(counts.values()) == len(given):
        hint = "A result can be on several workers: it counts for each of them."
    right = Check(2, "counts the given results on each worker", counts == expected, hint)
    example = returns(0, facts["example"], "dict", "a dict", of="int")
    yield with_example(
        right, example.holds and sum(item.value for item in facts["example"].items) == 3
    )


EXERCISES = [
    Exercise("00.1", "total_threads", 3, _observe_total_threads, _judge_total_threads),
    Exercise("00.2", "squares_on_workers", 5, _observe_squares, _judge_squares),
    Exercise("00.3", "send_once", 5, _observe_send_once, _judge_send_once),
    Exercise("00.4", "which_world", 3, _observe_which_world, _judge_which_world),
    Exercise(
        "00.5",
        "results_per_worker",
        4,
        _observe_results_per_worker,
        _judge_results_per_worker,
    ),
]
