from __future__ import annotations

from pathlib import Path

from netc.analysis.lint import CODES
from netc.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "seeing.md").read_text(encoding="utf-8")


def test_every_lint_is_told() -> None:
    assert [code for code in CODES if f"`{code}`" not in TEXT] == []


def test_the_commands_are_there() -> None:
    for command in ("summary", "compare", "receptive", "lint", "draw", "view"):
        assert command in COMMANDS and f"netc {command}" in TEXT


def test_the_readme_has_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"netc {command}" not in text] == []
