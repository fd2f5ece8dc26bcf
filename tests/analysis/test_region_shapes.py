"""True boxes are as wide as the layer that reads their attributes needs them."""

from __future__ import annotations

import pytest

from netc.analysis.example_shapes import example_shapes
from netc.frontend import build, read_net

TEXT = """
layer {{ name: "d" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
  python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer"
    param_str: "'num_classes': 4" }} }}
layer {{ name: "r" type: "DummyData" top: "r" dummy_data_param {{ shape {{ dim: 9 dim: 5 }} }} }}
layer {{ name: "p" type: "Python" bottom: "r" bottom: "gt_boxes"
  top: "rois" top: "labels" top: "targets" top: "inside" top: "outside" {top}
  python_param {{ module: "{module}" layer: "ProposalTargetLayer"
    param_str: "'num_classes': 4\\n{more}" }} }}
"""


@pytest.mark.parametrize(
    ("more", "wide"),
    [
        ("'num_attr_classes': 9", 21),
        ("'num_rel_classes': 9", 22),
        ("'num_attr_classes': 0", 5),
    ],
)
def test_rows_have_attributes_and_relations_where_they_are_read(more: str, wide: int) -> None:
    top = 'top: "more"' if wide > 5 else ""
    text = TEXT.format(more=more, top=top, module="rpn.proposal_target_layer")
    message = read_net(text=text).message
    graph = build(message, phase="TRAIN").graph
    found = example_shapes(graph, message.get("layer"))
    assert found["gt_boxes"] == (1, wide)
