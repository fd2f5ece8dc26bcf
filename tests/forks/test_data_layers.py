"""Data layers of forks: sources of blobs, whose sizes the caller can give."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.frontend import Built, build, read_net
from netc.ir.types import Shape

CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"\n'
    "  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }"
)


def built(text: str, **inputs: Shape) -> Built:
    return build(read_net(Source("net.prototxt", text)).message, inputs=inputs)


def shapes(text: str, **inputs: Shape) -> dict[str, Shape | None]:
    graph = built(text, **inputs).graph
    return {blob: graph.values[name].shape for blob, name in graph.input_blobs.items()}


def source(kind: str, rest: str = "", tops: str = "data label") -> str:
    named = " ".join(f'top: "{top}"' for top in tops.split())
    return f'layer {{ name: "data" type: "{kind}" {named} {rest} }}\n'


@pytest.mark.parametrize(
    "kind",
    ["DenseImageData", "AnnotatedData", "ImageSegData", "VideoData", "BinaryData", "OPData"],
)
def test_a_given_shape_is_taken(kind: str) -> None:
    found = built(source(kind) + CONV, data=(1, 3, 8, 8))
    assert [d for d in found.diagnostics if d.severity != "note"] == []
    assert found.graph.values["conv"].shape == (1, 4, 8, 8)


def test_labels_follow_from_the_data() -> None:
    dense = source("DenseImageData", "dense_image_data_param { batch_size: 2 }")
    assert shapes(dense, data=(2, 3, 5, 7)) == {"data": (2, 3, 5, 7), "label": (2, 1, 5, 7)}
    seg = source("ImageSegData", tops="data label dim")
    assert shapes(seg, data=(2, 3, 5, 7))["dim"] == (2, 1, 1, 2)
    assert shapes(source("Data"), data=(9, 3, 5, 7))["label"] == (9,)


def test_what_the_text_says_of_sizes_is_read() -> None:
    dense = "dense_image_data_param { batch_size: 2 new_height: 10 new_width: 14 is_color: false }"
    assert shapes(source("DenseImageData", dense)) == {
        "data": (2, 1, 10, 14),
        "label": (2, 1, 10, 14),
    }
    boxes = "data_param { batch_size: 4 } transform_param { mean_value: 1 mean_value: 2"
    boxes += " mean_value: 3 resize_param { prob: 1 height: 30 width: 40 } }"
    assert shapes(source("AnnotatedData", boxes))["data"] == (4, 3, 30, 40)
    seg = "image_data_param { batch_size: 2 label_type: PIXEL } transform_param { crop_size: 33 }"
    assert shapes(source("ImageSegData", seg, "data label dim")) == {
        "data": (2, 3, 33, 33),
        "label": (2, 1, 33, 33),
        "dim": (2, 1, 1, 2),
    }


def test_an_unknown_data_layer_is_an_input_and_said_to_be() -> None:
    found = built(source("MyOwnData") + CONV, data=(1, 3, 8, 8))
    codes = [(d.code, d.severity) for d in found.diagnostics]
    assert ("fork-data-layer", "note") in codes
    assert all(severity == "note" for _, severity in codes)


@pytest.mark.parametrize("layer", [source("Dta"), source("MyOwnData", 'bottom: "x"')])
def test_other_unknown_layers_stay_unknown(layer: str) -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }\n' + layer
    assert "unknown-layer-type" in [d.code for d in built(text).diagnostics]


PYTHON = 'python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" }'


def test_a_python_layer_without_bottoms_is_an_input() -> None:
    text = source("Python", PYTHON, "data rois") + CONV
    found = built(text, data=(1, 3, 8, 8), rois=(4, 5))
    assert found.diagnostics == ()
    assert found.graph.values["conv"].shape == (1, 4, 8, 8)
    assert shapes(text)["data"] is None


def test_a_registered_python_layer_is_run() -> None:
    netc.register_python_layer(
        "mine", "Ones", lambda inputs, text: (np.ones((1, 3, 4, 4), np.float32),),
        lambda inputs, text: ((1, 3, 4, 4),),
    )  # fmt: skip
    try:
        text = source("Python", 'python_param { module: "mine" layer: "Ones" }', "data")
        assert netc.compile(Source("n", text), backend="reference")()["data"].sum() == 48
    finally:
        from netc.ops.python import unregister_python_layer

        unregister_python_layer("mine", "Ones")


def test_what_writes_files_ends_a_net() -> None:
    text = source("ImageSegData", tops="data label") + (
        'layer { name: "w" type: "MatWrite" bottom: "data" mat_write_param { prefix: "p" } }'
    )
    found = built(text, data=(1, 3, 8, 8))
    assert [d for d in found.diagnostics if d.severity != "note"] == []


def test_v1_texts_of_deconvnet() -> None:
    text = (
        'layers { name: "d" type: WINDOW_SEG_DATA top: "data" top: "label"\n'
        '  image_data_param { source: "s" batch_size: 2 label_type: PIXEL }\n'
        "  transform_param { crop_size: 8 } }"
    )
    assert shapes(text) == {"data": (2, 3, 8, 8), "label": (2, 1, 8, 8)}


def test_maps_of_true_boxes_follow_from_the_steps() -> None:
    text = (
        'layer { name: "d" type: "ImageGtData" top: "x" top: "a" top: "b" top: "boxes"\n'
        "  transform_param { mean_value: [1, 2, 3] }\n"
        "  image_gt_data_param { batch_size: 2 crop_height: 72 crop_width: 100\n"
        "    downsample_rate: [8, 16] field_h: [8, 8] field_w: [8, 8] } }"
    )
    graph = build(read_net(text=text).message).graph
    assert graph.values["x"].shape == (2, 3, 72, 100)
    assert graph.values["a"].shape == (2, 6, 9, 13)  # 12.5 is rounded up
    assert graph.values["b"].shape == (2, 6, 5, 6)
    assert graph.values["boxes"].shape is None


def test_a_bound_may_be_larger_than_a_blob() -> None:
    """How many boxes there are a run tells: at most 45,000 for each of 90,000 cells."""
    text = (
        'input: "m" input_shape { dim: [1, 6, 300, 300] } '
        'input: "f" input_shape { dim: [1, 512, 4, 4] }\n'
        'layer { name: "o" type: "BoxOutput" bottom: "m" top: "r" box_output_param { fg_thr: 0\n'
        "  iou_thr: 0.5 field_w: 8 field_h: 8 downsample_rate: 8 field_whr: 2 field_xyr: 2 } }\n"
        'layer { name: "p" type: "ROIPooling" bottom: "f" bottom: "r" top: "p"\n'
        "  roi_pooling_param { pooled_h: 7 pooled_w: 7 } }"
    )
    built = build(read_net(text=text).message)
    assert not [d for d in built.diagnostics if d.severity == "error"]
    assert built.graph.values["p"].shape == (90000, 512, 7, 7)


def test_labels_of_enet_are_smaller_by_a_factor() -> None:
    text = (
        'layer { name: "d" type: "DenseImageData" top: "x" top: "l" dense_image_data_param { '
        "batch_size: 2 new_height: 50 new_width: 63 label_divide_factor: 8 CROP } }"
    )
    for crop, shape in (("", (2, 1, 6, 7)), ("crop_height: 20 crop_width: 30", (2, 1, 20, 30))):
        graph = build(read_net(text=text.replace("CROP", crop)).message).graph
        assert graph.values["l"].shape == shape


def test_noise_is_drawn_where_it_is_not_fed() -> None:
    layer = 'layer { name: "n" type: "RandVec" top: "x" randvec_param { batch_size: 4 dim: 50 '
    text = layer + 'lower: 2 upper: 3 } } layer { name: "p" type: "Power" bottom: "x" top: "y" }'
    made = netc.compile(text=text)()["y"]
    assert made.shape == (4, 50, 1, 1)
    assert 2 <= made.min() < 2.1 and 2.9 < made.max() <= 3
    with pytest.raises(NetcError, match="must be greater than `lower`"):
        netc.compile(text=text.replace("upper: 3", "upper: 1"))
