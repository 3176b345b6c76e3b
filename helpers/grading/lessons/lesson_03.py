"""Exercises of lesson 03: KMeans on many workers."""

import numpy as np

from helpers.backend import current_backend
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.vocabulary import EXAMPLE, Facts, named, returns, with_example
from helpers.grading.workers import workers_here


def _same(values, expected, rtol=1e-6):
    """Whether two arrays have one shape and, within a tolerance, the same values."""
    return values.shape == expected.shape and np.allclose(values, expected, rtol=rtol, atol=1e-9)


def _distances(X, centers):
    return ((X[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2)


# 03.1 same_clustering


# Kinds of pairs that are the same; known to the judge only.
SAME = {"equal", "renamed", "other names", "example, same"}


def _labellings(seed):
    """Pairs of labellings and what each tests, each once or several times, in any order."""
    rng, first = np.random.default_rng(seed), np.array([0, 0, 1])
    pairs = [
        ("example, same", first, np.array([7, 7, 3])),
        ("example, different", first, np.array([0, 1, 1])),
    ]
    for _ in range(3):
        kinds = _kinds(rng)
        few = rng.permutation(len(kinds))[: rng.integers(5, len(kinds))]
        pairs += kinds if len(pairs) == 2 else [kinds[n] for n in few]
    return [pairs[n] for n in rng.permutation(len(pairs))]


def _kinds(rng):
    a = rng.permutation(np.repeat(np.arange(4), 50))
    renamed = np.array([2, 0, 3, 1])[a]
    split = np.where((a == 3) & (np.arange(200) % 2 == 0), 4, a)
    one_row = renamed.copy()
    one_row[rng.integers(200)] += 1
    one_row %= 4
    many = rng.permutation(np.repeat(np.arange(4), (1000, 960, 20, 20)))
    moved = many.copy()  # between small clusters: hardly a pair of rows is concerned
    moved[np.flatnonzero(many == 2)[0]] = 3
    return [
        ("equal", a, a.copy()),
        ("renamed", a, renamed),
        ("other names", a, 10 * renamed + 7),
        ("sizes", a, rng.permutation(a)),
        ("split", a, split),
        ("split", split, a),
        ("one row", a, one_row),
        ("one row of many", many, moved),
    ]


def _observe_same_clustering(function, seed):
    return {"answers": [describe(function(a.copy(), b.copy())) for _, a, b in _labellings(seed)]}


def _judge_same_clustering(facts, seed):
    kinds = [kind for kind, *_ in _labellings(seed)]
    answers = Facts(facts).each("answers", len(kinds))
    what = "True or False, one answer for the whole pair"
    yield returns(1, answers, "bool", what, title="returns True or False")
    pairs = zip(kinds, answers, strict=True)
    wrong = {kind for kind, answer in pairs if answer.value != (kind in SAME)}
    hints = {
        "equal": "Even two equal labellings are not found to be the same.",
        "renamed": "The same groups under other numbers are told apart. Each fit numbers its "
        "clusters as it likes: do not compare the numbers themselves.",
        "other names": "A label need not be below the number of clusters: any whole number may be "
        "a name.",
        "example, same": EXAMPLE,
    }
    hint = next((text for kind, text in hints.items() if kind in wrong), "")
    yield Check(1, "the same groups under any names", not wrong & SAME, hint)
    row = "One row in another cluster makes it another clustering, however many agree."
    hints = {
        "sizes": "Clusters of the same sizes can hold different rows.",
        "split": "One labelling may only be finer than the other: it must fit in both directions.",
        "one row": row,
        "one row of many": row,
        "example, different": EXAMPLE,
    }
    hint = next((text for kind, text in hints.items() if kind in wrong), "")
    yield Check(1, "different groups are told apart", not wrong, hint)


# 03.2 weighted_sums


def _weighted_rows(seed):
    """Rows, weights and labels of five clusters; the second and the last have no rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 5, (400, 3)).astype("float32")
    weights = rng.uniform(0.5, 3, 400).astype("float32")
    return X, weights, rng.choice([0, 2, 3], 400).astype("int32"), 5


def _observe_weighted_sums(function, seed):
    X, weights, labels, k = _weighted_rows(seed)
    to_device = current_backend().to_device
    answer = describe(function(to_device(X), to_device(weights), to_device(labels), k))
    X, weights = np.array([[1], [5]], "float32"), np.array([1, 3], "float32")
    X, weights, labels = map(to_device, (X, weights, np.array([0, 0])))
    return {"answer": answer, "example": describe(function(X, weights, labels, 2))}


def _judge_weighted_sums(facts, seed):
    X, weights, labels, k = _weighted_rows(seed)
    answer = Facts(facts)["answer"]
    two = "a pair of arrays: return sums, totals"
    kind = returns(0, answer, "list", two, of="array", title="returns two arrays")
    if kind.holds and (len(answer.items) != 2 or any(item.array is None for item in answer.items)):
        kind = kind._replace(holds=False, hint=f"Return {two}.")
    yield kind
    shapes = [item.shape for item in answer.items]
    hint = "The sums have a line per cluster and a column per column of X, the totals one number."
    if shapes[1] == (3,):
        hint = "Clusters without rows are missing: their sum is 0, and their total, too."
    right = shapes == [(k, X.shape[1]), (k,)]
    yield Check(1, "one line per cluster, also for empty ones", right, hint)
    belongs = (labels[None, :] == np.arange(k)[:, None]).astype("float64")
    weighted = belongs * weights.astype("float64")
    sums, totals = (item.array for item in answer.items)
    hint = "The total of a cluster is the sum of the weights of its rows."
    if _same(totals, belongs.sum(axis=1)):
        hint = "Those are numbers of rows: a row of weight 2 counts twice."
    right = _same(totals, weighted.sum(axis=1), rtol=1e-4)
    yield Check(1, "the totals are sums of weights", right, hint)
    exact, means = weighted @ X.astype("float64"), totals[:, None]
    hint = "Multiply each row by its weight, then add up the rows of each cluster."
    if _same(sums, belongs @ X, rtol=1e-4):
        hint = "The rows are added up without their weights."
    elif _same(np.nan_to_num(sums), exact / np.maximum(means, 1e-9), rtol=1e-4):
        hint = "Those are means. Means of two workers can't be added: return the sums."
    yield Check(1, "the sums are weighted", _same(sums, exact, rtol=1e-4), hint)
    digits = all(item.get("dtype", "") == "float64" for item in answer.items)
    digits = digits and _same(sums, exact, 1e-9) and _same(totals, weighted.sum(axis=1), 1e-9)
    hint = "The digits are those of float32: turn the numbers into float64 before you add."
    example = [item.array for item in Facts(facts)["example"].items]
    right = close([array for array in example if array is not None], [[[16], [0]], [4, 0]])
    yield with_example(Check(1, "adds up in double precision", digits, hint), right)


# 03.3 merge_means


def _reports(seed):
    """Means and counts of three workers, for four clusters of three columns; and old centres.

    Cluster 0 has rows everywhere, 1 and 2 at some workers only, 3 nowhere.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 60, (3, 4)) * np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
    counts[0, 0] += 100
    counts[2, 2] = 1  # a single row is a cluster, too
    means = rng.uniform(-9, 9, (3, 4, 3))
    means[counts == 0] = np.nan
    return list(zip(means, counts, strict=True)), rng.uniform(1, 9, (4, 3))


def _observe_merge_means(function, seed):
    parts, centers = _reports(seed)
    answer = describe(function([(m.copy(), c.copy()) for m, c in parts], centers.copy()))
    one = (np.array([[3.0], [np.nan]]), np.array([10, 0]))
    two = (np.array([[5.0], [np.nan]]), np.array([30, 0]))
    return {"answer": answer, "example": describe(function([one, two], np.array([[0.0], [8.0]])))}


def _judge_merge_means(facts, seed):
    (parts, centers), facts = _reports(seed), Facts(facts)
    values, what = facts["answer"].array, "one array with a line per cluster"
    shape = "The array has the shape of the old centres: a line per cluster."
    yield returns(1, facts["answer"], "array", what, shape=centers.shape, array=shape)
    means, counts = (np.array(of_all) for of_all in zip(*parts, strict=True))
    sums = (np.nan_to_num(means) * counts[:, :, None]).sum(axis=0)
    right = sums / np.maximum(counts.sum(axis=0), 1)[:, None]
    hint = "Mean times count gives back the sum. Add sums, add counts, divide."
    if close(values[0], means[:, 0].mean(axis=0)):
        hint = "That is the mean of the means. A worker with more rows has more to say."
    elif close(values[0], sums[0]):
        hint = "Those are the sums of all rows: divide by the number of rows."
    yield Check(1, "a cluster with rows at every worker", close(values[0], right[0]), hint)
    hint = "A worker without rows of a cluster must add nothing to it, neither sum nor count."
    if np.isnan(values[1:3]).any():
        hint = "The mean of no rows is NaN, and NaN times 0 is NaN: leave such means out."
    yield Check(1, "a cluster that some workers do not have", close(values[1:3], right[1:3]), hint)
    hint = "A cluster without rows anywhere keeps its old centre."
    if np.isnan(values[3]).any():
        hint = "Nobody has rows of this cluster, and 0 / 0 is NaN: keep its old centre."
    elif not values[3].any():
        hint = "The origin is a place like any other: a cluster without rows keeps its old centre."
    kept = Check(1, "a cluster that nobody has", close(values[3], centers[3]), hint)
    yield with_example(kept, close(facts["example"].array, [[4.5], [8]]))


# 03.4 next_candidates


def _round(seed):
    """Rows and random numbers of three workers, candidates of the first and the last; wanted."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(place, 1, (n, 2)) for place, n in ((0, 40), (4, 60), (9, 90))]
    draws = [rng.random(len(part)) for part in parts]
    return parts, np.stack([parts[0][0], parts[0][1], parts[2][0]]), draws, 20


def _drawn(rates, draws):
    """Numbers of the rows that are drawn at these rates."""
    return np.flatnonzero(np.concatenate(draws) < np.concatenate(rates)).tolist()


def _observe_next_candidates(function, seed):
    parts, candidates, draws, wanted = _round(seed)
    example = [np.array([[0.0], [1.0]]), np.array([[3.0]])]
    halves = [np.array([0.5, 0.5]), np.array([0.5])]
    move = current_backend().to_device
    answers = [
        describe(function([move(p) for p in parts], move(c), [move(d) for d in draws], n))
        for parts, c, draws, n in (
            (parts, candidates, draws, wanted),
            (example, np.array([[0.0]]), halves, 1),
        )
    ]
    return {"answer": answers[0], "example": answers[1]}


def _judge_next_candidates(facts, seed):
    (parts, candidates, draws, wanted), facts = _round(seed), Facts(facts)
    rows, answer = np.concatenate(parts), facts["answer"]
    kinds = {
        "list": "Return one array: join the rows that the workers drew.",
        "array": "Return the drawn rows with all their columns, not their numbers or chances.",
    }
    shape = (answer.shape[0] if answer.shape else 0, rows.shape[1])
    yield returns(1, answer, "array", "an array of rows", shape=shape, **kinds)
    values = answer.array
    found = [np.flatnonzero(abs(rows - row).max(axis=1) < 1e-9) for row in values]
    given = all(len(places) == 1 for places in found)
    hint = "The new candidates are rows of the parts, unchanged."
    yield Check(1, "each is a row of the parts", given, hint)
    numbers = sorted(int(places[0]) for places in found)
    nearest = [_distances(part, candidates).min(axis=1) for part in parts]
    cost = sum(distances.sum() for distances in nearest)
    right = _drawn([wanted * distances / cost for distances in nearest], draws)
    last = [_distances(part, candidates[-1:])[:, 0] for part in parts]
    totals = [_distances(part, candidates).sum(axis=1) for part in parts]
    plain = [np.sqrt(distances) for distances in nearest]
    mistakes = {
        "The cost is the sum over the rows of all parts: it is one number, not one per part.": [
            wanted * distances / distances.sum() for distances in nearest
        ],
        "The chance grows with the squared distance, not with the distance.": [
            wanted * distances / sum(map(np.sum, plain)) for distances in plain
        ],
        "The distance to the nearest candidate counts, not the sum over all of them.": [
            wanted * distances / sum(map(np.sum, totals)) for distances in totals
        ],
        "All candidates count, not only the last one.": [
            wanted * distances / sum(map(np.sum, last)) for distances in last
        ],
        "About `wanted` rows should come, and that is not one: multiply the chances.": [
            distances / cost for distances in nearest
        ],
    }
    hint = "A row is drawn if its random number is below wanted × distance² / cost."
    hint = named(numbers, {text: _drawn(rates, draws) for text, rates in mistakes.items()}, hint)
    if numbers == sorted(set(range(len(rows))) - set(right)):
        hint = "The rows with a random number below their chance are drawn, not the others."
    right = Check(2, "the rows whose number is below their chance", numbers == right, hint)
    yield with_example(right, close(facts["example"].array, [[3]]))


# 03.5 fit_kmeans


def _table(seed):
    """Rows of three clusters in partitions of different size and mixture; and a start.

    The start has a fourth centre, to which no row is near, and a fifth one with a single row.
    """
    rng = np.random.default_rng(seed)
    mixtures = (900, (0.8, 0.1, 0.1)), (300, (0.1, 0.2, 0.7)), (600, (0.1, 0.7, 0.2))
    places = [rng.choice([-5, 0, 5], n, p=shares) for n, shares in mixtures]
    rows = np.concatenate(places)[:, None] + rng.normal(0, 3, (1800, 4))
    rows[0] = 81
    return rows, (900, 300, 600), np.array([[x] * 4 for x in (-2.0, 0.0, 1.0, 40.0, 80.0)])


def _lloyd(parts, centers, n_iter):
    """Centres after some iterations, from one list of rows or several."""
    for _ in range(n_iter):
        labels = [_distances(part, centers).argmin(axis=1) for part in parts]
        means = [
            [part[own == j].mean(axis=0) if j in own else centers[j] for j in range(len(centers))]
            for part, own in zip(parts, labels, strict=True)
        ]
        centers = np.mean(means, axis=0)  # with several parts: the mean of the means
    return centers


def _observe_fit_kmeans(function, seed):
    import dask.array as da
    from distributed import wait

    rows, chunks, start = _table(seed)
    facts = {}
    with workers_here([1, 1]) as (client, _):
        X = da.from_array(current_backend().to_device(rows), chunks=(chunks, -1)).persist()
        wait(X)
        for n_iter in (1, 5):
            facts[str(n_iter)] = describe(function(client, X, start.copy(), n_iter))
        facts["brought"] = sum(client.run(_bytes_brought).values())
        small = current_backend().to_device(np.array([[0.0], [2.0], [9.0]]))
        X = da.from_array(small, chunks=(2, 1)).persist()
        facts["example"] = describe(function(client, X, np.array([[1.0], [5.0], [40.0]]), 1))
    return facts


def _bytes_brought(dask_worker):
    """Bytes that a worker has sent, but not to another worker: Dask may copy a partition."""
    return sum(sent["total"] for sent in dask_worker.transfer_outgoing_log if not sent["who"])


def _judge_fit_kmeans(facts, seed):
    rows, chunks, start = _table(seed)
    parts = np.split(rows, np.cumsum(chunks)[:-1])
    facts = Facts(facts)
    kinds = {
        "plan": "Return computed centres: they are small.",
        "array": "Return an array with a line per centre and a column per column of X.",
    }
    both = [facts["1"], facts["5"]]
    yield returns(0, both, "array", "the centres, as one array", shape=start.shape, **kinds)
    first, last = (answer.array for answer in both)
    hint = "One iteration: nearest centres, sums and counts of each partition, one division."
    moved, empty = first[:3], first[3]  # no row is near this centre
    if _same(moved, _lloyd(parts, start, 1)[:3], rtol=1e-4):
        hint = "That is the mean of the partitions' means: add up their sums and counts instead."
    elif _same(first, start):
        hint = "These are the centres that were given: no iteration was done."
    elif _same(moved, _lloyd([rows], start, 2)[:3]):
        hint = "These are the centres after two iterations: n_iter says how many to do."
    elif empty.any() and not np.isnan(empty).any() and not _same(empty, start[3]):
        hint = "A centre without rows moved: it stays where it is."
    right = _same(moved, _lloyd([rows], start, 1)[:3])
    yield Check(1, "the centres after one iteration", right, hint)
    hint = "A centre without rows stays where it is."
    if np.isnan(empty).any():
        hint = "A centre without rows became NaN, as 0 / 0 is NaN: it stays where it is."
    elif not empty.any():
        hint = "A centre without rows went to the origin, a place like any other: it stays."
    yield Check(1, "a centre without rows stays", _same(empty, start[3]), hint)
    hint = "Each iteration begins with the centres of the one before."
    if _same(last, first):
        hint = "After five iterations the centres are still those of the first: hand them on."
    right = _same(last, _lloyd([rows], start, 5))
    right = Check(1, "the centres after several iterations", right, hint)
    yield with_example(right, close(facts["example"].array, [[1], [9], [40]]))
    stayed = facts.get("brought", rows.nbytes) < rows.nbytes
    hint = "The rows came to this process: send the centres out, bring sums and counts back."
    yield Check(2, "the rows stay on the workers", stayed, hint)


EXERCISES = [
    Exercise("03.1", "same_clustering", 3, _observe_same_clustering, _judge_same_clustering),
    Exercise("03.2", "weighted_sums", 4, _observe_weighted_sums, _judge_weighted_sums),
    Exercise("03.3", "merge_means", 4, _observe_merge_means, _judge_merge_means),
    Exercise("03.4", "next_candidates", 4, _observe_next_candidates, _judge_next_candidates),
    Exercise("03.5", "fit_kmeans", 5, _observe_fit_kmeans, _judge_fit_kmeans),
]
