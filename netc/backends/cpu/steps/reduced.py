"""Products in fewer bits: words of four bytes in the place of channels.

    x float32 ──reduce_step──▶ words ──reduced_steps──▶ y float32, or words again

An input's pixels become words of four codes or two bfloat16; weights lie in words of the same
elements, and the step is that of any other product (netc.backends.cpu.steps.product). What the
numbers mean is in :mod:`netc.ops.reduced`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import ReduceArgs
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.product_args import INPUT_ZERO, ZERO_CODES, constants_of
from netc.backends.cpu.program import Step
from netc.backends.shared.views import View
from netc.ops.reduced import Bfloat16, Int8, Number, round_to_bfloat16, weight_codes

Array = NDArray[np.float32]
_UNIT_ELEMENTS = 16384  # elements in a unit of work, about
_PARTS = (64, 48, 32, 24, 16, 12, 8, 6, 5, 4, 3, 2)  # that a long row may be cut in


def in_words(view: View, number: Number) -> View:
    """A value of this view's pixels as dense words in its place."""
    words = -(-view.c // number.per_word)
    return replace(view, c=words, ld=words, zeros=0)


def kept_words(view: View, number: Number) -> View:
    """A kept value, whose view counts elements in words that it has already, as words."""
    return replace(view, c=view.c // number.per_word, zeros=0)


def words_of(elements: int, number: Number | None) -> int:
    """How many words of four bytes so many elements take, None for float32's; whole ones."""
    return elements // (number.per_word if number else 1)


def reduce_step(name: str, x: View, y: View, number: Number) -> Step:
    """Round a value's elements.

    Args:
        name: the layer's.
        x: float32.
        y: words, see ``in_words``.
        number: what to.
    """
    if x.ld == x.c and x.c % number.per_word == 0 and y.ld == y.c:
        # No gaps between pixels: any rows will do, so take long ones.
        row, words = x.w * x.c, y.w * y.c
        fitting = (k for k in _PARTS if row > k * _UNIT_ELEMENTS and words % k == 0)
        parts = next(fitting, 1)
        x = replace(x, w=parts, c=row // parts, ld=row // parts)
        y = replace(y, w=parts, c=words // parts, ld=words // parts)
    per_unit = max(1, _UNIT_ELEMENTS // x.c)
    inverse, zero = (float(number.inverse), number.zero) if isinstance(number, Int8) else (1.0, 0)
    args = ReduceArgs(
        x.place, 4 * x.ld, y.place, 4 * y.ld, x.pixels, x.c, per_unit, inverse, float(zero)
    )
    kernel = jit.spec("reduce", "reduce", number=number.name)
    return Step(name, kernel, args, math.ceil(x.pixels / per_unit))


@dataclass(frozen=True, slots=True, eq=False)
class ReducedArithmetic:
    """A product's arithmetic, beside its geometry.

    Args:
        number: what inputs and weights are.
        weights: (outputs, words of a group's channels, kernel h, kernel w), words as float32 bits;
            of a depthwise product (channels, 1, kernel h, kernel w), codes as float32.
        factors: (outputs,) what int8's sums are multiplied by; None of bfloat16.
        summands: (outputs,) int32, what is added to them before.
        added: what the residual is kept as; None for float32.
        stored: what the result is kept as; None for float32.
    """

    number: Number
    weights: Array
    factors: Array | None = None
    summands: NDArray[np.int32] | None = None
    added: Number | None = None
    stored: Number | None = None

    @property
    def formats(self) -> tuple[str, str, str]:
        """By their names, see ``kernels.epilogue.Formats``."""
        names = [n.name if n else "float32" for n in (self.added, self.stored)]
        return (self.number.name, names[0], names[1])

    @property
    def padding(self) -> Array:
        """A word of what lies around the input."""
        return np.full(4, self.zero, np.uint8).view(np.float32)

    def panels(self, bias: Array | None, first: int, count: int, lanes: int) -> Array:
        """(panels, ...): the constants of channels ``first`` on, as kernels read them."""
        number = math.ceil(count / lanes)
        here = slice(first, first + count)
        plain = isinstance(self.number, Bfloat16)
        made = aligned_zeros((number, lanes if plain else constants_of(lanes)))
        rows = [bias, self.factors, self.summands]
        for row, values in enumerate(rows[:1] if plain else rows):
            if values is not None:
                padded = np.zeros(number * lanes, np.float32)
                padded[:count] = values[here].view(np.float32)
                made[:, row * lanes : (row + 1) * lanes] = padded.reshape(number, lanes)
        if not plain:
            made[:, 3 * lanes : 3 * lanes + INPUT_ZERO] = self._scales()
            made[:, 3 * lanes + INPUT_ZERO] = self.zero
            made[:, 3 * lanes + ZERO_CODES :] = self.padding[0]
        return made

    @property
    def zero(self) -> int:
        """What stands for 0 in the input."""
        return self.number.zero if isinstance(self.number, Int8) else 0

    def _scales(self) -> Sequence[float]:
        added = (self.added.scale, self.added.zero) if isinstance(self.added, Int8) else (1, 0)
        if isinstance(self.stored, Int8):
            return (*added, float(self.stored.inverse), self.stored.zero)
        return (*added, 1.0, 0.0)


def reduced(
    weights: Array, number: Number, added: Number | None = None, stored: Number | None = None
) -> ReducedArithmetic:
    """A product's arithmetic for weights (outputs, channels of a group, kernel h, kernel w)."""
    if isinstance(number, Bfloat16):
        bits = round_to_bfloat16(weights).view(np.uint32) >> np.uint32(16)
        return ReducedArithmetic(
            number, as_words(bits.astype(np.uint16), 2), None, None, added, stored
        )
    codes, scales = weight_codes(weights)
    sums = codes.reshape(len(codes), -1).sum(axis=1, dtype=np.int64)
    factors = np.float32(number.scale) * scales
    summands = (-number.zero * sums).astype(np.int32)
    return ReducedArithmetic(number, as_words(codes, 4), factors, summands, added, stored)


def reduced_depthwise(
    weights: Array, number: Int8, added: Number | None = None, stored: Number | None = None
) -> ReducedArithmetic:
    """A depthwise product's arithmetic: its weights are codes as float32, and nothing is added."""
    codes, scales = weight_codes(weights)
    factors = np.float32(number.scale) * scales
    return ReducedArithmetic(number, codes.astype(np.float32), factors, None, added, stored)


def as_words(elements: NDArray[np.uint16] | NDArray[np.int8], per_word: int) -> Array:
    """(outputs, channels, h, w) of small elements as (outputs, words, h, w), zeros at the end."""
    outputs, channels, *kernel = elements.shape
    words = -(-channels // per_word)
    padded = np.zeros((outputs, *kernel, words * per_word), elements.dtype)
    padded[..., :channels] = elements.transpose(0, *range(2, elements.ndim), 1)
    lying = padded.view(np.float32)
    return lying.transpose(0, lying.ndim - 1, *range(1, lying.ndim - 1))
