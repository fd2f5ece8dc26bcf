"""Which of several forks' layers a layer's type means, by its fields."""

from __future__ import annotations

from netc.diagnostics import Collector, Diagnostic
from netc.ops.define import ErasedOp
from netc.schema.message import Message


def meant(layer: Message, op: ErasedOp, collector: Collector) -> ErasedOp:
    """The op that a layer's fields mean; ``op`` itself where no fork's reading applies.

    Args:
        layer: the layer.
        op: the op of this type in BVLC Caffe, or in the fork that is best known for it.
        collector: takes the warning fork-reading, where the fields leave it open.
    """
    found = op.reading(layer) if op.reading is not None else None
    if found is None:
        return op
    if found.told is not None:
        where, message, help = found.told
        text = f"layer `{layer.get('name')}` ({op.name}): {message}"
        span = layer.span_of(where)
        collector.add(Diagnostic("fork-reading", text, span, "warning", help=help))
    return found.op
