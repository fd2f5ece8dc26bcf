"""Holds the trained arrays of a net, which scripts may write to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count, show

Arrays = dict[str, list[Array]]


class HeldArrays:
    """The arrays of the weights file, and those that scripts replaced.

    A script always gets the same array object; what it writes to it is used from the next forward
    pass on.
    """

    def __init__(self, file: Arrays | None) -> None:
        self.file = file
        self._held: Arrays = {}
        self._seen: Arrays = {}

    @property
    def all(self) -> Arrays | None:
        """Layer -> arrays; None where there are none at all, so that fillers make them."""
        if self.file is None and not self._held:
            return None
        return {**(self.file or {}), **self._held}

    def changed(self) -> bool:
        """Whether a script has written to an array since the last call."""
        same = self._seen.keys() == self._held.keys() and all(
            len(seen) == len(held) and all(map(_same_bits, seen, held))
            for seen, held in zip(self._seen.values(), self._held.values(), strict=True)
        )
        self._seen = {name: [a.copy() for a in arrays] for name, arrays in self._held.items()}
        return not same

    def hold(self, node: Node, arrays: Sequence[Array]) -> list[Array]:
        """A layer's writable arrays, initialised from ``arrays`` on the first call."""
        if node.name not in self._held:
            self._held[node.name] = [np.array(array, dtype=np.float32) for array in arrays]
        return self._held[node.name]

    def put(self, graph: Graph, node: Node, arrays: Sequence[object]) -> None:
        """Replace a layer's arrays, also for the layers that share them.

        If fewer are given than the layer has, the others become zero: a weight without bias.

        Raises:
            NetcError: weight-count or weight-shape.
        """
        shapes = [graph.parameters[name].shape or () for name in node.parameters]
        if not isinstance(arrays, (list, tuple)) or len(arrays) > len(shapes):
            number = len(arrays) if isinstance(arrays, (list, tuple)) else 1
            message = (
                f"layer `{node.name}` ({node.op}) has {counted(len(shapes), 'parameter')}, and "
                f"{counted(number, 'array')} are given"
            )
            raise NetcError(Diagnostic("weight-count", message, node.span))
        given = [_fitted(node, i, a, shapes[i]) for i, a in enumerate(arrays)]
        given += [np.zeros(shape, np.float32) for shape in shapes[len(given) :]]
        self._held[node.name] = given
        self._share(graph, node)

    def _share(self, graph: Graph, node: Node) -> None:
        """Have layers that read the same parameters hold the same arrays."""
        own = {
            _owner(graph, name): self._held[node.name][i] for i, name in enumerate(node.parameters)
        }
        for other in graph.nodes:
            shared = [_owner(graph, name) in own for name in other.parameters]
            if other.name == node.name or not any(shared):
                continue
            held = self._held.get(other.name) or (self.file or {}).get(other.name)
            zeros = [
                np.zeros(graph.parameters[n].shape or (), np.float32) for n in other.parameters
            ]
            arrays = [np.array(a, np.float32) for a in held] if held else zeros
            for index, name in enumerate(other.parameters):
                if _owner(graph, name) in own:
                    shape = graph.parameters[name].shape or ()
                    arrays[index] = own[_owner(graph, name)].reshape(shape)
            self._held[other.name] = arrays


def _owner(graph: Graph, parameter: str) -> str:
    return graph.parameters[parameter].owner or parameter


def _fitted(node: Node, index: int, given: object, shape: Shape) -> Array:
    """An array in the parameter's shape; as many elements in another shape will do."""
    array = np.array(given, dtype=np.float32)
    if array.size != count(shape):
        message = (
            f"layer `{node.name}`: parameter {index} has {count(shape)} elements "
            f"({show(shape)}), and {array.size} are given"
        )
        raise NetcError(Diagnostic("weight-shape", message, node.span))
    return array.reshape(shape)


def _same_bits(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(
        np.array_equal(one.reshape(-1).view(np.uint32), other.reshape(-1).view(np.uint32))
    )
