"""The argument blocks of kernels of gradients; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class LrnBackArgs(NamedTuple):
    """The gradient of local response normalisation across channels.

    ``result`` is what the layer gave, ``twice`` -2 * factor * beta; ``row`` and ``margin`` are
    bytes of scratch memory.
    """

    input: Argument
    ld: int
    result: Argument
    result_ld: int
    top: Argument
    top_ld: int
    output: Argument
    output_ld: int
    channels: int
    reach: int
    row: int
    margin: int
    factor: float
    k: float
    beta: float
    twice: float


class RowsBackArgs(NamedTuple):
    """Rows of numbers times a matrix whose rows lie ``weights_ld`` bytes apart."""

    numbers: Argument
    numbers_ld: int
    images: int
    weights: Argument
    weights_ld: int
    terms: int
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    output: Argument
    output_ld: int
