"""Steps that give a value another height and width."""

from __future__ import annotations

import math

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import ResizeArgs, UnpoolArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import Array
from netc.backends.cpu.steps.moving import Strided, move_step
from netc.backends.shared.views import View, moved


def bilinear_step(
    name: str, x: View, y: View, rows: tuple[Array, Array], columns: tuple[Array, Array], top: int
) -> Step:
    """Each element between four neighbours.

    Args:
        name: the layer's.
        x: the value.
        y: the result.
        rows: for each row of y the lower one of two rows of x, and the share of the upper one.
        columns: the same of columns.
        top: rows and columns of x from here on are not looked at, counted from the end.
    """
    args = ResizeArgs(
        input=x.place,
        ld=4 * x.ld,
        height=x.h,
        width=x.w,
        bottom=x.h - 1 - top,
        right=x.w - 1 - top,
        channels=x.c,
        output=y.place,
        output_ld=4 * y.ld,
        out_height=y.h,
        out_width=y.w,
        rows=rows[0].astype(np.int64),
        row_shares=rows[1].astype(np.float32),
        columns=columns[0].astype(np.int64),
        column_shares=columns[1].astype(np.float32),
    )
    return Step(name, jit.spec("resizing", "bilinear"), args, y.n * y.h)


def repeat_steps(name: str, x: View, y: View, high: int, wide: int) -> list[Step]:
    """Each pixel as a block of ``high`` by ``wide`` pixels."""
    row = y.w * y.ld
    source = Strided(x.place, (x.w * x.ld, x.ld, 1))
    strides = (high * row, wide * y.ld, 1)
    return [
        move_step(
            name,
            (x.n * x.h, x.w, x.c),
            source,
            Strided(moved(y.place, i * row + j * y.ld), strides),
        )
        for i in range(high)
        for j in range(wide)
    ]


def unpool_step(name: str, x: View, mask: View, y: View, target: Machine) -> Step:
    """Elements where the mask says in their planes, zeros elsewhere."""
    args = UnpoolArgs(
        x.place, 4 * x.ld, mask.place, 4 * mask.ld, x.h * x.w, x.c, y.place, 4 * y.ld, y.h * y.w
    )
    units = x.n * math.ceil(x.c / target.width)
    return Step(name, jit.spec("resizing", "unpool"), args, units)
