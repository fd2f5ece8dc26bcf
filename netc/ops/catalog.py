"""The tables of all ops, made of the family modules' ``OPS``, by Caffe's type string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netc.ops import (
    accuracy,
    activation,
    arithmetic,
    batch_norm,
    bottom_products,
    cascade,
    cascade_accuracy,
    cascade_loss,
    cascade_output,
    contrastive_loss,
    convolution,
    cropping,
    cross_entropy,
    ctc_loss,
    detection,
    detection_extended,
    dropout,
    elementwise,
    evaluation,
    flow,
    fork_accuracy,
    fork_activation,
    fork_batch_norm,
    fork_inputs,
    fork_labels,
    fork_maps,
    fork_normalization,
    fork_sequence,
    fused,
    gradient,
    guided,
    hard_examples,
    im2col,
    infogain_loss,
    inputs,
    instance_masks,
    joining,
    layer_norm,
    linear,
    locally_connected,
    loss,
    lp_pooling,
    lrn,
    margin,
    meanfield,
    metric_losses,
    multibox,
    normalization,
    permutation,
    pooling,
    pooling3d,
    priors,
    proposal,
    proposal_target,
    python,
    ranks,
    rcnn_layers,  # noqa: F401  registers its Python layers
    rectifiers,
    recurrent,
    reduced,
    reduction,
    region_loss,
    region_output,
    regions,
    reshaping,
    resizing,
    roi_align,
    sampled_regions,
    scale_bias,
    selection,
    sequence,
    siblings,
    smooth_l1,
    spp,
    unpooling,
    update,
    upsampling,
    warp,
    yolo,
    yolo_loss,
    yolo_segmentation,
)
from netc.ops.define import ErasedOp, OpDef, P, erased, table
from netc.ops.role import Role

if TYPE_CHECKING:
    from netc.ops.gradients.define import Gradient

_OPS = table(
    *inputs.OPS,
    *fork_inputs.OPS,
    *convolution.OPS,
    *im2col.OPS,
    *pooling.OPS,
    *spp.OPS,
    *pooling3d.OPS,
    *lrn.OPS,
    *linear.OPS,
    *margin.OPS,
    *loss.OPS,
    *cross_entropy.OPS,
    *metric_losses.OPS,
    *meanfield.OPS,
    *contrastive_loss.OPS,
    *infogain_loss.OPS,
    *smooth_l1.OPS,
    *hard_examples.OPS,
    *accuracy.OPS,
    *fork_accuracy.OPS,
    *recurrent.OPS,
    *python.OPS,
    *rectifiers.OPS,
    *activation.OPS,
    *fork_activation.OPS,
    *arithmetic.OPS,
    *dropout.OPS,
    *guided.OPS,
    *elementwise.OPS,
    *scale_bias.OPS,
    *normalization.OPS,
    *batch_norm.OPS,
    *joining.OPS,
    *reshaping.OPS,
    *cropping.OPS,
    *selection.OPS,
    *reduction.OPS,
    *layer_norm.OPS,
    *locally_connected.OPS,
    *lp_pooling.OPS,
    *permutation.OPS,
    *resizing.OPS,
    *upsampling.OPS,
    *fork_maps.OPS,
    *bottom_products.OPS,
    *fork_labels.OPS,
    *fork_normalization.OPS,
    *fork_batch_norm.OPS,
    *sequence.OPS,
    *fork_sequence.OPS,
    *ctc_loss.OPS,
    *priors.OPS,
    *detection.OPS,
    *detection_extended.OPS,
    *multibox.OPS,
    *evaluation.OPS,
    *regions.OPS,
    *roi_align.OPS,
    *instance_masks.OPS,
    *cascade.OPS,
    *cascade_output.OPS,
    *yolo.OPS,
    *yolo_loss.OPS,
    *region_loss.OPS,
    *region_output.OPS,
    *yolo_segmentation.OPS,
    *flow.OPS,
    *warp.OPS,
    *unpooling.OPS,
    *cascade_loss.OPS,
    *cascade_accuracy.OPS,
    *proposal.OPS,
    *proposal_target.OPS,
)

# What fields make of a name that forks use for several layers; no text can name these.
_READINGS = table(
    *rectifiers.READINGS,
    *bottom_products.READINGS,
    *cross_entropy.READINGS,
    *metric_losses.READINGS,
    *smooth_l1.READINGS,
    *region_output.READINGS,
    *evaluation.READINGS,
    *proposal.READINGS,
    *sampled_regions.READINGS,
)

# What a text may name; some names mean an op that has another.
_LAYERS: dict[str, ErasedOp] = {
    **_OPS,
    **{name: erased(op) for name, op in convolution.OTHER_NAMES.items()},
    **{name: erased(op) for name, op in cropping.OTHER_NAMES.items()},
    **{name: erased(op) for name, op in pooling3d.OTHER_NAMES.items()},
}
LAYERS: Mapping[str, ErasedOp] = _LAYERS

# What a graph may hold: the ops, and what passes and differentiation make besides.
_OPS_AND_READINGS: dict[str, ErasedOp] = {**_OPS, **_READINGS}
# A fused chain may have products in fewer bits for its stages.
_REDUCED = table(*reduced.OPS)
_STAGES: dict[str, ErasedOp] = {**_OPS, **_REDUCED}
_CHAINS: dict[str, ErasedOp] = {
    **_OPS_AND_READINGS,
    **_REDUCED,
    **table(fused.fused_op(_STAGES)),
}
_CATALOG: dict[str, ErasedOp] = {
    **_CHAINS,
    **table(
        siblings.siblings_op(_CHAINS),
        gradient.gradient_op(_OPS_AND_READINGS),
        update.running_op(_OPS),
        *update.OPS,
        *ranks.OPS,
    ),
}
CATALOG: Mapping[str, ErasedOp] = _CATALOG

_ROLES: Mapping[str, int] = {n: op.role.value for n, op in {**LAYERS, **CATALOG}.items()}


def has_role(op: str, role: Role) -> bool:
    """Whether an op, or a layer type of a text, has any of the roles; False for unknown names."""
    return bool(_ROLES.get(op, 0) & role.value)


def add_layer(op: OpDef[P], rule: Gradient[P] | None) -> None:
    """Add a layer type, and its gradient if it has one; one of that name is replaced.

    What ``netc.register_layer`` calls. Texts read and graphs differentiated afterwards know it.
    """
    from netc.ops.gradients.catalog import add_gradient
    from netc.ops.gradients.define import of

    for known in (_OPS, _OPS_AND_READINGS, _LAYERS, _STAGES, _CHAINS, _CATALOG):
        known[op.name] = erased(op)
    add_gradient(op.name, None if rule is None else of(op, rule)[1])


def remove_layer(name: str) -> None:
    """Remove a layer type that :func:`add_layer` added; nothing happens where there is none."""
    from netc.ops.gradients.catalog import add_gradient

    for known in (_OPS, _OPS_AND_READINGS, _LAYERS, _STAGES, _CHAINS, _CATALOG):
        known.pop(name, None)
    add_gradient(name, None)
