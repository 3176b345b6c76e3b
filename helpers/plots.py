"""The few figures that lessons share, and `show`, which gives every picture its text.

Figures are made without pyplot: they need no display and leave no state behind.
"""

import html
import io
import math
import sys
import textwrap
from base64 import b64encode
from numbers import Real

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from PIL import Image

from helpers.backend import to_host

BLUE, GREEN, ORANGE, GREY = "#2563eb", "#4d7c0f", "#c2410c", "#475569"  # see CONTRIBUTING.md
DPI = 100
SMALL, TEXT, LARGE = 12, 13, 14  # points; the figure is 6 inches wide, a phone shows 60 % of it
STYLES = [  # a curve is told by its marker and its dashes, not by its colour alone
    (color, marker, dash)
    for dash, markers in (("-", "os^D"), ("--", "vPX*"))
    for color, marker in zip((BLUE, ORANGE, GREY, GREEN), markers, strict=True)
]
NAMED_BARS = 20  # more bars than this get no numbers, and not each its name


class _Picture:
    """A PNG with a text for those who do not see it, in every form that a page may choose from."""

    def __init__(self, png, alt):
        self.png, self.alt = png, alt

    def __repr__(self):
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        # JupyterLab, MyST-NB and nbconvert's template "lab" drop a PNG's alt text; all show HTML.
        # nbconvert's templates "classic" and "basic" read metadata["image/png"]["alt"].
        data = b64encode(self.png).decode()
        alt = html.escape(self.alt)
        image = f'<img src="data:image/png;base64,{data}" alt="{alt}" style="max-width: 100%">'
        return {"text/html": image, "image/png": data}, {"image/png": {"alt": self.alt}}


def show(figure, alt):
    """Show a figure once, as a PNG with alternative text, and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What the plot shows, for readers who cannot see it. Outside a notebook it is printed.

    Raises
    ------
    TypeError
        If `figure` is not a figure.
    ValueError
        If `alt` is empty.

    Examples
    --------
    >>> show(bars(["May", "June"], [3, 4], xlabel="flights", ylabel="month", title="Late"),
    ...      "Two bars: 3 flights in May, 4 in June.")
    Two bars: 3 flights in May, 4 in June.
    """
    if not isinstance(figure, Figure):
        raise TypeError(
            f"show takes a matplotlib Figure, not {type(figure).__name__}; "
            "pass the figure itself: axes.figure, or plt.gcf() after plt.plot(...)"
        )
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt is empty: say in a sentence what the plot shows")
    from IPython.display import display

    drawn, png = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    # A palette of 64 colours makes it a third of the size, and nobody sees the difference.
    Image.open(drawn).convert("RGB").quantize(64).save(png, "PNG", optimize=True)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)  # or a notebook shows it once more at the end of the cell
    display(_Picture(png.getvalue(), " ".join(alt.split())))


def bars(labels, values, *, xlabel, ylabel, title, line=None):
    """Draw one horizontal bar per label, the first on top: sizes of partitions, say.

    Parameters
    ----------
    labels : sequence of n names
    values : sequence of n finite numbers
    xlabel, ylabel, title : str
        `xlabel` says what the length of a bar is, with its unit; `ylabel` what a bar is.
    line : tuple of (str, float), optional
        Name and place of a vertical line, both written into the legend: ``("mean", 110)``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = bars(["0", "1"], [90, 140], line=("limit", 128),
    ...               xlabel="size (MiB)", ylabel="partition", title="One partition is too big")
    >>> len(figure.axes[0].patches)
    2
    """
    labels = [str(label) for label in to_host(labels)]
    values = _numbers(values, "values")
    name, place = _named(line) if line is not None else (None, None)
    if len(labels) != len(values):
        raise ValueError(f"lengths differ: labels has {len(labels)}, values has {len(values)}")
    n = len(values)
    height = min(1.6 + 0.32 * n, 8)
    _, (axes,) = panels([title], xlabel=xlabel, ylabel=ylabel, height=height)
    axes.grid(axis="y", visible=False)
    drawn = axes.barh(range(n), values, color=BLUE)
    places = range(0, n, math.ceil(n / NAMED_BARS))
    axes.set_yticks(places, [labels[i] for i in places])
    axes.invert_yaxis()
    axes.margins(x=0.2)  # room for the numbers
    _ticks(axes.xaxis, values, False)
    # A white edge: the line is seen on a bar, and a number where the line crosses it.
    outline = {"path_effects": [withStroke(linewidth=5, foreground="white")]}
    if n <= NAMED_BARS:
        numbers = [f"{value:,.8g}" for value in values]
        axes.bar_label(drawn, numbers, padding=3, fontsize=SMALL, **outline)
    if name:
        style = {"color": GREY, "linestyle": "--", "linewidth": 2}
        axes.axvline(place, label=f"{name}: {place:,.8g}", **style, **outline)
        axes.figure.legend(loc="outside lower right", fontsize=SMALL, frameon=False)
    return axes.figure


def lines(x, series, *, xlabel, ylabel, title, logx=False, logy=False):
    """Draw measured curves over the same x, each point marked.

    Parameters
    ----------
    x : sequence of n numbers
    series : dict of str to sequence of n numbers
        One curve per entry, up to eight. A NaN leaves a gap: not measured.
    xlabel, ylabel, title : str
    logx, logy : bool
        Logarithmic axes, for numbers above 0. Up to six values of x on a logarithmic axis are
        its ticks.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = lines([1, 2, 4], {"measured": [8.0, 4.4, 2.5], "ideal": [8, 4, 2]}, logx=True,
    ...                xlabel="workers", ylabel="seconds", title="Twice the workers, half the time")
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['measured', 'ideal']
    """
    if not isinstance(series, dict) or not 1 <= len(series) <= len(STYLES):
        raise ValueError(f'series must be a dict of one to {len(STYLES)} curves: {{"name": [...]}}')
    x = _numbers(x, "x")
    curves = {name: _numbers(y, f"series {name!r}", gaps=True) for name, y in series.items()}
    for name, y in curves.items():
        if len(y) != len(x):
            raise ValueError(f"lengths differ: x has {len(x)}, series {name!r} has {len(y)}")
    every_y = [value for y in curves.values() for value in y]
    for name, logarithmic, values in (("x", logx, x), ("y", logy, every_y)):
        if logarithmic and np.nanmin(values) <= 0:
            raise ValueError(f"log{name}=True needs numbers above 0, not {np.nanmin(values):g}")
    _, (axes,) = panels([title], xlabel=xlabel, ylabel=ylabel)
    for (name, y), (color, marker, dash) in zip(curves.items(), STYLES, strict=False):
        style = {"color": color, "marker": marker, "linestyle": dash}
        axes.plot(x, y, label=str(name), linewidth=2, markersize=7, **style)
    _ticks(axes.xaxis, x, logx)
    _ticks(axes.yaxis, every_y, logy)
    if logx and len(set(x)) <= 6:
        axes.set_xticks(sorted(set(x)))
    axes.figure.legend(loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return axes.figure


def panels(titles, *, columns=1, xlabel="", ylabel="", height=4):
    """Make a figure with empty axes, in the style of the course, for a plot of your own.

    Parameters
    ----------
    titles : list of n str
        One for each panel, row by row.
    columns : int
        How many panels stand side by side; a last row may have fewer.
    xlabel, ylabel : str
        Of the panels at the bottom and of those on the left.
    height : float
        Of the figure, in inches; it is 6 inches wide.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of n matplotlib.axes.Axes

    Examples
    --------
    >>> figure, (left, right) = panels(["before", "after"], columns=2, xlabel="x", height=3)
    >>> _ = left.plot([1, 2], color=BLUE), right.plot([2, 1], color=ORANGE)
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['before', 'after']
    """
    if isinstance(titles, str) or not len(titles):
        raise ValueError(f"titles must be a list with one text for each panel, not {titles!r}")
    figure = Figure(figsize=(6, height), dpi=DPI, layout="constrained")
    rows = math.ceil(len(titles) / columns)
    drawn = [figure.add_subplot(rows, columns, n + 1) for n in range(len(titles))]
    for n, (axes, title) in enumerate(zip(drawn, titles, strict=True)):
        if n + columns >= len(titles):
            axes.set_xlabel(xlabel, fontsize=TEXT)
        if n % columns == 0:  # a longer line would be cut off
            axes.set_ylabel(textwrap.fill(ylabel, 24), fontsize=TEXT)
        text = textwrap.fill(title, 48 // columns)
        axes.set_title(text, fontsize=LARGE if columns == 1 else TEXT, loc="left")
        axes.tick_params(which="both", labelsize=SMALL)
        axes.grid(color="#cbd5e1", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_offset_text().set_fontsize(SMALL)
    return figure, drawn


def _ticks(axis, values, logarithmic):
    low, high = np.nanmin(values), np.nanmax(values)
    if logarithmic:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_ticks(_log_ticks(low, high))
        axis.set_ticks([], minor=True)
    elif all(float(value).is_integer() for value in values):
        axis.get_major_locator().set_params(integer=True)
    if logarithmic or high >= 10_000:
        axis.set_major_formatter(lambda value, _: _short(value))


def _log_ticks(low, high):
    """Powers of ten, or 1, 2, 5, 10, or evenly spaced numbers: the first that gives three ticks."""
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ([1], [1, 2, 5]):
        ticks = np.outer(decades, steps).ravel()
        ticks = ticks[(low <= ticks) & (ticks <= high)]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 8)]
    ticks = MaxNLocator(4).tick_values(low, high)
    return ticks[ticks > 0]


def _numbers(values, name, gaps=False):
    array = np.asarray(to_host(values))
    if array.ndim != 1 or array.dtype.kind not in "biuf" or not len(array):
        raise ValueError(f"{name} must be a list of numbers, at least one")
    if np.isinf(array).any() or (np.isnan(array).all() if gaps else np.isnan(array).any()):
        raise ValueError(f"{name} must be finite: drop or replace NaN and infinity first")
    return array.astype(float).tolist()


def _named(line):
    """Return name and place of a line that is to be drawn."""
    right = isinstance(line, tuple) and len(line) == 2 and str(line[0]).strip()
    if not right or not isinstance(line[1], Real) or not math.isfinite(line[1]):
        raise ValueError(f'line must be a name and a finite number, ("mean", 110), not {line!r}')
    return str(line[0]), float(line[1])


def _short(value):
    """Write a number for an axis: 0.125, 42, 1,500, 20k, 3M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 10_000):
            return f"{value / size:.3g}{unit}"
    return f"{value:,.4g}"
