"""Build the reading site: lay the pages out in build/site/source, then let Sphinx make them HTML.

``python docs/site/build.py [FOLDER]`` writes to html in a folder, default build/site, anew each
time: Sphinx warns only of what it reads. The lessons are shown with their stored outputs; nothing
is executed. Pages are changed on the way in four places: a word of the glossary is linked where a
page first uses it, a lesson leads to its exercises and to the page without helpers, an exercise has
the hints that its check may give, and a link to a file that is not on the site becomes plain text.
"""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from html import escape
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "site"
# Of these the reference is made; the others serve JupyterLab, and no lesson.
HELPERS = sorted(
    {path.stem for path in (ROOT / "helpers").glob("*.py")} - {"__init__", "lab", "progress"}
)
INSTRUCTORS = ("grading", "classroom")
AUTHORS = ("architecture",)  # for whoever changes the code: not on the site
# What a word must not be part of: code, links and their targets, HTML, headings, pictures.
SKIP = re.compile(
    r"```.*?```|`[^`]*`|!?\[[^\]]*\]\([^)\s]*(?:\([^)]*\))?[^)]*\)|<[^>]+>|^#.*?$|"
    r"^\*\*Predict\.\*\*",
    re.DOTALL | re.MULTILINE,
)
FENCE = re.compile(r"```.*?```", re.DOTALL)
# The theme draws its icons twice: with a font, which we keep, and with a script of 1.5 MB.
ICONS = re.compile(r"<script[^>]*scripts/fontawesome\.js[^>]*></script>")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?!https?:|#|mailto:)[^)\s]+)\)")
LIBRARIES = set(
    "cudf cuml cupy cupyx dask dask_cuda dask_cudf dask_ml distributed helpers joblib numpy "
    "pandas pyarrow scipy skops sklearn".split()
)
VARIABLES = {  # what a lesson's variables are
    "client": "distributed.Client",
    "cluster": "distributed.LocalCluster",
    "backend": "helpers.backend.Backend",
    "xp": "xp",
    "xdf": "xdf",
    "ml": "ml",
}
TITLES = {
    "xp": "xp: NumPy or CuPy",
    "xdf": "xdf: pandas or cuDF",
    "ml": "ml: scikit-learn or cuML",
}


def slug(title):
    """Return a heading's anchor, written as Jupyter does: ``The four worlds`` → the-four-worlds.

    Lower case, as browsers and Sphinx's own anchors are strict about it; links are lowered, too.
    """
    return re.sub(r"\s+", "-", title.strip()).lower()


def main(folder=BUILD):
    """Lay out, build, say where it is; return Sphinx' exit status."""
    if not (ROOT / "course" / "exercises").is_dir():
        sys.exit("There is no course here: run this in the repository.")
    source, trees, html = (folder / name for name in ("source", "doctrees", "html"))
    for old in filter(Path.exists, (source, trees, html)):
        shutil.rmtree(old)
    lay_out(source)
    options = ["-W", "--keep-going", "--quiet", "--jobs", "2", "-c", HERE]
    call = [sys.executable, "-m", "sphinx", *options, "-d", trees, source, html]
    status = subprocess.call([str(part) for part in call])
    for page in html.rglob("*.html") if not status else []:
        text = page.read_text(encoding="utf-8")
        page.write_text(ICONS.sub("", text), encoding="utf-8")
    print(f"The site is in {html / 'index.html'}" if not status else "The site was not built.")
    return status


def lay_out(folder):
    """Write all pages that Sphinx shall read."""
    shutil.copytree(ROOT / "images", folder / "images")
    words = glossary_words((HERE / "glossary.md").read_text(encoding="utf-8"))
    lessons = sorted((ROOT / "course").glob("[0-9]*.ipynb"))
    more = sorted((ROOT / "course").glob("appendix*.ipynb"))
    docs = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in AUTHORS]
    pages = {f"docs/{path.name}": path for path in docs}
    pages |= {path.relative_to(ROOT).as_posix(): path for path in [*lessons, *more]}
    pages |= {f"course/exercises/{path.name}": path.parent / "exercises" / path.name
              for path in lessons}  # fmt: skip
    known = {*pages, "glossary.md", "apis.md", "helpers.md"}
    texts = {
        "glossary.md": (HERE / "glossary.md").read_text(encoding="utf-8"),
        "helpers.md": helpers_page(),
        "apis.md": apis_page(lessons),
    }
    for name, path in pages.items():
        if path.suffix == ".md":
            texts[name] = page(path.read_text(encoding="utf-8"), name, known, list(words))
        else:
            texts[name] = nbformat.writes(notebook(path, name, known, words))
    index = (HERE / "index.md").read_text(encoding="utf-8")
    index = index.replace("LESSONS", lessons_list(lessons))
    texts["index.md"] = index.replace("TOCTREES", toctrees(lessons, more, docs))
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


# A page


def page(text, name, known, words):
    """Return a page's Markdown with links that lead somewhere on the site, and its new words."""
    return link_words(mend_links(text, name, known), words)


def mend_links(text, name, known):
    """Lower anchors; show what is not on the site as text, and helpers by their page."""

    def mended(match):
        label, (path, _, anchor) = match[1], match[2].partition("#")
        target = _normal(Path(name).parent / path)
        if target in known:
            return f"[{label}]({path}{'#' * bool(anchor)}{anchor.lower()})"
        module = re.fullmatch(r"helpers/(\w+)\.py", target)
        if module and module[1] in HELPERS:
            return f"{{py:mod}}`{label.strip('`')} <helpers.{module[1]}>`"
        return label

    text = re.sub(r"\]\(#([^)\s]*(?:\([^)\s]*\))?[^)\s]*)\)", lambda m: f"](#{m[1].lower()})", text)
    return LINK.sub(mended, text)


def _normal(path):
    parts = []
    for part in path.as_posix().split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part] if part != "." else parts
    return "/".join(parts)


def glossary_words(text):
    """Return the words of the glossary, the long ones first."""
    body = re.search(r"```\{glossary\}\n(.*?)```", text, re.DOTALL)[1]
    return sorted(re.findall(r"^(\S.*)$", body, re.MULTILINE), key=len, reverse=True)


def link_words(text, words):
    """Link the first use of each word in a text; take the words that were found out of the list."""
    for word in list(words):
        pattern = re.compile(rf"(?<![\w|{{-])({re.escape(word)}(?:s|es)?)(?![\w|-])", re.IGNORECASE)
        spans = [match.span() for match in SKIP.finditer(text)]
        for match in pattern.finditer(text):
            if not any(start <= match.start() < end for start, end in spans):
                link = f"{{term}}`{match[1]} <{word}>`"
                text = text[: match.start()] + link + text[match.end() :]
                words.remove(word)
                break
    return text


# A notebook


def notebook(path, name, known, words):
    """Return a notebook as the site shows it."""
    book, words = nbformat.read(path, as_version=4), list(words)
    exercises = "exercises" in path.parts
    cells = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = page(cell.source, name, known, words)
        cells.append(cell)
        if exercises and (found := re.search(r'check\("(\d\d\.\d+)"\)', cell.source)):
            cells.append(nbformat.v4.new_markdown_cell(hints(found[1])))
    if not exercises:
        own = f"exercises/{path.name}"
        links = f"[the exercises of this lesson]({own}) · " if path.name[0].isdigit() else ""
        links = (
            f"**More**: {links}[the plain lines "
            "behind the helpers](../docs/without_helpers.md) · [CPU and GPU, name by name]"
            "(../docs/twins.md) · [glossary](../glossary.md)"
        )
        cells.insert(1, nbformat.v4.new_markdown_cell(links))
    book.cells = cells
    return book


def hints(id):
    """Return what an exercise's check may say, folded: its hints, without what it expects."""
    from helpers.grading.exercise import find_exercise

    tree = ast.parse(textwrap.dedent(inspect.getsource(find_exercise(id).judge)))
    texts = [sentence(node) for node in ast.walk(tree)]
    found = [text for text in dict.fromkeys(texts) if re.fullmatch(r"[A-Z].{15,}[.:]", text)]
    items = "".join(f"<li>{escape(text)}</li>\n" for text in found)
    title = f"Hints of exercise {id}: open when you are stuck"
    return f"<details><summary>{title}</summary>\n<ul>\n{items}</ul>\n</details>"


def sentence(node):
    """Return the text of a string in code; what it is filled with becomes an ellipsis."""
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
        return "".join(map(str, parts))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^}]*\}", "…", node.value)
    return ""


# Pages that are made


def lessons_list(lessons):
    """Return the lessons, what each is about, its minutes and exercises, as Markdown."""
    from helpers.lab import lesson

    entries = []
    for path in lessons:
        about = lesson(path)
        exercises = f"[{about.exercises} exercises](course/exercises/{path.name})"
        text = f"{about.goals} {about.minutes} minutes, {exercises}."
        entries.append(f"[{about.title}](course/{path.name})\n: {text}\n")
    return "\n".join(entries)


def toctrees(lessons, more, docs):
    """Return the site's order: what previous and next mean, and what the sidebar shows."""
    reference = [path.stem for path in docs if path.stem not in INSTRUCTORS]
    parts = {
        "Lessons": [f"course/{path.stem}" for path in [*lessons, *more]],
        "Exercises": [f"course/exercises/{path.stem}" for path in lessons],
        "Look up": ["glossary", "apis", *(f"docs/{stem}" for stem in reference), "helpers"],
        "Instructors": [f"docs/{stem}" for stem in INSTRUCTORS],
    }
    head = "```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n"
    return "\n".join(head.format(name, "\n".join(pages)) for name, pages in parts.items())


def helpers_page():
    """Return the reference of `helpers`, from its docstrings."""
    lines = [
        "# The package `helpers`",
        "",
        "What lessons use, from the docstrings. [Without helpers](docs/without_helpers.md) has "
        "the plain lines that they stand for.",
        "",
    ]
    for name in HELPERS:
        lines += [f"## `helpers.{name}`", "", "```{eval-rst}", f".. automodule:: helpers.{name}"]
        lines += ["   :members:", "```", ""]
    lines += ["## `helpers.grading.check`", "", "```{eval-rst}"]
    lines += [".. autofunction:: helpers.grading.exercise.check", "```", ""]
    return "\n".join(lines)


def apis_page(lessons):
    """Return the index of the APIs that the lessons use, with the sections where they do."""
    found = {}
    for path in lessons:
        title = ""
        names = dict(VARIABLES)
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                text = FENCE.sub("", cell.source)
                headings = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
                title = headings[-1] if headings else title
                continue
            for api in uses(cell.source, names):
                places = found.setdefault(api, {})
                places.setdefault(path.name, title)
    libraries = {}
    for api in sorted(found, key=str.lower):
        libraries.setdefault(api.partition(".")[0], []).append(api)
    text = [
        "# Where an API is taught",
        "",
        "Made from the code of the lessons. The first lesson of a row is where you meet the name; "
        "each link leads to the section that first uses it in that lesson. `xp`, `xdf` and `ml` "
        "are NumPy, pandas and scikit-learn on a CPU, and CuPy, cuDF and cuML on a GPU.",
    ]
    for library, apis in libraries.items():
        title = TITLES.get(library, library)
        text += ["", f"## {title}", "", "| name | lessons |", "|---|---|"]
        for api in apis:
            links = [_place(name, section) for name, section in found[api].items()]
            text.append(f"| `{api}` | {', '.join(links)} |")
    return "\n".join([*text, ""])


def _place(name, title):
    anchor = slug(re.sub(r"[`*]", "", title))
    return f"[{name[:2]}](<course/{name}#{anchor}>)" if title else f"[{name[:2]}](course/{name})"


def uses(source, names):
    """Yield the full names of libraries that code uses; remember what it imports in `names`."""
    source = re.sub(r"^(?:[%!].*|.*\bawait\b.*)$", "pass", source, flags=re.MULTILINE)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in LIBRARIES:
                    names[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in LIBRARIES:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and id(node) not in inner:
            chain, root = [node.attr], node.value
            while isinstance(root, ast.Attribute):
                chain, root = [root.attr, *chain], root.value
            if isinstance(root, ast.Name) and root.id in names and "_" != chain[0][:1]:
                yield ".".join([names[root.id], *chain[: 3 if names[root.id] == "ml" else 1]]
                               if root.id in VARIABLES else [names[root.id], *chain])  # fmt: skip


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(*(Path(folder).resolve() for folder in sys.argv[1:2])))
