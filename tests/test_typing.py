"""How much of netc is typed as ``Any``, which switches mypy off: a number a package, kept low."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

import netc

PACKAGE = Path(netc.__file__).parent

# The most times that the name `Any` may stand in each package, imports counted. A number goes down
# where types are found; it goes up only with a reason in the commit that raises it. What is left is
# JSON and YAML that is read, objects of packages without types, and attributes that scripts give.
MOST = {
    ".": 18,
    "aot": 7,
    "backends": 40,
    "cli": 31,
    "compat": 52,
    "export": 25,
    "ir": 4,
    "language": 8,
    "lower": 4,
    "ops": 34,
    "predict": 98,
    "quantize": 11,
    "ranks": 7,
    "report": 12,
    "schema": 46,
    "solver": 41,
    "sources": 8,
    "surgery": 33,
    "syntax": 12,
    "train": 5,
    "weights": 21,
}

ALIASES = {"language/values.py": "Value"}  # values of the language, which its rules look at


def package_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "."


def times(text: str) -> int:
    """How often the name stands in a module, apart from its prose."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.NAME and token.string == "Any" for token in tokens)


def aliases(text: str) -> list[str]:
    """Names that are nothing but another name of it."""
    return [
        target.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Any"
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]


def modules() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


def test_packages_have_no_more_of_it_than_they_had() -> None:
    found = Counter[str]()
    for path, text in modules():
        found[package_of(path)] += times(text)
    over = {p: (n, MOST.get(p, 0)) for p, n in found.items() if n > MOST.get(p, 0)}
    assert not over, "package: (times `Any` stands there, the most it may)"


def test_all_of_it_is_at_most_a_third_of_what_there_was() -> None:
    assert sum(MOST.values()) <= 1818 // 3


def test_it_has_no_other_names() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): name
        for path, text in modules()
        for name in aliases(text)
    }
    assert found == ALIASES


def test_what_is_counted() -> None:
    text = 'from typing import Any\nx: Any = f("Any")  # Any\ny: list[Any] = []\n'
    assert times(text) == 3
    assert aliases("Params = Any\nx = 1") == ["Params"]
    assert aliases("Params: TypeAlias = Any") == ["Params"]
