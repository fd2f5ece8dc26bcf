"""Shapes of the sequences that recurrent layers read, where a data layer leaves them open.

LRCN's captions come as HDF5 files whose rows are steps: a batch of 20 rows has 20 steps of as many
streams as the picture layer beside it has pictures. All tops of such a layer go on in step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ops.recurrent import RecurrentParams

_STEPS, _STREAMS, _WIDE = 16, 2, 16
_INPUT, _MARKERS, _STATIC = 0, 1, 2  # bottoms of a recurrent layer


def is_sequence(graph: Graph, values: Sequence[str]) -> bool:
    """Whether a recurrent layer takes one of a data layer's tops as its markers."""
    return any(
        isinstance(node.params, RecurrentParams) and node.inputs[_MARKERS:_STATIC] == (value,)
        for value in values
        for node in graph.readers.get(value, ())
    )


def sequences(graph: Graph, values: Sequence[str], rows: int) -> Iterator[dict[str, Shape]]:
    """Shapes for the open tops of a data layer of sequences, the likely ones first.

    Args:
        graph: with the shapes that are known, those of pictures among them.
        values: the tops.
        rows: the batch that the layer says, 0 for none: steps.
    """
    steps = rows or _STEPS
    others = (graph.values[name].shape for name in graph.inputs if name not in values)
    pictures = (shape[0] for shape in others if shape is not None and len(shape) > 1)
    for streams in dict.fromkeys((*pictures, _STREAMS, 1)):
        yield {value: _shape(graph, value, steps, streams) for value in values}


def _shape(graph: Graph, value: str, steps: int, streams: int) -> Shape:
    """Markers and words are (steps, streams); what a layer reads as it is has numbers for each."""
    for node in graph.readers.get(value, ()):
        if isinstance(node.params, RecurrentParams):
            at = node.inputs.index(value)
            if at == _INPUT:
                return (steps, streams, _WIDE)
            if at == _STATIC and node.params.static:
                return (streams, _WIDE)
    return (steps, streams)
