"""Which family a layer belongs to, and what it is in a few words: for drawings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netc.analysis.profile import Layer, Profile
from netc.ops import (
    accuracy,
    activation,
    arithmetic,
    cascade,
    cascade_accuracy,
    cascade_loss,
    convolution,
    detection,
    dropout,
    elementwise,
    evaluation,
    flow,
    fork_accuracy,
    fork_activation,
    fork_inputs,
    fork_maps,
    fork_normalization,
    fork_sequence,
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
    pooling3d,
    proposal,
    recurrent,
    region_loss,
    regions,
    reshaping,
    resizing,
    selection,
    sequence,
    smooth_l1,
    unpooling,
    yolo,
)
from netc.ops.catalog import CATALOG
from netc.ops.define import OpDef

_MODULES: Mapping[str, tuple[tuple[OpDef, ...], ...]] = {
    "data": (inputs.OPS, fork_inputs.OPS),
    "convolution": (convolution.OPS, locally_connected.OPS),
    "linear": (linear.OPS, recurrent.OPS, fork_sequence.OPS),
    "pooling": (
        pooling.OPS,
        pooling3d.OPS,
        lp_pooling.OPS,
        resizing.OPS,
        unpooling.OPS,
        regions.OPS,
        flow.OPS,
    ),
    "normalization": (normalization.OPS, fork_normalization.OPS, layer_norm.OPS, lrn.OPS),
    "activation": (activation.OPS, fork_activation.OPS, arithmetic.OPS, dropout.OPS),
    "joining": (elementwise.OPS, joining.OPS, fork_maps.OPS),
    "reshaping": (reshaping.OPS, permutation.OPS, selection.OPS, sequence.OPS),
    "loss": (
        loss.OPS,
        smooth_l1.OPS,
        hard_examples.OPS,
        multibox.OPS,
        accuracy.OPS,
        fork_accuracy.OPS,
        evaluation.OPS,
        detection.OPS,
        proposal.OPS,
        cascade.OPS,
        cascade_loss.OPS,
        cascade_accuracy.OPS,
        yolo.OPS,
        region_loss.OPS,
    ),
}
_OWN = {
    "ROIAlign": "pooling",
    "CtcLoss": "loss",
    "CenterLoss": "loss",  # those whose file holds layers of another family too
    "Softmax": "loss",
    "Scale": "normalization",
    "Bias": "normalization",
}
FAMILIES: tuple[str, ...] = (*_MODULES, "other", "unknown")
_FAMILY = {op.name: name for name, tables in _MODULES.items() for ops in tables for op in ops}


def family(layer: Layer) -> str:
    """The family of a layer, one of ``FAMILIES``."""
    if not layer.known:
        return "unknown"
    return _OWN.get(layer.type) or _FAMILY.get(layer.type, "other")


def detail(profile: Profile, layer: Layer) -> str:
    """What a layer is besides its type: ``64, 3x3/2 p1``; empty where there is nothing to say."""
    if layer.node is None:
        return ""
    params = layer.node.params
    parts = [_outputs(params), _method(params), _window(profile, layer), _groups(params)]
    return ", ".join(part for part in parts if part)


def _outputs(params: Any) -> str:
    return str(params.num_output) if hasattr(params, "num_output") else ""


def _method(params: Any) -> str:
    """MAX or AVE, SUM or PROD, the ratio of a Dropout."""
    for name in ("method", "operation"):
        value = getattr(params, name, "")
        if isinstance(value, str) and value:
            return f"global {value}" if getattr(params, "global_pooling", False) else value
    ratio = getattr(params, "ratio", None)
    return f"{ratio:g}" if isinstance(ratio, float) else ""


def _window(profile: Profile, layer: Layer) -> str:
    node = layer.node
    shapes = [profile.shape(name) for name in (*layer.inputs, *layer.outputs)]
    if node is None or not layer.inputs or None in shapes:
        return ""
    known = [shape for shape in shapes if shape is not None]
    number = len(layer.inputs)
    window = CATALOG[node.op].window(node.params, known[:number], known[number:])
    if window.whole or not window.kernel or node.op == "Crop":
        return ""
    text = "x".join(map(str, window.kernel))
    text += _unless(window.stride, 1, "/") + _unless(window.pad, 0, " p")
    return text + _unless(window.dilation, 1, " d")


def _unless(values: tuple[int, ...], usual: int, mark: str) -> str:
    """The values after a mark; nothing where all are as usual."""
    if set(values) <= {usual}:
        return ""
    return mark + (str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values)))


def _groups(params: Any) -> str:
    group = getattr(params, "group", 1)
    return f"{group} groups" if isinstance(group, int) and group > 1 else ""
