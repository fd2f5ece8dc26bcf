"""DetectionLoss of MS-CNN and DetectionGroupLoss of Cascade R-CNN: classes and boxes on a grid.

detection_loss_layer.cpp and detection_group_loss_layer.cpp of zhaoweicai/cascade-rcnn and
zhaoweicai/mscnn. A label map is (n, 6, rows, columns): class, centre x and y, width and height of
the true box in pixels, and its overlap with the cell's field. The top is (1, 1, 1, 2): the whole
loss, and the boxes' share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, TrueBoxes
from netc.ops.cost import per_input
from netc.ops.define import Arity, OpDef, Parse, ShapeError, copies, full_extent
from netc.ops.detection.cascade_loss_params import (
    DRAWN_MODES,
    GridLossParams,
    GridParams,
    parse_detection,
    parse_group_loss,
    parse_loss,
)
from netc.ops.detection.smooth_l1 import smooth_l1
from netc.ops.detection.yolo_first import first_yolo_reading
from netc.ops.normalization import softmax
from netc.ops.random import uniform

_FLT_MIN = 2.0**-126  # FLT_MIN, the least float32 that is no denormal number
_LABELS = 6


def parts(params: GridParams, inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The maps of class scores, of box offsets (4 channels) and of labels (6 channels)."""
    arrays = [np.asarray(array) for array in inputs]
    if params.apart:
        return arrays[0], arrays[1], arrays[2]
    return arrays[0][:, : params.classes], arrays[0][:, params.classes :], arrays[1]


def check_maps(params: GridParams, inputs: Sequence[Shape]) -> None:
    """Check that all bottoms are maps of one size, with the channels that the classes need.

    Raises:
        ShapeError: one is not.
    """
    for shape in inputs:
        if len(shape) != 4 or shape[:1] != inputs[0][:1] or shape[2:] != inputs[0][2:]:
            raise ShapeError(f"all bottoms must be maps of one size, one is {show(shape)}")
    wanted = (params.classes, 4, _LABELS) if params.apart else (params.classes + 4, _LABELS)
    if tuple(shape[1] for shape in inputs) != wanted:
        told = ", ".join(str(channels) for channels in wanted)
        raise ShapeError(
            f"{params.classes} classes need bottoms of {told} channels, they have "
            f"{', '.join(str(shape[1]) for shape in inputs)}"
        )


def _loss_shape(params: GridLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    check_maps(params, inputs)
    return ((1, 1, 1, 2),)


@quietly
def _grid_loss(params: GridLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The whole loss, and the boxes' share of it."""
    chosen = choose(params, inputs)
    losses = _class_losses(chosen.scores, chosen.targets) * chosen.share
    total = losses[chosen.used].sum(dtype=np.float64) / max(1, int(chosen.used.sum()))
    place = params.weight * _place_loss(params, chosen)
    return (np.array([total + place, place], inputs[0].dtype).reshape(1, 1, 1, 2),)


class SelectedCells(NamedTuple):
    """Which cells of a batch count in the loss, and by how much.

    ``scores``, ``boxes`` and ``labels`` are the maps of :func:`parts`; all others are (n, rows,
    columns): ``targets`` is the class wanted, ``used`` tells where the class counts, ``placed``
    where the box does, and ``share`` is the weight of the class's loss.
    """

    scores: AnyArray
    boxes: AnyArray
    labels: AnyArray
    targets: AnyArray
    used: AnyArray
    placed: AnyArray
    share: AnyArray


def choose(params: GridLossParams, inputs: Arrays) -> SelectedCells:
    """The cells that count, after mining of negatives; see :class:`SelectedCells`."""
    scores, boxes, labels = parts(params, inputs)
    classes = labels[:, 0].astype(np.int64)
    targets = np.minimum(classes, 1) if params.objectness else classes
    losses = _class_losses(scores, targets)
    key = inputs[-1] if len(inputs) > (3 if params.apart else 2) else None
    keep = _kept(params, scores, losses, classes, labels[:, 5], key)
    placed = (classes != 0) & (classes != params.ignore_label)
    if params.apart:
        placed &= keep
    used = keep & (targets != params.ignore_label)
    share = _weights(params, classes, keep, labels[:, 5])
    return SelectedCells(scores, boxes, labels, targets, used, placed, share)


def _class_losses(scores: AnyArray, targets: AnyArray) -> AnyArray:
    """Each place's loss for its class; (n, rows, columns)."""
    inside = targets.clip(0, scores.shape[1] - 1)
    chosen = np.take_along_axis(softmax(scores, 1), inside[:, None], axis=1)[:, 0]
    result: AnyArray = -np.log(np.maximum(chosen, _FLT_MIN))
    return result


def _kept(
    params: GridLossParams,
    scores: AnyArray,
    losses: AnyArray,
    classes: AnyArray,
    overlap: AnyArray,
    key: AnyArray | None,
) -> AnyArray:
    """Which places count: positives, and some of the negatives."""
    groups = len(params.grid.widths)
    positive = classes > 0 if params.apart else classes != 0
    negative = (classes == 0) & (overlap < np.float32(params.threshold))
    keep = positive.copy()
    chance = uniform(losses, classes.shape, params.layer, key) if params.draws else losses
    for first in range(0, len(classes), groups):
        own = slice(first, first + groups)
        if params.apart:
            rank = (
                losses[own] if params.ranking == "conf_loss" else 1 - softmax(scores[own], 1)[:, 0]
            )
            _keep_of_group(params, keep[own], negative[own], rank, chance[own])
        elif params.mining == "all":
            keep[own] |= negative[own]
        else:
            _keep_of_map(params, keep[own], negative[own], classes[own], scores[own], chance[own])
    return keep


def _highest(places: AnyArray, rank: AnyArray, most: int) -> AnyArray:
    """So many of the places, the highest ranks first; of equal ones the last."""
    at = np.flatnonzero(places)
    return at[np.lexsort((at, rank.reshape(-1)[at]))[::-1]][:most]


def _keep_of_group(
    params: GridLossParams, keep: AnyArray, negative: AnyArray, rank: AnyArray, chance: AnyArray
) -> None:
    """Cascade R-CNN's examples of an image; `batch_size` limits the positives too."""
    flat, positives = keep.reshape(-1), int(keep.sum())
    if params.batch < 0:
        most = max(positives * params.multiple, params.least)
    else:
        wanted = min(int(params.batch / (1 + params.multiple) + 0.5), positives)
        flat[_highest(flat, -chance, positives - wanted)] = False
        most = params.batch - wanted
    most = min(most, int(negative.sum()))
    hard = {"bootstrap": most, "random": 0}.get(params.mining, int(most * 0.5 + 0.5))
    flat[_highest(negative, rank, hard)] = True
    flat[_highest(negative.reshape(-1) & ~flat, chance, most - hard)] = True


def _keep_of_map(
    params: GridLossParams,
    keep: AnyArray,
    negative: AnyArray,
    classes: AnyArray,
    scores: AnyArray,
    chance: AnyArray,
) -> None:
    """MS-CNN's: of each class the negatives that score highest for it, or places drawn.

    A place may be drawn more than once, and drawing one that is no negative adds none.
    """
    flat, share = keep.reshape(-1), 0.5 if params.mining == "mixture" else 1.0
    if params.mining in DRAWN_MODES:
        number = max(int(keep.sum() * params.multiple * share), 4 * (params.classes - 1))
        drawn = (np.resize(chance, number) * flat.size).astype(np.int64)
        drawn = (drawn + np.arange(number) // flat.size) % flat.size
        flat[drawn[negative.reshape(-1)[drawn]]] = True
    if params.mining == "random":
        return
    targets = np.minimum(classes, 1) if params.objectness else classes
    for label in range(1, params.classes):
        most = max(params.least, int(int((targets == label).sum()) * params.multiple * share))
        flat[_highest(negative, scores[0, label], most)] = True


def _weights(
    params: GridLossParams, classes: AnyArray, keep: AnyArray, overlap: AnyArray
) -> AnyArray:
    share = np.ones(classes.shape, np.float32)
    positive = classes > 0 if params.apart else classes != 0
    if params.by_overlap:
        share = np.where(positive, overlap, share)
    if params.balanced:
        sums = [share[keep & positive].sum(), share[keep & ~positive].sum()]
        part, number = 1 / (1 + params.multiple), int(keep.sum())
        for chosen, fraction, total in ((positive, part, sums[0]), (~positive, 1 - part, sums[1])):
            if total != 0 and (params.apart or sums[0] != 0):
                share = np.where(chosen, share * np.float32(fraction * number / total), share)
    return share


def place_differences(params: GridLossParams, chosen: SelectedCells) -> AnyArray:
    """Predicted less wanted box offsets of the cells whose box counts, (boxes, 4)."""
    boxes = _within_bounds(params, chosen.boxes) if params.bounded else chosen.boxes
    apart = boxes - _coded(params, chosen.labels)
    return apart.transpose(0, 2, 3, 1)[chosen.placed]


def _place_loss(params: GridLossParams, chosen: SelectedCells) -> float:
    apart = place_differences(params, chosen)
    losses = smooth_l1(apart, 1.0) if params.smooth else apart * apart / 2
    return float(losses.sum(dtype=np.float64) / max(1, losses.size))


def _within_bounds(params: GridLossParams, boxes: AnyArray) -> AnyArray:
    """Predictions between the bounds of shift and growth, both normalised by common means."""
    mean, deviation = np.array(params.regression.mean), np.array(params.regression.deviation)
    limits = []
    for some, edge in (
        (slice(0, 2), 1 / params.grid.shift),
        (slice(2, 4), np.log(params.grid.growth)),
    ):
        centre, spread = mean[some].mean(), np.sqrt(deviation[some].prod())
        limits += [((-edge - centre) / spread, (edge - centre) / spread)] * 2
    low, high = (np.array(v, np.float32).reshape(1, 4, 1, 1) for v in zip(*limits, strict=True))
    return boxes.clip(low, high)


def _coded(params: GridLossParams, labels: AnyArray) -> AnyArray:
    """The true boxes as the predictions would be."""
    number, _, rows, columns = labels.shape
    fields = np.array([params.grid.widths, params.grid.heights], np.float32).T
    field = fields[np.arange(number) % len(fields)][:, :, None, None]
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = (np.stack([across, down]) + np.float32(0.5)) * np.float32(params.grid.stride)
    place = (labels[:, 1:3] - cells) / field
    size = np.log(np.maximum(labels[:, 3:5], 2) / field)
    mean, deviation = (np.array(v, np.float32).reshape(1, 4, 1, 1) for v in params.regression[:2])
    return (np.concatenate([place, size], axis=1) - mean) / deviation


def label_maps(params: GridLossParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: the last bottom is a label map of images of 512 by 512 pixels."""
    names = ("label", "x", "y", "w", "h", "")
    size = 512.0
    labels = TrueBoxes(names, params.classes, 0, size, size, channels=True)
    return (*(None,) * (len(inputs) - 1), labels)


def _loss_op(name: str, bottoms: int, parse: Parse[GridLossParams]) -> OpDef[GridLossParams]:
    return OpDef(
        name=name,
        arity=Arity((bottoms, bottoms), (1, 1), optional_top=True),
        params=parse,
        shape=_loss_shape,
        cost=per_input(20),
        window=full_extent,
        memory=copies(12),
        reference=_grid_loss,
        draws=lambda params: params.draws,
        loss=True,
        contents=label_maps,
        family="loss",
        host=True,
    )


GROUP_LOSS = _loss_op("DetectionGroupLoss", 3, parse_group_loss)
DETECTION_LOSS = replace(_loss_op("DetectionLoss", 2, parse_loss), reading=first_yolo_reading)

OPS = (GROUP_LOSS, DETECTION_LOSS)
OTHER_NAMES = {"Detection": replace(DETECTION_LOSS, params=parse_detection)}
