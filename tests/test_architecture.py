"""The house's rules, kept: one direction of imports, small functions, small files."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from netc.ops.catalog import CATALOG
from netc.ops.catalog import LAYERS as LAYER_TYPES
from netc.ops.homes import MADE, OPS

PACKAGE = Path(__file__).resolve().parent.parent / "netc"

# Each layer may import itself and every layer above it in this list.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"version", "_data", "numeric", "printable"}),
    frozenset({"diagnostics"}),
    frozenset({"boundary", "data", "cache", "files", "memory", "paths", "recent", "syntax", "ir"}),
    frozenset({"schema"}),
    frozenset({"migrate", "ops", "weights", "images", "image_files", "resizing", "language"}),
    frozenset({"lower", "infer", "analysis"}),
    frozenset({"passes", "plan", "train"}),
    frozenset({"backends", "export", "report"}),
    frozenset({"sources"}),
    frozenset({"arguments", "compiled", "driver", "feeding", "frontend", "layer_arrays"}),
    frozenset({"surgery"}),
    frozenset({"predict"}),
    frozenset({"ranks", "solver", "gradcheck", "aot", "quantize"}),
    frozenset({"compat"}),
    frozenset({"project"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Imported inside functions only: they are extras, or slow to load.
OPTIONAL = frozenset(
    {"cupy", "numba", "llvmlite", "onnx", "h5py", "PIL", "lmdb", "plyvel", "rich"}
) | {"matplotlib", "tensorboardX", "mpi4py", "pyarrow", "ray"}

MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


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
    for name in imports(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "netc" and len(parts) > 1 and not parts[1].startswith("_"):
            assert RANK[parts[1]] <= own, f"{path.name} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_optional_packages_are_imported_where_they_are_used(path: Path) -> None:
    if "backends" in path.parts:
        pytest.skip("a backend's own modules are imported only when it is asked for")
    for name in top_level_imports(tree_of(path)):
        assert name.split(".")[0] not in OPTIONAL, f"{path.name} imports {name} when loaded"


def test_backends_do_not_import_each_other() -> None:
    """What two backends need is in ``backends/shared``."""
    for path in (PACKAGE / "backends").rglob("*.py"):
        own, *rest = path.relative_to(PACKAGE / "backends").parts
        others = {"cpu", "cuda"} - {own} if rest else set()
        for name in imports(tree_of(path)):
            found = name.removeprefix("netc.backends.").split(".")[0]
            assert found not in others or not name.startswith("netc.backends."), f"{path}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_backends_are_reached_by_the_registry(path: Path) -> None:
    """Nothing but the registry, and interfaces that name devices, imports a backend's modules.

    But for `aot`, which is about the CPU backend: it makes its programs libraries.
    """
    if part(path) in ("backends", "compat", "aot"):
        return
    for name in imports(tree_of(path)):
        assert not name.startswith(("netc.backends.cpu", "netc.backends.cuda")), name


def code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = text_of(path)
    assert len(text.splitlines()) <= 420, "over 400 lines: make it two files"  # some slack
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = whole_lines(node, text.splitlines())
            known = f"{path.relative_to(PACKAGE).as_posix()}:{node.name}" in LONG_SIGNATURES
            body = body_lines(node, text.splitlines())
            assert length <= MAX_LINES or (known and body <= MAX_LINES), f"{node.name}: {length}"


MAX_LINES = 47  # of a function, with its signature

# Signatures of the public interface, one keyword a line, that alone take a function beyond that.
LONG_SIGNATURES = {
    "solver/solver.py:__init__": "netc.Solver: every option of a run is a keyword",
}


def test_functions_with_long_signatures_are_there() -> None:
    for name in LONG_SIGNATURES:
        path, function = name.split(":")
        tree = tree_of(PACKAGE / path)
        assert any(
            isinstance(node, ast.FunctionDef)
            and node.name == function
            and node.body[0].lineno - node.lineno > MAX_LINES // 2
            for node in ast.walk(tree)
        ), name


def whole_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of code of a function with its signature, without docstring, comments and blanks.

    A comment is no reason to cut a function.
    """
    return code_lines("\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])) + body_lines(
        node, lines
    )


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of code of a function's body, without its docstring, comments and blanks."""
    first = (
        node.body[0].lineno
        if ast.get_docstring(node) is None
        else (node.body[0].end_lineno or 0) + 1
    )
    return code_lines("\n".join(lines[first - 1 : node.end_lineno]))


def quantile(numbers: list[int], share: float) -> int:
    return sorted(numbers)[int(len(numbers) * share)]


def test_most_files_and_functions_are_much_smaller() -> None:
    """Nine tenths of the files have at most 265 lines, of the functions' bodies at most 15."""
    files, bodies = [], {}
    for path in MODULES:
        lines = text_of(path).splitlines()
        files.append(len(lines))
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                bodies[f"{path.name}:{node.lineno}"] = body_lines(node, lines)
    assert quantile(files, 0.9) <= 265
    assert quantile(list(bodies.values()), 0.9) <= 15
    assert {name: length for name, length in bodies.items() if length > MAX_LINES} == {}


def private_names(tree: ast.AST) -> Iterator[str]:
    """Names that are private to netc's modules and imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("netc."):
            yield from (a.name for a in node.names if a.name.startswith("_") and a.name[1:2] != "_")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_private_names_stay_in_their_modules(path: Path) -> None:
    if "kernels" in path.parts:
        pytest.skip("kernels are made of each other's inlined parts")
    assert not list(private_names(tree_of(path)))


def test_private_names_are_seen() -> None:
    text = "from netc.ops.loss import _ONE, scalar\nfrom netc import __version__\n"
    assert list(private_names(ast.parse(text))) == ["_ONE"]


def run_time_imports(tree: ast.AST) -> Iterator[str]:
    """Modules, and names that may be modules, that are imported at the top or inside functions."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        yield tree.module or ""
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for node in ast.iter_child_nodes(tree):
        yield from run_time_imports(node)


def test_imports_inside_functions_are_seen() -> None:
    text = "def f():\n    from netc.ops import loss\n    import netc.infer"
    assert set(run_time_imports(ast.parse(text))) == {"netc.ops", "netc.ops.loss", "netc.infer"}


def test_no_import_cycles_between_modules() -> None:
    graph = {}
    for path in MODULES:
        name = ".".join(("netc", *path.relative_to(PACKAGE).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        graph[name] = set(run_time_imports(tree_of(path)))
    # What the catalogue imports by name, when it is asked for, counts as its imports too.
    graph["netc.ops.catalog"] |= {f"netc.ops.{family}" for family in (*OPS, *MADE)}
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


# Classes that pycaffe and OpenCV have under the same name.
OF_BOTH_INTERFACES = {"Layer", "Net", "Solver"}


def classes(tree: ast.AST) -> Iterator[str]:
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def test_class_names_are_unique() -> None:
    """A class is found by its name alone, and its name has one meaning."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for name in classes(tree_of(path)):
            homes.setdefault(name, []).append(path.relative_to(PACKAGE).as_posix())
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice.keys() == OF_BOTH_INTERFACES, twice


def test_classes_are_seen() -> None:
    text = "class A:\n    class B: ...\ndef f():\n    class C: ...\n"
    assert set(classes(ast.parse(text))) == {"A", "B", "C"}


def test_shapes_are_written_by_one_function() -> None:
    """``1x3x224x224`` is netc.ir.types.show."""
    joins = [
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "join"
        and isinstance(node.value, ast.Constant)
        and node.value.value == "x"
    ]
    assert set(joins) == {"ir/types.py"}


def test_what_was_used_last_is_kept_by_one_class() -> None:
    """An ordered dictionary that drops its first is netc.recent.LeastRecentlyUsed."""
    dropping = [path for path in MODULES if "popitem(last=False)" in text_of(path)]
    assert not dropping


# Tables with one value for each op and something else: a backend, ONNX, a format, an interface.
OP_TABLES: Mapping[str, str] = {
    "ops/": "what ops are",
    "backends/cpu/emit/": "which kernels the CPU has for an op",
    "backends/cuda/emit/": "which kernels the GPU has for an op",
    "backends/cuda/chains.py": "an op as a statement in C++",
    "backends/cuda/slopes.py": "C++ of elementwise layers' gradients",
    "export/onnx/": "an op as nodes of ONNX",
    "export/torch/": "an op as a module or expression of PyTorch",
    "migrate/": "layer types of old formats",
    "language/shorts.py": "short names of layer types",
    "language/notation.py": "layer types whose fields may be written without names",
    "sources/catalog.py": "what reads the data of a layer type",
    "surgery/heads.py": "what becomes of a layer type where a training net is deployed",
    "surgery/onnx_import/": "nodes of ONNX as layers",
    "train/samples.py": "what is drawn for an input that a contents rule does not tell",
    "weights/layer_types.py": "numbers of layer types in old files",
    "weights/modern.py": "how many axes old files gave the arrays of a layer type",
    "weights/seeded.py": "how random weights of a layer type are drawn",
    "compat/pycaffe/coord_map.py": "pycaffe's maps of coordinates",
    "compat/pycaffe/draw.py": "pycaffe's pictures",
    "compat/pycaffe/needs.py": "which bottoms of a layer type pycaffe's force_backward passes over",
}
# Names that mean something else where they are met: a tile's width, an addition in Python's syntax.
NOT_OPS = frozenset({"BN", "Add"})


def strings_in(node: ast.expr | None) -> Iterator[str]:
    """The strings of a literal: itself, its elements, its keys, the words of ``"...".split()``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Set | ast.Tuple | ast.List):
        for element in node.elts:
            yield from strings_in(element)
    elif isinstance(node, ast.Dict):
        for key in node.keys:
            yield from strings_in(key)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "split":
            yield from (word for text in strings_in(node.func.value) for word in text.split())


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and string of what is compared with, or stands in a table or set to be looked up in."""
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            found = [node.left, *node.comparators]
        elif isinstance(node, ast.Set | ast.Dict):
            found = [node]
        elif isinstance(node, ast.MatchValue):
            found = [node.value]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and is_table_or_constant(node):
            found = [node.value]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset"):
            found = list(node.args)
        for expression in found:
            yield from ((expression.lineno, s) for s in strings_in(expression) if expression)


def is_table_or_constant(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    constant = all(isinstance(t, ast.Name) and t.id.isupper() for t in targets)
    return constant or not isinstance(node.value, ast.Constant)


def op_names_in(text: str) -> set[tuple[int, str]]:
    names = ({*LAYER_TYPES} | {*CATALOG}) - NOT_OPS
    return {(line, name) for line, name in compared(ast.parse(text)) if name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_ops_are_asked_for_their_roles_not_their_names(path: Path) -> None:
    """What is true of an op stands in its OpDef (netc.ops.role), but for tables with two keys."""
    if not path.relative_to(PACKAGE).as_posix().startswith(tuple(OP_TABLES)):
        assert not op_names_in(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        'x = node.op == "ReLU"',
        'x = node.op not in ("Scale", "Bias")',
        'MAPS = frozenset({"Scale"})',
        'MAPS = frozenset("Scale Bias".split())',
        'FAMILY = {"Pooling": "pooling"}',
        'match op:\n    case "Concat":\n        pass',
        'POOLING = "Pooling"',
        'PRODUCTS = ("Convolution", "InnerProduct")',
    ],
)
def test_names_of_ops_are_seen(text: str) -> None:
    assert op_names_in(text)


def test_names_that_are_made_are_none_that_are_compared() -> None:
    assert not op_names_in('node = Node(name, "Scale", params)\nlog("Scale folded")')


def test_tables_of_ops_are_there() -> None:
    assert all((PACKAGE / name).exists() for name in OP_TABLES)


# How many lines of code may stand twice: with one more they are a function, or a record, of their
# own. Imports, docstrings, comments and blanks do not count, nor how far lines are indented.
MAX_ALIKE = 9


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A module and the statements in it, at any depth; what they are made of is not looked at."""
    yield tree
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(tree, block, ()):
            yield from statements(statement)


def lines_of_code(tree: ast.Module, text: str) -> list[tuple[int, str]]:
    """Number and text of each line that counts."""
    left_out: set[int] = set()
    for node in statements(tree):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = ((k, line.split("  # ")[0].strip()) for k, line in enumerate(text.splitlines(), 1))
    return [(k, s) for k, s in lines if s and s[0] != "#" and k not in left_out]


def alike(files: Mapping[str, Sequence[tuple[int, str]]], count: int) -> Iterator[tuple[str, str]]:
    """The places, ``file:line``, of runs of ``count`` lines that are the same, in pairs."""
    seen: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for name, lines in files.items():
        texts = [text for _, text in lines]
        for k in range(len(lines) - count + 1):
            seen[tuple(texts[k : k + count])].append((name, k))
    for places in seen.values():
        (name, k), *others = places
        for other, at in others:
            if (name, k + count) <= (other, at) or name != other:  # not one run over itself
                yield f"{name}:{lines_at(files, name, k)}", f"{other}:{lines_at(files, other, at)}"


def lines_at(files: Mapping[str, Sequence[tuple[int, str]]], name: str, k: int) -> int:
    return files[name][k][0]


def test_no_ten_lines_stand_twice() -> None:
    files = {
        path.relative_to(PACKAGE).as_posix(): lines_of_code(tree_of(path), text_of(path))
        for path in MODULES
    }
    assert not list(alike(files, MAX_ALIKE + 1)), "write what both do once, and call it"


def test_lines_that_stand_twice_are_seen() -> None:
    """Also where they are indented otherwise and have other comments; and not where one differs."""
    body = [f"x{k} = f({k})" for k in range(MAX_ALIKE + 1)]
    once = "\n".join(body)
    twice = "def f():\n" + "\n".join(f"    # why {line}\n    {line}  # so" for line in body)
    other = once.replace("f(5)", "f(6)")
    files = {
        name: lines_of_code(ast.parse(text), text)
        for name, text in {"a": once, "b": twice, "c": other}.items()
    }
    assert list(alike(files, MAX_ALIKE + 1)) == [("a:1", "b:3")]
