"""Invariants of a graph in each phase of compilation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

from netc.diagnostics import InternalError
from netc.ir.graph import Graph, Node, Parameter
from netc.ir.types import count

Phase = Literal["lowered", "inferred", "loaded"]


def verify(graph: Graph, phase: Phase, ops: Collection[str] | None = None) -> None:
    """Check a graph against the invariants of a phase; each phase has those of the phases before.

    * lowered: every value is produced once, before it is read; inputs, outputs, values and
      parameters that are named exist; names of nodes are unique; every op is known; updates write
      to variables.
    * inferred: every value and parameter has a shape, and an update the shape of its parameter.
    * loaded: every parameter has an array of its shape, or an owner that has.

    Raises:
        InternalError: with every fault found. A graph that fails here is a bug in netc.
    """
    faults = list(_structure(graph, ops))
    if phase != "lowered" and not faults:
        faults += _shapes(graph)
    if phase == "loaded" and not faults:
        faults += _arrays(graph)
    if faults:
        raise InternalError("the graph is broken:\n" + "\n".join(f"  {f}" for f in faults))


def _structure(graph: Graph, ops: Collection[str] | None) -> Iterator[str]:
    produced: set[str] = set()
    for name in graph.inputs:
        if name in produced:
            yield f"input `{name}` stands twice"
        produced.add(name)
    seen: set[str] = set()
    for node in graph.nodes:
        yield from _node(graph, node, produced, ops)
        if node.name in seen:
            yield f"node `{node.name}`: the name is taken"
        seen.add(node.name)
    yield from _results(graph, produced)
    for name in produced:
        if name not in graph.values:
            yield f"value `{name}` is not described"


def _results(graph: Graph, produced: set[str]) -> Iterator[str]:
    for name in graph.outputs:
        if name not in produced:
            yield f"output `{name}` is produced by nothing"
    for name in graph.losses:
        if name not in produced:
            yield f"loss `{name}` is produced by nothing"
    for name, value in graph.updates.items():
        if value not in produced:
            yield f"the update of `{name}`: `{value}` is produced by nothing"
        yield from _updated(graph, name)


def _updated(graph: Graph, name: str) -> Iterator[str]:
    """Only variables with elements of their own can be updated."""
    parameter = graph.parameters.get(name)
    if parameter is None:
        yield f"the update of `{name}`: no such parameter"
    elif not parameter.variable:
        yield f"the update of `{name}`: it is a constant"
    elif parameter.owner is not None:
        yield f"the update of `{name}`: its elements are those of `{parameter.owner}`"


def _node(
    graph: Graph, node: Node, produced: set[str], ops: Collection[str] | None
) -> Iterator[str]:
    if ops is not None and node.op not in ops:
        yield f"node `{node.name}`: no op `{node.op}`"
    for name in node.inputs:
        if name not in produced:
            yield f"node `{node.name}`: reads `{name}` before it is produced"
    for name in node.parameters:
        if name not in graph.parameters:
            yield f"node `{node.name}`: no parameter `{name}`"
    for name in node.outputs:
        if name in produced:
            yield f"node `{node.name}`: produces `{name}` a second time"
        produced.add(name)


def _shapes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        for name in node.outputs:
            if graph.values[name].shape is None:
                yield f"node `{node.name}`: the shape of `{name}` is unknown"
    for name in graph.inputs:
        if graph.values[name].shape is None:
            yield f"input `{name}`: its shape is unknown"
    for name, parameter in graph.parameters.items():
        if parameter.shape is None:
            yield f"parameter `{name}`: its shape is unknown"
    for name, value in graph.updates.items():
        own, given = graph.parameters[name].shape, graph.values[value].shape
        if own != given:
            yield f"the update of `{name}`: `{value}` is {given} and the parameter {own}"


def _arrays(graph: Graph) -> Iterator[str]:
    for name, parameter in graph.parameters.items():
        if parameter.owner is not None:
            yield from _owner(graph, parameter)
        elif parameter.array is None:
            yield f"parameter `{name}`: it has no array"
        elif parameter.array.shape != parameter.shape:
            yield (
                f"parameter `{name}`: its array is {parameter.array.shape} and its shape "
                f"{parameter.shape}"
            )


def _owner(graph: Graph, parameter: Parameter) -> Iterator[str]:
    """A shared parameter has its owner's elements, in another shape."""
    name, owner = parameter.name, graph.parameters.get(parameter.owner or "")
    if owner is None:
        yield f"parameter `{name}`: no owner `{parameter.owner}`"
    elif owner.owner is not None:
        yield f"parameter `{name}`: its owner `{owner.name}` has no elements of its own"
    elif owner.variable != parameter.variable:
        yield f"parameter `{name}`: it and its owner `{owner.name}` are not both variables"
    elif count(parameter.shape or ()) != count(owner.shape or ()):
        yield (
            f"parameter `{name}`: its {count(parameter.shape or ())} elements are not the "
            f"{count(owner.shape or ())} of its owner `{owner.name}`"
        )
