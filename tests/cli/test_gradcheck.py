from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.cli.main import main
from netc.ops.gradients import catalog
from netc.ops.gradients.define import INPUT, Gradient
from tests.analysis.profiles import conv, data, layer
from tests.cli.test_check import write

NET = data(2, 3, 6, 5) + conv("a", "data", 4, 3) + layer("t", "TanH", "a")


def test_a_table_of_all_gradients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", write(tmp_path, NET)]) == 0
    out = capsys.readouterr().out
    assert "all 2 gradients are right" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["data", "a/0"]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", write(tmp_path, NET), "--json", "--elements", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True and found["tolerance"] == 1e-4
    assert [(g["name"], g["elements"]) for g in found["gradients"]] == [
        ("data", 5),
        ("a/0", 5),
    ]


def test_a_wrong_gradient_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Gradient(lambda params, saved, tops, index: tops[0] + saved.inputs[0], INPUT)
    rules = {**catalog.GRADIENTS, "TanH": wrong}
    for module in ("netc.train.differentiate", "netc.ops.gradients.catalog"):
        monkeypatch.setattr(f"{module}.GRADIENTS", rules)
    assert main(["gradcheck", write(tmp_path, NET)]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out and "2 of 2 gradients are wrong" in out


def test_a_layer_without_a_gradient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NET + layer("max", "ArgMax", "t")
    assert main(["gradcheck", write(tmp_path, text)]) == 1
    err = capsys.readouterr().err
    assert "error[no-gradient]: layer `max` (ArgMax)" in err
    assert "layer `t`" in err
