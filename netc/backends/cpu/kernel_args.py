"""The argument blocks of kernels: one int64 a field, in the order of the fields.

Builders in :mod:`netc.backends.cpu.steps` make them, kernels read them by
``record(Layout, address)``. Addresses and leading dimensions are in bytes inside kernels; builders
give places and the runner turns them into addresses. Float fields hold float32 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class RunArgs(NamedTuple):
    """What the program loop reads; one block per context and segment."""

    steps: int
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    threads: int
    epoch: int
    scratch: int
    scratch_stride: int
    ticks: int
    yield_function: int
    clock_function: int
    clock: int
    counters: int


class StepRow(NamedTuple):
    """One row of the step table: ``units`` units, the first of them number ``first``."""

    kernel: int
    args: int
    units: int
    grain: int
    first: int


class MoveArgs(NamedTuple):
    """A copy of four nested axes; strides in bytes."""

    input: Argument
    output: Argument
    count1: int
    count2: int
    count3: int
    from0: int
    from1: int
    from2: int
    from3: int
    to0: int
    to1: int
    to2: int
    to3: int


class FillArgs(NamedTuple):
    """Rows of ``count`` floats set to one value."""

    output: Argument
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    stride: int
    value: float


class ImageArgs(NamedTuple):
    """Planes of images, and the padded size of their dense pixels."""

    input: Argument
    plane: int
    channels: int
    height: int
    width: int
    pad_y: int
    pad_x: int
    out_height: int
    out_width: int
    output: Argument


class ChainArgs(NamedTuple):
    """A chain of elementwise operations; their arguments follow, see CHAIN_ARGUMENTS."""

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    pixels: int
    channels: int
    pixels_per_unit: int


#: Operation -> how many arguments it takes from the block.
#: Values: address, bytes per pixel (add: and a factor; rectified by: and a slope; sloped by: and
#: the address of slopes); constants: address; numbers: float32 bits;
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
    "sloped by": 3,
    "elu slope": 1,
    "within": 2,
    "none": 2,
    "relu": 2,
    "leaky": 2,
    "prelu": 3,
    "clip": 2,
    "relu6": 2,
    "elu": 2,
    "sigmoid": 2,
    "tanh": 2,
    "swish": 2,
}


class LrnArgs(NamedTuple):
    """Local response normalisation: x / (k + factor * sum or mean) ** beta; k, ... are floats."""

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    height: int
    width: int
    channels: int
    size: int
    factor: float
    k: float
    beta: float


class SoftmaxArgs(NamedTuple):
    """Softmax of ``count`` floats, or of ``count`` rows of ``inner`` floats; ld is of rows."""

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    inner: int


class TransposeArgs(NamedTuple):
    """Matrices of ``rows`` by ``columns`` turned around, a block a unit."""

    input: Argument
    input_image: int
    input_row: int
    output: Argument
    output_image: int
    output_row: int
    rows: int
    columns: int
    block_rows: int
    block_columns: int


class ReduceArgs(NamedTuple):
    """Pixels rounded to fewer bits, in words of four bytes; ``inverse`` and ``zero`` are floats."""

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    pixels: int
    channels: int
    pixels_per_unit: int
    inverse: float
    zero: float


class MomentArgs(NamedTuple):
    """Mean and deviation of each channel over the pixels of each group; ``eps`` is a float."""

    input: Argument
    ld: int
    pixels: int
    channels: int
    mean: Argument
    deviation: Argument
    eps: float


class LengthArgs(NamedTuple):
    """Pixels divided by their Euclidean length; ``eps`` is a float."""

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    channels: int
    factors: Argument
    eps: float


class ResizeArgs(NamedTuple):
    """Bilinear resizing; for rows and columns the lower neighbours (int64) and shares of upper."""

    input: Argument
    ld: int
    height: int
    width: int
    bottom: int
    right: int
    channels: int
    output: Argument
    output_ld: int
    out_height: int
    out_width: int
    rows: Argument
    row_shares: Argument
    columns: Argument
    column_shares: Argument


class UnpoolArgs(NamedTuple):
    """Elements put where a mask says in planes of ``places`` elements; rest is zero."""

    input: Argument
    ld: int
    mask: Argument
    mask_ld: int
    pixels: int
    channels: int
    output: Argument
    output_ld: int
    places: int


class EmbedArgs(NamedTuple):
    """Rows of a table by their numbers; ``status`` gets -1 less the bits of one that is none."""

    input: Argument
    numbers: int
    vectors: Argument
    limit: int
    channels: int
    bias: Argument
    output: Argument
    rows_per_unit: int
    status: Argument


class RegionArgs(NamedTuple):
    """Pooling over regions; ``bins`` has a row of floats for each, see kernels.regions."""

    input: Argument
    ld: int
    height: int
    width: int
    bins: Argument
    pooled_y: int
    pooled_x: int
    channels: int
    output: Argument
    output_ld: int


class GreatestArgs(NamedTuple):
    """Which channel of each pixel is the greatest."""

    input: Argument
    ld: int
    channels: int
    output: Argument
    output_ld: int


class OuterArgs(NamedTuple):
    """Sums of outer products of a row of numbers with a row of lanes, over a grid of pixels.

    ``table`` has a row of six int64 for each tap: what it adds to the addresses of lanes and of
    numbers, and the rows and columns of the grid from which on and before which it sees both.
    """

    lanes: Argument
    lanes_image: int
    lanes_row: int
    lanes_step: int
    numbers: Argument
    numbers_image: int
    numbers_row: int
    numbers_step: int
    numbers_gap: int
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    images: int
    rows: int
    block: int
    taps: int
    table: Argument
    output: Argument
    output_number: int
    output_tap: int
    output_lane: int


class RecurrentArgs(NamedTuple):
    """A time step of a recurrent layer; every row lies behind the one of the stream before."""

    units: Argument
    product: Argument
    cells: Argument
    output: Argument
    masked: Argument
    cont: Argument
    next_cont: Argument
    hidden: int


class FilterArgs(NamedTuple):
    """Items of a batch that are copied where a selector is not 0; ``status`` gets how many."""

    selector: Argument
    selector_ld: int
    items: int
    pixels: int
    channels: int
    input: Argument
    ld: int
    output: Argument
    output_ld: int
    status: Argument
