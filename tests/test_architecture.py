"""What may import what, so that docs/architecture.md stays true."""

import ast
import json

import pytest

from tests.notebook_format import ROOT

GPU = {"cudf", "cuml", "cupy", "dask_cuda", "dask_cudf", "raft_dask", "rmm"}
GRADING = "helpers.grading."
ENGINE = tuple(GRADING + name for name in ("exercise", "facts", "meter", "vocabulary", "workers"))
# For each place the parts of helpers.grading that it may import; the first that fits counts.
ALLOWED = {
    "helpers/grading/__main__.py": (GRADING,),  # the command line knows all wings
    "helpers/grading/lessons/": ENGINE,
    "helpers/grading/grader/": (*ENGINE, GRADING + "grader"),
    "helpers/grading/handout/": (GRADING + "handout",),
    "helpers/grading/": ENGINE,
    "helpers/": (),
}


def imports(source):
    """Yield the full names that a module imports, also inside its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def not_allowed(name, source):
    """Return what a file of helpers imports and should not."""
    allowed = next(parts for place, parts in ALLOWED.items() if name.startswith(place))
    own = [each for each in imports(source) if each.startswith("helpers.grading")]
    wrong = [each for each in own if not each.startswith(allowed or ("nothing",))]
    gpu = [each for each in imports(source) if each.partition(".")[0] in GPU]
    return wrong + gpu * (name != "helpers/backend.py")


FILES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "helpers").rglob("*.py"))]


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_what_its_wing_may(name):
    assert not_allowed(name, (ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "name, line",
    [
        ("helpers/data.py", "from helpers.grading import check"),
        ("helpers/plots.py", "import cupy"),
        ("helpers/grading/exercise.py", "from helpers.grading.grader import grade"),
        ("helpers/grading/facts.py", "def f():\n    import helpers.grading.lessons.lesson_01"),
        ("helpers/grading/lessons/lesson_01.py", "from helpers.grading.lessons import lesson_02"),
        ("helpers/grading/grader/grade.py", "from helpers.grading.lessons import lesson_02"),
        ("helpers/grading/handout/release.py", "from helpers.grading.grader.cells import defined"),
    ],
)
def test_a_wrong_import_is_seen(name, line):
    assert not_allowed(name, line) != []


def test_notebooks_import_check_and_nothing_else_of_grading():
    for path in sorted((ROOT / "course").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            lines = [line.strip() for line in cell["source"]] * (cell["cell_type"] == "code")
            found = [line for line in lines if "import" in line and "helpers.grading" in line]
            assert set(found) <= {"from helpers.grading import check"}, path.name


def test_every_module_and_wing_stands_on_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = [name.rpartition("/")[2] for name in FILES if "/lesson_" not in name]
    assert [n for n in names if not n.startswith("__") and f"`{n[:-3]}`" not in text] == []
