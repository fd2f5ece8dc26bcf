"""The argument blocks of kernels with a sliding window: pooling, depthwise, locally connected.

Such a block is a :class:`WindowArgs` and, behind it, what the kernel has besides. Builders give
``(*window, *rest)``; kernels read the whole by its layout, as in ``record(POOL_BLOCK, address)``.
See :mod:`netc.backends.cpu.kernel_args` for what fields hold.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class WindowArgs(NamedTuple):
    """Pixels that are read, and the window that slides over them.

    ``ld`` is in bytes; window (i, j) of ``out_height`` by ``out_width`` begins at row
    i * ``stride_y`` - ``pad_y`` and has ``kernel_y`` rows, each ``dilation_y`` further.
    """

    input: Argument
    ld: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    pad_y: int
    pad_x: int
    dilation_y: int
    dilation_x: int


class PoolArgs(NamedTuple):
    """Of pooling, and of its gradient, whose input has the smaller height and width.

    The window's pads bound the divisor of averages below as well; dilations are 1. ``mask`` is
    where each maximum stands in its plane; ``shares``, of the gradient of averages alone, one float
    for each window, by which it gives to all its elements.
    """

    channels: int
    output: Argument
    output_ld: int
    mask: Argument = 0
    mask_ld: int = 0
    shares: Argument = 0


class LocalArgs(NamedTuple):
    """Of a convolution with weights of its own at each place; sizes are those of a group."""

    images: int
    groups: int
    channels: int
    outputs: int
    weights: Argument
    bias: Argument
    output: Argument
    output_ld: int


class DepthwiseArgs(NamedTuple):
    """Of a convolution of each channel by itself; out_image, ... count pixels of the output."""

    channels: int
    weights: Argument
    tap: int
    bias: Argument
    slopes: Argument
    output: Argument
    output_ld: int
    out_image: int
    out_row: int
    out_step: int
    residual: Argument
    residual_ld: int
    first: float
    second: float


def joined_layout(name: str, *parts: type[tuple[Argument, ...]]) -> type[tuple[int, ...]]:
    """The layout of a block in which the fields of these records follow each other."""
    return namedtuple(name, [field for part in parts for field in part._fields])  # type: ignore


POOL_BLOCK = joined_layout("PoolBlock", WindowArgs, PoolArgs)
LOCAL_BLOCK = joined_layout("LocalBlock", WindowArgs, LocalArgs)
DEPTHWISE_BLOCK = joined_layout("DepthwiseBlock", WindowArgs, DepthwiseArgs)
