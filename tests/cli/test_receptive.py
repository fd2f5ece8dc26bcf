from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from netc.cli.main import main
from tests.analysis.profiles import conv, data, layer
from tests.cli.test_check import write

NET = (
    data(1, 3, 20, 30)
    + conv("a", "data", 2, 3, "stride: 2")
    + conv("b", "a", 2, 3)
    + layer("fc", "InnerProduct", "b", "inner_product_param { num_output: 5 }")
)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return write(tmp_path, NET)


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["receptive", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fault(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["receptive", *argv]) == 1
    return capsys.readouterr().err


def test_all_blobs(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receptive", net]) == 0
    out = capsys.readouterr().out
    assert "receptive fields in `data`, 1x3x20x30" in out
    assert "b     1x2x10x15  7/2 p3" in out


def test_one_element(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = as_json(capsys, net, "--blob", "b", "--at", "2,4")
    assert out["sees"] == [[1, 7], [5, 11]]
    assert out["receptive_field"]["size"] == [7, 7]
    assert main(["receptive", net, "--blob", "b"]) == 0
    assert capsys.readouterr().out == (
        "b (1x2x10x15) at 4, 7 sees 7x7 of 20x30:\n"
        "rows 5 to 11, columns 11 to 17; stride 2x2, padding 3x3\n"
    )


def test_what_sees_everything(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Elements 0 to 9 and 0 to 14 of b: rows -3 to 21, columns -3 to 31."""
    assert as_json(capsys, net, "--blob", "fc")["sees"] == [[-3, 21], [-3, 31]]


def test_fields_in_another_blob(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = as_json(capsys, net, "--blob", "b", "--source", "a", "--at", "0,0")
    assert out["sees"] == [[-1, 1], [-1, 1]]


def test_picture(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, target = tmp_path / "photo.jpg", tmp_path / "field.png"
    Image.new("RGB", (64, 48), (200, 100, 50)).save(photo)
    argv = ["--blob", "b", "--at", "1,1", "--image", str(photo), "-o", str(target)]
    assert main(["receptive", net, *argv]) == 0
    assert f"wrote {target}" in capsys.readouterr().out
    with Image.open(target) as picture:
        assert picture.size[0] > 400


def test_mistakes(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean `b`?" not in fault(capsys, net, "--blob", "mystery")
    assert "error[unknown-blob]" in fault(capsys, net, "--blob", "bb")
    assert "has no element 10x0" in fault(capsys, net, "--blob", "b", "--at", "10,0")
    assert "--at 9,14 is the last" in fault(capsys, net, "--blob", "b", "--at", "1")
    assert "error[missing-argument]" in fault(capsys, net, "--at", "1,1")
    assert "error[no-field]" in fault(capsys, net, "--blob", "a", "--source", "b")
    flat = write(tmp_path, data(2, 3) + layer("r", "ReLU", "data"), "flat")
    target = str(tmp_path / "x.png")
    assert "a picture has 2 axes" in fault(capsys, flat, "--blob", "r", "-o", target)


def test_unknown_input_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = write(tmp_path, 'layer { name: "data" type: "Data" top: "data" }')
    assert "--input-shape data=1,3,HEIGHT,WIDTH" in fault(capsys, net)
