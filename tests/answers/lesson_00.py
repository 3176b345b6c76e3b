"""Answers to the exercises of lesson 00."""

from collections import Counter

from tests.answers import right, wrong


@wrong("00.1", points=0, hint="add its values up")
def total_threads(client):
    return client.nthreads()


@wrong("00.1", points=0, hint="one number per worker")
def total_threads(client):
    return list(client.nthreads().values())


@wrong("00.1", points=1, hint="number of workers")
def total_threads(client):
    return len(client.scheduler_info()["workers"])


@wrong("00.1", points=1, hint="threads of one worker")
def total_threads(client):
    return max(client.nthreads().values())


@wrong("00.1", points=1, hint="The workers differ")
def total_threads(client):
    threads = list(client.nthreads().values())
    return threads[0] * len(threads)


@wrong("00.1", points=0, hint="end the function with return")
def total_threads(client):
    print(sum(client.nthreads().values()))


@wrong("00.1", points=1, hint="add them up")
def total_threads(client):
    return min(client.nthreads().values())


@wrong("00.1", points=1, hint="comes out otherwise")
def total_threads(client):
    return sum(n for n in client.nthreads().values() if n > 1)


@right("00.1")
def total_threads(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(worker["nthreads"] for worker in workers)


@right("00.1")
def total_threads(client):
    threads = 0
    for worker in client.nthreads():
        threads += client.nthreads([worker])[worker]
    return threads


@wrong("00.2", points=0, hint="client.gather")
def squares_on_workers(client, numbers):
    return client.map(lambda n: n * n, numbers)


@wrong("00.2", points=0, hint="with return")
def squares_on_workers(client, numbers):
    client.gather(client.map(lambda n: n * n, numbers))


@wrong("00.2", points=0, hint=".result()")
def squares_on_workers(client, numbers):
    return client.submit(lambda numbers: [n * n for n in numbers], numbers)


@wrong("00.2", points=2, hint="keep the order")
def squares_on_workers(client, numbers):
    return sorted(client.gather(client.map(lambda n: n * n, numbers)))


@wrong("00.2", points=2, hint="by hand")
def squares_on_workers(client, numbers):
    return client.gather(client.map(lambda n: n + n, numbers))


@wrong("00.2", points=1, hint="one square for each")
def squares_on_workers(client, numbers):
    return client.gather(client.map(lambda n: n * n, numbers[:2]))


@wrong("00.2", points=3, hint="this process did")
def squares_on_workers(client, numbers):
    return [n * n for n in numbers]


@wrong("00.2", points=3, hint="make a task of each number")
def squares_on_workers(client, numbers):
    return client.submit(lambda: [n * n for n in numbers]).result()


@wrong("00.2", points=3, hint="something else")
def squares_on_workers(client, numbers):
    client.gather(client.map(lambda number: 0, numbers))
    return [n * n for n in numbers]


@wrong("00.2", points=4, hint="before the next number was sent")
def squares_on_workers(client, numbers):
    return [client.submit(pow, number, 2).result() for number in numbers]


@wrong("00.2", points=4, hint="before the next number was sent")
def squares_on_workers(client, numbers):
    import dask

    return [dask.delayed(pow)(number, 2).compute() for number in numbers]


@wrong("00.2", points=3, hint="fewer tasks than there should be")
def squares_on_workers(client, numbers):
    halves = client.map(lambda some: [n * n for n in some], [numbers[:3], numbers[3:]])
    return [square for squares in client.gather(halves) for square in squares]


@right("00.2")
def squares_on_workers(client, numbers):
    from distributed import as_completed

    futures = client.map(lambda n: (n, n * n), numbers)
    squares = dict(future.result() for future in as_completed(futures))
    return [squares[n] for n in numbers]


@right("00.2")
def squares_on_workers(client, numbers):
    futures = [client.submit(pow, n, 2) for n in numbers]
    return [future.result() for future in futures]


@right("00.2")
def squares_on_workers(client, numbers):
    import dask

    return list(dask.compute(*[dask.delayed(pow)(n, 2) for n in numbers]))


@wrong("00.3", points=0, hint="client.gather")
def send_once(client, data, functions):
    shared = client.scatter(data)
    return [client.submit(function, shared) for function in functions]


@wrong("00.3", points=1, hint="in the order of the functions")
def send_once(client, data, functions):
    shared = client.scatter(data)
    return client.gather([client.submit(function, shared) for function in functions[::-1]])


@wrong("00.3", points=2, hint="this process did")
def send_once(client, data, functions):
    return [function(data) for function in functions]


@wrong("00.3", points=2, hint="One task did all")
def send_once(client, data, functions):
    return client.submit(lambda: [function(data) for function in functions]).result()


@wrong("00.3", points=3, hint="scatter them first")
def send_once(client, data, functions):
    return client.gather([client.submit(function, data) for function in functions])


@wrong("00.3", points=3, hint="scatter them first")
def send_once(client, data, functions):
    client.scatter(data)  # and its future is not used
    return client.gather([client.submit(function, data) for function in functions])


@wrong("00.3", points=3, hint="scatter them first")
def send_once(client, data, functions):
    return client.gather(client.map(lambda function: function(data), functions))


@wrong("00.3", points=3, hint="scatter them first")
def send_once(client, data, functions):
    copies = [data] * len(functions)
    return client.gather(client.map(lambda function, data: function(data), functions, copies))


@wrong("00.3", points=3, hint="scatter once")
def send_once(client, data, functions):
    return client.gather([client.submit(f, client.scatter(data)) for f in functions])


@wrong("00.3", points=3, hint="scatter once")
def send_once(client, data, functions):
    shared = [client.scatter(data, hash=False) for _ in functions]
    return client.gather([client.submit(f, d) for f, d in zip(functions, shared, strict=True)])


@wrong("00.3", points=2, hint="something else")
def send_once(client, data, functions):
    shared = client.scatter(data)
    client.gather([client.submit(id, shared, pure=False) for _ in functions])
    return [function(data) for function in functions]


@wrong("00.3", points=0, hint="got a list")
def send_once(client, data, functions):
    shared = client.scatter([data])
    return client.gather([client.submit(function, shared) for function in functions])


@wrong("00.3", points=4, hint="before the next function was sent")
def send_once(client, data, functions):
    shared = client.scatter(data)
    return [client.submit(function, shared).result() for function in functions]


@right("00.3")
def send_once(client, data, functions):
    shared = client.scatter([data])[0]
    return client.gather([client.submit(function, shared) for function in functions])


@right("00.3")
def send_once(client, data, functions):
    import dask

    shared = dask.delayed(data)
    return list(dask.compute(*[dask.delayed(function)(shared) for function in functions]))


@right("00.3")
def send_once(client, data, functions):
    shared = client.scatter(data, broadcast=True)
    futures = client.map(lambda function, data: function(data), functions, data=shared)
    return [future.result() for future in futures]


@right("00.3")
def send_once(client, data, functions):
    shared = client.submit(lambda: data)  # it travels once, inside one function
    return client.gather([client.submit(function, shared) for function in functions])


@wrong("00.4", points=0, hint="in capital letters")
def which_world(hosts):
    return len(set(hosts)), len(hosts)


@wrong("00.4", points=0, hint="every way through")
def which_world(hosts):
    if len(set(hosts)) == 1:
        return "SNSG" if len(hosts) == 1 else "SNMG"


@wrong("00.4", points=1, hint="count the hosts")
def which_world(hosts):
    nodes = "S" if len(hosts) == 1 else "M"
    return nodes + "N" + ("M" if max(Counter(hosts).values()) > 1 else "S") + "G"


@wrong("00.4", points=2, hint="host by host")
def which_world(hosts):
    return ("M" if len(set(hosts)) > 1 else "S") + "N" + ("M" if len(hosts) > 1 else "S") + "G"


@wrong("00.4", points=2, hint="need not be alike")
def which_world(hosts):
    each = len(hosts) // len(set(hosts))
    return ("M" if len(set(hosts)) > 1 else "S") + "N" + ("M" if each > 1 else "S") + "G"


@wrong("00.4", points=2, hint="need not be alike")
def which_world(hosts):
    first = hosts.count(hosts[0])
    return ("M" if len(set(hosts)) > 1 else "S") + "N" + ("M" if first > 1 else "S") + "G"


@wrong("00.4", points=2, hint="in any order")
def which_world(hosts):
    nodes = "S" if hosts[0] == hosts[-1] else "M"
    return nodes + "N" + ("M" if max(Counter(hosts).values()) > 1 else "S") + "G"


@wrong("00.4", points=0, hint="in capital letters")
def which_world(hosts):
    nodes = "m" if len(set(hosts)) > 1 else "s"
    return nodes + "n" + ("m" if max(Counter(hosts).values()) > 1 else "s") + "g"


@right("00.4")
def which_world(hosts):
    nodes = len(set(hosts))
    several = len(hosts) > nodes  # then some host is there twice
    return {(1, False): "SNSG", (1, True): "SNMG"}.get(
        (nodes, several), "MNMG" if several else "MNSG"
    )


@right("00.4")
def which_world(hosts):
    counts = Counter(hosts)
    several_nodes = "SM"[len(counts) > 1]
    return f"{several_nodes}N{'SM'[any(n > 1 for n in counts.values())]}G"


@wrong("00.5", points=0, hint="address → whole number")
def results_per_worker(client, futures):
    return len(futures)


@wrong("00.5", points=0, hint="not which")
def results_per_worker(client, futures):
    return client.has_what()


@wrong("00.5", points=1, hint="give it a 0")
def results_per_worker(client, futures):
    from distributed import wait

    wait(futures)
    return dict(Counter(w for places in client.who_has(futures).values() for w in places))


@wrong("00.5", points=2, hint="given futures only")
def results_per_worker(client, futures):
    client.gather(futures)
    return {worker: len(keys) for worker, keys in client.has_what().items()}


@wrong("00.5", points=2, hint="still running")
def results_per_worker(client, futures):
    given = {future.key for future in futures}
    return {worker: len(given & set(keys)) for worker, keys in client.has_what().items()}


@wrong("00.5", points=2, hint="on several workers")
def results_per_worker(client, futures):
    from distributed import wait

    wait(futures)
    counts = dict.fromkeys(client.nthreads(), 0)
    for places in client.who_has(futures).values():
        counts[places[0]] += 1
    return counts


@wrong("00.5", points=0, hint="end the function with return")
def results_per_worker(client, futures):
    client.gather(futures)
    print({worker: len(keys) for worker, keys in client.has_what().items()})


@wrong("00.5", points=1, hint="as client.nthreads() has them")
def results_per_worker(client, futures):
    client.gather(futures)
    given = {future.key for future in futures}
    return {n: len(given & set(held)) for n, held in enumerate(client.has_what().values())}


@right("00.5")
def results_per_worker(client, futures):
    for future in futures:
        future.result()
    counts = dict.fromkeys(client.nthreads(), 0)
    for places in client.who_has(futures).values():
        for worker in places:
            counts[worker] += 1
    return counts


@right("00.5")
def results_per_worker(client, futures):
    client.gather(futures)
    places = client.who_has(futures)
    return {w: sum(w in holders for holders in places.values()) for w in client.nthreads()}
