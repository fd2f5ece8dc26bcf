"""The house's rules, kept: one direction of imports, small functions, small files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "netc"

# Each layer may import itself and every layer above it in this list.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"version", "_data", "printable"}),
    frozenset({"diagnostics"}),
    frozenset({"boundary", "data", "cache", "files", "memory", "paths", "syntax", "ir"}),
    frozenset({"schema"}),
    frozenset({"migrate", "ops", "weights", "images", "resizing", "language"}),
    frozenset({"lower", "infer", "analysis"}),
    frozenset({"passes", "plan", "train"}),
    frozenset({"backends", "export", "report"}),
    frozenset({"sources"}),
    frozenset({"arguments", "compiled", "driver"}),
    frozenset({"solver", "gradcheck"}),
    frozenset({"surgery"}),
    frozenset({"compat"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Imported inside functions only: they are extras, or slow to load.
OPTIONAL = frozenset(
    {"cupy", "numba", "llvmlite", "onnx", "h5py", "PIL", "lmdb", "plyvel", "rich"}
) | {"matplotlib", "tensorboardX"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The layer's name of a module: the first name below netc."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def top_level_imports(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from imports(statement)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = RANK[part(path)]
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] == "netc" and len(parts) > 1 and not parts[1].startswith("_"):
            assert RANK[parts[1]] <= own, f"{path.name} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_optional_packages_are_imported_where_they_are_used(path: Path) -> None:
    if "backends" in path.parts:
        pytest.skip("a backend's own modules are imported only when it is asked for")
    for name in top_level_imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert name.split(".")[0] not in OPTIONAL, f"{path.name} imports {name} when loaded"


def test_backends_do_not_import_each_other() -> None:
    """What two backends need is in ``backends/shared``."""
    for path in (PACKAGE / "backends").rglob("*.py"):
        own, *rest = path.relative_to(PACKAGE / "backends").parts
        others = {"cpu", "cuda"} - {own} if rest else set()
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
            found = name.removeprefix("netc.backends.").split(".")[0]
            assert found not in others or not name.startswith("netc.backends."), f"{path}: {name}"


def code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert code_lines(text) <= 400, "over 400 lines: make it two files"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= 60, f"{node.name} is {length} lines long"


def test_no_import_cycles_between_modules() -> None:
    graph = {}
    for path in MODULES:
        name = ".".join(("netc", *path.relative_to(PACKAGE).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        graph[name] = set(top_level_imports(ast.parse(path.read_text(encoding="utf-8"))))
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name not in graph or state.get(name) == 2:
            return
        assert state.get(name) != 1, " -> ".join((*trail, name))
        state[name] = 1
        for other in graph[name]:
            if other != name:
                visit(other, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


def test_class_names_of_backends_are_unique() -> None:
    """A class is found by its name alone, in any backend."""
    homes: dict[str, list[str]] = {}
    for path in sorted((PACKAGE / "backends").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
