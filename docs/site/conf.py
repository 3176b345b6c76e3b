"""How Sphinx shows the pages that docs/site/build.py has laid out. Everything works offline."""

import sys
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent))

project = "Machine learning that scales out"
author = "the authors of the course"
copyright = "the authors of the course. Text and pictures: CC BY 4.0, code: BSD 3-Clause"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
language = "en"

nb_execution_mode = "off"  # the stored outputs are the verified ones
nb_merge_streams = True
nb_number_source_lines = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_heading_slug_func = "build.slug"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_show_sourcelink = False
html_copy_source = False
html_use_index = False  # apis.md is the index
html_domain_indices = False
html_show_search_summary = False  # it would fetch pages, which a browser forbids for file://
html_last_updated_fmt = None
html_permalinks_icon = "#"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "home_page_in_toc": False,
    "search_bar_text": "Search the course",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def let_pictures_scroll(app, doctree, page):
    """Put each picture into a frame of its own: on a phone it scrolls there and stays readable."""
    for image in list(doctree.findall(nodes.image)):
        begin = '<span class="picture" tabindex="0" role="group" aria-label="Picture">'
        place = image.parent.index(image)
        image.parent.insert(place, nodes.raw("", begin, format="html"))
        image.parent.insert(place + 2, nodes.raw("", "</span>", format="html"))


def leave_out_routing(app, what, name, obj, skip, options):
    """Leave out the methods for metadata that scikit-learn gives to every estimator."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    """Connect what this course adds to Sphinx."""
    app.connect("autodoc-skip-member", leave_out_routing)
    app.connect("doctree-resolved", let_pictures_scroll)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
