"""Linear models on one GPU."""

from sklearn import linear_model

from cuml.internals.base import Through


class LinearRegression(Through):
    """Keywords as in cuML, of which lessons use none."""

    plain, fitted = linear_model.LinearRegression, ("coef_", "intercept_", "n_features_in_")


class LogisticRegression(Through):
    """The classes stay on the host."""

    plain = linear_model.LogisticRegression
    fitted = ("coef_", "intercept_", "n_features_in_", "classes_")
