"""Steps of deconvolutions: for each position within a stride a convolution of its own.

Output row y gets kernel rows k with (y + pad - dilation * k) divisible by the stride, from input
row (y + pad - dilation * k) / stride. So the outputs of one phase, y modulo stride, are a
convolution of stride 1 with some of the taps, whose outputs lie a stride apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.product import ImplicitProduct, product_step
from netc.backends.shared.derived import Weights, joined
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View, moved

Array = NDArray[np.float32]


class OutputPhase(NamedTuple):
    """The outputs ``start``, start + stride, ... of one axis, and their taps."""

    start: int
    size: int
    taps: list[int]
    offsets: list[int]


def deconv_steps(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
) -> list[Step]:
    """A deconvolution, as stride * stride steps at most.

    Args:
        name: the layer's.
        x: input.
        y: output.
        weights: (inputs, outputs / groups, kernel h, kernel w), Caffe's order.
        geometry: of the convolution that this one is the transpose of.
        target: the machine.
        epilogue: bias, residual and activation.
    """
    flipped = by_outputs(weights, geometry.groups)
    return [
        _phase_step(name, x, y, flipped, geometry, rows, columns, target, epilogue)
        for rows in phases(y.h, 0, geometry)
        for columns in phases(y.w, 1, geometry)
    ]


def by_outputs(weights: Weights, groups: int) -> Weights:
    """(inputs, outputs / groups, ...) -> (outputs, inputs / groups, ...)."""
    size = len(weights) // groups
    axes = 1, 0, *range(2, weights.ndim)
    shares = [weights[group * size : (group + 1) * size] for group in range(groups)]
    return joined([share.transpose(*axes) for share in shares])


def phases(size: int, axis: int, geometry: Geometry) -> Iterator[OutputPhase]:
    """The phases of an axis of ``size`` outputs."""
    stride, pad = geometry.stride[axis], geometry.pad[axis]
    dilation, kernel = geometry.dilation[axis], geometry.kernel[axis]
    # Output o gets input i by tap k if o + pad = stride * i + dilation * k. For outputs of one
    # remainder by the stride, a phase, these are always the same taps:
    #
    #   stride 2, kernel 4, pad 1:   outputs 0 2 4 ... taps 1 and 3
    #                                outputs 1 3 5 ... taps 0 and 2
    for start in range(min(stride, size)):
        taps = [k for k in range(kernel) if (start + pad - dilation * k) % stride == 0]
        offsets = [(start + pad - dilation * k) // stride for k in taps]
        yield OutputPhase(start, math.ceil((size - start) / stride), taps, offsets)


def progression(taps: Sequence[int]) -> slice:
    """Taps at equal distances as a slice."""
    if not taps:
        return slice(0, 0)
    step = taps[1] - taps[0] if len(taps) > 1 else 1
    end = taps[-1] + (1 if step > 0 else -1)
    return slice(taps[0], end if end >= 0 else None, step)


def _phase_step(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    geometry: Geometry,
    rows: OutputPhase,
    columns: OutputPhase,
    target: Machine,
    epilogue: Epilogue,
) -> Step:
    offsets = np.array([(v, u) for v in rows.offsets for u in columns.offsets], np.int64)
    chosen = weights[:, :, progression(rows.taps), progression(columns.taps)]
    # A phase is a plain product whose outputs lie ``stride`` apart.
    spacing = (y.h * y.w, geometry.stride[0] * y.w, geometry.stride[1])
    product = ImplicitProduct(
        offsets.reshape(-1, 2),
        chosen,
        groups=geometry.groups,
        spacing=spacing,
    )
    residual = epilogue.residual
    later = replace(epilogue, residual=shifted(residual, rows, columns) if residual else None)
    return product_step(name, x, [shifted(y, rows, columns)], product, target, later)


def shifted(y: View, rows: OutputPhase, columns: OutputPhase) -> View:
    """The view that starts at a phase's first output and has its size."""
    first = (rows.start * y.w + columns.start) * y.ld
    return replace(y, place=moved(y.place, first), h=rows.size, w=columns.size)
