"""Python layers of multi-task network cascades that propose regions (Dai et al. 2016).

proposal_layer.py and anchor_target_layer.py of ``pylayer`` in daijifeng001/MNC. Boxes that are
proposed learn by what is made of them. The numbers are those of the configurations that belong to
the project's texts: with masks (five stages) or without.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import (
    AnchorRules,
    anchor_contents,
    anchor_maps,
    anchor_shapes,
    labelled_anchors,
    parse_anchor_rules,
)
from netc.ops.detection.anchors import delta_rows, moved_rows, placed_anchors
from netc.ops.detection.proposal import ProposalParams, chosen, foreground
from netc.ops.detection.proposal_layers import (
    ProposalProject,
    proposal_layer_shapes,
    proposal_params,
    tell_proposals,
)
from netc.ops.param_str import param_str_fields
from netc.ops.python import PythonContext, PythonParams, register_built_in

# ProposalLayer

_UNUSED = ("use_clip", "clip_base", "gradient_scale")  # in the forward pass


def _project(context: PythonContext) -> ProposalProject:
    """The second top, of training with masks, has the boxes' numbers among the anchors."""
    after = 300 if context.tops > 1 else 2000
    return ProposalProject("MNC", {}, {"pre_nms_topn": 12000, "post_nms_topn": after}, _UNUSED)


def _params(param_str: str, context: PythonContext) -> ProposalParams:
    if context.phase != "TRAIN" and context.tops > 1:
        raise ShapeError("MNC's `ProposalLayer` has a second top in the TRAIN phase alone")
    params = proposal_params(_project(context), param_str, context.phase)
    clip_of(param_str, 256)
    return params


def _proposal_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    """Boxes, and their numbers, a row each: the fork's have one row."""
    return proposal_layer_shapes(_project(context), _params(param_str, context), inputs)


@quietly
def _propose(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    boxes, number = _proposals(_params(param_str, context), inputs)
    rows = np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1)
    return rows, number[:, None]


def _proposals(params: ProposalParams, inputs: Arrays) -> tuple[AnyArray, AnyArray]:
    score, delta, info = (np.asarray(array)[0] for array in inputs)
    boxes = moved_rows(placed_anchors(params, score.shape[1:]), delta_rows(delta))
    best, _, number = chosen(params, boxes, foreground(score), info)
    return best, number


@quietly
def _proposal_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """By the box changes, where neither the anchor nor the box crosses the image's edge.

    A box is taken for its centre and half its sides, and an anchor's side for its maximum less its
    minimum, as there.
    """
    params, most = _params(param_str, context), clip_of(param_str, 256)
    _, number = _proposals(params, inputs)
    delta, (height, width) = delta_rows(inputs[1][0]), np.asarray(inputs[2])[0, :2]
    anchors = placed_anchors(params, inputs[0].shape[2:])
    both = np.stack([anchors[number], moved_rows(anchors[number], delta[number])])
    free = (both[..., :2] >= 0) & (both[..., 2:] <= np.array([width - 1, height - 1]))
    side = anchors[number, 2:] - anchors[number, :2]
    low, high = tops[0][:, 1:3], tops[0][:, 3:5]
    apart = 0.5 * (high - low) * np.exp(delta[number, 2:]) * side
    slopes = np.concatenate([(low + high) * side, apart], axis=1)
    slopes *= np.all(free, axis=(0, 2))[:, None]
    made = np.zeros_like(delta)
    made[number] = slopes.clip(-most, most)
    back = made.reshape(*inputs[1].shape[2:], -1).transpose(2, 0, 1)
    return None, back.reshape(inputs[1].shape), None


def clip_of(param_str: str, usual: float) -> float:
    """The largest slope, 1 / ``clip_base`` where ``use_clip`` is written, else infinite.

    Raises:
        ShapeError: with code python-layer, for a ``clip_base`` that is not a positive number.
    """
    given = param_str_fields(param_str)
    base = given.get("clip_base", usual)
    if not isinstance(base, int | float) or not base > 0:
        raise ShapeError(
            f"`clip_base` must be greater than 0, it is {base!r:.20}",
            "python_param.param_str",
            code="python-layer",
        )
    return 1 / base if given.get("use_clip", 0) else float("inf")


def _as_proposal(params: PythonParams) -> ProposalParams | None:
    """In training the definition runs, by whose choice its gradient goes."""
    if params.phase == "TRAIN":
        return None
    return _params(params.param_str, PythonContext(params.phase, 0, None, params.tops))


tell_proposals(_propose, _as_proposal)
register_built_in(
    "pylayer.proposal_layer", "ProposalLayer", _propose, _proposal_shape, True, _proposal_gradient
)

# AnchorTargetLayer


def _anchor_rules(param_str: str) -> AnchorRules:
    return parse_anchor_rules(param_str)


def _anchor_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    return anchor_shapes(_anchor_rules(param_str), inputs)


@quietly
def _anchor_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """A fourth and a fifth bottom have anchors that are positive and negative in any case."""
    labels, targets, inside = labelled_anchors(_anchor_rules(param_str), inputs, context)
    for label, number in ((0, inputs[4:5]), (1, inputs[3:4])) if len(inputs) == 5 else ():
        wanted = np.asarray(number[0]).reshape(-1).astype(np.int64)
        labels[inside[np.isin(inside, wanted)]] = label
    return anchor_maps(labels, targets, inputs[0].shape[2:])


def _anchor_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return anchor_contents(_anchor_rules(param_str), inputs)


register_built_in(
    "pylayer.anchor_target_layer",
    "AnchorTargetLayer",
    _anchor_targets,
    _anchor_shape,
    contents=_anchor_contents,
)
