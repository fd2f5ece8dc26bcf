"""Steps of convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.blocking import Blocking
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.product import ImplicitProduct, Packed, product_step
from netc.backends.shared.derived import Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View
from netc.memory import check_memory

_TAP = 48  # bytes of an element's place while places are laid out


def conv_step(
    name: str,
    x: View,
    outputs: Sequence[View],
    weights: Weights,
    geometry: Geometry,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    blocking: Blocking | None = None,
    packed: Packed | None = None,
) -> Step:
    """A convolution as an implicit matrix product.

    Args:
        name: the layer's.
        x: input, (n, h, w, c).
        outputs: where the output channels go, in order: one view, or several of the same pixels
            where convolutions of one input run as one.
        weights: (outputs, c / groups, kernel h, kernel w), Caffe's order.
        geometry: kernel, stride, pad, dilation, groups.
        target: the machine.
        epilogue: bias, residual (for a single output view) and activation.
        blocking: how it is cut; fitted to the machine where None.
        packed: weights that steps of the same convolution have packed before; theirs are added.
    """
    product = conv_product(x, weights, geometry)
    return product_step(name, x, outputs, product, target, epilogue, blocking, packed)


def conv_product(x: View, weights: Weights, geometry: Geometry) -> ImplicitProduct:
    """A convolution's sums."""
    run = geometry.kernel[1] if _runs_join(x, geometry) else 1
    if run > 1:
        # A kernel's row of 3 dense pixels is one run of 3 * c floats: one tap of three times the
        # channels, [column][input], in place of three taps. Stems of few channels gain most.
        joined = weights.transpose(0, 3, 1, 2)  # outputs, columns, inputs, rows
        weights = joined.reshape(weights.shape[0], -1, geometry.kernel[0])
    offsets = _tap_offsets(geometry, geometry.kernel[1] // run)
    return ImplicitProduct(offsets, weights, geometry.stride, geometry.groups, run)


def _runs_join(x: View, geometry: Geometry) -> bool:
    """True if a kernel row's taps read contiguous memory, and so are one tap of more channels."""
    return (
        geometry.pad[1] == 0
        and geometry.dilation[1] == 1
        and geometry.groups == 1
        and x.ld == x.c
        and 1 < geometry.kernel[1] <= x.w  # a window that overhangs would read the next row
    )


def _tap_offsets(geometry: Geometry, columns: int) -> NDArray[np.int64]:
    """(taps, 2): each tap's vertical and horizontal distance from stride * output position."""
    check_memory(_TAP * geometry.kernel[0] * columns, "the places of a kernel's elements")
    grid = np.indices((geometry.kernel[0], columns)).reshape(2, -1).T
    return np.ascontiguousarray(grid * geometry.dilation - np.array(geometry.pad), np.int64)
