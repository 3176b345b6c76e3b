"""Names of an estimator's keywords, and where its data come from and go to."""

import cupy
import numpy as np


def to_numbers(X):
    """Rows on the host, in float32 or float64; sparse ones are refused."""
    if hasattr(X, "tocsr"):
        raise TypeError("Sparse input is not supported")
    if hasattr(X, "to_pandas"):
        X = X.to_pandas().to_numpy()
    rows = X.get() if isinstance(X, cupy.ndarray) else np.asarray(X)
    return rows if rows.dtype in (np.float32, np.float64) else rows.astype("float32")


class Base:
    """An estimator: keywords that it does not know are refused when it is made."""

    def like(self, X, result):
        """Give back what was put in: NumPy for NumPy, else an array of the device."""
        return result if isinstance(X, np.ndarray) else cupy.asarray(result)
