"""Which layer a text means by a name that forks of Caffe give to several."""

from __future__ import annotations

from netc.diagnostics import Collector, Diagnostic
from netc.ops.define import ErasedOp
from netc.schema.message import Message


def meant(layer: Message, op: ErasedOp, collector: Collector) -> ErasedOp:
    """The layer that the fields say; what they leave open is told.

    Args:
        layer: the layer.
        op: what BVLC Caffe, or the fork that is known best, calls so.
        collector: takes the warning `fork-reading`.
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
