"""Parameters of MultiBoxLoss (SSD: Liu et al., ECCV 2016; multibox_loss_layer.cpp)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netc.ops.define import LayerContext
from netc.ops.detection.detection_output import CODES
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.focal_loss import Focus, parse_focus
from netc.ops.labels import parse_normalization
from netc.ops.numbers import conflict, one_of, required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class MultiBoxParams:
    """The fields of ``multibox_loss_param``, and how the loss is normalised.

    Args:
        classes: how many, the background counted.
        share_location: one box for all classes of a prior, else one for each.
        background: number of the background class.
        agnostic: all true boxes count as one class (``map_object_to_agnostic``).
        bipartite: each true box is matched with one prior only (``match_type: BIPARTITE``).
        threshold: least overlap of a further match.
        match_priors: priors are matched, else predicted boxes.
        difficult: whether true boxes marked difficult count.
        inside_only: priors that cross the image's edge are left out.
        bp_inside: coordinates outside of the image have no loss.
        code_type: CORNER, CENTER_SIZE or CORNER_SIZE.
        variance_in_target: whether the predictions are scaled by the variances already.
        loc_loss: SMOOTH_L1 or L2.
        conf_loss: SOFTMAX or LOGISTIC.
        loc_weight: of the boxes' loss.
        mining: NONE, MAX_NEGATIVE or HARD_EXAMPLE.
        ratio: negatives for each matched prior (``neg_pos_ratio``).
        neg_overlap: a negative overlaps every true box by less.
        sample_size: priors that HARD_EXAMPLE keeps of an image.
        nms: overlap threshold and number of boxes, where candidates are thinned out first; else
            None.
        nms_priors: by the priors' boxes, else by the predicted ones.
        normalization: FULL, VALID, BATCH_SIZE or NONE.
        parts: whether the boxes' and the classes' loss count (``propagate_down``).
        focus: of MultiBoxFocalLoss, what the classes' softmax loss is focused by; else None.
    """

    classes: int
    share_location: bool
    background: int
    agnostic: bool
    bipartite: bool
    threshold: float
    match_priors: bool
    difficult: bool
    inside_only: bool
    bp_inside: bool
    code_type: str
    variance_in_target: bool
    loc_loss: str
    conf_loss: str
    loc_weight: float
    mining: str
    ratio: float
    neg_overlap: float
    sample_size: int
    nms: tuple[float, int] | None
    nms_priors: bool
    normalization: str
    parts: tuple[bool, bool]
    focus: Focus | None = None


_FIELDS = (
    "loc_loss_type", "conf_loss_type", "loc_weight", "num_classes", "share_location", "match_type",
    "overlap_threshold", "use_prior_for_matching", "background_label_id", "use_difficult_gt",
    "do_neg_mining", "neg_pos_ratio", "neg_overlap", "code_type", "encode_variance_in_target",
    "map_object_to_agnostic", "ignore_cross_boundary_bbox", "bp_inside", "mining_type",
    "nms_param", "sample_size", "use_prior_for_nms",
)  # fmt: skip


_MINING = ("NONE", "MAX_NEGATIVE", "HARD_EXAMPLE")


def parse_multibox(layer: Message, context: LayerContext) -> MultiBoxParams:
    """The parameters of a MultiBoxLoss layer.

    Raises:
        NetcError: unsupported-field, unsupported-value, conflicting-fields, missing-field or
            out-of-range, at the field.
    """
    p = reject_unknown_fields(layer.get("multibox_loss_param"), *_FIELDS)
    loss = reject_unknown_fields(
        layer.get("loss_param"), "normalization", "normalize", "ignore_label"
    )
    mining = one_of(p, "mining_type", _MINING)
    _check(p, mining)
    nms = p.get("nms_param")
    down = (*layer.get("propagate_down"), True, True)
    return MultiBoxParams(
        required_number(p, "num_classes"),
        p.get("share_location"),
        p.get("background_label_id"),
        p.get("map_object_to_agnostic"),
        p.get("match_type") == "BIPARTITE",
        p.get("overlap_threshold"),
        p.get("use_prior_for_matching"),
        p.get("use_difficult_gt"),
        p.get("ignore_cross_boundary_bbox"),
        p.get("bp_inside"),
        one_of(p, "code_type", CODES),
        p.get("encode_variance_in_target"),
        one_of(p, "loc_loss_type", ("SMOOTH_L1", "L2")),
        one_of(p, "conf_loss_type", ("SOFTMAX", "LOGISTIC")),
        p.get("loc_weight"),
        mining,
        p.get("neg_pos_ratio"),
        p.get("neg_overlap"),
        p.get("sample_size"),
        # a `top_k` that is not written is 0 here, and keeps none (MineHardExamples)
        (nms.get("nms_threshold"), nms.get("top_k")) if p.has("nms_param") else None,
        p.get("use_prior_for_nms"),
        parse_normalization(loss),
        (down[0], down[1]),
    )


def parse_focal_multibox(layer: Message, context: LayerContext) -> MultiBoxParams:
    """The parameters of a MultiBoxFocalLoss layer; its logistic loss is MultiBoxLoss's."""
    params = parse_multibox(layer, context)
    focus = parse_focus(layer) if params.conf_loss == "SOFTMAX" else None
    return replace(params, focus=focus)


def _check(param: Message, mining: str) -> None:
    if param.has("do_neg_mining") and param.get("do_neg_mining") != (mining != "NONE"):
        raise conflict(param, "do_neg_mining", "mining_type")
    if param.get("map_object_to_agnostic") and _classes(param) != (2, 0):
        raise param.error(
            "map_object_to_agnostic",
            "unsupported-value",
            "objects of one kind need `num_classes: 2`, of which the background is 0",
        )
    if mining != "NONE" and not param.get("share_location"):
        raise param.error(
            "share_location",
            "unsupported-value",
            "negatives are mined for shared locations alone",
            "write `mining_type: NONE`",
        )


def _classes(param: Message) -> tuple[int, int]:
    return param.get("num_classes"), param.get("background_label_id")
