"""Decompositions on one GPU."""

from sklearn import decomposition

from cuml.internals.base import Through


class PCA(Through):
    """Principal components."""

    plain = decomposition.PCA
    fitted = ("components_", "explained_variance_ratio_", "mean_", "n_features_in_")
