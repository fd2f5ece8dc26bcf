"""The argument blocks of kernels that sum over pixels; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import Any, NamedTuple


class RunSumArgs(NamedTuple):
    """Sums of runs of ``per_unit`` pixels; ``row`` bytes for each quantity of a run."""

    input: Any
    ld: Any
    other: Any
    other_ld: Any
    pixels: Any
    channels: Any
    per_unit: Any
    output: Any
    row: Any


#: Kind of a run's sums -> its quantities, in the order of their rows: the sum of x, the sum of
#: squares about the mean, the sum of dy or of products, and that of dy times x about the mean.
RUN_SUMS = {
    "sum": ("S",),
    "product": ("S",),
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

    sums: Any
    row: Any
    runs: Any
    per_unit: Any
    pixels: Any
    channels: Any
    output: Any
    output2: Any = 0
    first: Any = 0
    second: Any = 0
    eps: Any = 0
    keep: Any = 0
    share: Any = 0
    share2: Any = 0


class NormalizeBackArgs(NamedTuple):
    """The gradient of what was normalised; ``sums`` has four rows of channels."""

    input: Any
    ld: Any
    other: Any
    other_ld: Any
    output: Any
    output_ld: Any
    sums: Any
    row: Any
    pixels: Any
    channels: Any
    per_unit: Any


class TapSumArgs(NamedTuple):
    """Sums over a grid of dy times x moved by a tap, channel by channel.

    ``table`` has five int64 for each tap: what it adds to x's address, and the rows and columns of
    the grid from which on and before which it sees an element.
    """

    input: Any
    input_image: Any
    input_row: Any
    input_step: Any
    other: Any
    other_row: Any
    other_step: Any
    images: Any
    rows: Any
    per_unit: Any
    channels: Any
    taps: Any
    table: Any
    output: Any
    row: Any
