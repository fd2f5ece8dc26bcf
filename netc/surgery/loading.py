"""A net with its weights as a graph, together with its LayerParameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netc.backends.reference import parameter_array
from netc.diagnostics import Collector, Diagnostic, NetcError, first_of
from netc.frontend import build, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.schema.message import Message
from netc.surgery.build import with_layers
from netc.weights.load import as_weights
from netc.weights.match import assign
from netc.weights.model import LayerWeights, Weights

TEST = NetState("TEST")


class LoadedState(NamedTuple):
    """A net in one NetState.

    Attributes:
        net: the layers of the state, without include and exclude rules.
        graph: with shapes and arrays.
        messages: node name -> its layer.
        diagnostics: warnings and notes.
    """

    net: Message
    graph: Graph
    messages: Mapping[str, Message]
    diagnostics: tuple[Diagnostic, ...]


def loaded(
    net: Message,
    weights: Weights | Mapping[str, object] | str | None,
    state: NetState = TEST,
    inputs: Mapping[str, Shape] | None = None,
    missing: str = "error",
) -> LoadedState:
    """The graph of a net in a NetState, with weights; ``missing`` is as for :func:`netc.compile`.

    Raises:
        NetcError: the net cannot run, or the weights do not fit.
    """
    part = in_state(net, state)
    built = build(part, phase=state.phase, level=state.level, stages=state.stages, inputs=inputs)
    errors = [d for d in built.diagnostics if d.severity == "error"]
    if errors:
        raise NetcError(first_of(errors))
    graph, found = assign(runnable(built), weights, missing=missing)  # type: ignore[arg-type]
    return LoadedState(part, graph, built.messages, (*built.diagnostics, *found))


def in_state(net: Message, state: NetState = TEST) -> Message:
    """The net with the layers of a NetState only, and without include and exclude rules.

    Raises:
        NetcError: include-and-exclude.
    """
    found = Collector()
    layers = filter_layers(net, merged_state(net, state), found)
    found.check()
    kept = with_layers(net, layers)
    entries = tuple(
        entry._replace(value=entry.value.without("include", "exclude"))
        for entry in kept.entries.get("layer", ())
    )
    return kept.with_entries(layer=entries).without("state")


def weights_of(graph: Graph, messages: Mapping[str, Message]) -> Weights:
    """A graph's arrays as Weights; an array that layers share is stored for each of them."""
    layers = {}
    for node in graph.nodes:
        arrays = tuple(parameter_array(graph, name) for name in node.parameters)
        if arrays:
            kind = messages[node.name].get("type") if node.name in messages else node.op
            layers[node.name] = LayerWeights(node.name, arrays, kind)
    return Weights(layers, net_name=graph.name)


def plain_weights(weights: object) -> Weights:
    """Weights from a mapping; Weights are returned unchanged."""
    return as_weights(weights)  # type: ignore[arg-type]
