"""What the GPU backend can do without copying: see netc.plan.storage."""

from __future__ import annotations

from netc.backends.shared.aliases import concat_offsets, view_offsets
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import bind_stages
from netc.ops.role import Role
from netc.ops.siblings import NAME as SIBLINGS
from netc.passes.epilogue import chain_of
from netc.plan.storage import AliasRules

_COLOURS = 3


def produced_view_offsets(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """What :func:`view_offsets` says; None for what is fed, whose pixels may end in zeros."""
    if not node.inputs or node.inputs[0] not in graph.producers:
        return None
    return view_offsets(graph, node)


def zero_channels(graph: Graph, value: str) -> int:
    """Channels of zeros that each pixel of an input has after its own.

    An image's three colours become four numbers where only convolutions read them, which then
    gather 16 bytes at once (8 of float16) in place of three times 4.
    """
    shape = graph.shape(value)
    fed = value in graph.inputs and value not in graph.outputs
    if not fed or len(shape) != 4 or shape[1] != _COLOURS:
        return 0
    readers = [node for node in graph.nodes if value in node.inputs]
    return 1 if readers and all(_convolves(node, value) for node in readers) else 0


def _convolves(node: Node, value: str) -> bool:
    """True if a node reads a value as a convolution's input alone."""
    if node.op == SIBLINGS:
        return True
    first, *rest = bind_stages(chain_of(node), node.inputs)
    later = [v for bound in rest for v in bound.inputs]
    return (
        has_role(first.stage.op, Role.CONVOLUTION)
        and first.stage.params_as(ConvolutionParams).group == 1
        and value not in later
    )


def padding(graph: Graph, value: str) -> int:
    """Elements of zeros that a value's buffer has besides the value's."""
    zeros = zero_channels(graph, value)
    return zeros * count(graph.shape(value)) // _COLOURS if zeros else 0


RULES = AliasRules(concat_offsets, produced_view_offsets)
