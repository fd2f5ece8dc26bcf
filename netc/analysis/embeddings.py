"""Embed as peteanderson80/caffe has it, where a net fits no other reading.

BVLC's Embed adds an axis to its bottom's: 50x1 becomes 50x1x1000. That of Up-Down-Captioner and
bottom-up-attention replaces a last axis of 1: 50x1 becomes 50x1000. No field tells; the layers
behind it do, which join it with blobs of as many axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netc.diagnostics import Diagnostic
from netc.infer import Inferred, infer
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import has_role
from netc.ops.linear import EmbedParams
from netc.ops.role import Role
from netc.schema.message import Message


def infer_meant(graph: Graph, inputs: Mapping[str, Shape] | None = None) -> Inferred:
    """As :func:`netc.infer.infer`, with the reading of embeddings that fits."""
    found = infer(graph, inputs)
    if not _errors(found.diagnostics):
        return found
    return other_embeddings(graph, found, {}, inputs) or found


def other_embeddings(
    graph: Graph,
    before: Inferred,
    messages: Mapping[str, Message],
    inputs: Mapping[str, Shape] | None = None,
) -> Inferred | None:
    """Shapes by the fork's reading with a warning that tells of it; None where it mends nothing.

    Args:
        graph: without shapes.
        before: the same graph with shapes, by BVLC's reading.
        messages: node name -> its layer as written.
        inputs: shapes of inputs in place of the graph's.
    """
    nodes = [_replacing(node, before.graph) for node in graph.nodes]
    changed = [n for n, old in zip(nodes, graph.nodes, strict=True) if n is not old]
    if not changed:
        return None
    found = infer(graph.replace(nodes=tuple(nodes)), inputs, messages=messages)
    if _errors(found.diagnostics) >= _errors(before.diagnostics):
        return None
    return found._replace(diagnostics=(*found.diagnostics, _told(changed[0], messages)))


def _errors(diagnostics: Sequence[Diagnostic]) -> int:
    return sum(d.severity == "error" for d in diagnostics)


def _replacing(node: Node, graph: Graph) -> Node:
    if not has_role(node.op, Role.EMBEDDING):
        return node
    shape = graph.values[node.inputs[0]].shape
    if shape is not None and (not shape or shape[-1] != 1):
        return node
    return replace(node, params=replace(node.params_as(EmbedParams), replaces=True))


def _told(node: Node, messages: Mapping[str, Message]) -> Diagnostic:
    message = messages.get(node.name)
    return Diagnostic(
        "fork-reading",
        f"layer `{node.name}` (Embed): its bottom's last axis of 1 is replaced, as in "
        "peteanderson80/caffe; BVLC's adds an axis, which the layers behind do not take",
        message.span_of("type") if message is not None else node.span,
        severity="warning",
        help=("a Reshape behind it says the same to every Caffe",),
    )
