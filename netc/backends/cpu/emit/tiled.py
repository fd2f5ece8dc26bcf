"""A bottleneck and the convolution that reads it, band by band: netc.passes.tile_bottlenecks.

The bottleneck lies in the node's scratch memory. Where the second convolution runs by an algorithm
that has tiles of its own, both run whole, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from netc.backends.cpu.emit.emission import Emission, Steps
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.choice import PRODUCT, ConvShape, choose_algorithm, convolution_steps
from netc.backends.cpu.steps.conv import Geometry, conv_step
from netc.backends.cpu.steps.epilogue import Epilogue
from netc.backends.cpu.steps.product import Packed
from netc.backends.cpu.views import View, moved
from netc.ir.graph import Array
from netc.passes.tile_bottlenecks import cut


class Convolution(NamedTuple):
    """A convolution from one view to another."""

    x: View
    y: View
    weights: Array
    geometry: Geometry
    epilogue: Epilogue


def tiled_steps(emission: Emission, name: str, first: Convolution, then: Convolution) -> Steps:
    """Steps of a 1x1 convolution and of the one that reads it."""
    y, target = then.y, emission.target
    shape = ConvShape(y.n, then.x.c, (y.c,), y.h, y.w, then.geometry)
    if choose_algorithm(shape, target, emission.exact) == PRODUCT:
        return list(_bands(name, first, then, target))
    return [step for one in (first, then) for step in _whole(emission, name, one)]


def _whole(emission: Emission, name: str, one: Convolution) -> Steps:
    steps = convolution_steps(
        name, one.x, [one.y], one.weights, one.geometry, emission.target, one.epilogue,
        emission.exact,
    )  # fmt: skip
    return list(steps)


def _bands(name: str, first: Convolution, then: Convolution, target: Machine) -> Iterator[Step]:
    between, y = first.y, then.y
    weights = first.weights.nbytes + then.weights.nbytes
    packed: tuple[Packed, Packed] = {}, {}
    rows = cut((y.n, between.c, between.h, between.w), (y.n, y.c, y.h, y.w), weights).rows
    for image in range(y.n):
        made = 0  # rows of the bottleneck
        for start in range(0, y.h, rows):
            stop = min(start + rows, y.h)
            top, bottom = seen_rows(then.geometry, start, stop)
            needed = min(bottom, between.h)
            if needed > made:
                yield _band(name, first, image, (made, needed), (made, needed), target, packed[0])
                made = needed
            seen = max(top, 0), max(needed, max(top, 0) + 1)
            pad = max(0, -top), then.geometry.pad[1]
            part = then._replace(geometry=replace(then.geometry, pad=pad))
            yield _band(name, part, image, seen, (start, stop), target, packed[1])


def seen_rows(geometry: Geometry, start: int, stop: int) -> tuple[int, int]:
    """The input rows, padding included, that output rows ``start`` to ``stop`` look at."""
    stride, pad = geometry.stride[0], geometry.pad[0]
    extent = geometry.dilation[0] * (geometry.kernel[0] - 1) + 1
    return start * stride - pad, (stop - 1) * stride - pad + extent


def _band(
    name: str,
    one: Convolution,
    image: int,
    read: tuple[int, int],
    written: tuple[int, int],
    target: Machine,
    packed: Packed,
) -> Step:
    residual = one.epilogue.residual
    epilogue = replace(
        one.epilogue, residual=None if residual is None else rows_of(residual, image, *written)
    )
    x, y = rows_of(one.x, image, *read), rows_of(one.y, image, *written)
    return conv_step(name, x, [y], one.weights, one.geometry, target, epilogue, packed=packed)


def rows_of(view: View, image: int, start: int, stop: int) -> View:
    """Some rows of one image of a view."""
    place = moved(view.place, (image * view.h + start) * view.w * view.ld)
    return replace(view, place=place, n=1, h=stop - start)
