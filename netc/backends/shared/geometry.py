"""The sliding window of a convolution, deconvolution or pooling over pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ops.window import Axis, Window

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Geometry(Window):
    """A window over pixels, with a value (vertical, horizontal) for each quantity.

    Output (i, j) sees rows i * stride - pad, and ``kernel`` rows from there on, each ``dilation``
    further; of a pooling those that lie in the input. How many outputs there are is said by the
    output's view. A global pooling has the input's size as kernel, stride 1 and no padding.
    ``groups`` is how many parts the channels are in that do not see each other.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


def pixel_window(axes: Sequence[Axis], groups: int = 1) -> Geometry:
    """The window that slides along a vertical and a horizontal axis."""
    y, x = axes
    return Geometry(
        (y.kernel, x.kernel),
        (y.stride, x.stride),
        (y.pad, x.pad),
        (y.dilation, x.dilation),
        groups=groups,
    )
