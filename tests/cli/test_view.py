from __future__ import annotations

from pathlib import Path

import pytest

from netc.cli.main import main
from tests.analysis.test_profile import UNKNOWN
from tests.cli.test_check import write
from tests.report.test_dot import BLOCK


def test_the_page_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = write(tmp_path, BLOCK, "block.prototxt")
    monkeypatch.chdir(tmp_path)
    assert main(["view", net]) == 0
    assert capsys.readouterr().out == "wrote block.html\n"
    assert (tmp_path / "block.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    target = tmp_path / "other.html"
    assert main(["view", net, "-o", str(target), "--batch", "7"]) == 0
    assert "batch 7" in target.read_text(encoding="utf-8")


def test_it_is_shown_where_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    target = tmp_path / "a b.html"
    net = write(tmp_path, BLOCK)
    assert main(["view", net, "-o", str(target)]) == 0 and shown == []
    assert main(["view", net, "-o", str(target), "--open"]) == 0
    assert shown == [target.as_uri()]


def test_what_is_known_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "net.html"
    assert main(["view", write(tmp_path, UNKNOWN), "-o", str(target)]) == 0
    assert "warning[unknown-layer-type]" in capsys.readouterr().err
    assert "Mystery" in target.read_text(encoding="utf-8")


def test_where_it_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "nowhere" / "net.html"
    assert main(["view", write(tmp_path, BLOCK), "-o", str(target)]) == 1
    assert "error[cannot-write]" in capsys.readouterr().err
