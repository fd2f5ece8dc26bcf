"""Norms of arrays: sums of squares, as doubles in a node's workspace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from netc.backends.cuda.emission import THREADS, CudaEmitContext
from netc.backends.cuda.program import Argument, Launch
from netc.backends.cuda.source import Constant
from netc.backends.cuda.together import KernelPart, part_code
from netc.backends.shared.views import View, Workspace, dense
from netc.ops.update_rules import LocalRate

SQUARED = 8192  # elements that a block of squares.cuh adds up
DOUBLE = 8  # bytes


class UpdateOperand(NamedTuple):
    """An array of an update: where it lies, its elements' number, the value if it is one."""

    place: Argument
    size: int
    views: tuple[View, ...] = ()


def whole(view: View) -> UpdateOperand:
    """A value that lies without gaps."""
    return UpdateOperand(view.place, view.count, (view,))


def norm_constants(local: LocalRate | None) -> dict[str, Constant]:
    """What norm.cuh is to make of the sums: a local rate, or the factor that clips."""
    return {"LOCAL": local is not None, "BOUND": local is not None and local.clip}


def double_offset(emission: CudaEmitContext, doubles: int) -> int:
    """Where a double lies in the workspace, in stored elements."""
    return doubles * DOUBLE // emission.precision.item


def doubles(emission: CudaEmitContext, first: int, number: int) -> View:
    """Doubles of the workspace from number ``first`` on."""
    place = Workspace(double_offset(emission, first))
    return dense(place, 1, 1, 1, double_offset(emission, number))


def squares_launch(
    emission: CudaEmitContext,
    name: str,
    arrays: Sequence[UpdateOperand],
    first: int,
    clip: View | None = None,
    share: float = 1.0,
) -> Launch:
    """Sums of squares of runs of some arrays, as doubles in the workspace from number ``first`` on.

    Args:
        emission: the graph's.
        name: the node's.
        arrays: they lie without gaps.
        first: double of the workspace.
        clip: a factor of all elements.
        share: another one.
    """
    parts = [
        KernelPart([("const value_t*", "data", one.place), ("int", "count", one.size)])
        for one in arrays
    ]
    code, values = part_code(parts)
    constants: dict[str, Constant] = {"MANY": len(arrays), "CLIPPED": clip is not None}
    runs = sum(math.ceil(one.size / SQUARED) for one in arrays)
    sums = doubles(emission, first, runs)
    arguments = (sums.place, Workspace() if clip is None else clip.place, share, *values)
    reads = (*(view for one in arrays for view in one.views), *([clip] if clip else []))
    kernel = emission.kernel("squares", constants, code)
    return Launch(name, kernel, (runs, 1, 1), THREADS, arguments, reads, (sums,))
