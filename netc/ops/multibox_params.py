"""What MultiBoxLoss's message says (SSD: Liu et al., ECCV 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from netc.ops.define import LayerContext
from netc.ops.detection import CODES
from netc.ops.fields import reject_unknown_fields
from netc.ops.labels import parse_normalization
from netc.ops.numbers import conflict, one_of, required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class MultiBoxParams:
    """The fields of ``multibox_loss_param`` by their names, and how the loss is divided.

    ``parts`` are which of the two losses count (``propagate_down``).
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


_FIELDS = (
    "loc_loss_type", "conf_loss_type", "loc_weight", "num_classes", "share_location", "match_type",
    "overlap_threshold", "use_prior_for_matching", "background_label_id", "use_difficult_gt",
    "do_neg_mining", "neg_pos_ratio", "neg_overlap", "code_type", "encode_variance_in_target",
    "map_object_to_agnostic", "ignore_cross_boundary_bbox", "bp_inside", "mining_type",
    "nms_param", "sample_size", "use_prior_for_nms",
)  # fmt: skip


_MINING = ("NONE", "MAX_NEGATIVE", "HARD_EXAMPLE")


def parse_multibox(layer: Message, context: LayerContext) -> MultiBoxParams:
    """The parameters of a MultiBoxLoss layer."""
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
        (nms.get("nms_threshold"), nms.get("top_k") if nms.has("top_k") else -1)
        if p.has("nms_param")
        else None,
        p.get("use_prior_for_nms"),
        parse_normalization(loss),
        (down[0], down[1]),
    )


def _check(param: Message, mining: str) -> None:
    if param.has("do_neg_mining") and param.get("do_neg_mining") != (mining != "NONE"):
        raise conflict(param, "do_neg_mining", "mining_type")
    if mining != "NONE" and not param.get("share_location"):
        raise param.error(
            "share_location",
            "unsupported-value",
            "negatives are mined for shared locations alone",
            "write `mining_type: NONE`",
        )
