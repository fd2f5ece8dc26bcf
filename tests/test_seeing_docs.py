from __future__ import annotations

from pathlib import Path

from netc.analysis.lint import CODES
from netc.cli.main import COMMANDS

TEXT = (Path(__file__).parent.parent / "docs" / "seeing.md").read_text(encoding="utf-8")


def test_every_lint_is_told() -> None:
    assert [code for code in CODES if f"`{code}`" not in TEXT] == []


def test_the_commands_are_there() -> None:
    for command in ("summary", "compare", "receptive", "lint", "draw", "view"):
        assert command in COMMANDS and f"netc {command}" in TEXT
