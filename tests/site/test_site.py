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

from tests.browsing import HINT, browser, chromium, faults
from tests.notebook_format import ROOT

pytest.importorskip("myst_nb", reason=f"the extra site is missing: {HINT}")
HEAVIEST = 1_500_000  # bytes of a page with all it loads
LOOKS = [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")]
SAMPLE = ("index.html", "course/02_data_partitioning.html", "helpers.html")  # axe in the dark, too
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


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Build the site; a warning is an error."""
    call = [sys.executable, str(ROOT / "docs" / "site" / "build.py")]
    done = subprocess.run(
        call, cwd=tmp_path_factory.mktemp("elsewhere"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / "site" / "html"


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


@pytest.mark.timeout(900)
def test_the_walk(site, capsys):
    """Each page at both widths, light and dark."""
    wrong, weights = [], {}
    with browser() as chrome:
        for width, look in LOOKS:
            context = chrome.new_context(
                viewport={"width": width, "height": 900}, color_scheme=look, reduced_motion="reduce"
            )
            tab, said, loaded = context.new_page(), [], set()
            tab.on(
                "console", lambda m, said=said: said.append(m.text) if m.type == "error" else None
            )
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            tab.on("requestfailed", lambda r, said=said: said.append(f"not loaded: {r.url}"))
            tab.on("request", lambda r, loaded=loaded: loaded.add(r.url))
            for path in pages(site):
                said.clear(), loaded.clear()
                tab.goto(path.as_uri())
                name = path.relative_to(site).as_posix()
                found = tab.evaluate(MEASURE)
                problems = [f"console: {text}" for text in said]
                problems += [f"horizontal scroll: {found['wider']} px"] * (found["wider"] > 0)
                for key in ("small", "unreadable", "broken", "unnamed"):
                    problems += [f"{key}: {text}" for text in found[key]]
                if (width, look) == LOOKS[0] or (width, look) == LOOKS[-1] and name in SAMPLE:
                    problems += [f"axe: {text}" for text in faults(tab)]
                wrong += [f"{name} at {width}, {look}: {problem}" for problem in problems]
                files = [Path(unquote(urldefrag(url)[0][7:].partition("?")[0]))
                         for url in loaded if url.startswith("file:")]  # fmt: skip
                weights[name] = sum(file.stat().st_size for file in set(files) if file.is_file())
            context.close()
    with capsys.disabled():
        print("\n".join(["", *(f"{weights[name] / 1000:7.0f} kB  {name}" for name in weights)]))
    assert [f"{name}: {weight}" for name, weight in weights.items() if weight > HEAVIEST] == []
    assert wrong == [], "\n".join(wrong)


def test_search_works_from_files(site):
    with browser() as chrome:
        tab = chrome.new_page()
        tab.goto(f"{(site / 'search.html').as_uri()}?q=shuffle")
        tab.wait_for_selector("#search-results li a", timeout=20_000)
        targets = [a.get_attribute("href") for a in tab.query_selector_all("#search-results li a")]
        assert any("02_data_partitioning" in target for target in targets), targets


def test_the_theme_can_be_chosen_and_code_copied(site):
    with browser() as chrome:
        context = chrome.new_context(color_scheme="light")
        tab = context.new_page()
        tab.goto((site / "course" / "00_setup.html").as_uri())
        assert tab.locator(".copybtn").count() > 10
        assert tab.locator(".prev-next-area a").count() == 2
        assert tab.evaluate("document.documentElement.dataset.theme") == "light"
        dark = chrome.new_context(color_scheme="dark").new_page()
        dark.goto((site / "course" / "00_setup.html").as_uri())
        assert dark.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_walk_sees_faults(tmp_path):
    chromium()
    page = tmp_path / "a.html"
    page.write_text(
        '<html lang=en><title>A</title><body><main class="bd-article">'
        '<p style="font-size:9px">small'
        '<img src="no.svg"><div style="width:3000px">wide</div>'
    )
    with browser() as chrome:
        tab = chrome.new_page()
        tab.goto(page.as_uri())
        found = tab.evaluate(MEASURE)
        assert found["small"] and found["broken"] and found["unnamed"] and found["unreadable"]
        assert found["wider"] > 0
        assert any(fault.startswith("image-alt") for fault in faults(tab))
