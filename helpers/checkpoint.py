"""A checkpoint of `helpers.federated`: a few arrays in one file, all of them or nothing."""

import os
from pathlib import Path

import numpy as np

from helpers.data import replace_file


def write_checkpoint(path, state):
    """Write arrays by their names, in the place of the file that was there.

    Parameters
    ----------
    path : str or path
    state : dict of str to array
        Of numbers or text.

    Raises
    ------
    OSError
        If the file cannot be written; the one before is still there then.
    """

    def write(new):
        with open(new, "wb") as file:
            np.savez(file, allow_pickle=False, **state)
            file.flush()
            os.fsync(file.fileno())

    replace_file(Path(path), write)


def read_checkpoint(path, names):
    """Read what `write_checkpoint` wrote. Nothing in the file is run.

    Parameters
    ----------
    path : str or path
    names : iterable of str
        Arrays that have to be there.

    Returns
    -------
    dict of str to numpy.ndarray

    Raises
    ------
    ValueError
        If it is another file, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            state = dict(file)
        if missing := sorted(set(names) - set(state)):
            raise ValueError(f"it has no {', '.join(missing)}")
        return state
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint of a federation: {error}") from None
