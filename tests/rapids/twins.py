"""Write docs/twins.md: what the course calls on a CPU, and its twin on a GPU.

``python -m tests.rapids.twins`` makes it from ``helpers.backend.TWINS`` and the lessons' code.
"""

from helpers.backend import TWINS
from tests.rapids.uses import ONLY_GPU, ROOT, all_uses, cpu_name, gpu_name

PAGE = ROOT / "docs" / "twins.md"
# What a documentation page is called, by the first part of a name.
MANUALS = {
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "pandas": "https://pandas.pydata.org/docs/reference/api/{}.html",
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "distributed": "https://distributed.dask.org/en/stable/api.html#{}",
    "cupy": "https://docs.cupy.dev/en/stable/reference/generated/{}.html",
    "cudf": "https://docs.rapids.ai/api/cudf/stable/user_guide/api_docs/api/{}/",
    "cuml": "https://docs.nvidia.com/cuml/26.10/api/generated/{}/",
    "dask_cuda": "https://docs.nvidia.com/dask-cuda/26.10/api/",
    "helpers": "../helpers/kmeans.py",
}
WITHOUT_PAGE = {"cudf.NA"}
HEAD = """\
# Twins: one call, two machines

Made from `helpers/backend.py` and the lessons' code by `python -m tests.rapids.twins`. A lesson
writes the name on the left; the machine decides which library answers. Dask's collections follow
by themselves: `get_backend` sets `dataframe.backend` and `array.backend` in Dask's configuration.

| in a lesson | on a CPU | on a GPU |
|---|---|---|
"""
ONLY = """
These are called on a GPU only, behind `if backend.is_gpu`, and the lesson says so:

"""


def page() -> str:
    """Return the page's text."""
    names = sorted({use.name for use in all_uses()} | set(TWINS), key=str.lower)
    pairs = [name for name in names if cpu_name(name) and "__" not in name and "()" not in name]
    rows = [
        f"| `{'' if '.' in name or name in ('xp', 'xdf', 'ml') else 'backend.'}{name}` "
        f"| {link(cpu_name(name))} | {link(gpu_name(name))} |"
        for name in pairs
        if not only_gpu(name)
    ]
    others = {gpu_name(name) for name in names if "()" not in name and only_gpu(name)}
    return HEAD + "\n".join(rows) + "\n" + ONLY + "".join(f"- {link(x)}\n" for x in sorted(others))


def only_gpu(name: str) -> bool:
    """Whether a name has no twin on the CPU."""
    return cpu_name(name) is None or name in ONLY_GPU


def link(name: str) -> str:
    """Return the name as a link to its documentation, where a page is known."""
    first = name.partition(".")[0]
    if first not in MANUALS or first == name or name in WITHOUT_PAGE:
        return f"`{name}`"
    owner = name.rpartition(".")[0]
    if owner.rpartition(".")[2][:1].isupper():  # a method of a class
        return f"[`{name}`]({MANUALS[first].format(owner)}#{name})"
    return f"[`{name}`]({MANUALS[first].format(name)})"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
