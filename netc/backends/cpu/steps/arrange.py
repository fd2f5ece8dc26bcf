"""Any strided arrangement of elements to any other: contiguous copies, transposes or single moves.

Axes are put in the order of the target's strides and joined where both sides run on. What the
source has innermost and the target has not is turned around in registers.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.moving import Strided, move_step
from netc.backends.cpu.steps.transpose import MatrixBatch, transpose_step
from netc.backends.shared.layout import stored_strides
from netc.backends.shared.views import Place, View, moved
from netc.ir.types import Shape


class StridedAxis(NamedTuple):
    """Elements along one axis, and their distances in floats on either side."""

    size: int
    source: int
    target: int


_MIN_SIDE = 5  # elements of an axis up to which transposing does not pay
_MAX_TRANSPOSES = 64  # transposes that one arrangement may take


def logical_strides(view: View, shape: Shape) -> Strided:
    """A stored value's own axes; its shape as in :mod:`netc.backends.shared.layout`."""
    return Strided(view.place, stored_strides(shape, view))


def part(x: Strided, starts: tuple[int, ...]) -> Strided:
    """The same axes, from these indices on."""
    first = sum(s * i for s, i in zip(x.strides, starts, strict=True))
    return Strided(moved(x.place, first), x.strides)


def arrange_steps(
    name: str, shape: tuple[int, ...], source: Strided, target: Strided
) -> list[Step] | None:
    """Copy elements from one arrangement to another, which must not overlap.

    None where more axes are left than the kernels walk.
    """
    axes = joined(shape, source, target)
    return _transposes(name, axes, source.place, target.place) or _moves(
        name, axes, source.place, target.place
    )


def joined(shape: tuple[int, ...], source: Strided, target: Strided) -> list[StridedAxis]:
    """Axes in the order of the target's strides; those that run on in both are one."""
    axes = map(StridedAxis, shape, source.strides, target.strides)
    found: list[StridedAxis] = []
    for axis in sorted(axes, key=lambda a: (-a.target, -a.source)):
        if axis.size == 1:
            continue
        last = found[-1] if found else None
        # This axis continues the one outside it on both sides: one longer axis.
        if last and (last.source, last.target) == (
            axis.size * axis.source,
            axis.size * axis.target,
        ):
            found[-1] = axis._replace(size=last.size * axis.size)
        else:
            found.append(axis)
    return found


def _moves(name: str, axes: list[StridedAxis], source: Place, target: Place) -> list[Step] | None:
    sizes, sources, targets = zip(*axes, strict=True) if axes else ((1,), (1,), (1,))
    try:
        return [move_step(name, sizes, Strided(source, sources), Strided(target, targets))]
    except ValueError:
        return None


def _transposes(name: str, axes: list[StridedAxis], source: Place, target: Place) -> list[Step]:
    """Transposes of the two axes that are innermost on either side; none where it does not pay."""
    # rows: contiguous in the target; columns: contiguous in the source. If they differ, it is a
    # transpose of these two axes, repeated over all the others.
    rows = next((a for a in axes if a.target == 1), None)
    columns = next((a for a in axes if a.source == 1), None)
    if (
        rows is None
        or columns is None
        or min(rows.size, columns.size) <= _MIN_SIDE
        or rows == columns
    ):
        return []
    others = sorted((a for a in axes if a not in (rows, columns)), key=lambda a: a.size)
    images = others.pop() if others else StridedAxis(1, 0, 0)
    if math.prod(a.size for a in others) > _MAX_TRANSPOSES:
        return []
    return [
        transpose_step(
            name,
            images.size,
            rows.size,
            columns.size,
            MatrixBatch(
                moved(source, _dot(at, [a.source for a in others])), images.source, rows.source
            ),
            MatrixBatch(
                moved(target, _dot(at, [a.target for a in others])), images.target, columns.target
            ),
        )
        for at in product(*(range(a.size) for a in others))
    ]


def _dot(index: tuple[int, ...], strides: list[int]) -> int:
    return sum(i * s for i, s in zip(index, strides, strict=True))
