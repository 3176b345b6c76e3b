"""Change the reference solutions a little, one place at a time: a judge must notice each change.

``python -m tests.mutants [LESSON ...]`` prints every mutant that still gets full marks, and the
share that lost some. A survivor is a gap in a judge, or it does the same as the solution: then
`tests.equivalent` says why.
"""

import argparse
import ast
import contextlib
import copy
import io
import json
import signal
import sys
from pathlib import Path

from helpers.grading.exercise import all_exercises, judge, observe
from tests.equivalent import why

COURSE = Path(__file__).parents[1] / "course"
SEEDS = (1, 2)
SECONDS = 20  # a mutant may loop for ever: then it is noticed

SWAPPED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
RENAMED = {
    **{"min": "max", "max": "min", "any": "all", "all": "any", "sum": "max", "mean": "sum"},
    **{"argmin": "argmax", "argmax": "argmin", "sorted": "list", "set": "list"},
    **{"float64": "float32", "float32": "float64", "int32": "int64", "ones": "zeros"},
    **{"zeros": "ones", "concatenate": "stack", "maximum": "minimum", "minimum": "maximum"},
}


def changes(node):
    """Yield copies of a node with one change each."""
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            new = copy.deepcopy(node)
            new.ops[number] = SWAPPED[type(operator)]()
            yield new
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPPED:
        new = copy.deepcopy(node)
        new.op = SWAPPED[type(node.op)]()
        yield new
    if isinstance(node, ast.UnaryOp):
        yield copy.deepcopy(node.operand)
    if isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_constants(node.value))
    if isinstance(node, ast.Name) and node.id in RENAMED:
        yield ast.Name(RENAMED[node.id], node.ctx)
    if isinstance(node, ast.Attribute) and node.attr in RENAMED:
        yield ast.Attribute(copy.deepcopy(node.value), RENAMED[node.attr], node.ctx)
    if isinstance(node, ast.Call):
        for number, keyword in enumerate(node.keywords):
            new = copy.deepcopy(node)
            del new.keywords[number]
            if keyword.arg != "strict":  # a guard of zip that right answers never need
                yield new
    if isinstance(node, ast.IfExp):
        yield copy.deepcopy(node.body)
        yield copy.deepcopy(node.orelse)
    if isinstance(node, ast.If):
        for value in (True, False):
            new = copy.deepcopy(node)
            new.test = ast.Constant(value)
            yield new
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign):
        yield ast.Pass()
    if isinstance(node, ast.Continue | ast.Break):
        yield ast.Pass()


def _other_constants(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1]
    if isinstance(value, str) and value in RENAMED:
        return [RENAMED[value]]
    return []


class _Replace(ast.NodeTransformer):
    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


def mutants(source):
    """Yield (what changed, source) for every change of the functions in a cell."""
    tree = ast.parse(source)
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        function.body = function.body[bool(ast.get_docstring(function)) :]
    before = ast.unparse(tree)
    # A guard of zip that right answers never need.
    guards = {id(node.value) for node in ast.walk(tree) if getattr(node, "arg", "") == "strict"}
    for number, node in enumerate(ast.walk(tree)):
        for new in () if id(node) in guards else changes(node):
            mutant = copy.deepcopy(tree)
            old = list(ast.walk(mutant))[number]
            mutant = ast.fix_missing_locations(_Replace(old, new).visit(mutant))
            after = ast.unparse(mutant)
            if after != before:
                yield _difference(before, after), after


def _difference(before, after):
    """The lines that differ, as ``old -> new``."""
    old, new = before.split("\n"), after.split("\n")
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return f"{' '.join(' '.join(old).split())} -> {' '.join(' '.join(new).split())}"


def survives(exercise, function):
    """Whether a mutant gets full marks on all seeds."""

    def late(number, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    for seed in SEEDS:
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                facts = json.loads(json.dumps(observe(exercise, function, seed)))
                result = judge(exercise, facts, seed)
        except Exception:
            return False
        finally:
            signal.alarm(0)
        if result.points < exercise.points:
            return False
    return True


def examine(lesson):
    """Yield (exercise id, change, survived) for every mutant of a lesson's solutions."""
    (path,) = (COURSE / "solutions").glob(f"{lesson}_*.ipynb")
    cells = ["".join(c["source"]) for c in json.loads(path.read_text())["cells"] if _is_code(c)]
    namespace = {"__name__": "__main__"}
    for source in cells:
        exec(compile(source, str(path), "exec"), namespace)
    for exercise in all_exercises().values():
        if exercise.id[:2] != lesson:
            continue
        (cell,) = [source for source in cells if f"def {exercise.name}(" in source]
        for change, source in mutants(cell):
            mutated = dict(namespace)
            exec(compile(source, f"<{change}>", "exec"), mutated)
            yield exercise.id, change, survives(exercise, mutated[exercise.name])


def _is_code(cell):
    return cell["cell_type"] == "code" and not "".join(cell["source"]).startswith("check(")


def main(arguments=None):
    """Print the survivors; return 1 if one is not explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("lessons", nargs="*")
    lessons = parser.parse_args(arguments).lessons or sorted({id[:2] for id in all_exercises()})
    unexplained = 0
    for lesson in lessons:
        total = killed = equivalent = 0
        for id, change, survived in examine(lesson):
            total += 1
            killed += not survived
            if survived and why(id, change):
                equivalent += 1
            elif survived:
                unexplained += 1
                print(f"SURVIVES {id}: {change}", flush=True)
        print(f"{lesson}: {total} mutants, {killed} noticed, {equivalent} equivalent", flush=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
