"""helpers.plots: every picture is shown once, with its text, and says what it was given."""

import base64
import io
import math
import re
import subprocess
import sys

import dask.dataframe as dd
import matplotlib.image
import nbconvert
import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbclient import NotebookClient

from helpers.plots import BLUE, GREEN, GREY, ORANGE, bars, lines, panels, show

NAMES = {"xlabel": "size (MiB)", "ylabel": "partition", "title": "A title"}
LABELS = {name: NAMES[name] for name in ("xlabel", "ylabel")}
ALT = 'Two bars: "a" < b & c'


class FakeGpu:
    """No GPU here: an array and a table in one that refuses to become NumPy by itself."""

    __cuda_array_interface__ = {}

    def __init__(self, host):
        self.host = host

    def get(self):
        return np.asarray(self.host)

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to a host array")

    __iter__ = __array__


def some_bars(**more):
    return bars(["a", "b"], [3, 1500], **NAMES | more)


def some_lines(**more):
    series = {"measured": [8.0, 4.4, 2.5], "ideal": [8, 4, 2]}
    return lines([1, 2, 4], series, **NAMES | more)


@pytest.fixture
def shown(monkeypatch):
    """What is sent to the notebook, as a list of (data, metadata)."""
    sent = []

    def display(picture):
        sent.append((*picture._repr_mimebundle_(), repr(picture)))

    monkeypatch.setattr("IPython.display.display", display)
    return sent


def pixels(encoded):
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)), format="png")


# --- show --------------------------------------------------------------------------------------


def test_show_sends_one_png_with_its_text(shown):
    show(some_bars(line=("limit", 1000)), f"  {ALT}\n")
    ((data, metadata, text),) = shown
    image = pixels(data["image/png"])
    assert image.shape[1] == 600 and image.shape[0] > 150
    assert image.min() < 0.5 and (image[0, 0] == 1).all(), "neither blank nor without a background"
    assert len(base64.b64decode(data["image/png"])) < 100 * 1024
    assert metadata == {"image/png": {"alt": ALT}} and text == ALT
    assert data["text/html"].count("<img ") == 1
    assert data["image/png"] in data["text/html"]
    assert 'alt="Two bars: &quot;a&quot; &lt; b &amp; c"' in data["text/html"]


def test_what_is_drawn_is_in_the_png(shown):
    for figure in (some_bars(), some_lines(), bars(["a", "b"], [3, 1400], **NAMES)):
        show(figure, "text")
    first, second, third = (data["image/png"] for data, _, _ in shown)
    blue = np.array([0x25, 0x63, 0xEB]) / 255
    for png in (first, second):
        assert (np.abs(pixels(png)[..., :3] - blue).max(axis=-1) < 0.01).sum() > 100
    assert first != third


def test_show_closes_a_figure_of_pyplot(shown):
    code = (
        "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt\n"
        "from helpers.plots import show\n"
        "plt.plot([1, 2]); figure = plt.gcf(); other = plt.figure(); show(figure, 'a line')\n"
        "print(plt.get_fignums() == [other.number])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == ("a line\nTrue\n", 0), run.stderr


@pytest.mark.parametrize("alt", ["", "  \n", None, 3])
def test_a_picture_without_text_is_refused(shown, alt):
    with pytest.raises(ValueError, match="alt is empty: say in a sentence what the plot shows"):
        show(some_bars(), alt)
    assert not shown


def test_what_is_no_figure_is_refused(shown):
    axes = some_bars().axes[0]
    for bad, name in ((axes, "Axes"), ("plot.png", "str"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"a matplotlib Figure, not {name}.* axes\.figure"):
            show(bad, "text")
    assert not shown


@pytest.fixture(scope="module")
def notebook():
    """Return a notebook that was really executed, with a figure of ours and one of pyplot."""
    ours = f"show(bars(['a'], [1], xlabel='x', ylabel='y', title='t'), {ALT!r})"
    theirs = "import matplotlib.pyplot as plt\nplt.plot([1, 2]); show(plt.gcf(), 'a line')"
    cells = [f"from helpers.plots import bars, show\n{ours}", theirs]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return NotebookClient(book, timeout=120, kernel_name="python3").execute()


def test_a_notebook_shows_each_figure_once(notebook):
    for cell, alt in zip(notebook.cells, (ALT, "a line"), strict=True):
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert output.metadata == {"image/png": {"alt": alt}}
        assert output.data["text/plain"] == alt
        assert pixels(output.data["image/png"]).std() > 0.01


@pytest.mark.parametrize("template", ["lab", "classic", "basic", "reveal"])
def test_exported_pages_have_the_text(notebook, template):
    page, _ = nbconvert.HTMLExporter(template_name=template).from_notebook_node(notebook)
    images = re.findall(r"<img[^>]*>", page)
    assert len(images) == 2
    assert re.search('alt=["\']Two bars: (&quot;|")a(&quot;|") &lt; b &amp; c["\']', images[0])
    assert 'alt="a line"' in images[1]


def test_a_page_that_takes_only_the_png_has_the_text(notebook):
    """nbconvert's classic template reads the metadata of image/png."""
    bare = nbformat.from_dict(notebook)
    (output,) = bare.cells[1].outputs
    only = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output.copy()])])
    only.cells[0].outputs[0].data = {"image/png": output.data["image/png"]}
    page, _ = nbconvert.HTMLExporter(template_name="classic").from_notebook_node(only)
    assert 'alt="a line"' in re.search(r"<img[^>]*>", page).group()


# --- bars --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
@example(list(range(20)))
@example(list(range(45)))
def test_one_bar_per_value(values):
    axes = bars(range(len(values)), values, **NAMES).axes[0]
    assert [bar.get_width() for bar in axes.patches] == values
    assert axes.yaxis_inverted(), "the first bar is on top"
    named = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert named == axes.get_yticks().tolist() and 1 <= len(named) <= 20
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == ([f"{v:,}" for v in values] if len(values) <= 20 else [])


def test_bars_says_what_it_was_told():
    axes = some_bars(line=("mean", 1280)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left")) == tuple(NAMES.values())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    (line,) = axes.lines
    assert set(line.get_xdata()) == {1280} and line.get_label() == "mean: 1,280"
    assert [text.get_text() for text in axes.figure.legends[0].texts] == ["mean: 1,280"]
    low, high = axes.get_xlim()
    assert low <= 0 and high > 1500
    assert not some_bars().axes[0].lines and not some_bars().legends


def test_the_line_is_in_sight():
    low, high = some_bars(line=("limit", 5000)).axes[0].get_xlim()
    assert low <= 5000 <= high


def test_a_number_is_read_where_the_line_crosses_it():
    axes = some_bars(line=("mean", 1600)).axes[0]
    (line,) = axes.lines
    for number in axes.texts:
        assert number.get_path_effects() and number.get_zorder() > line.get_zorder()


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2]),
        np.array([1, 2]),
        FakeGpu([1, 2]),
        dd.from_pandas(pd.Series([1, 2]), npartitions=2),
    ],
)
def test_series_and_arrays_of_every_kind(values):
    for labels in (pd.Series(["EWR", "JFK"]), FakeGpu(["EWR", "JFK"])):
        axes = bars(labels, values, **NAMES).axes[0]
        assert [bar.get_width() for bar in axes.patches] == [1, 2]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["EWR", "JFK"]
    axes = lines(values, {"a": values}, **NAMES).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("labels", "values", "line", "message"),
    [
        (["a"], [1, 2], None, "labels has 1, values has 2"),
        ([], [], None, "values must be a list of numbers, at least one"),
        (["a"], ["1"], None, "values must be a list of numbers"),
        (["a"], [None], None, "values must be a list of numbers"),
        (["a"], [[1]], None, "values must be a list of numbers"),
        (["a"], 1, None, "values must be a list of numbers"),
        (["a"], [math.nan], None, "values must be finite"),
        (["a"], [math.inf], None, "values must be finite"),
        (["a"], [1], ("mean", math.nan), "line must be a name and a finite number"),
        (["a"], [1], ("limit", "128 MiB"), "line must be a name and a finite number"),
        (["a"], [1], ("", 3), "line must be a name"),
        (["a"], [1], ("mean",), "line must be a name"),
        (["a"], [1], {"mean": 3}, "line must be a name"),
        (["a"], [1], 1280, "line must be a name"),
    ],
)
def test_bars_refuses(labels, values, line, message):
    with pytest.raises(ValueError, match=message):
        bars(labels, values, line=line, **NAMES)


# --- lines -------------------------------------------------------------------------------------


def test_lines_draws_what_it_was_told():
    axes = some_lines().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left")) == tuple(NAMES.values())
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {
        "measured": [[1, 8], [2, 4.4], [4, 2.5]],
        "ideal": [[1, 8], [2, 4], [4, 2]],
    }
    assert [text.get_text() for text in axes.figure.legends[0].texts] == ["measured", "ideal"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_every_curve_looks_different():
    axes = lines([1, 2], {f"curve {i}": [i, i] for i in range(8)}, **NAMES).axes[0]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len({line.get_marker() for line in axes.lines}) == 8
    assert [line.get_linestyle() for line in axes.lines] == ["-"] * 4 + ["--"] * 4
    assert {to_hex(line.get_color()) for line in axes.lines} == {BLUE, GREEN, ORANGE, GREY}


@pytest.mark.parametrize(("logx", "logy"), [(True, False), (False, True), (True, True)])
def test_logarithmic_axes(logx, logy):
    axes = some_lines(logx=logx, logy=logy).axes[0]
    assert axes.get_xscale() == ("log" if logx else "linear")
    assert axes.get_yscale() == ("log" if logy else "linear")
    if logx:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1e-6, 1e12), min_size=2, max_size=12, unique=True))
def test_a_logarithmic_axis_has_ticks_to_read(values):
    axes = lines(range(len(values)), {"a": values}, logy=True, **NAMES).axes[0]
    low, high = axes.get_ylim()
    assert low <= min(values) and max(values) <= high
    ticks = axes.get_yticks()
    assert 2 <= len(ticks) <= 8 and (ticks > 0).all()


@pytest.mark.parametrize(
    ("x", "labels"),
    [([1e4, 1e6, 1e7], ["10k", "1M", "10M"]), ([0.25, 1500, 2.5e9], ["0.25", "1,500", "2.5G"])],
)
def test_large_numbers_are_short(x, labels):
    axes = lines(x, {"a": [1, 2, 3]}, logx=True, **NAMES).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == labels


def test_counts_have_whole_ticks():
    ticks = some_lines().axes[0].get_xticks()
    assert len(ticks) >= 3 and all(float(tick).is_integer() for tick in ticks)


def test_a_gap_stays_a_gap():
    axes = lines([1, 2, 3], {"a": [1, math.nan, 3]}, logy=True, **NAMES).axes[0]
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("x", "series", "logs", "message"),
    [
        ([1, 2, 3], {"a": [1, 2, 3], "b": [1, 2]}, {}, "x has 3, series 'b' has 2"),
        ([], {"a": []}, {}, "x must be a list of numbers, at least one"),
        ([1, math.nan], {"a": [1, 2]}, {}, "x must be finite"),
        ([1, 2], {"a": [1, math.inf]}, {}, "series 'a' must be finite"),
        ([1, 2], {"a": [math.nan, math.nan]}, {}, "series 'a' must be finite"),
        ([1, 2], {"a": ["1", "2"]}, {}, "series 'a' must be a list of numbers"),
        ([1, 2], {}, {}, "series must be a dict of one to 8 curves"),
        ([1, 2], [1, 2], {}, "series must be a dict"),
        ([1], {str(i): [1] for i in range(9)}, {}, "series must be a dict of one to 8 curves"),
        ([0, 1], {"a": [1, 2]}, {"logx": True}, "logx=True needs numbers above 0, not 0"),
        ([1, 2], {"a": [math.nan, -1]}, {"logy": True}, "logy=True needs numbers above 0, not -1"),
    ],
)
def test_lines_refuses(x, series, logs, message):
    with pytest.raises(ValueError, match=message):
        lines(x, series, **logs, **NAMES)


# --- both --------------------------------------------------------------------------------------


def some_panels():
    figure, drawn = panels([f"After {n} iterations" for n in (1, 2, 3)], columns=2, **LABELS)
    for axes in drawn:
        axes.plot([1, 2], [2, 1], label="measured")
    figure.legend(loc="outside lower center", fontsize=12)
    return figure


@pytest.mark.parametrize(
    "figure",
    [some_bars(line=("limit", 1000)), some_lines(logx=True, logy=True), some_panels()],
)
def test_every_text_is_large_enough_and_inside(figure):
    assert type(figure) is Figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert len(texts) >= 8
    for text in texts:
        assert text.get_fontsize() >= 11, text
    for text in [figure.axes[0].title, *figure.axes[0].texts, *figure.legends[0].texts]:
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1, text


def test_panels_look_as_the_other_figures_do():
    figure, drawn = panels(["a", "b", "c"], columns=2, **LABELS)
    assert figure.axes == drawn
    assert [axes.get_xlabel() for axes in drawn] == ["", LABELS["xlabel"], LABELS["xlabel"]]
    assert [axes.get_ylabel() for axes in drawn] == [LABELS["ylabel"], "", LABELS["ylabel"]]
    for axes in (*drawn, *some_lines().axes, *some_bars().axes):
        assert not axes.spines["top"].get_visible() and axes.get_axisbelow()
        assert {text.get_fontsize() for text in axes.get_xticklabels()} == {12}
    for wrong in ([], "a title"):
        with pytest.raises(ValueError, match="titles must be a list"):
            panels(wrong)


def test_a_long_title_is_wrapped():
    title = "A title that is a good deal too long for one line of a narrow figure"
    figure = some_bars(title=title)
    drawn = figure.axes[0].get_title("left")
    assert drawn.replace("\n", " ") == title and "\n" in drawn


def test_importing_it_leaves_pyplot_alone():
    code = "import sys, helpers.plots; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == ("False\n", 0), run.stderr


def test_a_long_label_is_inside_the_picture():
    words = {"xlabel": "round", "ylabel": "accuracy, mean of airports and seeds", "title": "Title"}
    figure = lines([1, 2], {name: [1, 2] for name in "abcdef"}, **words)
    FigureCanvasAgg(figure).draw()
    label = figure.axes[0].yaxis.label.get_window_extent()
    assert figure.bbox.y0 <= label.y0 and label.y1 <= figure.bbox.y1
