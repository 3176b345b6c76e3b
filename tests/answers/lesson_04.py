"""Answers to the exercises of lesson 04."""

import hashlib
import json
import os
import pickle
import platform
import secrets
import shutil
import tempfile

import dask
import numpy as np
import sklearn
from distributed import as_completed

from helpers.backend import to_host
from helpers.kmeans import DistributedKMeans, to_sklearn
from tests.answers import right, wrong

# 04.1 first_difference


@wrong("04.1", points=0, hint="does not say which")
def first_difference(answers):
    first, *others = map(to_host, answers.values())
    return all(np.array_equal(first, labels) for labels in others)


@wrong("04.1", points=0, hint="not a list")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    return [name for name, x in answers.items() if not np.array_equal(first, to_host(x))]


@wrong("04.1", points=0, hint="for any case")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    for name, labels in answers.items():
        if not np.array_equal(first, to_host(labels)):
            print(name)


@wrong("04.1", points=0, hint="look at every row")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    for name, labels in answers.items():
        if not np.array_equal(first[:5], to_host(labels)[:5]):
            return name


@wrong("04.1", points=0, hint="comes first")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    found = None
    for name, labels in answers.items():
        if not np.array_equal(first, to_host(labels)):
            found = name
    return found


@wrong("04.1", points=0, hint="When all ways agree")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    for name, labels in answers.items():
        if not np.array_equal(first, to_host(labels)):
            return name
    return "all agree"


@wrong("04.1", points=1, hint="row by row, not sorted")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    for name, labels in answers.items():
        if not np.array_equal(np.bincount(first), np.bincount(to_host(labels))):
            return name


@wrong("04.1", points=1, hint="different lengths")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    for name, labels in answers.items():
        if any(a != b for a, b in zip(first, to_host(labels), strict=False)):
            return name


@right("04.1")
def first_difference(answers):
    first, *_ = map(to_host, answers.values())
    differ = (name for name, x in answers.items() if not np.array_equal(first, to_host(x)))
    return next(differ, None)


@right("04.1")
def first_difference(answers):
    ways = [(name, to_host(labels).tolist()) for name, labels in answers.items()]
    for name, labels in ways[1:]:
        if labels != ways[0][1]:
            return name


# 04.2 write_whole


@wrong("04.2", points=2, hint="into the old file")
def write_whole(path, chunks):
    path.write_bytes(b"".join(chunks))


@wrong("04.2", points=1, hint="half a file took")
def write_whole(path, chunks):
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


@wrong("04.2", points=0, hint="takes its place")
def write_whole(path, chunks):
    with open(path, "ab") as file:
        for chunk in chunks:
            file.write(chunk)


@wrong("04.2", points=1, hint="half a file took")
def write_whole(path, chunks):
    unfinished = path.with_suffix(".new")
    try:
        with open(unfinished, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
    finally:
        os.replace(unfinished, path)


@wrong("04.2", points=1, hint="old file is gone")
def write_whole(path, chunks):
    path.unlink(missing_ok=True)
    unfinished = path.with_suffix(".new")
    with open(unfinished, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
    os.replace(unfinished, path)


@wrong("04.2", points=3, hint="raise it again")
def write_whole(path, chunks):
    unfinished = path.with_suffix(".new")
    try:
        with open(unfinished, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink()


@wrong("04.2", points=3, hint="An unfinished file was left")
def write_whole(path, chunks):
    unfinished = path.with_suffix(".new")
    with open(unfinished, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
    os.replace(unfinished, path)


@wrong("04.2", points=0, hint="no file at")
def write_whole(path, chunks):
    with open(path.with_suffix(".new"), "wb") as file:
        for chunk in chunks:
            file.write(chunk)


@wrong("04.2", points=4, hint="one failed")
def write_whole(path, chunks):
    unfinished = path.with_suffix(".new")  # the same name for every call
    try:
        with open(unfinished, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@wrong("04.2", points=4, hint="mixed their files")
def write_whole(path, chunks):
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    try:
        for chunk in chunks:
            with open(unfinished, "ab") as file:
                file.write(chunk)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@right("04.2")
def write_whole(path, chunks):
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.writelines(chunks)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise


@wrong("04.2", points=5, hint="in no file of the folder yet")
def write_whole(path, chunks):
    data = b"".join(chunks)
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(data)
    unfinished.replace(path)


@wrong("04.2", points=5, hint="across disks a rename is a copy")
def write_whole(path, chunks):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        try:
            for chunk in chunks:
                file.write(chunk)
            file.close()
            shutil.move(file.name, path)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise


@wrong("04.2", points=3, hint="Another error reached the caller")
def write_whole(path, chunks):
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(unfinished, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink()
        raise RuntimeError("not saved") from error


@right("04.2")
def write_whole(path, chunks):
    number, name = tempfile.mkstemp(prefix=path.stem, dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        os.remove(name)
        raise


# 04.3 load_newest


def here():
    return {"python": platform.python_version(), "scikit-learn": sklearn.__version__}


def record_of(path):
    try:
        return json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}


def is_whole(path):
    record = json.loads(path.with_suffix(".json").read_text())
    return record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@wrong("04.3", points=1, hint="cut off, and that ended the search")
def load_newest(folder):
    return pickle.loads(max(folder.glob("*.pkl")).read_bytes())


@wrong("04.3", points=0, hint="highest number")
def load_newest(folder):
    return pickle.loads(min(folder.glob("*.pkl")).read_bytes())


@wrong("04.3", points=0, hint="highest number")
def load_newest(folder):
    newest = max(folder.glob("*.pkl"), key=lambda path: path.stat().st_mtime)
    return pickle.loads(newest.read_bytes())


@wrong("04.3", points=0, hint="Return the loaded model")
def load_newest(folder):
    return max(path for path in folder.glob("*.pkl") if is_whole(path))


@wrong("04.3", points=2, hint="before you unpickle")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        try:
            return pickle.loads(path.read_bytes())
        except Exception:
            continue
    raise FileNotFoundError(folder)


@wrong("04.3", points=2, hint="before you unpickle")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        try:
            model = pickle.loads(path.read_bytes())
            record = json.loads(path.with_suffix(".json").read_text())
        except Exception:
            continue
        if is_whole(path) and record["versions"] == here():
            return model
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="has no record, and that ended")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        record = json.loads(path.with_suffix(".json").read_text())
        if is_whole(path) and record["versions"] == here():
            return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="nothing proves")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        if not path.with_suffix(".json").exists() or is_whole(path):
            return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="saved with another version")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        if record_of(path) and is_whole(path):
            return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="before you unpickle")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        record = record_of(path)
        if record and is_whole(path):
            model = pickle.loads(path.read_bytes())
            if record["versions"] == here():
                return model
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="breaks off in the middle, and that ended")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        if path.with_suffix(".json").exists() and is_whole(path):
            if record_of(path)["versions"] == here():
                return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@wrong("04.3", points=3, hint="saved with another version")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        record = record_of(path)
        if record and is_whole(path):
            if record["versions"]["scikit-learn"] == sklearn.__version__:
                return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@wrong("04.3", points=4, hint="raise FileNotFoundError")
def load_newest(folder):
    for path in sorted(folder.glob("*.pkl"), reverse=True):
        record = record_of(path)
        if record and is_whole(path) and record["versions"] == here():
            return pickle.loads(path.read_bytes())


@wrong("04.3", points=3, hint="has no model beside it")
def load_newest(folder):
    for record in sorted(folder.glob("model-*.json"), reverse=True):
        data = record.with_suffix(".pkl").read_bytes()
        known = record_of(record)
        if known == {"sha256": hashlib.sha256(data).hexdigest(), "versions": here()}:
            return pickle.loads(data)
    raise FileNotFoundError("no good model")


@wrong("04.3", points=0, hint="key by key and digit by digit")
def load_newest(folder):
    def versions():  # as in the lesson, and not as in the records
        python = ".".join(platform.python_version_tuple()[:2])
        return {"python": python, "sklearn": sklearn.__version__}

    for path in sorted(folder.glob("model-*.pkl"), reverse=True):
        record = record_of(path)
        if record and is_whole(path) and record["versions"] == versions():
            return pickle.loads(path.read_bytes())
    raise FileNotFoundError(folder)


@right("04.3")
def load_newest(folder):
    def number(path):
        return int(path.stem.split("-")[1])

    for record in sorted(folder.glob("model-*.json"), key=number, reverse=True):
        if not record.with_suffix(".pkl").is_file():
            continue
        data = record.with_suffix(".pkl").read_bytes()
        known = record_of(record)
        if known == {"sha256": hashlib.sha256(data).hexdigest(), "versions": here()}:
            return pickle.loads(data)
    raise FileNotFoundError("no good model")


@right("04.3")
def load_newest(folder):
    good = []
    for path in folder.glob("model-*.pkl"):
        try:
            record = json.loads(path.with_suffix(".json").read_bytes())
        except (FileNotFoundError, ValueError):
            continue
        with open(path, "rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"]
        if same and record["versions"] == here():
            good.append(path)
    if not good:
        raise FileNotFoundError(folder)
    return pickle.loads(max(good).read_bytes())


# 04.4 predict_parts


def predict(model, rows):
    return model.predict(rows)


@wrong("04.4", points=0, hint="promises of labels")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    return [client.submit(predict, shared, part) for part in parts]


@wrong("04.4", points=0, hint="concatenate them")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    return client.gather([client.submit(predict, shared, part) for part in parts])


@wrong("04.4", points=1, hint="keep the order of the parts")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    futures = [client.submit(predict, shared, part) for part in parts]
    return np.concatenate([future.result() for future in as_completed(futures)])


@wrong("04.4", points=1, hint="every row of every part")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    futures = [client.submit(predict, shared, part) for part in parts[:-1]]
    return np.concatenate(client.gather(futures))


@wrong("04.4", points=2, hint="this process did")
def predict_parts(client, model, parts):
    client.scatter(model, broadcast=True)
    return np.concatenate([model.predict(part) for part in parts])


@wrong("04.4", points=2, hint="as one task")
def predict_parts(client, model, parts):
    return client.submit(predict, model, np.concatenate(parts)).result()


@wrong("04.4", points=3, hint="travelled with every task")
def predict_parts(client, model, parts):
    futures = [client.submit(predict, model, part) for part in parts]
    return np.concatenate(client.gather(futures))


@wrong("04.4", points=3, hint="travelled with every task")
def predict_parts(client, model, parts):
    shared = client.scatter(model, broadcast=True)  # never used
    futures = client.map(lambda part: model.predict(part), parts)
    labels = np.concatenate(client.gather(futures))
    del shared
    return labels


@wrong("04.4", points=3, hint="travelled with every task")
def predict_parts(client, model, parts):
    tasks = [dask.delayed(predict)(model, part) for part in parts]
    return np.concatenate(dask.compute(*tasks, scheduler=client))


@wrong("04.4", points=2, hint="fewer tasks than parts")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    halves = [np.concatenate(parts[:-1]), parts[-1]]
    return np.concatenate(client.gather([client.submit(predict, shared, h) for h in halves]))


@right("04.4")
def predict_parts(client, model, parts):
    shared = dask.delayed(model)
    tasks = [dask.delayed(predict)(shared, part) for part in parts]
    return np.concatenate(dask.compute(*tasks, scheduler=client))


@right("04.4")
def predict_parts(client, model, parts):
    shared = client.scatter(model)
    numbers = {client.submit(predict, shared, part): n for n, part in enumerate(parts)}
    came = {numbers[future]: future.result() for future in as_completed(numbers)}
    return np.concatenate([came[number] for number in sorted(came)])


# 04.5 rebuild


def fitted(centers):
    return DistributedKMeans(n_clusters=len(centers), init=centers, max_iter=1).fit(centers)


@wrong("04.5", points=0, hint="not KMeans")
def rebuild(centers, numbers):
    return to_sklearn(fitted(centers[np.argsort(numbers)]))


@wrong("04.5", points=0, hint="no centres yet")
def rebuild(centers, numbers):
    start = centers[np.argsort(numbers)]
    return DistributedKMeans(n_clusters=len(centers), init=start, max_iter=1)


@wrong("04.5", points=0, hint="It raised ValueError")
def rebuild(centers, numbers):
    return DistributedKMeans(init=centers[np.argsort(numbers)]).fit(centers)


@wrong("04.5", points=1, hint="under other numbers")
def rebuild(centers, numbers):
    return DistributedKMeans(n_clusters=len(centers), random_state=0).fit(centers)


@wrong("04.5", points=1, hint="under other numbers")
def rebuild(centers, numbers):
    return fitted(np.random.default_rng().permutation(centers))  # right by chance, and not again


@wrong("04.5", points=1, hint="the order of the file")
def rebuild(centers, numbers):
    return fitted(centers)


@wrong("04.5", points=1, hint="The wrong way round")
def rebuild(centers, numbers):
    return fitted(centers[numbers])


@wrong("04.5", points=1, hint="not the centres that were given")
def rebuild(centers, numbers):
    return DistributedKMeans(n_clusters=2, init=centers[:2]).fit(centers)


@right("04.5")
def rebuild(centers, numbers):
    model = DistributedKMeans(n_clusters=len(centers))
    model.cluster_centers_ = centers[np.argsort(numbers)]
    model.n_features_in_ = centers.shape[1]
    return model


@right("04.5")
def rebuild(centers, numbers):
    by_number = dict(zip(numbers.tolist(), centers, strict=True))
    start = np.array([by_number[number] for number in range(len(centers))])
    rows = np.repeat(centers, 3, axis=0)  # each centre is the mean of its own three rows
    return DistributedKMeans(n_clusters=len(centers), init=start).fit(rows)
