"""A browser for tests: Debian's Chromium, or the Chrome that is there, driven by Playwright."""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HINT = (
    "install Chromium or Chrome (Debian: apt install chromium), then run "
    "python3 run.py test --site tests/site tests/browser"
)
# axe-core's rules that depend on the width or the theme.
BY_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
# Coloured code is thousands of elements in a few looks, and axe-core's time goes with the elements:
# two of each kind stay, of the others only the text.
FEWER = """() => {
  const seen = new Map();
  for (const span of document.querySelectorAll("pre span, code span, .sig span")) {
    const block = span.closest("pre, code, .sig").parentElement;
    const key = [span, block, block.parentElement].map((element) => element.className).join("|");
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    if (times >= 2) span.replaceWith(...span.childNodes);
  }
}"""
# Marks two elements of each look: what stands in one colour, size and weight on the same ground.
LOOKS = """() => {
  document.querySelectorAll("[data-look]").forEach((element) => delete element.dataset.look);
  const seen = new Map(), grounds = new Map([[null, ""]]);
  const ground = (element) => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(element);
      const own = [backgroundColor, backgroundImage, opacity, filter]
        .filter((part) => !["rgba(0, 0, 0, 0)", "none", "1"].includes(part));
      grounds.set(element, [...own, ground(element.parentElement)].join());
    }
    return grounds.get(element);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const key = [color, fontSize, fontWeight, ground(element)].join();
    const times = seen.get(key) ?? 0;
    if (times < 2) element.dataset.look = "";
    seen.set(key, times + 1);
  }
}"""


def chromium() -> str:
    """Return the path of a Chromium; skip the test that asks where there is none."""
    pytest.importorskip("playwright", reason=f"Playwright is missing: {HINT}")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip(f"no Chromium was found: {HINT}")


@contextlib.contextmanager
def browser():
    """Start the browser without a window; it is closed at the end."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    # Its own sandbox needs namespaces that root and some containers do not have.
    alone = [] if os.environ.get("COURSE_CHROMIUM_SANDBOX") else ["--no-sandbox"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=alone)
        try:
            yield started
        finally:
            started.close()


def axe() -> str:
    """Return the source of axe-core, in the version and with the checksum of uv.lock."""
    from importlib.resources import files

    package = pytest.importorskip("axe_playwright_python", reason=f"axe-core is missing: {HINT}")
    return files(package).joinpath("axe.min.js").read_text(encoding="utf-8")


def faults(page, again: bool = False) -> list[str]:
    """Return what axe-core calls serious or critical, with the places.

    Contrast takes most of its time, and is the same for all text of one look: two places of each
    combination of colours and sizes on the page are judged. `again`, for a page that was judged
    at another width or in another theme, leaves out the rules that cannot have another answer.
    The page loses colours of its code: load it again to show it.
    """
    if not again:
        page.evaluate(FEWER)
        page.evaluate(axe())
    page.evaluate("axe.configure({rules: [{id: 'color-contrast', selector: '[data-look]'}]})")
    page.evaluate(LOOKS)
    rules = f", runOnly: {BY_LOOK}" if again else ""
    options = f"{{resultTypes: ['violations'], preload: false{rules}}}"
    found = page.evaluate(f"axe.run(document, {options}).then((found) => found.violations)")
    return [
        f"{fault['id']}: {' '.join(map(str, node['target']))}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]
