"""FrcnnProposal, FrcnnAnchorTarget and FrcnnProposalTarget: Faster R-CNN's layers in C++.

frcnn_proposal_layer.cpp, frcnn_anchor_target_layer.cpp and frcnn_proposal_target_layer.cpp of
makefile/frcnn and soeaver/py-RFCN-priv. The forks read anchors, numbers of boxes and of classes
from a file that is given to the program, not from the text. netc takes those of Faster R-CNN's
configuration, with as many anchors as the scores have; a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes, Regions, TrueBoxes, corner_rows
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    ErasedOp,
    LayerContext,
    OpDef,
    ShapeError,
    TypeReading,
    copies,
    erased,
    full_extent,
)
from netc.ops.detection.anchor_targets import AnchorRules, anchor_targets
from netc.ops.detection.anchors import moved_boxes, placed_anchors
from netc.ops.detection.boxes import nms_keep
from netc.ops.detection.proposal import ProposalParams, stride_contents
from netc.ops.detection.rcnn_layers import Sampling, sampled_targets
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import number
from netc.ops.python import PythonContext
from netc.ops.random import layer_number
from netc.schema.message import Message

_STRIDE, _CLASSES, _ROWS, _SIDE = 16, 21, 128, 600.0
_RATIOS = (0.5, 1.0, 2.0)
# How many anchors a cell has -> their scales, times 16 pixels; configurations of the fork.
_SCALES: Mapping[int, tuple[float, ...]] = {
    3: (8.0,),
    9: (8.0, 16.0, 32.0),
    12: (4.0, 8.0, 16.0, 32.0),
    15: (2.0, 4.0, 8.0, 16.0, 32.0),
}


@dataclass(frozen=True, slots=True)
class FrcnnLayerParams:
    """What the text says of a layer of this family.

    Args:
        stride: pixels of the net's input from cell to cell.
        phase: "TRAIN" or "TEST".
        layer: the layer's number for the generator.
        tops: how many there are.
        bottoms: how many the text has; the generator's key comes behind them.
        classes: the background counted.
        stage: of a cascade: the overlap of a positive rises by 0.1 each, and from the second on
            regions that overlap a true box by ``most`` or more are left out.
    """

    stride: int
    phase: str
    layer: int
    tops: int
    bottoms: int
    classes: int = _CLASSES
    stage: int = 0
    most: float = 0.95


def _common(layer: Message, context: LayerContext, stride: int) -> FrcnnLayerParams:
    return FrcnnLayerParams(
        stride or _STRIDE,
        context.phase,
        layer_number(layer.get("name")),
        context.tops,
        context.bottoms,
    )


def _parse_proposal(layer: Message, context: LayerContext) -> FrcnnLayerParams:
    """makefile/frcnn has its stride in ``proposal_param``, soeaver's in a message of its own."""
    own = reject_unknown_fields(layer.get("frcnn_proposal_param"), "feat_stride")
    common = reject_unknown_fields(layer.get("proposal_param"), "feat_stride")
    given = own if own.has("feat_stride") else common
    stride = number(given, "feat_stride", 0) if given.has("feat_stride") else 0
    return _common(layer, context, stride)


def _parse_anchors(layer: Message, context: LayerContext) -> FrcnnLayerParams:
    own = reject_unknown_fields(layer.get("frcnn_anchor_target_param"), "feat_stride")
    return _common(layer, context, number(own, "feat_stride", 1))


def _parse_targets(layer: Message, context: LayerContext) -> FrcnnLayerParams:
    own = reject_unknown_fields(layer.get("frcnn_proposal_target_param"), "num_classes")
    cascade = reject_unknown_fields(layer.get("proposal_target_param"), "stage", "gt_iou_thr")
    made = _common(layer, context, 0)
    return FrcnnLayerParams(
        made.stride,
        made.phase,
        made.layer,
        made.tops,
        made.bottoms,
        number(own, "num_classes", 2),
        number(cascade, "stage", 0) if cascade.has("stage") else 0,
        cascade.get("gt_iou_thr") if cascade.has("gt_iou_thr") else 0.95,
    )


def _anchors(params: FrcnnLayerParams, scores: Shape) -> ProposalParams:
    """Faster R-CNN's configuration with the anchors of these scores.

    Raises:
        ShapeError: the scores are not of one image, or of a number of anchors that no
            configuration of the fork has.
    """
    if len(scores) != 4 or scores[0] != 1 or scores[1] % 2:
        raise ShapeError(
            f"two scores for each anchor of a single image are needed, the bottom is {show(scores)}"
        )
    scales = _SCALES.get(scores[1] // 2)
    if scales is None:
        known = ", ".join(map(str, _SCALES))
        raise ShapeError(
            f"the scores are of {scores[1] // 2} anchors, which a file of the fork's tells; netc "
            f"knows those of {known}",
            help=(
                "write Faster R-CNN's Python layer or `Proposal` instead, which have their anchors "
                "in the text",
            ),
        )
    before, after = (12000, 2000) if params.phase == "TRAIN" else (6000, 300)
    return ProposalParams(
        params.stride, 16, 16, _RATIOS, scales, before, after, 0.7, params.tops, keep_small=False
    )


def _context(params: FrcnnLayerParams, inputs: Arrays) -> PythonContext:
    keyed = len(inputs) > params.bottoms
    return PythonContext(params.phase, params.layer, inputs[params.bottoms] if keyed else None)


# FrcnnProposal


def _proposal_shape(params: FrcnnLayerParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, deltas, info = inputs
    anchors = _anchors(params, scores)
    wanted = (1, 2 * scores[1], *scores[2:])
    if deltas != wanted:
        raise ShapeError(
            f"the box changes must be {show(wanted)}, the second bottom is {show(deltas)}"
        )
    if count(info) < 3:
        raise ShapeError(
            f"the third bottom must be an image's height, width and scale, it is {show(info)}"
        )
    return ((anchors.after, 5, 1, 1), (anchors.after, 1, 1, 1))[: params.tops]


@quietly
def _propose(params: FrcnnLayerParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Boxes and their scores; of equal scores the later one first."""
    (score,), (delta,), info = (np.asarray(array) for array in inputs[:3])
    anchors = _anchors(params, inputs[0].shape)
    height, width, scale = info.reshape(-1)[:3]
    boxes = moved_boxes(placed_anchors(anchors, score.shape[1:]), delta)
    edges = np.array([width - 1, height - 1] * 2, np.float32)
    boxes = np.maximum(np.minimum(boxes, edges), 0)
    scores = score[len(score) // 2 :].transpose(1, 2, 0).reshape(-1)
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= anchors.min_size * scale).all(axis=1)
    boxes, scores = boxes[large], scores[large]
    order = np.lexsort((np.arange(len(scores)), scores))[::-1][: anchors.before]
    best = order[nms_keep(boxes[order], anchors.overlap, border=1, limit=anchors.after)]
    rows = np.concatenate([np.zeros((len(best), 1)), boxes[best]], axis=1, dtype=np.float32)
    tops = (rows, scores[best, None].astype(np.float32))
    return tuple(top.reshape(*top.shape, 1, 1) for top in tops[: params.tops])


def _proposal_contents(
    params: FrcnnLayerParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    return stride_contents(params.stride, inputs)


# FrcnnAnchorTarget


def _anchor_shape(params: FrcnnLayerParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    scores, truth, info = inputs
    _anchors(params, scores)
    _check_truth(truth)
    if count(info) < 2:
        raise ShapeError(f"the third bottom must be an image's size, it is {show(info)}")
    anchors, rows, columns = scores[1] // 2, *scores[2:]
    return ((1, 1, anchors * rows, columns), *((1, 4 * anchors, rows, columns),) * 3)


def _check_truth(truth: Shape) -> None:
    if not truth or count(truth, 1) != 5:
        raise ShapeError(f"true boxes are rows of box and label, the bottom is {show(truth)}")


@quietly
def _anchor_targets(
    params: FrcnnLayerParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    anchors = _anchors(params, inputs[0].shape)
    return anchor_targets(AnchorRules(anchors), inputs[:3], _context(params, inputs))


def _anchor_contents(
    params: FrcnnLayerParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    height, width = (size * params.stride for size in inputs[0][2:])
    truth = TrueBoxes(corner_rows(0, 0), 2, 1, height, width)
    return None, truth, ImageSizes(height, width)


# FrcnnProposalTarget


def _target_shape(params: FrcnnLayerParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    rois, truth = inputs
    if not rois or count(rois, 1) != 5:
        raise ShapeError(f"the regions must be rows of 5, the bottom is {show(rois)}")
    _check_truth(truth)
    each = 4 * params.classes
    return ((_ROWS, 5, 1, 1), (_ROWS, 1, 1, 1), *((_ROWS, each, 1, 1),) * 3)


@quietly
def _targets(params: FrcnnLayerParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Regions to train on; too few are filled up with those of the background again."""
    most = params.most if params.stage else None
    rules = Sampling(params.classes, 0.5 + 0.1 * params.stage, most, filled=True)
    return sampled_targets(rules, inputs[:2], _context(params, inputs))


def _target_contents(
    params: FrcnnLayerParams, inputs: Sequence[Shape]
) -> Sequence[Contents | None]:
    truth = TrueBoxes(corner_rows(0, 0), params.classes, 1, _SIDE, _SIDE)
    return Regions(1, _SIDE, _SIDE), truth


def _message(what: str) -> tuple[str, str, tuple[str, ...]]:
    return (
        "type",
        f"its fork reads {what} from a JSON file; they are those of Faster R-CNN's configuration",
        (
            "`frcnn_proposal_target_param { num_classes: N }` says how many classes there are, the "
            "background counted"
            if "classes" in what
            else "with another configuration the result is another",
        ),
    )


def _reading(op: Callable[[], ErasedOp], what: str) -> Callable[[Message], TypeReading]:
    def reading(layer: Message) -> TypeReading:
        return TypeReading(op(), _message(what))

    return reading


FRCNN_PROPOSAL: OpDef[FrcnnLayerParams] = OpDef(
    name="FrcnnProposal",
    reading=_reading(lambda: erased(FRCNN_PROPOSAL), "anchors and numbers of boxes"),
    arity=Arity((3, 3), (1, 2)),
    params=_parse_proposal,
    shape=_proposal_shape,
    cost=per_input(20),
    window=full_extent,
    reference=_propose,
    memory=copies(12),
    dynamic=True,
    contents=_proposal_contents,
    family="loss",
    host=True,
)

FRCNN_ANCHOR_TARGET: OpDef[FrcnnLayerParams] = OpDef(
    name="FrcnnAnchorTarget",
    reading=_reading(lambda: erased(FRCNN_ANCHOR_TARGET), "anchors and overlaps"),
    arity=Arity((3, 3), (4, 4)),
    params=_parse_anchors,
    shape=_anchor_shape,
    cost=per_input(100),
    window=full_extent,
    reference=_anchor_targets,
    memory=copies(24),
    draws=lambda params: True,
    contents=_anchor_contents,
    family="loss",
    host=True,
)

FRCNN_PROPOSAL_TARGET: OpDef[FrcnnLayerParams] = OpDef(
    name="FrcnnProposalTarget",
    reading=_reading(lambda: erased(FRCNN_PROPOSAL_TARGET), "numbers of classes and of regions"),
    arity=Arity((2, 2), (5, 5)),
    params=_parse_targets,
    shape=_target_shape,
    cost=per_input(100),
    window=full_extent,
    reference=_targets,
    memory=copies(24),
    draws=lambda params: True,
    dynamic=True,
    contents=_target_contents,
    family="loss",
    host=True,
)

OPS = (FRCNN_PROPOSAL, FRCNN_ANCHOR_TARGET, FRCNN_PROPOSAL_TARGET)
