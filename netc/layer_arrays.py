"""The trained arrays of a net, by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.backends.reference import parameter_array
from netc.backends.variables import Variables
from netc.ir.graph import Array, Graph

if TYPE_CHECKING:
    pass


def parameter_bytes(graph: Graph) -> int:
    """Bytes of all trained arrays; an array that layers share counts once."""
    arrays = {id(p.array): p.array.nbytes for p in graph.parameters.values() if p.array is not None}
    return sum(arrays.values())


@dataclass(frozen=True, eq=False, repr=False)
class LayerArrays(Mapping[str, tuple[Array, ...]]):
    """Layer -> its trained arrays (float32, in Caffe's order); layers without any are absent.

    Arrays of constants are read-only; arrays of variables may be written to, for the next run.
    """

    graph: Graph
    variables: Variables

    def __getitem__(self, layer: str) -> tuple[Array, ...]:
        return tuple(map(self._array, self._names[layer]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        shapes = {
            layer: [self.graph.parameters[name].shape for name in names]
            for layer, names in self._names.items()
        }
        return f"<arrays {shapes}>"

    @property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return {node.name: node.parameters for node in self.graph.nodes if node.parameters}

    def _array(self, name: str) -> Array:
        parameter = self.graph.parameters[name]
        if not parameter.variable:
            return parameter_array(self.graph, name)
        return self.variables[parameter.owner or name].reshape(parameter.shape or ())
