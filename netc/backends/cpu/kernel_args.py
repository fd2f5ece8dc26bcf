"""The argument blocks of kernels: one int64 a field, in the order of the fields.

Builders in :mod:`netc.backends.cpu.steps` make them, kernels read them by
``record(Layout, address)``. Addresses and leading dimensions are in bytes inside kernels; builders
give places and the runner turns them into addresses. Float fields hold float32 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class RunArgs(NamedTuple):
    """What the program loop reads; one block per context and segment."""

    steps: Any
    count: Any
    threads: Any
    epoch: Any
    scratch: Any
    scratch_stride: Any
    ticks: Any
    yield_function: Any
    clock_function: Any
    clock: Any
    counters: Any


class StepRow(NamedTuple):
    """One row of the step table."""

    kernel: Any
    args: Any
    units: Any
    grain: Any


class ConvArgs(NamedTuple):
    """A convolution as an implicit matrix product; ``panels`` rows of PanelArgs follow."""

    input: Any
    ld: Any
    height: Any
    width: Any
    out_height: Any
    out_width: Any
    pixels: Any
    stride_y: Any
    stride_x: Any
    taps: Any
    offsets: Any
    distances: Any
    least_y: Any
    most_y: Any
    least_x: Any
    most_x: Any
    channels: Any
    zeros: Any
    panels: Any
    tiles_per_unit: Any
    panels_per_unit: Any
    panel_major: Any
    block: Any
    out_image: Any
    out_row: Any
    out_step: Any
    first: Any
    second: Any


class PanelArgs(NamedTuple):
    """One panel of output channels: its packed weights and where its results go."""

    weights: Any
    bias: Any
    input_offset: Any
    output: Any
    output_ld: Any
    channels: Any
    residual: Any
    residual_ld: Any
    slopes: Any


class PoolArgs(NamedTuple):
    """Pooling. ``pad_y`` and ``pad_x`` bound the divisor of averages below as well."""

    input: Any
    ld: Any
    height: Any
    width: Any
    out_height: Any
    out_width: Any
    kernel_y: Any
    kernel_x: Any
    stride_y: Any
    stride_x: Any
    pad_y: Any
    pad_x: Any
    channels: Any
    output: Any
    output_ld: Any
    mask: Any
    mask_ld: Any


class MoveArgs(NamedTuple):
    """A copy of four nested axes; strides in bytes."""

    input: Any
    output: Any
    count1: Any
    count2: Any
    count3: Any
    from0: Any
    from1: Any
    from2: Any
    from3: Any
    to0: Any
    to1: Any
    to2: Any
    to3: Any


class FillArgs(NamedTuple):
    """Rows of ``count`` floats set to one value."""

    output: Any
    count: Any
    stride: Any
    value: Any


class ImageArgs(NamedTuple):
    """Planes of images, and the padded size of their dense pixels."""

    input: Any
    plane: Any
    channels: Any
    height: Any
    width: Any
    pad_y: Any
    pad_x: Any
    out_height: Any
    out_width: Any
    output: Any


class ChainArgs(NamedTuple):
    """A chain of elementwise operations; their arguments follow, see CHAIN_ARGUMENTS."""

    input: Any
    ld: Any
    output: Any
    output_ld: Any
    pixels: Any
    channels: Any
    pixels_per_unit: Any


#: Operation -> how many arguments it takes from the block.
#: Values: address, bytes per pixel (add: and a factor; rectified by: and a slope); constants:
#: address; numbers: float32 bits;
#: activations: first, second (prelu: and slopes).
CHAIN_ARGUMENTS = {
    "add": 3,
    "multiply": 2,
    "divide": 2,
    "maximum": 2,
    "exceeding": 2,
    "minimum": 2,
    "scale": 1,
    "bias": 1,
    "affine": 2,
    "absolute": 0,
    "square": 0,
    "root": 0,
    "exponential": 0,
    "logarithm": 0,
    "power": 2,
    "softplus": 0,
    "at most": 1,
    "constant": 1,
    "threshold": 1,
    "rectified by": 3,
    "none": 2,
    "relu": 2,
    "leaky": 2,
    "prelu": 3,
    "clip": 2,
    "elu": 2,
    "sigmoid": 2,
    "tanh": 2,
    "swish": 2,
}


class LrnArgs(NamedTuple):
    """Local response normalisation: x / (k + factor * sum or mean) ** beta; k, ... are floats."""

    input: Any
    ld: Any
    output: Any
    output_ld: Any
    height: Any
    width: Any
    channels: Any
    size: Any
    factor: Any
    k: Any
    beta: Any


class SoftmaxArgs(NamedTuple):
    """Softmax of ``count`` floats, or of ``count`` rows of ``inner`` floats; ld is of rows."""

    input: Any
    ld: Any
    output: Any
    output_ld: Any
    count: Any
    inner: Any


class TransposeArgs(NamedTuple):
    """Matrices of ``rows`` by ``columns`` turned around, a block a unit."""

    input: Any
    input_image: Any
    input_row: Any
    output: Any
    output_image: Any
    output_row: Any
    rows: Any
    columns: Any
    block_rows: Any
    block_columns: Any


class DepthwiseArgs(NamedTuple):
    """A convolution of each channel by itself; out_image, ... count pixels of the output."""

    input: Any
    ld: Any
    height: Any
    width: Any
    out_height: Any
    out_width: Any
    channels: Any
    kernel_y: Any
    kernel_x: Any
    stride_y: Any
    stride_x: Any
    pad_y: Any
    pad_x: Any
    dilation_y: Any
    dilation_x: Any
    weights: Any
    tap: Any
    bias: Any
    slopes: Any
    output: Any
    output_ld: Any
    out_image: Any
    out_row: Any
    out_step: Any
    residual: Any
    residual_ld: Any
    first: Any
    second: Any


class LinearArgs(NamedTuple):
    """Inner products of rows of inputs with rows of weights."""

    input: Any
    input_ld: Any
    images: Any
    inputs: Any
    weights: Any
    weights_ld: Any
    outputs: Any
    bias: Any
    slopes: Any
    output: Any
    output_ld: Any
    first: Any
    second: Any


class WinogradArgs(NamedTuple):
    """Winograd's algorithm; ``panels`` rows of PanelArgs follow. Offsets are in scratch memory."""

    input: Any
    ld: Any
    height: Any
    width: Any
    channels: Any
    pad_y: Any
    pad_x: Any
    out_height: Any
    out_width: Any
    tiles_y: Any
    tiles_x: Any
    tiles: Any
    zeros: Any
    block: Any
    planes: Any
    planes_offset: Any
    plane_bytes: Any
    tile_bytes: Any
    results_offset: Any
    result_bytes: Any
    panels: Any
    first: Any
    second: Any


class MomentArgs(NamedTuple):
    """Mean and deviation of each channel over the pixels of each group; ``eps`` is a float."""

    input: Any
    ld: Any
    pixels: Any
    channels: Any
    mean: Any
    deviation: Any
    eps: Any


class LengthArgs(NamedTuple):
    """Pixels divided by their Euclidean length; ``eps`` is a float."""

    input: Any
    ld: Any
    output: Any
    output_ld: Any
    channels: Any
    factors: Any
    eps: Any


class ResizeArgs(NamedTuple):
    """Bilinear resizing; for rows and columns the lower neighbours (int64) and shares of upper."""

    input: Any
    ld: Any
    height: Any
    width: Any
    bottom: Any
    right: Any
    channels: Any
    output: Any
    output_ld: Any
    out_height: Any
    out_width: Any
    rows: Any
    row_shares: Any
    columns: Any
    column_shares: Any


class UnpoolArgs(NamedTuple):
    """Elements put where a mask says in planes of ``places`` elements; rest is zero."""

    input: Any
    ld: Any
    mask: Any
    mask_ld: Any
    pixels: Any
    channels: Any
    output: Any
    output_ld: Any
    places: Any


class RegionArgs(NamedTuple):
    """Pooling over regions; ``bins`` has a row of floats for each, see kernels.regions."""

    input: Any
    ld: Any
    height: Any
    width: Any
    bins: Any
    pooled_y: Any
    pooled_x: Any
    channels: Any
    output: Any
    output_ld: Any


class GreatestArgs(NamedTuple):
    """Which channel of each pixel is the greatest."""

    input: Any
    ld: Any
    channels: Any
    output: Any
    output_ld: Any


class OuterArgs(NamedTuple):
    """Sums of outer products of a row of numbers with a row of lanes, over a grid of pixels.

    ``table`` has a row of six int64 for each tap: what it adds to the addresses of lanes and of
    numbers, and the rows and columns of the grid from which on and before which it sees both.
    """

    lanes: Any
    lanes_image: Any
    lanes_row: Any
    lanes_step: Any
    numbers: Any
    numbers_image: Any
    numbers_row: Any
    numbers_step: Any
    numbers_gap: Any
    count: Any
    images: Any
    rows: Any
    block: Any
    taps: Any
    table: Any
    output: Any
    output_number: Any
    output_tap: Any
    output_lane: Any


class PoolBackArgs(NamedTuple):
    """What pooling's windows give back to the elements they saw; sizes as in PoolArgs.

    ``mask`` is where each maximum stood in its plane; ``shares`` one float for each window, by
    which it gives to all of them.
    """

    input: Any
    ld: Any
    height: Any
    width: Any
    out_height: Any
    out_width: Any
    kernel_y: Any
    kernel_x: Any
    stride_y: Any
    stride_x: Any
    pad_y: Any
    pad_x: Any
    channels: Any
    output: Any
    output_ld: Any
    mask: Any
    mask_ld: Any
    shares: Any


class UpdateArgs(NamedTuple):
    """A parameter's update, all of its arrays in one order; the numbers are float32 bits.

    ``rate``, ``iteration`` and ``clip`` are the addresses of one float each.
    """

    gradient: Any
    data: Any
    history: Any
    second: Any
    rate: Any
    iteration: Any
    clip: Any
    count: Any
    per_unit: Any
    new_data: Any
    new_history: Any
    new_second: Any
    lr_mult: Any
    share: Any
    decay: Any
    momentum: Any
    momentum2: Any
    rms_decay: Any
    delta: Any
