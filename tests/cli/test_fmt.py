from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netc.cli.main import main

UGLY = "name:'x' # a net\nlayer{name:\"a\",type:'ReLU'\n\n\n  relu_param<negative_slope:0.1>}"
FINE = """name: "x"  # a net
layer {
  name: "a"
  type: "ReLU"

  relu_param {
    negative_slope: 0.1
  }
}
"""


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.prototxt"
    path.write_text(UGLY, encoding="utf-8")
    return path


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    path = tmp_path / "fine.prototxt"
    path.write_text(FINE, encoding="utf-8")
    return path


def test_prints_and_leaves_the_file_alone(
    ugly: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["fmt", str(ugly)]) == 0
    assert capsysbinary.readouterr() == (FINE.encode(), b"")
    assert ugly.read_text(encoding="utf-8") == UGLY


def test_several_files_one_after_the_other(
    ugly: Path, fine: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["fmt", "--stdout", str(ugly), str(fine)]) == 0
    assert capsysbinary.readouterr().out == 2 * FINE.encode()


def test_write(ugly: Path, fine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = fine.stat().st_mtime_ns
    assert main(["fmt", "-w", str(ugly), str(fine)]) == 0
    assert capsys.readouterr() == ("", f"{ugly}: formatted\n")
    assert ugly.read_text(encoding="utf-8") == FINE
    assert fine.stat().st_mtime_ns == before


def test_write_keeps_permissions_and_links(ugly: Path, tmp_path: Path) -> None:
    ugly.chmod(0o640)
    link = tmp_path / "link.prototxt"
    link.symlink_to(ugly)
    assert main(["fmt", "-w", str(link)]) == 0
    assert link.is_symlink()
    assert ugly.read_text(encoding="utf-8") == FINE
    assert ugly.stat().st_mode & 0o777 == 0o640


def test_output(ugly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.prototxt"
    assert main(["fmt", str(ugly), "-o", str(new)]) == 0
    assert capsys.readouterr() == ("", "")
    assert new.read_text(encoding="utf-8") == FINE
    assert main(["fmt", str(ugly), "-o", str(tmp_path / "no" / "folder")]) == 1
    assert "cannot-write" in capsys.readouterr().err


def test_check(ugly: Path, fine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--check", str(fine)]) == 0
    assert main(["fmt", "--check", str(fine), str(ugly)]) == 1
    assert capsys.readouterr() == (f"{ugly}: would change\n", "")


def test_diff(fine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--diff", str(fine)]) == 0
    assert capsys.readouterr().out == ""
    fine.write_text(FINE.replace("  name", " name"), encoding="utf-8")
    assert main(["fmt", "--diff", str(fine)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"--- {fine}\n+++ {fine} (formatted)\n@@")
    assert '\n- name: "a"\n+  name: "a"\n' in out


def test_a_mistake_changes_nothing(
    tmp_path: Path, fine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.prototxt"
    bad.write_text("layer {", encoding="utf-8")
    assert main(["fmt", "-w", str(bad), str(fine)]) == 1
    assert "bad.prototxt:1" in capsys.readouterr().err
    assert bad.read_text(encoding="utf-8") == "layer {"


def test_one_output_for_several_files(ugly: Path, fine: Path) -> None:
    assert main(["fmt", "-o", "x", str(ugly), str(fine)]) == 2
    assert main(["fmt", "-o", "x", "-w", str(ugly)]) == 2
    assert main(["fmt"]) == 2


def test_standard_input_and_bytes_that_are_no_text() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netc", "fmt", "-"],
        input=b"# \xe9t\xe9\r\nname:'\xe9'\r\n",
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"# \xe9t\xe9\n")
    assert done.stderr == b""
