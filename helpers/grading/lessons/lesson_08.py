"""Exercises of lesson 08: reading states, finding results, resources, retries, idle threads."""

import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.workers import workers_here


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _list(value):
    return value if isinstance(value, list) else []


# 08.1 read_diary

START = [("released", "waiting"), ("waiting", "processing")]
LIVES = {  # steps of a task, and what must be read from them: its state and how often it was given
    "finished": ([*START, ("processing", "memory")], ["memory", 1]),
    "running": (START, ["processing", 1]),
    "waiting": (START[:1], ["waiting", 0]),
    "queued": (
        [("released", "waiting"), ("waiting", "queued"), ("queued", "processing")],
        ["processing", 1],
    ),
    "retried": (
        [*START, ("processing", "released"), *START, ("processing", "released"), *START]
        + [("processing", "erred")],
        ["erred", 3],
    ),
    "lost": (
        [*START, ("processing", "memory"), ("memory", "released"), *START],
        ["processing", 2],
    ),
    "dropped": ([*START, ("processing", "memory"), ("memory", "released")], ["released", 1]),
    "forgotten": ([*START, ("processing", "memory"), ("memory", "forgotten")], None),
    "again": (
        [*START, ("processing", "memory"), ("memory", "forgotten"), *START]
        + [("processing", "memory")],
        ["memory", 1],
    ),
    "twice": (
        [*START, ("processing", "memory"), ("memory", "forgotten")]
        + [("released", "waiting"), ("waiting", "forgotten")],
        None,
    ),
}


def _diary(seed):
    """Rows of all lives, mixed, each life in its order; and what must be read from them."""
    rng = np.random.default_rng([1, seed])
    names = {life: f"{life[0]}-{rng.integers(1000, 9999)}-{n}" for n, life in enumerate(LIVES)}
    left = {names[life]: list(steps) for life, (steps, _) in LIVES.items()}
    rows = []
    while left:
        key = str(rng.choice(sorted(left)))
        rows.append((key, *left[key].pop(0)))
        left = {key: steps for key, steps in left.items() if steps}
    expected = {names[life]: what for life, (_, what) in LIVES.items() if what}
    return rows, expected, names


def _observe_read_diary(function, seed):
    return describe(function(_diary(seed)[0]))


def _judge_read_diary(facts, seed):
    _, expected, names = _diary(seed)
    facts = _dict(facts)
    found = {}
    for key, pair in _dict(facts.get("items")).items():
        parts = _list(_dict(pair).get("items"))
        found[key] = [_dict(part).get("value") for part in parts]
    hint = f"Return a dict, key → (state, number), not {facts.get('type')}."
    if facts.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif facts.get("type") == "dict":
        hint = "Each value is a pair: the state as text, and a whole number."
    pairs = found and all(
        len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
        for pair in found.values()
    )
    yield Check(0, "returns a dict of pairs", facts.get("type") == "dict" and bool(pairs), hint)

    states = {key: pair[0] for key, pair in found.items()}
    known = {key: pair[0] for key, pair in expected.items()}
    came_from = {key: start for key, start, _ in _diary(seed)[0]}
    hint = "The state of a task is where its last row leads."
    if set(known) - set(states):
        hint = "Some tasks are missing: every key that the scheduler still knows belongs there."
    elif all(states[key] == came_from[key] for key in known):
        hint = "That is where the last step came from: the state is where it leads."
    elif states[names["lost"]] == "memory":
        hint = "A task whose result was lost is not in memory any more: the last row counts."
    right = all(states.get(key) == state for key, state in known.items())
    yield Check(1, "the state of every task that is known", right, hint)

    hint = "A key that the scheduler has forgotten is unknown: leave it out."
    yield Check(1, "and of no other", set(states) == set(known), hint)

    counts = {key: pair[1] for key, pair in found.items()}
    hint = "Count the steps that lead to processing."
    if counts.get(names["retried"]) == 1 and counts.get(names["waiting"]) == 0:
        hint = "A task can be given to a worker more than once: after a retry, or a lost worker."
    elif counts.get(names["waiting"]) == 1:
        hint = "A task that waits for its inputs was not given to a worker yet."
    elif counts.get(names["running"]) == 0:
        hint = "A task that is processing now was given to a worker, too: count where steps lead."
    elif counts.get(names["queued"]) == 0:
        hint = "A task may come to processing from the queue as well, not only from waiting."
    elif counts.get(names["again"]) == 2:
        hint = "After a key was forgotten a new life begins: count from there."
    right = all(counts.get(key) == pair[1] for key, pair in expected.items())
    yield Check(1, "how often it was given to a worker", right, hint)


# 08.2 results_by_worker


def _plan(seed):
    """Where the results are made: one list of worker numbers for the futures, one for others."""
    rng = np.random.default_rng([2, seed])
    mine = [0] * int(rng.integers(2, 5)) + [1] * int(rng.integers(5, 8))
    return rng.permutation(mine).tolist(), [0, 1, 1]  # worker 2 holds none of them, worker 3 one


def _fail(number):
    raise ValueError(number)


def _slowly(number):
    time.sleep(0.3)
    return number


def _observe_results_by_worker(function, seed):
    from distributed import wait

    mine, others = _plan(seed)
    with workers_here([1, 1, 1, 1]) as (client, _):
        place = {number: worker.address for number, worker in client.cluster.workers.items()}
        at = {number: {"workers": [address], "pure": False} for number, address in place.items()}
        futures = [client.submit(abs, n, **at[where]) for n, where in enumerate(mine)]
        strangers = [client.submit(abs, n, **at[where]) for n, where in enumerate(others)]
        futures.append(client.submit(_fail, 1, **at[2]))
        wait([*futures, *strangers])
        client.replicate(futures[0], workers=[place[0], place[1]], n=2)
        futures.append(client.submit(_slowly, 1, **at[3]))
        answer = function(client, list(futures))
        facts = describe(answer)
        numbers = {address: str(number) for number, address in place.items()}
        items = _dict(facts.get("items"))
        facts["items"] = {numbers.get(key, "other"): item for key, item in items.items()}
        return facts


def _judge_results_by_worker(facts, seed):
    mine, others = _plan(seed)
    counts = {str(n): mine.count(n) for n in (0, 1, 2)} | {"3": 1}
    copied = "1" if mine[0] == 0 else "0"
    expected = counts | {copied: counts[copied] + 1}
    facts = _dict(facts)
    found = {key: _dict(item).get("value") for key, item in _dict(facts.get("items")).items()}
    hint = f"Return a dict, address → number of results, not {facts.get('type')}."
    if facts.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif "other" in found:
        hint = "The keys are the addresses of workers."
    elif facts.get("type") == "dict":
        hint = "The values are whole numbers: how many results the worker holds."
    numbers = facts.get("type") == "dict" and "other" not in found and found
    whole = numbers and all(type(value) is int for value in found.values())
    yield Check(0, "returns a dict of addresses and numbers", bool(whole), hint)

    two = {key: found.get(key) for key in ("0", "1")}
    strange = {str(n): others.count(n) for n in (0, 1)}
    hint = "Count, for each worker, how many of these results it holds."
    if two == {key: expected[key] + strange[key] for key in two}:
        hint = "The workers hold results of other futures, too: count only those that were given."
    elif sum(number or 0 for number in two.values()) == len(mine):
        hint = "One result has a copy on a second worker: both hold it."
    yield Check(1, "counts the given results, copies too", two == _part(expected, two), hint)

    hint = "One task was still running: wait for the futures before you ask."
    yield Check(1, "waits for what still runs", found.get("3") == expected["3"], hint)

    hint = "A worker that holds none of the results belongs there, too, with 0."
    if found.get("2"):
        hint = "A task that failed has no result: nobody holds it."
    yield Check(1, "every worker is there", found == expected, hint)


def _part(numbers, keys):
    return {key: numbers[key] for key in keys}


# 08.3 develop_photos

_lock = threading.Lock()
_taken, _developed, _at_work = [], [], {}


def _look():
    """Say what the current task needs, and whether its input came from another task."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # called outside of a task
        return None, {}
    task = worker.state.tasks[worker.get_current_task()]
    need = {str(word): float(n) for word, n in (task.resource_restrictions or {}).items()}
    return worker, {"need": need, "inputs": len(task.dependencies)}


def _take(name):
    """Take a photo: it needs a camera, and a little time."""
    worker, facts = _look()
    if worker is None:
        return f"photo of {name}"
    with _lock:
        _at_work[worker.name] = _at_work.get(worker.name, 0) + 1
        facts["at once"] = _at_work[worker.name]
    time.sleep(0.02)
    with _lock:
        _at_work[worker.name] -= 1
        _taken.append(facts | {"camera": "camera" in worker.state.total_resources})
    return f"photo of {name}"


def _develop(photo):
    """Develop a photo: any worker can."""
    worker, facts = _look()
    if worker is not None:
        with _lock:
            _developed.append(facts)
    return photo.upper()


def _names(seed):
    rng = np.random.default_rng([3, seed])
    return [f"flight {number}" for number in rng.permutation(np.arange(100, 999))[:6]]


@contextmanager
def _freeing_stuck_tasks(client):
    """Cancel tasks that no worker may ever run: a check must end."""
    from distributed import Future

    done = threading.Event()

    def watch():
        while not done.wait(0.1):
            stuck = [task.key for task in list(client.cluster.scheduler.unrunnable)]
            if stuck:
                client.cancel([Future(key, client) for key in stuck], force=True)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _observe_develop_photos(function, seed):
    for record in (_taken, _developed, _at_work):
        record.clear()
    cameras = {0: 1, 2: 2}  # worker → cameras; worker 1 has none
    with workers_here([2, 2, 2]) as (client, _):
        for number, worker in client.cluster.workers.items():
            if number in cameras:
                client.sync(worker.set_resources, camera=cameras[number])
        with _freeing_stuck_tasks(client):
            try:
                answer = describe(function(client, _take, _develop, _names(seed)))
            except CancelledError:
                return {"stuck": True}
    return {"answer": answer, "taken": list(_taken), "developed": list(_developed)}


def _judge_develop_photos(facts, seed):
    facts = _dict(facts)
    expected = [f"photo of {name}".upper() for name in _names(seed)]
    answer = _dict(facts.get("answer"))
    items = [_dict(item) for item in _list(answer.get("items"))]
    kinds = {str(item.get("type")) for item in items}
    values = [item.get("value") for item in items]
    hint = f"Return a list of developed photos, not {answer.get('type')}."
    if facts.get("stuck"):
        hint = "A task asked for something that no worker offers, and would wait for ever."
    elif answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif kinds & {"future", "delayed"} or answer.get("type") in ("future", "delayed"):
        hint = "Those are promises of photos: gather them."
    yield Check(0, "returns a list of texts", kinds == {"str"}, hint)

    hint = "Take a photo of each name, and develop each."
    if sorted(map(str, values)) == sorted(expected):
        hint = "All photos are there, in another order: keep the order of the names."
    elif [str(value).upper() for value in values] == expected:
        hint = "These photos are not developed."
    yield Check(1, "one developed photo per name, in order", values == expected, hint)

    taken = [_dict(item) for item in _list(facts.get("taken"))]
    needs = [_dict(item.get("need")) for item in taken]
    developed = [_dict(item) for item in _list(facts.get("developed"))]
    hint = "Some photos were taken without asking for a camera: say that the task needs one."
    if not taken:
        hint = "No worker took a photo: give the work to `client`."
    elif not any(needs) and all(item.get("camera") for item in taken):
        hint = "Pinned to addresses, two tasks share a camera: ask for the resource instead."
    elif any(need.get("camera", 1) != 1 for need in needs):
        hint = "One photo needs one camera: these tasks asked for another number."
    one_each = taken and all(need == {"camera": 1} for need in needs)
    yield Check(1, "each photo has a camera to itself", bool(one_each), hint)

    hint = "A photo is developed while the task holds a camera: make it a task of its own."
    if any(item.get("inputs") for item in developed):
        hint = "Developing asks for a camera, too, and then only two workers may do it."
    free = len(developed) == len(expected) and all(not item.get("need") for item in developed)
    yield Check(1, "developing needs no camera", free, hint)

    hint = "The photos came home and went out again: pass their futures on."
    stay = all(item.get("inputs") for item in developed)
    yield Check(1, "the photos stay on the workers", stay, hint)


# 08.4 survive

_attempts, _meeting = [], {}
ATTEMPTS = 3
ONCE = ("the last site", 1)  # would answer at the second attempt, and has only one


def _fails_first(item):
    """Fail as often as the item says; the items at the head of the list wait for each other."""
    name, failures = item
    with _lock:
        _attempts.append(name)
        attempt = _attempts.count(name)
    if name in _meeting["names"] and attempt == 1:
        try:
            _meeting["barrier"].wait(timeout=1)
        except threading.BrokenBarrierError:
            _meeting["missed"] = True
    if attempt <= failures:
        raise ConnectionError(f"{name} did not answer")
    return f"{name} answered"


def _sites(seed):
    """Items as (name, how often it fails first), each number of failures at least once."""
    rng = np.random.default_rng([4, seed])
    failures = rng.permutation([0, 1, ATTEMPTS - 1, ATTEMPTS, ATTEMPTS + 4, 0, 1]).tolist()
    return [(f"site {chr(65 + n)}", int(times)) for n, times in enumerate(failures)]


def _observe_survive(function, seed):
    sites = _sites(seed)
    _attempts.clear()
    _meeting.update(names={sites[0][0], sites[-1][0]}, barrier=threading.Barrier(2), missed=False)
    with workers_here([4, 4]) as (client, _):
        answer = describe(function(client, _fails_first, list(sites), ATTEMPTS))
        function(client, _fails_first, [ONCE], 1)
    counts = {name: _attempts.count(name) for name, _ in [*sites, ONCE]}
    return {"answer": answer, "attempts": counts, "missed": _meeting["missed"]}


def _judge_survive(facts, seed):
    facts, sites = _dict(facts), _sites(seed)
    answer = _dict(facts.get("answer"))
    pair = [_dict(item) for item in _list(answer.get("items"))]
    hint = f"Return two lists, not {answer.get('type')}."
    if answer.get("type") == "none":
        hint = "Nothing came back: end the function with return."
    elif answer.get("type") == "dict":
        hint = "Return two lists, not a dict."
    two = answer.get("type") == "list" and [item.get("type") for item in pair] == ["list"] * 2
    yield Check(0, "returns two lists", two, hint)

    results, errors = ([_dict(i) for i in _list(item.get("items"))] for item in pair)
    attempts = {name: n for name, n in _dict(facts.get("attempts")).items() if type(n) is int}
    given = [times for _, times in sites]
    good = [None if times >= ATTEMPTS else f"{name} answered" for name, times in sites]
    said = [item.get("value") for item in results]
    hint = "An item that worked within its attempts has its result, the others have None."
    if said == [value for value in good if value]:
        hint = "The results are there, but not at the places of their items: put None for a loss."
    elif said == [f"{name} answered" if not times else None for name, times in sites]:
        hint = "Items that worked at the second or third attempt are missing: retry them."
    elif said == [None if t > ATTEMPTS else f"{name} answered" for name, t in sites]:
        hint = "One attempt too many: the first attempt counts, too."
    elif said == [None if t >= ATTEMPTS - 1 else f"{name} answered" for name, t in sites]:
        hint = "One attempt too few: what may be repeated comes after the first attempt."
    elif max(attempts.values(), default=0) > ATTEMPTS + 1:
        hint = "Some items had more attempts than allowed."
    yield Check(1, "the results, each at the place of its item", said == good, hint)

    hint = "An item that never worked has the text of its exception, the others have None."
    bad = [f"{name} did not answer" if t >= ATTEMPTS else None for name, t in sites]
    told = [item.get("value") for item in errors]
    if told == [value for value in bad if value]:
        hint = "The messages are there, but not at the places of their items."
    elif any(item.get("type") not in ("none", "str") for item in errors):
        hint = "Give the exception's message as text: str(error)."
    elif any("Error" in str(text) for text in told):
        hint = "Give the message only, str(error), without the exception's type."
    yield Check(1, "the messages of those that never worked", told == bad, hint)

    hint = "The number of attempts is not what was allowed."
    if any(attempts.get(name, 0) > min(times + 1, ATTEMPTS) for name, times in sites):
        hint = "Some items were tried again after they had worked, or too often."
    elif attempts.get(ONCE[0]) != 1:
        hint = "With attempts=1 an item is tried once: the number of attempts is an argument."
    right = [attempts.get(name) for name, _ in sites] == [min(t + 1, ATTEMPTS) for t in given]
    right = right and attempts.get(ONCE[0]) == 1
    yield Check(1, "as many attempts as needed and allowed", right, hint)

    hint = "The items were tried one after the other: submit all before you wait for one."
    yield Check(1, "the items are tried side by side", not facts.get("missed"), hint)


# 08.5 idle_share


def _streams(seed):
    """Cases: a task stream, the number of threads, and the idle share."""
    rng = np.random.default_rng([5, seed])
    return {
        "even": _stream(rng, [[1.0, 1.0], [1.0, 1.0]], 2, transfer=0.0),
        "uneven": _stream(rng, [rng.uniform(0.5, 1, 4), rng.uniform(1, 2, 3)], 2, transfer=0.0),
        "transfers": _stream(rng, [rng.uniform(0.5, 1, 3), rng.uniform(0.5, 1, 3)], 2, 0.25),
        "unused": _stream(rng, [rng.uniform(0.5, 1, 3), rng.uniform(1, 2, 2)], 4, transfer=0.1),
    }


def _stream(rng, durations, threads, transfer):
    """Tasks of each thread one after the other, each after a transfer; listed in any order."""
    begin = 1_795_000_000.0 + float(rng.integers(1000))
    tasks = []
    for thread, times in enumerate(durations):
        now = begin + 0.125 * thread * (transfer > 0)
        for n, seconds in enumerate(times):
            steps = []
            if transfer:
                steps.append({"action": "transfer", "start": now, "stop": now + transfer})
                now += transfer
            steps.append({"action": "compute", "start": now, "stop": now + float(seconds)})
            now += float(seconds)
            worker = f"tcp://127.0.0.1:{4000 + thread}"
            task = {"key": f"task-{thread}-{n}", "worker": worker, "thread": 7000 + thread}
            tasks.append(task | {"status": "OK", "startstops": tuple(steps)})
    return [tasks[n] for n in rng.permutation(len(tasks))], threads


def _share(stream, threads, actions=("compute",), span_of=None):
    parts = [part for task in stream for part in task["startstops"]]
    busy = sum(part["stop"] - part["start"] for part in parts if part["action"] in actions)
    counted = [part for part in parts if span_of is None or part["action"] in span_of]
    span = max(part["stop"] for part in counted) - min(part["start"] for part in counted)
    return 1 - busy / (threads * span)


def _observe_idle_share(function, seed):
    cases = _streams(seed)
    return {case: describe(function(stream, n)) for case, (stream, n) in cases.items()}


def _judge_idle_share(facts, seed):
    facts, cases = _dict(facts), _streams(seed)
    kinds = {str(_dict(facts.get(case)).get("type")) for case in cases}
    found = {case: _dict(facts.get(case)).get("value") for case in cases}
    hint = "Return one number, the share, for each stream."
    if kinds == {"none"}:
        hint = "Nothing came back: end the function with return."
    yield Check(0, "returns a number", kinds <= {"float", "int"} and bool(kinds), hint)

    expected = {case: _share(stream, n) for case, (stream, n) in cases.items()}
    simple = ("even", "uneven")
    hint = "Seconds of all threads together: the threads times the whole span."
    if all(close(found[case], 1 - expected[case]) for case in simple):
        hint = "That is the share of time in which they are busy."
    elif all(close(found[case], 100 * expected[case]) for case in simple):
        hint = "Give a share between 0 and 1, not percent."
    elif any(type(found[case]) in (int, float) and found[case] < -1e-9 for case in simple):
        hint = "A negative share: all threads together have more time than one has."
    right = all(close(found[case], expected[case]) for case in simple)
    yield Check(1, "the idle share of two busy threads", right, hint)

    busy_moving = _share(*cases["transfers"], actions=("compute", "transfer"))
    compute_span = _share(*cases["transfers"], span_of=("compute",))
    hint = "A transfer is not work: only compute counts as busy, but the span covers both."
    if close(found["transfers"], busy_moving):
        hint = "While data travel the thread does not compute: count compute only as busy."
    elif close(found["transfers"], compute_span):
        hint = "The span begins with the first transfer: it covers every action."
    right = close(found["transfers"], expected["transfers"])
    yield Check(1, "waiting for data is not work", right, hint)

    hint = "A thread that ran no task was idle all the time: use `threads`."
    yield Check(
        1, "threads that ran nothing count", close(found["unused"], expected["unused"]), hint
    )


EXERCISES = [
    Exercise("08.1", "read_diary", 3, _observe_read_diary, _judge_read_diary),
    Exercise("08.2", "results_by_worker", 3, _observe_results_by_worker, _judge_results_by_worker),
    Exercise("08.3", "develop_photos", 4, _observe_develop_photos, _judge_develop_photos),
    Exercise("08.4", "survive", 4, _observe_survive, _judge_survive),
    Exercise("08.5", "idle_share", 3, _observe_idle_share, _judge_idle_share),
]
