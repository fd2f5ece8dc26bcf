"""The syntax of kernels' functions, for the translator (:mod:`.translate`)."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import NoReturn

from netc.backends.cpu.kernels.scalars import UntranslatableError


@cache
def _definitions(path: str) -> dict[tuple[str, int], ast.FunctionDef]:
    """The functions of a file by name and first line, decorators included."""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UntranslatableError(f"no source of {path}") from error
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {(f.name, min([f.lineno, *(d.lineno for d in f.decorator_list)])): f for f in functions}


@cache
def definition(function: FunctionType) -> tuple[ast.FunctionDef, Counter[str]]:
    """A function's syntax, and how often each of its names is assigned."""
    code = function.__code__
    node = _definitions(code.co_filename).get((code.co_name, code.co_firstlineno))
    simple = node is not None and not (
        node.args.vararg or node.args.kwarg or node.args.defaults or node.args.kwonlyargs
    )
    if node is None or not simple:
        raise UntranslatableError(f"the source of {code.co_name}")
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    assigned = Counter(n.id for n in stored)
    assigned.update(a.arg for a in node.args.args if assigned[a.arg])  # a call assigns it too
    return node, assigned


def symbol(op: ast.AST) -> str:
    """The name of an operator of Python's syntax."""
    return type(op).__name__


def unknown(node: ast.AST) -> NoReturn:
    """Refuse what the translator does not know."""
    raise UntranslatableError(f"`{ast.unparse(node)}`")
