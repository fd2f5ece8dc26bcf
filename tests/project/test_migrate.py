from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.frontend import read_net
from netc.project.migrate import migrate
from netc.surgery.deploy import deploy
from netc.weights import save_weights
from tests.surgery.nets import weights_of

TRAIN = """name: "old"
layers { name: "data" type: DATA top: "data" top: "label" data_param { batch_size: 4 }
  transform_param { crop_size: 8 mean_value: 1 mean_value: 2 mean_value: 3 } }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"  # kept
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "nets/train.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\nsolver_type: ADAM\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "nets").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "nets" / "train.prototxt").write_text(TRAIN, encoding="utf-8")
    (folder / "solver.prototxt").write_text(SOLVER, encoding="utf-8")
    (folder / "broken.prototxt").write_text("layer { name: ", encoding="utf-8")
    (folder / "junk.caffemodel").write_bytes(os.urandom(500))
    (folder / ".git" / "x.prototxt").write_text(TRAIN, encoding="utf-8")
    (folder / "demo.py").write_text("import caffe\ncaffe.Net('a', 1)\n", encoding="utf-8")
    (folder / "other.py").write_text("import os\n", encoding="utf-8")
    net = read_net(folder / "nets" / "train.prototxt").message
    made = deploy(net)
    save_weights(folder / "nets" / "w.caffemodel", weights_of(made.message), net)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_project_is_migrated(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="models are verified by it")
    before, out = everything(project), tmp_path / "out"
    assert main(["migrate", str(project), "-o", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "1 net, 1 solver, 2 weights files, 1 script read"
    assert told[1] == "1 ONNX model with certificates"
    assert told[-1] == f"wrote {out}: report.md, report.html; 2 things left for a person"
    assert everything(project) == before
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "nets/train.deploy.prototxt", "nets/train.prototxt", "nets/w.caffemodel",
        "nets/w.train.certificate.json", "nets/w.train.onnx",
        "report.html", "report.json", "report.md", "solver.prototxt",
    ]  # fmt: skip
    assert 'type: "Adam"' in (out / "solver.prototxt").read_text(encoding="utf-8")
    assert "# kept" in (out / "nets" / "train.deploy.prototxt").read_text(encoding="utf-8")
    assert main(["verify", "--check", str(out / "nets" / "w.train.certificate.json")]) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in report["left"]} == {"broken.prototxt", "junk.caffemodel"}
    assert not any("fault of netc" in entry["what"] for entry in report["left"])
    assert report["calls"]["demo.py"][0]["becomes"] == "import netc.compat.pycaffe as caffe"
    assert main(["migrate", str(project), "-o", str(out)]) == 1
    assert "file-exists" in capsys.readouterr().err


def test_the_result_may_lie_in_the_project_and_is_not_read_again(project: Path) -> None:
    out = project / "out"
    first = migrate(project, out, onnx=False).facts()
    second = migrate(project, out, onnx=False).facts()
    assert [f["file"] for f in first["files"]] == [f["file"] for f in second["files"]]


def test_the_result_may_not_hold_the_project(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (project, project.parent):
        assert main(["migrate", str(project), "-o", str(out), "--force"]) == 1
        assert "bad-argument" in capsys.readouterr().err


def test_a_size_that_no_text_tells_can_be_given(project: Path, tmp_path: Path) -> None:
    text = (
        TRAIN.replace("crop_size: 8", "")
        .replace("INNER_PRODUCT", "CONVOLUTION")
        .replace(
            "inner_product_param { num_output: 3 }",
            "convolution_param { num_output: 3 kernel_size: 6 }",
        )
    )
    (project / "nets" / "train.prototxt").write_text(text, encoding="utf-8")
    (project / "nets" / "w.caffemodel").unlink()
    left = migrate(project, tmp_path / "a", onnx=False).left
    assert any("run again with `--input-shape" in what for _, what in left)
    report = migrate(project, tmp_path / "b", onnx=False, sizes={"data": (1, 3, 8, 8)})
    assert not any("--input-shape" in what for _, what in report.left)
    assert (tmp_path / "b" / "nets" / "train.deploy.prototxt").is_file()


def test_a_size_that_another_text_of_the_net_tells_is_taken(project: Path, tmp_path: Path) -> None:
    val = TRAIN.replace("crop_size: 8 ", "")
    (project / "nets" / "val.prototxt").write_text(val, encoding="utf-8")
    migrate(project, tmp_path / "out", onnx=False)
    made = read_net(tmp_path / "out" / "nets" / "val.deploy.prototxt").message
    (data,) = (x for x in made.get("layer") if x.get("type") == "Input")
    assert tuple(data.get("input_param").get("shape")[0].get("dim")) == (1, 3, 8, 8)


def test_names_of_files_are_no_markup(project: Path, tmp_path: Path) -> None:
    (project / "<img src=x onerror=alert(1)>[a](b).prototxt").write_text(
        "layer {", encoding="utf-8"
    )
    report = migrate(project, tmp_path / "out", onnx=False)
    assert "<img" not in report.page()
    assert "\\<img" in report.markdown() and "\\[a\\](b)" in report.markdown()


def test_links_are_not_followed(project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.prototxt"
    secret.write_text(TRAIN, encoding="utf-8")
    (project / "link.prototxt").symlink_to(secret)
    (project / "loop").symlink_to(project)
    names = [f["file"] for f in migrate(project, tmp_path / "out", onnx=False).facts()["files"]]
    assert not any("link" in name or "loop" in name for name in names)


def test_weights_that_fit_nothing_are_told(project: Path, tmp_path: Path) -> None:
    save_weights(project / "alien.caffemodel", {"conv": [np.zeros((9, 3, 3, 3))]})
    left = dict(migrate(project, tmp_path / "out", onnx=False).left)
    assert left["alien.caffemodel"].startswith("no text in the folder fits these weights")


def test_fields_that_no_caffe_has_stop_no_deploy_net(project: Path, tmp_path: Path) -> None:
    text = TRAIN.replace("layers {", "layer {").replace("DATA", '"Data"').replace(
        "CONVOLUTION", '"Convolution"').replace("INNER_PRODUCT", '"InnerProduct"').replace(
        "SOFTMAX_LOSS", '"SoftmaxWithLoss"').replace("batch_size: 4", "batch_size: 4 frobnicate: 2")  # fmt: skip  # noqa: E501
    (project / "fork.prototxt").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    left = dict(migrate(project, out, onnx=False).left)
    assert "fork.prototxt" not in left  # netc reads no data here, and warns
    assert (out / "fork.prototxt").read_text(encoding="utf-8") == text
    assert (out / "fork.deploy.prototxt").is_file()


def test_a_net_that_lay_elsewhere_is_written_by_the_name_it_has_here(
    project: Path, tmp_path: Path
) -> None:
    old = "/home/somebody/old/nets/train.prototxt"
    (project / "solver.prototxt").write_text(SOLVER.replace("nets/train.prototxt", old))
    (project / "more").mkdir()
    (project / "more" / "train.prototxt").write_text("name: 'other'")
    report = migrate(project, tmp_path / "out")
    text = (tmp_path / "out" / "solver.prototxt").read_text(encoding="utf-8")
    assert 'net: "nets/train.prototxt"' in text
    assert not [what for name, what in report.left if name == "solver.prototxt"]


def test_a_net_that_may_be_several_files_is_asked_for(project: Path, tmp_path: Path) -> None:
    (project / "solver.prototxt").write_text(SOLVER.replace("nets/train", "../there/train"))
    for folder in ("more", "less"):
        (project / folder).mkdir()
        (project / folder / "train.prototxt").write_text("name: 'other'")
    report = migrate(project, tmp_path / "out")
    left = [what for name, what in report.left if name == "solver.prototxt"]
    assert left == [
        "`net: ../there/train.prototxt` is not there; is less/train.prototxt or "
        "more/train.prototxt or nets/train.prototxt meant?"
    ]
