"""The package ``helpers`` as students' code may see it: observers, and no judge.

A judge knows what is expected. Where a submission runs, only that part of the exercises is on disk
and in memory which calls the student's function; the judges stay in the grader's process.
"""

import ast
import compileall
import shutil
from pathlib import Path

import helpers
from helpers.grading.grader.names import bound, reached

# What a submission's process needs of the instructor's wing; nothing of the author's is there.
KEPT = ("__init__.py", "inside.py", "libraries.py", "names.py", "watch.py")


def copy_without_judges(folder):
    """Write ``folder/helpers``: this package without judges, solutions and the grader.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    pathlib.Path
        The new package.
    """
    source, target = Path(helpers.__file__).parent, Path(folder) / "helpers"
    shutil.rmtree(target, ignore_errors=True)
    for wing in ("grading/lessons", "grading/grader"):
        (target / wing).mkdir(parents=True)
    paths = [*source.glob("*.py"), *(source / "grading").glob("*.py")]
    paths += [source / "grading" / "grader" / name for name in KEPT]
    for path in paths:
        shutil.copy2(path, target / path.relative_to(source))
    for path in (source / "grading" / "lessons").glob("*.py"):
        text = without_judges(path.read_text(encoding="utf-8"))
        (target / path.relative_to(source)).write_text(text, encoding="utf-8")
    compileall.compile_dir(target, quiet=2)
    return target


def without_judges(source):
    """Cut out of a lesson's module all that its observers do not reach.

    Parameters
    ----------
    source : str
        A module that ends in ``EXERCISES = [Exercise(id, name, points, observe, judge), …]``.

    Returns
    -------
    str
        The module with None in place of every judge, and without the functions, classes and
        constants that only judges used.
    """
    tree = _NoJudge().visit(ast.parse(source))
    kept = reached(tree, [node for node in tree.body if not bound(node) or _is_list(node)])
    tree.body = [node for node in tree.body if node in kept]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _NoJudge(ast.NodeTransformer):
    """Replace the judge in every call of Exercise."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Exercise":
            node.args = [*node.args[:4], *[ast.Constant(None)] * (len(node.args) > 4)]
            for keyword in node.keywords:
                if keyword.arg == "judge":
                    keyword.value = ast.Constant(None)
        return node


def _is_list(node):
    return "EXERCISES" in bound(node)
