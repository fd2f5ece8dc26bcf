"""The argument blocks of kernels that sum over pixels; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class RunSumArgs(NamedTuple):
    """Sums of runs of ``per_unit`` pixels; ``row`` bytes for each quantity of a run."""

    input: Argument
    ld: int
    other: Argument
    other_ld: int
    pixels: int
    channels: int
    per_unit: int
    output: Argument
    row: int


#: Kind of a run's sums -> its quantities, in the order of their rows: the sum of x, the sum of
#: squares about the mean, the sum of dy or of products, and that of dy times x about the mean.
RUN_SUMS = {
    "sum": ("S",),
    "product": ("S",),
    "negative": ("S",),
    "moments": ("X", "M"),
    "both": ("X", "M", "S", "C"),
}


class JoinArgs(NamedTuple):
    """What is made of the sums of runs: see netc.backends.cpu.kernels.channel_sums.

    ``first`` and ``second`` are addresses of what stood before, or of factors; ``keep`` and
    ``share`` the weights of old and new averages; floats but for addresses and counts. Where sums
    are only added, ``per_unit`` is the bytes of a run, ``first`` and ``second`` those from a row
    of the output to the next and from a channel to the next.
    """

    sums: Argument
    row: int
    runs: int
    per_unit: int
    pixels: int
    channels: int
    output: Argument
    output2: Argument = 0
    first: Argument = 0
    second: Argument = 0
    eps: Argument = 0
    keep: Argument = 0
    share: Argument = 0
    share2: Argument = 0


class NormalizeBackArgs(NamedTuple):
    """The gradient of what was normalised; ``sums`` has four rows of channels."""

    input: Argument
    ld: int
    other: Argument
    other_ld: int
    output: Argument
    output_ld: int
    sums: Argument
    row: int
    pixels: int
    channels: int
    per_unit: int


class TapSumArgs(NamedTuple):
    """Sums over a grid of dy times x moved by a tap, channel by channel.

    ``table`` has five int64 for each tap: what it adds to x's address, and the rows and columns of
    the grid from which on and before which it sees an element.
    """

    input: Argument
    input_image: int
    input_row: int
    input_step: int
    other: Argument
    other_row: int
    other_step: int
    images: int
    rows: int
    per_unit: int
    channels: int
    taps: int
    table: Argument
    output: Argument
    row: int
