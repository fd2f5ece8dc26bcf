"""A convolution and the window that reads it, band by band: netc.passes.tile_bottlenecks.

The rows of a band lie in the node's scratch memory, always in the same place, so that they never
leave the cache; the rows that two bands need are moved to its front. Where the second layer runs by
an algorithm that has tiles of its own, both run whole, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.emit.pooling import pool_step, window_of_pooling
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.choice import convolution_steps
from netc.backends.cpu.steps.conv import conv_step
from netc.backends.cpu.steps.costs import PRODUCT, ConvShape, choose_algorithm
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.product import Packed
from netc.backends.shared.derived import Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, moved
from netc.ir.types import Shape
from netc.ops.pooling import PoolingParams
from netc.ops.window import Axis
from netc.passes.tile_bottlenecks import cut

Rows = tuple[int, int]


class Convolution(NamedTuple):
    """A convolution from one view to another."""

    x: View
    y: View
    weights: Weights
    geometry: Geometry
    epilogue: Epilogue


class Pooled(NamedTuple):
    """A pooling of the value between to a view."""

    y: View
    params: PoolingParams


class ConvolutionPair(NamedTuple):
    """A convolution to the value between, and what reads that.

    Args:
        first: its output is the memory for a band, or for all.
        then: reads all of the value between, of which a band is at hand.
        between: the value's shape.
        window: of ``then``, along rows.
    """

    first: Convolution
    then: Convolution | Pooled
    between: Shape
    window: Axis


def banded_steps(context: EmitContext, name: str, pair: ConvolutionPair) -> list[Step]:
    """Steps of a convolution and of the window that reads it."""
    then = pair.then
    if isinstance(then, Convolution):
        y = then.y
        shape = ConvShape(y.n, pair.between[1], (y.c,), y.h, y.w, then.geometry)
        if choose_algorithm(shape, context.target, context.exact) != PRODUCT:
            return [step for one in (pair.first, then) for step in _whole(context, name, one)]
    return list(_bands(name, pair, context.target))


def _whole(context: EmitContext, name: str, one: Convolution) -> list[Step]:
    steps = convolution_steps(
        name, one.x, [one.y], one.weights, one.geometry, context.target, one.epilogue,
        context.exact,
    )  # fmt: skip
    return list(steps)


def _bands(name: str, pair: ConvolutionPair, target: Machine) -> Iterator[Step]:
    first, window, height = pair.first, pair.window, pair.between[2]
    y = pair.then.y
    bands = cut(pair.between, (y.n, y.c, y.h, y.w), 0, window)
    band = replace(first.y, n=1, h=bands.height)
    packed: tuple[Packed, Packed] = {}, {}
    for image in range(y.n):
        low = made = 0  # the first row at hand, and the one after the last
        for start in range(0, y.h, bands.rows):
            stop = min(start + bands.rows, y.h)
            top, bottom = seen_rows(window, start, stop)
            begin, end = max(top, 0), min(bottom, height)
            if begin < made and low < begin:
                source = rows_of(band, 0, begin - low, made - low)
                yield copy_step(name, source, rows_of(band, 0, 0, made - begin))
            low, made = begin, max(begin, made)
            if end > made:
                target_rows = rows_of(band, 0, made - low, end - low)
                yield _made(name, first, image, (made, end), target_rows, target, packed[0])
                made = end
            seen = rows_of(band, 0, 0, max(end - low, 1))
            yield _read(name, pair, image, (start, stop), seen, max(0, -top), target, packed[1])


def seen_rows(window: Axis, start: int, stop: int) -> Rows:
    """The input rows, padding included, that output rows ``start`` to ``stop`` look at."""
    first = start * window.stride - window.pad
    return first, (stop - 1) * window.stride - window.pad + window.extent


def _made(
    name: str, one: Convolution, image: int, rows: Rows, y: View, target: Machine, packed: Packed
) -> Step:
    """Rows of the value between."""
    geometry = one.geometry
    window = Axis(
        one.x.h, geometry.kernel[0], geometry.stride[0], geometry.pad[0], geometry.dilation[0]
    )
    top, bottom = seen_rows(window, *rows)
    begin, end = max(top, 0), min(bottom, one.x.h)
    x = rows_of(one.x, image, begin, max(end, begin + 1))
    geometry = replace(geometry, pad=(max(0, -top), geometry.pad[1]))
    return conv_step(name, x, [y], one.weights, geometry, target, one.epilogue, packed=packed)


def _read(
    name: str,
    pair: ConvolutionPair,
    image: int,
    rows: Rows,
    x: View,
    pad: int,
    target: Machine,
    packed: Packed,
) -> Step:
    """Rows of the result."""
    one, y = pair.then, rows_of(pair.then.y, image, *rows)
    if isinstance(one, Pooled):
        window = window_of_pooling(one.params, pair.between)
        return pool_step(name, one.params, x, y, replace(window, pad=(pad, window.pad[1])))
    geometry = replace(one.geometry, pad=(pad, one.geometry.pad[1]))
    residual = one.epilogue.residual
    epilogue = replace(
        one.epilogue, residual=None if residual is None else rows_of(residual, image, *rows)
    )
    return conv_step(name, x, [y], one.weights, geometry, target, epilogue, packed=packed)


def rows_of(view: View, image: int, start: int, stop: int) -> View:
    """Some rows of one image of a view."""
    place = moved(view.place, (image * view.h + start) * view.w * view.ld)
    return replace(view, place=place, n=1, h=stop - start)
