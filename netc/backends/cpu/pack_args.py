"""The argument blocks of kernels that pack weights; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netc.backends.cpu.program import Argument


class PackArgs(NamedTuple):
    """Weights as panels of ``lanes`` outputs, [panel][tap][input][lane]; distances in bytes.

    ``block`` inputs are a unit's. ``table`` has, for each element of a run of memory, the place of
    its row of lanes after the first one; ``row_step`` is from an input's rows to the next one's.
    """

    source: Argument
    output_step: int
    input_step: int
    outputs: int
    inputs: int
    taps: int
    lanes: int
    block: int
    table: Argument
    row_step: int
    target: Argument
    panel_bytes: int
    plane_bytes: int = 0


class CopyArgs(NamedTuple):
    """``count`` floats, ``per_unit`` in a unit."""

    source: Argument
    target: Argument
    count: int  # type: ignore[assignment]  # a tuple has a method of this name
    per_unit: int
