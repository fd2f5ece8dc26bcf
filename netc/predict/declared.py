"""A net's inputs as its text and the arguments declare them, before any data is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.diagnostics import NetcError, first_of
from netc.frontend import Schemas, Text, build, folder_of, only_outputs, read_net
from netc.ir.graph import Value
from netc.ir.types import Shape
from netc.lower import NetState
from netc.lower.before import LayerChoice as Chosen
from netc.lower.before import wanted_part
from netc.predict.prepare import InputTransform, transforms_of_inputs
from netc.schema.message import Message


class DeclaredInputs(NamedTuple):
    """The declared inputs: blob -> value, and in ``said`` blob -> the text's preprocessing.

    ``unneeded`` are inputs that no wanted output depends on, ``outputs`` the blobs returned, and
    ``layers`` the layers of the NetState.
    """

    inputs: dict[str, Value]
    said: dict[str, InputTransform]
    unneeded: frozenset[str]
    outputs: tuple[str, ...]
    layers: tuple[Message, ...]


def declared_inputs(
    net: Text,
    state: NetState,
    outputs: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    *,
    define: Mapping[str, str] | None = None,
    schema: Schemas = None,
) -> DeclaredInputs:
    """The inputs of a net in a NetState that ``outputs`` depend on.

    Raises:
        NetcError: mistakes in the text other than an unknown input shape.
    """
    given = dict(shapes or {})
    text = read_net(net, define=define, schema=schema)
    chosen: Chosen = {"phase": state.phase, "level": state.level, "stages": state.stages}
    part = wanted_part(text.message, outputs, given, **chosen)
    built = build(part.message, inputs=part.shapes, **chosen)
    errors = [d for d in built.diagnostics if d.severity == "error"]
    if errors:
        raise NetcError(first_of(errors))
    graph = only_outputs(built.graph, outputs)
    said = transforms_of_inputs(part.message, folder_of(net), built.layers)
    inputs = {blob: graph.values[name] for blob, name in graph.input_blobs.items()}
    return DeclaredInputs(inputs, said, part.unneeded(graph), graph.outputs, built.layers)
