from __future__ import annotations

from pathlib import Path

import pytest

from netc.analysis.cost import GraphCost, NodeCost, graph_cost, node_cost
from netc.diagnostics import Source
from netc.frontend import build, read_net, runnable
from netc.ir.graph import Graph


def graph_of(net: Path | str, name: str = "net.prototxt") -> Graph:
    source = net if isinstance(net, Path) else Source(name, net)
    return runnable(build(read_net(source).message))


def cost_of(nets: Path, name: str) -> GraphCost:
    return graph_cost(graph_of(nets / f"{name}.prototxt"))


# name: batch, parameters, multiply-adds an image, "Memory required for data" of the batch, which
# did not count the inputs of nets with `input:` before Caffe made Input layers of them.
# AlexNet, GoogLeNet: BVLC/caffe; ResNet: KaimingHe; SqueezeNet: forresti; MobileNet: shicai;
# DenseNet (ceil_mode: false), VGG, Inception: soeaver/caffe-model, as published or printed by Caffe
FIGURES = {
    "alexnet": (10, 60965224, 724406816, 83232440),
    "googlenet": (10, 6998552, 1582671872, 551533440),
    "vgg16": (1, 138357544, 15470264320, 114607936),
    "resnet50": (1, 25557096, 3857973248, 231227200),
    "resnet152": (1, 60192808, 11282415616, 505790272),
    "densenet121": (1, 7978856, 2834161664, 330575584),
    "inceptionv3": (1, 23834568, 5713216096, 203962304),
    "mobilenet": (1, 4231976, 568740352, 80695104),
    "squeezenet11": (10, 1235496, 387747520, 323147960),
}


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures(nets: Path, name: str) -> None:
    batch, parameters, macs, data_bytes = FIGURES[name]
    cost = cost_of(nets, name)
    assert cost.total.parameters == parameters
    assert cost.total.macs == macs * batch
    text = (nets / f"{name}.prototxt").read_text(encoding="utf-8")
    old = 'type: "Input"' not in text
    assert cost.caffe_data_bytes - (cost.input_bytes if old else 0) == data_bytes


def test_batch_norm_keeps_statistics(nets: Path) -> None:
    """Of C channels: C means, C variances and a factor (figure: soeaver/caffe-model)."""
    cost = cost_of(nets, "densenet121")
    assert cost.total.parameters + cost.total.statistics == 8062625


def test_caffenet(corpus: Path) -> None:
    """The figure of Caffe's own log."""
    found = sorted(corpus.rglob("bvlc_reference_caffenet/deploy.prototxt"))
    if not found:
        pytest.skip("the corpus has no CaffeNet")
    cost = graph_cost(graph_of(found[0]))
    assert (cost.total.parameters, cost.total.macs) == (60965224, 7244068160)
    assert cost.caffe_data_bytes == 68681400


SHARED = """
name: "twins"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""


def test_each_node_and_shared_parameters() -> None:
    graph = graph_of(SHARED)
    cost = graph_cost(graph)
    assert cost.nodes[0] == NodeCost("a", "InnerProduct", 12, 0, 18, 6, 24)
    assert cost.nodes[1] == NodeCost("relu", "ReLU", 0, 0, 0, 6, 24)
    assert cost.nodes[2] == NodeCost("b", "InnerProduct", 0, 0, 18, 6, 24)
    assert (cost.total.parameters, cost.total.macs, cost.total.weight_bytes) == (12, 36, 48)
    assert (cost.total.activation_bytes, cost.input_bytes) == (96, 24)
    assert node_cost(graph, graph.nodes[2]).parameters == 12


def test_in_place_and_split_blobs_count_as_in_caffe() -> None:
    """x, a, a again, its split into 2, b, sum: 7 tops of 6 floats."""
    assert graph_cost(graph_of(SHARED)).caffe_data_bytes == 7 * 24


def test_shapes_must_be_known() -> None:
    graph = graph_of(SHARED)
    values = {n: type(v)(v.name, v.blob) for n, v in graph.values.items()}
    with pytest.raises(ValueError, match="has not been inferred"):
        graph_cost(graph.replace(values=values))
