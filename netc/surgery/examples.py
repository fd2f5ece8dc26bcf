"""Examples of input shapes for what a net's text leaves open; told, and never taken."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from netc.analysis.data_sets import data_set
from netc.analysis.example_shapes import example_shapes
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import Built, build
from netc.ir.types import Shape
from netc.schema.message import Message
from netc.surgery.build import with_layers


def example(
    net: Message, layer: Message, layers: Sequence[Message], given: Collection[str]
) -> list[str]:
    """A hint with the options for all inputs that need one, of shapes with which all layers agree.

    Where no such shapes are found, those with which the fewest are at fault, and the first fault.
    Layers that are at fault with any shape do not count.

    Args:
        net: the NetParameter, for the type of its layers.
        layer: the data layer whose top's shape is asked for.
        layers: the layers that are left of the net, data layers included.
        given: the inputs whose shapes are known.
    """
    body = with_layers(net, layers)
    try:
        open_net = build(body)
        found = example_shapes(open_net.graph, open_net.layers, batch=1)
        faults = _faults(build(body, inputs=found))
    except NetcError:
        return []
    read = {blob for one in layers for blob in one.get("bottom")}
    values = open_net.graph.values
    untold = {values[name].blob for name in open_net.graph.inputs if values[name].shape is None}
    asked = (untold & read) - set(given)
    wanted = {blob: shape for blob, shape in found.items() if blob in asked}
    if not wanted:
        return []
    options = " ".join(_option(*pair) for pair in wanted.items())
    if len(faults) > len(_faults(open_net)):
        return [f"no shape that was tried fits all layers; with {options}: {faults[0].message}"]
    known = data_set(layer)
    first = wanted.get(layer.get("top")[0], ())
    of = f", for images as {known.name} has" if known and first[2:] == known.image[1:] else ""
    return [f"for example{of}: {options}"]


def _faults(built: Built) -> list[Diagnostic]:
    return [d for d in built.diagnostics if d.severity == "error"]


def _option(top: str, shape: Shape) -> str:
    return f"--input-shape {top}={','.join(map(str, shape))}"
