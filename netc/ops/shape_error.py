"""The exception of a shape rule."""

from __future__ import annotations

from collections.abc import Sequence


class ShapeError(Exception):
    """Shapes that do not fit; shape inference adds the layer, its blobs and places in the text.

    Args:
        message: the rule and both numbers, e.g. "`kernel_size` 7 is larger than the padded
            height 5".
        field: dotted path of the layer's field to point at, e.g. "pooling_param.kernel_size".
        help: what to do, one hint each.
        code: of the diagnostic.
    """

    def __init__(
        self,
        message: str,
        field: str | None = None,
        help: Sequence[str] = (),
        code: str = "shape-mismatch",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.help = tuple(help)
        self.code = code
