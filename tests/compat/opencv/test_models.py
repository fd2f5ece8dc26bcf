"""Models of OpenCV's kind, side by side with OpenCV 4 where it is installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
import netc.compat.opencv as dnn
from netc.weights.seeded import seeded_weights

CLASSES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 24, 32] } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 6 kernel_size: 5 stride: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc"
  inner_product_param { num_output: 7 } }
"""
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }'
MAPS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 24, 32] } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 5 kernel_size: 3 stride: 2 pad: 1 } }
"""
BOXES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 32, 32] } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 8 kernel_size: 3 stride: 4 pad: 1 } }
layer { name: "p" type: "PriorBox" bottom: "c" bottom: "data" top: "p"
  prior_box_param { min_size: 10 max_size: 16 clip: false variance: 0.1 variance: 0.1 variance: 0.2
    variance: 0.2 } }
layer { name: "l" type: "Convolution" bottom: "c" top: "l"
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "k" type: "Convolution" bottom: "c" top: "k"
  convolution_param { num_output: 6 kernel_size: 1 } }
layer { name: "kp" type: "Permute" bottom: "k" top: "kp"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "kr" type: "Reshape" bottom: "kp" top: "kr"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "ks" type: "Softmax" bottom: "kr" top: "ks" softmax_param { axis: 2 } }
layer { name: "kf" type: "Flatten" bottom: "ks" top: "kf" }
layer { name: "out" type: "DetectionOutput" bottom: "lf" bottom: "kf" bottom: "p" top: "out"
  detection_output_param { num_classes: 3 share_location: true background_label_id: 0
    nms_param { nms_threshold: 0.9 top_k: 100 } code_type: CENTER_SIZE keep_top_k: 60
    confidence_threshold: 0.05 } }
"""


def frame(seed: int, height: int = 45, width: int = 70) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def files(folder: Path, text: str, seed: int = 1) -> tuple[str, str]:
    prototxt, model = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text, encoding="utf-8")
    graph = netc.frontend.runnable(netc.frontend.build(netc.frontend.read_net(prototxt).message))
    netc.save_weights(model, seeded_weights(graph, seed=seed), netc.read_net(prototxt).message)
    return str(prototxt), str(model)


@pytest.fixture
def cv2() -> Any:
    try:
        module = importlib.import_module("cv2")
    except ImportError:
        pytest.skip("OpenCV is not installed")
    if not hasattr(module.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 reads no Caffe nets")
    return module


def both(cv2: Any, kind: str, paths: tuple[str, str]) -> tuple[Any, Any]:
    return getattr(dnn, kind)(*paths[::-1]), getattr(cv2, f"dnn_{kind}")(*paths[::-1])


SETTINGS: list[dict[str, Any]] = [
    {"scale": 1 / 255},
    {"scale": 0.01, "mean": (104, 117, 123), "swapRB": True},
    {"scale": 0.01, "mean": (104, 117, 123), "crop": True},
    {"scale": 0.02, "size": (32, 24), "mean": 20},
]


def prepared(model: Any, settings: dict[str, Any]) -> Any:
    given = {"size": (32, 24), "mean": (0, 0, 0), **settings}
    model.setInputParams(**given)
    return model


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("softmax", [False, True])
def test_classes_are_opencvs(cv2: Any, tmp_path: Path, settings: Any, softmax: bool) -> None:
    models = both(cv2, "ClassificationModel", files(tmp_path, CLASSES))
    for seed in range(3):
        made = []
        for model in models:
            prepared(model, settings).setEnableSoftmaxPostProcessing(softmax)
            assert model.getEnableSoftmaxPostProcessing() is softmax
            made.append(model.classify(frame(seed)))
        assert made[0][0] == made[1][0]
        np.testing.assert_allclose(made[0][1], made[1][1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("settings", SETTINGS)
def test_outputs_of_models_are_opencvs(cv2: Any, tmp_path: Path, settings: Any) -> None:
    models = [prepared(m, settings) for m in both(cv2, "Model", files(tmp_path, CLASSES + SOFTMAX))]
    mine, theirs = (model.predict(frame(7)) for model in models)
    assert len(mine) == len(theirs) == 1
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-3, atol=1e-4)
    mine, theirs = (model.setOutputNames(["fc", "prob"]).predict(frame(7)) for model in models)
    for one, two in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_the_size_is_the_nets_own(cv2: Any, tmp_path: Path) -> None:
    mine, theirs = (m.predict(frame(3)) for m in both(cv2, "Model", files(tmp_path, CLASSES)))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-3, atol=1e-2)


def test_masks_are_opencvs(cv2: Any, tmp_path: Path) -> None:
    models = both(cv2, "SegmentationModel", files(tmp_path, MAPS))
    mine, theirs = (prepared(m, {"scale": 0.01}).segment(frame(2)) for m in models)
    assert mine.dtype == theirs.dtype == np.uint8
    assert (mine == theirs).all()


@pytest.mark.parametrize("thresh", [0.5, 1.2, 100])
def test_keypoints_are_opencvs(cv2: Any, tmp_path: Path, thresh: float) -> None:
    models = both(cv2, "KeypointsModel", files(tmp_path, MAPS))
    mine, theirs = (prepared(m, {"scale": 0.01}).estimate(frame(2), thresh) for m in models)
    np.testing.assert_allclose(mine, np.array(theirs).reshape(mine.shape), rtol=1e-5)


@pytest.mark.parametrize("nms", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("confidence", [0.3, 0.45, 0.99])
def test_boxes_are_opencvs(
    cv2: Any, tmp_path: Path, nms: float, across: bool, confidence: float
) -> None:
    models = both(cv2, "DetectionModel", files(tmp_path, BOXES))
    found = []
    for model in models:
        model.setInputParams(scale=0.01, size=(32, 32), mean=(100, 100, 100), swapRB=True)
        model.setNmsAcrossClasses(across)
        labels, scores, boxes = model.detect(frame(5), confidence, nms)
        rows = [
            (int(a), round(float(b), 3), *map(int, c))
            for a, b, c in zip(labels, scores, boxes, strict=True)
        ]
        found.append(sorted(rows))
    assert found[0] == found[1]


def test_what_is_found_has_opencvs_types(cv2: Any, tmp_path: Path) -> None:
    for model in both(cv2, "DetectionModel", files(tmp_path, BOXES)):
        model.setInputParams(scale=0.01, size=(32, 32))
        labels, scores, boxes = model.detect(frame(5), 0.1)
        assert (labels.dtype, scores.dtype, boxes.dtype) == (np.int32, np.float32, np.int32)
        assert labels.shape == scores.shape == boxes.shape[:1]
        assert model.detect(frame(5), 2.0) == ((), (), ())


def test_shrunk_weights_are_opencvs(cv2: Any, tmp_path: Path) -> None:
    prototxt, model = files(tmp_path, CLASSES + SOFTMAX)
    made = []
    for name, shrink in (("a", dnn.shrinkCaffeModel), ("b", cv2.dnn.shrinkCaffeModel)):
        target = str(tmp_path / f"{name}.caffemodel")
        shrink(model, target)
        made.append(netc.load_weights(target).layers)
        net = cv2.dnn.readNetFromCaffe(prototxt, target)
        net.setInput(cv2.dnn.blobFromImage(frame(1), 0.01, (32, 24)))
        assert np.isfinite(net.forward()).all()
    for name in ("c", "fc"):
        for one, two in zip(made[0][name].arrays, made[1][name].arrays, strict=True):
            np.testing.assert_array_equal(np.reshape(one, -1), np.reshape(two, -1))


def test_other_layers_stay_whole(tmp_path: Path) -> None:
    model = files(tmp_path, CLASSES)[1]
    dnn.shrinkCaffeModel(model, str(tmp_path / "half.caffemodel"), ["InnerProduct"])
    before, after = (
        netc.load_weights(tmp_path / f"{n}.caffemodel").layers for n in ("net", "half")
    )
    assert (before["c"].arrays[0] == after["c"].arrays[0]).all()
    assert (before["fc"].arrays[0] != after["fc"].arrays[0]).any()
    np.testing.assert_allclose(after["fc"].arrays[0], before["fc"].arrays[0], rtol=1e-3, atol=1e-6)


def test_a_model_says_what_is_missing(tmp_path: Path) -> None:
    text = CLASSES.replace("input_param { shape { dim: [1, 3, 24, 32] } }", "")
    net = dnn.readNetFromCaffe(text.encode())
    with pytest.raises(netc.NetcError, match="setInputSize says it"):
        dnn.ClassificationModel(net).classify(frame(0))
    with pytest.raises(netc.NetcError, match="the net's last layer is Convolution"):
        dnn.DetectionModel(dnn.readNetFromCaffe(MAPS.encode())).detect(frame(0))
    assert dnn.dnn_ClassificationModel is dnn.ClassificationModel


def test_the_graph_is_written_for_graphviz(tmp_path: Path) -> None:
    net = dnn.readNetFromCaffe((CLASSES + SOFTMAX).encode())
    net.dumpToFile(str(tmp_path / "net.dot"))
    text = (tmp_path / "net.dot").read_text(encoding="utf-8")
    assert text.startswith("digraph G {")
    assert text.count("->") == 4
    ins, outs = net.getLayerShapes((1, 3, 24, 32), net.getLayerId("fc"))
    assert [s.tolist() for s in ins] == [[1, 6, 7, 10]]
    assert [s.tolist() for s in outs] == [[1, 7]]
