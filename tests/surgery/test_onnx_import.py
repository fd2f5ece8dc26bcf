from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.export.onnx import to_onnx
from netc.frontend import read_net
from netc.surgery.loading import loaded, plain_weights
from netc.surgery.onnx_import import Imported, import_onnx
from netc.surgery.opponents import OnnxModel
from netc.surgery.verify import verify_against
from tests.strategies import nets
from tests.surgery.nets import graph_of, layer_types, noise, weights_of

onnx = pytest.importorskip("onnx", reason="models are made with it")
pytest.importorskip("onnxruntime", reason="it runs the models")
helper = onnx.helper


def model(
    path: Path, nodes: list[Any], shape: tuple[Any, ...], opset: int = 17, **arrays: Any
) -> Path:
    """A model of one input `x` and one output `y`."""
    kinds = onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kinds.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(made, str(path))
    return path


def same(path: Path) -> Imported:
    """The import of a model, which gives the numbers that ONNX Runtime gives."""
    made = import_onnx(path)
    net = loaded(made.message, plain_weights(made.weights))
    found = verify_against(net, OnnxModel(path), backend="reference")
    assert found.equal and "y" in {error.blob for error in found.errors}
    return made


def node(op: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, ["x", *inputs], ["y"], name="n", **attributes)


W = noise(6, 4, 3, 3)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "conv": (node("Conv", "w", "b", strides=[2, 1], pads=[1, 1, 1, 1]), {"w": W, "b": noise(6)}),
    "conv same": (node("Conv", "w", auto_pad="SAME_UPPER"), {"w": W}),
    "conv of TensorFlow": (node("Conv", "w", strides=[2, 2], pads=[0, 0, 1, 1]), {"w": W}),
    "conv with more before": (node("Conv", "w", pads=[2, 1, 0, 0]), {"w": W}),
    "conv that never sees its last padding": (
        node("Conv", "w", strides=[3, 2], pads=[1, 1, 0, 0]),
        {"w": W},
    ),
    "conv with holes, wider after": (
        node("Conv", "w", dilations=[2, 2], pads=[0, 1, 2, 1]),
        {"w": W},
    ),
    "max of TensorFlow": (
        node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        {},
    ),
    "conv group": (node("Conv", "w", group=2, dilations=[2, 2]), {"w": noise(6, 2, 3, 3)}),
    "deconv": (
        node("ConvTranspose", "w", strides=[2, 2], pads=[1, 1, 1, 1]),
        {"w": noise(4, 5, 4, 4)},
    ),
    "max": (node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), {}),
    "max floor": (node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), {}),
    "max ceil": (node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), {}),
    "average": (
        node("AveragePool", kernel_shape=[3, 2], pads=[1, 0, 1, 0], count_include_pad=1),
        {},
    ),
    "global": (node("GlobalAveragePool"), {}),
    "mean": (node("ReduceMean", axes=[2, 3], keepdims=0), {}),
    "relu6": (node("Clip", "l", "h"), {"l": np.float32(0), "h": np.float32(6)}),
    "clip": (node("Clip", "l", "h"), {"l": np.float32(-0.5), "h": np.float32(0.5)}),
    "leaky": (node("LeakyRelu", alpha=0.2), {}),
    "prelu": (node("PRelu", "s"), {"s": noise(4, 1, 1)}),
    "elu": (node("Elu", alpha=0.7), {}),
    "softmax": (node("Softmax", axis=1), {}),
    "log softmax": (node("LogSoftmax", axis=-1), {}),
    "bn": (
        node("BatchNormalization", "s", "b", "m", "v"),
        {"s": noise(4), "b": noise(4), "m": noise(4), "v": np.abs(noise(4)) + 0.5},
    ),
    "lrn": (node("LRN", size=3, alpha=0.5, bias=2.0), {}),
    "times": (node("Mul", "c"), {"c": noise(1, 4, 1, 1)}),
    "plus": (node("Add", "c"), {"c": noise(7)}),
    "minus": (helper.make_node("Sub", ["c", "x"], ["y"], name="n"), {"c": np.float32(3)}),
    "over": (helper.make_node("Div", ["c", "x"], ["y"], name="n"), {"c": np.float32(3)}),
    "slice": (node("Slice", "s", "e", "a"), {"s": [1], "e": [3], "a": [1]}),
    "reshape": (node("Reshape", "s"), {"s": np.array([2, -1, 7])}),
    "transpose": (node("Transpose", perm=[0, 2, 3, 1]), {}),
    "flatten": (node("Flatten"), {}),
    "resize": (node("Resize", "", "s", mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor"), {"s": np.array([1, 1, 2, 3], np.float32)}),
    "matmul": (node("MatMul", "w"), {"w": noise(7, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_node_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    made, arrays = CASES[name]
    same(model(tmp_path / "m.onnx", [made], (2, 4, 7, 7), **arrays))


def test_what_torch_writes_round_a_flatten_is_worked_out(tmp_path: Path) -> None:
    """Shape, Gather, Unsqueeze, Concat and Reshape, whose values follow from shapes alone."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["g"], transB=1),
        helper.make_node("Relu", ["g"], ["y"]),
    ]
    arrays = {"zero": np.int64(0), "axis": [0], "rest": [-1], "w": noise(3, 18), "b": noise(3)}
    made = same(model(tmp_path / "m.onnx", nodes, ("batch", 2, 3, 3), **arrays))
    assert layer_types(made.message) == ["Input", "Flatten", "InnerProduct", "ReLU"]


def test_a_pad_before_a_convolution_is_its_padding(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
    ]
    arrays = {"p": np.array([0, 0, 1, 2, 0, 0, 1, 2]), "w": W}
    made = same(model(tmp_path / "m.onnx", nodes, (1, 4, 7, 7), **arrays))
    assert layer_types(made.message) == ["Input", "Convolution"]


def test_squeeze_and_excitation(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Sigmoid", ["p"], ["s"]),
        helper.make_node("Mul", ["s", "x"], ["y"]),
    ]
    same(model(tmp_path / "m.onnx", nodes, (2, 4, 5, 5)))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            node("Conv", "w", pads=[0, 0, 1, 1], dilations=[2, 2]),
            "it pads 0 before and 1 after",
        ),
        (
            node("AveragePool", kernel_shape=[3, 3], pads=[0, 0, 1, 1], count_include_pad=1),
            "it pads [0, 0] before and [1, 1] after",
        ),
        (node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), "leave the padding out"),
        (node("Sin"), "there is no layer of its kind"),
        (node("Relu", domain="com.microsoft"), "there is no layer of its kind"),
    ],
)
def test_what_caffe_cannot_say_is_told_with_the_node(made: Any, told: str, tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", [made], (1, 4, 7, 7), w=W)
    with pytest.raises(NetcError) as caught:
        import_onnx(path)
    found = caught.value.diagnostics[0]
    assert found.code == "not-caffe" and told in found.message
    assert found.message.startswith("node `n` (")


def test_a_size_that_the_model_leaves_open_is_asked_for(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", [node("Relu")], ("n", 3, "h", "w"))
    with pytest.raises(NetcError) as caught:
        import_onnx(path)
    assert caught.value.diagnostics[0].code == "unknown-input-shape"
    import_onnx(path, {"x": (1, 3, 5, 5)})


@settings(max_examples=20, deadline=None)
@given(nets())
def test_random_nets_come_back(source: Source) -> None:
    from tempfile import TemporaryDirectory

    net = read_net(source).message
    graph = graph_of(net, weights_of(net))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        try:
            onnx.save(to_onnx(graph), str(path))
            made = import_onnx(path)
        except NetcError as error:
            assert {d.code for d in error.diagnostics} <= {"not-caffe", "onnx-unsupported"}
            return
        back = loaded(made.message, plain_weights(made.weights))
        assert verify_against(back, OnnxModel(path), backend="reference").equal


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path / "m.onnx", [CASES["conv"][0]], ("n", 4, 7, 7), **CASES["conv"][1])
    out = tmp_path / "net.prototxt"
    assert main(["import", str(path), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    files = f"wrote {out} and {tmp_path / 'net.caffemodel'}: "
    assert told.startswith(files + "x 1x4x7x7 -> y 1x6x4x7, 1 blob equal")
    assert main(["run", str(out), "-w", str(tmp_path / "net.caffemodel")]) in (0, 1)
    assert main(["import", str(path), "-o", str(out)]) == 1
    assert "file-exists" in capsys.readouterr().err
    (tmp_path / "junk.onnx").write_bytes(b"\x08junk")
    assert main(["import", str(tmp_path / "junk.onnx"), "-o", str(out), "--force"]) == 1
    assert "not-onnx" in capsys.readouterr().err


def chain(op: str, length: int, first: str, **attributes: Any) -> list[Any]:
    """Nodes that each read the one before twice; the last makes `y`."""
    names = [first, *(f"a{i}" for i in range(length - 1)), "y"]
    return [helper.make_node(op, [old, old], [new], **attributes) for old, new in pairwise(names)]


def test_lists_that_double_are_not_worked_out(tmp_path: Path) -> None:
    """40 nodes of a few bytes would make 2 to the power of 40 elements."""
    nodes = [*chain("Concat", 40, "k", axis=0)[:-1], helper.make_node("Add", ["x", "a38"], ["y"])]
    path = model(tmp_path / "m.onnx", nodes, (1, 3, 4, 4), k=np.ones(1, np.float32))
    with pytest.raises(NetcError):
        import_onnx(path)


def test_a_node_of_many_inputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sum", ["x"] * 3000, ["y"])]
    made = import_onnx(model(tmp_path / "m.onnx", nodes, (1, 1, 2, 2)))
    assert len(made.message.get("layer")[-1].get("bottom")) == 3000


@pytest.mark.parametrize(("location", "length"), [
    ("data.bin", ""), ("data.bin", str(1 << 45)), ("data.bin", "abc"), ("../data.bin", ""),
    ("/etc/hostname", ""), ("none.bin", ""),
])  # fmt: skip
def test_data_beside_a_model_are_counted_and_confined(
    location: str, length: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for place in (folder, tmp_path):
        with (place / "data.bin").open("wb") as file:
            file.truncate(1 << 42)  # no block of it is on the disk
    path = model(folder / "m.onnx", [node("Gemm", "w")], (1, 2), w=np.ones((2, 3), np.float32))
    made = onnx.load(str(path))
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", length)):
        if value:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    path.write_bytes(made.SerializeToString())
    with pytest.raises(NetcError) as told:
        import_onnx(path)
    expected = "too-little-memory" if length.isdigit() or not length else "not-onnx"
    assert told.value.diagnostics[0].code in (expected, "not-onnx")


def test_models_without_layers(tmp_path: Path) -> None:
    with pytest.raises(NetcError, match="has no nodes"):
        import_onnx(model(tmp_path / "m.onnx", [], (1, 1, 2, 2)))
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    with pytest.raises(NetcError, match="is a Pad's"):
        import_onnx(model(tmp_path / "p.onnx", [node("Pad", "p")], (1, 1, 2, 2), p=pads))
