"""SubCNN's region proposal network in Python (Xiang et al. 2017, arXiv:1604.04693).

proposal_layer.py and anchor_target_layer.py of ``rpn_msr`` in tanshen/SubCNN. The anchors are those
of a configuration, and their number tells which: PASCAL3D+'s, KITTI's or ImageNet3D's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import AnchorRules, register_anchors
from netc.ops.detection.proposal import ProposalParams, proposal_shapes, propose
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_OCTAVES = (2.0, 2.82842712, 4.0, 5.65685425, 8.0, 11.3137085, 16.0, 22.627417, 32.0, 45.254834)


class _Configuration(NamedTuple):
    """Ratios and scales of anchors, and how many boxes go into suppression."""

    ratios: tuple[float, ...]
    scales: tuple[float, ...]
    before: int


# By the number of anchors: PASCAL3D+, KITTI, ImageNet3D.
_CONFIGURATIONS: Mapping[int, _Configuration] = {
    9: _Configuration((0.5, 1, 2), (8, 16, 32), 80000),
    70: _Configuration((0.25, 0.5, 0.75, 1, 1.5, 2, 3), _OCTAVES, 60000),
    121: _Configuration((0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8), (*_OCTAVES, 64.0), 80000),
}
_BASE, _LEAST, _AFTER, _OVERLAP = 16, 16, 2000, 0.7


def _anchors(stride: int, inputs: Sequence[Shape]) -> ProposalParams:
    channels = inputs[0][1] if inputs and len(inputs[0]) == 4 else 0
    known = _CONFIGURATIONS.get(channels // 2)
    if known is None or channels % 2:
        raise ShapeError(
            f"SubCNN's configurations have {', '.join(map(str, _CONFIGURATIONS))} anchors, and two "
            f"scores for each; the first bottom is {', '.join(map(show, inputs[:1]))}",
            code="python-layer",
        )
    return ProposalParams(
        stride, _BASE, _LEAST, known.ratios, known.scales, known.before, _AFTER, _OVERLAP, 2,
        keep_small=False, even=True,
    )  # fmt: skip


def _rules(param_str: str, inputs: Sequence[Shape]) -> AnchorRules:
    given = parse_param_str(
        param_str, "AnchorTargetLayer", {"feat_stride": None, "allowed_border": 0}
    )
    return AnchorRules(_anchors(int(given["feat_stride"]), inputs), int(given["allowed_border"]))


def _params(param_str: str, inputs: Sequence[Shape]) -> ProposalParams:
    """The same in both phases, as there."""
    given = parse_param_str(param_str, "ProposalLayer", {"feat_stride": None})
    return _anchors(max(1, int(given["feat_stride"])), inputs)


def _proposal_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, Shape]:
    params = _params(param_str, inputs)
    if len(inputs) != 3 or inputs[0][0] != 1:
        raise ShapeError(
            "SubCNN's `ProposalLayer` takes 3 bottoms of a single image, scores, box changes and "
            f"image size; they are {', '.join(map(show, inputs))}"
        )
    boxes, scores = proposal_shapes(params, inputs)
    return boxes, (*scores, 1)


def _propose(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    boxes, scores = propose(_params(param_str, [array.shape for array in inputs]), inputs, ())
    return boxes, scores[:, None]


register_built_in("rpn_msr.proposal_layer", "ProposalLayer", _propose, _proposal_shape, True)
register_anchors("rpn_msr.anchor_target_layer", _rules)
