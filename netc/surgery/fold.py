"""Folds BatchNorm, Scale, Bias and BN into adjacent convolutions and inner products.

Before::

    c = Convolution(x; w); n = BatchNorm(c; mean, variance, factor); y = Scale(n; gamma, beta)

After::

    y = Convolution(x; w * s, t)         where y = s * c + t for each channel
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from netc.diagnostics import Diagnostic
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape
from netc.lower.rules import NetState
from netc.migrate.change import Change
from netc.passes.base import Applied, Remark, run_passes
from netc.passes.fold_into_next import FOLD_INTO_NEXT
from netc.passes.fold_into_previous import FOLD_INTO_PREVIOUS
from netc.passes.maps import MERGE_MAPS
from netc.schema.message import Message
from netc.surgery.loading import TEST, loaded, weights_of
from netc.surgery.proof import ROUNDING, Error, proven
from netc.surgery.rewire import rewired
from netc.weights.model import Weights

_PASSES = (FOLD_INTO_PREVIOUS, MERGE_MAPS, FOLD_INTO_NEXT)
_MAX_ROUNDS = 20


class Folded(NamedTuple):
    """A net without the per-channel affine layers that could be folded.

    Attributes:
        message: the net.
        weights: its arrays.
        changes: which layer was folded into which.
        kept: for each other affine layer, why it stays.
        errors: of every blob that both nets have.
    """

    message: Message
    weights: Weights
    changes: tuple[Change, ...]
    kept: tuple[Diagnostic, ...]
    errors: tuple[Error, ...]


def fold(
    net: Message,
    weights: Weights,
    *,
    state: NetState = TEST,
    inputs: Mapping[str, Shape] | None = None,
    feeds: Mapping[str, Array] | None = None,
    tolerance: float = ROUNDING,
) -> Folded:
    """Fold per-channel affine layers into the weights of adjacent layers, and compare the nets.

    BatchNorm and BN (by their stored statistics), Scale, Bias and linear Power are folded, before
    and after Convolution, Deconvolution and InnerProduct, and through Concat and average pooling
    where that is exact. Consecutive affine layers that cannot be folded become one Scale.

    Args:
        net: a NetParameter in the current format.
        weights: its trained arrays.
        state: the NetState; layers of other states are removed.
        inputs: input blob -> shape, where the text does not give it.
        feeds: inputs for the comparison; random ones from a fixed seed by default.
        tolerance: the largest error allowed, relative to a blob's largest element.

    Raises:
        NetcError: the net cannot run, the weights do not fit, or not-equal.
    """
    before = loaded(net, weights, state, inputs)
    graph, applied = _until_nothing_changes(before.graph)
    message = rewired(before, graph)
    made = weights_of(graph, {x.get("name"): x for x in message.get("layer")})
    after = loaded(message, made, TEST._replace(phase=state.phase), inputs)
    pairs = _pairs(before.graph, graph, after.graph, applied)
    errors = proven(before.graph, after.graph, pairs=pairs, feeds=feeds, tolerance=tolerance)
    changes, kept = _changes_of(before.messages, graph, applied)
    return Folded(message, made, changes, kept, errors)


def _until_nothing_changes(graph: Graph) -> tuple[Graph, tuple[Applied, ...]]:
    """The graph folded again and again: what goes makes room for more."""
    applied: list[Applied] = []
    for _ in range(_MAX_ROUNDS):
        done, found = run_passes(graph, _PASSES)
        applied += found
        if done is graph:
            break
        graph = done
    return graph, tuple(applied)


def _pairs(
    before: Graph, folded: Graph, after: Graph, applied: Sequence[Applied]
) -> dict[str, str]:
    """Values of the old graph that are the same in the new one -> what the new text calls them.

    Where a map is folded into products behind a Concat, what the products make is not what they
    made, up to the place where the map's own output was.
    """
    nodes = {node.name: node for node in after.nodes}
    maps: set[str] = set()
    products: set[str] = set()
    for one in applied:
        for remark in one.remarks:
            if not remark.missed and one.name == FOLD_INTO_PREVIOUS.name:
                maps.add(remark.layers[0])
                products.update(remark.layers[1:])
    right = {v for node in before.nodes if node.name in maps for v in node.outputs}
    changed: set[str] = set()
    for node in folded.nodes:
        if node.name in products or changed.intersection(node.inputs):
            changed.update(value for value in node.outputs if value not in right)
    return {
        value: nodes[node.name].outputs[at]
        for node in folded.nodes
        for at, value in enumerate(node.outputs)
        if value in before.producers and value not in changed and node.name in nodes
    }


def _changes_of(
    messages: Mapping[str, Message], graph: Graph, applied: Sequence[Applied]
) -> tuple[tuple[Change, ...], tuple[Diagnostic, ...]]:
    """What was folded, and why what is left stays."""
    left = {node.name for node in graph.nodes}
    changes, kept = [], []
    for remark in _remarks(applied):
        name, others = remark.layers[0], ", ".join(f"`{other}`" for other in remark.layers[1:])
        span = messages[name].span if name in messages else None
        if not remark.missed:
            changes.append(Change("fold", f"`{name}`: {remark.message} ({others})", span))
        elif name in left:
            message = f"layer `{name}` stays: {remark.message}"
            kept.append(Diagnostic("not-folded", message, span, "note"))
    return tuple(changes), tuple(kept)


def _remarks(applied: Sequence[Applied]) -> Iterator[Remark]:
    """What was done, and of each layer the last reason why something was not."""
    reasons: dict[str, Remark] = {}
    for one in applied:
        for remark in one.remarks:
            if remark.missed:
                reasons[remark.layers[0]] = remark
            else:
                yield remark
    yield from reasons.values()
