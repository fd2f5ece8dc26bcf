"""Smaller weights: without the arrays of other layers, or as 16-bit floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.migrate.change import Change
from netc.ops.catalog import LAYERS, has_role
from netc.ops.role import Role
from netc.schema.message import Message
from netc.surgery.heads import learns
from netc.weights.model import LayerWeights, Weights

LARGEST_HALF = 65504.0


class Slimmed(NamedTuple):
    """Weights, and the list of what was removed."""

    weights: Weights
    changes: tuple[Change, ...]


def prune_weights(net: Message, weights: Weights) -> Slimmed:
    """The weights with only the layers of a net, of all phases, in the net's order.

    Raises:
        NetcError: nothing-left, where the net and the weights have no layer in common.
    """
    wanted = {
        x.get("name"): x for x in net.get("layer") if x.get("type") not in LAYERS or learns(x)
    }
    kept = {name: weights.layers[name] for name in wanted if name in weights.layers}
    if not any(layer.arrays for layer in kept.values()):
        message = "no layer of the net is in the weights"
        raise NetcError(Diagnostic("nothing-left", message, net.span))
    changes = tuple(
        Change("prune", f"layer `{name}` went: {_why(name, net)} ({_size(layer)})")
        for name, layer in weights.layers.items()
        if name not in kept and layer.arrays
    )
    return Slimmed(replace(weights, layers=kept), changes)


def _why(name: str, net: Message) -> str:
    for layer in net.get("layer"):
        if layer.get("name") == name:
            return f"{layer.get('type')} has no arrays"
    return "the net has no such layer"


def _size(layer: LayerWeights) -> str:
    return f"{sum(array.nbytes for array in layer.arrays):,} bytes"


class Halved(NamedTuple):
    """Weights rounded to 16-bit floats.

    Attributes:
        weights: float32 arrays with the rounded values.
        kinds: layer -> "float16" or "float32" for each of its arrays.
        largest: the largest relative change of an element that does not become 0.
        lost: the number of elements that become 0.
        number: the number of all elements.
    """

    weights: Weights
    kinds: Mapping[str, tuple[str, ...]]
    largest: float
    lost: int
    number: int


def halved(weights: Weights) -> Halved:
    """Round weights to 16-bit floats; the statistics of BatchNorm stay float32.

    Raises:
        NetcError: half-overflow, for an element beyond 65,504 (the largest float16).
    """
    layers, kinds = {}, {}
    largest, lost, number = 0.0, 0, 0
    for name, layer in weights.layers.items():
        half = (
            "float32" if has_role(layer.type, Role.WIDE_ARRAYS) or _looks_kept(layer) else "float16"
        )
        arrays = layer.arrays
        if half == "float16":
            arrays = tuple(_rounded(name, at, array) for at, array in enumerate(arrays))
            for old, new in zip(layer.arrays, arrays, strict=True):
                gone = (new == 0) & (old != 0)
                near = np.abs(old[~gone & (old != 0)].astype(np.float64))
                gaps = np.abs(new[~gone & (old != 0)].astype(np.float64)) - near
                largest = max(largest, float((np.abs(gaps) / near).max(initial=0.0)))
                lost, number = lost + int(gone.sum()), number + old.size
        kinds[name] = (half,) * len(arrays)
        layers[name] = replace(layer, arrays=arrays, kinds=kinds[name])
    return Halved(replace(weights, layers=layers), kinds, largest, lost, number)


def _looks_kept(layer: LayerWeights) -> bool:
    """Whether arrays of a file without types are a BatchNorm's: mean, variance and one factor."""
    sizes = [array.size for array in layer.arrays]
    return not layer.type and len(sizes) == 3 and sizes[2] == 1 and sizes[0] == sizes[1]


def _rounded(layer: str, index: int, array: Array) -> Array:
    beyond = np.abs(array) > LARGEST_HALF
    if beyond.any():
        value = float(array[beyond].flat[0])
        largest = f"{LARGEST_HALF:,g}"
        message = (
            f"blob {index} of layer `{layer}` has {value:g}, and a 16-bit float holds {largest}"
        )
        raise NetcError(Diagnostic("half-overflow", message, value=value))
    return array.astype(np.float16).astype(np.float32)
