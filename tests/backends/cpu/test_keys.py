"""A kernel's key changes with what its machine code follows from, and with nothing else."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netc.backends.cpu import jit, keys
from netc.backends.cpu.keys import WITHOUT_EFFECT, imported, kernel_key, sources_of
from netc.backends.cpu.machine import Machine

PACKAGE = Path(keys.__file__).resolve().parents[2]
KERNELS = "netc.backends.cpu.kernels"
MODULES = sorted(
    path.stem
    for path in (PACKAGE / "backends" / "cpu" / "kernels").glob("*.py")
    if path.stem != "__init__"
)


@pytest.fixture(scope="module")
def target() -> Machine:
    return Machine("avx2", "x86", 8, 16, 32 << 10, 512 << 10, "x86-64-v3", "+fma")


def copied(to: Path) -> Path:
    """A copy of netc's sources, to be changed."""
    keep = shutil.ignore_patterns("__pycache__", "_data")
    return shutil.copytree(PACKAGE, to / "netc", ignore=keep)


def changed_by(path: str, text: str, tmp_path: Path, target: Machine) -> set[str]:
    """The modules whose kernels have another key when a line is added to a file."""
    package = copied(tmp_path)
    with (package / path).open("a", encoding="utf-8") as file:
        file.write(text)
    return {
        name
        for name in MODULES
        if kernel_key("k", name, target) != kernel_key("k", name, target, package)
    }


def test_an_equal_copy_has_equal_keys(tmp_path: Path, target: Machine) -> None:
    assert changed_by("ops/lrn.py", "", tmp_path, target) == set()


def test_a_helper_changes_the_kernels_that_import_it(tmp_path: Path, target: Machine) -> None:
    found = changed_by("backends/shared/cook_toom.py", "X = 1\n", tmp_path, target)
    assert found == {"packing", "winograd", "winograd_transform", "winograd_weights"}


def test_a_comment_changes_none(tmp_path: Path, target: Machine) -> None:
    text = "# A line of its own.\n    # And one that is indented.\n"
    assert changed_by("backends/cpu/kernels/simd.py", text, tmp_path, target) == set()


def test_no_line_of_a_string_looks_like_a_comment() -> None:
    """Such a line would be left out of the key, though code may follow from it."""
    for name, text in {
        k: v for m in MODULES for k, v in sources_of(f"{KERNELS}.{m}").items()
    }.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                lines = text.splitlines()[node.lineno : node.end_lineno]
                assert not any(line.lstrip().startswith("#") for line in lines), (name, node.lineno)


def test_directly_or_not(tmp_path: Path, target: Machine) -> None:
    found = changed_by("backends/cpu/kernels/epilogue.py", "X = 1\n", tmp_path, target)
    assert {"epilogue", "tile", "conv", "winograd_weights"} <= found
    assert not found & {"transpose", "selection", "softmax", "regions", "pooling"}


def test_a_kernel_changes_itself(tmp_path: Path, target: Machine) -> None:
    assert changed_by("backends/cpu/kernels/softmax.py", "X = 1\n", tmp_path, target) == {"softmax"}


@pytest.mark.parametrize("path", ["backends/cpu/kernels/build.py", "backends/cpu/llvm.py"])
def test_the_compiler_changes_all(path: str, tmp_path: Path, target: Machine) -> None:
    assert changed_by(path, "X = 1\n", tmp_path, target) == {*MODULES}


@pytest.mark.parametrize(
    "path",
    ["ops/pooling.py", "backends/cpu/emit/table.py", "diagnostics.py", "backends/cpu/jit.py"],
)
def test_what_writes_no_kernel_changes_none(path: str, tmp_path: Path, target: Machine) -> None:
    assert changed_by(path, "X = 1\n", tmp_path, target) == set()


def test_options_and_machines_change_it(target: Machine) -> None:
    one, other = jit.spec("linear", "f", a=1), jit.spec("linear", "f", a=2)
    plain = jit.kernel_key(one, target)
    assert plain != jit.kernel_key(other, target)
    assert plain != jit.kernel_key(one, replace(target, features=target.features + ",+x"))
    assert plain != jit.kernel_key(one, replace(target, cpu="other"))


# Every import is seen: the sources' own syntax trees are the reference.


def reference(text: str) -> Iterator[str]:
    """What a module imports when it runs, in functions too, as Python's parser sees it."""
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def module_of(name: str) -> str | None:
    """The module of netc that a name is, or is in."""
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        if parts[0] == "netc" and PACKAGE.joinpath(*parts[1:end]).with_suffix(".py").is_file():
            return ".".join(parts[:end])
    return None


@pytest.mark.parametrize("name", MODULES)
def test_all_that_a_kernel_imports_is_in_its_key(name: str) -> None:
    texts = sources_of(f"{KERNELS}.{name}")
    for module, text in texts.items():
        if module != keys.__name__:
            found = {module_of(name) for name in reference(text)} - {None}
            assert found <= {*texts} | WITHOUT_EFFECT, module
    assert {f"{KERNELS}.build", "netc.backends.cpu.llvm", "netc.backends.cpu.machine"} <= {*texts}


def test_kernels_import_nothing_by_names_that_are_made() -> None:
    for path in (PACKAGE / "backends" / "cpu" / "kernels").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import_module" not in text and "__import__" not in text, path.name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import netc.paths\n", {"netc.paths"}),
        ("import netc.paths as p, netc.files\n", {"netc.paths", "netc.files"}),
        ("from netc import paths\n", {"netc.paths"}),
        ("from netc.paths import (\n    named_file,\n)\n", {"netc.paths"}),
        (
            "from netc.ops import (\n    lrn,  # a comment\n    spp,\n)\n",
            {"netc.ops.lrn", "netc.ops.spp"},
        ),
        ("def f():\n    from netc.paths import named_file\n", {"netc.paths"}),
        ('m = import_module("netc.paths")\n', {"netc.paths"}),
        ('"""See :mod:`netc.paths`."""\n', set()),
        ("if TYPE_CHECKING:\n    from netc.paths import x\n\nimport netc.files\n", {"netc.files"}),
        ("import netcdf\nfrom netcdf.paths import x\n", set()),
    ],
)
def test_what_counts_as_an_import(text: str, found: set[str]) -> None:
    assert set(imported(text)) == found
