"""A graph's inputs for another batch."""

from __future__ import annotations

from netc.ir.graph import Graph
from netc.ir.types import Shape


def with_batch(graph: Graph, batch: int) -> dict[str, Shape]:
    """Input value -> shape for another batch size.

    The batch is the first axis of the first input, and of every input with the same first size.
    """
    shapes = {name: graph.values[name].shape for name in graph.inputs}
    first = next((shape for shape in shapes.values() if shape), None)
    return {
        name: (batch, *shape[1:])
        for name, shape in shapes.items()
        if shape and first and shape[0] == first[0]
    }
