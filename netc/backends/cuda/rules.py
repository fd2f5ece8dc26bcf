"""What the GPU backend can do without copying: see netc.plan.storage."""

from __future__ import annotations

from itertools import accumulate

from netc.backends.cuda.chains import supported
from netc.backends.cuda.pixels import Arena, has_channels, view_of
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import bind_stages
from netc.ops.siblings import NAME as SIBLINGS
from netc.passes.epilogue import EPILOGUES, PRODUCTS, chain_of
from netc.plan.storage import Rules, is_identity

_COLOURS = 3


def joins(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """A Concat along channels writes its parts side by side in every pixel."""
    if node.op != "Concat" or not _along_channels(graph, node):
        return None
    sizes = [graph.shape(v)[1] for v in node.inputs]
    return tuple(accumulate(sizes[:-1], initial=0))


def parts(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """A Slice along channels, a Reshape that moves nothing, and what changes nothing, are views."""
    if not node.inputs or node.inputs[0] not in graph.producers:
        return None
    if node.op == "Slice" and _along_channels(graph, node):
        sizes = [graph.shape(v)[1] for v in node.outputs]
        return tuple(accumulate(sizes[:-1], initial=0))
    if node.op in ("Reshape", "Flatten") and same_bytes(graph, node):
        return (0,)
    return (0,) * len(node.outputs) if is_identity(graph, node) else None


def same_bytes(graph: Graph, node: Node) -> bool:
    """Whether a reshaped value lies as its input lies."""
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    if not (has_channels(before) and has_channels(after)):
        return not has_channels(before) and not has_channels(after)
    return view_of(before, Arena(0)) == view_of(after, Arena(0))


def _along_channels(graph: Graph, node: Node) -> bool:
    shape = graph.shape(node.inputs[0])
    return has_channels(shape) and node.params.axis in (1, 1 - len(shape))


def in_place(graph: Graph, node: Node) -> tuple[str, ...]:
    """Inputs that a kernel reads element by element, each before it writes in its place.

    A chain that is run in several steps has none: the first would destroy what a later one reads.
    """
    if node.op in EPILOGUES:
        return tuple(v for v in node.inputs if _same_shape(graph, node, v))
    if node.op != FUSED:
        return ()
    first, *rest = bind_stages(node.params, node.inputs)
    shape = graph.shape(node.outputs[0])
    if not all(supported(bound, (shape,) * (1 + len(bound.inputs))) for bound in rest):
        return ()
    own = [] if first.stage.op in PRODUCTS else first.inputs
    later = [v for bound in rest for v in bound.inputs]
    return tuple(v for v in (*later, *own) if _same_shape(graph, node, v))


def _same_shape(graph: Graph, node: Node, value: str) -> bool:
    produced = value in graph.producers
    return produced and graph.shape(value) == graph.shape(node.outputs[0])


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
    """Whether a node reads a value as a convolution's input alone."""
    if node.op == SIBLINGS:
        return True
    first, *rest = bind_stages(chain_of(node), node.inputs)
    later = [v for bound in rest for v in bound.inputs]
    return first.stage.op == "Convolution" and first.stage.params.group == 1 and value not in later


def _padding(graph: Graph, value: str) -> int:
    zeros = zero_channels(graph, value)
    return zeros * count(graph.shape(value)) // _COLOURS if zeros else 0


RULES = Rules(joins, parts, in_place, padding=_padding)
