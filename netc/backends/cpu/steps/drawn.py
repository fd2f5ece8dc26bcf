"""Steps of layers that multiply by what the generator draws."""

from __future__ import annotations

import math
from typing import NamedTuple

from netc.backends.cpu import jit
from netc.backends.cpu.program import Argument, Step
from netc.backends.cpu.training_args import DrawArgs
from netc.backends.shared.views import View

_UNIT_ELEMENTS = 1 << 12  # elements of a unit of work, about
_WORD = 0xFFFFFFFF


class Drawing(NamedTuple):
    """How rows of elements lie, and which number of the generator each element gets.

    Args:
        each: a number for each element, else one for each row.
        rows: how many.
        channels: elements of a row; of all rows together there are ``total``.
        total: elements.
        area: rows of an image.
        steps: between the generator's numbers of images, of an image's rows, and of channels.
        lds: floats from a row to the next in input and output; None for the views' own.
    """

    each: bool
    rows: int
    channels: int
    total: int
    area: int
    steps: tuple[int, int, int]
    lds: tuple[int, int] | None


def drawn_step(
    name: str,
    how: Drawing,
    x: View,
    y: View,
    key: Argument,
    layer: int,
    ratio: float,
    scale: float,
) -> Step:
    """Y is x times 0 where the number drawn is below the ratio, else times the scale.

    ``key`` is the generator's, four floats; ``layer`` the layer's number. y may be x.
    """
    per_unit = max(1, _UNIT_ELEMENTS // max(1, how.channels))
    ld, output_ld = how.lds or (x.ld, y.ld)
    args = DrawArgs(
        x.place,
        4 * ld,
        y.place,
        4 * output_ld,
        how.channels,
        how.rows,
        per_unit,
        how.total,
        how.area,
        *how.steps,
        key,
        layer & _WORD,
        ratio,
        scale,
    )
    kernel = jit.spec("drawn", "masked", each=how.each)
    units = math.ceil(how.rows / per_unit)
    return Step(name, kernel, args, units, pointwise_reads=(x.place,))
