"""Hyperparameter search on the seed's problem: seconds and scores, each ratio within one run.

``python -m tests.benchmarks.search`` takes about five minutes on 2 cores. Nothing is asserted:
speed depends on the machine, and a busy one makes every ratio noisy. With Optuna and
optuna-integration installed, it is measured, too.
"""

import statistics
import time
import warnings
from copy import deepcopy
from importlib.util import find_spec
from types import SimpleNamespace

import dask
import joblib
import numpy as np
from distributed import Client, get_client
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    ParameterGrid,
    train_test_split,
)

from helpers.cluster import close_cluster, start_cluster

ROWS, COLUMNS, FOLDS, WORKERS = 100_000, 100, 5, 2
NEW = 20_000  # rows that no search sees
STEPS = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 5, 10, 50, 100, 200]
GRID = {"learning_rate": ["pa1", "pa2"], "eta0": STEPS}
PARAMS = list(ParameterGrid(GRID))
MODEL = SGDClassifier(penalty=None, random_state=0)
BLOCKS, MOST, BRACKETS = 5, 27, [(26, 1), (12, 3), (6, 9), (4, 27)]


def data():
    """The seed's problem, and new rows of the same kind."""
    kinds = {"n_informative": 50, "n_redundant": 10, "flip_y": 0.2, "random_state": 0}
    X, y = make_classification(ROWS + NEW, COLUMNS, **kinds)
    return X[:ROWS], X[ROWS:], y[:ROWS], y[ROWS:]


def on_loky(X, y):
    search = GridSearchCV(clone(MODEL), GRID, scoring="accuracy", cv=FOLDS, n_jobs=WORKERS)
    return search.fit(X, y)


def on_dask(X, y):
    with joblib.parallel_config("dask", scatter=[X, y]):
        return on_loky(X, y)


def on_dask_ml(X, y):
    from dask_ml.model_selection import GridSearchCV as SharingSearch

    return SharingSearch(clone(MODEL), GRID, scoring="accuracy", cv=FOLDS).fit(X, y)


def halving(X, y):
    words = {"scoring": "accuracy", "cv": FOLDS, "random_state": 0, "n_jobs": WORKERS}
    search = HalvingGridSearchCV(clone(MODEL), GRID, **words)
    with joblib.parallel_config("dask", scatter=[X, y]):
        return search.fit(X, y)


# Hyperband by hand, as in lesson 06


def train(model, blocks):
    model = deepcopy(model)
    for X, y in blocks:
        model.partial_fit(X, y, classes=[0, 1])
    return model


def accuracy(model, judge):
    return model.score(*judge)


def bracket(client, candidates, blocks, judge, each):
    """Train, keep the best third, triple the blocks; return score, candidate, model's future."""
    models, done = {c: clone(MODEL).set_params(**PARAMS[c]) for c in candidates}, 0
    while True:
        more = [blocks[n % BLOCKS] for n in range(done, each)]
        models = {c: client.submit(train, m, more, pure=False) for c, m in models.items()}
        tasks = {c: client.submit(accuracy, m, judge, pure=False) for c, m in models.items()}
        scores = client.gather(tasks)
        ranked = sorted(scores, key=scores.get, reverse=True)
        if each >= MOST:
            return scores[ranked[0]], ranked[0], models[ranked[0]]
        models = {c: models[c] for c in ranked[: max(1, len(ranked) // 3)]}
        done, each = each, each * 3


def hyperband(X, y, client=None):
    """Every bracket in turn; the best candidate is fitted on all rows, as the others are."""
    client = client or get_client()
    X_train, X_judge, y_train, y_judge = train_test_split(X, y, test_size=0.2, random_state=0)
    parts = (np.array_split(rows, BLOCKS) for rows in (X_train, y_train))
    blocks = client.scatter(list(zip(*parts, strict=True)), broadcast=True, hash=False)
    judge = client.scatter((X_judge, y_judge), broadcast=True, hash=False)
    rng = np.random.default_rng(0)
    found = [
        bracket(client, rng.permutation(len(PARAMS))[:n].tolist(), blocks, judge, each)
        for n, each in BRACKETS
    ]
    score, winner, _ = max(found, key=lambda result: result[0])
    return finished(PARAMS[winner], score, X, y)


def finished(params, score, X, y):
    """What a search has in the end: parameters, its own score, a model of all rows."""
    model = clone(MODEL).set_params(**params).fit(X, y)
    return SimpleNamespace(
        best_params_=params, best_score_=score, best_estimator_=model, score=model.score
    )


# The two other ways that lesson 06 names


class _RoutedDask:
    """dask as dask-ml's adaptive searches need it: `persist` goes to the client they run in."""

    def __getattr__(self, name):
        return getattr(dask, name)

    @staticmethod
    def persist(*args):
        from distributed import default_client

        collections, repack = dask.base.unpack_collections(*args)
        return repack(default_client().persist(collections))


def dask_ml_hyperband(X, y):
    """dask-ml's search with a shim: it changes a module of a library that is installed."""
    import dask.array as da
    from dask_ml.model_selection import HyperbandSearchCV, _incremental

    original, _incremental.dask = _incremental.dask, _RoutedDask()
    try:
        search = HyperbandSearchCV(clone(MODEL), GRID, max_iter=MOST, test_size=0.2, random_state=0)
        chunk = len(X) // BLOCKS
        search.fit(da.from_array(X, (chunk, -1)), da.from_array(y, chunk), classes=[0, 1])
    finally:
        _incremental.dask = original
    return finished(search.best_params_, search.best_score_, X, y)


def with_optuna(X, y, client):
    """As many trials as Hyperband starts models; bad ones are pruned after a block."""
    import optuna
    from optuna.integration import DaskStorage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    client.run(warnings.simplefilter, "ignore")  # the storage calls itself experimental
    X_train, X_judge, y_train, y_judge = train_test_split(X, y, test_size=0.2, random_state=0)
    parts = (np.array_split(rows, BLOCKS) for rows in (X_train, y_train))
    blocks = client.scatter(list(zip(*parts, strict=True)), broadcast=True, hash=False)
    judge = client.scatter((X_judge, y_judge), broadcast=True, hash=False)
    pruner = optuna.pruners.HyperbandPruner(max_resource=MOST)
    sampler = optuna.samplers.TPESampler(seed=0)
    words = {"direction": "maximize", "pruner": pruner, "sampler": sampler}
    study = optuna.create_study(storage=DaskStorage(client=client), **words)
    n = sum(n for n, _ in BRACKETS)
    tasks = [client.submit(_optuna_trial, study, blocks, judge, pure=False) for _ in range(n)]
    client.gather(tasks)
    params = {**study.best_params}
    return finished(params, study.best_value, X, y)


def _optuna_trial(study, blocks, judge):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        params = {name: trial.suggest_categorical(name, values) for name, values in GRID.items()}
        model = clone(MODEL).set_params(**params)
        for n in range(MOST):
            model.partial_fit(*blocks[n % BLOCKS], classes=[0, 1])
            trial.report(score := model.score(*judge), n + 1)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    study.optimize(objective, n_trials=1)


# Measuring


def seconds(function, *args):
    start = time.perf_counter()
    found = function(*args)
    return time.perf_counter() - start, found


def warm_up(client, X, y):
    """Start loky's processes, and let all workers import what they need."""
    few = slice(0, 2_000)
    for search in (on_loky, on_dask, on_dask_ml, halving, hyperband):
        search(X[few].copy(), y[few].copy())


def grids_in_turn(X, y, repeats=3):
    """The grid by loky and by Dask, in turn: medians of both, and the searches."""
    pairs = [(seconds(on_loky, X, y), seconds(on_dask, X, y)) for _ in range(repeats)]
    (_, loky), (_, cluster) = pairs[-1]
    times = [statistics.median(pair[i][0] for pair in pairs) for i in (0, 1)]
    ratio = statistics.median(b[0] / a[0] for a, b in pairs)
    return times, ratio, loky, cluster


def main(client: Client):
    X, X_new, y, y_new = data()
    warm_up(client, X, y)
    (loky_seconds, dask_seconds), ratio, grid, same = grids_in_turn(X, y)
    rows = [("grid, loky", loky_seconds, grid), ("grid, Dask backend", dask_seconds, same)]
    others = [("grid, dask-ml", on_dask_ml), ("halving, Dask backend", halving)]
    others += [("Hyperband by hand", hyperband), ("Hyperband, dask-ml + shim", dask_ml_hyperband)]
    if find_spec("optuna") and find_spec("optuna_integration"):
        others.append(("Optuna, pruning", lambda X, y: with_optuna(X, y, client)))
    rows += [(name, *seconds(search, X, y)) for name, search in others]
    print(f"{ROWS:,} x {COLUMNS}, {len(PARAMS)} combinations x {FOLDS} folds, {WORKERS} workers:")
    print(f"  {'':26} seconds  /loky  own score  on {NEW:,} new rows  parameters")
    for name, spent, found in rows:
        scores = f"{found.best_score_:9.4f} {found.score(X_new, y_new):18.4f}"
        chosen = {k: found.best_params_[k] for k in sorted(found.best_params_)}
        print(f"  {name:26} {spent:7.1f} {spent / loky_seconds:6.2f}  {scores}  {chosen}")
    best = grid.score(X_new, y_new)
    error = np.sqrt(best * (1 - best) / NEW)  # what the draw of the new rows alone makes
    spent, found = next((spent, found) for name, spent, found in rows if "by hand" in name)
    short = best - found.score(X_new, y_new)
    print(f"  Dask backend / loky                {ratio:.3f}   (goal: at most 1.05)")
    print(f"  Hyperband by hand / grid's time    {spent / loky_seconds:.3f}   (goal: at most 0.25)")
    print(
        f"  its score below the grid's best    {short:+.4f}  (goal: at most 0; error {error:.4f})"
    )
    identical = grid.best_params_ == same.best_params_ and grid.best_score_ == same.best_score_
    print(f"  loky and Dask choose the same      {identical}    (goal: True)")


if __name__ == "__main__":
    try:
        main(start_cluster("cpu", n_workers=WORKERS))
    finally:
        close_cluster()
