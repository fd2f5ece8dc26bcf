from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.analysis.lint import CODES
from netc.cli.main import main
from tests.analysis.lint.nets import data
from tests.analysis.lint.test_lint import many
from tests.analysis.lint.test_training import SCORES, after
from tests.analysis.lint.test_windows import ALEXNET
from tests.cli.test_check import write

NET = data(224) + ALEXNET


def test_notes_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, NET)
    assert main(["lint", path]) == 0
    out, err = capsys.readouterr()
    assert out == "1 file: no errors, 1 note\n"
    assert f"{path}:4:62: note[uneven-stride]: layer `conv1`" in err
    assert "= help: a height of 223 or 227 fits" in err
    assert main(["lint", path, "--strict"]) == 1


def test_switches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, NET)
    for argv in (["--no-lint", "uneven-stride"], ["--only", "ceil-pooling"]):
        assert main(["lint", path, "--strict", *argv]) == 0
        assert capsys.readouterr().err == ""
    assert main(["lint", path, "--only", "uneven-strides"]) == 2
    assert "did you mean `uneven-stride`?" in capsys.readouterr().err


def test_both_phases_unless_one_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = data(4) + SCORES + after("SoftmaxWithLoss", "loss", "fc label")
    path = write(tmp_path, text + after("TanH", "lost", "fc"))
    assert main(["lint", path, "--strict"]) == 1
    err = capsys.readouterr().err
    assert err.count("note[unused-blob]") == 1 and "in phase TRAIN" in err
    assert main(["lint", path, "--strict", "--phase", "TEST"]) == 0


def test_many_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, many(20))
    main(["lint", path])
    assert capsys.readouterr().err.count("note[uneven-stride]") == 1
    main(["lint", path, "--all"])
    assert capsys.readouterr().err.count("note[uneven-stride]") == 20


def test_json_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", write(tmp_path, many(3)), "--json"])
    out = json.loads(capsys.readouterr().out)
    assert out["ok"] and len(out["files"][0]["diagnostics"]) == 3
    assert main(["lint", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(code in listed for code in CODES)
    assert main(["lint"]) == 2


def test_errors_are_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", write(tmp_path, "layer { nam: 'x' }")]) == 1
    assert main(["lint", write(tmp_path, NET.replace("11", "999"))]) == 1
    err = capsys.readouterr().err
    assert "error[unknown-field]" in err and err.count("error[shape-mismatch]") == 1


def test_check_lints_where_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, NET)
    assert main(["check", path]) == 0
    assert capsys.readouterr().err == ""
    assert main(["check", "--lint", path]) == 0
    assert "note[uneven-stride]" in capsys.readouterr().err
    assert main(["check", "--lint", "--no-lint", "uneven-stride", path]) == 0
    assert capsys.readouterr().err == ""
