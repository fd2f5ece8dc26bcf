"""``netc bench``: that times are told and add up, whatever they are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netc.cli.main import main

TEXT = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "p" type: "Power" bottom: "data" top: "data" power_param { scale: 3 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
"""

TRAINING = """
layer { name: "d" type: "Data" top: "data" top: "label"
        data_param { source: "x_lmdb" batch_size: 4 backend: LMDB }
        transform_param { crop_size: 16 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
"""

DETECTION = """
layer { name: "in" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 4 } }
layer { name: "loc" type: "Convolution" bottom: "c" top: "loc"
        convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "conf" type: "Convolution" bottom: "c" top: "conf"
        convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "lp" type: "Permute" bottom: "loc" top: "lp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "cp" type: "Permute" bottom: "conf" top: "cp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "prior" type: "PriorBox" bottom: "c" bottom: "data" top: "prior"
        prior_box_param { min_size: 8 } }
layer { name: "out" type: "DetectionOutput" bottom: "lf" bottom: "cf" bottom: "prior" top: "out"
        detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.45 } keep_top_k: 5 } }
"""


def told(capsys: pytest.CaptureFixture[str], path: Path, *more: str) -> dict[str, Any]:
    assert main(["bench", str(path), "--rounds", "4", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def written(folder: Path, text: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def layers(found: dict[str, Any]) -> set[str]:
    return {row["name"] for row in found["layers"]}


def check_sum(found: dict[str, Any]) -> None:
    """The rows make up a run, or it is told that they cannot."""
    total = sum(row["milliseconds"] for row in found["layers"])
    assert found["busy"] or abs(total - found["milliseconds"]) <= 0.1 * found["milliseconds"]


def test_a_net_that_rewrites_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, written(tmp_path, TEXT), "--compare", "reference")
    assert "c" in json.dumps(found["layers"])
    assert found["difference"]["c"] < 1e-5
    check_sum(found)


@pytest.mark.parametrize("threads", ["1", "2", "7"])
def test_rows_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: str) -> None:
    check_sum(told(capsys, written(tmp_path, TEXT), "--threads", threads))


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_a_text_for_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phase: str
) -> None:
    shape = ("--input-shape", "data=4,3,16,16", "--phase", phase)
    found = told(capsys, written(tmp_path, TRAINING), *shape, "--compare", "reference")
    assert {"fc", "loss", "accuracy"} <= layers(found)
    assert max(found["difference"].values()) < 1e-5
    check_sum(found)


def test_a_batch_of_a_text_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--input-shape", "data=4,3,16,16", "--batch", "2")
    assert {"loss"} <= layers(told(capsys, written(tmp_path, TRAINING), *more))


def test_a_net_whose_boxes_a_run_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, written(tmp_path, DETECTION))
    assert "out" in layers(found)
    assert any("loc" in name for name in layers(found))  # made together with `conf`
    rows = {row["name"]: row for row in found["layers"]}
    assert rows["out"]["op"] == "DetectionOutput"
    assert rows["out"]["milliseconds"] > 0
    check_sum(found)


def test_given_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "label.npy", np.array([0, 1, 2, 1, 0], np.float32))
    np.save(tmp_path / "data.npy", np.ones((5, 3, 16, 16), np.float32))
    inputs = [f"--input={blob}={tmp_path / blob}.npy" for blob in ("data", "label")]
    assert {"loss"} <= layers(told(capsys, written(tmp_path, TRAINING), *inputs))


def test_a_wrong_label_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "label.npy", np.array([0, 1, 2, 3], np.float32))
    path = written(tmp_path, TRAINING)
    shape = ["--input-shape", "data=4,3,16,16", f"--input=label={tmp_path / 'label.npy'}"]
    assert main(["bench", str(path), *shape]) == 1
    assert "label-out-of-range" in capsys.readouterr().err


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
    assert main(["bench", "-", "--rounds", "4"]) == 0
    out = capsys.readouterr().out
    assert "ms a run" in out
    assert "(outside of layers)" in out
    assert "sum" in out


def test_no_weights_are_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A product of zeros takes another time than one of numbers."""
    from netc.cli import bench

    seen: dict[str, Any] = {}
    compile = bench.compile

    def watching(text: Any, weights: Any = None, **options: Any) -> Any:
        seen.update(weights or {})
        return compile(text, weights, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "compile", watching)
        told(capsys, written(tmp_path, DETECTION))
    assert set(seen) == {"c", "loc", "conf"}
    assert all(array.any() for arrays in seen.values() for array in arrays)


def test_layers_beside_the_least_that_they_could_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, TEXT)
    found = told(capsys, path, "--floor", "--threads", "1")
    assert found["roof"]["operations"] > 0 < found["roof"]["bytes"]
    floors = {row["name"]: row["floor"] for row in found["layers"]}
    macs = {row["name"]: row["macs"] for row in found["layers"]}
    name = next(name for name, count in macs.items() if count)
    assert floors[name] > 0
    assert sum(floors.values()) == pytest.approx(found["roof"]["milliseconds"])
    assert main(["bench", str(path), "--rounds", "4", "--floor"]) == 0
    text = capsys.readouterr().out
    assert "GFLOP/s" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert main(["bench", str(path), "--rounds", "4"]) == 0
    assert "floor" not in capsys.readouterr().out
