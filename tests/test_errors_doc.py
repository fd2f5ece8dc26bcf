"""docs/errors.md lists exactly the codes that the sources use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from netc.aot.targets import CPUS, DEFAULT_CPUS, NEWER_CPUS
from netc.backends.cuda.fusing import FUSE_GRADIENTS
from netc.cli.main import COMMANDS
from netc.passes.pipeline import BY_NAME

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+\Z")

# Hyphenated words in the sources that are no codes.
PROCESSORS = {name for cpus in CPUS.values() for name in cpus} | {*DEFAULT_CPUS, *NEWER_CPUS}
OTHERS = {
    "utf-8", "utf-8-sig", "utf-16", "latin-1", "data-transform", "batch-norm", "per-rank",
    "ten-crop",
} | {*BY_NAME, FUSE_GRADIENTS.name} | PROCESSORS | set(COMMANDS)  # fmt: skip

# Where a code of a single word may stand: the first argument of these.
MAKERS = {"Diagnostic", "fault", "_fault", "report"}


def single_words(path: Path, tree: ast.AST) -> Iterator[str]:
    """Codes without a hyphen."""
    makers = MAKERS | ({"error"} if "language" in path.parts else set())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            first = node.args[0]
            if name in makers and isinstance(first, ast.Constant):
                if re.fullmatch("[a-z]+", str(first.value)):
                    yield str(first.value)


def codes_in_sources() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "netc").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= set(single_words(path, tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if CODE.match(node.value):
                    found.add(node.value)
    return found - OTHERS


def codes_in_document() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {code for cell in first_cells for code in re.findall(r"`([^`]+)`", cell)}


def test_every_code_is_documented() -> None:
    assert codes_in_sources() - codes_in_document() == set()


def test_every_documented_code_is_used() -> None:
    assert codes_in_document() - codes_in_sources() == set()
