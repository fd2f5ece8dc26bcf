"""Built-in Python layers of Faster R-CNN (Ren et al. 2015) and ENet.

AnchorTargetLayer and ProposalTargetLayer choose what is trained: rpn/anchor_target_layer.py and
rpn/proposal_target_layer.py of rbgirshick/py-faster-rcnn, with the constants of its configuration
for end-to-end training; SSH's anchors differ in their rules. SpatialDropoutLayer is
TimoSaemann/ENet's. Boxes are in pixels, their maxima belong to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Regions, TrueBoxes, corner_rows
from netc.ops.define import ShapeError
from netc.ops.detection import video_windows
from netc.ops.detection.anchor_targets import (
    AnchorRules,
    anchor_contents,
    anchor_shapes,
    anchor_targets,
    drawn,
    parse_anchor_rules,
    register_anchors,
)
from netc.ops.detection.anchors import box_changes
from netc.ops.detection.boxes import nearest
from netc.ops.detection.region_attributes import (
    BATCH,
    Extras,
    extra_shapes,
    extra_targets,
    extras,
    positives_truth,
    row_width,
)
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in
from netc.ops.random import uniform

_BATCH, _POSITIVES, _NEAR = 128, 32, 0.5
_DEVIATIONS = (0.1, 0.1, 0.2, 0.2)


def _faster_rcnn_anchors(param_str: str, inputs: Sequence[Shape]) -> AnchorRules:
    return parse_anchor_rules(param_str)


def _ssh_anchors(param_str: str, inputs: Sequence[Shape]) -> AnchorRules:
    """SSH/layers/anchor_target_layer.py: by scores, where a fifth bottom has them."""
    rules = parse_anchor_rules(param_str, {"positive_overlap": 0.5})
    overlaps = rules.overlaps._replace(positives=64, forced=False)
    hard = 4 if len(inputs) == 5 else None
    return rules._replace(overlaps=overlaps, never_empty=True, hard=hard)


def _anchor_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    """Under the name of Faster R-CNN's layer stands R-C3D's too, of video_windows."""
    if video_windows.are_windows(inputs):
        return video_windows.anchor_shape(inputs, param_str, context)
    return anchor_shapes(_faster_rcnn_anchors(param_str, inputs), inputs)


@quietly
def _anchor_targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    if video_windows.are_windows([array.shape for array in inputs]):
        return video_windows.anchor_targets(inputs, param_str, context)
    return anchor_targets(_faster_rcnn_anchors(param_str, ()), inputs, context)


def _anchor_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    if video_windows.are_windows(inputs):
        return video_windows.anchor_contents(param_str, inputs)
    return anchor_contents(_faster_rcnn_anchors(param_str, inputs), inputs)


# ProposalTargetLayer


# Behind the first are fields of peteanderson80/bottom-up-attention; its layer never reads the last.
_FIELDS = {
    "num_classes": None, "num_attr_classes": 0, "num_rel_classes": 0, "ignore_label": -1,
    "use_attr_labels": False,
}  # fmt: skip


def _fields(param_str: str) -> tuple[int, Extras]:
    """How many classes there are, and what else is told of regions."""
    given = parse_param_str(param_str, "ProposalTargetLayer", _FIELDS)
    return int(given["num_classes"]), extras(given)


def true_boxes_shape(param_str: str, shape: Shape) -> Shape:
    """The shape of true boxes, rows of 5, for a layer that tells more of each region.

    Raises:
        ShapeError: the ``param_str`` is not the layer's.
    """
    told = _fields(param_str)[1]
    return (shape[0], row_width(told, shape[0])) if told.any else shape


def _target_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    if video_windows.are_windows(inputs):
        return video_windows.target_shape(inputs, param_str, context)
    classes, told = _fields(param_str)
    if len(inputs) < 2 or not inputs[0] or inputs[0][-1] != 5 or not inputs[1]:
        raise ShapeError(
            "Faster R-CNN's `ProposalTargetLayer` takes regions and true boxes, rows of 5; the "
            f"bottoms are {', '.join(map(show, inputs))}"
        )
    rows = BATCH if told.any else _BATCH
    usual = ((rows, 5, 1, 1), (rows, 1, 1, 1), *((rows, 4 * classes, 1, 1),) * 3)
    return (*usual, *extra_shapes(told, inputs[1]))


class Sampling(NamedTuple):
    """How regions are chosen to train on.

    Args:
        classes: how many there are, the background counted.
        near: a region that overlaps a true box by this much or more is a positive one.
        most: regions that overlap one by this much or more are left out before; None for none.
        filled: negatives come again where there are too few, and of true boxes that a region
            overlaps by as much the last one counts; as makefile/frcnn has it.
        batch: how many are chosen at most; of positives, a quarter of 128.
    """

    classes: int
    near: float = _NEAR
    most: float | None = None
    filled: bool = False
    batch: int = _BATCH


@quietly
def _targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    if video_windows.are_windows([array.shape for array in inputs]):
        return video_windows.targets(inputs, param_str, context)
    classes, told = _fields(param_str)
    if not told.any:
        return sampled_targets(Sampling(classes), inputs, context)
    truth = np.asarray(inputs[1]).reshape(len(inputs[1]), -1)
    regions = (inputs[0], truth[:, :5])
    usual, at = _sampled(Sampling(classes, batch=BATCH), regions, context)
    return (*usual, *extra_targets(told, positives_truth(told, truth, at), context))


# R-FCN's layer gives four axes, Faster R-CNN's fewer; losses and ROIPooling take either.
def sampled_targets(
    rules: Sampling, inputs: Arrays, context: PythonContext
) -> tuple[AnyArray, ...]:
    """Regions to train on, their labels, box changes and the weights of those."""
    return _sampled(rules, inputs, context)[0]


def _sampled(
    rules: Sampling, inputs: Arrays, context: PythonContext
) -> tuple[tuple[AnyArray, ...], AnyArray]:
    """The layer's tops, and which true box each of the positives has."""
    truth = np.asarray(inputs[1]).reshape(-1, 5)
    rows = np.asarray(inputs[0]).reshape(-1, 5)
    if rules.most is not None:
        rows = rows[_matched(rules, rows, truth)[1] < np.float32(rules.most)]
    own = np.concatenate([np.zeros((len(truth), 1)), truth[:, :4]], axis=1)
    rows = np.concatenate([rows, own]).astype(np.float32)
    best, most = _matched(rules, rows, truth)
    near = most >= np.float32(rules.near)
    positive = drawn(np.flatnonzero(near), _POSITIVES, rows, context, 0)
    negative = drawn(np.flatnonzero(~near), rules.batch - len(positive), rows, context, 1)
    if rules.filled and len(negative):
        negative = np.resize(negative, rules.batch - len(positive))
    kept = np.concatenate([positive, negative])
    labels = np.zeros(len(kept), np.float32)
    labels[: len(positive)] = truth[best[positive], 4]
    targets, inside = class_targets(
        labels, rules.classes, rows[positive, 1:], truth[best[positive], :4]
    )
    made = (rows[kept], labels[:, None], targets, inside, (inside > 0).astype(np.float32))
    return tuple(array.reshape(*array.shape, 1, 1) for array in made), best[positive]


def _matched(rules: Sampling, rows: AnyArray, truth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The true box that each region overlaps most, and by how much."""
    if not rules.filled:
        return nearest(rows[:, 1:], truth[:, :4])
    best, most = nearest(rows[:, 1:], truth[::-1, :4])
    return np.maximum(len(truth) - 1 - best, 0), most


def class_targets(
    labels: AnyArray, classes: int, boxes: AnyArray, truth: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Changes of the positives, which come first, in the columns of their class, and which count.

    Args:
        labels: of all regions, (n,).
        classes: how many there are, the background counted.
        boxes, truth: of the positives, (positives, 4), and the true box of each.

    Returns:
        Two arrays (n, 4 * classes); changes are divided by Fast R-CNN's deviations.
    """
    targets = np.zeros((len(labels), 4 * classes), np.float32)
    inside = np.zeros_like(targets)
    changes = box_changes(boxes, truth) / np.array(_DEVIATIONS, np.float32)
    for row, (label, change) in enumerate(zip(labels, changes, strict=False)):
        at = slice(4 * int(label), 4 * int(label) + 4)
        if 0 < label < classes:
            targets[row, at], inside[row, at] = change, 1
    return targets, inside


# SpatialDropoutLayer of TimoSaemann/ENet


def _dropout(param_str: str) -> tuple[bool, float]:
    given = parse_param_str(param_str, "SpatialDropoutLayer", {"phase": "", "p": None})
    share = float(given["p"])
    if not 0 < share < 1:
        raise ShapeError(f"`p` must be between 0 and 1, it is {share:g}", code="python-layer")
    return given["phase"] == "TRAIN", share


def _maps(x: AnyArray, param_str: str, context: PythonContext) -> AnyArray:
    """What each map is multiplied by; outside of training too, as that layer does it."""
    training, share = _dropout(param_str)
    scale: AnyArray = x.dtype.type(1 / (1 - share))
    if not training:
        return scale
    chance = uniform(x, x.shape[:2], context.layer, context.key)
    result: AnyArray = ((chance >= share) * scale)[:, :, None, None].astype(x.dtype)
    return result


def _dropped(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    return (inputs[0] * _maps(inputs[0], param_str, context),)


def _dropped_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    _dropout(param_str)
    if len(inputs) != 1 or len(inputs[0]) != 4:
        raise ShapeError("`SpatialDropoutLayer` takes one bottom of 4 axes")
    return (inputs[0],)


def _dropped_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray, ...]:
    return (tops[0] * _maps(inputs[0], param_str, context),)


def _target_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    if video_windows.are_windows(inputs):
        return video_windows.target_contents(param_str, inputs)
    further = count(inputs[1], 1) - 5
    columns = corner_rows(0, further if _fields(param_str)[1].any else 0)
    return Regions(1, _SIDE, _SIDE), TrueBoxes(columns, _fields(param_str)[0], 1, _SIDE, _SIDE)


_SIDE = 600.0  # of an image, where nothing tells it

register_built_in(
    "rpn.anchor_target_layer",
    "AnchorTargetLayer",
    _anchor_targets,
    _anchor_shape,
    contents=_anchor_contents,
)
register_anchors("SSH.layers.anchor_target_layer", _ssh_anchors)
register_built_in(
    "rpn.proposal_target_layer",
    "ProposalTargetLayer",
    _targets,
    _target_shape,
    rows_vary=True,
    contents=_target_contents,
)
register_built_in(
    "spatial_dropout",
    "SpatialDropoutLayer",
    _dropped,
    _dropped_shape,
    gradient=_dropped_gradient,
)
