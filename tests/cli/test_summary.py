from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from netc.cli.main import main
from tests.analysis.profiles import conv, data, layer
from tests.analysis.test_profile import UNKNOWN
from tests.cli.terminal import on_terminal
from tests.cli.test_check import write
from tests.report.test_summary import SMALL


def summary(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["summary", *argv])
    return code, *capsys.readouterr()


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    return json.loads(summary(capsys, *argv, "--json")[1])


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = summary(capsys, write(tmp_path, SMALL))
    assert (code, err) == (0, "")
    assert "phase TEST, batch 2: figures are of the whole batch" in out
    assert "1 MAC is 1 multiply-add" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_a_terminal_gets_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = summary(capsys, write(tmp_path, SMALL))[1]
    assert "Convolution" in out and "2,057" in out


def test_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SMALL)
    one, eight = (as_json(capsys, path, "--batch", n) for n in ("1", "8"))
    assert eight["batch"] == 8
    assert eight["total"]["macs"] == 8 * one["total"]["macs"]
    assert eight["layers"][0]["outputs"] == [[8, 3, 8, 8]]
    assert eight["total"]["parameters"] == one["total"]["parameters"]


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_no_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert summary(capsys, write(tmp_path, SMALL), "--batch", value)[0] == 2


def test_a_batch_that_the_net_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = data(2, 3, 8, 8) + layer(
        "r", "Reshape", "data", "reshape_param { shape { dim: 2 dim: 64 dim: 3 } }"
    )
    code, out, err = summary(capsys, write(tmp_path, text), "--batch", "3")
    assert code == 1
    assert "error[" in err and "`r`" in err
    assert "Reshape" in out  # what is known is told


def test_unknown_layers_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = summary(capsys, write(tmp_path, UNKNOWN))
    assert code == 0
    assert "warning[unknown-layer-type]" in err
    assert "its figures, and those of the layers that depend on it, are left out" in err
    assert "128 + ?" in out


def test_data_layers_need_a_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        'layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 4 }}'
    )
    path = write(tmp_path, text + conv("a", "data", 4, 3))
    code, _, err = summary(capsys, path)
    assert code == 0 and "note[unknown-input-shape]" in err and "--input-shape data=" in err
    known = as_json(capsys, path, "--input-shape", "data=4,3,8,8", "--input-shape", "label=4")
    assert known["complete"] and known["total"]["parameters"] == 108
    assert summary(capsys, path, "--memory")[0] == 1


def test_memory_and_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SMALL)
    out = summary(capsys, path, "--memory", "--budget", "1MB")[1]
    assert "Memory required for data: 8744" in out
    assert "planned by netc" in out and "largest batch in 1.00 MB" in out
    values = as_json(capsys, path, "--memory", "--budget", "1MB")
    assert values["memory"]["caffe_bytes"] == 8744
    assert [use["name"] for use in values["budget"]["uses"]] == [
        "netc, running", "Caffe, testing", "Caffe, training",
    ]  # fmt: skip


def test_other_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SMALL)
    assert summary(capsys, path, "--csv")[1].startswith("name,type,module,output,parameters")
    assert (
        summary(capsys, path, "--markdown", "--depth", "1")[1].splitlines()[3].startswith("| **a")
    )
    assert "layer " not in summary(capsys, path, "--depth", "0")[1]


def test_a_solver_is_no_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'net: "a.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    code, out, err = summary(capsys, path)
    assert (code, out) == (1, "") and "is a solver, not a net" in err


def test_80_columns_for_public_nets(nets: Path) -> None:
    for path in sorted(nets.glob("*.prototxt")):
        code, lines = on_terminal(["summary", str(path), "--memory"])
        assert code == 0
        assert max(map(len, lines[1:])) <= 80, path
