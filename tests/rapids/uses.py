"""Find what the course asks of RAPIDS, by walking its code.

A use is a name below a root (``xp.bincount``), or an attribute of something that was made by one
(``xdf.DataFrame(…).to_csv``), with the keywords it was called with. Roots are the roles of a
backend and the packages that helpers and lessons import only where there is a GPU.
"""

import ast
import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from helpers.backend import TWINS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cudf", "cuml", "cupy", "dask_cudf", "dask_cuda", "rmm", "raft_dask")
# These have no twin on a CPU: lessons call them behind `if backend.is_gpu`, and say so.
ONLY_GPU = {"ml.cluster.KMeans.from_sklearn", "xp.cuda.Device", "xp.cuda.runtime.memGetInfo"}
# What these functions and methods give. Anything not listed is not followed further.
GIVES = {
    "cudf.read_csv": "cudf.DataFrame",
    "cudf.read_parquet": "cudf.DataFrame",
    "cudf.concat": "cudf.DataFrame",
    "cudf.from_pandas": "cudf.DataFrame",
    "rmm.statistics.get_statistics": "rmm.statistics.Statistics",
}
# What these classes don't have, and keywords that they take unseen, belong to the class behind.
BEHIND = {"cuml.dask.cluster.KMeans": "cuml.cluster.KMeans"}
SAME = {"fit", "head", "tail", "astype", "copy", "reset_index", "sort_values", "fillna", "dropna"}


class Use(NamedTuple):
    """A name on the GPU's side, and the keywords of one call of it."""

    name: str  # such as "xp.bincount", "cudf.DataFrame().to_csv", "rmm.statistics.statistics"
    keywords: tuple[str, ...]
    where: str


def sources() -> Iterator[tuple[str, str]]:
    """Yield name and code of every helper, lesson and solution."""
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "course").rglob("[0-9]*.ipynb")):
        if "exercises" not in path.parts:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            yield str(path.relative_to(ROOT)), "\n".join(code)


def all_uses() -> list[Use]:
    """Return every use once, in the order of names."""
    found = {}
    for where, code in sources():
        for name, keywords in Walker(ast.parse(code)).found:
            found.setdefault((name, keywords), Use(name, keywords, where))
    return sorted(found.values())


class Walker(ast.NodeVisitor):
    """Collects (name, keywords) in `found`, and remembers what variables hold."""

    def __init__(self, tree: ast.AST):
        self.found, self.variables, self.modules = set(), {}, {}
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        """Note the packages of the GPU that are imported; an import is a use."""
        for alias in node.names:
            if alias.name.split(".")[0] in PACKAGES:
                self.found.add((alias.name, ()))
                bound = alias.asname or alias.name.split(".")[0]
                self.modules[bound] = alias.name if alias.asname else bound

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note the names that come out of the packages of the GPU."""
        if node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                self.modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self.found.add((f"{node.module}.{alias.name}", ()))

    def visit_Assign(self, node: ast.Assign) -> None:
        """Remember what was made: ``back = xdf.read_csv(…)``."""
        self.generic_visit(node)
        self.forget(*node.targets)
        if isinstance(node.targets[0], ast.Name):
            self.variables[node.targets[0].id] = self.made_by(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Keep what is assigned in a function inside of it; its arguments hide names outside."""
        outside = dict(self.variables)
        self.forget(node.args)
        self.generic_visit(node)
        self.variables = outside

    visit_Lambda = visit_FunctionDef

    def visit_For(self, node: ast.For) -> None:
        """Forget what the loop's variables held."""
        self.forget(node.target)
        self.generic_visit(node)

    visit_comprehension = visit_For

    def forget(self, *targets: ast.AST) -> None:
        """Forget the variables that get a new value, which is not followed."""
        for target in targets:
            for node in ast.walk(target):
                name = getattr(node, "id", None) or getattr(node, "arg", None)
                self.variables.pop(name, None)

    def visit_Call(self, node: ast.Call) -> None:
        """Add the call with its keywords."""
        if name := self.name_of(node.func):
            keywords = tuple(sorted(k.arg for k in node.keywords if k.arg))
            self.found.add((name, keywords))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Add the name, if no longer one holds it."""
        if name := self.name_of(node):
            self.found.add((name, ()))
        while isinstance(node, ast.Attribute):
            node = node.value
        self.visit(node)

    def name_of(self, node: ast.AST) -> str | None:
        """Return ``root.attribute…`` for a chain that begins at a root, else None."""
        if isinstance(node, ast.Name):
            known = self.modules.get(node.id)
            return known or (node.id if node.id in ("xp", "xdf", "ml") else None)
        if not isinstance(node, ast.Attribute):
            return None
        if node.attr in TWINS and ast.unparse(node.value).endswith(("backend", "backend()")):
            return node.attr
        owner = self.name_of(node.value)
        if owner is None and (made := self.made_by(node.value)):
            owner = f"{made}()"
        return f"{owner}.{node.attr}" if owner else None

    def made_by(self, node: ast.AST) -> str | None:
        """Return the class of a value, as far as the code tells it."""
        if isinstance(node, ast.Name):
            return self.variables.get(node.id)
        if not isinstance(node, ast.Call):
            return None
        name = self.name_of(node.func)
        if name is None:
            return None
        if name.rpartition(".")[2] in SAME and "()." in name:
            return name.partition("()")[0]
        real = gpu_name(name)
        if real in GIVES:
            return GIVES[real]
        is_class = real and "()" not in real and real.rpartition(".")[2][:1].isupper()
        return real if is_class else None


def gpu_name(name: str) -> str:
    """Turn ``xp.bincount`` into ``cupy.bincount``, and ``KMeans`` into the class behind it."""
    root, dot, rest = name.partition(".")
    return TWINS[root][1].replace(":", ".") + dot + rest if root in TWINS else name


def cpu_name(name: str) -> str | None:
    """Turn ``xp.bincount`` into ``numpy.bincount``; None for what only a GPU has."""
    root, dot, rest = name.partition(".")
    return TWINS[root][0].replace(":", ".") + dot + rest if root in TWINS else None


def find(name: str) -> object:
    """Find the object behind a dotted name; ``Class()`` stands for an instance of Class.

    Raises
    ------
    AttributeError
        If there is none, naming the part that is missing.
    """
    first, *rest = name.replace("()", "").split(".")
    found, path = importlib.import_module(first), first
    for part in rest:
        path = f"{path}.{part}"
        if inspect.isclass(found) and on_instances_only(found, part):
            return None
        if not hasattr(found, part) and inspect.ismodule(found):
            try:
                importlib.import_module(path)  # a submodule that nobody imported yet
            except ModuleNotFoundError:
                raise AttributeError(f"there is no {path}") from None
        found = getattr(found, part)
    return found


def on_instances_only(owner: type, attribute: str) -> bool:
    """Whether the attribute is a field, or is made by fit, as code or documentation say."""
    if attribute in getattr(owner, "__annotations__", {}):
        return True
    if attribute.startswith("_") or not attribute.endswith("_"):
        return False
    behind = BEHIND.get(f"{owner.__module__.rpartition('.')[0]}.{owner.__name__}")
    classes = [*owner.__mro__, *(find(behind).__mro__ if behind else [])]
    return any(
        attribute in (cls.__doc__ or "") or f"self.{attribute}" in code_of(cls) for cls in classes
    )


def code_of(cls: type) -> str:
    """Return the source of a class; of a compiled one, that of the Cython file beside it."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        compiled = Path(getattr(sys.modules[cls.__module__], "__file__", None) or "builtin")
        source = compiled.with_name(compiled.name.partition(".")[0] + ".pyx")
        return source.read_text(encoding="utf-8") if source.exists() else ""
