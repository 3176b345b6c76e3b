"""Scaling on one GPU."""

from sklearn import preprocessing

from cuml.internals.base import Through


class StandardScaler(Through):
    """Subtract the mean, divide by the standard deviation."""

    plain, fitted = preprocessing.StandardScaler, ("scale_", "mean_", "var_", "n_features_in_")
