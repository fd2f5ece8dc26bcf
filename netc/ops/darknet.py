"""What the losses of darknet's forks share: their labels, and what kind of op they are.

A label is 300 rows of class, x, y, width and height for each image, in parts of its size; rows
after the last box are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray
from netc.ops.contents import Contents, ContentsRule, TrueBoxes
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    Kernel,
    OpDef,
    Parse,
    ShapeError,
    ShapeRule,
    copies,
    full_extent,
)

P = TypeVar("P")

TRUE_BOXES, ROW = 300, 5


def check_label(data: Shape, label: Shape) -> None:
    """The label must have its rows for each image.

    Raises:
        ShapeError: it has others.
    """
    if not label or label[0] != data[0] or count(label, 1) != TRUE_BOXES * ROW:
        raise ShapeError(
            f"the label must have {TRUE_BOXES} rows of {ROW} for each image, it is {show(label)}"
        )


def true_boxes(classes: int) -> Sequence[Contents | None]:
    """What the two bottoms must hold: any numbers, and true boxes of so many classes."""
    return None, TrueBoxes(("label", "x", "y", "w", "h"), classes, 0)


def cell_of(box: AnyArray, wide: int, high: int) -> tuple[int, int]:
    """Column and row of the cell that a true box's centre lies in.

    Raises:
        NetcError: region-out-of-range. The fork would write outside its memory.
    """
    x, y = box[0] * np.float32(wide), box[1] * np.float32(high)
    if 0 <= x < wide and 0 <= y < high:
        return int(x), int(y)
    raise NetcError(
        Diagnostic(
            "region-out-of-range",
            f"a true box has its centre at {box[0]:g}, {box[1]:g}, outside the image",
            help=("centres and sizes are parts of the image, from 0 to 1",),
        )
    )


def darknet_loss(
    name: str, parse: Parse[P], shape: ShapeRule[P], loss: Kernel[P], contents: ContentsRule[P]
) -> OpDef[P]:
    """A loss of a map of boxes and a label, whose definition needs NumPy itself."""
    return OpDef(
        name=name,
        arity=Arity((2, 2), (1, 1), optional_top=True),
        params=parse,
        shape=shape,
        cost=per_input(20),
        window=full_extent,
        memory=copies(12),
        reference=loss,
        loss=True,
        contents=contents,
        family="loss",
        host=True,
    )
