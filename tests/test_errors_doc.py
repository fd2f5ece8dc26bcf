"""docs/errors.md lists exactly the codes that the sources use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from netc.passes.pipeline import BY_NAME

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+\Z")

# Hyphenated words in the sources that are no codes.
OTHERS = {
    "utf-8", "utf-8-sig", "utf-16", "latin-1", "data-transform", "batch-norm",
} | set(BY_NAME)  # fmt: skip

# Codes that are made of parts, or are a single word.
MADE = {"bottom-count", "top-count", "template", "syntax"}


def codes_in_sources() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "netc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if CODE.match(node.value):
                    found.add(node.value)
    return (found - OTHERS) | MADE


def codes_in_document() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {code for cell in first_cells for code in re.findall(r"`([^`]+)`", cell)}


def test_every_code_is_documented() -> None:
    assert codes_in_sources() - codes_in_document() == set()


def test_every_documented_code_is_used() -> None:
    assert codes_in_document() - codes_in_sources() == set()
