"""Values that are planned for the most rows there can be, and what has to wait for the number."""

from __future__ import annotations

import netc
from netc.diagnostics import Source
from netc.ir.graph import Graph
from netc.plan.rows import ChosenRows, bounded_rows

PROPOSAL = """
layer { name: "in" type: "Input" top: "s" top: "d" top: "info" top: "map"
        input_param { shape { dim: 1 dim: 18 dim: 5 dim: 5 } shape { dim: 1 dim: 36 dim: 5 dim: 5 }
                      shape { dim: 1 dim: 3 } shape { dim: 1 dim: 4 dim: 5 dim: 5 } } }
layer { name: "rpn" type: "Python" bottom: "s" bottom: "d" bottom: "info" top: "rois"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                       param_str: "{'feat_stride': 16}" } }
layer { name: "pool" type: "ROIPooling" bottom: "map" bottom: "rois" top: "p"
        roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }
"""
PRODUCT = """
layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def graph(text: str) -> Graph:
    return netc.compile(Source("net", text), backend="reference").graph


def test_rows_go_through_layers_that_make_a_row_of_each() -> None:
    found = bounded_rows(graph(PROPOSAL + PRODUCT), lambda node: True)
    assert dict(found) == {name: ChosenRows("rpn", 0) for name in ("rois", "p", "fc", "prob")}


def test_a_layer_that_cannot_say_its_number_bounds_nothing() -> None:
    assert dict(bounded_rows(graph(PROPOSAL + PRODUCT), lambda node: False)) == {}


def test_a_sum_over_the_rows_refuses_its_maker() -> None:
    text = PROPOSAL + PRODUCT + 'layer { name: "sum" type: "Reduction" bottom: "fc" top: "sum" }'
    assert dict(bounded_rows(graph(text), lambda node: True)) == {}


def test_a_softmax_over_the_rows_refuses_its_maker() -> None:
    text = (PROPOSAL + PRODUCT).replace('top: "prob"', 'top: "prob" softmax_param { axis: 0 }')
    assert dict(bounded_rows(graph(text), lambda node: True)) == {}


def test_a_graph_of_known_sizes_has_no_such_rows() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
    """
    assert dict(bounded_rows(graph(text), lambda node: True)) == {}
