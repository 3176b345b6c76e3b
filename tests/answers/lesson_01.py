"""Wrong answers of lesson 01 and other right ones."""

import numpy as np

from helpers.backend import get_backend, to_host
from tests.answers import right, wrong

backend = get_backend()
xp, ml = backend.xp, backend.ml


# 01.1


@wrong("01.1", points=0, hint="That is a series")
def count_missing(table):
    return table.isna().sum()


@wrong("01.1", points=0, hint="one number for the whole table")
def count_missing(table):
    return int(table.isna().sum().sum())


@wrong("01.1", points=0, hint="Nothing came back")
def count_missing(table):
    to_host(table.isna().sum()).to_dict()


@wrong("01.1", points=1, hint="its count is 0")
def count_missing(table):
    counts = to_host(table.isna().sum())
    return counts[counts > 0].to_dict()


@wrong("01.1", points=2, hint="values that are there")
def count_missing(table):
    return {name: int(table[name].count()) for name in table.columns}


@wrong("01.1", points=2, hint="rows with a hole in any column")
def count_missing(table):
    return dict.fromkeys(table.columns, len(table) - len(table.dropna()))


@wrong("01.1", points=2, hint="== does not find it")
def count_missing(table):
    host = to_host(table)
    return {name: int((host[name] == None).sum()) for name in host}  # noqa: E711


@wrong("01.1", points=2, hint="0 and an empty string are values")
def count_missing(table):
    host = to_host(table).astype(object)
    return {name: sum(not value or value != value for value in host[name]) for name in host}


@wrong("01.1", points=2, hint="These are shares")
def count_missing(table):
    return to_host(table.isna().mean()).to_dict()


@right("01.1")
def count_missing(table):
    return to_host(table.isna().sum()).to_dict()


@right("01.1")
def count_missing(table):
    return {name: len(table) - int(table[name].count()) for name in table.columns}


# 01.2


@wrong("01.2", points=0, hint="group by origin first")
def share_late(flights):
    arrived = flights.dropna(subset=["arr_delay"])
    return float((arrived["arr_delay"] > 15).mean())


@wrong("01.2", points=0, hint="That is a table")
def share_late(flights):
    arrived = flights[["origin", "arr_delay"]].dropna()
    return arrived.assign(late=(arrived["arr_delay"] > 15).astype(float)).groupby("origin").mean()


@wrong("01.2", points=1, hint="counts as on time")
def share_late(flights):
    late = (flights["arr_delay"].fillna(0) > 15).astype("float64")
    return late.groupby(flights["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="counts as late here")
def share_late(flights):
    late = (flights["arr_delay"].fillna(999) > 15).astype("float64")
    return late.groupby(flights["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="only their arr_delay has to be there")
def share_late(flights):
    arrived = flights.dropna()
    late = (arrived["arr_delay"] > 15).astype("float64")
    return late.groupby(arrived["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=3, hint="You changed the caller's table")
def share_late(flights):
    flights.dropna(subset=["arr_delay"], inplace=True)
    late = (flights["arr_delay"] > 15).astype("float64")
    return late.groupby(flights["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=3, hint="You changed the caller's table")
def share_late(flights):
    flights["late"] = (flights["arr_delay"] > 15).astype("float64")
    arrived = flights.dropna(subset=["arr_delay"])
    return arrived.groupby("origin")["late"].mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="15 minutes is not yet late")
def share_late(flights):
    arrived = flights.dropna(subset=["arr_delay"])
    late = (arrived["arr_delay"] >= 15).astype("float64")
    return late.groupby(arrived["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="mean of monthly shares")
def share_late(flights):
    arrived = to_host(flights).dropna(subset=["arr_delay"])
    monthly = (arrived["arr_delay"] > 15).groupby([arrived["origin"], arrived["month"]]).mean()
    return monthly.groupby("origin").mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="delay at departure")
def share_late(flights):
    late = (flights["dep_delay"] > 15).astype("float64")
    return late.groupby(flights["origin"]).mean().sort_values(ascending=False)


@wrong("01.2", points=1, hint="These are percent")
def share_late(flights):
    arrived = to_host(flights).dropna(subset=["arr_delay"])
    late = 100 * (arrived["arr_delay"] > 15).groupby(arrived["origin"]).mean()
    return late.sort_values(ascending=False)


@wrong("01.2", points=1, hint="divide by the flights that arrived")
def share_late(flights):
    late = to_host(flights)[lambda table: table["arr_delay"] > 15]
    return late["origin"].value_counts()


@wrong("01.2", points=3, hint="Sort by the share")
def share_late(flights):
    arrived = flights.dropna(subset=["arr_delay"])
    late = (arrived["arr_delay"] > 15).astype("float64")
    return late.groupby(arrived["origin"]).mean().sort_index()


@wrong("01.2", points=3, hint="descending order")
def share_late(flights):
    arrived = flights.dropna(subset=["arr_delay"])
    late = (arrived["arr_delay"] > 15).astype("float64")
    return late.groupby(arrived["origin"]).mean().sort_values()


@wrong("01.2", points=3, hint="JFK has no late flight")
def share_late(flights):
    host = to_host(flights)
    late = host[host["arr_delay"] > 15].groupby("origin").size()
    share = late / host.groupby("origin")["arr_delay"].count()  # NaN where nothing was late
    return share.sort_values(ascending=False)


@wrong("01.2", points=3, hint="JFK has no late flight")
def share_late(flights):
    host = to_host(flights).dropna(subset=["arr_delay"])
    arrived = host["origin"].value_counts()
    late = host[host["arr_delay"] > 15]["origin"].value_counts()
    return (late / arrived[late.index]).sort_values(ascending=False)


@right("01.2")
def share_late(flights):
    n_late = to_host(flights[flights["arr_delay"] > 15]["origin"].value_counts())
    n_arrived = to_host(flights.groupby("origin")["arr_delay"].count())
    return (n_late / n_arrived).fillna(0).sort_values(ascending=False).to_dict()


@right("01.2")
def share_late(flights):
    delays = to_host(flights[["origin", "arr_delay"]])
    shares = {}
    for origin, delay in delays.groupby("origin")["arr_delay"]:
        shares[origin] = float((delay > 15).sum() / delay.count())
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


# 01.3


@wrong("01.3", points=0, hint="That is a table")
def standardize(X):
    table = backend.xdf.DataFrame(X)
    return (table - table.mean()) / table.std(ddof=0)


@wrong("01.3", points=0, hint="Return an array with the shape of X")
def standardize(X):
    return (X[:, 0] - X[:, 0].mean()) / X[:, 0].std()


@wrong("01.3", points=1, hint="cast these two with astype, not the result")
def standardize(X):
    std = X.std(axis=0, dtype="float64")
    return (X - X.mean(axis=0, dtype="float64")) / xp.where(std == 0, 1, std)


@wrong("01.3", points=2, hint="work on a copy")
def standardize(X):
    std = X.std(axis=0)
    X -= X.mean(axis=0)
    X /= xp.where(std == 0, 1, std).astype("float32")
    return X


@wrong("01.3", points=2, hint="Each row was scaled")
def standardize(X):
    return (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)


@wrong("01.3", points=2, hint="One mean for the whole array")
def standardize(X):
    return (X - X.mean()) / X.std()


@wrong("01.3", points=2, hint="divides by n - 1")
def standardize(X):
    std = X.std(axis=0, ddof=1)
    return ((X - X.mean(axis=0)) / xp.where(std == 0, 1, std)).astype("float32")


@wrong("01.3", points=2, hint="lose the digits")
def standardize(X):
    mean = X.mean(axis=0)
    variance = xp.maximum((X**2).mean(axis=0) - mean**2, xp.float32(1e-6))
    return ((X - mean) / xp.sqrt(variance)).astype("float32")


@wrong("01.3", points=2, hint="the scale is not")
def standardize(X):
    return X - X.mean(axis=0)


@wrong("01.3", points=3, hint="0 / 0 is NaN")
def standardize(X):
    with np.errstate(invalid="ignore"):
        return (X - X.mean(axis=0)) / X.std(axis=0)


@wrong("01.3", points=2, hint="not small beside theirs")
def standardize(X):
    mean, std = X.mean(axis=0, dtype="float64"), X.std(axis=0, dtype="float64")
    return ((X - mean) / (std + 1e-3)).astype("float32")


@wrong("01.3", points=3, hint="a float32 mean rounds")
def standardize(X):
    std = X.std(axis=0)
    return (X - X.mean(axis=0)) / xp.where(std == 0, xp.float32(1), std)


@right("01.3")
def standardize(X):
    X = X.astype("float64")  # a float32 scaler may miss the value of a constant column
    return ml.preprocessing.StandardScaler().fit_transform(X).astype("float32")


@right("01.3")
def standardize(X):
    Z = X - X.mean(axis=0, dtype="float64").astype("float32")
    std = xp.sqrt((Z**2).mean(axis=0))
    return Z / xp.maximum(std, xp.float32(1e-6))


# 01.4


@wrong("01.4", points=0, hint="truth value per element")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return abs(actual - expected) <= rtol * abs(expected)


@wrong("01.4", points=0, hint="Nothing came back")
def same_numbers(actual, expected, rtol):
    xp.allclose(actual, expected, rtol=rtol)


@wrong("01.4", points=1, hint="no ==")
def same_numbers(actual, expected, rtol):
    return actual.shape == expected.shape and bool((actual == expected).all())


@wrong("01.4", points=1, hint="an absolute tolerance is at work")
def same_numbers(actual, expected, rtol):
    return actual.shape == expected.shape and bool(xp.allclose(actual, expected, rtol=rtol))


@wrong("01.4", points=1, hint="The tolerance is relative")
def same_numbers(actual, expected, rtol):
    return actual.shape == expected.shape and bool((abs(actual - expected) <= rtol).all())


@wrong("01.4", points=1, hint="compare its absolute value")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool((actual - expected <= rtol * expected).all())


@wrong("01.4", points=1, hint="all must be close")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool((abs(actual - expected) <= rtol * abs(expected)).any())


@wrong("01.4", points=2, hint="not even NaN")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool((abs(actual - expected) <= rtol * abs(expected)).all())


@wrong("01.4", points=2, hint="A missing value and a number")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return not bool((abs(actual - expected) > rtol * abs(expected)).any())


@wrong("01.4", points=1, hint="not their sums")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool(abs(actual.sum() - expected.sum()) <= rtol * abs(expected.sum()))


@wrong("01.4", points=1, hint="each has a tolerance of its own")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool(abs(actual - expected).max() <= rtol * abs(expected).max())


@wrong("01.4", points=1, hint="must follow that argument")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool(xp.allclose(actual, expected, rtol=1e-4, atol=0, equal_nan=True))


@wrong("01.4", points=1, hint="must follow that argument")
def same_numbers(actual, expected, rtol):
    return actual.shape == expected.shape and bool(xp.allclose(actual, expected))


@wrong("01.4", points=1, hint="belongs to expected, not to actual")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return bool(xp.allclose(expected, actual, rtol=rtol, atol=0, equal_nan=True))


@wrong("01.4", points=1, hint="take the size of expected")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    both_missing = xp.isnan(actual) & xp.isnan(expected)
    return bool(((abs(actual - expected) <= rtol * expected) | both_missing).all())


@wrong("01.4", points=2, hint="NaN stands in two different places")
def same_numbers(actual, expected, rtol):
    actual, expected = actual[~xp.isnan(actual)], expected[~xp.isnan(expected)]
    if actual.shape != expected.shape:
        return False
    return bool(xp.allclose(actual, expected, rtol=rtol, atol=0))


@wrong("01.4", points=2, hint="A missing value is not 0")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    actual, expected = xp.nan_to_num(actual), xp.nan_to_num(expected)
    return bool(xp.allclose(actual, expected, rtol=rtol, atol=0))


@wrong("01.4", points=2, hint="Broadcasting")
def same_numbers(actual, expected, rtol):
    return bool(xp.allclose(actual, expected, rtol=rtol, atol=0, equal_nan=True))


@wrong("01.4", points=1, hint="calls `compare`")
def same_numbers(actual, expected, rtol):
    from helpers.compare import compare

    return compare(actual, expected, rtol=rtol).equal


@right("01.4")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    return xp.isclose(actual, expected, rtol=rtol, atol=0, equal_nan=True).all()


@right("01.4")
def same_numbers(actual, expected, rtol):
    if actual.shape != expected.shape:
        return False
    both_missing = xp.isnan(actual) & xp.isnan(expected)
    return ((abs(actual - expected) <= rtol * abs(expected)) | both_missing).all()


# 01.5


def _line(X, y, **options):
    model = ml.linear_model.LinearRegression(**options).fit(X, y)
    return {
        "slope": float(model.coef_[0]),
        "intercept": float(model.intercept_),
        "n": len(X),
    }


@wrong("01.5", points=0, hint="plain numbers")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    model = ml.linear_model.LinearRegression()
    model.fit(flown[["dep_delay"]].values, flown["arr_delay"].values)
    return {"slope": model.coef_, "intercept": model.intercept_, "n": len(flown)}


@wrong("01.5", points=0, hint="Return a dict with the keys")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    line = _line(flown[["dep_delay"]].values, flown["arr_delay"].values)
    return line["slope"], line["intercept"]


@wrong("01.5", points=1, hint="must be dropped, not filled")
def delay_model(flights):
    filled = flights[["dep_delay", "arr_delay"]].fillna(0)
    return _line(filled[["dep_delay"]].values, filled["arr_delay"].values)


@wrong("01.5", points=1, hint="Too many rows were dropped")
def delay_model(flights):
    flown = flights.dropna()
    return _line(flown[["dep_delay"]].values, flown["arr_delay"].values)


@wrong("01.5", points=1, hint="drop them, too")
def delay_model(flights):
    left = flights.dropna(subset=["dep_delay"])
    return _line(left[["dep_delay"]].values, left["arr_delay"].fillna(0).values)


@wrong("01.5", points=1, hint="have no departure delay")
def delay_model(flights):
    landed = flights.dropna(subset=["arr_delay"])
    return _line(landed[["dep_delay"]].fillna(0).values, landed["arr_delay"].values)


@wrong("01.5", points=2, hint="swap feature and target")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    return _line(flown[["arr_delay"]].values, flown["dep_delay"].values)


@wrong("01.5", points=2, hint="goes through zero")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    X, y = flown[["dep_delay"]].values, flown["arr_delay"].values
    return _line(X, y, fit_intercept=False)


@wrong("01.5", points=2, hint="per standard deviation")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    X = ml.preprocessing.StandardScaler().fit_transform(flown[["dep_delay"]].values)
    return _line(X, flown["arr_delay"].values)


@wrong("01.5", points=3, hint="mean arrival delay")
def delay_model(flights):
    flown = flights[["dep_delay", "arr_delay"]].dropna()
    X, y = flown[["dep_delay"]].values, flown["arr_delay"].values
    return _line(X - X.mean(), y)


@right("01.5")
def delay_model(flights):
    flown = to_host(flights[["dep_delay", "arr_delay"]].dropna())
    slope, intercept = np.polyfit(flown["dep_delay"], flown["arr_delay"], 1)
    return {"n": len(flown), "slope": slope, "intercept": intercept}


@right("01.5")
def delay_model(flights):
    both = flights["dep_delay"].notna() & flights["arr_delay"].notna()
    flown = to_host(flights[both])
    x, y = flown["dep_delay"].astype("float64"), flown["arr_delay"].astype("float64")
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return {"slope": slope, "intercept": float(y.mean() - slope * x.mean()), "n": int(both.sum())}
