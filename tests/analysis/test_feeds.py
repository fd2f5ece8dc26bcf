"""Random inputs are what the layers that read them accept."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.analysis.feeds import drawn_inputs, input_contents
from netc.diagnostics import Source
from netc.ops.contents import ImageSizes, Regions, Whole


def text(layers: str, **shapes: tuple[int, ...]) -> str:
    """Input layers of these shapes, then ``layers``."""
    inputs = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }"
        for name, shape in shapes.items()
    ]
    return "\n".join([*inputs, layers])


def compiled(layers: str, **shapes: tuple[int, ...]) -> netc.CompiledNet:
    return netc.compile(Source("net", text(layers, **shapes)), backend="reference")


LOSS = 'layer {{ name: "l{0}" type: "{0}" bottom: "x" bottom: "{1}" top: "l{0}" }}'


@pytest.mark.parametrize(
    ("kind", "below"),
    [
        ("SoftmaxWithLoss", 3),
        ("HingeLoss", 3),
        ("MultinomialLogisticLoss", 3),
        ("Accuracy", 3),
    ],
)
def test_labels_are_classes(kind: str, below: int) -> None:
    net = compiled(LOSS.format(kind, "label"), x=(400, 3), label=(400,))
    assert input_contents(net.graph) == {"label": Whole(below)}
    feeds = drawn_inputs(net.graph)
    assert set(feeds["label"].tolist()) == {0.0, 1.0, 2.0}
    net(feeds)


def test_labels_of_every_pixel() -> None:
    net = compiled(LOSS.format("SoftmaxWithLoss", "label"), x=(2, 5, 3, 4), label=(2, 1, 3, 4))
    assert input_contents(net.graph) == {"label": Whole(5)}
    net(drawn_inputs(net.graph))


def test_infogain_takes_labels_along_its_axis() -> None:
    layer = 'layer { name: "l" type: "InfogainLoss" bottom: "x" bottom: "y" bottom: "h" top: "l" }'
    net = compiled(layer, x=(6, 4), y=(6,), h=(1, 1, 4, 4))
    assert input_contents(net.graph) == {"y": Whole(4)}
    net(drawn_inputs(net.graph))


def test_flags() -> None:
    net = compiled(LOSS.format("SigmoidCrossEntropyLoss", "y"), x=(6, 4), y=(6, 4))
    assert input_contents(net.graph) == {"y": Whole(2)}
    layer = 'layer { name: "l" type: "ContrastiveLoss" bottom: "x" bottom: "y" bottom: "s" }'
    net = compiled(layer, x=(6, 4), y=(6, 4), s=(6,))
    assert input_contents(net.graph) == {"s": Whole(2)}


def test_labels_are_found_behind_layers_that_move_them() -> None:
    layers = """
    layer { name: "cut" type: "Slice" bottom: "labels" top: "a" top: "b"
            slice_param { axis: 1 slice_point: 1 } }
    layer { name: "flat" type: "Flatten" bottom: "a" top: "fa" }
    layer { name: "one" type: "SoftmaxWithLoss" bottom: "x" bottom: "fa" top: "one" }
    layer { name: "two" type: "SoftmaxWithLoss" bottom: "y" bottom: "b" top: "two" }
    """
    net = compiled(layers, x=(8, 3), y=(8, 9), labels=(8, 2))
    assert input_contents(net.graph) == {"labels": Whole(3)}  # the fewer classes of the two
    net(drawn_inputs(net.graph))


def test_the_fewest_classes_of_all_readers_count() -> None:
    layers = (
        LOSS.format("SoftmaxWithLoss", "label")
        + """
    layer { name: "n" type: "InnerProduct" bottom: "x" top: "n" inner_product_param {
            num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "a" type: "Accuracy" bottom: "n" bottom: "label" top: "a" }
    """
    )
    net = compiled(layers, x=(8, 7), label=(8,))
    assert input_contents(net.graph) == {"label": Whole(2)}
    net(drawn_inputs(net.graph))


def test_indices() -> None:
    embed = """layer { name: "e" type: "Embed" bottom: "word" top: "e" embed_param {
               num_output: 4 input_dim: 11 weight_filler { type: "xavier" } } }
               layer { name: "b" type: "BatchReindex" bottom: "x" bottom: "which" top: "b" }"""
    net = compiled(embed, word=(5, 3), x=(4, 2), which=(9,))
    assert input_contents(net.graph) == {"word": Whole(11), "which": Whole(4)}
    net(drawn_inputs(net.graph))


def test_sequences_and_selectors() -> None:
    layers = """layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "l"
                recurrent_param { num_output: 3 weight_filler { type: "xavier" } } }
                layer { name: "f" type: "Filter" bottom: "y" bottom: "keep" top: "f" }"""
    net = compiled(layers, x=(4, 2, 5), cont=(4, 2), y=(6, 3), keep=(6, 1))
    assert input_contents(net.graph) == {"cont": Whole(2), "keep": Whole(2)}
    net(drawn_inputs(net.graph))


def test_regions_lie_in_the_image() -> None:
    layer = """layer { name: "r" type: "ROIPooling" bottom: "x" bottom: "rois" top: "r"
               roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 } }"""
    net = compiled(layer, x=(2, 3, 8, 10), rois=(50, 5))
    assert input_contents(net.graph) == {"rois": Regions(2, 16.0, 20.0)}
    feeds = drawn_inputs(net.graph)
    rows = feeds["rois"]
    assert set(rows[:, 0].tolist()) == {0.0, 1.0}
    assert (rows[:, 1] <= rows[:, 3]).all()
    assert (rows[:, 2] <= rows[:, 4]).all()
    assert rows[:, 3].max() <= 20
    assert rows[:, 4].max() <= 16
    net(feeds)


@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 1, 1), (1, 1, 3, 2)])
def test_rows_of_sizes_may_have_axes_of_one_behind_them(shape: tuple[int, ...]) -> None:
    drawn = ImageSizes(48, 64).draw(shape, np.random.default_rng(0))
    assert drawn.shape == shape
    np.testing.assert_array_equal(drawn.reshape(3, 2), [[48, 64]] * 3)


@pytest.mark.parametrize("python", [False, True])
def test_proposals_have_the_image_s_size(python: bool) -> None:
    own = """type: "Proposal" proposal_param { feat_stride: 16 base_size: 16 ratio: 1 scale: 8
             pre_nms_topn: 20 post_nms_topn: 5 nms_thresh: 0.7 }"""
    if python:
        own = """type: "Python" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                 param_str: "{'feat_stride': 16, 'scales': [8]}" }"""
    anchors = 3 if python else 1
    layer = f'layer {{ name: "p" {own} bottom: "s" bottom: "d" bottom: "info" top: "rois" }}'
    net = compiled(layer, s=(1, 2 * anchors, 3, 4), d=(1, 4 * anchors, 3, 4), info=(1, 3))
    assert input_contents(net.graph) == {"info": ImageSizes(48, 64)}
    feeds = drawn_inputs(net.graph)
    np.testing.assert_array_equal(feeds["info"], [[48, 64, 1]])
    assert len(net(feeds)["rois"])


def test_what_is_given_or_filled_is_taken() -> None:
    layers = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 3 } '
    layers += "data_filler { value: 7 } } }"
    net = compiled(layers, x=(2,))
    feeds = drawn_inputs(net.graph, {"x": np.array([5, 6], np.float32)})
    assert feeds["x"].tolist() == [5, 6]
    assert feeds["d"].tolist() == [7, 7, 7]
    assert (
        drawn_inputs(net.graph, seed=3)["x"].tolist()
        == drawn_inputs(net.graph, seed=3)["x"].tolist()
    )
