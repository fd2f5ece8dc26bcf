"""The gradient rule of every layer type that has one: the family modules' ``GRADIENTS``.

A layer type that is not here has no gradient: a net that would need one is refused, no-gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

from netc.ops.gradients import (
    activation,
    adaptation,
    beam_search,
    bottom_products,
    compact_bilinear,
    contrast,
    convolution,
    ctc_sequences,
    deep_hashing,
    deformable,
    dense_block,
    detection_loss,
    dropout,
    elementwise,
    face_parts,
    face_points,
    flow_losses,
    focal_loss,
    fork_activation,
    fork_losses,
    fork_maps,
    fork_moving,
    fork_parts,
    fork_pooling,
    fork_recurrent,
    guided,
    hashing,
    instance_masks,
    landmarks,
    linear,
    loss,
    lstm_node,
    margin,
    meanfield,
    metric_losses,
    moving,
    normalization,
    part_regions,
    pooling,
    python,
    recurrent,
    regions,
    resizing,
    sampled_regions,
    segments,
    small_losses,
    small_maps,
    soft_targets,
    softmax_weights,
    spatial_transformer,
    subcategory,
    tent,
    warp,
    wasserstein,
    weak_supervision,
    yolo_first,
)
from netc.ops.gradients.define import ErasedGradient

_FAMILIES: tuple[Mapping[str, ErasedGradient], ...] = (
    activation.GRADIENTS,
    bottom_products.GRADIENTS,
    convolution.GRADIENTS,
    detection_loss.GRADIENTS,
    dropout.GRADIENTS,
    elementwise.GRADIENTS,
    fork_activation.GRADIENTS,
    fork_losses.GRADIENTS,
    fork_maps.GRADIENTS,
    fork_moving.GRADIENTS,
    fork_recurrent.GRADIENTS,
    guided.GRADIENTS,
    instance_masks.GRADIENTS,
    landmarks.GRADIENTS,
    beam_search.GRADIENTS,
    compact_bilinear.GRADIENTS,
    yolo_first.GRADIENTS,
    linear.GRADIENTS,
    loss.GRADIENTS,
    margin.GRADIENTS,
    meanfield.GRADIENTS,
    metric_losses.GRADIENTS,
    moving.GRADIENTS,
    normalization.GRADIENTS,
    pooling.GRADIENTS,
    python.GRADIENTS,
    recurrent.GRADIENTS,
    regions.GRADIENTS,
    resizing.GRADIENTS,
    sampled_regions.GRADIENTS,
    adaptation.GRADIENTS,
    contrast.GRADIENTS,
    deformable.GRADIENTS,
    face_parts.GRADIENTS,
    face_points.GRADIENTS,
    fork_parts.GRADIENTS,
    fork_pooling.GRADIENTS,
    hashing.GRADIENTS,
    segments.GRADIENTS,
    small_losses.GRADIENTS,
    small_maps.GRADIENTS,
    spatial_transformer.GRADIENTS,
    ctc_sequences.GRADIENTS,
    deep_hashing.GRADIENTS,
    soft_targets.GRADIENTS,
    softmax_weights.GRADIENTS,
    warp.GRADIENTS,
    wasserstein.GRADIENTS,
    focal_loss.GRADIENTS,
    flow_losses.GRADIENTS,
    lstm_node.GRADIENTS,
    dense_block.GRADIENTS,
    subcategory.GRADIENTS,
    tent.GRADIENTS,
    weak_supervision.GRADIENTS,
    part_regions.GRADIENTS,
)

_RULES: dict[str, ErasedGradient] = {
    name: rule for family in _FAMILIES for name, rule in family.items()
}
GRADIENTS: Mapping[str, ErasedGradient] = _RULES


def add_gradient(name: str, rule: ErasedGradient | None) -> None:
    """Set the gradient rule of a layer type; None removes it."""
    _RULES.pop(name, None)
    if rule is not None:
        _RULES[name] = rule
