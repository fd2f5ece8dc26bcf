"""Which blobs count in a net's loss, where they are read by layers as well.

A weight in the loss is what a top's gradient holds before the backward pass (layer.hpp,
SetLossWeights), and layers that read the top write over it. So Caffe moves a weight that is written
to a Split layer (BVLC/caffe src/caffe/util/insert_splits.cpp), and both count. The weight 1 of a
loss layer that has none is set when the Splits have been made, and counts in no gradient where the
top is read: a reader that passes a gradient writes over it, and below one that passes none there is
no backward pass (net.cpp:161-178, blobs_skip_backp).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from netc.diagnostics import Diagnostic, Severity
from netc.ir.graph import Node
from netc.lower.splits import splits, with_splits
from netc.ops.catalog import LAYERS
from netc.schema.message import Message

Weights = dict[str, float]  # of values


def counted(
    nodes: Sequence[Node],
    written: Mapping[str, float],
    unwritten: Collection[str],
    phase: str,
) -> tuple[Weights, list[Diagnostic]]:
    """The weights from which the backward pass starts, and what is to be told about them.

    Args:
        nodes: of the net, in order.
        written: value -> its weight that is not 0.
        unwritten: values of loss layers that have the weight 1 since none is written.
        phase: in TRAIN a weight that is lost is worth a warning.

    Returns:
        Value -> weight in the order of the layers; 0 for one of 1 that is read, and so counts in
        what is displayed alone. A weight that Caffe drops is left out.
    """
    read = {value for node in nodes for value in node.inputs}
    under, found, reported = (
        _under_losses(nodes, {*written, *unwritten}),
        Weights(),
        list[Diagnostic](),
    )
    for node in nodes:
        moved = any(value in written and value in read for value in node.outputs)
        for place, value in enumerate(node.outputs):
            if value in unwritten:
                found[value] = 0.0 if value in read else 1.0
                if value in read:
                    reported.append(_replaced(node) if value in under else _idle(node, phase))
            elif value in written and moved and value not in read:
                reported.append(_dropped(node, place, written[value], phase))
            elif value in written:
                found[value] = written[value]
    return found, reported


def _under_losses(nodes: Sequence[Node], losses: Collection[str]) -> set[str]:
    """The values that layers read on their way to a loss (net.cpp, blobs_under_loss)."""
    found: set[str] = set()
    for node in reversed(nodes):
        if any(value in losses or value in found for value in node.outputs):
            asked = node.propagate_down or (None,) * len(node.inputs)
            found |= {v for v, a in zip(node.inputs, asked, strict=False) if a is not False}
    return found


def totals(layers: Sequence[Message]) -> dict[tuple[str, int], float]:
    """How often each top counts in the sum that Caffe displays as a pass's loss.

    A written weight that moves to a Split leaves a loss layer without one, which then takes 1: its
    top counts once by the Split and once more by itself (loss_layer.cpp:11).

    Args:
        layers: those of the net in its state, in order.

    Returns:
        (layer, number of the top) -> weight.
    """
    found: dict[tuple[str, int], float] = {}
    for placed in with_splits(layers):
        layer = placed.layer
        if placed.number is not None:
            op = LAYERS.get(layer.get("type"))
            own = layer.get("loss_weight") or (1.0,) * (op is not None and op.loss)
            found.update({(layer.get("name"), place): w for place, w in enumerate(own) if w})
    for split in splits(layers):
        if split.loss:
            place = split.layer, split.top
            found[place] = found.get(place, 0.0) + split.loss
    return found


def _replaced(node: Node) -> Diagnostic:
    return _lost(
        node,
        "what reads its top passes a gradient, which takes the place of the weight 1 that a loss "
        "has where none is written, as in Caffe",
        "note",
        "write `loss_weight: 1` for the loss to count by itself as well",
    )


def _idle(node: Node, phase: str) -> Diagnostic:
    return _lost(
        node,
        "nothing is learned by it, as in Caffe: its top is read, and what reads it passes no "
        "gradient",
        _severity(phase),
        "write `loss_weight: 1`, or read the top no more",
    )


def _dropped(node: Node, place: int, weight: float, phase: str) -> Diagnostic:
    return _lost(
        node,
        f"the `loss_weight` {weight:g} of top {place} does not count, as in Caffe: another top has "
        "one and is read by a layer",
        _severity(phase),
        "give the weight to the top of a layer of its own, such as Power, that reads this one",
    )


def _severity(phase: str) -> Severity:
    return "warning" if phase == "TRAIN" else "note"


def _lost(node: Node, why: str, severity: Severity, help: str) -> Diagnostic:
    message = f"layer `{node.name}` ({node.op}): {why}"
    return Diagnostic("loss-weight-lost", message, node.span, severity=severity, help=(help,))
