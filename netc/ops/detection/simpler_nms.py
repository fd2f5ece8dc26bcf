"""SimplerNMS: region proposals of one image (simpler_nms_layer.cpp of BVLC's pull request 6396).

Faster R-CNN's ProposalLayer with ratios 0.5, 1 and 2 of squares of 16 pixels. Of equal scores the
later box comes first, boxes without a score above 0 are left out, and sides and scales are compared
as whole numbers. ``cls_threshold`` and ``max_num_proposals`` are read there and not used.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.detection.anchors import moved_boxes, placed_anchors
from netc.ops.detection.boxes import nms_keep
from netc.ops.detection.proposal import ProposalParams, check_maps, foreground, proposal_contents
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import number
from netc.schema.message import Message

_STRIDE, _BASE, _RATIOS = 16, 16, (0.5, 1.0, 2.0)
_FIELDS = ("cls_threshold", "max_num_proposals", "iou_threshold", "min_bbox_size", "feat_stride",
           "pre_nms_topn", "post_nms_topn", "scale")  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> ProposalParams:
    param = reject_unknown_fields(layer.get("simpler_nms_param"), *_FIELDS)
    if param.get("feat_stride") != _STRIDE:
        raise bad_value(param, "feat_stride", f"must be {_STRIDE}")
    if not param.get("scale"):
        raise param.error(None, "missing-field", "`scale` is not given", "add `scale: N`")
    if not all(value > 0 for value in param.get("scale")):
        raise bad_value(param, "scale", "must be greater than 0")
    return ProposalParams(
        _STRIDE,
        _BASE,
        param.get("min_bbox_size"),
        _RATIOS,
        param.get("scale"),
        number(param, "pre_nms_topn", 1),
        number(param, "post_nms_topn", 1),
        param.get("iou_threshold"),
        keep_small=False,
    )


def _shape(params: ProposalParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, deltas, info = inputs
    check_maps(scores, deltas, len(params.ratios) * len(params.scales))
    if scores[0] != 1 or count(info) < 3:
        raise ShapeError(
            "SimplerNMS takes one image and its height, width and scale; the bottoms are "
            f"{show(scores)} and {show(info)}"
        )
    return ((params.after, 5),)


@quietly
def _simpler_nms(params: ProposalParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    score, delta = (np.asarray(array)[0] for array in inputs[:2])
    height, width, scale = np.trunc(np.asarray(inputs[2]).reshape(-1)[:3])
    boxes = moved_boxes(placed_anchors(params, score.shape[1:]), delta)
    edges = np.array([width - 1, height - 1] * 2, np.float32)
    boxes, scores = np.maximum(np.minimum(boxes, edges), 0), foreground(score)
    sides = np.trunc(boxes[:, 2:] - boxes[:, :2] + 1)
    left = np.flatnonzero((sides >= params.min_size * scale).all(axis=1))
    order = left[np.lexsort((left, scores[left]))[::-1][: params.before]]
    order = order[scores[order] > 0]
    best = order[nms_keep(boxes[order], params.overlap, border=1, limit=params.after)]
    return (np.concatenate([np.zeros((len(best), 1)), boxes[best]], axis=1, dtype=np.float32),)


OPS = (
    OpDef(
        name="SimplerNMS",
        arity=Arity((3, 3), (1, 1)),
        params=_parse,
        shape=_shape,
        cost=per_input(20),
        window=full_extent,
        reference=_simpler_nms,
        memory=copies(12),
        dynamic=True,
        contents=proposal_contents,
        family="loss",
        host=True,
    ),
)
