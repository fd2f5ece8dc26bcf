"""CompactBilinear: count sketches of two maps' channels, convolved at each place.

compact_bilinear_layer.cpp of gy20073/compact_bilinear_pooling (Gao et al. 2016, arXiv:1511.06062).
Channel c of a map is added, with a sign, to place h(c) of ``num_output``; the circular convolution
of both sketches is, in expectation, a sketch of their outer product. Places and signs are those of
glibc's ``rand`` after ``srand(1)``, on which trained weights depend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import need_axes
from netc.ops.cost import per_output
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class CompactBilinearParams:
    """``pooled``: the sum over all places; else a result for each."""

    num_output: int
    pooled: bool


def _parse(layer: Message, context: LayerContext) -> CompactBilinearParams:
    message = reject_unknown_fields(layer.get("compact_bilinear_param"), "num_output", "sum_pool")
    return CompactBilinearParams(required_number(message, "num_output"), message.get("sum_pool"))


def _shape(params: CompactBilinearParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    first, second = inputs
    for shape in inputs:
        need_axes(shape, 4, "CompactBilinear")
        if len(shape) != 4:
            raise ShapeError(f"both bottoms must have 4 axes, one is {show(shape)}")
    if (first[0], *first[2:]) != (second[0], *second[2:]):
        raise ShapeError(
            f"both bottoms must have one size but for their channels: {show(first)} and "
            f"{show(second)}"
        )
    if params.num_output % 2:
        raise ShapeError(
            f"`num_output` must be even, it is {params.num_output}",
            "compact_bilinear_param.num_output",
            ("the fork's code for CPUs takes no odd one",),
        )
    return ((first[0], params.num_output, *((1, 1) if params.pooled else first[2:])),)


_DEGREE, _APART, _SKIPPED = 31, 3, 310  # of glibc's random_r.c, its default generator
_MODULUS = 2**31 - 1


def glibc_rand(number: int) -> list[int]:
    """The first results of ``rand()`` of glibc after ``srand(1)``: an additive feedback generator.

    >>> glibc_rand(2)
    [1804289383, 846930886]
    """
    state = [1]
    while len(state) < _DEGREE:
        state.append(16807 * state[-1] % _MODULUS)
    state += state[:_APART]
    while len(state) < number + _DEGREE + _APART + _SKIPPED:
        state.append((state[-_DEGREE] + state[-_APART]) & 0xFFFFFFFF)
    return [value >> 1 for value in state[_DEGREE + _APART + _SKIPPED :]]


class Sketch(NamedTuple):
    """Of each channel its place among the outputs, and its sign."""

    place: AnyArray
    sign: AnyArray


@lru_cache(maxsize=8)
def sketches(num_output: int, first: int, second: int) -> tuple[Sketch, Sketch]:
    """Those of two maps with so many channels."""
    drawn = iter(glibc_rand(2 * (first + second)))
    made = []
    for channels in (first, second):
        place = np.array([next(drawn) % num_output for _ in range(channels)], np.int64)
        sign = np.array([2 * (next(drawn) % 2) - 1 for _ in range(channels)], np.float32)
        made.append(Sketch(place, sign))
    return made[0], made[1]


def frequencies(params: CompactBilinearParams, sketch: Sketch, x: AnyArray) -> AnyArray:
    """The real Fourier transform of a map's sketch, (images, places, num_output // 2 + 1)."""
    flat = x.reshape(*x.shape[:2], -1)
    counted = np.zeros((x.shape[0], params.num_output, flat.shape[2]), x.dtype)
    for channel, (place, sign) in enumerate(zip(*sketch, strict=True)):
        counted[:, place] += x.dtype.type(sign) * flat[:, channel]
    return np.fft.rfft(counted.transpose(0, 2, 1), axis=2)


def summed(params: CompactBilinearParams, transform: AnyArray, like: AnyArray) -> AnyArray:
    """Back from frequencies, (images, places, num_output); not divided by ``num_output``, as the
    fork's libraries do not.
    """
    number = params.num_output
    result: AnyArray = (np.fft.irfft(transform, number, axis=2) * number).astype(like.dtype)
    return result


def _compact(
    params: CompactBilinearParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    first, second = (np.asarray(array) for array in inputs)
    pair = sketches(params.num_output, first.shape[1], second.shape[1])
    product = frequencies(params, pair[0], first) * frequencies(params, pair[1], second)
    if params.pooled:
        product = product.sum(axis=1, keepdims=True)
    (shape,) = _shape(params, (first.shape, second.shape))
    return (summed(params, product, first).transpose(0, 2, 1).reshape(shape),)


COMPACT_BILINEAR = OpDef(
    name="CompactBilinear",
    arity=Arity((2, 2), (1, 1)),
    params=_parse,
    shape=_shape,
    cost=per_output(60),
    window=full_extent,
    memory=lambda params, inputs, outputs: (
        48 * params.num_output * inputs[0][0] * inputs[0][2] * inputs[0][3]
        + copies(2)(params, inputs, outputs)
    ),
    reference=_compact,
    family="pooling",
    host=True,
)

OPS = (COMPACT_BILINEAR,)
