"""Parameters of DetectionLoss (MS-CNN) and DetectionGroupLoss (Cascade R-CNN).

detection_loss_layer.cpp of zhaoweicai/mscnn, detection_group_loss_layer.cpp of
zhaoweicai/cascade-rcnn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from netc.ops.define import LayerContext
from netc.ops.detection.field_boxes import (
    Grid,
    Regression,
    parse_regression,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import parse_ignore_label
from netc.ops.numbers import required_number
from netc.ops.random import layer_number
from netc.schema.message import Message


class GridParams(Protocol):
    """What losses and accuracies of a grid of cells share; see :class:`GridLossParams`."""

    @property
    def classes(self) -> int:
        """How many classes there are, the background counted."""

    @property
    def apart(self) -> bool:
        """Whether classes and boxes are two bottoms."""


@dataclass(frozen=True, slots=True)
class GridLossParams:
    """A loss of the class scores and box offsets of a grid of cells.

    Args:
        classes: how many, the background counted.
        grid: the fields (reference boxes) around each cell.
        regression: mean and deviation that the offsets are normalised by.
        weight: of the boxes' loss.
        threshold: a background cell is a negative if its label map's overlap is less.
        multiple: negatives kept for each positive.
        mining: which negatives are kept: "bootstrap" the hardest; "all"; "random" some at random;
            "mixture" half of them the hardest, half at random.
        ranking: what makes a negative hard: "conf_loss" its loss, "conf_prob" 1 - p(background);
            "score", of MS-CNN, its score for each class.
        least: the fewest negatives that are kept.
        batch: cells kept of an image, positives and negatives; -1 for no limit.
        objectness: all foreground classes count as class 1.
        balanced: the weights of positives and negatives sum as 1 to ``multiple``.
        by_overlap: a positive is weighted by its overlap with the true box.
        smooth: the boxes' loss is smooth L1, else half the square.
        bounded: predicted offsets are clipped to the grid's bounds first.
        ignore_label: cells of this class do not count; None for none.
        apart: classes and boxes are two bottoms (Cascade R-CNN), else one (MS-CNN).
        layer: the layer's number in random draws, see :mod:`netc.ops.random`.
    """

    classes: int
    grid: Grid
    regression: Regression
    weight: float
    threshold: float
    multiple: int
    mining: str
    ranking: str
    least: int
    batch: int
    objectness: bool
    balanced: bool
    by_overlap: bool
    smooth: bool
    bounded: bool
    ignore_label: int | None
    apart: bool
    layer: int

    @property
    def draws(self) -> bool:
        """Whether cells are chosen at random."""
        return self.mining in DRAWN_MODES or self.batch > 0


DRAWN_MODES = ("random", "mixture")  # half of a mixture's are the hardest
_SHARED = ("cls_num", "lambda", "field_h", "field_w", "field_whr", "field_xyr", "bg_threshold",
           "bg_multiple", "objectness", "pos_neg_weighted")  # fmt: skip


def _mining(param: Message, name: str, known: tuple[str, ...]) -> str:
    kind: str = param.get(name)
    if kind not in known:
        listed = ", ".join(f'"{one}"' for one in known)
        raise param.error(name, "unsupported-value", f'`{name}` "{kind}" is none of {listed}')
    return kind


def parse_group_loss(layer: Message, context: LayerContext) -> GridLossParams:
    """The fields of a DetectionGroupLoss (``detection_group_loss_param``).

    Raises:
        NetcError: unsupported-field, unsupported-value, missing-field, out-of-range or value-count,
            at the field.
    """
    own = ("stride", "neg_mining_type", "neg_ranking_type", "min_num_neg", "batch_size",
           "bbox_loss_type")  # fmt: skip
    p = reject_unknown_fields(layer.get("detection_group_loss_param"), *_SHARED, *own)
    bounds = p.get("field_xyr"), p.get("field_whr")
    return GridLossParams(
        required_number(p, "cls_num"),
        Grid(p.get("field_w"), p.get("field_h"), p.get("stride"), *bounds),
        parse_regression(layer),
        p.get("lambda"),
        p.get("bg_threshold"),
        p.get("bg_multiple"),
        _mining(p, "neg_mining_type", ("bootstrap", *DRAWN_MODES)),
        p.get("neg_ranking_type"),
        p.get("min_num_neg"),
        p.get("batch_size"),
        p.get("objectness"),
        p.get("pos_neg_weighted"),
        False,
        p.get("bbox_loss_type") == "Smooth_L1",
        p.has("field_xyr") and p.has("field_whr"),
        parse_ignore_label(layer.get("loss_param")),
        True,
        layer_number(layer.get("name")),
    )


def parse_loss(
    layer: Message, context: LayerContext, name: str = "detection_loss_param"
) -> GridLossParams:
    """The fields of a DetectionLoss, in the field of this name.

    Raises:
        NetcError: unsupported-field, unsupported-value, missing-field, out-of-range or value-count,
            at the field.
    """
    own = ("coord_num", "downsample_rate", "bb_smooth", "sample_mode", "iou_weighted")
    p = reject_unknown_fields(layer.get(name), *_SHARED, *own)
    bounds = p.get("field_xyr"), p.get("field_whr")
    return GridLossParams(
        required_number(p, "cls_num"),
        Grid((p.get("field_w"),), (p.get("field_h"),), p.get("downsample_rate"), *bounds),
        parse_regression(layer),
        p.get("lambda"),
        p.get("bg_threshold"),
        p.get("bg_multiple"),
        _mining(p, "sample_mode", ("bootstrap", "all", *DRAWN_MODES)),
        "score",
        4,
        -1,
        p.get("objectness"),
        p.get("pos_neg_weighted"),
        p.get("iou_weighted"),
        p.get("bb_smooth"),
        True,
        parse_ignore_label(layer.get("loss_param")),
        False,
        layer_number(layer.get("name")),
    )


def parse_detection(layer: Message, context: LayerContext) -> GridLossParams:
    """The fields of SINet's Detection, an earlier DetectionLoss (``detection_param``).

    Raises:
        NetcError: as :func:`parse_loss`; unsupported-value where the losses are not divided by
            the number of cells that count.
    """
    loss = layer.get("loss_param")
    if loss.has("normalize") and not loss.get("normalize"):
        raise loss.error(
            "normalize",
            "unsupported-value",
            "`normalize: false` of Detection divides by the number of images, and netc does not",
        )
    return parse_loss(layer, context, "detection_param")
