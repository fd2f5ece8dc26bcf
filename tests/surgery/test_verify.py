from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.backends.reference import run
from netc.cli.main import main
from netc.frontend import read_net
from netc.surgery.loading import loaded
from netc.surgery.opponents import CaffesNumbers
from netc.surgery.verify import verify_against
from netc.weights import load_weights, save_weights
from tests.optional import opencv_with_caffe
from tests.surgery.nets import graph_of, noise, weights_of

TEXT = """name: "<b>net</b>"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 2, 8, 8] } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool1" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(TEXT, encoding="utf-8")
    net = read_net(path).message
    save_weights(weights, weights_of(net), net)
    return str(path), str(weights)


def caffes(files: tuple[str, str], **changed: float) -> str:
    """Blobs as pycaffe would save them; some changed by an amount."""
    graph = graph_of(read_net(files[0]).message, load_weights(files[1]))
    data = noise(1, 2, 8, 8)
    found = run(graph, {"data": data}, ["conv1", "pool1", "ip", "prob"])
    arrays = {name: array + changed.get(name, 0) for name, array in found.items()}
    path = str(Path(files[0]).with_name("blobs.npz"))
    np.savez(path, data=data, **arrays)
    return path


def test_caffes_numbers_are_held_to(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *files, "--against", caffes(files)]) == 0
    assert capsys.readouterr().out.startswith("4 blobs equal to blobs.npz within ")


def test_the_first_blob_that_departs_is_named(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    blobs, page = caffes(files, pool1=0.5, prob=0.5), tmp_path / "page.html"
    assert main(["verify", *files, "--against", blobs, "--save", str(page)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("blob `pool1` of layer `pool1` is the first to depart: by 0.5")
    assert out[1] == "2 of 4 blobs differ by more than 0.0001"
    assert out[2] == f"wrote {page}: not equal to blobs.npz"
    text = page.read_text(encoding="utf-8")
    assert text.count("departs first") == 1 and "data:image/png" in text
    assert "<script" not in text and "<b>net</b>" not in text


def test_a_not_a_number_departs(files: tuple[str, str]) -> None:
    blobs = caffes(files, ip=float("nan"))
    net = loaded(read_net(files[0]).message, load_weights(files[1]))
    found = verify_against(net, CaffesNumbers(Path(blobs)))
    assert found.departed is not None and found.departed.blob == "ip"


def test_opencv_and_onnx_agree(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="it runs the model")
    model = str(tmp_path / "net.onnx")
    assert main(["export", files[0], "-w", files[1], "-o", model]) == 0
    assert main(["verify", *files, "--against", model]) == 0
    opencv_with_caffe()
    capsys.readouterr()
    assert main(["verify", *files, "--against", "opencv"]) == 0
    assert capsys.readouterr().out.startswith("5 blobs equal to opencv ")


def test_a_certificate_holds_until_something_changes(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = tmp_path / "certificate.json"
    assert main(["verify", *files, "--against", caffes(files), "-o", str(made)]) == 0
    found = json.loads(made.read_text(encoding="utf-8"))
    assert found["equal"] and len(found["net"]["sha256"]) == 64
    assert [entry["blob"] for entry in found["blobs"]] == ["conv1", "pool1", "ip", "prob"]
    assert main(["verify", "--check", str(made)]) == 0
    assert "holds: 3 files unchanged, 4 blobs compared again" in capsys.readouterr().out
    Path(files[0]).write_text(TEXT + "# more\n", encoding="utf-8")
    assert main(["verify", "--check", str(made)]) == 1
    assert f"`{files[0]}` is not what it was" in capsys.readouterr().out


def test_a_certificate_that_claims_more_than_is_so_does_not_hold(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = tmp_path / "certificate.json"
    blobs = caffes(files, ip=1.0)
    assert main(["verify", *files, "--against", blobs, "-o", str(made)]) == 1
    found = json.loads(made.read_text(encoding="utf-8"))
    for entry in found["blobs"]:
        entry["relative_error"] = 0.0
    made.write_text(json.dumps(found), encoding="utf-8")
    capsys.readouterr()
    assert main(["verify", "--check", str(made)]) == 1
    assert "blob `ip` departs now" in capsys.readouterr().out


def test_a_certificate_reads_nothing_outside_its_folder(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = tmp_path / "sub" / "certificate.json"
    made.parent.mkdir()
    assert main(["verify", *files, "--against", caffes(files), "-o", str(made)]) == 0
    assert main(["verify", "--check", str(made)]) == 1
    assert "outside-file" in capsys.readouterr().err
    assert main(["verify", "--check", str(made), "--allow-outside"]) == 0
    made.write_text('{"format": "netc certificate 1"}', encoding="utf-8")
    assert main(["verify", "--check", str(made)]) == 1
    assert "bad-certificate" in capsys.readouterr().err


def test_another_net_is_compared_by_the_blobs_of_the_same_name(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.prototxt"
    other.write_text(TEXT.replace("pool: MAX", "pool: AVE"), encoding="utf-8")
    assert main(["verify", *files, "--against", str(other)]) == 1
    assert "blob `pool1`" in capsys.readouterr().out
    assert main(["verify", *files, "--against", files[0]]) == 0


def test_what_cannot_be_compared_is_told(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "none.npz", data=noise(1, 2, 8, 8))
    for against, code in (("what", "bad-argument"), (str(tmp_path / "none.npz"), "nothing-common")):
        assert main(["verify", *files, "--against", against]) == 1
        assert code in capsys.readouterr().err
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert main(["verify", *files, "--against", str(tmp_path / "broken.onnx")]) == 1
    assert main(["verify", *files]) == 2
