"""The support table says what the backends' tables say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from netc.ops.catalog import LAYERS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("support", DOCS / "support.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_up_to_date() -> None:
    text = (DOCS / "support.md").read_text(encoding="utf-8")
    assert text == script().table(), "run: python docs/support.py"


def test_every_layer_has_a_row() -> None:
    text = (DOCS / "support.md").read_text(encoding="utf-8")
    assert all(f"\n| {name} |" in text for name in LAYERS)
