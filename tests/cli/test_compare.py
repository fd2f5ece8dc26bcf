from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.cli.main import main
from tests.cli.test_check import write
from tests.report.test_compare import NEW, OLD


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path, OLD, "old"), write(tmp_path, NEW, "new")
    assert main(["compare", old, new]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"A: {old}\nB: {new}\n" in out
    assert "layers: 1 added, 1 removed, 3 changed, 1 renamed, 2 same" in out
    assert max(map(len, out.splitlines()[3:])) <= 80


def test_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path, OLD, "old"), write(tmp_path, NEW, "new")
    assert main(["compare", old, new, "--exit-code"]) == 1
    assert main(["compare", old, old, "--exit-code"]) == 0
    assert "the nets have the same 7 layers" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path, OLD, "old"), write(tmp_path, NEW, "new")
    main(["compare", old, new, "--json"])
    assert json.loads(capsys.readouterr().out)["counts"]["changed"] == 3
