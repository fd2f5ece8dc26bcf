from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netc.cli.main import main
from tests.analysis.test_profile import UNKNOWN
from tests.cli.test_check import write
from tests.report.test_dot import BLOCK

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def test_text_needs_no_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    net, target = write(tmp_path, BLOCK), tmp_path / "net.dot"
    assert main(["draw", net]) == 0
    out = capsys.readouterr().out
    assert out.startswith("digraph ")
    assert main(["draw", net, "-o", str(target)]) == 0
    assert target.read_text() == out


def test_pictures_need_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    target = tmp_path / "net.svg"
    assert main(["draw", write(tmp_path, BLOCK), "-o", str(target)]) == 1
    err = capsys.readouterr().err
    assert "error[missing-program]" in err and "apt install graphviz" in err
    assert "-o net.dot writes its input" in err and not target.exists()


@needs_graphviz
@pytest.mark.parametrize(
    ("name", "magic"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")]
)
def test_pictures(tmp_path: Path, name: str, magic: bytes) -> None:
    target = tmp_path / name
    assert main(["draw", write(tmp_path, BLOCK), "-o", str(target), "--direction", "LR"]) == 0
    assert target.read_bytes().startswith(magic)


def test_a_program_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'out of ink' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    net = write(tmp_path, BLOCK)
    assert main(["draw", net, "-o", str(tmp_path / "net.svg")]) == 1
    assert (
        "error[failed-program]: `dot` did not draw the net: out of ink" in capsys.readouterr().err
    )


def test_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", write(tmp_path, BLOCK), "-o", "net.bmp"]) == 1
    assert "ends in none of .svg, .png, .pdf, .dot" in capsys.readouterr().err


def test_what_is_known_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", write(tmp_path, UNKNOWN)]) == 0
    out, err = capsys.readouterr()
    assert "Mystery" in out and "warning[unknown-layer-type]" in err
