"""Exercises of lesson 01: missing values, dtypes, sums and models on CPU or GPU."""

import numpy as np
import pandas as pd

from helpers.backend import current_backend
from helpers.compare import compare
from helpers.grading.exercise import Check, Exercise
from helpers.grading.facts import close, describe
from helpers.grading.meter import calls_of
from helpers.grading.vocabulary import EXAMPLE, Facts, named, returns, with_example

# 01.1 count_missing


def _readings(seed):
    """A table of four columns with holes; which columns, and in which order, is drawn."""
    rng = np.random.default_rng([1, seed])
    n = 60
    text = str(rng.choice(["tailnum", "dest", "carrier", "manufacturer"]))
    whole = str(rng.choice(["gate", "hour", "day", "seats"]))
    one, two = rng.permutation(["dep_delay", "arr_delay", "air_time", "temp", "wind"])[:2].tolist()
    columns = {
        text: pd.Series(rng.choice(["N1", "N2", ""], n), dtype="str"),
        whole: rng.integers(0, 4, n).astype("int32"),
        one: rng.choice([-5.0, 0.0, 30.0], n).astype("float32"),
        two: rng.choice([-5.0, 0.0, 30.0], n).astype("float32"),
    }
    table = pd.DataFrame({name: columns[name] for name in rng.permutation(list(columns)).tolist()})
    for column, few in ((text, 3), (one, 6), (two, 11)):
        holes = rng.choice(n, few + int(rng.integers(3)), replace=False)
        table.loc[holes, column] = None
    return table


def _observe_count(function, seed):
    move = current_backend().to_device
    example = pd.DataFrame({"a": [1.0, None], "b": ["x", ""]})
    answer = describe(function(move(_readings(seed))))
    return {"answer": answer, "example": describe(function(move(example)))}


def _judge_count(facts, seed):
    table, answer = _readings(seed), Facts(facts)["answer"]
    expected = {name: int(n) for name, n in table.isna().sum().items()}
    kinds = {
        "series": "That is a series: bring it to the host and turn it into a dict.",
        "table": "That is a table: bring it to the host and turn it into a dict.",
        "int": "That is one number for the whole table: count column by column.",
        "float": "That is one number for the whole table: count column by column.",
    }
    what = "a dict that maps the name of each column to a whole number"
    yield returns(1, answer, "dict", what, title="returns a dict", **kinds)
    counts = answer.mapping
    hint = "The keys are the names of the table's columns, all of them and nothing else."
    if counts.keys() == {name for name, n in expected.items() if n}:
        hint = "A column without missing values belongs to the dict, too: its count is 0."
    yield Check(1, "has every column", counts.keys() == expected.keys(), hint)

    text = [name for name in table if pd.api.types.is_string_dtype(table[name])]
    zeros = {name: int((table[name] == ("" if name in text else 0)).sum()) for name in table}
    rows = dict.fromkeys(table, len(table) - len(table.dropna()))
    none = dict.fromkeys(table, 0)
    mistakes = {
        "These are the values that are there: count() leaves out what is missing.": table.count(),
        "These are shares of the rows: return how many there are.": table.isna().mean(),
        "These are the rows with a hole in any column: count each column by itself.": rows,
        "No hole was found: nothing equals a missing value, so == does not find it.": none,
    }
    hint = "isna() marks what is missing, whatever its notation; sum() counts the marks."
    if any(counts[name] == expected[name] + n for name, n in zeros.items() if n):
        hint = "0 and an empty string are values, not missing ones."
    hint = named(counts, mistakes, hint, same=_same_items)
    right = Check(1, "counts the missing values", _same_items(counts, expected), hint)
    yield with_example(right, Facts(facts)["example"].mapping == {"a": 1, "b": 0})


def _same_items(found, expected, rtol=1e-4):
    """Whether a dict has, under the keys of another dict or Series, nearly the same numbers."""
    return all(close(found.get(name), float(value), rtol) for name, value in expected.items())


# 01.2 share_late


def _late_flights(seed):
    """Flights of three airports; their shares are far apart and in no order of the names."""
    rng = np.random.default_rng([2, seed])
    first, second, third = np.array([0.2, 0.35, 0.5]) + rng.uniform(-0.05, 0.05, 3)
    shares = [(first, third, second), (second, first, third), (second, third, first)]
    shares += [(third, first, second)]
    parts = []
    for origin, share in zip(("EWR", "JFK", "LGA"), shares[rng.integers(4)], strict=True):
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
        # Some late flights have no tailnum: who drops all rows with holes, drops them, too.
        tailnum = np.where(np.arange(n) < n_late // 3, None, "N1")
        part = {"month": month, "origin": origin, "arr_delay": delay, "tailnum": tailnum}
        cancelled = {"month": 2, "origin": origin, "arr_delay": np.full(n // 4, np.nan, "float32")}
        parts += [pd.DataFrame(part), pd.DataFrame(cancelled)]
    table = pd.concat(parts, ignore_index=True)
    table = table.astype({"month": "int32", "origin": "str", "tailnum": "str"})
    table["dep_delay"] = rng.permutation(table["arr_delay"].fillna(0)).astype("float32")
    order = rng.permutation(len(table))
    return table.iloc[order].reset_index(drop=True)


def _observe_share(function, seed):
    move = current_backend().to_device
    flights = move(_late_flights(seed))
    example = {"origin": ["EWR", "EWR", "JFK"], "month": [1, 1, 1], "dep_delay": [9.0, None, 7.0]}
    example["arr_delay"] = [16.0, None, 15.0]
    result = describe(function(flights))
    return {
        "result": result,
        "unchanged": compare(flights, _late_flights(seed)).equal,
        "example": describe(function(move(pd.DataFrame(example)))),
    }


def _judge_share(facts, seed):
    table, facts = _late_flights(seed), Facts(facts)
    arrived = table.dropna(subset=["arr_delay"])
    late = arrived["arr_delay"] > 15

    def shares_of(late, rows=arrived):
        return late.groupby(rows["origin"]).mean()

    expected, result = shares_of(late).to_dict(), facts["result"]
    kinds = {
        "table": "That is a table: choose the one column with the share.",
        "float": "That is one share for all airports: group by origin first.",
        "int": "That is one share for all airports: group by origin first.",
    }
    what = "a Series, or a dict, with one share per airport"
    yield returns(0, result, ("series", "dict"), what, **kinds)
    shares, hint = result.mapping, "There is one share for each airport, under its name."
    yield Check(1, "has one value per airport", shares.keys() == expected.keys(), hint)

    filled, kept_nan = table["arr_delay"] > 15, ~(table["arr_delay"] <= 15)
    whole, delay = table.dropna(), arrived["arr_delay"]
    monthly = late.groupby([arrived["origin"], arrived["month"]]).mean()
    of_all, of_arrived = (rows["dep_delay"] > 15 for rows in (table, arrived))
    mistakes = [
        (shares_of(filled, table), "A flight that never arrived counts as on time here: drop it."),
        (shares_of(kept_nan, table), "A flight that never arrived counts as late here: drop it."),
        (
            shares_of(whole["arr_delay"] > 15, whole),
            "Too many flights were dropped: only their arr_delay has to be there.",
        ),
        (shares_of(delay >= 15), "15 minutes is not yet late: more than 15 is."),
        (shares_of(delay > 0), "Every delay counts here: late means more than 15 minutes."),
        (100 * shares_of(late), "These are percent: a share lies between 0 and 1."),
        (
            late.groupby(arrived["origin"]).sum(),
            "These are numbers of flights: divide by the flights that arrived.",
        ),
        (
            monthly.groupby("origin").mean(),
            "A mean of monthly shares gives a month with few flights the weight of a full one.",
        ),
        (shares_of(of_all, table), "That is the delay at departure: the label is about arrival."),
        (shares_of(of_arrived), "That is the delay at departure: the label is about arrival."),
    ]
    hint = "Keep the flights that arrived; of those, the share with more than 15 minutes."
    hint = next((text for other, text in mistakes if _same_items(shares, other, 1e-3)), hint)
    yield Check(2, "the shares", _same_items(shares, expected, 1e-3), hint)
    hint = "You changed the caller's table: assign and dropna return a new one without inplace."
    yield Check(0, "flights is as before", facts.get("unchanged", False), hint)

    order = sorted(expected, key=expected.get, reverse=True)
    hint = "Sort by the share, not by the name."
    if list(shares) == order[::-1]:
        hint = "The largest share comes first: sort in descending order."
    elif list(shares) != sorted(shares):
        hint = "Sort by the share."
    last = Check(1, "the largest share first", list(shares) == order, hint)
    example = facts["example"].mapping
    right = _same_items(example, {"EWR": 1, "JFK": 0})
    if last.holds and not right and example.get("JFK") is None:
        hint = "In the docstring's example JFK has no late flight: its share is 0, not missing."
        last = last._replace(holds=False, hint=hint)
    yield with_example(last, right)


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
        "example": describe(function(backend.xp.asarray([[1, 7], [3, 7]], dtype="float32"))),
    }


def _judge_standardize(facts, seed):
    X, facts = _columns(seed).astype("float64"), Facts(facts)
    result = facts["result"]
    kinds = {
        "array": "Return an array with the shape of X.",
        "table": "That is a table: X is an array, and so is the result.",
        "series": "That is a series: X is an array, and so is the result.",
    }
    what = "an array like X, on the device"
    kind = returns(1, result, "array", what, shape=X.shape, **kinds)
    if kind.holds and not facts.get("on_device", False):
        hint = "The result left the device: compute with xp, without to_host or get."
        kind = kind._replace(holds=False, hint=hint)
    yield kind
    hint = "Return float32, the dtype of X."
    if result.get("dtype", "") == "float64":
        hint = (
            "A float64 mean or standard deviation makes every result float64, twice the memory: "
            "cast these two with astype, not the result."
        )
    yield Check(1, "float32", result.get("dtype", "") == "float32", hint)
    hint = "You changed X: work on a copy."
    yield Check(0, "X itself is as before", facts.get("unchanged", False), hint)

    got = result.array if result.array is not None else np.full(X.shape, np.nan)
    with np.errstate(all="ignore"):
        right, hint = _judge_varied(got[:, :4], X)
    yield Check(1, "mean 0 and standard deviation 1", right, hint)

    hint = "A column whose values are all equal becomes 0."
    if np.isnan(got[:, 4:]).any():
        hint = "A column whose values are all equal has standard deviation 0, and 0 / 0 is NaN."
    elif np.all(got[:, 4] == 0):
        hint = (
            "A column of one fraction does not become 0: a float32 mean rounds and misses its "
            "value by a little. Compute the mean in float64."
        )
    zero = Check(1, "a constant column becomes 0", bool(np.all(np.abs(got[:, 4:]) < 1e-6)), hint)
    yield with_example(zero, close(facts["example"].array, [[-1, 0], [1, 0]]))


def _judge_varied(got, X):
    """Whether the columns that vary are z-scores, and the hint if not."""
    varied = X[:, :4]
    mean, std = varied.mean(axis=0), varied.std(axis=0)
    expected, sample = (varied - mean) / std, (varied - mean) / varied.std(axis=0, ddof=1)
    by_row = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)

    def same(values, other, tolerance=1e-2):
        return np.allclose(values, other, rtol=tolerance, atol=tolerance)

    if same(got[:, :2], sample[:, :2], 1e-3) and not same(got[:, :2], expected[:, :2], 1e-3):
        return False, "This divides by n - 1: the standard deviation here divides by n."
    mistakes = {
        "Each row was scaled: axis=0 runs down the rows and leaves one per column.": by_row[:, :4],
        "One mean for the whole array: each column has its own.": (varied - X.mean()) / X.std(),
        "The mean is gone, the scale is not: divide by the standard deviation.": varied - mean,
        "That is the variance: the standard deviation is its square root.": (
            (varied - mean) / varied.var(axis=0)
        ),
        "That maps to 0 to 1: a z-score counts standard deviations from the mean.": (
            (varied - varied.min(axis=0)) / np.ptp(varied, axis=0)
        ),
    }
    hint = "Subtract each column's mean and divide by its standard deviation."
    shrunk = np.median(got[:, 3] / expected[:, 3])
    if same(got[:, :3], expected[:, :3]):
        hint = "A column of small numbers is wrong."
        if shrunk < 1 and same(got[:, 3], shrunk * expected[:, 3]):
            hint = (
                "A column of small numbers is scaled too much: what you add to the standard "
                "deviation is not small beside theirs."
            )
    elif same(got[:, :2], expected[:, :2]):
        hint = (
            "A column of large numbers that differ little is wrong: a sum in float32 and a "
            "difference of large squares lose the digits. Subtract a float64 mean first."
        )
    return same(got, expected, 4e-3), named(got, mistakes, hint, same)


# 01.4 same_numbers

RTOL = 1e-4
# Kinds of pairs that are the same, and kinds of the last check. Known to the judge only.
SAME = {"example", "equal", "rounded", "large", "loose", "below", "negative", "holes"}
LAST = {"holes", "one hole", "two places", "zero", "shape"}


def _pairs(seed):
    """Kind, two arrays and rtol, each kind once or twice, in any order."""
    rng = np.random.default_rng([4, seed])
    pairs = [("example", np.array([0.1 + 0.2]), np.array([0.3]), 1e-9)]
    for kinds in (_kinds(rng), _kinds(rng)):
        few = rng.permutation(list(kinds))[: rng.integers(5, 15)].tolist()
        chosen = kinds if len(pairs) == 1 else {kind: kinds[kind] for kind in few}
        pairs += [(kind, *pair) for kind, pair in chosen.items()]
    return [pairs[n] for n in rng.permutation(len(pairs))]


def _kinds(rng):
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
    move = current_backend().to_device
    pairs = [(move(a), move(b), rtol) for _, a, b, rtol in _pairs(seed)]
    with calls_of(compare) as calls:
        answers = [describe(function(a, b, rtol=rtol)) for a, b, rtol in pairs]
    return {"answers": answers, "compared": len(calls)}


def _judge_same(facts, seed):
    facts, kinds = Facts(facts), [kind for kind, *_ in _pairs(seed)]
    pairs = list(zip(kinds, facts.each("answers", len(kinds)), strict=True))
    plain = [answer for kind, answer in pairs if kind != "shape"]
    element = "That is a truth value per element: are all of them true?"
    what = "True or False, for the two arrays as a whole"
    yield returns(1, plain, "bool", what, title="returns a truth value", array=element)
    hint = "Your function calls `compare`: write the question without it."
    yield Check(0, "without compare", not facts.get("compared", 0), hint)

    wrong = {kind for kind, answer in pairs if answer.value is not (kind in SAME)}
    hints = {
        "rounded": "Two results that differ in a late digit only must count as the same: no ==.",
        "one": "One number out of many differs, and you do not see it: all must be close.",
        "smaller": "A difference can be negative: compare its absolute value.",
        "large": "The tolerance is relative: it grows with the numbers.",
        "strict": "The same two arrays with another rtol: the answer must follow that argument.",
        "loose": "The same two arrays with another rtol: the answer must follow that argument.",
        "tiny": "Of two tiny numbers one is three times the other, and you call them the same: "
        "an absolute tolerance is at work. Some functions have one by default.",
        "cancel": "One number is larger and another smaller by as much, which sums and means do "
        "not show: compare one by one, not their sums.",
        "small": "Beside large numbers one small number differs: each has a tolerance of its own.",
        "negative": "Negative numbers that nearly agree are told apart: take the size of expected.",
        "above": "The tolerance belongs to expected, not to actual: a large rtol shows it.",
        "below": "The tolerance belongs to expected, not to actual: a large rtol shows it.",
        "different": "The difference may be rtol times the size of the expected number.",
        "example": EXAMPLE,
    }
    if "different" in wrong:  # then the special cases of a difference say nothing
        hints |= {"one": hints["different"], "smaller": hints["different"]}
    hint = next((text for kind, text in hints.items() if kind in wrong), "")
    yield Check(1, "a relative tolerance, of any size", wrong <= LAST, hint)

    hints = {
        "holes": "NaN equals nothing, not even NaN: here two NaN in the same place are the same.",
        "one hole": "A missing value and a number are not the same.",
        "two places": "NaN stands in two different places: then they are not the same.",
        "zero": "A missing value is not 0: do not fill it before you compare.",
        "shape": "Arrays of different shapes are not the same. Broadcasting stretches the shorter.",
    }
    hint = next((text for kind, text in hints.items() if kind in wrong), "")
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
    move = current_backend().to_device
    example = {"dep_delay": [0.0, 10.0, None], "arr_delay": [-5.0, 5.0, None]}
    example = pd.DataFrame(example | {"tailnum": ["N1", "N2", None]})
    answer = describe(function(move(_flown(seed))))
    return {"answer": answer, "example": describe(function(move(example)))}


def _judge_model(facts, seed):
    table, answer = _flown(seed), Facts(facts)["answer"]
    flown = table.dropna(subset=["dep_delay", "arr_delay"])
    slope, intercept = _fit(flown["dep_delay"], flown["arr_delay"])
    values, names = answer.mapping, {"slope", "intercept", "n"}
    hint = 'Return a dict with the keys "slope", "intercept" and "n".'
    if values.keys() == names:
        hint = "The three values are plain numbers: float(...) of one element, len(...) of rows."
    what = 'a dict with the keys "slope", "intercept" and "n"'
    kind = returns(1, answer, "dict", what, of=("int", "float"), title="returns three numbers")
    right = kind.holds and values.keys() == names
    yield kind._replace(holds=right, hint=hint if answer.kind == "dict" else kind.hint)

    n, got_slope, got_intercept = values["n"], values["slope"], values["intercept"]
    left, landed = (int(table[name].count()) for name in ("dep_delay", "arr_delay"))
    mistakes = {
        len(table): "All flights were used: those without a delay must be dropped, not filled.",
        len(table.dropna()): "Too many rows were dropped: only the two delays have to be there.",
        left: "Some of these flights left and have no arrival delay: drop them, too.",
        landed: "Some of these flights arrived and have no departure delay: drop them, too.",
    }
    hint = mistakes.get(n, "n is the number of flights that the model was fitted to.")
    yield Check(1, "the flights with both delays", n == len(flown), hint)

    x, y = flown["dep_delay"].to_numpy("float64"), flown["arr_delay"].to_numpy("float64")
    swapped, through_zero = _fit(flown["arr_delay"], flown["dep_delay"])[0], float(x @ y / (x @ x))
    mistakes = {
        "This predicts the departure from the arrival: swap feature and target.": swapped,
        "This line goes through zero: the model has an intercept.": through_zero,
        "This is the slope per standard deviation: give it per minute.": slope * x.std(),
        "That is the intercept: coef_ holds the slope.": intercept,
    }
    hint = "Fit arr_delay (the target) to dep_delay (the feature)."
    hint = named(got_slope, mistakes, hint, same=lambda a, b: close(a, b, rtol=1e-3))
    yield Check(1, "the slope", close(got_slope, slope, rtol=2e-3), hint)

    hint = "The intercept is the predicted arrival delay of a flight that leaves on time."
    if close(got_intercept, float(y.mean()), rtol=1e-3):
        hint = "That is the mean arrival delay: the intercept belongs to a departure delay of 0."
    elif got_intercept == 0:
        hint = "The model has an intercept: intercept_ holds it."
    right = close(got_intercept, intercept, rtol=2e-3, atol=1e-2)
    example = {"slope": 1.0, "intercept": -5.0, "n": 2}
    right = Check(1, "the intercept", right, hint)
    yield with_example(right, _same_items(Facts(facts)["example"].mapping, example))


EXERCISES = [
    Exercise("01.1", "count_missing", 3, _observe_count, _judge_count),
    Exercise("01.2", "share_late", 4, _observe_share, _judge_share),
    Exercise("01.3", "standardize", 4, _observe_standardize, _judge_standardize),
    Exercise("01.4", "same_numbers", 3, _observe_same, _judge_same),
    Exercise("01.5", "delay_model", 4, _observe_model, _judge_model),
]
