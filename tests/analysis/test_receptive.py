from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.analysis.receptive import AxisField, Interval, ReceptiveField, receptive_fields
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.ops.catalog import CATALOG
from tests.analysis.test_cost import graph_of


def field_of(graph: Graph, value: str) -> ReceptiveField:
    return receptive_fields(graph)[value]


# Published: the table of google-research/receptive_field (TF-Slim's nets, whose Caffe twins these
# are). DenseNet: 11 of conv1 and pool1, then blocks of 6, 12, 24 and 16 convolutions of 3 at
# strides 4 to 32, and poolings of 2 between them. The last of it and of MobileNet come
# after global pooling.
FIGURES = {
    ("alexnet", "conv1"): (11, 4),
    ("alexnet", "pool1"): (19, 8),
    ("alexnet", "conv2"): (51, 8),
    ("alexnet", "conv3"): (99, 16),
    ("alexnet", "conv5"): (163, 16),
    ("alexnet", "pool5"): (195, 32),
    ("vgg16", "pool1"): (6, 2),
    ("vgg16", "pool4"): (100, 16),
    ("vgg16", "conv5_1"): (132, 16),
    ("vgg16", "pool5"): (212, 32),
    ("resnet50", "res5c"): (483, 32),
    ("resnet152", "res5c"): (1507, 32),
    ("inceptionv3", "inception_c2_concat"): (1311, 32),
    ("densenet121", "dense58_concat"): (11 + 48 + 4 + 192 + 8 + 768 + 16 + 1024, 32),
    ("densenet121", "classifier"): (2263, 0),
    ("mobilenet", "conv6/sep"): (315, 32),
    ("mobilenet", "fc7"): (507, 0),
    ("squeezenet11", "conv10"): (207, 16),
}


@pytest.mark.parametrize(("net", "value"), FIGURES)
def test_published_figures(nets: Path, net: str, value: str) -> None:
    field = field_of(graph_of(nets / f"{net}.prototxt"), value)
    size, stride = FIGURES[net, value]
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_after_all_of_the_plane_has_been_seen(nets: Path) -> None:
    """AlexNet's fc6 sees 6 by 6 elements of 195, 32 apart."""
    fields = receptive_fields(graph_of(nets / "alexnet.prototxt"))
    assert fields["fc6"] == fields["fc8"] == fields["prob"]
    assert (fields["fc6"].size, fields["fc6"].stride) == ((355, 355), (0, 0))
    assert fields["fc6"].padding == fields["pool5"].padding


# By hand


def chain(*layers: str, size: int = 40, first: str = "x") -> Graph:
    """Layers after one another over a column: ``name type params``."""
    text = [
        f'layer {{ name: "{first}" type: "Input" top: "{first}" '
        f"input_param {{ shape {{ dim: 1 dim: 1 dim: {size} dim: 1 }} }} }}"
    ]
    before = first
    for index, layer in enumerate(layers):
        kind, _, params = layer.partition(" ")
        top = f"v{index}"
        text.append(
            f'layer {{ name: "{top}" type: "{kind}" bottom: "{before}" top: "{top}" {params} }}'
        )
        before = top
    return graph_of("\n".join(text))


def window(kind: str, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> str:
    if kind == "Pooling":
        return (
            f"Pooling pooling_param {{ pool: AVE kernel_h: {kernel} kernel_w: 1 stride_h: {stride} "
            f"stride_w: 1 pad_h: {pad} pad_w: 0 }}"
        )
    return (
        f"{kind} convolution_param {{ num_output: 1 bias_term: false kernel_h: {kernel} "
        f"kernel_w: 1 stride_h: {stride} stride_w: 1 pad_h: {pad} dilation: {dilation} "
        f"dilation: 1 }}"
    )


def test_padding_and_dilation() -> None:
    graph = chain(window("Convolution", 3, 2, 1), window("Convolution", 3, 1, 2, 2))
    first, second = (field_of(graph, f"v{i}") for i in (0, 1))
    assert (first.size, first.stride, first.padding) == ((3, 1), (2, 1), (1, 0))
    assert (second.size, second.stride, second.padding) == ((11, 1), (2, 1), (5, 0))
    assert second.axes[0].run(0) == (-5, 5) and second.axes[0].run(3) == (1, 11)


def test_a_deconvolution_sees_by_turns() -> None:
    """Kernel 4, stride 2, pad 1: every element is made of two, of the two beside it in turn."""
    field = field_of(chain(window("Deconvolution", 4, 2, 1)), "v0")
    assert (field.size, field.stride) == ((2, 1), (Fraction(1, 2), 1))
    assert [field.axes[0].run(i) for i in range(4)] == [(-1, 0), (0, 1), (0, 1), (1, 2)]


def test_a_deconvolution_can_leave_elements_that_see_nothing() -> None:
    graph = chain(window("Deconvolution", 1, 2), window("Convolution", 2))
    fields = receptive_fields(graph)
    assert fields["v0"].axes[0].runs == ((0, 0), None)
    assert fields["v1"].size == (1, 1)
    assert [fields["v1"].axes[0].run(i) for i in range(3)] == [(0, 0), (1, 1), (1, 1)]


def test_down_and_up_again_repeats_with_the_deepest_stride() -> None:
    graph = chain(*[window("Pooling", 2, 2)] * 3, *[window("Deconvolution", 2, 2)] * 3, size=64)
    field = field_of(graph, "v5")
    assert field.stride == (1, 1) and field.size == (8, 1)
    assert field.axes[0].period == 8
    assert {field.axes[0].run(i) for i in range(8)} == {(0, 7)}


BRANCHES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a"
  convolution_param { num_output: 1 kernel_size: 1 pad: 3 } }
layer { name: "b" type: "Convolution" bottom: "x" top: "b"
  convolution_param { num_output: 1 kernel_size: 3 pad: 1 } }
layer { name: "crop" type: "Crop" bottom: "a" bottom: "b" top: "crop"
  crop_param { axis: 2 offset: 1 offset: 5 } }
layer { name: "sum" type: "Eltwise" bottom: "crop" bottom: "b" top: "sum" }
layer { name: "half" type: "Deconvolution" bottom: "x" top: "half"
  convolution_param { num_output: 1 kernel_size: 1 stride: 2 } }
layer { name: "crop2" type: "Crop" bottom: "half" bottom: "x" top: "crop2" crop_param { axis: 2 } }
layer { name: "uneven" type: "Eltwise" bottom: "crop2" bottom: "b" top: "uneven" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "other" type: "ReLU" bottom: "y" top: "other" }
"""


def test_branches_join() -> None:
    fields = receptive_fields(graph_of(BRANCHES))
    crop, total = fields["crop"], fields["sum"]
    assert (crop.size, crop.padding) == ((1, 1), (2, -2)), "the second bottom gives its size alone"
    assert (total.size, total.padding, total.stride) == ((4, 4), (2, 1), (1, 1))
    assert fields["uneven"].axes[0] == AxisField((Interval(-1, 9),), 0), "strides 1/2 and 1"
    assert fields["ip"].axes[0] == AxisField((Interval(-2, 9),), 0)
    assert "other" not in fields and "y" not in fields
    assert set(receptive_fields(graph_of(BRANCHES), "y")) == {"y", "other"}
    assert receptive_fields(graph_of(BRANCHES), "a")["crop"].padding == (-1, -5)


def test_of_a_pattern_too_long_every_element_sees_all() -> None:
    assert field_of(chain(window("Deconvolution", 1, 2000)), "v0").axes[0].runs == ((0, 39),)
    huge = chain(window("Convolution", 3, 2**31 - 1, 2))
    assert field_of(huge, "v0").stride == (2**31 - 1, 1)


def test_a_source_that_is_none() -> None:
    with pytest.raises(KeyError):
        receptive_fields(chain("ReLU"), "nothing")


# Against the numbers: what changes when one input element does


@st.composite
def columns(draw: st.DrawFn) -> list[str]:
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("Convolution", "Deconvolution", "Pooling")))
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        pad = draw(st.integers(0, kernel - 1 if kind == "Pooling" else 2))
        stride = draw(st.integers(1, min(3, kernel) if kind == "Pooling" else 3))
        layers.append(window(kind, kernel, stride, pad, dilation))
    return layers


def forward(graph: Graph, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    left = list(weights)
    for node in graph.nodes:
        own = [left.pop(0) for _ in node.parameters]
        (x,) = CATALOG[node.op].reference(node.params, [x], own)
    return x.ravel()


@given(columns(), st.integers(12, 24))
@settings(max_examples=150, deadline=None)
def test_fields_are_what_the_numbers_say(layers: list[str], size: int) -> None:
    """Exact where no padding is met on the way; elsewhere nothing outside the field matters."""
    try:
        graph = chain(*layers, size=size)
    except NetcError as error:
        assert "larger than the padded" in str(error) or "takes away" in str(error)
        return
    shapes = [graph.parameters[p].shape for node in graph.nodes for p in node.parameters]
    rng = np.random.default_rng(0)
    weights = [rng.uniform(1, 2, size=shape).astype(np.float32) for shape in shapes if shape]
    unit = np.eye(size, dtype=np.float32).reshape(size, 1, 1, size, 1)
    moved = np.array([forward(graph, unit[i], weights) != 0 for i in range(size)])
    last = graph.nodes[-1].outputs[0]
    before = [(receptive_fields(graph, v)[last].axes[0], graph.shape(v)[2]) for v in graph.values]
    for element in range(moved.shape[1]):
        seen = np.flatnonzero(moved[:, element])
        runs = [axis.run(element) or Interval(0, 0) for axis, _ in before]
        run = before[0][0].run(element)
        assert all(run is not None and run.first <= i <= run.last for i in seen)
        if run and all(r.first >= 0 and r.last < s for r, (_, s) in zip(runs, before, strict=True)):
            assert (seen[0], seen[-1]) == run
