"""Splitting rows: scikit-learn draws the indices, as in cuML 26.10, and they select."""

import cupy
import numpy as np
from sklearn import model_selection


def train_test_split(*arrays, **options):
    """Split each array by the same drawn rows; each keeps its library."""
    drawn = model_selection.train_test_split(np.arange(len(arrays[0])), **options)

    def select(array, rows):
        if hasattr(array, "iloc"):
            return array.iloc[rows]
        return array[cupy.asarray(rows) if isinstance(array, cupy.ndarray) else rows]

    return [select(array, rows) for array in arrays for rows in drawn]
