"""The layers that move no data when channels are innermost: their values are aliases."""

from __future__ import annotations

from itertools import accumulate

from netc.backends.shared.layout import has_channels, pixel_shape
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.joining import ConcatParams, SliceParams
from netc.ops.role import Role
from netc.plan.storage import is_identity


def concat_offsets(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """Where each input's channels start in the output of a Concat along channels.

    Its inputs are written side by side in every pixel. None for all other nodes.
    """
    if not has_role(node.op, Role.CONCAT) or not _along_channels(graph, node):
        return None
    #   each pixel of the output:  [channels of input 0 | of input 1 | of input 2]
    sizes = [graph.shape(v)[1] for v in node.inputs]
    return tuple(accumulate(sizes[:-1], initial=0))


def view_offsets(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """Where each output's channels start in the first input, if the outputs are views of it.

    Those are a Slice along channels, and what moves nothing. None for all other nodes.
    """
    if has_role(node.op, Role.SLICE) and _along_channels(graph, node):
        sizes = [graph.shape(v)[1] for v in node.outputs]
        return tuple(accumulate(sizes[:-1], initial=0))
    if has_role(node.op, Role.VIEW) and moves_nothing(graph, node):
        return (0,)
    return (0,) * len(node.outputs) if is_identity(graph, node) else None


def moves_nothing(graph: Graph, node: Node) -> bool:
    """True if a reshape moves no element in memory."""
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    # Other than two or four axes lie in C order: between the kinds data is taken to move.
    if not (has_channels(before) and has_channels(after)):
        return not has_channels(before) and not has_channels(after)
    return pixel_shape(before) == pixel_shape(after)


def _along_channels(graph: Graph, node: Node) -> bool:
    shape = graph.shape(node.inputs[0])
    params = node.params_as(ConcatParams, SliceParams)
    return has_channels(shape) and params.axis in (1, 1 - len(shape))
