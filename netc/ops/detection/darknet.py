"""What the losses of darknet's forks (eric612/MobileNet-YOLO) share: labels, and their ops.

A label has 300 rows for each image: class, and centre x, centre y, width and height in parts of
the image's size. Rows after the last box are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
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
    """Check that the label has 300 rows of 5 numbers for each image of ``data``.

    Raises:
        ShapeError: it has not.
    """
    if not label or label[0] != data[0] or count(label, 1) != TRUE_BOXES * ROW:
        raise ShapeError(
            f"the label must have {TRUE_BOXES} rows of {ROW} for each image, it is {show(label)}"
        )


def true_boxes(classes: int) -> Sequence[Contents | None]:
    """Contents of the two bottoms: any numbers, and true boxes of so many classes."""
    return None, TrueBoxes(("label", "x", "y", "w", "h"), classes, 0)


def cell_of(box: AnyArray, wide: int, high: int) -> tuple[int, int]:
    """Column and row of the cell that a true box's centre lies in.

    Args:
        box: centre x, centre y, width and height, in parts of the image.
        wide, high: columns and rows of the map.

    Raises:
        NetcError: region-out-of-range, for a centre outside of the image, where the fork would
            write outside of its memory.
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


def first_true(flags: AnyArray) -> int:
    """The index of the first true flag, or their number where none is."""
    at = np.flatnonzero(flags)
    return int(at[0]) if len(at) else len(flags)


def darknet_loss(
    name: str, parse: Parse[P], shape: ShapeRule[P], loss: Kernel[P], contents: ContentsRule[P]
) -> OpDef[P]:
    """The op of a loss of a map of boxes and a label.

    Its definition runs on NumPy arrays only, not on a device's.
    """
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
