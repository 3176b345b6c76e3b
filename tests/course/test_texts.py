"""The texts of the lessons: numbers that a cell shows, words that were explained, fair questions.

What a sentence means, no test knows. These find what readers stumbled over most often: a number
that no output has, a term that a later lesson explains, and right answers in one place.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.course.test_lessons import LESSONS, OPTIONAL, by_name, without_optional
from tests.notebook_format import CHOICE, FENCE, QUESTION, SUMMARY, output_text, read

# What is no prose: code blocks, code words, alternative texts and targets of links, HTML.
NOT_PROSE = re.compile(r"`[^`]*`|!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|<[^>]+>")
NUMBER = re.compile(r"(?<![\w.,])(?!0\d\.)(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?![\w]|[.,]\d)")
# A library's name and then a number is a version.
VERSION = re.compile(
    r"\b(?:Python|RAPIDS|cuML|cuDF|CuPy|CUDA|Dask|dask-ml|scikit-learn|pandas|NumPy|skops|joblib|"
    r"papermill|Debian|OpenSSL)(?:'s)? \d+(?:\.\d+)+"
)

# Numbers that come from elsewhere, and from where.
SOURCES = {
    "00": {
        "26.10": "RAPIDS' version, pinned in pyproject.toml",
        "3.12": "the Python versions of pyproject.toml",
        "3.13": "the Python versions of pyproject.toml",
        "7.5": "NVIDIA's platform support, linked beside it",
        "1.609344": "the mile in kilometres, by definition",
    },
    "01": {"2,147,483,647": "the largest int32, by definition"},
    "03": {
        "2.0": "the default of oversampling_factor, in helpers.kmeans and in cuML's documentation",
        "32,768": "the default of max_samples_per_batch in cuML's documentation",
        "8,192": "the default of max_samples_per_batch in helpers.kmeans",
    },
    "04": {"26.10": "cuML's version, pinned in pyproject.toml"},
    "07": {
        "1.10": "scikit-learn's deprecation warning",
        "0.69": "log 2, what a forecast of one half costs",
        "7.45": "10,000,000 rows of 100 columns of 8 bytes, in GiB",
    },
    "08": {
        "0.60": "a default of distributed's worker.memory",
        "0.70": "a default of distributed's worker.memory",
        "0.80": "a default of distributed's worker.memory",
        "0.95": "a default of distributed's worker.memory",
    },
}

# Each term and the lesson that introduces it, in bold.
TERMS = {
    "cluster": "00",
    "scheduler": "00",
    "worker": "00",
    "nanny": "00",
    "client": "00",
    "task": "00",
    "future": "00",
    "scatter": "00",
    "pure": "00",
    "node": "00",
    "TLS": "00",
    "null mask": "01",
    "Parquet": "01",
    "partition": "02",
    "chunk": "01",
    "lazy": "02",
    "graph": "02",
    "persist": "02",
    "meta": "02",
    "glob": "02",
    "shuffle": "02",
    "skew": "02",
    "row group": "02",
    "centroid": "03",
    "inertia": "03",
    "k-means||": "03",
    "adjusted Rand index": "03",
    "silhouette": "03",
    "homogeneity": "03",
    "combined model": "04",
    "joblib": "04",
    "actor": "08",
}

# Each name that code cells use without an explanation of their own, and the lesson whose text
# explains it.
NAMES = {
    "wait": "00",
    "gather": "00",
    "has_what": "00",
    "who_has": "00",
    "upload_file": "00",
    "futures_of": "02",
    "get_task_stream": "02",
    "key_split": "02",
    "map_partitions": "02",
    "from_delayed": "02",
    "get_worker": "02",
    "log_event": "02",
    "quiet_workers": "00",
    "to_delayed": "03",
    "dask_worker": "03",
    "delayed": "03",
    "dask_scheduler": "04",
    "stream_comms": "04",
    "map_blocks": "04",
    "as_completed": "04",
    "run_on_scheduler": "00",
}


# Taking a lesson apart


def prose(cell: NotebookNode) -> str:
    """Return the sentences of a Markdown cell that say something; one that asks may guess."""
    text = NOT_PROSE.sub(" ", FENCE.sub(" ", cell.source))
    return re.sub(r"(?:[^.?!\n]|[.](?=\d))*[?]", " ", text)


def explaining(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the Markdown cells between the title and the quick questions, which invent numbers."""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown" and not QUESTION.search(cell.source):
            yield cell


def shown(notebook: NotebookNode) -> str:
    """Return all code and all outputs, without the commas in numbers."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = [text for cell in code for text in (cell.source, output_text(cell.outputs))]
    return re.sub(r"(?<=\d)[,_](?=\d{3})", "", "\n".join(texts))


# Numbers


def numbers_from_nowhere(notebook: NotebookNode, sources: dict[str, str]) -> list[str]:
    """Return the numbers in sentences that no code and no output of the lesson has."""
    there = shown(notebook)
    missing = []
    for cell in explaining(notebook):
        for number in NUMBER.findall(VERSION.sub(" ", prose(cell))):
            bare = re.escape(number.replace(",", ""))
            if number not in sources and not re.search(rf"(?<![\d.]){bare}(?!\d|\.\d)", there):
                missing.append(number)
    return missing


@by_name(LESSONS)
def test_a_number_in_a_text_is_shown_by_a_cell(path):
    sources = SOURCES.get(path.name[:2], {})
    assert numbers_from_nowhere(read(path), sources) == []


def test_a_source_is_listed_only_for_a_number_that_needs_it():
    for path in LESSONS:
        for number, where in SOURCES.get(path.name[:2], {}).items():
            assert where and number in "\n".join(map(prose, explaining(read(path)))), number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("That is 0.25 of 1,500 rows.", []),
        ("That is 0.26 of 1,501 rows.", ["0.26", "1,501"]),
        ("It is 10.25 or 0.2 or 500.", ["10.25", "0.2"]),
        ("In `0.26`, in [a link](https://a.b/0.26) and ![1,501 dots](a.svg).", []),
        ("```python\nx = 0.26\n```", []),
        ("With scikit-learn 1.9 and Python 3.12, or version 2026.7.1.", []),
        ("Is it 0.26? Or 1,501 of 0.27, if at all? No.", []),
        ("It is 0.26. Why?", ["0.26"]),
        ("### Question 1\n\nIt is 0.26.", []),
        ("The source has 0.99.", []),
    ],
)
def test_a_number_from_nowhere_is_found(text, found):
    output = new_output("stream", name="stdout", text="share 0.25\n")
    cells = [new_markdown_cell("# 01 Takes 9.9 minutes"), new_markdown_cell(text)]
    cells.append(new_code_cell("print(share(1_500))", outputs=[output]))
    assert numbers_from_nowhere(new_notebook(cells=cells), {"0.99": "a source"}) == found


# Terms


def paragraphs(cell: NotebookNode) -> list[str]:
    """Return the paragraphs of a text, without headings, code blocks and alternative texts."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)", " ", FENCE.sub(" ", cell.source))
    return [part for part in text.split("\n\n") if not part.startswith("#")]


def bold(term: str, text: str) -> bool:
    """Return whether a text has a term in bold: there it is introduced."""
    return any(word(term).search(mark) for mark in re.findall(r"\*\*[^*]+\*\*", text))


def word(term: str) -> re.Pattern:
    """Return what finds a term and its plural."""
    return re.compile(rf"(?<![\w-]){re.escape(term)}(?:e?s|ed)?(?![\w-])", re.IGNORECASE)


def unexplained(term: str, notebook: NotebookNode) -> str | None:
    """Return the paragraph that uses a term before the lesson has introduced it.

    The title's cell may use it. A paragraph that points at another lesson may, too.
    """
    if any(bold(term, text) for text in paragraphs(notebook.cells[0])):
        return None
    for text in (text for cell in explaining(notebook) for text in paragraphs(cell)):
        if bold(term, text):
            return None
        if word(term).search(re.sub(r"`[^`]*`", "", text)) and not re.search("(?i)lesson", text):
            return text
    return None


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_used_where_it_has_been_explained(term):
    until = TERMS[term]
    for path in LESSONS:
        if path.name[:2] <= until:
            assert unexplained(term, read(path)) is None, f"{path.name} uses {term!r}"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_introduced_by_its_lesson(term):
    (path,) = (path for path in LESSONS if path.name[:2] == TERMS[term])
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert any(bold(term, text) for text in texts), f"{path.name} has no **{term}**"


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ("A **partition** is a piece. Partitions differ.", False),
        ("Each partition is small.\n\nA **partition** is a piece.", True),
        ("Partitions are small.", True),
        ("Partitions are the subject of lesson 02.", False),
        ("Call `partition(x)` and see.", False),
        ("A repartition, partitioning and partition-wise work.", False),
        ("![A partition](a.svg)\n\n## A partition\n\n```\npartition\n```", False),
    ],
)
def test_an_early_use_is_found(text, early):
    notebook = new_notebook(cells=[new_markdown_cell("# 01 Partition"), new_markdown_cell(text)])
    assert (unexplained("partition", notebook) is not None) == early


def first_use(name: str, notebook: NotebookNode) -> int | None:
    """Return the number of the first code cell that uses a name."""
    for number, cell in enumerate(notebook.cells):
        work = re.sub(r"(?m)^(?:from|import) .*", "", cell.source)
        if cell.cell_type == "code" and re.search(rf"\b{name}\b", work):
            return number
    return None


def explained(name: str, cells: list[NotebookNode]) -> bool:
    """Return whether a text has a name as code."""
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return any(re.search(rf"`[^`]*\b{name}\b[^`]*`", FENCE.sub("", text)) for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_used_where_it_has_been_explained(name):
    for path in LESSONS:
        if path.name[:2] <= NAMES[name]:
            notebook = read(path)
            used = first_use(name, notebook)
            early = used is not None and not explained(name, notebook.cells[: used + 2])
            assert not early, f"{path.name}, cell {used + 1}: uses {name} before a text explains it"


def test_a_name_before_its_explanation_is_found():
    cells = [new_markdown_cell("# 01"), new_code_cell("wait(x)"), new_markdown_cell("So `wait(f)`")]
    cells.insert(1, new_code_cell("from distributed import wait"))
    assert first_use("wait", new_notebook(cells=cells)) == 2
    assert explained("wait", cells) and not explained("wait", cells[:3])
    assert first_use("wait", new_notebook(cells=[new_code_cell("await_x, waiting")])) is None


# Questions


def right_places(notebook: NotebookNode) -> list[int]:
    """Return where the right choice of each question stands, counted from 1."""
    places = []
    for cell in notebook.cells:
        for _, body in QUESTION.findall(FENCE.sub("", cell.source)):
            choices = [SUMMARY.match(choice) for choice in CHOICE.findall(body)]
            right = [n for n, c in enumerate(choices, 1) if c and re.match(r"\W*Right\b", c[2])]
            assert len(right) == 1, f"{len(right)} choices begin with Right:{body}"
            places += right
    return places


def is_spread(places: list[int]) -> bool:
    """Return whether no place is right in more than half of the questions, and each is once."""
    counts = Counter(places)
    return 2 * max(counts.values()) <= len(places) + 1 and set(counts) >= {1, 2, 3}


@by_name(LESSONS)
def test_right_answers_stand_in_different_places(path):
    places = right_places(read(path))
    assert is_spread(places), f"{path.name}: {places}: put some choices into another order"


def test_answers_in_one_place_are_found():
    assert is_spread([1, 2, 3, 2, 1]) and is_spread([2, 2, 2, 1, 3])
    assert not is_spread([2, 2, 2, 2, 1, 3]) and not is_spread([1, 2, 1, 2])
    choices = [f"<details><summary>{n}</summary>\n{n}.\n</details>" for n in ("No", "Right")]
    question = new_markdown_cell("\n".join(["### Question 1", *choices]))
    assert right_places(new_notebook(cells=[question])) == [2]


# Minutes


def minutes(notebook: NotebookNode) -> float:
    """Estimate how long a lesson takes: 180 words a minute, 20 seconds for a line of code.

    That is what readers needed who saw the first lessons for the first time, predictions included.
    """
    words = sum(len(prose(cell).split()) for cell in notebook.cells if cell.cell_type == "markdown")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return words / 180 + sum(bool(line.strip()) for line in "\n".join(code).splitlines()) / 3


def said_minutes(notebook: NotebookNode) -> list[int]:
    """Return what the title's cell says: minutes of the core, and of the rest if there is one."""
    found = re.search(
        r"about (\d+) minutes to read(?:.*?, (\d+) more with what is \*optional\*)?",
        notebook.cells[0].source,
    )
    return [int(number) for number in found.groups() if number] if found else []


SAYS_MINUTES = [path for path in LESSONS if said_minutes(read(path))]


@by_name(SAYS_MINUTES)
def test_the_time_in_the_header_is_computed(path):
    notebook = read(path)
    core = minutes(without_optional(notebook))
    right = [core, minutes(notebook) - core] if path in OPTIONAL else [core]
    said = said_minutes(notebook)
    assert said == pytest.approx(right, abs=3), f"{path.name}: write {right}, rounded to fives"


def test_minutes_of_words_and_code():
    words = new_markdown_cell("word " * 360)
    code = new_code_cell("x = 1\n\ny = 2\nprint(x)")
    assert minutes(new_notebook(cells=[words, code])) == 3
    header = "# 01\n\n**Time**: about 75 minutes to read and run, 20 more with what is *optional*"
    assert said_minutes(new_notebook(cells=[new_markdown_cell(header)])) == [75, 20]
    assert said_minutes(new_notebook(cells=[new_markdown_cell(header[:50])])) == [75]


# What a plot says to who cannot see it


def stale_texts(notebook: NotebookNode) -> Iterator[str]:
    """Yield alternative texts of plots that the stored output does not have."""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "show(" not in cell.source:
            continue
        shown = " ".join(
            output.data.get("text/plain", "") for output in cell.outputs if "data" in output
        )
        for call in ast.walk(ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.M))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "show":
                said = call.args[1]
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                words = [part.value for part in parts if isinstance(part, ast.Constant)]
                yield from (text for text in words if text not in shown)


@by_name(LESSONS)
def test_a_plots_text_is_the_one_of_the_code(path):
    """nbval ignores plots that show times: a text that was changed later would stay as it was."""
    assert list(stale_texts(read(path))) == []


def test_a_stale_text_is_found():
    output = new_output("display_data", {"text/plain": "A curve that rises."})
    cell = new_code_cell('show(figure, "A curve that falls.")', outputs=[output])
    assert list(stale_texts(new_notebook(cells=[cell]))) == ["A curve that falls."]
    cell.source = 'show(figure, f"A curve that {what}.")'
    assert list(stale_texts(new_notebook(cells=[cell]))) == []


# What is timed in this process


@by_name(LESSONS)
def test_libraries_are_loaded_before_the_workers_start(path):
    """Dask lets what is loaded after its workers start use one thread: no fair comparison."""
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    cluster = re.search(r"^client = start_cluster\(", code, flags=re.M)
    loads = re.search(r"^.*\bml = .*\bbackend\.ml\b", code, flags=re.M)
    assert not (loads and cluster) or loads.start() < cluster.start()
