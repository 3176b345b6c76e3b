"""The form that every notebook and Markdown page of the course has.

``python -m tests.notebook_format [--fix] [PATH ...]`` prints one line per problem and exits with 1
if there is one. ``--fix`` repairs what needs no judgement. Cells are counted from 1, all kinds.
"""

import argparse
import ast
import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mistune
import nbformat
from nbformat import NotebookNode
from nbformat.validator import iter_validate

from helpers.grading.handout.notebook import canonical, dumps, merged

ROOT = Path(__file__).resolve().parents[1]
# Pages that are copied to another place: their links are tested there.
COPIED = (
    ROOT / "helpers" / "grading" / "handout" / "students.md",
    ROOT / "docs" / "site" / "index.md",
)
CODE = [ROOT / "course", ROOT / "helpers", ROOT / "tests", ROOT / "run.py"]
PARAMETERS = {"backend": "auto", "scheduler": None, "n_workers": 2, "scale": "small"}
LONGEST_CELL = 12  # lines; the style asks for 8
LARGEST_OUTPUT = 100 * 1024  # bytes of JSON
FEWEST_QUESTIONS = 5
# nbval reads both tags and comments; either takes a cell out of the comparison.
NOT_COMPARED = {"nbval-ignore-output", "pytest-validate-ignore-output", "nbval-skip"}

BASE64 = re.compile(r"(?<=;base64,)[\w+/=]+")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
# Where this machine keeps the course and its libraries may be an unusual place.
OWN_PATHS = {str(ROOT), sys.prefix, sys.base_prefix} - {"/usr", "/usr/local"}
OWN = "|".join(map(re.escape, OWN_PATHS))
MACHINE_PATH = re.compile(
    rf"(?<![\w.-])(?:(?:{OWN})(?![\w-])|/(?:home|Users|root|tmp|private)/[\w.-]*|[CD]:\\\w*)"
)
QUESTION = re.compile(
    r"^### Question (\d+)\b(.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE
)
CHOICE = re.compile(r"<details[^>]*>(.*?)</details>", re.DOTALL | re.IGNORECASE)
SUMMARY = re.compile(r"\s*<summary[^>]*>(.*?)</summary>(.*)", re.DOTALL | re.IGNORECASE)


# Reading and writing


def read(path: Path) -> NotebookNode:
    """Return the notebook as it is written, without nbformat's silent repairs."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


def fix(path: Path) -> None:
    """Write a notebook in its canonical form; leave what is no notebook."""
    try:
        text = dumps(canonical(read(path))) if path.suffix == ".ipynb" else None
    except (OSError, ValueError, LookupError, AttributeError):
        return  # the checks say so
    if text and path.read_bytes() != text.encode():
        path.write_text(text, encoding="utf-8", newline="\n")


# Looking at a notebook


def is_lesson(path: Path) -> bool:
    """Return whether this is a lesson, not a solution or an exercise."""
    return path.resolve().parent.name == "course"


def cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the cells of one kind with their numbers."""
    return ((n, cell) for n, cell in enumerate(notebook.cells, 1) if cell.cell_type == kind)


def tags(cell: NotebookNode) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def is_compared(cell: NotebookNode) -> bool:
    """Return whether nbval compares the outputs of this cell."""
    comments = {line.strip().lstrip("# ").strip() for line in cell.source.splitlines()}
    return not (tags(cell) | {text.lower().replace("_", "-") for text in comments}) & NOT_COMPARED


def strings(value: object) -> Iterator[str]:
    """Yield the texts in an output, but not its pictures, whose base64 looks like paths."""
    if isinstance(value, str):
        yield BASE64.sub("", ANSI.sub("", value))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.startswith(("image/png", "image/jpeg")):
                yield from strings(item)


def output_text(outputs: list[NotebookNode]) -> str:
    """Return what a cell printed, displayed and raised, as one text without pictures."""
    parts = []
    for output in merged(copy.deepcopy(outputs)):
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}")
        else:
            others = (text for kind, text in output.data.items() if kind.startswith("text/"))
            parts.append(output.data.get("text/plain") or next(others, ""))
    return BASE64.sub("", "\n".join(part.rstrip("\n") for part in parts))


# Looking at Markdown

_parse = mistune.create_markdown(renderer="ast", plugins=["table"])


def walk(tokens: list[dict]) -> Iterator[dict]:
    """Yield every token of a parsed Markdown text, parents first."""
    for token in tokens:
        yield token
        yield from walk(token.get("children", ()))


def plain(token: dict) -> str:
    """Return the text of a token without its markup."""
    return "".join(part.get("raw", "") for part in walk([token]))


def headings(text: str) -> list[tuple[int, str]]:
    """Return level and text of every heading."""
    found = (token for token in _parse(text) if token["type"] == "heading")
    return [(token["attrs"]["level"], plain(token)) for token in found]


def html_tags(html: str) -> list[tuple[str, dict]]:
    """Return the opening tags of an HTML fragment with their attributes."""
    found, parser = [], HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(html)
    return found


def elements(text: str) -> Iterator[tuple[str, dict]]:
    """Yield links, pictures and HTML tags of a Markdown text, as HTML would have them."""
    for token in walk(_parse(text)):
        if token["type"] == "link":
            yield "a", {"href": token["attrs"]["url"]}
        elif token["type"] == "image":
            yield "img", {"src": token["attrs"]["url"], "alt": plain(token)}
        elif token["type"] in {"block_html", "inline_html"}:
            yield from html_tags(token["raw"])


def anchors(text: str, github: bool = False) -> set[str]:
    """Return what a ``#link`` may point at: headings, as the page's viewer names them, and ids."""
    names = {heading for _, heading in headings(text)}
    if github:
        names = {re.sub(r"[^\w\- ]", "", name.lower()) for name in names}
    ids = {attributes.get("id") for _, attributes in elements(text)}
    return {name.replace(" ", "-") for name in names} | ids


def text_problems(folder: Path, text: str, known: set[str]) -> Iterator[str]:
    """Yield pictures without alt text and links that lead nowhere."""
    for tag, attributes in elements(text):
        target = attributes.get("href" if tag == "a" else "src")
        if tag == "img" and not (attributes.get("alt") or "").strip():
            yield f"the picture {target} has no alt text: say what it shows"
        if tag not in {"a", "img"} or target is None:
            continue
        url = urlsplit(target)
        if url.scheme in {"http", "https", "mailto"}:
            continue
        if not url.path and unquote(url.fragment) not in known:
            yield f"the link {target} has no heading: write its text with - for spaces"
        elif url.path.startswith("/") or not (folder / unquote(url.path)).exists():
            yield f"{target} does not exist beside this file: correct the path"


def check_page(path: Path) -> Iterator[str]:
    """Markdown pages: alt texts and links."""
    text = path.read_text(encoding="utf-8")
    return text_problems(path.parent, text, anchors(text, github=True))


# Checks of every notebook


def check_json(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """The file is what the fixer writes."""
    wanted, clean = canonical(notebook), True
    for n, (cell, other) in enumerate(zip(notebook.cells, wanted.cells, strict=True), 1):
        keys = sorted(key for key in cell.keys() | other.keys() if cell.get(key) != other.get(key))
        if keys:
            clean = False
            yield f"cell {n}: {', '.join(keys)} not in canonical form: run with --fix"
    if clean and path.read_bytes() != dumps(wanted).encode():
        yield "metadata or layout not in canonical form: run with --fix"


def check_errors(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """A cell has an error exactly when it says so."""
    for n, cell in cells(notebook, "code"):
        error = any(output.output_type == "error" for output in cell.outputs)
        tagged = "raises-exception" in tags(cell)
        if error and not tagged:
            yield f"cell {n}: raises an error: repair it or tag it raises-exception"
        if tagged and not error and any(other.outputs for _, other in cells(notebook, "code")):
            yield f"cell {n}: is tagged raises-exception and has no error: execute it or untag it"


def check_output_size(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """No output is too large for a repository."""
    for n, cell in cells(notebook, "code"):
        for output in cell.outputs:
            size = len(json.dumps(output, ensure_ascii=False).encode())
            if size > LARGEST_OUTPUT:
                yield f"cell {n}: an output has {size // 1024} KiB, at most 100 fit: show less"


def check_links(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Pictures have alt texts, links lead somewhere."""
    known = set().union(*(anchors(cell.source) for _, cell in cells(notebook, "markdown")))
    for n, cell in cells(notebook, "markdown"):
        for problem in text_problems(path.parent, cell.source, known):
            yield f"cell {n}: {problem}"
    for n, cell in cells(notebook, "code"):
        for output in cell.outputs:
            for tag, attributes in html_tags(output.get("data", {}).get("text/html", "")):
                if tag == "img" and not (attributes.get("alt") or "").strip():
                    yield f"cell {n}: a picture in its HTML output has no alt text: add it"


def check_headings(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """The title has the file's number; levels go down one at a time."""
    first = notebook.cells[0] if notebook.cells else NotebookNode(cell_type="", source="")
    title = re.match(r"# (\d\d) \S", first.source)
    if path.name[:2].isdigit() and (
        first.cell_type != "markdown" or not title or title[1] != path.name[:2]
    ):
        yield f"cell 1: does not begin with '# {path.name[:2]} Title': write the title there"
    level = 0
    for n, cell in cells(notebook, "markdown"):
        for new, text in headings(cell.source):
            if new > level + 1:
                yield f"cell {n}: heading '{text}' skips a level: use {'#' * (level + 1)}"
            level = new


def check_injected(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """No cell is papermill's."""
    for n, cell in cells(notebook, "code"):
        if "injected-parameters" in tags(cell):
            yield f"cell {n}: was put in by papermill: delete it"


def check_machine_paths(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Nothing names a folder of the author's machine."""
    for n, cell in enumerate(notebook.cells, 1):
        for text in [cell.source, *strings(cell.get("outputs", []))]:
            if found := MACHINE_PATH.search(text):
                yield f"cell {n}: names {found[0]}, a path of one machine: print less of it"
                break


# Checks of lessons


def check_figures(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Plots have alt texts, where nbconvert looks for them."""
    for n, cell in cells(notebook, "code"):
        for output in cell.outputs:
            kinds = [kind for kind in output.get("data", {}) if kind in {"image/png", "image/jpeg"}]
            for kind in kinds:
                about = {**output.metadata, **output.metadata.get(kind, {})}
                if not str(about.get("alt", "")).strip():
                    yield f"cell {n}: its plot has no alt text: end with show(figure, 'text')"


def check_parameters(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """One cell has papermill's parameters, with the values that everyone expects."""
    found = [(n, cell) for n, cell in cells(notebook, "code") if "parameters" in tags(cell)]
    if len(found) != 1:
        yield f"{len(found)} cells are tagged parameters: tag exactly one"
        return
    n, cell = found[0]
    if assignments(cell.source) != PARAMETERS:
        lines = ", ".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
        yield f"cell {n}: the parameters are not exactly {lines}: write these"


def assignments(source: str) -> dict | None:
    """Return the names and values a cell assigns, or None if it does anything else."""
    try:
        return {
            ast.unparse(statement.targets[0]): ast.literal_eval(statement.value)
            for statement in ast.parse(source).body
        }
    except (SyntaxError, ValueError, AttributeError):
        return None


def check_cell_length(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """A code cell is short."""
    for n, cell in cells(notebook, "code"):
        lines = len(cell.source.splitlines())
        if lines > LONGEST_CELL:
            yield f"cell {n}: has {lines} lines, at most {LONGEST_CELL} are read: split it"


def check_semicolon(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """No cell hides its value with a semicolon: nbval runs it where IPython does not see that."""
    for n, cell in cells(notebook, "code"):
        if cell.source.rstrip().endswith(";"):
            yield f"cell {n}: ends with a semicolon, which nbval shows all the same: assign to _"


def check_compared(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Two thirds of what is printed is verified."""
    printing = [cell for _, cell in cells(notebook, "code") if cell.outputs]
    ignored = sum(not is_compared(cell) for cell in printing)
    if not printing:
        yield "no cell has outputs: execute it"
    elif 3 * ignored > len(printing):
        yield (
            f"{ignored} of {len(printing)} printing cells are not compared, "
            "at most a third may be: print something stable"
        )


def check_questions(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Quick questions explain every choice; a question and its choices stand in one cell."""
    numbers = []
    for n, cell in cells(notebook, "markdown"):
        # A comment in a code block looks like a heading.
        for question in QUESTION.finditer(FENCE.sub("(code)", cell.source)):
            numbers.append(int(question[1]))
            for problem in choice_problems(question[2]):
                yield f"cell {n}: question {question[1]}: {problem}"
    if len(numbers) < FEWEST_QUESTIONS:
        yield f"{len(numbers)} cells or parts are '### Question N': ask at least {FEWEST_QUESTIONS}"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the questions are numbered {numbers}: count from 1"


def choice_problems(text: str) -> Iterator[str]:
    """Yield what is missing in the choices of one question."""
    choices = CHOICE.findall(text)
    if len(choices) < 2:
        yield f"has {len(choices)} <details>: offer at least two choices"
    for choice in choices:
        parts = SUMMARY.match(choice)
        if not parts or not parts[1].strip():
            yield "a choice has no <summary>: write the choice there"
        elif not re.sub(r"<[^>]*>", "", parts[2]).strip():
            yield f"'{parts[1].strip()}' has no explanation: write one after </summary>"


def check_closing(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """A lesson that has a cluster closes it."""
    code = list(cells(notebook, "code"))
    if any("helpers.cluster" in cell.source for _, cell in code):
        n, last = code[-1]
        if "close_cluster()" not in last.source:
            yield f"cell {n}: the last code cell leaves the cluster open: call close_cluster()"


CHECKS = (
    check_json,
    check_errors,
    check_output_size,
    check_links,
    check_headings,
    check_injected,
    check_machine_paths,
)
LESSON_CHECKS = (
    check_figures,
    check_parameters,
    check_cell_length,
    check_semicolon,
    check_compared,
    check_questions,
    check_closing,
)


# The command


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with one file."""
    if not path.is_file():
        yield "does not exist: correct the path"
        return
    if path.suffix == ".md":
        yield from check_page(path)
        return
    try:
        notebook = read(path)
        invalid = [error.message for error in iter_validate(canonical(notebook))]
    except (ValueError, LookupError, AttributeError) as error:
        invalid = [repr(error)]
    if invalid:
        yield f"is not a valid notebook ({invalid[0]:.200}): restore it"
        return
    for check in CHECKS + (LESSON_CHECKS if is_lesson(path) else ()):
        yield from check(path, notebook)


def ruff(paths: list[Path], repair: bool = False) -> list[str]:
    """Run ``ruff check`` and ``ruff format``; return their lines about what is left to do."""
    files = [str(path) for path in paths if path.suffix != ".md" and path.exists()]
    check, form = ["check"], ["format"]
    if repair:
        check.append("--fix")
    else:
        form.append("--check")
    lines = []
    for command in (check, form) if files else ():
        options = ["--quiet", "--output-format=concise", *files]
        call = [sys.executable, "-m", "ruff", *command, *options]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            lines += (done.stdout + done.stderr).splitlines()
    return lines


def listed(suffix: str) -> list[Path]:
    """Return the files of the repository with this suffix, committed or not yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", f"*{suffix}"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        paths = [ROOT / name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # a downloaded archive has no git
        folders = ("course", "helpers", "images", "tests")
        paths = [*ROOT.glob(f"*{suffix}")]
        paths += [path for folder in folders for path in (ROOT / folder).rglob(f"*{suffix}")]
    return sorted(path for path in paths if path.is_file())


def everything() -> list[Path]:
    """Return the notebooks of the course and all Markdown pages."""
    notebooks = [path for path in listed(".ipynb") if path.is_relative_to(ROOT / "course")]
    return notebooks + [path for path in listed(".md") if path not in COPIED]


def expand(paths: list[Path]) -> list[Path]:
    """Return the files that are meant by files and folders."""
    files = []
    for path in paths:
        kinds = ("*.ipynb", "*.md")
        inside = sorted(file for kind in kinds for file in path.rglob(kind) if path.is_dir())
        files += inside or [path]
    return files


def shown(path: Path) -> str:
    """Return the name of a file as one would type it."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def main(arguments: list[str] | None = None) -> int:
    """Check, or repair and check; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.notebook_format", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="repair what needs no judgement")
    parser.add_argument("paths", nargs="*", type=Path, help="default: everything")
    options = parser.parse_args(arguments)
    files = expand(options.paths) if options.paths else everything()
    code = options.paths or CODE
    if options.fix:
        ruff(code, repair=True)
        for path in files:
            fix(path)
    lines = [f"{shown(path)}: {problem}" for path in files for problem in problems(path)]
    lines += ruff(code)
    print("\n".join(lines) or f"{len(files)} files are in form")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
