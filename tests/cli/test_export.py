from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netc.cli.main import main
from netc.data import prototxt_dir

onnx = pytest.importorskip("onnx", reason="what models are written by")

DIGITS = prototxt_dir() / "digits"
NET = str(DIGITS / "deploy.prototxt")
WEIGHTS = str(DIGITS / "digits.caffemodel")
FIXED = """name: "fixed"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 6] } } }
layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: [2, 2, 3] } } }
layer { name: "s" type: "TanH" bottom: "r" top: "s" }
"""
TRAINED = """name: "trained"
layer { name: "x" type: "Input" top: "x" top: "l" input_param {
  shape { dim: [2, 6] } shape { dim: 2 } } }
layer { name: "h" type: "TanH" bottom: "x" top: "h" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "h" bottom: "l" }
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> str:
    (folder / "net.prototxt").write_text(text, encoding="utf-8")
    return str(folder / "net.prototxt")


def dims(value: Any) -> list[Any]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_one_line_tells_what_was_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", NET, "-w", WEIGHTS]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out == (
        "wrote deploy.onnx: opset 13, data (batch, 1, 8, 8) -> prob (batch, 10), "
        f"{(here / 'deploy.onnx').stat().st_size / 1000:.1f} kB\n"
    )
    onnx.checker.check_model(str(here / "deploy.onnx"), full_check=True)


def test_it_classifies_as_caffe_does(here: Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason="what models are run by")
    assert main(["export", NET, "-w", WEIGHTS, "-o", "digits.onnx"]) == 0
    session = ort.InferenceSession("digits.onnx", providers=["CPUExecutionProvider"])
    with np.load(DIGITS / "holdout.npz") as file:
        data, want = file["data"], file["prob_from_caffe"]
    np.testing.assert_allclose(session.run(["prob"], {"data": data})[0], want, 1e-4, 1e-5)


@pytest.mark.parametrize(
    "options, size",
    [
        (["--batch", "7"], 7),
        (["--input-shape", "data=3,1,8,8"], 3),
        (["--input-shape", "data=N,1,8,8"], "N"),
    ],
)
def test_sizes(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], size: Any
) -> None:
    assert main(["export", NET, "-w", WEIGHTS, "--json", "-o", "a.onnx", *options]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and told["diagnostics"] == []
    assert told["inputs"] == {"data": [size, 1, 8, 8]} and told["outputs"] == {"prob": [size, 10]}
    assert told["files"] == ["a.onnx"] and told["bytes"] == (here / "a.onnx").stat().st_size
    assert (told["net"], told["opset"]) == ("digits", 13)
    assert dims(onnx.load("a.onnx").graph.input[0]) == [size, 1, 8, 8]


def test_a_net_that_fixes_its_batch(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = write(here, FIXED)
    assert main(["export", net]) == 0
    out, err = capsys.readouterr()
    assert "net.onnx: opset 13, x (2, 6) -> s (2, 2, 3)," in out
    assert "net.prototxt:3:" in err and "warning[batch-misfit]" in err
    assert "of the text's shapes; --batch and --input-shape say others" in err
    assert main(["export", net, "--batch", "2"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["export", net, "--input-shape", "x=N,6"]) == 1
    assert "error[batch-misfit]" in capsys.readouterr().err
    assert main(["export", net, "--batch", "3"]) == 1


def test_what_cannot_be_written_is_told_at_its_place(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = write(here, TRAINED)
    assert main(["export", net]) == 1
    err = capsys.readouterr().err
    assert "net.prototxt:5:" in err and "error[no-onnx-rule]: layer `loss`" in err
    assert "`--until h` ends the model before it" in err
    assert [path.name for path in here.iterdir()] == ["net.prototxt"]
    assert main(["export", net, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["diagnostics"][0]["code"] == "no-onnx-rule"


def test_until(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", write(here, TRAINED), "--until", "h"]) == 0
    assert "x (batch, 6) -> h (batch, 6)," in capsys.readouterr().out
    assert main(["export", write(here, TRAINED), "--until", "j"]) == 1
    assert "error[unknown-output]" in capsys.readouterr().err


def test_until_a_blob_before_unknown_layers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = 'layer { name: "u" type: "Yolov3Output" bottom: "s" top: "u" }'
    net = write(here, FIXED + unknown)
    assert main(["export", net]) == 1
    assert "error[unknown-layer-type]" in capsys.readouterr().err
    assert main(["export", net, "--until", "r", "--until", "x", "--batch", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "x (2, 6) -> r (2, 2, 3), x (2, 6)," in out
    assert main(["export", NET, "-w", WEIGHTS, "--until", "ip1@ip1"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "any batch" in out  # nothing of weights that are not needed


def test_weights(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", NET]) == 0
    assert "warning[no-weights]" in capsys.readouterr().err
    some = {"conv1/0": np.zeros((16, 1, 3, 3)), "conv1/1": np.ones(16)}
    np.savez("some.npz", **some)
    assert main(["export", NET, "-w", "some.npz", "-o", "a.onnx"]) == 1
    assert "error[missing-weights]" in capsys.readouterr().err
    assert not (here / "a.onnx").exists()
    assert main(["export", NET, "-w", "some.npz", "-o", "a.onnx", "--fill-missing"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("wrote a.onnx: ") and "[filled-weights]" in err
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load("a.onnx").graph.initializer}
    assert (arrays["conv1/1"] == 1).all() and (arrays["ip1/0"] != 0).any()


def test_a_model_of_zeros_is_told_as_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense = 'layer { name: "h" type: "InnerProduct" bottom: "x" top: "h" inner_product_param {'
    head = FIXED.splitlines()[1]
    net = write(here, f"{head} {dense} num_output: 2 }} }}")
    assert main(["export", net]) == 0
    err = capsys.readouterr().err
    assert "warning[zero-weights]" in err and "fillers" not in err
    filled = write(here, f'{head} {dense} num_output: 2 weight_filler {{ type: "xavier" }} }} }}')
    assert main(["export", filled]) == 0
    err = capsys.readouterr().err
    assert "warning[no-weights]" in err and "zero-weights" not in err


def test_standard_output_is_the_model_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
    text = SimpleNamespace(buffer=io.BytesIO(FIXED.encode()))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stdin", text)
        assert main(["export", "-", "-o", "-", "--batch", "2"]) == 0
    onnx.checker.check_model(out.buffer.getvalue(), full_check=True)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "options, words",
    [
        (["-o", "-", "--json"], "cannot both go to standard output"),
        (["--batch", "2", "--input-shape", "data=N,1,8,8"], "--input-shape leaves it open"),
        (["--input-shape", "a=N,1", "--input-shape", "b=M,1"], "by two names"),
        (["--input-shape", "data=,1"], "is not BLOB=SIZES"),
        (["--input-shape", "N,1"], "is not BLOB=SIZES"),
        (["--batch", "0"], "at least 1"),
    ],
)
def test_arguments_that_mean_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["export", NET, *options]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_is_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", NET, "-w", WEIGHTS, "-o", "nowhere/a.onnx"]) == 1
    assert "error[cannot-write]" in capsys.readouterr().err


def test_the_help_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["export", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
