"""Every op there is: the family modules' ``OPS``, by Caffe's type string."""

from __future__ import annotations

from collections.abc import Mapping

from netc.ops import accuracy, inputs, loss, python, recurrent
from netc.ops.define import OpDef

_FAMILIES: tuple[tuple[OpDef, ...], ...] = (
    inputs.OPS,
    loss.OPS,
    accuracy.OPS,
    recurrent.OPS,
    python.OPS,
)

CATALOG: Mapping[str, OpDef] = {op.name: op for family in _FAMILIES for op in family}
