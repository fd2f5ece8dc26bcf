"""The argument blocks of kernels that pack weights; see netc.backends.cpu.kernel_args."""

from __future__ import annotations

from typing import Any, NamedTuple


class PackArgs(NamedTuple):
    """Weights as panels of ``lanes`` outputs, [panel][tap][input][lane]; distances in bytes.

    ``block`` inputs are a unit's. ``table`` has, for each element of a run of memory, the place of
    its row of lanes after the first one; ``row_step`` is from an input's rows to the next one's.
    """

    source: Any
    output_step: Any
    input_step: Any
    outputs: Any
    inputs: Any
    taps: Any
    lanes: Any
    block: Any
    table: Any
    row_step: Any
    target: Any
    panel_bytes: Any
    plane_bytes: Any = 0


class CopyArgs(NamedTuple):
    """``count`` floats, ``per_unit`` in a unit."""

    source: Any
    target: Any
    count: Any
    per_unit: Any
