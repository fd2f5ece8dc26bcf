"""Steps of means, deviations and lengths."""

from __future__ import annotations

import math

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import GreatestArgs, LengthArgs, MomentArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import padded
from netc.backends.shared.derived import Weights
from netc.backends.shared.views import View


def moments_step(
    name: str, x: View, mean: View, deviation: View, kind: str, eps: float, target: Machine
) -> Step:
    """Each channel's mean and deviation over the pixels of each image.

    Args:
        name: the layer's.
        x: the value.
        mean: (n, 1, 1, c).
        deviation: (n, 1, 1, c); not written if ``kind`` is "none".
        kind: see :func:`netc.backends.cpu.kernels.statistics.moments`.
        eps: added to the variance or to its root.
        target: the machine.
    """
    args = MomentArgs(
        x.place, 4 * x.ld, x.h * x.w, x.c, mean.place, deviation.place, float(np.float32(eps))
    )
    units = x.n * math.ceil(x.c / target.width)
    return Step(name, jit.spec("statistics", "moments", kind=kind), args, units)


def length_step(name: str, x: View, y: View, factors: Weights, eps: float) -> Step:
    """Pixels divided by their length, times a factor for each channel. y may be x."""
    args = LengthArgs(
        x.place, 4 * x.ld, y.place, 4 * y.ld, x.c, padded(factors), float(np.float32(eps))
    )
    kernel = jit.spec("statistics", "lengths")
    return Step(name, kernel, args, x.pixels, grain=8, pointwise_reads=(x.place,))


def greatest_step(name: str, x: View, y: View, value: bool) -> Step:
    """The index of each pixel's greatest channel, or its value; y has one channel."""
    args = GreatestArgs(x.place, 4 * x.ld, x.c, y.place, 4 * y.ld)
    return Step(name, jit.spec("selection", "greatest", value=value), args, x.pixels, grain=64)
