from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.weights import load_weights, save_weights
from tests.weights.oracle import Net

V1 = """input: "data"  # pixels
input_dim: [1, 1, 2, 2]
# the only layer
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: 1 blobs_lr: 2
  inner_product_param { num_output: 3 } }
"""
V2 = """layer {
  name: "input"
  type: "Input"
  top: "data"  # pixels
  input_param {
    shape {
      dim: 1
      dim: 1
      dim: 2
      dim: 2
    }
  }
}
# the only layer
layer {
  name: "ip"
  type: "InnerProduct"
  bottom: "data"
  top: "ip"
  param {
    lr_mult: 1
  }
  param {
    lr_mult: 2
  }
  inner_product_param {
    num_output: 3
  }
}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.prototxt"
    path.write_text(V1, encoding="utf-8")
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new.prototxt"


def test_text(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", str(old), "-o", str(new)]) == 0
    assert new.read_text(encoding="utf-8") == V2
    assert capsys.readouterr() == (
        f"{old}:4:1: V1 layer `ip` became `layer` of type `InnerProduct`\n"
        f"{old}:1:1: input `data` became a layer of type `Input`\n"
        f"wrote {new}\n",
        "",
    )


def test_standard_output_has_the_text_alone(
    old: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["upgrade", str(old)]) == 0
    out, err = capfdbinary.readouterr()
    assert out == V2.encode()
    assert b"became" in err


def test_upgrading_again_changes_nothing(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["upgrade", str(old), "-o", str(new)])
    capsys.readouterr()
    again = tmp_path / "again.prototxt"
    assert main(["upgrade", str(new), "-o", str(again)]) == 0
    assert again.read_text(encoding="utf-8") == V2
    assert "in the current format already" in capsys.readouterr().out


def test_many_changes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "many.prototxt"
    old.write_text('layers { name: "a" type: RELU bottom: "x" top: "x" }\n' * 9, encoding="utf-8")
    main(["upgrade", str(old), "-o", str(tmp_path / "short")])
    assert "... and 6 more of this kind" in capsys.readouterr().out
    main(["upgrade", str(old), "-o", str(tmp_path / "long"), "--verbose"])
    assert capsys.readouterr().out.count("became") == 9


def test_what_is_left_out_is_a_warning(
    tmp_path: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "a.prototxt"
    old.write_text("layers { layer { name: 'r' type: 'relu' pad: 1 } }", encoding="utf-8")
    assert main(["upgrade", str(old), "-o", str(new)]) == 0
    out, err = capsys.readouterr()
    assert "a.prototxt:1:41: warning[left-out]: `pad`" in err
    assert "pad" not in out


def test_weights(old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = (np.arange(12, dtype=np.float32).reshape(3, 4), np.ones(3, np.float32))
    trained = tmp_path / "old.caffemodel"
    save_weights(trained, {"ip": arrays})
    assert main(["upgrade", str(old), str(trained), "-o", str(new)]) == 0
    assert f"wrote {tmp_path / 'new.caffemodel'}" in capsys.readouterr().out
    written = load_weights(tmp_path / "new.caffemodel")
    assert written.layers["ip"].type == "InnerProduct"
    for ours, given in zip(written["ip"], arrays, strict=True):
        assert np.array_equal(ours, given)
    archive = tmp_path / "w.npz"
    argv = ["upgrade", str(old), str(trained), "-o", str(tmp_path / "b"), "--weights-output"]
    assert main([*argv, str(archive)]) == 0
    assert np.array_equal(load_weights(archive)["ip"][0], arrays[0])


def test_weights_that_are_none_leave_no_text(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", str(old), str(tmp_path / "none.caffemodel"), "-o", str(new)]) == 1
    assert "none.caffemodel" in capsys.readouterr().err
    assert not new.exists()


def test_solver(tmp_path: Path, new: Path) -> None:
    old = tmp_path / "solver.prototxt"
    old.write_text('net: "n"\nsolver_type: ADAM  # best\nbase_lr: 1e-3\n', encoding="utf-8")
    assert main(["upgrade", str(old), "-o", str(new)]) == 0
    assert new.read_text(encoding="utf-8") == 'net: "n"\ntype: "Adam"  # best\nbase_lr: 1e-3\n'


def test_solver_has_no_weights(
    tmp_path: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "solver.prototxt"
    old.write_text('net: "n" base_lr: 1', encoding="utf-8")
    assert main(["upgrade", str(old), "x.caffemodel", "-o", str(new)]) == 1
    assert "is a solver" in capsys.readouterr().err


def test_the_input_is_not_overwritten(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = old.read_text(encoding="utf-8")
    new.write_text("what -o names is", encoding="utf-8")
    assert main(["upgrade", str(old), "-o", str(new)]) == 0
    assert new.read_text(encoding="utf-8") == V2
    capsys.readouterr()
    assert main(["upgrade", str(old), "-o", str(old)]) == 1
    assert "error[overwrites-input]" in capsys.readouterr().err
    assert old.read_text(encoding="utf-8") == before
    assert main(["upgrade", str(old), "-o", str(old), "--force"]) == 0
    assert old.read_text(encoding="utf-8") == V2


def test_weights_are_not_overwritten_before_the_text_is_known_to_be_free(
    old: Path, new: Path, tmp_path: Path
) -> None:
    trained = tmp_path / "old.caffemodel"
    save_weights(trained, {"ip": (np.ones((3, 4), np.float32),)})
    taken = tmp_path / "new.caffemodel"
    taken.write_bytes(b"mine")
    assert main(["upgrade", str(old), str(trained), "-o", str(new)]) == 1
    assert taken.read_bytes() == b"mine"
    assert not new.exists()


def test_json(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", str(old), "--json", "-o", str(new)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["output"] == str(new)
    assert [(c["step"], c["line"]) for c in report["changes"]] == [("v1", 4), ("inputs", 1)]
    assert main(["upgrade", str(old), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == V2


def test_mistake(tmp_path: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "a.prototxt"
    old.write_text('layers { type: RELU }\nlayer { type: "ReLU" }', encoding="utf-8")
    assert main(["upgrade", str(old), "-o", str(new)]) == 1
    assert "error[mixed-layers]" in capsys.readouterr().err
    assert not new.exists()


@pytest.mark.parametrize(
    "argv",
    [[], ["a.prototxt", "a.caffemodel"], ["a.prototxt", "--weights-output", "x", "-o", "y"]],
)
def test_usage(argv: list[str]) -> None:
    assert main(["upgrade", *argv]) == 2


def test_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netc", "upgrade", "-"],
        input=V1.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == V2
    assert b"<stdin>:4:1: V1 layer" in done.stderr


def test_weights_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Caffe's upgrade_net_proto_binary does it."""
    net = Net()
    layer = net.layers.add(name="ip", type=14)
    blob = layer.blobs.add(num=1, channels=1, height=2, width=3)
    blob.data.extend(range(6))
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(net.SerializeToString())
    assert main(["upgrade", str(old), "-o", str(new)]) == 0
    assert f"wrote {new}" in capsys.readouterr().out
    weights = load_weights(new)
    assert weights.generation == "V2"
    np.testing.assert_array_equal(weights["ip"][0], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert main(["upgrade", str(old), "-o", str(old)]) == 1
    assert "overwrites-input" in capsys.readouterr().err
    assert main(["upgrade", str(old)]) == 0  # the text of the net that it is of
    assert 'type: "InnerProduct"' in capsys.readouterr().out
