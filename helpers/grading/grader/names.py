"""Which statements of a module another one needs: what it uses, and what that uses."""

import ast


def bound(node):
    """Names that a statement of a module binds.

    Examples
    --------
    >>> bound(ast.parse("a, b = 1, 2").body[0])
    ['a', 'b']
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return [part.id for part in ast.walk(node) if _is_stored(part)]
    return []


def reached(tree, start):
    """Statements of a module that others need.

    Parameters
    ----------
    tree : ast.Module
    start : list of ast.AST
        Those others; or parts of them.

    Returns
    -------
    set of ast.AST
        The statements that bind what is used, and the start itself.
    """
    binders = [(name, node) for node in tree.body for name in bound(node)]
    found, waiting = set(), list(start)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            waiting += [binder for name, binder in binders if name in used]
    return found


def _is_stored(part):
    return isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
