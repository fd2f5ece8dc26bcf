"""What the anchors of a region proposal network are to learn (Ren et al. 2015).

rpn/anchor_target_layer.py of rbgirshick/py-faster-rcnn, and what projects made from it change:
thresholds, how many train, and which. Random choices are drawn by netc's own generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes, TrueBoxes, corner_rows
from netc.ops.define import ShapeError
from netc.ops.detection.anchors import box_changes, placed_anchors
from netc.ops.detection.boxes import box_overlaps
from netc.ops.detection.proposal import ProposalParams, foreground
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in
from netc.ops.random import uniform


class Overlaps(NamedTuple):
    """Which anchors are positive and negative, and how many of them train.

    Args:
        near, far: an anchor that overlaps a true box by ``near`` or more is positive, one that
            overlaps none by ``far`` or more negative.
        batch: how many anchors train.
        positives: how many of them may be positive.
        forced: the anchors that overlap a true box most are positive however little that is.
    """

    near: float = 0.7
    far: float = 0.3
    batch: int = 256
    positives: int = 128
    forced: bool = True


class AnchorRules(NamedTuple):
    """Which anchors there are, and which train.

    Args:
        anchors: how they lie.
        border: how many pixels an anchor may lie outside of the image.
        overlaps: which are positive and negative.
        never_empty: where no anchor lies inside of the image, all are taken.
        hard: the anchors that the scores get most wrong train, not any; ``hard`` is the bottom of
            the scores, two for each anchor, and random choices are made where there is none.
    """

    anchors: ProposalParams
    border: int = 0
    overlaps: Overlaps = Overlaps()
    never_empty: bool = False
    hard: int | None = None


_FIELDS: Mapping[str, object] = {
    "feat_stride": None, "base_size": 16, "ratios": (0.5, 1, 2), "scales": (8, 16, 32),
    "allowed_border": 0,
}  # fmt: skip


def parse_anchor_rules(
    param_str: str, more: Mapping[str, object] = MappingProxyType({})
) -> AnchorRules:
    """The rules that a ``param_str`` stands for.

    Args:
        param_str: the text.
        more: further fields that it may have, with their defaults; only ``positive_overlap``,
            the rule ``near``.

    Raises:
        ShapeError: with code python-layer, for anything else in the text.
    """
    given = parse_param_str(param_str, "AnchorTargetLayer", {**_FIELDS, **more})
    anchors = ProposalParams(
        int(given["feat_stride"]), int(given["base_size"]), 0,
        tuple(map(float, given["ratios"])), tuple(map(float, given["scales"])), 1, 1, 0.0,
        even=True,
    )  # fmt: skip
    made = AnchorRules(anchors, int(given["allowed_border"]))
    if "positive_overlap" not in more:
        return made
    near = float(given["positive_overlap"])
    return made._replace(overlaps=made.overlaps._replace(near=near))


def anchor_shapes(rules: AnchorRules, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes of labels, box changes and the two weights of them.

    Raises:
        ShapeError: the bottoms are not scores of one image, true boxes and the image's size.
    """
    if len(inputs) < 3 or len(inputs[0]) != 4 or inputs[0][0] != 1:
        raise ShapeError(
            "Faster R-CNN's `AnchorTargetLayer` takes the scores of a single image, its true boxes "
            f"and its size; the bottoms are {', '.join(map(show, inputs))}"
        )
    rows, columns = inputs[0][2:]
    number = len(rules.anchors.ratios) * len(rules.anchors.scales)
    if rules.hard is not None and inputs[rules.hard] != (1, 2 * number, rows, columns):
        raise ShapeError(
            f"the scores by which hard anchors are found must be {show((1, 2 * number))} on cells "
            f"as the first bottom's, the bottom is {show(inputs[rules.hard])}"
        )
    return ((1, 1, number * rows, columns), *((1, 4 * number, rows, columns),) * 3)


def anchor_contents(rules: AnchorRules, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    """Contents rule: true boxes in the image that the cells are of, and its size."""
    high, wide = (size * rules.anchors.stride for size in inputs[0][2:])
    further = count(inputs[1], 1) - 5 if _has_attributes(inputs[1]) else 0
    return None, TrueBoxes(corner_rows(0, further), 2, 1, high, wide), ImageSizes(high, wide)


def anchor_targets(
    rules: AnchorRules, inputs: Arrays, context: PythonContext
) -> tuple[AnyArray, ...]:
    """What anchors are to learn: labels, box changes and the weights before and behind their loss.

    Args:
        rules: of the layer.
        inputs: scores, true boxes and the image's size; more where ``rules`` says so.
        context: where random numbers come from.
    """
    labels, targets, _ = labelled_anchors(rules, inputs, context)
    return anchor_maps(labels, targets, inputs[0].shape[2:])


def labelled_anchors(
    rules: AnchorRules, inputs: Arrays, context: PythonContext
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Label and box changes of every anchor, and the indices of those that may train."""
    truth, size = _true_boxes(np.asarray(inputs[1])), np.asarray(inputs[2]).reshape(-1)[:2]
    anchors = placed_anchors(rules.anchors, inputs[0].shape[2:])
    inside = anchors_inside(rules, anchors, size)
    labels, targets = np.full(len(anchors), -1, np.float32), np.zeros((len(anchors), 4), np.float32)
    if len(inside):
        scores = (
            None if rules.hard is None else foreground(np.asarray(inputs[rules.hard][0]))[inside]
        )
        labels[inside], best = label_anchors(
            rules.overlaps, anchors[inside], truth, scores, context
        )
        if len(truth):
            targets[inside] = box_changes(anchors[inside], truth[best, :4])
    return labels, targets, inside


def _true_boxes(truth: AnyArray) -> AnyArray:
    """Rows of box and label; attributes and relations behind them are left out."""
    if _has_attributes(truth.shape):
        rows: AnyArray = truth.reshape(len(truth), -1)[:, :5]
        return rows
    return truth.reshape(-1, 5)


def _has_attributes(truth: Shape) -> bool:
    """Whether rows are those of peteanderson80/bottom-up-attention (region_attributes.py)."""
    return len(truth) in (2, 4) and count(truth, 1) >= 21


def anchors_inside(rules: AnchorRules, anchors: AnyArray, size: AnyArray) -> AnyArray:
    """Indices of the anchors that lie inside of an image of this height and width."""
    height, width = size
    low = anchors[:, :2] >= -rules.border
    high = anchors[:, 2:] < np.array([width, height]) + rules.border
    inside = np.flatnonzero(low.all(axis=1) & high.all(axis=1))
    return np.arange(len(anchors)) if rules.never_empty and not len(inside) else inside


def anchor_maps(
    labels: AnyArray, targets: AnyArray, cells: Sequence[int]
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """The layer's tops for one image, of labels (n,) and box changes (n, 4) of all anchors."""
    own = np.repeat((labels == 1)[:, None], 4, axis=1).astype(np.float32)
    used = np.repeat((labels >= 0)[:, None], 4, axis=1).astype(np.float32)
    share = used / max(1, int((labels >= 0).sum()))
    maps = [array.reshape(1, *cells, -1).transpose(0, 3, 1, 2) for array in (targets, own, share)]
    return (label_map(labels, cells), maps[0], maps[1], maps[2])


def label_map(labels: AnyArray, cells: Sequence[int]) -> AnyArray:
    """Labels (n,) of all anchors as (1, 1, anchors * rows, columns)."""
    flat = labels.reshape(1, *cells, -1).transpose(0, 3, 1, 2)
    return flat.reshape(1, 1, -1, cells[1])


def label_anchors(
    rules: Overlaps,
    anchors: AnyArray,
    truth: AnyArray,
    scores: AnyArray | None,
    context: PythonContext,
) -> tuple[AnyArray, AnyArray]:
    """1, 0 or -1 (left out) for each anchor, and the true box that it overlaps most.

    An anchor that overlaps a true box most is positive (``forced``) even if it does not at all.

    Args:
        rules: thresholds, and how many train.
        anchors, truth: boxes (n, 4) and true boxes, further columns of which are not read.
        scores: (n,), those by which hard anchors are found; None for any.
        context: where random numbers come from.
    """
    labels = np.full(len(anchors), -1, np.float32)
    if not len(truth):
        labels[:], best = 0, np.zeros(len(anchors), np.int64)
    else:
        table = box_overlaps(anchors, truth[:, :4])
        best, most = table.argmax(axis=1), table.max(axis=1)
        labels[most < np.float32(rules.far)] = 0
        if rules.forced:
            labels[(table == table.max(axis=0)).any(axis=1)] = 1
        labels[most >= np.float32(rules.near)] = 1
    for label, draw in ((1, 0), (0, 1)):
        limit = rules.positives if label else rules.batch - int((labels == 1).sum())
        some = np.flatnonzero(labels == label)
        if len(some) > limit and scores is None:
            labels[drawn(some, len(some) - limit, anchors, context, draw)] = -1
        elif len(some) > limit and scores is not None:
            wrong = 1 - scores[some] if label else scores[some]
            labels[some[np.argsort(-wrong, kind="stable")[limit:]]] = -1
    return labels, best


def drawn(
    some: AnyArray, number: int, like: AnyArray, context: PythonContext, draw: int
) -> AnyArray:
    """So many of some, at random; ``draw`` tells the draws of a layer apart."""
    chance = uniform(like, (len(some),), context.layer, context.key, draw)
    return some[np.argsort(chance, kind="stable")[:number]]


def register_anchors(module: str, rules_of: Callable[[str, Sequence[Shape]], AnchorRules]) -> None:
    """Register a project's AnchorTargetLayer, which differs in its rules alone.

    Args:
        module: of the layer.
        rules_of: (param_str, shapes of the bottoms) -> the rules.
    """

    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        return anchor_shapes(rules_of(param_str, inputs), inputs)

    @quietly
    def run(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        return anchor_targets(rules_of(param_str, [a.shape for a in inputs]), inputs, context)

    def contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
        return anchor_contents(rules_of(param_str, inputs), inputs)

    register_built_in(module, "AnchorTargetLayer", run, shape, contents=contents)
