"""Steps of locally connected layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.window import window_args
from netc.backends.cpu.window_args import LocalArgs
from netc.backends.shared.derived import Weights, derived
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View

Array = NDArray[np.float32]


def local_step(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    bias: Weights | None,
    geometry: Geometry,
    group: int,
    target: Machine,
) -> Step:
    """A convolution with weights of its own at each place.

    Args:
        name: the layer's.
        x: input.
        y: output.
        weights: (outputs, channels of a group, kernel h, kernel w, output h, output w).
        bias: (outputs, output h, output w), or None.
        geometry: kernel, stride, pad and dilation.
        group: how many groups.
        target: what it is for.
    """
    zeros = np.zeros((y.c, y.h, y.w), np.float32)
    own = zeros if bias is None else bias
    args = LocalArgs(
        x.n,
        group,
        x.c // group,
        y.c // group,
        derived(_packed, weights, group, target.width),
        derived(_packed_bias, own, group, target.width),
        y.place,
        4 * y.ld,
    )
    block = (*window_args(x, y, geometry), *args)
    return Step(name, jit.spec("local", "local"), block, y.h * y.w)


def _packed(weights: Array, group: int, width: int) -> Array:
    """[place][group][panel][tap][channel][lane]."""
    outputs, channels, kernel_y, kernel_x, high, wide = weights.shape
    # A place's weights are one run of memory, in the order in which the kernel reads it.
    by_output = weights.reshape(group, outputs // group, -1)
    panels = _panels(by_output, width).reshape(
        group, -1, width, channels, kernel_y * kernel_x, high * wide
    )
    return np.ascontiguousarray(panels.transpose(5, 0, 1, 4, 3, 2))


def _packed_bias(bias: Array, group: int, width: int) -> Array:
    """[place][group][panel][lane]."""
    by_output = bias.reshape(group, len(bias) // group, -1)
    panels = _panels(by_output, width).reshape(group, -1, width, by_output.shape[2])
    return np.ascontiguousarray(panels.transpose(3, 0, 1, 2))


def _panels(by_output: Array, width: int) -> Array:
    """(group, outputs, elements) with zeros for outputs that fill the last vector."""
    missing = -by_output.shape[1] % width
    return np.pad(by_output, ((0, 0), (0, missing), (0, 0)))
