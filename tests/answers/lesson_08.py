"""Answers to the exercises of lesson 08."""

from collections import Counter

import dask
from distributed import as_completed, wait

from tests.answers import right, wrong

# 08.1 read_diary


@wrong("08.1", points=0, hint="Nothing came back")
def read_diary(rows):
    states = {key: finish for key, _, finish in rows}
    print(states)


@wrong("08.1", points=0, hint="Each value is a pair")
def read_diary(rows):
    return {key: finish for key, _, finish in rows if finish != "forgotten"}


@wrong("08.1", points=0, hint="not list")
def read_diary(rows):
    return [(key, finish, 1) for key, _, finish in rows]


@wrong("08.1", points=0, hint="where it leads")
def read_diary(rows):
    given = Counter(key for key, _, finish in rows if finish == "processing")
    return {key: (start, given[key]) for key, start, _ in rows}


@wrong("08.1", points=0, hint="last row leads")
def read_diary(rows):
    known = {}
    for key, start, finish in rows:
        known.setdefault(key, (start, 1))
        if finish == "forgotten":
            del known[key]
    return known


@wrong("08.1", points=1, hint="leave it out")
def read_diary(rows):
    given = Counter(key for key, _, finish in rows if finish == "processing")
    return {key: (finish, given[key]) for key, _, finish in rows}


@wrong("08.1", points=0, hint="Some tasks are missing")
def read_diary(rows):
    gone = {key for key, _, finish in rows if finish == "forgotten"}
    given = Counter(key for key, _, finish in rows if finish == "processing")
    return {key: (finish, given[key]) for key, _, finish in rows if key not in gone}


@wrong("08.1", points=2, hint="a new life begins")
def read_diary(rows):
    given = Counter(key for key, _, finish in rows if finish == "processing")
    known = {key: (finish, given[key]) for key, _, finish in rows}
    return {key: pair for key, pair in known.items() if pair[0] != "forgotten"}


@wrong("08.1", points=2, hint="more than once")
def read_diary(rows):
    known = {}
    for key, _, finish in rows:
        given = known.get(key, (None, 0))[1]
        known[key] = (finish, 1 if finish == "processing" else given)
        if finish == "forgotten":
            del known[key]
    return known


@wrong("08.1", points=2, hint="count where steps lead")
def read_diary(rows):
    known = {}
    for key, start, finish in rows:
        known[key] = (finish, known.get(key, (None, 0))[1] + (start == "processing"))
        if finish == "forgotten":
            del known[key]
    return known


@wrong("08.1", points=2, hint="from the queue")
def read_diary(rows):
    known = {}
    for key, *step in rows:
        given = known.get(key, (None, 0))[1] + (step == ["waiting", "processing"])
        known[key] = (step[1], given)
        if step[1] == "forgotten":
            del known[key]
    return known


@wrong("08.1", points=2, hint="not given to a worker yet")
def read_diary(rows):
    known = {}
    for key, _, finish in rows:
        known[key] = (finish, known.get(key, (None, 0))[1] + (finish == "waiting"))
        if finish == "forgotten":
            del known[key]
    return known


@wrong("08.1", points=0, hint="the last row counts")
def read_diary(rows):
    rank = ["released", "waiting", "queued", "processing", "memory", "erred"]
    known = {}
    for key, _, finish in rows:
        if finish == "forgotten":
            del known[key]
            continue
        state, given = known.get(key, ("released", 0))
        furthest = max(state, finish, key=rank.index)
        known[key] = (furthest, given + (finish == "processing"))
    return known


@right("08.1")
def read_diary(rows):
    found = {}
    for key in {row[0] for row in rows}:
        steps = [finish for name, _, finish in rows if name == key]
        if "forgotten" in steps:
            last = len(steps) - steps[::-1].index("forgotten")
            steps = steps[last:]
        if steps:
            found[key] = (steps[-1], steps.count("processing"))
    return found


@right("08.1")
def read_diary(rows):
    state, given = {}, Counter()
    for key, _, finish in rows:
        state[key] = finish
        given[key] += finish == "processing"
        if finish == "forgotten":
            del state[key], given[key]
    return {key: [state[key], given[key]] for key in state}


# 08.2 results_by_worker


@wrong("08.2", points=0, hint="Nothing came back")
def results_by_worker(client, futures):
    wait(futures)
    print(client.who_has(futures))


@wrong("08.2", points=0, hint="The keys are the addresses")
def results_by_worker(client, futures):
    wait(futures)
    return {key: len(held) for key, held in client.who_has(futures).items()}


@wrong("08.2", points=0, hint="The values are whole numbers")
def results_by_worker(client, futures):
    wait(futures)
    return {address: list(keys) for address, keys in client.has_what().items()}


@wrong("08.2", points=0, hint="results of other futures")
def results_by_worker(client, futures):
    wait(futures)
    return {address: len(keys) for address, keys in client.has_what().items()}


@wrong("08.2", points=0, hint="both hold it")
def results_by_worker(client, futures):
    wait(futures)
    held = client.who_has(futures).values()
    counts = Counter(
        sorted(addresses, key=list(client.nthreads()).index)[0] for addresses in held if addresses
    )
    return {address: counts[address] for address in client.nthreads()} if counts else {}


@wrong("08.2", points=1, hint="wait for the futures")
def results_by_worker(client, futures):
    keys = {future.key for future in futures}
    return {address: len(keys & set(held)) for address, held in client.has_what().items()}


@wrong("08.2", points=2, hint="with 0")
def results_by_worker(client, futures):
    wait(futures)
    return dict(Counter(a for held in client.who_has(futures).values() for a in held))


@wrong("08.2", points=0, hint="this task has failed")
def results_by_worker(client, futures):
    client.gather(futures)
    counts = Counter(a for held in client.who_has(futures).values() for a in held)
    return {address: counts[address] for address in client.nthreads()}


@wrong("08.2", points=2, hint="nobody holds it")
def results_by_worker(client, futures):
    wait(futures)
    held = client.who_has(futures)
    failed = sorted(client.nthreads())[2:3]  # where it was to be made
    counts = Counter(a for future in futures for a in held[future.key] or failed)
    return {address: counts[address] for address in client.nthreads()}


@right("08.2")
def results_by_worker(client, futures):
    wait(futures)
    keys = {future.key for future in futures}
    return {address: len(keys & set(held)) for address, held in client.has_what().items()}


@right("08.2")
def results_by_worker(client, futures):
    for _ in as_completed(futures):
        pass
    keys = [future.key for future in futures]

    def count(dask_worker):
        return sum(key in dask_worker.data for key in keys)

    return client.run(count)


# 08.3 develop_photos


@wrong("08.3", points=0, hint="promises of photos")
def develop_photos(client, take, develop, names):
    photos = client.map(take, names, resources={"camera": 1})
    return client.map(develop, photos)


@wrong("08.3", points=0, hint="Nothing came back")
def develop_photos(client, take, develop, names):
    photos = client.map(take, names, resources={"camera": 1})
    client.gather(client.map(develop, photos))


@wrong("08.3", points=0, hint="no worker offers")
def develop_photos(client, take, develop, names):
    photos = client.map(take, names, resources={"cameras": 1})
    return client.gather(client.map(develop, photos))


@wrong("08.3", points=0, hint="not developed")
def develop_photos(client, take, develop, names):
    return client.gather(client.map(take, names, resources={"camera": 1}))


@wrong("08.3", points=0, hint="keep the order")
def develop_photos(client, take, develop, names):
    photos = client.map(take, names, resources={"camera": 1})
    return client.gather(client.map(develop, photos))[::-1]


@wrong("08.3", points=1, hint="No worker took")
def develop_photos(client, take, develop, names):
    return [develop(take(name)) for name in names]


@wrong("08.3", points=1, hint="say that the task needs one")
def develop_photos(client, take, develop, names):
    return client.gather(client.map(develop, client.map(take, names)))


@wrong("08.3", points=1, hint="ask for the resource instead")
def develop_photos(client, take, develop, names):
    workers = client.scheduler_info(n_workers=-1)["workers"].items()
    equipped = [address for address, worker in workers if "camera" in worker["resources"]]
    photos = client.map(take, names, workers=equipped)
    return client.gather(client.map(develop, photos))


@wrong("08.3", points=1, hint="another number")
def develop_photos(client, take, develop, names):
    photos = client.map(take, names, resources={"camera": 2})
    return client.gather(client.map(develop, photos))


@wrong("08.3", points=2, hint="while the task holds a camera")
def develop_photos(client, take, develop, names):
    both = client.map(lambda name: develop(take(name)), names, resources={"camera": 1})
    return client.gather(both)


@wrong("08.3", points=2, hint="Developing asks for a camera, too")
def develop_photos(client, take, develop, names):
    with dask.annotate(resources={"camera": 1}):
        photos = client.map(take, names)
        return client.gather(client.map(develop, photos))


@wrong("08.3", points=3, hint="pass their futures on")
def develop_photos(client, take, develop, names):
    photos = client.gather(client.map(take, names, resources={"camera": 1}))
    return client.gather(client.map(develop, photos))


@wrong("08.3", points=2, hint="No worker developed")
def develop_photos(client, take, develop, names):
    photos = client.gather(client.map(take, names, resources={"camera": 1}))
    return [develop(photo) for photo in photos]


@wrong("08.3", points=4, hint="one after the other")
def develop_photos(client, take, develop, names):
    done = []
    for name in names:
        photo = client.submit(take, name, resources={"camera": 1})
        done.append(client.submit(develop, photo).result())
    return done


@right("08.3")
def develop_photos(client, take, develop, names):
    with dask.annotate(resources={"camera": 1}):
        photos = [client.submit(take, name) for name in names]
    return [client.submit(develop, photo).result() for photo in photos]


@right("08.3")
def develop_photos(client, take, develop, names):
    with dask.annotate(resources={"camera": 1}):
        photos = [dask.delayed(take)(name) for name in names]
    done = [dask.delayed(develop)(photo) for photo in photos]
    return client.gather(client.compute(done, optimize_graph=False))


# 08.4 survive


def submit_all(client, function, items, retries):
    futures = client.map(function, items, retries=retries)
    wait(futures)
    return futures


@wrong("08.4", points=0, hint="It raised ConnectionError")
def survive(client, function, items, attempts):
    results = client.gather(client.map(function, items, retries=attempts - 1))
    return results, [None] * len(items)


@wrong("08.4", points=0, hint="Nothing came back")
def survive(client, function, items, attempts):
    submit_all(client, function, items, attempts - 1)


@wrong("08.4", points=0, hint="not dict")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    return {str(item): future.status for item, future in zip(items, futures, strict=True)}


@wrong("08.4", points=0, hint="One attempt too many")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts)
    errors = [future.exception() for future in futures]
    results = [None if e else f.result() for f, e in zip(futures, errors, strict=True)]
    return results, [str(error) if error else None for error in errors]


@wrong("08.4", points=0, hint="One attempt too few")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 2)
    errors = [future.exception() for future in futures]
    results = [None if e else f.result() for f, e in zip(futures, errors, strict=True)]
    return results, [str(error) if error else None for error in errors]


@wrong("08.4", points=0, hint="retry them")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, 0)
    errors = [future.exception() for future in futures]
    results = [None if e else f.result() for f, e in zip(futures, errors, strict=True)]
    return results, [str(error) if error else None for error in errors]


@wrong("08.4", points=0, hint="put None for a loss")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    errors = [str(future.exception()) for future in futures if future.status == "error"]
    return client.gather(futures, errors="skip"), errors


@wrong("08.4", points=1, hint="not at the places")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    results = [f.result() if f.status == "finished" else None for f in futures]
    return results, [str(f.exception()) for f in futures if f.status == "error"]


@wrong("08.4", points=1, hint="without the exception's type")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    results = [f.result() if f.status == "finished" else None for f in futures]
    return results, [repr(f.exception()) if f.status == "error" else None for f in futures]


@wrong("08.4", points=1, hint="as text")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    results = [f.result() if f.status == "finished" else None for f in futures]
    return results, [f.exception() for f in futures]


@wrong("08.4", points=1, hint="the others have None")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    results = [f.result() if f.status == "finished" else None for f in futures]
    return results, [str(f.exception()) for f in futures]


@wrong("08.4", points=0, hint="retry them")
def survive(client, function, items, attempts):
    # The second submit of the same call is the same task, and that one has failed.
    results, errors = [None] * len(items), [None] * len(items)
    futures = [client.submit(function, item) for item in items]
    for n, item in enumerate(items):
        for _ in range(attempts):
            try:
                results[n], errors[n] = client.submit(function, item).result(), None
                break
            except ConnectionError as error:
                errors[n] = str(error)
    del futures
    return results, errors


@wrong("08.4", points=3, hint="one after the other")
def survive(client, function, items, attempts):
    results, errors = [], []
    for item in items:
        future = client.submit(function, item, retries=attempts - 1)
        error = future.exception()
        results.append(None if error else future.result())
        errors.append(str(error) if error else None)
    return results, errors


@wrong("08.4", points=2, hint="tried again after they had worked")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    results = [f.result() if f.status == "finished" else None for f in futures]
    errors = [str(f.exception()) if f.status == "error" else None for f in futures]
    submit_all(client, lambda item: function(item), items, 0)  # to be sure
    return results, errors


@wrong("08.4", points=2, hint="With attempts=1")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, 2)
    results = [f.result() if f.status == "finished" else None for f in futures]
    return results, [str(f.exception()) if f.status == "error" else None for f in futures]


@wrong("08.4", points=0, hint="Return two lists")
def survive(client, function, items, attempts):
    futures = submit_all(client, function, items, attempts - 1)
    return [f.result() if f.status == "finished" else None for f in futures]


@right("08.4")
def survive(client, function, items, attempts):
    results, errors = [None] * len(items), [None] * len(items)
    left = dict(enumerate(items))
    for _ in range(attempts):
        futures = {n: client.submit(function, item, pure=False) for n, item in left.items()}
        wait(list(futures.values()))
        for n, future in futures.items():
            error = future.exception()
            errors[n] = str(error) if error else None
            results[n] = None if error else future.result()
        left = {n: item for n, item in left.items() if errors[n]}
    return results, errors


@right("08.4")
def survive(client, function, items, attempts):
    with dask.annotate(retries=attempts - 1):
        futures = [client.submit(function, item) for item in items]
    results, errors = [], []
    for future in futures:
        try:
            results.append(future.result())
            errors.append(None)
        except Exception as error:
            results.append(None)
            errors.append(str(error))
    return results, errors


@right("08.4")
def survive(client, function, items, attempts):
    def try_hard(item):
        for left in reversed(range(attempts)):
            try:
                return function(item), None
            except Exception as error:
                if not left:
                    return None, str(error)

    pairs = client.gather(client.map(try_hard, items))
    return [result for result, _ in pairs], [error for _, error in pairs]


# 08.5 idle_share


def computing(stream):
    return [p for task in stream for p in task["startstops"] if p["action"] == "compute"]


def everything(stream):
    return [p for task in stream for p in task["startstops"]]


def seconds(parts):
    return sum(part["stop"] - part["start"] for part in parts)


def span(parts):
    return max(part["stop"] for part in parts) - min(part["start"] for part in parts)


@wrong("08.5", points=0, hint="Nothing came back")
def idle_share(stream, threads):
    print(1 - seconds(computing(stream)) / (threads * span(everything(stream))))


@wrong("08.5", points=0, hint="in which they are busy")
def idle_share(stream, threads):
    return seconds(computing(stream)) / (threads * span(everything(stream)))


@wrong("08.5", points=0, hint="not percent")
def idle_share(stream, threads):
    return 100 * (1 - seconds(computing(stream)) / (threads * span(everything(stream))))


@wrong("08.5", points=0, hint="A negative share")
def idle_share(stream, threads):
    return 1 - seconds(computing(stream)) / span(everything(stream))


@wrong("08.5", points=0, hint="the whole span")
def idle_share(stream, threads):
    first, last = stream[0]["startstops"][0], stream[-1]["startstops"][-1]
    span = max(abs(last["stop"] - first["start"]), 100.0)
    return 1 - seconds(computing(stream)) / (threads * span)


@wrong("08.5", points=1, hint="count compute only")
def idle_share(stream, threads):
    return 1 - seconds(everything(stream)) / (threads * span(everything(stream)))


@wrong("08.5", points=1, hint="begins with the first transfer")
def idle_share(stream, threads):
    return 1 - seconds(computing(stream)) / (threads * span(computing(stream)))


@wrong("08.5", points=2, hint="use `threads`")
def idle_share(stream, threads):
    seen = len({task["thread"] for task in stream})
    return 1 - seconds(computing(stream)) / (seen * span(everything(stream)))


@wrong("08.5", points=1, hint="A transfer is not work")
def idle_share(stream, threads):
    parts = [task["startstops"][0] for task in stream]
    return 1 - seconds(parts) / (threads * span(everything(stream)))


@right("08.5")
def idle_share(stream, threads):
    first = min(task["startstops"][0]["start"] for task in stream)
    last = max(task["startstops"][-1]["stop"] for task in stream)
    return 1 - seconds(computing(stream)) / threads / (last - first)


@right("08.5")
def idle_share(stream, threads):
    total = threads * span(everything(stream))
    work = {"compute": 0.0}
    for part in everything(stream):
        work[part["action"]] = work.get(part["action"], 0.0) + part["stop"] - part["start"]
    return (total - work["compute"]) / total
