"""Answers to the exercises of lesson 06."""

from copy import deepcopy
from itertools import product
from math import ceil, prod

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.answers import right, wrong

# 06.1 count_fits


@wrong("06.1", points=0, hint="once more, with all rows")
def count_fits(grid, folds):
    return len(ParameterGrid(grid)) * folds


@wrong("06.1", points=0, hint="in every fold")
def count_fits(grid, folds):
    return len(ParameterGrid(grid)) + 1


@wrong("06.1", points=0, hint="product, not a sum")
def count_fits(grid, folds):
    grids = grid if isinstance(grid, list) else [grid]
    return sum(len(values) for one in grids for values in one.values()) * folds + 1


@wrong("06.1", points=0, hint="not once per fold")
def count_fits(grid, folds):
    return (len(ParameterGrid(grid)) + 1) * folds


@wrong("06.1", points=0, hint="Count combinations times folds")
def count_fits(grid, folds):
    return len(ParameterGrid(grid)) * (folds - 1) + 1


@wrong("06.1", points=0, hint="Nothing came back")
def count_fits(grid, folds):
    print(len(ParameterGrid(grid)) * folds + 1)


@wrong("06.1", points=0, hint="not a float")
def count_fits(grid, folds):
    return float(len(ParameterGrid(grid)) * folds + 1)


@wrong("06.1", points=1, hint="only its first grid")
def count_fits(grid, folds):
    one = grid[0] if isinstance(grid, list) else grid
    return len(ParameterGrid(one)) * folds + 1


@wrong("06.1", points=1, hint="do not multiply")
def count_fits(grid, folds):
    grids = grid if isinstance(grid, list) else [grid]
    return prod(len(ParameterGrid(one)) for one in grids) * folds + 1


@wrong("06.1", points=1, hint="one winner for the whole list")
def count_fits(grid, folds):
    grids = grid if isinstance(grid, list) else [grid]
    return sum(len(ParameterGrid(one)) * folds + 1 for one in grids)


@wrong("06.1", points=0, hint="It raised AttributeError")
def count_fits(grid, folds):
    return prod(len(values) for values in grid.values()) * folds + 1


@wrong("06.1", points=0, hint="Fits are counted")
def count_fits(grid, folds):
    return len(ParameterGrid(grid)) * folds + 1.0


@right("06.1")
def count_fits(grid, folds):
    grids = grid if isinstance(grid, list) else [grid]
    return 1 + sum(folds * prod(len(values) for values in one.values()) for one in grids)


@right("06.1")
def count_fits(grid, folds):
    grids = grid if isinstance(grid, list) else [grid]
    return sum(1 for one in grids for _ in product(*one.values(), range(folds))) + 1


# 06.2 rungs


def plan(n_candidates, n_rows, factor, *, keep=ceil, go_on=lambda n, factor: n > factor):
    counts = [n_candidates]
    while go_on(counts[-1], factor):
        counts.append(keep(counts[-1] / factor))
    last = len(counts) - 1
    return [(n, n_rows // factor ** (last - rung)) for rung, n in enumerate(counts)]


@wrong("06.2", points=0, hint="rounded up, not down")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, factor, keep=int)


@wrong("06.2", points=0, hint="a rung too many")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, factor, go_on=lambda n, factor: n > 1 and n >= factor)[:]


@wrong("06.2", points=0, hint="one rung is enough")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, factor, go_on=lambda n, factor: n > 1)


@wrong("06.2", points=0, hint="a rung missing")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, factor, go_on=lambda n, factor: n > factor**2)


@wrong("06.2", points=0, hint="not always the same number")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, 3)


@wrong("06.2", points=2, hint="The last rung has all rows")
def rungs(n_candidates, n_rows, factor):
    return [(n, rows // factor) for n, rows in plan(n_candidates, n_rows, factor)]


@wrong("06.2", points=2, hint="the first is cheap")
def rungs(n_candidates, n_rows, factor):
    return [(n, n_rows) for n, _ in plan(n_candidates, n_rows, factor)]


@wrong("06.2", points=2, hint="rounded down")
def rungs(n_candidates, n_rows, factor):
    counts = [n for n, _ in plan(n_candidates, n_rows, factor)]
    rows = [ceil(n_rows / factor**rung) for rung in range(len(counts))]
    return list(zip(counts, reversed(rows), strict=True))


@wrong("06.2", points=0, hint="one pair")
def rungs(n_candidates, n_rows, factor):
    return [n for n, _ in plan(n_candidates, n_rows, factor)]


@wrong("06.2", points=0, hint="whole numbers")
def rungs(n_candidates, n_rows, factor):
    planned = plan(n_candidates, n_rows, factor)
    return [(n, n_rows / factor ** (len(planned) - 1 - i)) for i, (n, _) in enumerate(planned)]


@wrong("06.2", points=0, hint="not a dict")
def rungs(n_candidates, n_rows, factor):
    return dict(plan(n_candidates, n_rows, factor))


@wrong("06.2", points=0, hint="Nothing came back")
def rungs(n_candidates, n_rows, factor):
    for n, rows in plan(n_candidates, n_rows, factor):
        print(n, rows)


@wrong("06.2", points=0, hint="always rounded up")
def rungs(n_candidates, n_rows, factor):
    return plan(n_candidates, n_rows, factor, keep=round)


@right("06.2")
def rungs(n_candidates, n_rows, factor):
    if n_candidates <= factor:
        return [(n_candidates, n_rows)]
    later = rungs_again(-(-n_candidates // factor), n_rows, factor)
    return [[n_candidates, n_rows // factor ** len(later)], *later]


def rungs_again(n, rows, factor):
    return [(n, rows)] if n <= factor else _first(n, rows, factor)


def _first(n, rows, factor):
    later = rungs_again(-(-n // factor), rows, factor)
    return [(n, rows // factor ** len(later)), *later]


@right("06.2")
def rungs(n_candidates, n_rows, factor):
    counts = np.array([n for n, _ in plan(n_candidates, n_rows, factor)])
    return np.column_stack([counts, n_rows // factor ** np.arange(len(counts))[::-1]])


# 06.3 honest_auc


def classifier(k):
    return make_pipeline(SelectKBest(k=k), StandardScaler(), KNeighborsClassifier())


@wrong("06.3", points=0, hint="selected with all rows")
def honest_auc(X, y, k):
    X = StandardScaler().fit_transform(SelectKBest(k=k).fit_transform(X, y))
    return cross_val_score(KNeighborsClassifier(), X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=0, hint="selected with all rows")
def honest_auc(X, y, k):
    X = SelectKBest(k=k).fit_transform(X, y)
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=2, hint="The scaler saw all rows")
def honest_auc(X, y, k):
    pipeline = make_pipeline(SelectKBest(k=k), KNeighborsClassifier())
    X = StandardScaler().fit_transform(X)
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=2, hint="That is the accuracy")
def honest_auc(X, y, k):
    return cross_val_score(classifier(k), X, y, cv=5).mean()


@wrong("06.3", points=2, hint="pass k on")
def honest_auc(X, y, k):
    pipeline = make_pipeline(SelectKBest(), StandardScaler(), KNeighborsClassifier())
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=2, hint="The scaler is missing")
def honest_auc(X, y, k):
    pipeline = make_pipeline(SelectKBest(k=k), KNeighborsClassifier())
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=2, hint="the selection is missing")
def honest_auc(X, y, k):
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5).mean()


@wrong("06.3", points=2, hint="Use five folds")
def honest_auc(X, y, k):
    return cross_val_score(classifier(k), X, y, scoring="roc_auc", cv=10).mean()


@wrong("06.3", points=0, hint="return their mean")
def honest_auc(X, y, k):
    return cross_val_score(classifier(k), X, y, scoring="roc_auc", cv=5)


@wrong("06.3", points=0, hint="use cross-validation")
def honest_auc(X, y, k):
    fitted = classifier(k).fit(X, y)
    return roc_auc_score(y, fitted.predict_proba(X)[:, 1])


@wrong("06.3", points=0, hint="Nothing came back")
def honest_auc(X, y, k):
    print(cross_val_score(classifier(k), X, y, scoring="roc_auc", cv=5).mean())


@wrong("06.3", points=3, hint="rows that were given were changed")
def honest_auc(X, y, k):
    auc = cross_val_score(classifier(k), X, y, scoring="roc_auc", cv=5).mean()
    X -= X.mean(axis=0)
    return auc


@right("06.3")
def honest_auc(X, y, k):
    scores = []
    for train, test in StratifiedKFold(5).split(X, y):
        select, scale = SelectKBest(k=k), StandardScaler()
        rows = scale.fit_transform(select.fit_transform(X[train], y[train]))
        model = KNeighborsClassifier().fit(rows, y[train])
        judged = scale.transform(select.transform(X[test]))
        scores.append(roc_auc_score(y[test], model.predict_proba(judged)[:, 1]))
    return sum(scores) / len(scores)


@right("06.3")
def honest_auc(X, y, k):
    grid = {"selectkbest__k": [k]}
    pipeline = make_pipeline(SelectKBest(), StandardScaler(), KNeighborsClassifier())
    return GridSearchCV(pipeline, grid, scoring="roc_auc", cv=5).fit(X, y).best_score_


# 06.4 search_on_cluster


def grid_search(model, grid, **words):
    return GridSearchCV(model, grid, **{"scoring": "roc_auc", "cv": 5, **words})


@wrong("06.4", points=1, hint="No worker fitted anything")
def search_on_cluster(client, model, grid, X, y):
    client.scatter([X, y], broadcast=True)
    search = grid_search(model, grid, n_jobs=1).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=1, hint="No worker fitted anything")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("threading", n_jobs=2):
        search = grid_search(model, grid).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=3, hint="on every worker before the search")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client):
        search = grid_search(model, grid).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=3, hint="X was sent twice")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        search = grid_search(model, grid).fit(X.copy(), y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=3, hint="and y was not")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X]):
        search = grid_search(model, grid).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=0, hint="That score is an accuracy")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        search = grid_search(model, grid, scoring=None).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=0, hint="not the best parameters")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        search = grid_search(model, grid, cv=3).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=0, hint="of the rows that trained the model")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        search = grid_search(model, grid).fit(X, y)
    return search.best_params_, float(search.score(X, y))


@wrong("06.4", points=0, hint="the whole search")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        return grid_search(model, grid).fit(X, y)


@wrong("06.4", points=0, hint="Return the best score as well")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        return grid_search(model, grid).fit(X, y).best_params_


@wrong("06.4", points=1, hint="one by one")
def search_on_cluster(client, model, grid, X, y):
    data = client.scatter([X, y], broadcast=True, hash=False)
    search = client.submit(grid_search(model, grid, n_jobs=1).fit, *data).result()
    return search.best_params_, search.best_score_


def mean_score(model, X, y):
    return float(cross_val_score(model, X, y, scoring="roc_auc", cv=5, n_jobs=1).mean())


@wrong("06.4", points=3, hint="inside of tasks")
def search_on_cluster(client, model, grid, X, y):
    models = [clone(model).set_params(**params) for params in ParameterGrid(grid)]
    tasks = [client.submit(mean_score, candidate, X, y) for candidate in models]
    scores = client.gather(tasks)
    return ParameterGrid(grid)[int(np.argmax(scores))], max(scores)


@wrong("06.4", points=0, hint="fit was given futures")
def search_on_cluster(client, model, grid, X, y):
    X, y = client.scatter([X, y], broadcast=True)
    with joblib.parallel_config("dask", client=client):
        search = grid_search(model, grid).fit(X, y)
    return search.best_params_, search.best_score_


@wrong("06.4", points=0, hint="in this order")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_config("dask", client=client, scatter=[X, y]):
        search = grid_search(model, grid).fit(X, y)
    return search.best_score_, search.best_params_


@right("06.4")
def search_on_cluster(client, model, grid, X, y):
    data = client.scatter([X, y], broadcast=True)
    models = [clone(model).set_params(**params) for params in ParameterGrid(grid)]
    scores = client.gather([client.submit(mean_score, candidate, *data) for candidate in models])
    return ParameterGrid(grid)[int(np.argmax(scores))], max(scores)


@right("06.4")
def search_on_cluster(client, model, grid, X, y):
    with joblib.parallel_backend("dask", scatter=(X, y)):
        search = grid_search(model, grid, n_jobs=-1).fit(X, y)
    return [search.best_params_, search.best_score_]


# 06.5 halve


def course(models, blocks, judge, classes, factor, **change):
    """One way through it all, with places where learners go wrong."""
    keep = change.get("keep", lambda n: max(1, n // factor))
    best_first, again = change.get("best_first", True), change.get("again", False)
    alive, seen, goal, calls = list(range(len(models))), 0, 1, 0
    while True:
        for i in alive:
            for n in range(0 if again else seen, goal):
                models[i].partial_fit(*blocks[change.get("block", n) % len(blocks)], classes)
                calls += 1
        if len(alive) == 1 and change.get("finish"):
            return alive[0], calls
        scores = {i: models[i].score(*change.get("by", judge)) for i in alive}
        alive = sorted(alive, key=scores.get, reverse=best_first)[: keep(len(alive))]
        if len(alive) == 1 and not change.get("finish"):
            return alive[0], calls
        seen, goal = goal, change.get("grow", lambda goal: goal * factor)(goal)


class Straight(list):
    """Blocks that are not taken again from the front."""

    def __len__(self):
        return 1_000


@wrong("06.5", points=1, hint="what a survivor has seen already")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, again=True)


@wrong("06.5", points=1, hint="longer than needed")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, finish=True)


@wrong("06.5", points=1, hint="rounded down, not up")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, keep=lambda n: max(1, -(-n // factor)))


@wrong("06.5", points=1, hint="not by a block that trained them")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, by=blocks[0])


@wrong("06.5", points=1, hint="`factor` times the blocks")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, grow=lambda goal: goal + 1)


@wrong("06.5", points=2, hint="higher is better")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, best_first=False)


@wrong("06.5", points=3, hint="in their order")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, block=0)


@wrong("06.5", points=0, hint="first rung every model")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks[::-1], judge, classes, factor)


@wrong("06.5", points=4, hint="of every model on every rung")
def halve(models, blocks, judge, classes, factor):
    winner, _ = course(models, blocks, judge, classes, factor)
    return winner, models[winner].seen


@wrong("06.5", points=4, hint="its place in")
def halve(models, blocks, judge, classes, factor):
    winner, calls = course(models, blocks, judge, classes, factor)
    return winner + 1, calls


@wrong("06.5", points=0, hint="not the model")
def halve(models, blocks, judge, classes, factor):
    winner, calls = course(models, blocks, judge, classes, factor)
    return models[winner], calls


@wrong("06.5", points=0, hint="classes must be passed")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, None, factor)


@wrong("06.5", points=0, hint="Only one number")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor)[0]


@wrong("06.5", points=1, hint="IndexError after the last block")
def halve(models, blocks, judge, classes, factor):
    return course(models, Straight(blocks), judge, classes, factor)


@wrong("06.5", points=1, hint="Nobody was trained after the last block")
def halve(models, blocks, judge, classes, factor):
    alive, seen, goal, calls = list(range(len(models))), 0, 1, 0
    while True:
        for i in alive:
            for block in blocks[seen:goal]:
                models[i].partial_fit(*block, classes=classes)
                calls += 1
        alive.sort(key=lambda i: -models[i].score(*judge))
        alive = alive[: max(1, len(alive) // factor)]
        if len(alive) == 1:
            return alive[0], calls
        seen, goal = goal, goal * factor


@wrong("06.5", points=1, hint="always rounded down")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor, keep=lambda n: max(1, round(n / factor)))


@wrong("06.5", points=0, hint="No model was trained")
def halve(models, blocks, judge, classes, factor):
    return max(range(len(models)), key=lambda i: models[i].score(*judge)), 0


@wrong("06.5", points=3, hint="X and y of the same block")
def halve(models, blocks, judge, classes, factor):
    X, y = blocks[0]
    return course(models, [(X, y), *[(X, y) for X, _ in blocks[1:] for _, y in blocks[:1]]], judge,
                  classes, factor)  # fmt: skip


@right("06.5")
def halve(models, blocks, judge, classes, factor):
    return course([deepcopy(model) for model in models], blocks, judge, classes, factor)


@right("06.5")
def halve(models, blocks, judge, classes, factor):
    alive, seen, goal, calls = dict(enumerate(models)), 0, 1, 0
    while len(alive) > 1:
        for i in alive:
            alive[i] = deepcopy(alive[i])
            for n in range(seen, goal):
                alive[i].partial_fit(*blocks[n % len(blocks)], classes=classes)
                calls += 1
        ranked = sorted(alive, key=lambda i: alive[i].score(*judge), reverse=True)
        alive = {i: alive[i] for i in ranked[: max(1, len(ranked) // factor)]}
        seen, goal = goal, goal * factor
    return next(iter(alive)), calls


@right("06.5")
def halve(models, blocks, judge, classes, factor):
    return course(models, blocks, judge, classes, factor)


@right("06.5")
def halve(models, blocks, judge, classes, factor):
    def train_to(goal, alive):
        for number in range(goal // factor if goal > 1 else 0, goal):
            X, y = blocks[number % len(blocks)]
            for _, model in alive:
                model.partial_fit(X, y, classes=list(classes))
        return len(alive) * (goal - (goal // factor if goal > 1 else 0))

    alive, goal = list(enumerate(models)), 1
    calls = train_to(goal, alive)
    while len(alive) > 1:
        ranked = sorted(alive, key=lambda pair: -pair[1].score(*judge))
        alive = ranked[: len(alive) // factor] or ranked[:1]
        if len(alive) > 1:
            goal *= factor
            calls += train_to(goal, alive)
    return alive[0][0], np.int64(calls)
