"""Exercises of lesson 01: missing values, dtypes, sums and models on CPU or GPU."""

import numpy as np
import pandas as pd

from helpers.backend import current_backend
from helpers.compare import compare
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe

LATE = {"EWR": 0.2, "JFK": 0.5, "LGA": 0.35}  # far apart, and neither sorted nor reversed


def _dict(value):
    """Return the value if it is a dict: facts of a student's kernel may be anything."""
    return value if isinstance(value, dict) else {}


def _items(facts):
    """Return a described dict or Series as {label: value}."""
    if facts.get("type") == "dict":
        items = _dict(facts.get("items"))
        return {label: _dict(item).get("value") for label, item in items.items()}
    if facts.get("type") == "series":
        labels, values = facts.get("index"), facts.get("values")
        if isinstance(labels, list) and isinstance(values, list):
            return dict(zip(map(str, labels), values, strict=False))
    return {}


# 01.1 count_missing


def _readings(seed):
    rng = np.random.default_rng([1, seed])
    n = 60
    table = pd.DataFrame(
        {
            "tailnum": pd.Series(rng.choice(["N1", "N2", ""], n), dtype="str"),
            "gate": rng.integers(0, 4, n).astype("int32"),
            "dep_delay": rng.choice([-5.0, 0.0, 30.0], n).astype("float32"),
            "arr_delay": rng.choice([-5.0, 0.0, 30.0], n).astype("float32"),
        }
    )
    for column, few in (("tailnum", 3), ("dep_delay", 6), ("arr_delay", 11)):
        holes = rng.choice(n, few + int(rng.integers(3)), replace=False)
        table.loc[holes, column] = None
    return table


def _observe_count(function, seed):
    return describe(function(current_backend().to_device(_readings(seed))))


def _judge_count(facts, seed):
    table, facts = _readings(seed), _dict(facts)
    expected = {name: int(n) for name, n in table.isna().sum().items()}
    kind = facts.get("type")
    hint = "Return a dict that maps the name of each column to a whole number."
    if kind in ("series", "table"):
        hint = f"That is a {kind}: bring it to the host and turn it into a dict."
    elif kind in ("int", "float"):
        hint = "That is one number for the whole table: count column by column."
    elif kind == "none":
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "returns a dict", kind == "dict", hint)

    counts = _items(facts)
    hint = "The keys are the names of the table's columns, all of them and nothing else."
    if counts.keys() == {name for name, n in expected.items() if n}:
        hint = "A column without missing values belongs to the dict, too: its count is 0."
    yield Check(1, "has every column", counts.keys() == expected.keys(), hint)

    def same(other):
        return all(close(counts[name], float(other[name])) for name in expected)

    empty = {"tailnum": int((table["tailnum"] == "").sum())}
    zeros = {name: int((table[name] == 0).sum()) for name in table if name != "tailnum"}
    with_values = [expected[name] + n for name, n in (empty | zeros).items()]
    hint = "isna() marks what is missing, whatever its notation; sum() counts the marks."
    if same(table.count()):
        hint = "These are the values that are there: count() leaves out what is missing."
    elif same({name: n / len(table) for name, n in expected.items()}):
        hint = "These are shares of the rows: return how many there are."
    elif same(dict.fromkeys(expected, len(table) - len(table.dropna()))):
        hint = "These are the rows with a hole in any column: count each column by itself."
    elif same(dict.fromkeys(expected, 0)):
        hint = "Nothing equals a missing value, not even a missing value: == does not find it."
    elif any(counts[name] == n for name, n in zip(empty | zeros, with_values, strict=True)):
        hint = "0 and an empty string are values, not missing ones."
    yield Check(1, "counts the missing values", same(expected), hint)


# 01.2 share_late


def _late_flights(seed):
    rng = np.random.default_rng([2, seed])
    parts = []
    for origin, share in LATE.items():
        n = int(rng.integers(90, 120))
        n_late, n_limit = round(share * n), n // 10
        delay = np.concatenate(
            [
                rng.integers(16, 90, n_late),
                np.full(n_limit, 15),
                rng.integers(-30, 15, n - n_late - n_limit),
            ]
        ).astype("float32")
        # February is short of flights, and those that arrive are late more often than in January.
        month = np.where((delay > 15) & (rng.random(n) < 0.3), 2, 1)
        lost = n // 4
        # Some late flights have no tailnum: who drops all rows with holes, drops them, too.
        tailnum = np.where(np.arange(n) < n_late // 3, None, "N1")
        part = pd.DataFrame(
            {"month": month, "origin": origin, "arr_delay": delay, "tailnum": tailnum}
        )
        cancelled = pd.DataFrame(
            {"month": 2, "origin": origin, "arr_delay": np.full(lost, np.nan, "float32")}
        )
        parts += [part, cancelled]
    table = pd.concat(parts, ignore_index=True)
    table = table.astype({"month": "int32", "origin": "str", "tailnum": "str"})
    table["dep_delay"] = rng.permutation(table["arr_delay"].fillna(0)).astype("float32")
    order = rng.permutation(len(table))
    return table.iloc[order].reset_index(drop=True)


def _observe_share(function, seed):
    flights = current_backend().to_device(_late_flights(seed))
    result = describe(function(flights))
    return {"result": result, "unchanged": compare(flights, _late_flights(seed)).equal}


def _judge_share(facts, seed):
    table, outcome = _late_flights(seed), _dict(facts)
    facts = _dict(outcome.get("result"))
    arrived = table.dropna(subset=["arr_delay"])

    def by_origin(late, rows):
        return late.groupby(rows["origin"]).mean().to_dict()

    expected = by_origin(arrived["arr_delay"] > 15, arrived)
    shares = _items(facts)
    hint = "Return a Series, or a dict, with one share per airport."
    if facts.get("type") in ("float", "int"):
        hint = "That is one share for all airports: group by origin first."
    elif facts.get("type") == "table":
        hint = "That is a table: choose the one column with the share."
    yield Check(1, "has one value per airport", shares.keys() == expected.keys(), hint)

    def same(other):
        return all(close(shares[name], other[name], rtol=1e-3) for name in expected)

    monthly = (arrived["arr_delay"] > 15).groupby([arrived["origin"], arrived["month"]]).mean()
    total = {name: expected[name] * n for name, n in arrived["origin"].value_counts().items()}
    hint = "Keep the flights that arrived; of those, the share with more than 15 minutes."
    if same(by_origin(table["arr_delay"].fillna(0) > 15, table)):
        hint = "A flight that never arrived counts as on time here: drop the missing rows first."
    elif same(by_origin(~(table["arr_delay"] <= 15), table)):
        hint = "A flight that never arrived counts as late here: drop the missing rows first."
    elif same(by_origin(table.dropna()["arr_delay"] > 15, table.dropna())):
        hint = "Flights that arrived were dropped, too: only their arr_delay has to be there."
    elif same(by_origin(arrived["arr_delay"] >= 15, arrived)):
        hint = "15 minutes is not yet late: more than 15 is."
    elif same(by_origin(arrived["arr_delay"] > 0, arrived)):
        hint = "Every delay counts here: late means more than 15 minutes."
    elif same({name: 100 * share for name, share in expected.items()}):
        hint = "These are percent: a share lies between 0 and 1."
    elif same(total):
        hint = "These are numbers of flights: divide by the flights that arrived."
    elif same(monthly.groupby("origin").mean().to_dict()):
        hint = "A mean of monthly shares gives a month with few flights the weight of a full one."
    elif same(by_origin(table["dep_delay"] > 15, table)) or same(
        by_origin(arrived["dep_delay"] > 15, arrived)
    ):
        hint = "That is the delay at departure: the label is about arrival."
    yield Check(2, "the shares", same(expected), hint)
    hint = "You changed the caller's table: assign and dropna return a new one without inplace."
    yield Check(0, "flights is as before", bool(outcome.get("unchanged")), hint)

    order = sorted(expected, key=expected.get, reverse=True)
    hint = "Sort by the share, not by the name."
    if list(shares) == order[::-1]:
        hint = "The largest share comes first: sort in descending order."
    yield Check(1, "the largest share first", list(shares) == order, hint)


# 01.3 standardize


def _columns(seed):
    rng = np.random.default_rng([3, seed])
    n = 150  # enough for a float32 sum of 0.1 to round
    X = rng.normal([12.0, 1000.0, 10_000.0, 0.3], [40.0, 700.0, 3.0, 0.05], (n, 4))
    return np.column_stack([X, np.full(n, 250.0), np.full(n, 0.1)]).astype("float32")


def _observe_standardize(function, seed):
    backend = current_backend()
    X = backend.to_device(_columns(seed))
    before = X.copy()
    result = function(X)
    return {
        "result": describe(result),
        "on_device": isinstance(result, backend.xp.ndarray),
        "unchanged": bool((X == before).all()),
    }


def _judge_standardize(facts, seed):
    X = _columns(seed).astype("float64")
    facts = _dict(facts)
    result = _dict(facts.get("result"))
    kind, shape = result.get("type"), result.get("shape")
    hint = "Return an array with the shape of X."
    if kind == "none":
        hint = "The function returned nothing: does it end with return?"
    elif kind == "array" and not facts.get("on_device"):
        hint = "The result left the device: compute with xp, without to_host or get."
    elif kind in ("table", "series"):
        hint = f"That is a {kind}: X is an array, and so is the result."
    ok = kind == "array" and bool(facts.get("on_device")) and shape == list(X.shape)
    yield Check(1, "an array like X, on the device", ok, hint)

    hint = (
        "A float64 mean or standard deviation makes every result float64, twice the memory: "
        "cast these two with astype, not the result."
    )
    yield Check(1, "float32", result.get("dtype") == "float32", hint)
    yield Check(
        0, "X itself is as before", bool(facts.get("unchanged")), "You changed X: work on a copy."
    )

    got = _as_array(result.get("values"), X.shape)
    varied = X[:, :4]
    expected = (varied - varied.mean(axis=0)) / varied.std(axis=0)

    def same(other):
        return np.allclose(got[:, :4], other, rtol=1e-2, atol=1e-2)

    with np.errstate(all="ignore"):
        by_row = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
        sample = (varied - varied.mean(axis=0)) / varied.std(axis=0, ddof=1)
        right = np.allclose(got[:, :4], expected, rtol=4e-3, atol=4e-3)
        hint = "Subtract each column's mean and divide by its standard deviation."
        if same(by_row[:, :4]):
            hint = "Each row was scaled: axis=0 runs down the rows and leaves one per column."
        elif same(((X - X.mean()) / X.std())[:, :4]):
            hint = "One mean for the whole array: each column has its own."
        elif same(varied - varied.mean(axis=0)):
            hint = "The mean is gone, the scale is not: divide by the standard deviation."
        elif same((varied - varied.mean(axis=0)) / varied.var(axis=0)):
            hint = "That is the variance: the standard deviation is its square root."
        elif same((varied - varied.min(axis=0)) / np.ptp(varied, axis=0)):
            hint = "That maps to 0 to 1: a z-score counts standard deviations from the mean."
        elif np.allclose(got[:, :2], sample[:, :2], rtol=1e-3, atol=1e-3):
            hint, right = "This divides by n - 1: the standard deviation here divides by n.", False
        elif np.allclose(got[:, :3], expected[:, :3], rtol=1e-2, atol=1e-2):
            hint = (
                "A column of small numbers is wrong: what you add to the standard deviation is "
                "not small beside theirs."
            )
        elif np.allclose(got[:, :2], expected[:, :2], rtol=1e-2, atol=1e-2):
            hint = (
                "A column of large numbers that differ little is wrong: a sum in float32 and a "
                "difference of large squares lose the digits. Subtract a float64 mean first."
            )
    yield Check(1, "mean 0 and standard deviation 1", right, hint)

    hint = "A column whose values are all equal becomes 0."
    if np.isnan(got[:, 4:]).any():
        hint = "A column whose values are all equal has standard deviation 0, and 0 / 0 is NaN."
    elif np.all(got[:, 4] == 0):
        hint = (
            "A column of one fraction does not become 0: a float32 mean rounds and misses its "
            "value by a little. Compute the mean in float64."
        )
    zero = bool(np.all(np.abs(got[:, 4:]) < 1e-6))
    yield Check(1, "a constant column becomes 0", zero, hint)


def _as_array(values, shape):
    """Return described values as an array, None as NaN; all NaN if the shape is another."""
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    return array if array.shape == shape else np.full(shape, np.nan)


# 01.4 same_numbers

RTOL = 1e-4
# Known to the judge only: what an observer knows, a student's code could find.
SAME = {"equal", "rounded", "large", "loose", "below", "negative", "holes"}


def _pairs(seed):
    """Pairs of arrays by name, and rtol."""
    rng = np.random.default_rng([4, seed])
    a = rng.uniform(1, 2, 8)
    place, other = rng.choice(8, 2, replace=False)
    holes, zero, plus_minus = a.copy(), a.copy(), a.copy()
    holes[place], zero[place] = np.nan, 0
    plus_minus[[place, other]] += [0.25, -0.25]
    large = np.where(np.arange(8) == place, 1, 1e6) * a
    here, there = np.full((2, 8), a[0])
    here[place] = there[other] = np.nan
    return {
        "equal": (a, a.copy(), RTOL),
        "rounded": (a, a * (1 + RTOL / 100), RTOL),
        "different": (a * 1.02, a, RTOL),
        "smaller": (a * 0.5, a, RTOL),
        "one": (np.where(np.arange(8) == 5, a * 1.02, a), a, RTOL),
        "large": (a * 1e9, a * 1e9 * (1 + RTOL / 100), RTOL),
        "tiny": (a * 1e-11, a * 3e-11, RTOL),
        "cancel": (plus_minus, a, RTOL),
        "small": (np.where(large < 10, large * 1.02, large), large, RTOL),
        "strict": (a * 1.005, a, RTOL),
        "loose": (a * 1.005, a, 1e-2),
        "above": (a * 1.8, a, 0.5),
        "below": (a * 0.6, a, 0.5),
        "negative": (-a, -a * (1 + RTOL / 100), RTOL),
        "holes": (holes, holes * (1 + RTOL / 100), RTOL),
        "one hole": (holes, a, RTOL),
        "two places": (here, there, RTOL),
        "zero": (holes, zero, RTOL),
        "shape": (np.full(4, a[0]), np.full(1, a[0]), RTOL),
    }


def _observe_same(function, seed):
    to_device = current_backend().to_device
    pairs = _pairs(seed).items()
    return {
        name: describe(function(to_device(actual), to_device(expected), rtol))
        for name, (actual, expected, rtol) in pairs
    }


def _judge_same(facts, seed):
    expected = {name: name in SAME for name in _pairs(seed)}
    got = {name: _dict(_dict(facts).get(name)) for name in expected}
    kinds = {str(fact.get("type")) for name, fact in got.items() if name != "shape"}
    hint = "Return True or False, for the two arrays as a whole."
    if "array" in kinds:
        hint = "That is a truth value per element: are all of them true?"
    elif "none" in kinds:
        hint = "The function returned nothing: does it end with return?"
    yield Check(1, "returns a truth value", kinds == {"bool"}, hint)

    wrong = {name for name, same in expected.items() if got[name].get("value") is not same}
    hint = "The difference may be rtol times the size of the expected number."
    if "rounded" in wrong:
        hint = "Two results that differ in a late digit only must count as the same: no ==."
    elif "one" in wrong and "different" not in wrong:
        hint = "One number out of many differs, and you do not see it: all must be close."
    elif "smaller" in wrong and "different" not in wrong:
        hint = "A difference can be negative: compare its absolute value."
    elif "large" in wrong:
        hint = "The tolerance is relative: it grows with the numbers."
    elif wrong & {"strict", "loose"}:
        hint = "The same two arrays with another rtol: the answer must follow that argument."
    elif "tiny" in wrong:
        hint = (
            "Of two tiny numbers one is three times the other, and you call them the same: "
            "an absolute tolerance is at work. Some functions have one by default."
        )
    elif "cancel" in wrong:
        hint = "One number is larger and another smaller: compare one by one, not their sums."
    elif "small" in wrong:
        hint = "Beside large numbers one small number differs: each has a tolerance of its own."
    elif "negative" in wrong:
        hint = "With negative numbers your tolerance is negative: take the size of expected."
    elif wrong & {"above", "below"}:
        hint = "The tolerance belongs to expected, not to actual: with a large rtol it shows."
    ok = wrong <= {"holes", "one hole", "two places", "zero", "shape"}
    yield Check(1, "a relative tolerance, of any size", ok, hint)

    hint = "Arrays of different shapes are not the same."
    if "holes" in wrong:
        hint = "NaN equals nothing, not even NaN: here two NaN in the same place are the same."
    elif "one hole" in wrong:
        hint = "A missing value and a number are not the same."
    elif "two places" in wrong:
        hint = "NaN stands in two different places: without them, other numbers become pairs."
    elif "zero" in wrong:
        hint = "A missing value is not 0: do not fill it before you compare."
    elif "shape" in wrong:
        hint = "Broadcasting stretched the shorter array: look at the shapes first."
    yield Check(1, "missing values and shapes", not wrong, hint)


# 01.5 delay_model


def _flown(seed):
    rng = np.random.default_rng([5, seed])
    n = 240
    slope, intercept = rng.uniform(0.7, 0.9), rng.uniform(-9, -6)
    departure = rng.integers(-10, 120, n).astype("float32")
    arrival = (slope * departure + intercept + rng.normal(0, 4, n)).astype("float32")
    table = pd.DataFrame({"dep_delay": departure, "arr_delay": arrival})
    table["tailnum"] = pd.Series(rng.choice(["N1", "N2", "N3"], n), dtype="str")
    places = rng.permutation(n)
    table.loc[places[:30], ["dep_delay", "arr_delay"]] = np.nan  # cancelled
    table.loc[places[30:50], "arr_delay"] = np.nan  # diverted
    table.loc[places[50:75], "tailnum"] = None
    table.loc[places[75:85], "dep_delay"] = np.nan  # the record of the departure was lost
    return table.astype({"dep_delay": "float32", "arr_delay": "float32"})


def _fit(x, y):
    return np.polyfit(x.astype("float64"), y.astype("float64"), 1).tolist()


def _observe_model(function, seed):
    return describe(function(current_backend().to_device(_flown(seed))))


def _judge_model(facts, seed):
    table = _flown(seed)
    flown = table.dropna(subset=["dep_delay", "arr_delay"])
    slope, intercept = _fit(flown["dep_delay"], flown["arr_delay"])
    facts = _dict(facts)
    values = _items(facts) if facts.get("type") == "dict" else {}
    names = {"slope", "intercept", "n"}
    hint = 'Return a dict with the keys "slope", "intercept" and "n".'
    if values.keys() == names:
        hint = "The three values are plain numbers: float(...) of one element, len(...) of rows."
    ok = values.keys() == names and all(isinstance(v, int | float) for v in values.values())
    yield Check(1, "a dict of three numbers", ok, hint)

    n, got_slope, got_intercept = values["n"], values["slope"], values["intercept"]
    hint = "n is the number of flights that the model was fitted to."
    if n == len(table):
        hint = "All flights were used: those without a delay must be dropped, not filled."
    elif n == len(table.dropna()):
        hint = "Too many rows were dropped: only the two delays have to be there."
    elif n == int(table["dep_delay"].count()):
        hint = "Some of these flights left and have no arrival delay: drop them, too."
    elif n == int(table["arr_delay"].count()):
        hint = "Some of these flights arrived and have no departure delay: drop them, too."
    yield Check(1, "the flights with both delays", n == len(flown), hint)

    x, y = flown["dep_delay"].to_numpy("float64"), flown["arr_delay"].to_numpy("float64")
    hint = "Fit arr_delay (the target) to dep_delay (the feature)."
    if close(got_slope, _fit(flown["arr_delay"], flown["dep_delay"])[0], rtol=1e-3):
        hint = "This predicts the departure from the arrival: swap feature and target."
    elif close(got_slope, float(x @ y / (x @ x)), rtol=1e-3):
        hint = "This line goes through zero: the model has an intercept."
    elif close(got_slope, slope * x.std(), rtol=1e-2):
        hint = "This is the slope per standard deviation: give it per minute."
    elif close(got_slope, intercept, rtol=1e-3):
        hint = "That is the intercept: coef_ holds the slope."
    yield Check(1, "the slope", close(got_slope, slope, rtol=2e-3), hint)

    hint = "The intercept is the predicted arrival delay of a flight that leaves on time."
    if close(got_intercept, float(y.mean()), rtol=1e-3):
        hint = "That is the mean arrival delay: the intercept belongs to a departure delay of 0."
    elif got_intercept == 0:
        hint = "The model has an intercept: intercept_ holds it."
    ok = close(got_intercept, intercept, rtol=2e-3, atol=1e-2)
    yield Check(1, "the intercept", ok, hint)


EXERCISES = [
    Exercise("01.1", "count_missing", 3, _observe_count, _judge_count),
    Exercise("01.2", "share_late", 4, _observe_share, _judge_share),
    Exercise("01.3", "standardize", 4, _observe_standardize, _judge_standardize),
    Exercise("01.4", "same_numbers", 3, _observe_same, _judge_same),
    Exercise("01.5", "delay_model", 4, _observe_model, _judge_model),
]
