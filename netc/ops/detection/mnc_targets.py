"""The Python layer of multi-task network cascades that chooses regions (Dai et al. 2016).

proposal_target_layer.py of ``pylayer`` in daijifeng001/MNC, with the numbers of the configurations
that belong to the project's texts: with masks (five stages) or without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes, Regions, TrueBoxes, Whole, corner_rows
from netc.ops.define import ShapeError
from netc.ops.detection.anchor_targets import drawn
from netc.ops.detection.boxes import nearest
from netc.ops.detection.mnc_masks import INFO, MASK_SIDE, TrueMasks, mask_targets
from netc.ops.detection.rcnn_layers import class_targets
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

SIDE = 600.0  # of an image, where nothing tells it


class _Sampling(NamedTuple):
    """How many regions train, the share of positives, and of the others by their overlap."""

    batch: int
    positive: float
    negative: tuple[tuple[float, float, float], ...]  # share, least and largest overlap


_BOXES = _Sampling(128, 0.25, ((1.0, 0.1, 0.5),))
_MASKS = _Sampling(64, 0.3, ((0.85, 0.1, 0.5), (0.15, 0.0, 0.1)))
_NEAR = 0.5
_FIELDS: Mapping[str, object] = {"num_classes": None, "bp_all": 1}


class _Chosen(NamedTuple):
    """The regions that train: all candidates, which are positive and which not, their objects."""

    rows: AnyArray
    positive: AnyArray
    negative: AnyArray
    best: AnyArray


def _target_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    classes = int(parse_param_str(param_str, "ProposalTargetLayer", _FIELDS)["num_classes"])
    masks = context.tops > 5
    if len(inputs) < (5 if masks else 3) or (context.tops > 8 and len(inputs) < 6):
        raise ShapeError(
            "MNC's `ProposalTargetLayer` takes regions, true boxes, the image's size, for masks "
            "those and their sizes, and for anchors the regions' numbers among them; there are "
            f"{len(inputs)} bottoms"
        )
    check_regions(inputs[0], inputs[1], inputs[2])
    rows = (_MASKS if masks else _BOXES).batch
    each, mask = (rows, 4 * classes), (rows, 1, MASK_SIDE, MASK_SIDE)
    boxes = ((rows, 5), (rows,), each, each, each)
    return (*boxes, mask, mask, (rows, INFO), (rows,), (rows,))[: context.tops]


def check_regions(regions: Shape, truth: Shape, info: Shape) -> None:
    """Check the shapes of regions, of true boxes and of an image's size.

    Raises:
        ShapeError: they are not rows of 5, rows of 5 and one row of 3.
    """
    for what, shape in (("regions", regions), ("true boxes", truth)):
        if not shape or count(shape, 1) != 5:
            raise ShapeError(f"the {what} must be rows of 5, the bottom is {show(shape)}")
    if count(info) < 3:
        raise ShapeError(f"the image's height, width and scale are needed, there is {show(info)}")


def _choose(inputs: Arrays, masks: bool, context: PythonContext) -> _Chosen:
    rules, truth = (_MASKS if masks else _BOXES), np.asarray(inputs[1]).reshape(-1, 5)
    own = np.concatenate([np.zeros((len(truth), 1)), truth[:, :4]], axis=1)
    rows = np.concatenate([np.asarray(inputs[0]).reshape(-1, 5), own]).astype(np.float32)
    best, most = nearest(rows[:, 1:], truth[:, :4])

    def some(low: float, high: float, number: float, draw: int) -> AnyArray:
        found = np.flatnonzero((most >= np.float32(low)) & (most <= np.float32(high)))
        return drawn(found, int(np.round(number)), rows, context, draw)

    positive = np.sort(some(_NEAR, 1.0, rules.batch * rules.positive, 0))
    room = rules.batch - len(positive)
    bands = [
        some(low, high, room * share, 1 + at)
        for at, (share, low, high) in enumerate(rules.negative)
    ]
    return _Chosen(rows, positive, np.unique(np.concatenate(bands)), best)


@quietly
def _targets(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    given = parse_param_str(param_str, "ProposalTargetLayer", _FIELDS)
    truth, masks = np.asarray(inputs[1]).reshape(-1, 5), context.tops > 5
    it = _choose(inputs, masks, context)
    kept, number = np.concatenate([it.positive, it.negative]), len(it.positive)
    boxes = boxes_to_learn(it.rows[kept], it.best[kept], truth, number, int(given["num_classes"]))
    if not masks:
        return boxes
    given_masks, sizes = np.asarray(inputs[3]), np.asarray(inputs[4])
    true = TrueMasks(truth, given_masks, sizes, float(np.asarray(inputs[2]).reshape(-1)[2]))
    made = mask_targets(true, it.rows[kept, 1:], it.best[kept], number)
    return (*boxes, *made, *_numbers(it, inputs[5:]))[: context.tops]


def _numbers(it: _Chosen, numbers: Arrays) -> tuple[AnyArray, ...]:
    """Positive and negative regions as numbers of anchors; true boxes have none."""
    if not numbers:
        return ()
    anchors = np.asarray(numbers[0]).reshape(-1)
    return tuple(anchors[some[some < len(anchors)]] for some in (it.positive, it.negative))


def boxes_to_learn(
    rows: AnyArray, owner: AnyArray, truth: AnyArray, positives: int, classes: int
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:
    """Regions, the positives first, with labels, box changes and the weights of those.

    Args:
        rows: (n, 5), image and box.
        owner: (n,), the true box of each.
        truth: (m, 5), boxes and labels.
        positives: how many of the regions are positive.
        classes: how many there are, the background counted.
    """
    labels = np.zeros(len(rows), np.float32)
    labels[:positives] = truth[owner[:positives], 4]
    targets, inside = class_targets(
        labels, classes, rows[:positives, 1:], truth[owner[:positives], :4]
    )
    return rows, labels, targets, inside, (inside > 0).astype(np.float32)


def _target_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """By the regions: what arrives at the chosen ones, or at the positives of them alone."""
    given = parse_param_str(param_str, "ProposalTargetLayer", _FIELDS)
    it = _choose(inputs, context.tops > 5, context)
    kept = np.concatenate([it.positive, it.negative]) if given["bp_all"] else it.positive
    made = np.zeros_like(inputs[0])
    own = np.flatnonzero(kept < len(made))
    made[kept[own]] = tops[0][own].reshape(len(own), *made.shape[1:])
    return (made, *(None,) * (len(inputs) - 1))


def true_contents(classes: int, masks: Shape | None) -> Sequence[Contents]:
    """What true boxes, the image's size, true masks and their sizes hold."""
    boxes = TrueBoxes(corner_rows(0, 0), classes, 1, SIDE, SIDE)
    known: tuple[Contents, ...] = (boxes, ImageSizes(SIDE, SIDE))
    return known if masks is None else (*known, Whole(2), ImageSizes(*masks[1:3]))


def _target_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    classes = int(parse_param_str(param_str, "ProposalTargetLayer", _FIELDS)["num_classes"])
    return Regions(1, SIDE, SIDE), *true_contents(classes, inputs[3] if inputs[3:] else None)


register_built_in(
    "pylayer.proposal_target_layer",
    "ProposalTargetLayer",
    _targets,
    _target_shape,
    True,
    _target_gradient,
    _target_contents,
)
