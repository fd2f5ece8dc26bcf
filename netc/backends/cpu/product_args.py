"""The argument blocks of products: convolutions, inner products, Winograd.

See :mod:`netc.backends.cpu.kernel_args` for what fields hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class ConvArgs(NamedTuple):
    """A convolution as an implicit matrix product; ``panels`` rows of PanelArgs follow."""

    input: Argument
    ld: int
    height: int
    width: int
    out_height: int
    out_width: int
    pixels: int
    stride_y: int
    stride_x: int
    taps: int
    offsets: Argument
    distances: Argument
    min_y: int
    max_y: int
    min_x: int
    max_x: int
    channels: int
    zeros: Argument
    panels: int
    tiles_per_unit: int
    panels_per_unit: int
    panel_major: int
    block: int
    out_image: int
    out_row: int
    out_step: int
    first: float
    second: float


class PanelArgs(NamedTuple):
    """One panel of output channels: its packed weights and where its results go."""

    weights: Argument
    bias: Argument
    input_offset: int
    output: Argument
    output_ld: int
    channels: int
    residual: Argument
    residual_ld: int
    slopes: Argument


INPUT_ZERO = 4
"""Where, of the scales behind the rows of an int8 panel's constants, the input's zero is."""


ZERO_CODES = 8
"""Where, of those scales, as many bytes with the input's zero are as a vector has lanes."""


def constants_of(lanes: int) -> int:
    """Floats of an int8 panel's constants, see ``kernels.epilogue``."""
    return 3 * lanes + 16


class LinearArgs(NamedTuple):
    """Inner products of rows of inputs with rows of weights."""

    input: Argument
    input_ld: int
    images: int
    inputs: int
    weights: Argument
    weights_ld: int
    outputs: int
    bias: Argument
    slopes: Argument
    output: Argument
    output_ld: int
    first: float
    second: float


class WinogradArgs(NamedTuple):
    """Winograd's algorithm; ``panels`` rows of PanelArgs follow. Offsets are in scratch memory."""

    input: Argument
    ld: int
    height: int
    width: int
    channels: int
    pad_y: int
    pad_x: int
    out_height: int
    out_width: int
    tiles_y: int
    tiles_x: int
    tiles: int
    zeros: Argument
    block: int
    planes: Argument
    planes_offset: int
    plane_bytes: int
    tile_bytes: int
    results_offset: int
    result_bytes: int
    panels: int
    first: float
    second: float
