"""A stand-in for cuML: scikit-learn computes; cuML's refusals, shapes and types come out."""

from . import cluster, decomposition, linear_model, model_selection, preprocessing  # noqa: F401

__version__ = "26.10.0"
