"""Region proposals of a region proposal network (Ren et al. 2015), from anchors and their scores.

The layer ``Proposal`` (proposal_layer.cpp of PVANet, or of synopsys-caffe). Python layers that do
the same are in ``proposal_layers.py``.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.anchors import moved_boxes, placed_anchors
from netc.ops.detection.boxes import nms_keep
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class ProposalParams:
    """How anchors are laid out and which boxes are given.

    Args:
        stride: pixels of the net's input from cell to cell.
        base_size: side of the square that anchors are made from, in pixels.
        min_size: least side of a box, in pixels of the image before it was resized.
        ratios: height over width of the anchors.
        scales: of the anchors, times ``base_size``.
        before: boxes with the highest scores that go into non-maximum suppression.
        after: boxes of an image that are given at most.
        overlap: largest intersection over union allowed between two boxes.
        tops: 2 gives the scores too.
        keep_small: boxes smaller than ``min_size`` stay, with score 0; else they are dropped.
        even: halves of anchors' sides are rounded to the even number, as NumPy does, not up, as C.
    """

    stride: int
    base_size: int
    min_size: int
    ratios: tuple[float, ...]
    scales: tuple[float, ...]
    before: int
    after: int
    overlap: float
    tops: int = 1
    keep_small: bool = True
    even: bool = False


_FIELDS = (
    "feat_stride", "base_size", "min_size", "ratio", "scale", "pre_nms_topn", "post_nms_topn",
    "nms_thresh",
)  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> ProposalParams:
    param = reject_unknown_fields(layer.get("proposal_param"), *_FIELDS)
    for name in ("ratio", "scale"):
        if not param.get(name):
            raise param.error(None, "missing-field", f"`{name}` is not given", f"add `{name}: N`")
        if not all(value > 0 for value in param.get(name)):
            raise bad_value(param, name, "must be greater than 0")
    return ProposalParams(
        _positive(param, "feat_stride"),
        _positive(param, "base_size"),
        param.get("min_size"),
        param.get("ratio"),
        param.get("scale"),
        _positive(param, "pre_nms_topn"),
        _positive(param, "post_nms_topn"),
        param.get("nms_thresh"),
        context.tops,
    )


def _positive(param: Message, name: str) -> int:
    if param.get(name) < 1:
        raise bad_value(param, name, "must be at least 1")
    return int(param.get(name))


def proposal_shapes(params: ProposalParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes when all ``after`` boxes are found: how many are is known only from the data."""
    scores, deltas, info = inputs
    check_maps(scores, deltas, len(params.ratios) * len(params.scales))
    if len(info) != 2 or info[1] < 3:
        raise ShapeError(
            "the third bottom must be rows of the image's height, width and scale, it is "
            f"{show(info)}"
        )
    rows = scores[0] * params.after
    return ((rows, 5), (rows,))[: params.tops]


def check_maps(scores: Shape, deltas: Shape, anchors: int) -> None:
    """Check that there are two scores and four changes for each anchor, on the same cells.

    Raises:
        ShapeError: there are not.
    """
    for what, shape, each in (("scores", scores, 2), ("box changes", deltas, 4)):
        if len(shape) != 4 or shape[1] != each * anchors or shape[2:] != scores[2:]:
            raise ShapeError(
                f"{anchors} anchors need {each * anchors} channels of {what} on cells as the "
                f"first bottom's, the bottom is {show(shape)}",
                help=_other_anchors(scores, deltas, anchors),
            )


def _other_anchors(scores: Shape, deltas: Shape, anchors: int) -> tuple[str, ...]:
    """What to do where both bottoms are of another number of anchors."""
    known = len(scores) == len(deltas) == 4 and scores[2:] == deltas[2:]
    if not known or scores[1] % 2 or 2 * scores[1] != deltas[1] or scores[1] == 2 * anchors:
        return ()
    return (
        f"the bottoms are of {scores[1] // 2} anchors in a cell: where a project makes other "
        "anchors without saying so in its text, write their scales and ratios in the layer",
    )


@quietly
def propose(params: ProposalParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Boxes and their scores, image by image."""
    scores, deltas, info = inputs
    found = [np.zeros((0, 6), np.float32)]
    for image, (score, delta) in enumerate(zip(scores, deltas, strict=True)):
        boxes = moved_boxes(placed_anchors(params, score.shape[1:]), delta)
        boxes, own, _ = chosen(params, boxes, foreground(score), np.asarray(info)[0])
        first = np.full((len(boxes), 1), image)
        found.append(np.concatenate([first, boxes, own[:, None]], axis=1, dtype=np.float32))
    rows = np.concatenate(found)
    return (rows[:, :5], rows[:, 5])[: params.tops]


def foreground(score: AnyArray) -> AnyArray:
    """Scores of the second half of the channels, in the order cell, anchor."""
    return score[len(score) // 2 :].transpose(1, 2, 0).reshape(-1)


def chosen(
    params: ProposalParams, boxes: AnyArray, scores: AnyArray, info: AnyArray
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Boxes in the image, their scores and which of all they are, the best first.

    Boxes that are too small are left out, or stay with score 0 (``keep_small``).

    Args:
        params: of the layer.
        boxes: (n, 4).
        scores: (n,).
        info: the image's height, width and scale; a fourth number is the scale of its width.
    """
    height, width, tall = info[:3]
    least = params.min_size * np.array([info[3] if len(info) > 3 else tall, tall])
    boxes = np.maximum(np.minimum(boxes, np.array([width - 1, height - 1] * 2, np.float32)), 0)
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= least).all(axis=1)
    if params.keep_small:
        scores, left = scores * large, np.arange(len(boxes))
    else:
        left = np.flatnonzero(large)
    order = left[np.argsort(-scores[left], kind="stable")[: params.before]]
    best = order[nms_keep(boxes[order], params.overlap, border=1, limit=params.after)]
    return boxes[best], scores[best], best


def proposal_contents(params: ProposalParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: the third bottom has the height and width of the net's input."""
    return stride_contents(params.stride, inputs)


def stride_contents(stride: int, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """The same by the stride of the maps in the net's input."""
    height, width = (size * stride for size in inputs[0][2:])
    return None, None, ImageSizes(height, width)


# Proposal of synopsys-caffe: one image, anchors by kind and then by cell.

_SCALES, _RATIOS = (8.0, 16.0, 32.0), (0.5, 1.0, 2.0)
_SYNOPSYS = ("feat_stride", "anchor_base_size", "anchor_scale", "anchor_ratio", "max_rois",
             "pre_nms_topn", "rpn_min_size", "rpn_nms_thresh")  # fmt: skip


def _synopsys_reading(layer: Message) -> TypeReading | None:
    """Synopsys's, where neither `ratio` nor `scale` is given: PVANet's has no anchors then."""
    given, own = set(layer.get("proposal_param").entries), set(_SYNOPSYS)
    shared = {"feat_stride", "pre_nms_topn"}
    return TypeReading(erased(_SYNOPSYS_PROPOSAL)) if given & own - shared or given <= own else None


def _parse_synopsys(layer: Message, context: LayerContext) -> ProposalParams:
    """`anchor_scale` and `anchor_ratio` are numbers of anchors: 3, or else one."""
    param = reject_unknown_fields(layer.get("proposal_param"), *_SYNOPSYS)
    return ProposalParams(
        _positive(param, "feat_stride"),
        _positive(param, "anchor_base_size"),
        param.get("rpn_min_size"),
        _RATIOS if _anchor_number(param, "anchor_ratio") == len(_RATIOS) else (1.0,),
        _SCALES if _anchor_number(param, "anchor_scale") == len(_SCALES) else (32.0,),
        _positive(param, "pre_nms_topn"),
        _positive(param, "max_rois"),
        param.get("rpn_nms_thresh"),
        context.tops,
        keep_small=False,
    )


def _anchor_number(param: Message, name: str) -> int:
    """A number of ratios or scales; another fork lists the values themselves."""
    values = param.get(name)
    if len(values) > 1 or any(value != int(value) for value in values):
        raise bad_value(param, name, "must be one number, of anchors")
    return int(values[0]) if values else 3


def _synopsys_shape(params: ProposalParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, deltas, info = inputs
    check_maps(scores, deltas, len(params.ratios) * len(params.scales))
    if scores[0] != 1 or count(info) < 3:
        raise ShapeError(
            "Proposal of synopsys-caffe takes one image and its height, width and scale; the "
            f"bottoms are {show(scores)} and {show(info)}"
        )
    return ((params.after, 5), (params.after, 1))[: params.tops]


@quietly
def _synopsys_propose(
    params: ProposalParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """Boxes and their scores; of equal scores the later one first, and the last box is always kept.

    Suppression goes over all boxes, those after the first ``before`` too, in the order in which
    C++'s ``std::partial_sort`` leaves them.
    """
    (score,), (delta,), info = (np.asarray(array) for array in inputs)
    height, width, scale = info.reshape(-1)[:3]
    anchors = len(params.ratios) * len(params.scales)
    boxes = moved_boxes(placed_anchors(params, score.shape[1:]), delta)
    edges = np.array([int(width) - 1, int(height) - 1] * 2, np.float32)
    boxes = np.maximum(np.minimum(boxes, edges), 0)
    boxes = boxes.reshape(-1, anchors, 4).transpose(1, 0, 2).reshape(-1, 4)
    scores = score[anchors:].reshape(-1)
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= params.min_size * scale).all(axis=1)
    large[-1] = True
    boxes, scores = boxes[large], scores[large]
    order = _partly_sorted(scores, params.before)
    best = order[nms_keep(boxes[order], params.overlap, border=1, limit=params.after)]
    rows = np.concatenate([np.zeros((len(best), 1)), boxes[best]], axis=1, dtype=np.float32)
    return (rows, scores[best, None].astype(np.float32))[: params.tops]


def _partly_sorted(scores: AnyArray, first: int) -> AnyArray:
    """Indices of scores: the best ``first`` in falling order, then the others unsorted.

    The best so far are a heap; a better one that comes later leaves its place to the worst of them
    (``__heap_select`` of libstdc++).
    """
    keys = list(zip(scores.tolist(), range(len(scores)), strict=True))
    best = keys[:first]
    heapq.heapify(best)
    others = [heapq.heappushpop(best, key) for key in keys[first:]]
    return np.array([at for _, at in sorted(best, reverse=True) + others], np.int64)


_SYNOPSYS_PROPOSAL = OpDef(
    name="ProposalOfOne",
    arity=Arity((3, 3), (1, 2)),
    params=_parse_synopsys,
    shape=_synopsys_shape,
    cost=per_input(20),
    window=full_extent,
    reference=_synopsys_propose,
    memory=copies(12),
    dynamic=True,
    contents=proposal_contents,
    family="loss",
    host=True,
)
READINGS = (_SYNOPSYS_PROPOSAL,)

PROPOSAL = OpDef(
    name="Proposal",
    reading=_synopsys_reading,
    arity=Arity((3, 3), (1, 2)),
    params=_parse,
    shape=proposal_shapes,
    cost=per_input(20),
    window=full_extent,
    reference=propose,
    memory=copies(12),
    dynamic=True,
    contents=proposal_contents,
    family="loss",
    host=True,
)

OPS = (PROPOSAL,)
