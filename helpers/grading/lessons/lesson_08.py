"""Exercises of lesson 08: reading states, finding results, resources, retries, idle threads."""

import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager

import numpy as np

from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import (
    Facts,
    by_case,
    mixed,
    named,
    reordered,
    returns,
    with_example,
)
from helpers.grading.workers import workers_here

# 08.1 read_diary

START = [("released", "waiting"), ("waiting", "processing")]
MADE = [*START, ("processing", "memory")]
LIVES = {  # the steps of a task
    "finished": MADE,
    "running": START,
    "waiting": START[:1],
    "queued": [("released", "waiting"), ("waiting", "queued"), ("queued", "processing")],
    "retried": [*START, ("processing", "released")] * 2 + [*START, ("processing", "erred")],
    "lost": [*MADE, ("memory", "released"), *START],
    "dropped": [*MADE, ("memory", "released")],
    "forgotten": [*MADE, ("memory", "forgotten")],
    "again": [*MADE, ("memory", "forgotten"), *MADE],
    "twice": [*MADE, ("memory", "forgotten"), ("released", "waiting"), ("waiting", "forgotten")],
}
FEW_ROWS = [
    *[("a", "released", "waiting"), ("b", "released", "waiting")],
    *[("a", "waiting", "processing"), ("a", "processing", "memory")],
]


def _diary(seed):
    """Rows of all lives, mixed, each life in its order; and the key of each life."""
    rng = np.random.default_rng([1, seed])
    names = {life: f"{life[0]}-{rng.integers(1000, 9999)}-{n}" for n, life in enumerate(LIVES)}
    left = {names[life]: list(steps) for life, steps in LIVES.items()}
    rows = []
    while left:
        key = str(rng.choice(sorted(left)))
        rows.append((key, *left[key].pop(0)))
        left = {key: steps for key, steps in left.items() if steps}
    return rows, names


def _observe_read_diary(function, seed):
    rows, _ = _diary(seed)
    return {"answer": describe(function(rows)), "example": describe(function(list(FEW_ROWS)))}


def _read(rows):
    """What must be read: key → state and how often it was given. Only the judge calls it."""
    known = {}
    for key, _, finish in rows:
        known.setdefault(key, []).append(finish)
        if finish == "forgotten":
            del known[key]
    return {key: [steps[-1], steps.count("processing")] for key, steps in known.items()}


def _judge_read_diary(facts, seed):
    facts, (rows, names) = Facts(facts), _diary(seed)
    answer, example = facts["answer"], facts["example"]
    pair = "Each value is a pair: the state as text, and a whole number."
    yield returns(0, [answer, example], "dict", "a dict, key → (state, number)", of="list",
                  title="returns a dict of pairs", dict=pair)  # fmt: skip
    found = {key: item.values for key, item in answer.parts.items()}
    pairs = all(
        [item.kind for item in value.items] == ["str", "int"] for value in answer.parts.values()
    )
    yield Check(0, "a state and a number", pairs, pair)

    expected = _read(rows)
    states = {key: state for key, (state, _) in found.items()}
    known = {key: state for key, (state, _) in expected.items()}
    came_from = {key: start for key, start, _ in rows}
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

    counts = {life: found[key][1] for life, key in names.items() if key in found}
    hint = "Count the steps that lead to processing."
    if counts["retried"] == 1 and counts["waiting"] == 0:
        hint = "A task can be given to a worker more than once: after a retry, or a lost worker."
    elif counts["waiting"] == 1:
        hint = "A task that waits for its inputs was not given to a worker yet."
    elif counts["running"] == 0:
        hint = "A task that is processing now was given to a worker, too: count where steps lead."
    elif counts["queued"] == 0:
        hint = "A task may come to processing from the queue as well, not only from waiting."
    elif counts["again"] == 2:
        hint = "After a key was forgotten a new life begins: count from there."
    right = Check(1, "how often it was given to a worker", found == expected, hint)
    few = {key: item.values for key, item in example.parts.items()}
    yield with_example(right, few == _read(FEW_ROWS))


# 08.2 results_by_worker


def _jobs(seed):
    """What is submitted, in this order: the number of a worker, and whether it is asked about."""
    rng = np.random.default_rng([2, seed])
    mine = [0] * int(rng.integers(2, 5)) + [1] * int(rng.integers(5, 8))
    # Worker 2 holds none of them, worker 3 gets one that still runs.
    others = [(where, False) for where in (0, 1, 1)]
    return [(where, True) for where in rng.permutation(mine).tolist()] + others


def _fail(number):
    raise RuntimeError("this task has failed, as some may: it has no result")


def _slowly(number):
    time.sleep(0.3)
    return number


def _submitted(client, seed):
    """The futures that are asked about, and others."""
    from distributed import wait

    place = {number: worker.address for number, worker in client.cluster.workers.items()}
    at = {number: {"workers": [address], "pure": False} for number, address in place.items()}
    asked, others = [], []
    for n, (where, is_asked) in enumerate(_jobs(seed)):
        (asked if is_asked else others).append(client.submit(abs, n, **at[where]))
    asked.append(client.submit(_fail, 1, **at[2]))
    wait([*asked, *others])
    client.replicate(asked[0], workers=[place[0], place[1]], n=2)
    return [*asked, client.submit(_slowly, 1, **at[3])], others


def _observe_results_by_worker(function, seed):
    from distributed import wait

    with workers_here([1, 1, 1, 1]) as (client, _):
        futures, others = _submitted(client, seed)
        answer = describe(function(client, list(futures)))
        eight = client.map(abs, range(8))
        wait(eight)
        example = describe(function(client, eight))
        if answer["type"] == "dict":
            numbers = {worker.address: str(n) for n, worker in client.cluster.workers.items()}
            items = {numbers.get(key, "other"): item for key, item in answer["items"].items()}
            answer["items"] = items
        del others
        return {"answer": answer, "example": example}


def _judge_results_by_worker(facts, seed):
    facts, jobs = Facts(facts), _jobs(seed)
    mine, others = ([where for where, asked in jobs if asked is kind] for kind in (True, False))
    expected = {str(n): mine.count(n) for n in (0, 1, 2)} | {"3": 1}
    expected["1" if mine[0] == 0 else "0"] += 1  # the copy
    answer, example = facts["answer"], facts["example"]
    found = answer.mapping
    keys, numbers = "The keys are the addresses of workers.", "The values are whole numbers: "
    numbers += "how many results the worker holds."
    yield returns(0, [answer, example], "dict", "a dict, address → number of results", of="int",
                  title="returns a dict", dict=keys if "other" in found else numbers)  # fmt: skip
    yield Check(0, "returns a dict of addresses and numbers", "other" not in found, keys)

    two = [found.get(key, 0) for key in ("0", "1")]
    right = [expected[key] for key in ("0", "1")]
    hint = "Count, for each worker, how many of these results it holds."
    if two == [right[n] + others.count(n) for n in (0, 1)]:
        hint = "The workers hold results of other futures, too: count only those that were given."
    elif sum(two) == len(mine):
        hint = "One result has a copy on a second worker: both hold it."
    right = Check(1, "counts the given results, copies too", two == right, hint)
    eight = sum(value for value in example.mapping.values() if type(value) is int) == 8
    yield with_example(right, eight)

    hint = "One task was still running: wait for the futures before you ask."
    if found.get("3"):
        hint = "A worker was said to hold more than it holds."
    yield Check(1, "waits for what still runs", found.get("3") == expected["3"], hint)

    hint = "A worker that holds none of the results belongs there, too, with 0."
    if found.get("2"):
        hint = "A task that failed has no result: nobody holds it."
    yield Check(1, "every worker is there", found == expected, hint)


# 08.3 develop_photos

_lock = threading.Lock()
_taken, _developed, _at_work, _meeting = [], [], {}, {}


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


def take(name):
    """Take a photo: it needs a camera, and a little time. The first two wait for each other."""
    worker, facts = _look()
    if worker is None:
        return f"photo of {name}"
    with _lock:
        _at_work[worker.name] = _at_work.get(worker.name, 0) + 1
        facts["at once"] = _at_work[worker.name]
        _meeting["came"] += 1
        early = _meeting["came"] <= 2
    _meet() if early else time.sleep(0.02)
    with _lock:
        _at_work[worker.name] -= 1
        _taken.append(facts | {"camera": "camera" in worker.state.total_resources})
    return f"photo of {name}"


def develop(photo):
    """Develop a photo: any worker can."""
    worker, facts = _look()
    if worker is not None:
        with _lock:
            _developed.append(facts)
    return photo.upper()


def _meet():
    """Wait for the other one; note if it does not come."""
    try:
        _meeting["barrier"].wait(timeout=2)
    except threading.BrokenBarrierError:
        _meeting["missed"] = True


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
    _meeting.update(barrier=threading.Barrier(2), missed=False, came=0)
    cameras = {0: 1, 2: 2}  # worker → cameras; worker 1 has none
    with workers_here([2, 2, 2]) as (client, _):
        for number, worker in client.cluster.workers.items():
            if number in cameras:
                client.sync(worker.set_resources, camera=cameras[number])
        with _freeing_stuck_tasks(client):
            try:
                answer = describe(function(client, take, develop, _names(seed)))
                facts = {"taken": list(_taken), "developed": list(_developed)}
                facts["missed"] = _meeting["missed"]
                example = function(client, take, develop, ["flight 17", "flight 4"])
            except CancelledError:
                return {"stuck": True}
    return {"answer": answer, "example": describe(example), **facts}


def _judge_develop_photos(facts, seed):
    facts = Facts(facts)
    expected = [f"photo of {name}".upper() for name in _names(seed)]
    hint = "A task asked for something that no worker offers, and would wait for ever."
    yield Check(0, "asks for what there is", not facts.get("stuck", False), hint)
    answer, example = facts["answer"], facts["example"]
    promises = "Those are promises of photos: gather them."
    yield returns(0, [answer, example], "list", "a list of developed photos", of="str",
                  title="returns a list of texts", future=promises, plan=promises)  # fmt: skip

    values = answer.values
    hint = "Take a photo of each name, and develop each."
    if reordered(values, expected):
        hint = "All photos are there, in another order: keep the order of the names."
    elif [str(value).upper() for value in values] == expected:
        hint = "These photos are not developed."
    right = Check(1, "one developed photo per name, in order", values == expected, hint)
    yield with_example(right, example.values == ["PHOTO OF FLIGHT 17", "PHOTO OF FLIGHT 4"])

    taken = [*map(Facts, facts.get("taken", []))]
    needs = [item.get("need", {}) for item in taken]
    hint = "Some photos were taken without asking for a camera: say that the task needs one."
    if not taken:
        hint = "No worker took a photo: give the work to `client`."
    elif not any(needs) and all(item.get("camera", False) for item in taken):
        hint = "No task asked for a camera, so two may share one: ask for the resource instead."
    elif all(needs):
        hint = "One photo needs one camera: these tasks asked for another number."
    one_each = bool(taken) and all(need == {"camera": 1} for need in needs)
    yield Check(1, "each photo has a camera to itself", one_each, hint)

    developed = [*map(Facts, facts.get("developed", []))]
    inputs = [item.get("inputs", 0) for item in developed]
    hint = "A photo is developed while the task holds a camera: make it a task of its own."
    if not developed:
        hint = "No worker developed a photo, this process did: give that to `client`, too."
    elif any(inputs):
        hint = "Developing asks for a camera, too, and then only two workers may do it."
    free = len(developed) == len(expected) and not any(item.get("need", {}) for item in developed)
    yield Check(1, "developing needs no camera", free, hint)

    hint = "The photos came home and went out again: pass their futures on."
    yield Check(1, "the photos stay on the workers", all(inputs), hint)
    hint = "The photos were taken one after the other: send all the work before you wait for any."
    alone = facts.get("missed", True)
    yield Check(1, "the cameras work side by side", not alone, hint)


# 08.4 survive

_attempts = []
ATTEMPTS = 3
ONCE = ("the last site", 1)  # would answer at the second attempt, and has only one


def _fails_first(item):
    """Fail as often as the item says; the items at both ends of the list wait for each other."""
    name, failures = item
    with _lock:
        _attempts.append(name)
        attempt = _attempts.count(name)
    if name in _meeting["names"] and attempt == 1:
        _meet()
    if attempt <= failures:
        raise ConnectionError(f"{name} did not answer")
    return f"{name} answered"


def ask(item):
    """Answer for "a" only."""
    if item == "b":
        raise ConnectionError("b did not answer")
    return f"{item} answered"


def _sites(seed):
    """Items as (name, how often it fails first), each number of failures at least once."""
    rng = np.random.default_rng([4, seed])
    failures = rng.permutation([0, 1, ATTEMPTS - 1, ATTEMPTS, ATTEMPTS + 4, 0, 1]).tolist()
    letters = rng.permutation(26)[:7].tolist()
    pairs = zip(letters, failures, strict=True)
    return [(f"site {chr(65 + letter)}", int(times)) for letter, times in pairs]


def _observe_survive(function, seed):
    sites = _sites(seed)
    _attempts.clear()
    _meeting.update(names={sites[0][0], sites[-1][0]}, barrier=threading.Barrier(2), missed=False)
    with workers_here([4, 4]) as (client, _):
        answer = describe(function(client, _fails_first, list(sites), ATTEMPTS))
        function(client, _fails_first, [ONCE], 1)
        example = describe(function(client, ask, ["a", "b"], attempts=3))
    counts = {name: _attempts.count(name) for name, _ in [*sites, ONCE]}
    facts = {"answer": answer, "attempts": counts, "missed": _meeting["missed"]}
    return facts | {"example": example}


def _judge_survive(facts, seed):
    facts, sites = Facts(facts), _sites(seed)
    answer, example = facts["answer"], facts["example"]
    yield returns(0, [answer, example], "list", "two lists", of="list",
                  title="returns lists")  # fmt: skip
    yield Check(0, "returns two lists", len(answer.items) == 2, "Return two lists.")

    said, told = (item.values for item in answer.items)
    attempts = {name: n for name, n in facts.get("attempts", {}).items() if type(n) is int}

    def answered(worked):
        return [f"{name} answered" if worked(times) else None for name, times in sites]

    good = answered(lambda times: times < ATTEMPTS)
    mistakes = {
        "The results are there, but not at the places of their items: put None for a loss.":
            [value for value in good if value],
        "Items that worked at the second or third attempt are missing: retry them.":
            answered(lambda times: times == 0),
        "One attempt too many: the first attempt counts, too.":
            answered(lambda times: times <= ATTEMPTS),
        "One attempt too few: what may be repeated comes after the first attempt.":
            answered(lambda times: times < ATTEMPTS - 1),
    }  # fmt: skip
    hint = "An item that worked within its attempts has its result, the others have None."
    if max(attempts.values(), default=0) > ATTEMPTS + 1:
        hint = "Some items had more attempts than allowed."
    hint = named(said, mistakes, hint)
    right = Check(1, "the results, each at the place of its item", said == good, hint)
    few = [part.values for part in example.items][:1]
    yield with_example(right, few == [["a answered", None]])

    bad = [f"{name} did not answer" if times >= ATTEMPTS else None for name, times in sites]
    hint = "An item that never worked has the text of its exception, the others have None."
    if told == [value for value in bad if value]:
        hint = "The messages are there, but not at the places of their items."
    elif answer.items[1].kinds - {"none", "str"}:
        hint = "Give the exception's message as text: str(error)."
    elif any("Error" in str(text) for text in told):
        hint = "Give the message only, str(error), without the exception's type."
    yield Check(1, "the messages of those that never worked", told == bad, hint)

    hint = "The number of attempts is not what was allowed."
    if any(attempts.get(name, 0) > min(times + 1, ATTEMPTS) for name, times in sites):
        hint = "Some items were tried again after they had worked, or too often."
    elif attempts.get(ONCE[0], 0) > 1:
        hint = "With attempts=1 an item is tried once: the number of attempts is an argument."
    allowed = {name: min(times + 1, ATTEMPTS) for name, times in sites} | {ONCE[0]: 1}
    yield Check(1, "as many attempts as needed and allowed", attempts == allowed, hint)

    hint = "The items were tried one after the other: submit all before you wait for one."
    alone = facts.get("missed", True)
    yield Check(1, "the items are tried side by side", not alone, hint)


# 08.5 idle_share


def _streams(seed):
    """Cases: a task stream, and the number of threads."""
    rng = np.random.default_rng([5, seed])
    short = [
        {"thread": n, "startstops": [{"action": "compute", "start": 10.0, "stop": stop}]}
        for n, stop in ((1, 14.0), (2, 12.0))
    ]
    cases = {
        "even": _stream(rng, [[1.0, 1.0], [1.0, 1.0]], 2, transfer=0.0),
        "uneven": _stream(rng, [rng.uniform(0.5, 1, 4), rng.uniform(1, 2, 3)], 2, transfer=0.0),
        "transfers": _stream(rng, [rng.uniform(0.5, 1, 3), rng.uniform(0.5, 1, 3)], 2, 0.25),
        "unused": _stream(rng, [rng.uniform(0.5, 1, 3), rng.uniform(1, 2, 2)], 4, transfer=0.1),
        "example": (short, 2),
    }
    return mixed(rng, cases)


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
    return [describe(function(stream, n)) for stream, n in list(_streams(seed).values())]


def _judge_idle_share(facts, seed):
    cases = _streams(seed)
    facts = by_case(facts, cases)
    number = "one number, the share, for each stream"
    yield returns(0, [*facts.values()], ("float", "int"), number, title="returns a number")

    found = {case: fact.value for case, fact in facts.items()}
    expected = {case: _share(stream, n) for case, (stream, n) in cases.items()}
    simple = ("even", "uneven")
    values = [found[case] for case in simple]
    mistakes = {
        "That is the share of time in which they are busy.": lambda case: 1 - expected[case],
        "Give a share between 0 and 1, not percent.": lambda case: 100 * expected[case],
    }
    mistakes = {hint: [value(case) for case in simple] for hint, value in mistakes.items()}
    hint = "Seconds of all threads together: the threads times the whole span."
    if any(value < -1e-9 for value in values):
        hint = "A negative share: all threads together have more time than one has."
    hint = named(values, mistakes, hint)
    right = close(values, [expected[case] for case in simple])
    right = Check(1, "the idle share of two busy threads", right, hint)
    yield with_example(right, close(found["example"], 0.25))

    stream, n = cases["transfers"]
    mistakes = {
        "While data travel the thread does not compute: count compute only as busy.":
            _share(stream, n, actions=("compute", "transfer")),
        "The span begins with the first transfer: it covers every action.":
            _share(stream, n, span_of=("compute",)),
    }  # fmt: skip
    hint = "A transfer is not work: only compute counts as busy, but the span covers both."
    hint = named(found["transfers"], mistakes, hint)
    right = close(found["transfers"], expected["transfers"])
    yield Check(1, "waiting for data is not work", right, hint)

    hint = "A thread that ran no task was idle all the time: use `threads`."
    right = close(found["unused"], expected["unused"])
    yield Check(1, "threads that ran nothing count", right, hint)


EXERCISES = [
    Exercise("08.1", "read_diary", 3, _observe_read_diary, _judge_read_diary),
    Exercise("08.2", "results_by_worker", 3, _observe_results_by_worker, _judge_results_by_worker),
    Exercise("08.3", "develop_photos", 5, _observe_develop_photos, _judge_develop_photos),
    Exercise("08.4", "survive", 4, _observe_survive, _judge_survive),
    Exercise("08.5", "idle_share", 3, _observe_idle_share, _judge_idle_share),
]
