"""The argument block of locally connected layers; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class LocalArgs(NamedTuple):
    """A convolution with weights of its own at each place; sizes are those of a group."""

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
    images: int
    groups: int
    channels: int
    outputs: int
    weights: Argument
    bias: Argument
    output: Argument
    output_ld: int
