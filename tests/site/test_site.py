"""A walk over every page of the reading site, as files, at two widths, light and dark.

``python3 run.py test --site tests/site`` installs what this needs.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import nbformat
import pytest

from tests.browsing import HINT, browser, faults
from tests.course.test_texts import TERMS
from tests.notebook_format import ROOT

pytest.importorskip("myst_nb", reason=f"the extra site is missing: {HINT}")
HEAVIEST = 1_500_000  # bytes of a page with all it loads
LOOKS = [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")]
WITH_AXE = (LOOKS[0], LOOKS[-1])  # both widths and both themes
PATIENCE = 60_000  # milliseconds for a page on a busy machine
STILL = """addEventListener("DOMContentLoaded", () => document.head.insertAdjacentHTML(
  "beforeend", "<style>* { transition: none !important; animation: none !important; }</style>"));"""
MEASURE = """() => {
  const small = [], unreadable = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility({checkOpacity: true})) continue;
    if (element.closest(".visually-hidden, .headerlink, sup, script, style")) continue;
    const size = parseFloat(getComputedStyle(element).fontSize);
    if (size < 14) small.push(`${size} ${element.className}: ${text.data.trim().slice(0, 30)}`);
  }
  for (const image of document.images) {
    if (!image.closest(".bd-article") || !image.checkVisibility()) continue;
    const drawn = image.getBoundingClientRect().width;
    // Our drawings are 900 wide with text of 14 px; plots are 600 wide with text of 16.
    const text = image.src.endsWith(".svg") ? 14 * drawn / 900 : 16.6 * drawn / image.naturalWidth;
    if (text < 12) unreadable.push(`${text.toFixed(1)} px in ${image.src.slice(0, 80)}`);
  }
  return {
    small: [...new Set(small)].slice(0, 5), unreadable,
    broken: [...document.images].filter((i) => !i.complete || !i.naturalWidth).map((i) => i.src),
    unnamed: [...document.images].filter((i) => !i.alt.trim()).map((i) => i.src.slice(0, 80)),
    wider: document.documentElement.scrollWidth - window.innerWidth,
  };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, ROOT / "docs" / "site" / "build.py", folder]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def pages(site: Path) -> list[Path]:
    """Return all pages that a reader sees."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.anchors |= {named.get("id"), named.get("name")}
        self.links += [named[name] for name in ("href", "src") if named.get(name)]


def dead_links(site: Path) -> list[str]:
    """Return the links within the site that lead to no file or to no place in it."""
    known = {path.as_uri(): Links(path.read_text(encoding="utf-8")) for path in pages(site)}
    dead = []
    for page, found in known.items():
        for link in found.links:
            target, anchor = urldefrag(urljoin(page, link))
            if not target.startswith("file:"):
                continue
            there = target in known or Path(unquote(target[7:].partition("?")[0])).exists()
            place = not anchor or target not in known or unquote(anchor) in known[target].anchors
            if not (there and place):
                dead.append(f"{page.rpartition('/html/')[2]}: {link}")
    return dead


def test_no_link_leads_nowhere(site):
    assert dead_links(site) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id=x><a href="#x">.</a><a href="#y">.</a><img src="b.svg">'
    )
    assert [link.rpartition(": ")[2] for link in dead_links(tmp_path)] == ["#y", "b.svg"]


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Return what pages and styles would load from a network."""
    tag = r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["'](?:https?:)?//[^"']+"""
    pattern = f"{tag}|@import[^;]+//[^;]+"
    texts = {
        path: path.read_text(encoding="utf-8") for path in [*pages(site), *site.rglob("*.css")]
    }
    return [
        f"{path.name}: {found}"
        for path, text in texts.items()
        for found in re.findall(pattern, text)
    ]


def test_nothing_is_loaded_from_elsewhere(site):
    assert loaded_from_elsewhere(site) == []


def test_what_comes_from_elsewhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<script defer src="https://cdn.example/x.js"></script>')
    assert len(loaded_from_elsewhere(tmp_path)) == 1


def test_each_lesson_and_exercise_is_a_page_and_no_solution_is(site):
    for path in sorted((ROOT / "course").glob("[0-9]*.ipynb")):
        lesson = (site / "course" / path.name).with_suffix(".html").read_text(encoding="utf-8")
        assert "without_helpers.html" in lesson and f"exercises/{path.stem}.html" in lesson
        exercises = (site / "course" / "exercises" / path.name).with_suffix(".html")
        book = nbformat.read(ROOT / "course" / "exercises" / path.name, as_version=4)
        asked = sum(
            "check(" in c.source
            for c in book.cells
            if c.cell_type == "code" and "def " not in c.source
        )
        assert (
            exercises.read_text(encoding="utf-8").count("<summary>Hints of exercise")
            >= asked - 1
            > 0
        )
    assert not (site / "course" / "solutions").exists()
    assert not any("BEGIN SOLUTION" in page.read_text(encoding="utf-8") for page in pages(site))


@pytest.fixture(scope="module")
def chrome():
    """One browser for all tests of this file."""
    with browser() as started:
        yield started


def turn_to(tab, width: int, look: str) -> None:
    """Give the page another width and another colour scheme, and wait until it has them."""
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=look, reduced_motion="reduce")
    tab.wait_for_function("look => document.documentElement.dataset.theme == look", arg=look)


def problems(tab, name: str, width: int, look: str) -> list[str]:
    """Return what is wrong on a page as it is now."""
    found = tab.evaluate(MEASURE)
    texts = [f"horizontal scroll: {found['wider']} px"] * (found["wider"] > 0)
    texts += [f"{key}: {text}" for key in ("small", "unreadable", "broken", "unnamed")
              for text in found[key]]  # fmt: skip
    if (width, look) in WITH_AXE:
        texts += [f"axe: {text}" for text in faults(tab, again=(width, look) != LOOKS[0])]
    return [f"{name} at {width}, {look}: {text}" for text in texts]


def walk(chrome, paths: list[Path], site: Path) -> tuple[list[str], dict[str, int]]:
    """See pages in every look; return what is wrong, and the bytes that each page loads."""
    wrong, weights = [], {}
    context = chrome.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    context.add_init_script(STILL)
    for path in paths:
        name = path.relative_to(site).as_posix()
        tab, said, loaded = context.new_page(), [], set()  # lists of its own: nothing comes late
        tab.on("console", lambda m, said=said: said.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error, said=said: said.append(str(error)))
        tab.on("requestfailed", lambda r, said=said: said.append(f"not loaded: {r.url}"))
        tab.on("request", lambda r, loaded=loaded: loaded.add(re.split("[?#]", r.url)[0]))
        tab.goto(path.as_uri())
        for width, look in LOOKS:
            turn_to(tab, width, look)
            wrong += problems(tab, name, width, look)
        wrong += [f"{name}: {text}" for text in said]
        files = [Path(unquote(url[7:])) for url in loaded if url.startswith("file:")]
        weights[name] = sum(file.stat().st_size for file in files if file.is_file())
        tab.close()
    context.close()
    return wrong, weights


@pytest.mark.timeout(900)
def test_the_walk(site, chrome, capsys):
    """Each page at both widths, light and dark."""
    wrong, weights = walk(chrome, pages(site), site)
    listed = "\n".join(f"{weights[name] / 1000:7.0f} kB  {name}" for name in weights)
    with capsys.disabled():
        print(f"\n{listed}")
    assert [f"{name}: {weight}" for name, weight in weights.items() if weight > HEAVIEST] == []
    assert wrong == [], "\n".join(wrong)


def test_the_walk_sees_faults(chrome, tmp_path):
    (tmp_path / "a.html").write_text(
        "<html lang=en data-theme=light><title>A</title><body><main class='bd-article'>"
        "<p style='font-size:9px'>small<img src='no.svg'><div style='width:3000px'>wide</div>"
        "<p style='color:#bbb'>pale</p><p style='color:#bbb'>pale</p><script>no()</script>"
        "<pre><span class=k>a</span><span class=k>b</span><span class=k>c</span>"
        "<span class=rare style='color:#bbb'>pale</span></pre>"
        "<script>matchMedia('(prefers-color-scheme: dark)').onchange = (dark) => {"
        "document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light'}</script>"
    )
    wrong, weights = walk(chrome, [tmp_path / "a.html"], tmp_path)
    assert weights["a.html"] > 300
    expected = (
        "small: 9, broken, unnamed, unreadable, horizontal scroll, not loaded, axe: image-alt, "
        "axe: color-contrast, .rare, no is not defined"
    )
    for fault in expected.split(", "):
        assert any(fault in text for text in wrong), (fault, wrong)


def test_the_glossary_has_every_term_that_a_lesson_introduces(site):
    page = (site / "glossary.html").read_text(encoding="utf-8")
    anchors = {anchor.lower() for anchor in Links(page).anchors if anchor}
    terms = {term: f"term-{term.lower().replace(' ', '-').rstrip('|')}" for term in TERMS}
    assert [term for term, anchor in terms.items() if anchor not in anchors] == []
    lesson = (site / "course" / "02_data_partitioning.html").read_text(encoding="utf-8")
    assert Links(lesson).links.count("../glossary.html#term-shuffle") == 1, "at its first use"


def test_the_index_leads_to_the_section(site):
    page = (site / "apis.html").read_text(encoding="utf-8")
    row = page.partition("dask.dataframe.read_parquet")[2].partition("</tr>")[0]
    assert "course/02_data_partitioning.html#parquet-a-file" in row


def test_search_works_from_files(site, chrome):
    tab = chrome.new_page()
    tab.goto(f"{(site / 'search.html').as_uri()}?q=shuffle")
    tab.wait_for_selector("#search-results li a", timeout=PATIENCE)
    targets = [a.get_attribute("href") for a in tab.query_selector_all("#search-results li a")]
    assert any("02_data_partitioning" in target for target in targets), targets


def test_a_page_opens_in_the_readers_theme(site, chrome):
    for look in ("light", "dark"):
        tab = chrome.new_context(color_scheme=look).new_page()
        tab.goto((site / "course" / "00_setup.html").as_uri())
        assert tab.evaluate("document.documentElement.dataset.theme") == look
    assert tab.locator(".copybtn").count() > 10
    assert tab.locator(".prev-next-area a").count() == 2
