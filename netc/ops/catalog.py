"""Every op there is: the family modules' ``OPS``, by Caffe's type string."""

from __future__ import annotations

from collections.abc import Mapping

from netc.ops import (
    accuracy,
    activation,
    arithmetic,
    convolution,
    detection,
    dropout,
    elementwise,
    evaluation,
    fork_activation,
    fork_inputs,
    fork_maps,
    fork_normalization,
    fused,
    gradient,
    hard_examples,
    inputs,
    joining,
    layer_norm,
    linear,
    locally_connected,
    loss,
    lp_pooling,
    lrn,
    multibox,
    normalization,
    permutation,
    pooling,
    proposal,
    python,
    recurrent,
    regions,
    reshaping,
    resizing,
    selection,
    sequence,
    siblings,
    smooth_l1,
    update,
)
from netc.ops.define import OpDef

_FAMILIES: tuple[tuple[OpDef, ...], ...] = (
    inputs.OPS,
    fork_inputs.OPS,
    convolution.OPS,
    pooling.OPS,
    lrn.OPS,
    linear.OPS,
    loss.OPS,
    smooth_l1.OPS,
    hard_examples.OPS,
    accuracy.OPS,
    recurrent.OPS,
    python.OPS,
    activation.OPS,
    fork_activation.OPS,
    arithmetic.OPS,
    dropout.OPS,
    elementwise.OPS,
    normalization.OPS,
    joining.OPS,
    reshaping.OPS,
    selection.OPS,
    layer_norm.OPS,
    locally_connected.OPS,
    lp_pooling.OPS,
    permutation.OPS,
    resizing.OPS,
    fork_maps.OPS,
    fork_normalization.OPS,
    sequence.OPS,
    detection.OPS,
    multibox.OPS,
    evaluation.OPS,
    regions.OPS,
    proposal.OPS,
)

_OPS: Mapping[str, OpDef] = {op.name: op for family in _FAMILIES for op in family}

# What a text may name; some names mean an op that has another.
LAYERS: Mapping[str, OpDef] = {**_OPS, **convolution.OTHER_NAMES, **reshaping.OTHER_NAMES}

# What a graph may hold: the ops, and what passes and differentiation make besides.
_CHAINS: Mapping[str, OpDef] = {**_OPS, fused.NAME: fused.fused_op(_OPS)}
CATALOG: Mapping[str, OpDef] = {
    **_CHAINS,
    siblings.NAME: siblings.siblings_op(_CHAINS),
    gradient.NAME: gradient.gradient_op(_OPS),
    update.RUNNING: update.running_op(_OPS),
    **{op.name: op for op in update.OPS},
}
