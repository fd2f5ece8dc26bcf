"""Old weights in the current format, and layer definitions inside caffemodels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import Source
from netc.migrate.upgrade import upgrade_net
from netc.schema.bind import bind
from netc.schema.descriptors import message_class
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.parser import parse_document
from netc.weights import load_weights, save_weights, upgrade_weights
from tests.weights.oracle import Net

ROOT = Path(__file__).resolve().parent.parent.parent
REAL = (
    ROOT / "prototxt" / "digits" / "digits.caffemodel",
    ROOT / "tests" / "golden" / "models" / "lenet.caffemodel",
    ROOT / "tests" / "golden" / "models" / "mtcnn_det1.caffemodel",
)
V1 = """
name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "fc" type: INNER_PRODUCT bottom: "conv1" top: "fc"
  inner_product_param { num_output: 2 } }
"""
V0 = """
layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3 } bottom: "pad1"
  top: "conv1" }
layers { layer { name: "fc" type: "innerproduct" num_output: 2 } bottom: "conv1" top: "fc" }
"""
V2 = """
name: "new"
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
  param { lr_mult: 2 } convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
"""
RNG = np.random.default_rng(0)
CONV = RNG.random((4, 3, 3, 3), np.float32)
FC = RNG.random((2, 196), np.float32)
BIAS = RNG.random(4, np.float32)


def message(text: str) -> Message:
    return bind(parse_document(Source("net", text)), load_schema().message("NetParameter"))


def parsed(data: bytes) -> Any:
    return message_class(load_schema().message("NetParameter")).FromString(data)


def old_file(path: Path, text: str) -> Path:
    """A caffemodel of an old format: its definitions, with legacy blobs."""
    from netc.schema.convert import to_protobuf

    net = to_protobuf(message(text))
    for layer in net.layers:
        inner = layer.layer if layer.HasField("layer") else layer
        if inner.name == "conv1":
            inner.blobs.add(num=4, channels=3, height=3, width=3, double_data=CONV.ravel())
            inner.blobs.add(num=1, channels=1, height=1, width=4, data=BIAS)
        if inner.name == "fc":
            inner.blobs.add(num=1, channels=1, height=2, width=196, data=FC.ravel())
    path.write_bytes(net.SerializeToString())
    return path


@pytest.mark.parametrize(("text", "generation"), [(V1, "V1"), (V0, "V0")], ids=["V1", "V0"])
def test_an_old_file(tmp_path: Path, text: str, generation: str) -> None:
    old = old_file(tmp_path / "old.caffemodel", text)
    new = tmp_path / "new.caffemodel"
    told = [change.message for change in upgrade_weights(old, new).changes]
    assert told[0] == f"{old}: 3 layers of the {generation} format became `layer`"
    assert (
        "layer `conv1`: num 1, channels 1, height 1, width 4 of blob 1 became `shape` (4,)" in told
    )
    assert "layer `conv1`: blob 0 of float64 became float32" in told
    weights = load_weights(new)
    assert weights.generation == "V2"
    assert {name: [a.tolist() for a in arrays] for name, arrays in weights.items()} == {
        "conv1": [CONV.tolist(), BIAS.tolist()],
        "fc": [FC.tolist()],
    }
    assert not any(any(layer.legacy) for layer in weights.layers.values())
    net = parsed(new.read_bytes())
    for layer in net.layer:
        layer.ClearField("blobs")
    wanted, _ = upgrade_net(message(text))
    assert [layer.name for layer in net.layer] == [x.get("name") for x in wanted.get("layer")]
    conv = next(layer for layer in net.layer if layer.name == "conv1")
    assert conv.convolution_param.kernel_size == [3]
    assert upgrade_weights(new, tmp_path / "again.caffemodel").changes == ()
    assert (tmp_path / "again.caffemodel").read_bytes() == new.read_bytes()


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_a_current_file_stays_what_it_is(tmp_path: Path, path: Path) -> None:
    new = tmp_path / "new.caffemodel"
    assert upgrade_weights(path, new).changes == ()
    assert Net.FromString(new.read_bytes()) == Net.FromString(path.read_bytes())


def test_fields_that_no_schema_knows(tmp_path: Path) -> None:
    """A V1 layer loses them, which is told; a V2 layer keeps its bytes."""
    unknown = b"\xfa\xff\xff\xff\x0f\x02hi"  # field 2^29 - 1
    old = Net()
    layer = old.layers.add(name="conv1", type=4)
    layer.blobs.add(num=1, channels=1, height=1, width=1, data=[1])
    layer.MergeFromString(unknown)
    path = tmp_path / "old.caffemodel"
    path.write_bytes(old.SerializeToString())
    changes = upgrade_weights(path, tmp_path / "new.caffemodel").changes
    assert changes[-1].lossy and "only the layers' names" in changes[-1].message
    assert load_weights(tmp_path / "new.caffemodel")["conv1"][0].shape == (1, 1, 1, 1)
    new = Net()
    new.layer.add(name="x", type="Own", bottom=["y"]).MergeFromString(unknown)
    path.write_bytes(new.SerializeToString())
    assert upgrade_weights(path, tmp_path / "new.caffemodel").changes == ()
    assert unknown in (tmp_path / "new.caffemodel").read_bytes()


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(b"\xa2\x06\x04\x0a\x02a\xff")  # layer { name: "a\xff" }
    assert upgrade_weights(old, new).changes == ()
    assert new.read_bytes() == old.read_bytes()
    old.write_bytes(b"\x12\x04\x22\x02a\xff")  # layers { name: "a\xff" }
    assert "not UTF-8" in upgrade_weights(old, new).changes[-1].message
    assert list(load_weights(new).layers) == ["a\\xff"]


def test_a_type_that_does_not_tell_its_axes_keeps_the_stored_dims(tmp_path: Path) -> None:
    old = Net()
    layer = old.layers.add(name="bn", type=57)
    layer.blobs.add(num=1, channels=2, height=1, width=1, data=[1, 2])
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    changes = upgrade_weights(tmp_path / "old.caffemodel", tmp_path / "new.caffemodel").changes
    assert any("keeps num 1, channels 2, height 1, width 1" in c.message for c in changes)
    new = Net.FromString((tmp_path / "new.caffemodel").read_bytes())
    assert new.layer[0].blobs[0].channels == 2


def test_another_format(tmp_path: Path) -> None:
    old = old_file(tmp_path / "old.caffemodel", V1)
    assert upgrade_weights(old, tmp_path / "new.npz").changes
    assert load_weights(tmp_path / "new.npz")["fc"][0].shape == (2, 196)


def test_weights_with_a_net(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    save_weights(path, {"more": [BIAS], "conv1": [CONV, BIAS], "empty": []}, net=message(V2))
    net = parsed(path.read_bytes())
    assert net.name == "new"
    assert [layer.name for layer in net.layer] == ["conv1", "relu1", "more"]
    assert [len(layer.blobs) for layer in net.layer] == [2, 0, 1]
    assert net.layer[0].param[1].lr_mult == 2 and net.layer[0].bottom == ["data"]
    assert list(load_weights(path)) == ["conv1", "more"]
    assert load_weights(path)["conv1"][0].tobytes() == CONV.tobytes()
    save_weights(path, {"conv1": [CONV, BIAS]}, net=message(V1))
    assert [layer.type for layer in parsed(path.read_bytes()).layer][1:] == [
        "Convolution",
        "ReLU",
        "InnerProduct",
    ]
