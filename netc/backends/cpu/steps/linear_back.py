"""Steps of rows times a matrix that is read where it lies."""

from __future__ import annotations

import math

from netc.backends.cpu import jit
from netc.backends.cpu.gradient_args import RowsBackArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.outer import max_sums
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import View, moved


def rows_back_steps(name: str, x: View, y: View, weights: Derived, machine: Machine) -> list[Step]:
    """Each row of x times a matrix.

    Args:
        name: the node's.
        x: (n, 1, 1, terms).
        y: (n, 1, 1, outputs).
        weights: (terms, outputs) in C order.
        machine: for which.
    """
    vectors = min(3, math.ceil(y.c / machine.width))
    limit = min(8, max_sums(machine) // vectors)
    steps, first = [], 0
    while first < x.n:
        tile = min(limit, x.n - first)
        rows = (x.n - first) // tile * tile
        args = RowsBackArgs(
            numbers=moved(x.place, first * x.ld),
            numbers_ld=4 * x.ld,
            images=rows,
            weights=weights,
            weights_ld=weights.strides[0],
            terms=x.c,
            count=y.c,
            output=moved(y.place, first * y.ld),
            output_ld=4 * y.ld,
        )
        lanes = vectors * machine.width
        kernel = jit.spec("linear_back", "rows", tile=tile, vectors=vectors)
        steps.append(Step(name, kernel, args, math.ceil(y.c / lanes), 4 * tile * lanes))
        first += rows
    return steps
