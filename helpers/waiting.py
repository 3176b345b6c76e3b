"""How far long work is: a line for whoever watches it, and nothing for whoever does not."""

import os
import sys

from tqdm import tqdm

DELAY = 2  # seconds: what is done sooner shows nothing


def steps(work, name, unit):
    """Go through the steps of long work, and show how many are done.

    Shown in a notebook that somebody has opened and in a terminal, from the second second on, and
    taken away at the end. Where a notebook is executed from top to bottom by a program (nbval,
    papermill, ``jupyter execute``) nothing is written: outputs stay the same.

    Parameters
    ----------
    work : iterable
        With a length, the line says of how many.
    name : str
        What is done, such as ``"writing"``.
    unit : str
        What the steps are, such as ``"files"``.

    Yields
    ------
    object
        What `work` has, in its order.

    Examples
    --------
    >>> list(steps(range(3), "training", "rounds"))
    [0, 1, 2]
    """
    opened = "JPY_SESSION_NAME" in os.environ  # a Jupyter server gives it to a notebook's kernel
    file = sys.stdout if opened else sys.stderr  # JupyterLab paints stderr red
    if not (opened or file is not None and file.isatty()):
        yield from work
        return
    with tqdm(work, name, delay=DELAY, leave=False, unit=f" {unit}", file=file) as shown:
        yield from shown
