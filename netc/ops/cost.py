"""Cost rules that many ops share: arithmetic operations, not multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count
from netc.ops.define import Cost, CostRule


def per_output(operations: int) -> CostRule[object]:
    """Cost rule: so many arithmetic operations for each element of the first top."""

    def cost(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        return Cost(operations=operations * count(outputs[0]))

    return cost


def per_input(operations: int) -> CostRule[object]:
    """Cost rule: so many arithmetic operations for each element of the first bottom."""

    def cost(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
        return Cost(operations=operations * count(inputs[0]))

    return cost
