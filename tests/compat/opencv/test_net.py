"""``readNetFromCaffe``: against Caffe's numbers, and against OpenCV where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
from netc import save_weights
from netc.data import prototxt_dir
from netc.diagnostics import NetcError
from netc.driver import compile
from tests.optional import opencv_with_caffe

DIGITS = prototxt_dir() / "digits"
TEXT = str(DIGITS / "deploy.prototxt")
WEIGHTS = str(DIGITS / "digits.caffemodel")

NO_SHAPE = b"""
input: "data"
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "constant" value: 1 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "s" type: "Slice" bottom: "c" top: "s1" top: "s2" }
layer { name: "end" type: "Power" bottom: "s2" top: "end" power_param { shift: -1 } }
"""


def digits() -> dnn.Net:
    return dnn.readNetFromCaffe(TEXT, WEIGHTS)


def images(number: int) -> Any:
    return np.random.default_rng(3).random((number, 1, 8, 8), dtype=np.float32)


@pytest.mark.parametrize("name", ["lenet", "mtcnn_det1"])
def test_trained_models_give_caffes_outputs(golden: Path, name: str) -> None:
    folder = golden / "models"
    data = np.load(folder / f"{name}.npz")
    net = dnn.readNetFromCaffe(str(folder / f"{name}.prototxt"), str(folder / f"{name}.caffemodel"))
    net.setInput(data["in/data"])
    names = net.getUnconnectedOutLayersNames()
    for layer, array in zip(names, net.forward(names), strict=True):
        np.testing.assert_allclose(array, data[f"out/{layer}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), [("lenet", (3, 1, 28, 28)),
                                             ("mtcnn_det1", (2, 3, 30, 41))])  # fmt: skip
def test_trained_models_are_opencvs(golden: Path, name: str, shape: tuple[int, ...]) -> None:
    cv2 = opencv_with_caffe()
    files = [str(golden / "models" / f"{name}.{kind}") for kind in ("prototxt", "caffemodel")]
    fed = np.random.default_rng(0).random(shape, dtype=np.float32)
    same_as_opencv(dnn.readNetFromCaffe(*files), cv2.dnn.readNetFromCaffe(*files), fed)


@pytest.mark.parametrize("name", ["squeezenet11", "googlenet"])
def test_public_nets_are_opencvs(nets: Path, tmp_path: Path, name: str) -> None:
    cv2 = opencv_with_caffe()
    text = nets / f"{name}.prototxt"
    shape = (1, 3, 227, 227) if name == "squeezenet11" else (1, 3, 224, 224)
    weights = compile(text, inputs={"data": shape}, backend="reference", seed=7).params
    files = str(text), str(tmp_path / "net.caffemodel")
    save_weights(files[1], weights)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    fed = dnn.blobFromImage(image, 1 / 64, shape[:1:-1], (104, 117, 123))
    same_as_opencv(dnn.readNetFromCaffe(*files), cv2.dnn.readNetFromCaffe(*files), fed, 4)


def test_a_detection_net_finds_opencvs_boxes(corpus: Path, tmp_path: Path) -> None:
    cv2 = opencv_with_caffe()
    text = corpus / "files" / "chuanqi305+MobileNet-SSD" / "deploy.prototxt"
    rng = np.random.default_rng(0)
    start = compile(text, backend="reference")
    weights = {name: list(arrays) for name, arrays in start.params.items()}
    for arrays in weights.values():
        shape = arrays[0].shape
        if len(shape) > 1:
            arrays[0] = rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5
        elif len(arrays) == 3:  # BatchNorm's statistics
            arrays[:] = [0.1 * rng.standard_normal(shape), rng.uniform(0.5, 1.5, shape), np.ones(1)]
    files = str(text), str(tmp_path / "net.caffemodel")
    save_weights(files[1], weights)
    found = []
    fed = rng.standard_normal(start.inputs["data"])
    for net in (dnn.readNetFromCaffe(*files), cv2.dnn.readNetFromCaffe(*files)):
        net.setInput(fed.astype(np.float32))
        rows = net.forward()[0, 0]
        found.append(rows[np.lexsort(rows.round(3).T[::-1])])  # by score or by class: as one likes
    assert found[0].shape == (100, 7)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def same_as_opencv(net: dnn.Net, other: Any, fed: Any, inside: int = 100) -> None:
    """The same names, ids, parameters and outputs, of the net and of some layers inside it."""
    assert net.getLayerNames() == tuple(other.getLayerNames())
    assert net.getUnconnectedOutLayersNames() == tuple(other.getUnconnectedOutLayersNames())
    assert net.getUnconnectedOutLayers().tolist() == other.getUnconnectedOutLayers().tolist()
    names = net.getLayerNames()
    assert [net.getLayerId(n) for n in names] == [other.getLayerId(n) for n in names]
    assert net.getLayerId("no layer") == other.getLayerId("no layer") == -1
    np.testing.assert_array_equal(
        net.getParam(names[0]).reshape(-1), other.getParam(names[0]).reshape(-1)
    )
    net.setInput(fed)
    other.setInput(fed)
    close(net.forward(), other.forward())
    step = max(1, len(names) // inside)
    asked = [*names[::step], names[-1]]
    for one, expected in zip(net.forward(asked), other.forward(asked), strict=True):
        close(one, expected)


def close(array: Any, expected: Any) -> None:
    assert array.shape == expected.shape and array.dtype == np.float32
    size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4 * size)


def test_files_may_be_given_as_bytes() -> None:
    text, weights = Path(TEXT).read_bytes(), Path(WEIGHTS).read_bytes()
    fed = images(2)
    expected = compile(TEXT, WEIGHTS, inputs={"data": fed.shape})(data=fed)["prob"]
    as_array = np.frombuffer(text, np.uint8), np.frombuffer(weights, np.uint8)
    for net in (
        digits(),
        dnn.readNetFromCaffe(text, weights),
        dnn.readNetFromCaffe(bytearray(text), bytearray(weights)),
        dnn.readNetFromCaffe(*as_array),
        dnn.readNet(WEIGHTS, TEXT),
        dnn.readNet(TEXT, WEIGHTS, "caffe"),
    ):
        net.setInput(fed)
        np.testing.assert_array_equal(net.forward(), expected)


def test_a_layers_output_is_before_a_later_layer_rewrites_it() -> None:
    net = digits()
    net.setInput(images(1))
    raw, cut = net.forward("conv1"), net.forward("relu1")
    assert raw.min() < 0 and np.array_equal(np.maximum(raw, 0), cut)


def test_forward_gives_one_array_or_a_tuple() -> None:
    net = digits()
    net.setInput(images(1))
    last = net.forward()
    assert last.shape == (1, 10) and np.array_equal(net.forward(""), last)
    given = net.forward(["ip1", "prob"])
    assert isinstance(given, tuple) and [array.shape for array in given] == [(1, 64), (1, 10)]
    given[1][...] = 0
    assert np.array_equal(net.forward(), last)  # what was given was a copy


def test_inputs_change_their_shape_and_are_normalised() -> None:
    net, fed = digits(), images(4)
    for number in (4, 1, 4):
        net.setInput(fed[:number], "data")
        assert net.forward().shape == (number, 10)
    expected = net.forward()
    net.setInput(fed * 255 + 7, scalefactor=1 / 255, mean=7)
    np.testing.assert_allclose(net.forward(), expected, atol=1e-5)
    blob = np.full((1, 1, 8, 8), 51, dtype=np.uint8)
    net.setInput(blob, "data", 1 / 255.0, (0, 0, 0))
    reference = compile(TEXT, WEIGHTS)(data=np.full((1, 1, 8, 8), 0.2, dtype=np.float32))
    np.testing.assert_allclose(net.forward(), reference["prob"], atol=1e-5)


def test_a_text_without_shapes_takes_them_from_the_input() -> None:
    net = dnn.readNetFromCaffe(NO_SHAPE)
    assert net.getLayerNames() == ("c", "r", "s", "end")
    assert net.getUnconnectedOutLayersNames() == ("end",) and not net.empty()
    with pytest.raises(NetcError, match="unknown-input-shape"):
        net.getParam("c")
    net.setInput(np.ones((1, 2, 4, 5), dtype=np.float32))
    assert net.forward().tolist() == np.full((1, 1, 2, 3), 17.0).tolist()
    assert net.getParam("c").shape == (2, 2, 3, 3)
    again = dnn.readNetFromCaffe(NO_SHAPE)
    again.setInput(np.ones((1, 2, 4, 5), dtype=np.float32))
    again.setParam("c", 1, [2, 3])
    assert again.forward().max() == 20


def test_parameters_are_read_and_written() -> None:
    net = digits()
    net.setInput(images(1))
    net.forward()
    assert net.getParam("conv1", 1).shape == (16, 1) and net.getParam(1).shape == (16, 1, 3, 3)
    bias = net.getParam("ip2", 1)
    bias[6] += 1000
    net.setParam("ip2", 1, bias)
    assert net.forward().argmax() == 6 and net.getParam("ip2", 1)[6] > 900
    layer = net.getLayer("ip2")
    assert (layer.name, layer.type, len(layer.blobs)) == ("ip2", "InnerProduct", 2)
    assert net.getLayer(1).name == "conv1" and net.getLayer("pool1").blobs == []


NAMES = b"""
input: "x" input_shape { dim: 1 dim: 1 dim: 4 dim: 4 }
layer { name: "conv" type: "Convolution" bottom: "x" top: "rpn/output"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "act" type: "ReLU" bottom: "rpn/output" top: "r" }
layer { name: "act" type: "Power" bottom: "r" top: "p" }
"""


def test_layers_are_called_as_opencv_calls_them() -> None:
    net = dnn.readNetFromCaffe(NAMES)
    assert net.getLayerNames() == ("rpn/output", "act", "act_1")
    assert net.getLayerId("conv") == net.getLayerId("rpn/output") == 1
    assert net.getLayer("conv").name == "rpn/output" and net.getParam("conv").shape == (2, 1, 3, 3)
    cv2 = opencv_with_caffe()
    other = cv2.dnn.readNetFromCaffe(np.frombuffer(NAMES, np.uint8))
    assert net.getLayerNames() == tuple(other.getLayerNames())
    assert net.getUnconnectedOutLayersNames() == tuple(other.getUnconnectedOutLayersNames())


def test_a_parameter_shared_by_name_is_set_for_all_its_layers() -> None:
    layer = """layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}"
        param {{ name: "w" }} inner_product_param {{ num_output: 2 bias_term: false }} }}"""
    shape = 'input: "x" input_shape { dim: 1 dim: 2 } '
    net = dnn.readNetFromCaffe((shape + layer.format("a", "x") + layer.format("b", "a")).encode())
    net.setParam("a", 0, 2 * np.eye(2))
    net.setInput(np.ones((1, 2)))
    assert net.forward().tolist() == [[4, 4]]


def test_the_cuda_backend_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def ready(graph: Any, backend: str, variables: Any, precision: str) -> Any:
        asked.append((backend, precision))
        return compile(TEXT, WEIGHTS)

    monkeypatch.setattr("netc.compat.opencv.net.ready", ready)
    net = digits()
    net.setInput(images(1))
    for backend, target in (
        (dnn.DNN_BACKEND_OPENCV, dnn.DNN_TARGET_CPU),
        (dnn.DNN_BACKEND_CUDA, dnn.DNN_TARGET_CUDA),
        (dnn.DNN_BACKEND_CUDA, dnn.DNN_TARGET_CUDA_FP16),
    ):
        net.setPreferableBackend(backend)
        net.setPreferableTarget(target)
        net.forward()
    assert asked == [("cpu", "float32"), ("cuda", "float32"), ("cuda", "fp16")]


def test_the_time_of_the_last_forward_is_told() -> None:
    net = digits()
    net.setInput(images(1))
    net.forward()
    ticks, layers = net.getPerfProfile()
    assert ticks > 0
    assert layers.dtype == np.float64 and layers.shape == (len(net.getLayerNames()),)
    assert (layers >= 0).all() and (layers > 0).sum() >= 3
    assert layers.sum() == pytest.approx(ticks)
    net.forward(net.getLayerNames()[0])
    assert (net.getPerfProfile()[1] > 0).tolist() == [True] + [False] * (len(layers) - 1)


def test_constants_are_opencvs() -> None:
    cv2 = opencv_with_caffe()
    for name in dnn.__all__:
        if name.startswith("DNN_"):
            assert getattr(dnn, name) == getattr(cv2.dnn, name)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda net: net.forward(), "missing-input"),
        (lambda net: net.forward("conv"), "unknown-layer"),
        (lambda net: net.forward([1.5]), "bad-argument"),
        (lambda net: net.getLayer(1.5), "bad-argument"),
        (lambda net: dnn.readNetFromCaffe(None), "bad-argument"),
        (lambda net: dnn.readNetFromCaffe(TEXT, 3), "bad-argument"),
        (lambda net: net.getLayer(-1), "unknown-layer"),
        (lambda net: net.getPerfProfile(), "no-forward"),
        (lambda net: net.getLayer(1).run([]), "bottom-count"),
        (lambda net: net.getLayer("ip1").run([np.zeros((1, 7))]), "weight-shape"),
        (lambda net: net.dumpToPbtxt("nowhere/net.prototxt"), "cannot-write"),
        (lambda net: net.getParam("conv1", 2), "bad-argument"),
        (lambda net: net.getParam("pool1"), "bad-argument"),
        (lambda net: net.setParam("ip2", 1, [1, 2]), "weight-shape"),
        (lambda net: net.setInput(images(1), "dat"), "unknown-input"),
        (lambda net: net.setInput(["a"]), "input-dtype"),
        (lambda net: dnn.readNetFromCaffe("nowhere.prototxt"), "missing-file"),
        (lambda net: dnn.readNetFromCaffe(WEIGHTS, TEXT), "swapped-arguments"),
        (lambda net: dnn.readNet(TEXT, "", "darknet"), "bad-argument"),
        (lambda net: dnn.readNetFromCaffe(b"layer { name: 'a' type: 'Nope' }"), None),
    ],
)
def test_mistakes_are_told(call: Any, code: str | None) -> None:
    with pytest.raises(NetcError) as error:
        call(digits())
    assert code is None or error.value.diagnostics[0].code == code


def test_a_shape_that_the_net_cannot_take_is_told() -> None:
    net = digits()
    net.setInput(np.zeros((1, 1, 16, 16), dtype=np.float32))
    with pytest.raises(NetcError, match="weight-shape"):
        net.forward()
