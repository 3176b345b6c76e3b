"""Answers to the exercises of lesson 07."""

import copy
import pickle
from functools import reduce

import dask
import numpy as np
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from tests.answers import right, wrong

# 07.1 all_classes


@wrong("07.1", points=0, hint="labels of the first block")
def all_classes(blocks):
    return sorted(set(next(blocks).tolist()))


@wrong("07.1", points=0, hint="A label is missing")
def all_classes(blocks):
    return sorted({label for labels in blocks for label in labels.tolist() if label > 0})[:4]


@wrong("07.1", points=2, hint="let each block go")
def all_classes(blocks):
    return np.unique(np.concatenate(list(blocks))).tolist()


@wrong("07.1", points=0, hint="not array")
def all_classes(blocks):
    return np.unique(np.concatenate(list(blocks)))


@wrong("07.1", points=0, hint="not sorted")
def all_classes(blocks):
    return list({label: None for labels in blocks for label in labels.tolist()})


@wrong("07.1", points=0, hint="not sorted")
def all_classes(blocks):
    return sorted({label for labels in blocks for label in labels.tolist()}, reverse=True)


@wrong("07.1", points=0, hint="not set")
def all_classes(blocks):
    return {label for labels in blocks for label in labels.tolist()}


@wrong("07.1", points=0, hint="more than once")
def all_classes(blocks):
    return sorted(label for labels in blocks for label in np.unique(labels).tolist())


@wrong("07.1", points=0, hint="need not be consecutive")
def all_classes(blocks):
    classes = {label for labels in blocks for label in labels.tolist()}
    return list(range(min(classes), max(classes) + 1))


@wrong("07.1", points=0, hint="an empty block is not the end")
def all_classes(blocks):
    classes = set()
    for labels in blocks:
        if len(labels) == 0:
            break
        classes.update(labels.tolist())
    return sorted(classes)


@wrong("07.1", points=0, hint="Nothing came back")
def all_classes(blocks):
    print(sorted({label for labels in blocks for label in labels.tolist()}))


@wrong("07.1", points=0, hint="other things than whole numbers")
def all_classes(blocks):
    return [np.unique(labels).tolist() for labels in blocks]


@wrong("07.1", points=2, hint="keep each label once")
def all_classes(blocks):
    everything = []
    for labels in blocks:
        everything += labels.tolist()
    return sorted(set(everything))


@wrong("07.1", points=2, hint="keep each label once")
def all_classes(blocks):
    everything = np.zeros(0, "int64")
    for labels in blocks:
        everything = np.append(everything, labels)
    return np.unique(everything).tolist()


@right("07.1")
def all_classes(blocks):
    return reduce(np.union1d, blocks).tolist()


@right("07.1")
def all_classes(blocks):
    classes = np.zeros(0, "int64")
    for labels in blocks:
        classes = np.union1d(classes, labels)
    return classes.tolist()


@right("07.1")
def all_classes(blocks):
    return sorted({label for labels in blocks for label in labels.tolist()})


# 07.2 prequential


@wrong("07.2", points=1, hint="learned before it was scored")
def prequential(model, blocks, classes):
    model.partial_fit(*next(blocks), classes=classes)
    return [float(model.partial_fit(X, y).score(X, y)) for X, y in blocks]


@wrong("07.2", points=0, hint="one score too many")
def prequential(model, blocks, classes):
    return [float(model.partial_fit(X, y, classes=classes).score(X, y)) for X, y in blocks]


@wrong("07.2", points=1, hint="stopped learning")
def prequential(model, blocks, classes):
    model.partial_fit(*next(blocks), classes=classes)
    return [float(model.score(X, y)) for X, y in blocks]


@wrong("07.2", points=1, hint="starts again at each block")
def prequential(model, blocks, classes):
    scores = []
    model.partial_fit(*next(blocks), classes=classes)
    for X, y in blocks:
        scores.append(float(model.score(X, y)))
        model = clone(model).partial_fit(X, y, classes=classes)
    return scores


@wrong("07.2", points=0, hint="told the labels of one block")
def prequential(model, blocks, classes):
    X, y = next(blocks)
    model.partial_fit(X, y, classes=np.unique(y))
    return [float(model.score(X, y)) for X, y in blocks]


@wrong("07.2", points=0, hint="not their mean")
def prequential(model, blocks, classes):
    scores = []
    model.partial_fit(*next(blocks), classes=classes)
    for X, y in blocks:
        scores.append(model.score(X, y))
        model.partial_fit(X, y)
    return float(np.mean(scores))


@wrong("07.2", points=1, hint="share of right ones")
def prequential(model, blocks, classes):
    scores = []
    model.partial_fit(*next(blocks), classes=classes)
    for X, y in blocks:
        scores.append(float((model.predict(X) != y).mean()))
        model.partial_fit(X, y)
    return scores


@wrong("07.2", points=3, hint="also the last one")
def prequential(model, blocks, classes):
    scores = []
    blocks = list(blocks)
    model.partial_fit(*blocks[0], classes=classes)
    for number, (X, y) in enumerate(blocks[1:], 2):
        scores.append(float(model.score(X, y)))
        if number < len(blocks):
            model.partial_fit(X, y)
    return scores


@wrong("07.2", points=0, hint="Nothing came back")
def prequential(model, blocks, classes):
    for number, (X, y) in enumerate(blocks):
        if number:
            print(model.score(X, y))
        model.partial_fit(X, y, classes=classes)


@wrong("07.2", points=1, hint="not the accuracies of a model that has learned all blocks")
def prequential(model, blocks, classes):
    scores = []
    model.partial_fit(*next(blocks), classes=classes)
    for X, y in blocks:
        scores.append(float(model.score(X, y)))
        model.partial_fit(X, y)
        model.partial_fit(X, y)
    return scores


@wrong("07.2", points=0, hint="classes must be passed")
def prequential(model, blocks, classes):
    model.partial_fit(*next(blocks))
    return [float(model.score(X, y)) for X, y in blocks]


@right("07.2")
def prequential(model, blocks, classes):
    scores = []
    model.partial_fit(*next(blocks), classes)
    for X, y in blocks:
        scores.append(accuracy_score(y, model.predict(X)))
        model.partial_fit(X, y)
    return scores


@right("07.2")
def prequential(model, blocks, classes):
    scores = []
    for X, y in blocks:
        if hasattr(model, "coef_"):
            scores.append(float(np.mean(model.predict(X) == y)))
        model.partial_fit(X, y, classes=classes)
    return scores


# 07.3 train_from_file


@wrong("07.3", points=0, hint="read at once")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    for _ in range(n_passes):
        model.partial_fit(X, y, classes=classes)
    return model


@wrong("07.3", points=0, hint="The last block is missing")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    n_blocks = len(X) // block_rows
    for _ in range(n_passes):
        for number in rng.permutation(n_blocks):
            rows = slice(number * block_rows, (number + 1) * block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=3, hint="Every pass has the same order")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    starts = np.arange(0, len(X), block_rows)
    for _ in range(n_passes):
        rng = np.random.default_rng(seed)
        for start in rng.permutation(starts):
            rows = slice(start, start + block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=3, hint="The blocks were not shuffled")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    for _ in range(n_passes):
        for start in range(0, len(X), block_rows):
            rows = slice(start, start + block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=3, hint="does not come from permutation")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed + 1)
    starts = np.arange(0, len(X), block_rows)
    for _ in range(n_passes):
        for start in rng.permutation(starts):
            rows = slice(start, start + block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=0, hint="rows in a block were mixed")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        order = rng.permutation(len(X))
        for start in range(0, len(X), block_rows):
            rows = order[start : start + block_rows]
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=0, hint="It raised ValueError")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for number in rng.permutation(-(-len(X) // block_rows)):
            rows = slice(number * block_rows, (number + 1) * block_rows)
            model.partial_fit(X[rows], y[rows])
    return model


@wrong("07.3", points=0, hint="fit starts again")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for number in rng.permutation(-(-len(X) // block_rows)):
            rows = slice(number * block_rows, (number + 1) * block_rows)
            model.fit(X[rows], y[rows])
    return model


@wrong("07.3", points=2, hint="too few passes")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for number in rng.permutation(-(-len(X) // block_rows)):
        rows = slice(number * block_rows, (number + 1) * block_rows)
        model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=2, hint="too many passes")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes + 1):
        for number in rng.permutation(-(-len(X) // block_rows)):
            rows = slice(number * block_rows, (number + 1) * block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@wrong("07.3", points=2, hint="Not every pass has all blocks once")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    starts = np.arange(0, len(X), block_rows)
    for start in starts:
        for _ in range(n_passes):
            model.partial_fit(
                X[start : start + block_rows], y[start : start + block_rows], classes=classes
            )
    return model


@wrong("07.3", points=0, hint="Nothing came back")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for start in rng.permutation(np.arange(0, len(X), block_rows)):
            rows = slice(start, start + block_rows)
            model.partial_fit(X[rows], y[rows], classes=classes)


@wrong("07.3", points=0, hint="the model that was given")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    return clone(model).partial_fit(X[:block_rows], y[:block_rows], classes=classes)


@wrong("07.3", points=4, hint="More than a block was in memory")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    X, y = np.array(X), np.array(y)
    return in_passes(model, X, y, classes, block_rows, n_passes, seed)


@wrong("07.3", points=4, hint="More than a block was in memory")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    blocks = [(X[i : i + block_rows].copy(), y[i : i + block_rows])
              for i in range(0, len(X), block_rows)]  # fmt: skip
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for number in rng.permutation(len(blocks)):
            model.partial_fit(*blocks[number], classes=classes)
    return model


def in_passes(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for number in rng.permutation(-(-len(X) // block_rows)):
            rows = range(number * block_rows, min((number + 1) * block_rows, len(X)))
            model.partial_fit(X[rows], y[rows], classes=classes)
    return model


@right("07.3")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n_passes):
        for number in rng.permutation(-(-len(X) // block_rows)):
            rows = slice(number * block_rows, (number + 1) * block_rows)
            block = np.asarray(X[rows], "float64"), y[rows].astype(int)
            model.partial_fit(*block, classes=np.array(classes))
    return model


@right("07.3")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    return in_passes(model, X, y, classes, block_rows, n_passes, seed)


@right("07.3")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    starts = np.arange(0, len(X), block_rows)
    for _ in range(n_passes):
        for start in rng.permutation(starts):
            stop = min(start + block_rows, len(X))
            model.partial_fit(np.array(X[start:stop]), np.array(y[start:stop]), classes=classes)
    return model


@right("07.3")
def train_from_file(model, X, y, classes, block_rows, n_passes, seed):
    rng = np.random.default_rng(seed)
    n_blocks = -(-len(X) // block_rows)
    for number in np.concatenate([rng.permutation(n_blocks) for _ in range(n_passes)]):
        rows = slice(number * block_rows, (number + 1) * block_rows)
        model.partial_fit(X[rows], y[rows], classes=classes)
    return model


# 07.4 fit_chain


def learn(model, block, classes):
    X, y = block
    return model.partial_fit(X, y, classes=classes)


@wrong("07.4", points=2, hint="The blocks came to the notebook")
def fit_chain(client, model, blocks, classes):
    model = copy.deepcopy(model)
    for X, y in client.gather(blocks):
        model.partial_fit(X, y, classes=classes)
    return model


@wrong("07.4", points=2, hint="The blocks came to the notebook")
def fit_chain(client, model, blocks, classes):
    for block in blocks:
        model = client.submit(learn, model, block.result(), classes)
    return model.result()


@wrong("07.4", points=0, hint="knows one block only")
def fit_chain(client, model, blocks, classes):
    models = [client.submit(learn, model, block, classes) for block in blocks]
    return models[-1].result()


@wrong("07.4", points=0, hint="return the model that has learned all")
def fit_chain(client, model, blocks, classes):
    return client.gather([client.submit(learn, model, block, classes) for block in blocks])


@wrong("07.4", points=0, hint="A mean of models")
def fit_chain(client, model, blocks, classes):
    models = client.gather([client.submit(learn, model, block, classes) for block in blocks])
    mean = models[0]
    mean.coef_ = np.mean([model.coef_ for model in models], axis=0)
    mean.intercept_ = np.mean([model.intercept_ for model in models], axis=0)
    return mean


@wrong("07.4", points=0, hint="ask for its result")
def fit_chain(client, model, blocks, classes):
    for block in blocks:
        model = client.submit(learn, model, block, classes)
    return model


@wrong("07.4", points=3, hint="came home after each block")
def fit_chain(client, model, blocks, classes):
    for block in blocks:
        model = client.submit(learn, model, block, classes).result()
    return model


@wrong("07.4", points=2, hint="fewer tasks than blocks")
def fit_chain(client, model, blocks, classes):
    def learn_all(model, blocks):
        for X, y in blocks:
            model.partial_fit(X, y, classes=classes)
        return model

    return client.submit(learn_all, model, blocks).result()


@wrong("07.4", points=0, hint="from the last to the first")
def fit_chain(client, model, blocks, classes):
    for block in reversed(blocks):
        model = client.submit(learn, model, block, classes)
    return model.result()


@wrong("07.4", points=0, hint="Learn every block once")
def fit_chain(client, model, blocks, classes):
    for block in blocks[:-1]:
        model = client.submit(learn, model, block, classes)
    return model.result()


@wrong("07.4", points=0, hint="It raised ValueError")
def fit_chain(client, model, blocks, classes):
    for block in blocks:
        model = client.submit(learn, model, block, None)
    return model.result()


@wrong("07.4", points=4, hint="learns its rows twice")
def fit_chain(client, model, blocks, classes):
    for block in blocks:
        model = client.submit(learn, model, block, classes)
    return model.result()


@wrong("07.4", points=4, hint="learns its rows twice")
def fit_chain(client, model, blocks, classes):
    model = copy.deepcopy(model)
    for block in blocks:
        model = client.submit(learn, model, block, classes, retries=2)
    return client.gather(model)


@wrong("07.4", points=2, hint="are on the workers already")
def fit_chain(client, model, blocks, classes):
    model, spare = client.scatter([model, copy.deepcopy(model)], hash=False)
    for block in blocks:
        model = client.submit(learn_alone, model, block, classes=classes)
    return model.result()


def learn_alone(model, block, classes):
    return learn(copy.deepcopy(model), block, classes)


@right("07.4")
def fit_chain(client, model, blocks, classes):
    model = client.scatter(model, hash=False)
    for block in blocks:
        model = client.submit(learn_alone, model, block, classes=classes, pure=False)
    return client.gather(model)


@right("07.4")
def fit_chain(client, model, blocks, classes):
    step = dask.delayed(lambda *given: learn(pickle.loads(pickle.dumps(given[0])), *given[1:]))
    for block in blocks:
        model = step(model, block, classes)
    return client.compute(model).result()


# 07.5 learn_carefully


def word(X, y, classes, n_features):
    if len(X) == 0:
        return "empty"
    if X.shape[1] != n_features:
        return "columns"
    if not np.isfinite(X).all():
        return "missing"
    return "learned" if set(y.tolist()) <= set(classes) else "label"


@wrong("07.5", points=0, hint="fewer words than blocks")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        if word(X, y, classes, n_features) == "learned":
            model.partial_fit(X, y, classes=classes)
            words.append("learned")
    return words


@wrong("07.5", points=0, hint="none of the five")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        try:
            model.partial_fit(X, y, classes=classes)
            words.append("learned")
        except ValueError as error:
            words.append(str(error))
    return words


@wrong("07.5", points=0, hint="an infinity, or with a NaN")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        words.append(word(np.where(np.isinf(X), 0, X), y, classes, n_features))
        if words[-1] == "learned":
            model.partial_fit(np.where(np.isinf(X), 0, X), y, classes=classes)
    return words


@wrong("07.5", points=0, hint="a label that is not in")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        words.append(word(X, y, set(classes) | set(y.tolist()), n_features))
        if words[-1] == "learned":
            model.partial_fit(X, np.clip(y, 0, 1), classes=classes)
    return words


@wrong("07.5", points=0, hint="only one of the classes")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        kind = word(X, y, classes, n_features)
        if kind == "learned" and set(y.tolist()) != set(classes):
            kind = "label"
        words.append(kind)
        if kind == "learned":
            model.partial_fit(X, y, classes=classes)
    return words


@wrong("07.5", points=0, hint="comes first in the list")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        kind = word(X, y, classes, n_features)
        words.append("columns" if X.shape[1] != n_features else kind)
        if kind == "learned":
            model.partial_fit(X, y, classes=classes)
    return words


@wrong("07.5", points=0, hint="comes first in the list")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        kind = word(X, y, classes, n_features)
        words.append("label" if not set(y.tolist()) <= set(classes) else kind)
        if kind == "learned":
            model.partial_fit(X, y, classes=classes)
    return words


@wrong("07.5", points=2, hint="has learned nothing")
def learn_carefully(model, blocks, classes, n_features):
    return [word(X, y, classes, n_features) for X, y in blocks]


@wrong("07.5", points=2, hint="check a block before")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        words.append(word(X, y, classes, n_features))
        try:
            model.partial_fit(X, y, classes=classes)
        except ValueError:
            pass
    return words


@wrong("07.5", points=2, hint="fit starts again")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        words.append(word(X, y, classes, n_features))
        if words[-1] == "learned" and len(set(y.tolist())) > 1:
            model.fit(X, y)
    return words


@wrong("07.5", points=0, hint="Nothing came back")
def learn_carefully(model, blocks, classes, n_features):
    for X, y in blocks:
        if word(X, y, classes, n_features) == "learned":
            model.partial_fit(X, y, classes=classes)


@wrong("07.5", points=0, hint="was called learned")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        X, y = np.nan_to_num(X)[:, :n_features], np.clip(y, 0, 1)
        words.append("empty" if len(X) == 0 else "learned")
        if words[-1] == "learned" and X.shape[1] == n_features:
            model.partial_fit(X, y, classes=classes)
    return words


@right("07.5")
def learn_carefully(model, blocks, classes, n_features):
    words = []
    for X, y in blocks:
        words.append(word(X, y, classes, n_features))
        if words[-1] == "learned":
            model.partial_fit(X, y, classes=classes)
    return words


@right("07.5")
def learn_carefully(model, blocks, classes, n_features):
    def judge(X, y):
        tests = {
            "empty": X.size == 0,
            "columns": X.shape[1:] != (n_features,),
            "missing": not np.isfinite(np.sum(X)),
            "label": bool(np.setdiff1d(y, classes).size),
        }
        return next((name for name, bad in tests.items() if bad), "learned")

    words = []
    for X, y in blocks:
        words.append(judge(X, y))
        if words[-1] == "learned":
            model.partial_fit(X, y, classes)
    return words
