"""A graph run by its ops' definitions in float64: what finite differences are taken of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.memory import check_memory
from netc.ops.catalog import CATALOG
from netc.ops.define import FLOAT, ShapeError

Double = NDArray[np.float64]

_BYTES = 8


class DoubleRun:
    """A graph's values and parameters in float64, which may be changed one by one."""

    def __init__(self, graph: Graph, feeds: Mapping[str, object]) -> None:
        self.graph = graph
        self._held = 0
        self.parameters = {
            name: np.array(p.array, np.float64)
            for name, p in graph.parameters.items()
            if p.array is not None
        }
        self.values: dict[str, Double] = {
            name: np.array(array, np.float64) for name, array in feeds.items()
        }
        self._held = sum(a.nbytes for a in (*self.parameters.values(), *self.values.values()))
        self.run(graph.nodes, self.values)

    def run(self, nodes: Sequence[Node], values: dict[str, Double]) -> None:
        """Run nodes in order, putting what they make among the values.

        Raises:
            NetcError: too-little-memory, at the layer whose values do not fit beside the others.
        """
        for node in nodes:
            weights = [self._array(name) for name in node.parameters]
            inputs = [values[v] for v in node.inputs]
            made_bytes = self._ask(node, inputs)
            if values is self.values:
                self._held += made_bytes
            with np.errstate(all="ignore"):
                made = CATALOG[node.op].reference(node.params, inputs, weights)
            for name, array in zip(node.outputs, made, strict=True):
                values[name] = np.asarray(array, np.float64)

    def _ask(self, node: Node, inputs: Sequence[Double]) -> int:
        """Ask for what a node makes; the bytes of it that stay."""
        op, shapes = CATALOG[node.op], [array.shape for array in inputs]
        try:
            outputs = op.shape(node.params, shapes)
        except ShapeError:  # of sizes that only a run tells
            return 0
        made = _BYTES * sum(map(count, outputs))
        more = made + _BYTES // FLOAT * op.memory(node.params, shapes, outputs)
        what = f"the net's values in float64, up to layer `{node.name}` ({node.op}),"
        check_memory(self._held + more, what, node.span, "make the batch smaller, or the input")
        return made

    def _array(self, name: str) -> Double:
        parameter = self.graph.parameters[name]
        return self.parameters[parameter.owner or name].reshape(parameter.shape or ())

    def after(self, name: str) -> list[Node]:
        """The nodes that depend on a value, or on a parameter, in order."""
        touched, found = {name}, []
        for node in self.graph.nodes:
            owners = (self.graph.parameters[p].owner or p for p in node.parameters)
            if touched.intersection(node.inputs) or name in owners:
                touched.update(node.outputs)
                found.append(node)
        return found
