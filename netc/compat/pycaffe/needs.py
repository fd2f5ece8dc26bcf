"""Which layers run backward, to which bottoms and for which parameters (net.cpp, Net::Init)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netc.compat.pycaffe.definition import DefinedLayer, Definition
from netc.ir.graph import Graph
from netc.ops.catalog import LAYERS

# Bottoms that `force_backward` passes over: labels of losses (loss_layer.hpp; that of
# EuclideanLoss is none, euclidean_loss_layer.hpp), similarities, continuation indicators.
_ONLY = {"EuclideanLoss": None, "ContrastiveLoss": 2, "LSTM": 1, "RNN": 1}


class LayerNeeds(NamedTuple):
    """Whether a layer runs backward, and for which bottoms and parameters, by index."""

    runs: bool
    bottoms: tuple[bool, ...]
    parameters: tuple[bool, ...]


def layer_needs(
    definition: Definition, graph: Graph, rates: Sequence[Sequence[float]]
) -> tuple[LayerNeeds, ...]:
    """The needs of each layer, Split layers among them.

    Args:
        definition: the net's.
        graph: of the net, for what layers say by ``propagate_down``.
        rates: the ``lr_mult`` of each layer's parameters.
    """
    layers = definition.layers
    runs, bottoms = _above_parameters(definition, graph, rates)
    _drop_without_loss(layers, runs, bottoms)
    forced = bool(definition.message.get("force_backward"))
    if forced:
        runs = [True] * len(layers)
        bottoms = [
            [need or _may_force(layer, index) for index, need in enumerate(own)]
            for layer, own in zip(layers, bottoms, strict=True)
        ]
    return tuple(
        LayerNeeds(run, tuple(own), tuple(forced or rate != 0 for rate in rate_row))
        for run, own, rate_row in zip(runs, bottoms, rates, strict=True)
    )


def _above_parameters(
    definition: Definition, graph: Graph, rates: Sequence[Sequence[float]]
) -> tuple[list[bool], list[list[bool]]]:
    """Needs as they spread from learned parameters upwards (AppendBottom)."""
    needed: dict[str, bool] = {}
    runs: list[bool] = []
    bottoms: list[list[bool]] = []
    for layer, own in zip(definition.layers, rates, strict=True):
        below = [needed.get(blob, False) for blob in layer.bottoms]
        asked = graph.nodes[layer.node].propagate_down if layer.computes else ()
        bottoms.append(list(asked) if len(asked) == len(below) else below)
        runs.append(any(below) or any(rate != 0 for rate in own))
        needed.update(dict.fromkeys(layer.tops, runs[-1]))
    return runs, bottoms


def _drop_without_loss(
    layers: Sequence[DefinedLayer], runs: list[bool], bottoms: list[list[bool]]
) -> None:
    """Take back the needs of what no loss depends on, or what stops on its way down."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for number in reversed(range(len(layers))):
        layer = layers[number]
        contributes = any(layer.losses) or any(top in under_loss for top in layer.tops)
        if runs[number] and all(top in skipped for top in layer.tops):
            runs[number] = False
            bottoms[number] = [False] * len(layer.bottoms)
        if contributes:
            under_loss.update(layer.bottoms)
        else:
            runs[number] = False
            bottoms[number] = [False] * len(layer.bottoms)
        own = zip(layer.bottoms, bottoms[number], strict=True)
        skipped.update(blob for blob, need in own if not need)


def _may_force(layer: DefinedLayer, bottom: int) -> bool:
    """Layer::AllowForceBackward."""
    usual = 1 if layer.type in LAYERS and LAYERS[layer.type].loss else None
    return bottom != _ONLY.get(layer.type, usual)
