"""The grammar's tables: made by Lark once, then taken from the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netc.syntax.build import Builder
from netc.syntax.tables import GRAMMAR, build_tables, load_tables

PROGRAM = """
import sys
from netc.diagnostics import Source
from netc.syntax.parser import parse_document
assert len(parse_document(Source("a", "a: 1 b { c: 'd' }")).fields) == 2
print("lark" in sys.modules)
"""


def imports_lark(cache: Path) -> bool:
    """Whether a fresh Python with this cache folder imports Lark to read a text."""
    env = {**os.environ, "NETC_CACHE_DIR": str(cache)}
    out = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout.strip() == "True"


def test_a_warm_cache_spares_the_import_of_lark(tmp_path: Path) -> None:
    assert imports_lark(tmp_path)
    assert not imports_lark(tmp_path)


@pytest.mark.parametrize("spoilt", [b"", b"{", b"[]", b'{"terminals": 3}', b"\xff\xfe"])
def test_a_spoilt_cache_entry_is_made_anew(tmp_path: Path, spoilt: bytes) -> None:
    imports_lark(tmp_path)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(spoilt)
    assert imports_lark(tmp_path)
    assert entry.read_bytes() == whole


def test_no_cache_folder_is_no_fault(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert imports_lark(blocked / "cache")


def test_the_cached_tables_are_lark_s() -> None:
    built = build_tables(GRAMMAR.read_text(encoding="utf-8"))
    assert load_tables() == built


def test_every_alternative_of_the_grammar_has_its_method() -> None:
    for _, _, method in load_tables().rules:
        assert callable(getattr(Builder, "make_" + method))
