"""Shapes that a text declares (``expect`` in the dialect), compared with those inferred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.diagnostics import Diagnostic, Note
from netc.ir.graph import Graph, Value
from netc.ir.types import show
from netc.schema.message import Message

ANY = -1
"""A declared size that fits every size."""


def unexpected_shapes(graph: Graph, net: Message) -> Iterator[Diagnostic]:
    """The error unexpected-shape for each blob whose shape is not the declared one.

    Blobs that the net does not have in this state, or whose shape is unknown, are skipped.
    """
    last = {value.blob: value for value in graph.values.values()}
    for declared in net.get("expected_shape"):
        value = last.get(declared.get("blob"))
        if value is None or value.shape is None:
            continue
        if not fits(value.shape, declared.get("dim")):
            yield _fault(declared, value, graph)


def fits(shape: Sequence[int], declared: Sequence[int]) -> bool:
    """Whether a shape is the declared one; a declared size of ``ANY`` fits every size."""
    same = len(shape) == len(declared)
    return same and all(d in (ANY, s) for s, d in zip(shape, declared, strict=True))


def _fault(declared: Message, value: Value, graph: Graph) -> Diagnostic:
    wanted = show("_" if size == ANY else size for size in declared.get("dim"))
    producer = graph.producers.get(value.name)
    source = f"layer `{producer.name}`" if producer else "the net's input"
    return Diagnostic(
        "unexpected-shape",
        f"blob `{value.blob}` is {show(value.shape)}, and {wanted or 'a scalar'} is expected",
        declared.span,
        notes=(Note(f"it comes from {source}", value.span),),
    )
