"""Mutants of the reference solutions that do the same, each with why; see `tests.mutants`.

The keys are the exercise and the change, as `tests.mutants` prints them; a key may be the end of
the change only.
"""

SAME_MEAN = "NumPy adds float32 pairwise: the mean is off by less than the result's own rounding"
FITTED = "the centres are set afterwards, and one fit to k rows with k clusters ends at these rows"
NO_MATTER = "NumPy promotes float32 times float64 to float64"
FULL = "(gaps.min(axis=1) <= tolerance).all() and len(set(partner)) == len(second))"

EQUIVALENT = {
    ("01.2", ".astype('float32'))"): "a mean of zeros and ones is the same to six digits",
    ("01.3", "-> mean = X.mean(axis=0)"): SAME_MEAN,
    ("01.3", "-> mean = X.mean(axis=0, dtype='float32')"): SAME_MEAN,
    ("01.3", "-> std = X.std(axis=0)"): SAME_MEAN,
    ("01.3", "-> std = X.std(axis=0, dtype='float32')"): SAME_MEAN,
    ("01.3", "-> std[std == 0] = 2"): "0 / 2 is 0, as 0 / 1",
    ("01.3", "-> Z /= std.astype('float64')"): "in place, the result keeps the dtype of Z",
    ("01.5", "(float(model.coef_[-1]), float(model.intercept_))"): "there is one coefficient",
    ("02.2", "-> meta = {'total': 'float32', 'count': 'int64'}"): "meta is a description only",
    ("02.2", "ddf.map_partitions(total_and_count).sum().compute())"): "Dask finds out the meta",
    ("03.2", "weighted @ X.astype('float32'), weighted.sum(axis=1))"): NO_MATTER,
    ("03.3", "sums / np.maximum(counts, 0), centers)"): "0 / 0 is not chosen by where",
    ("03.4", "[r <= wanted * d / cost for r, d in zip(draws, distances, strict=True)]"): (
        "a random number is never exactly the chance"
    ),
    ("03.5", "centers = xp.asarray(centers) -> pass"): "on the CPU they are there already",
    ("03.5", "belongs = (labels == xp.arange(len(centers))[:, None]).astype('float32')"): NO_MATTER,
    ("03.5", "-> means = sums / np.maximum(counts, 0)[:, None]"): "0 / 0 is not chosen by where",
    ("04.2", "{secrets.token_hex(9)}')"): "any name that nobody uses is good",
    ("04.2", "{secrets.token_hex(7)}')"): "any name that nobody uses is good",
    ("04.4", "-> shared = client.scatter(model, hash=False)"): "Dask copies it where it is needed",
    ("04.4", "broadcast=False, hash=False)"): "Dask copies it where it is needed",
    ("04.4", "-> shared = client.scatter(model, broadcast=True)"): "only the key differs",
    ("04.4", "broadcast=True, hash=True)"): "only the key differs",
    ("04.5", "init=start).fit(start)"): "the start is where the iterations end",
    ("04.5", "max_iter=2).fit(start)"): "the start is where the iterations end",
    ("05.1", "-> model = KMeans(len(centers), n_init=1, max_iter=1).fit(centers)"): FITTED,
    ("05.1", "init=centers, max_iter=1).fit(centers)"): FITTED,
    ("05.1", "init=centers, n_init=1).fit(centers)"): FITTED,
    ("05.1", "init=centers, n_init=2, max_iter=1).fit(centers)"): FITTED,
    ("05.1", "init=centers, n_init=1, max_iter=2).fit(centers)"): FITTED,
    ("05.2", "{', '.join(list(unknown))}\")"): "the order of names in a message is free",
    ("05.4", "chunks = ((2,) * X.numblocks[0], (k,))"): "nobody reads the chunks before the sum",
    ("05.4", "chunks = ((0,) * X.numblocks[0], (k,))"): "nobody reads the chunks before the sum",
    ("05.4", "X.map_blocks(count, dtype='int64').sum(axis=0).compute()"): (
        "nobody reads the chunks before the sum"
    ),
    ("05.5", "if len(first) != len(second): -> if False:"): "the number of partners tells it, too",
    ("05.5", FULL.replace("<=", "<")): "a difference is never exactly the tolerance",
    ("05.5", FULL.replace("axis=1", "axis=0")): "with partners of their own, both ways are one",
    ("06.3", "cross_val_score(pipeline, X, y, scoring='roc_auc').mean()"): "5 is the default of cv",
    ("06.4", "GridSearchCV(model, grid, scoring='roc_auc')"): "5 is the default of cv",
    ("06.4", "joblib.parallel_config('dask', scatter=[X, y]):"): "the client is the current one",
    ("06.5", "return (alive[-1], calls)"): "one is left alive",
    ("08.4", "wait(futures) -> pass"): "exception() waits, too",
    ("09.5", "-> for number in range(recent - 2, len(errors)):"): (
        "the mean of no errors is NaN, which is above nothing"
    ),
}


def why(id, change):
    """Why a mutant is the same as the solution, or nothing."""
    reasons = [
        reason
        for (known, end), reason in EQUIVALENT.items()
        if known == id and change.endswith(end)
    ]
    return reasons[0] if reasons else ""
