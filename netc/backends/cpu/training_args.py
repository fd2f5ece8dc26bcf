"""The argument blocks of kernels that only training has; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class DrawArgs(NamedTuple):
    """Elements multiplied by 0 or ``scale`` as the generator draws (netc.ops.random).

    Row r of ``channels`` elements is of image r // ``area``; an element's number for the generator
    is ``image_step`` * image + ``pixel_step`` * (r % area) + ``channel_step`` * channel. Of all
    rows together there are ``total`` elements. ``key`` is the address of the generator's key, and
    ``layer`` the layer's number.
    """

    input: Argument
    ld: int
    output: Argument
    output_ld: int
    channels: int
    rows: int
    per_unit: int
    total: int
    area: int
    image_step: int
    pixel_step: int
    channel_step: int
    key: Argument
    layer: int
    ratio: float
    scale: float


class SquaresArgs(NamedTuple):
    """Sums of squares, a float for each run of ``per_unit`` of ``number`` elements.

    Each element is multiplied by the float at ``clip`` and by ``share`` first.
    """

    input: Argument
    number: int
    per_unit: int
    clip: Argument
    share: float
    output: Argument


class NormArgs(NamedTuple):
    """The norm of ``runs`` sums of squares, and the factor that brings it down to ``limit``."""

    squares: Argument
    runs: int
    limit: float
    scale: Argument
    norm: Argument


class LocalRateArgs(NamedTuple):
    """A parameter's own rate, from the norms of its elements and of its gradient.

    Fields are those of netc.ops.update_rules.LocalRate; ``squares`` are ``runs`` sums of the
    elements' squares and then as many of the gradient's.
    """

    squares: Argument
    runs: int
    rate: Argument
    ratio: float
    decay: float
    clip: int
    output: Argument


class UpdateArgs(NamedTuple):
    """A parameter's update, all of its arrays in one order; the numbers are float32 bits.

    ``rate``, ``iteration`` and ``clip`` are the addresses of one float each. Where the gradient is
    a mean its summands are ``distance`` bytes apart, and ``mean`` is 1 over their number.
    """

    gradient: Argument
    data: Argument
    history: Argument
    second: Argument
    third: Argument
    rate: Argument
    iteration: Argument
    clip: Argument
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    per_unit: int
    new_data: Argument
    new_history: Argument
    new_second: Argument
    new_third: Argument
    lr_mult: float
    share: float
    decay: float
    momentum: float
    momentum2: float
    rms_decay: float
    delta: float
    distance: int
    mean: float
