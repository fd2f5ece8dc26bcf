"""docs/api.md is what the docstrings say now, and leaves out nothing that is public."""

from __future__ import annotations

import importlib.util
import inspect
import re
from types import ModuleType

import netc
from tests.docs.blocks import ROOT


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "docs" / "api.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert text == generator().page(), "run: python docs/api.py"


def test_every_public_name_and_argument_is_told() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in netc.__all__ if name[0] != "_" and f"`netc.{name}`" not in text] == []
    told = text[text.index("### `netc.compile`") :].split("\n### ")[0].partition("Arguments:")[2]
    heads = re.findall(r"^\* `([^`]*)`: ", told, re.MULTILINE)
    named = {name.strip() for head in heads for name in head.split(",")}
    assert set(inspect.signature(netc.compile).parameters) <= named
