from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.frontend import read_net
from netc.surgery.names import rename
from netc.surgery.slim import halved, prune_weights
from netc.weights import load_weights, save_weights
from netc.weights.load import as_weights
from tests.surgery.nets import answers, noise, weights_of, with_input

TEXT = """# two layers
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"  # the first
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "ip2" type: "InnerProduct" bottom: "conv1" top: "ip2" include { phase: TEST }
  inner_product_param { num_output: 3 } }
"""
SHAPE = (1, 1, 5, 5)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    head = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 1, 5, 5] } } }\n'  # noqa: E501
    path.write_text(head + TEXT, encoding="utf-8")
    net = read_net(path).message
    save_weights(weights, weights_of(net), net)
    return path, weights


def test_names_change_wherever_they_stand() -> None:
    net = with_input(TEXT, *SHAPE)
    weights = weights_of(net)
    made = rename(net, weights, layers=[("*1", "trunk/*")], blobs=[("conv1", "features")])
    names = [layer.get("name") for layer in made.message.get("layer")]
    assert names == ["in", "trunk/conv", "trunk/bn", "ip2"]
    assert made.message.get("layer")[3].get("bottom") == ("features",)
    assert made.weights is not None and set(made.weights) == {"trunk/conv", "trunk/bn", "ip2"}
    data = {"data": noise(*SHAPE)}
    np.testing.assert_array_equal(
        answers(net, weights, data)["ip2"], answers(made.message, made.weights, data)["ip2"]
    )


@pytest.mark.parametrize(
    ("layers", "code", "told"),
    [
        ([("conv2", "x")], "unknown-name", "no layer `conv2`"),
        ([("conv1", "bn1")], "name-taken", "`conv1` and `bn1` would both be called `bn1`"),
        ([("*", "all")], "name-taken", "would both be called `all`"),
    ],
)
def test_names_that_cannot_be_are_refused(
    layers: list[tuple[str, str]], code: str, told: str
) -> None:
    with pytest.raises(NetcError, match=told) as caught:
        rename(with_input(TEXT, *SHAPE), layers=layers)
    assert caught.value.diagnostics[0].code == code


def test_two_names_can_be_exchanged() -> None:
    made = rename(with_input(TEXT, *SHAPE), layers=[("conv1", "bn1"), ("bn1", "conv1")])
    assert [x.get("name") for x in made.message.get("layer")] == ["in", "bn1", "conv1", "ip2"]


def test_the_command_renames(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = files
    out = path.with_name("new.prototxt")
    assert main(["rename", str(path), str(weights), "--both", "conv1=c", "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.endswith(f"wrote {out} and {out.with_suffix('.caffemodel')}: 2 names changed\n")
    assert "# the first" in out.read_text(encoding="utf-8")
    assert "include" in out.read_text(encoding="utf-8")  # layers of other phases stay
    assert list(load_weights(out.with_suffix(".caffemodel"))) == ["c", "bn1", "ip2"]
    assert main(["rename", str(path), "-o", str(out)]) == 1
    assert main(["rename", str(path), "--layer", "a=*", "-o", str(out)]) == 2


def test_arrays_of_other_layers_go() -> None:
    net = with_input(TEXT, *SHAPE)
    weights = weights_of(net)
    more = as_weights({"old": [noise(4)], **{n: list(a) for n, a in weights.items()}})
    made = prune_weights(net, more)
    assert list(made.weights) == ["conv1", "bn1", "ip2"]
    told = "layer `old` went: the net has no such layer (16 bytes)"
    assert [c.message for c in made.changes] == [told]
    with pytest.raises(NetcError) as caught:
        prune_weights(net, as_weights({"old": [noise(4)]}))
    assert caught.value.diagnostics[0].code == "nothing-left"


def test_the_command_prunes(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = files
    arrays = {name: list(a) for name, a in load_weights(weights).items()}
    save_weights(weights.with_name("more.npz"), {**arrays, "old": [noise(9)]})
    out = weights.with_name("pruned.caffemodel")
    assert (
        main(["prune-weights", str(path), str(weights.with_name("more.npz")), "-o", str(out)]) == 0
    )
    assert "old" in capsys.readouterr().out
    assert list(load_weights(out)) == ["conv1", "bn1", "ip2"]
    assert load_weights(out).layers["ip2"].type == "InnerProduct"


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5", ".npz"])
def test_half_is_read_back_with_the_values_it_has(
    files: tuple[Path, Path], suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix.endswith("h5"):
        pytest.importorskip("h5py", reason="it writes HDF5")
    out = files[1].with_name("half" + suffix)
    assert main(["half", str(files[1]), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relative_change"] < 5e-4
    before, after = load_weights(files[1]), load_weights(out)
    for name, arrays in before.items():
        for old, new in zip(arrays, after[name], strict=True):
            rounded = old if name == "bn1" else old.astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(new, rounded)
    if suffix == ".caffemodel":
        assert after.layers["conv1"].kinds == ("float16", "float16")
        assert after.layers["bn1"].kinds == ("float32",) * 3
        assert out.stat().st_size < files[1].stat().st_size


def test_opencv_reads_half(files: tuple[Path, Path]) -> None:
    cv2 = pytest.importorskip("cv2", reason="it reads what netc wrote")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe nets")
    out = files[1].with_name("half.caffemodel")
    assert main(["half", str(files[1]), "-o", str(out)]) == 0
    net = cv2.dnn.readNetFromCaffe(str(files[0]), str(out))
    data = noise(*SHAPE)
    net.setInput(data)
    wanted = answers(read_net(files[0]).message, load_weights(out), {"data": data})["ip2"]
    np.testing.assert_allclose(net.forward(), wanted, rtol=1e-3, atol=1e-4)


def test_numbers_beyond_half_are_refused() -> None:
    with pytest.raises(NetcError) as caught:
        halved(as_weights({"ip": [np.array([[1.0, -7e4]])]}))
    assert caught.value.diagnostics[0].code == "half-overflow"
    assert "blob 0 of layer `ip` has -70000" in caught.value.diagnostics[0].message


def test_the_text_of_a_caffemodel(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, weights = files
    out = path.with_name("text.prototxt")
    assert main(["text", str(weights), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}: 4 layers\n"
    assert main(["compare", str(path), str(out), "--exit-code"]) == 0
    save_weights(weights.with_name("bare.npz"), {"ip": [noise(3)]})
    assert main(["text", str(weights.with_name("bare.npz")), "-o", str(out)]) == 1
    assert "no-definition" in capsys.readouterr().err
