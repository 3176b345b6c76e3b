"""A stand-in for cuML: scikit-learn computes, cuML's refusals, shapes and types come out."""

__version__ = "26.10.0"
