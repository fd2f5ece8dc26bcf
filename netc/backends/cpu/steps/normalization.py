"""Steps of local response normalisation and softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from netc.backends.cpu import jit
from netc.backends.cpu.gradient_args import LrnBackArgs
from netc.backends.cpu.kernel_args import LrnArgs, SoftmaxArgs
from netc.backends.cpu.program import Step
from netc.backends.shared.views import Place, View

_VECTOR = 16  # floats of the widest vector
_POWERS = {1.0: "one", 0.75: "three quarters", 0.5: "half"}


@dataclass(frozen=True, slots=True)
class Response:
    """Parameters of local response normalisation, as Caffe names them."""

    size: int
    alpha: float
    beta: float
    k: float = 1.0


def lrn_across_step(name: str, x: View, y: View, response: Response) -> Step:
    """x / (k + alpha / size * sum of squares over neighbouring channels) ** beta."""
    power = _POWERS.get(float(response.beta), "any")
    factor = response.alpha / response.size
    seen = replace(response, size=min(response.size, 2 * x.c - 1))  # there are no more channels
    kernel = jit.spec("normalization", "across", power=power, size=seen.size)
    args = _lrn_args(x, y, seen, factor, seen.k)
    # A pixel's squares with a window of zeros on either side, and whole vectors.
    scratch = 4 * (2 * seen.size + x.c + 32)
    return Step(name, kernel, args, x.pixels, scratch, grain=8, pointwise_reads=(x.place,))


def lrn_within_step(name: str, x: View, y: View, response: Response) -> Step:
    """x / (1 + alpha * mean of squares over size x size pixels) ** beta; y must not be x."""
    power = _POWERS.get(float(response.beta), "any")
    kernel = jit.spec("normalization", "within", power=power)
    return Step(name, kernel, _lrn_args(x, y, response, response.alpha, 1.0), x.n * x.h)


def lrn_back_step(
    name: str, x: View, y: View | None, top: View, dx: View, response: Response
) -> Step:
    """The gradient of ``lrn_across_step`` by that of its result.

    y is what is left of the result where a later layer has changed it in place, else None.
    """
    width, reach = _VECTOR, min((response.size - 1) // 2, x.c)
    # A row of the kernel's scratch memory, in bytes: [margin][channels, whole vectors][margin].
    margin = 4 * (math.ceil(reach / width) * width)
    row = 4 * (math.ceil(x.c / width) + 1) * width + 2 * margin
    factor = response.alpha / response.size
    args = LrnBackArgs(
        x.place,
        4 * x.ld,
        y.place if y else 0,
        4 * y.ld if y else 0,
        top.place,
        4 * top.ld,
        dx.place,
        4 * dx.ld,
        x.c,
        reach,
        row,
        margin,
        float(factor),
        float(response.k),
        float(response.beta),
        float(-2 * factor * response.beta),
    )
    power = _POWERS.get(float(response.beta), "any")
    kernel = jit.spec("lrn_back", "across", power=power, read_y=y is not None)
    reads = (x.place, *((y.place,) if y else ()), top.place)
    return Step(name, kernel, args, x.pixels, 3 * row, grain=8, pointwise_reads=reads)


def _lrn_args(x: View, y: View, response: Response, factor: float, k: float) -> LrnArgs:
    return LrnArgs(
        x.place,
        4 * x.ld,
        y.place,
        4 * y.ld,
        x.h,
        x.w,
        x.c,
        response.size,
        float(factor),
        float(k),
        float(response.beta),
    )


def softmax_step(name: str, x: View, y: View) -> Step:
    """Softmax over the channels of each pixel. y may be x."""
    args = SoftmaxArgs(x.place, 4 * x.ld, y.place, 4 * y.ld, x.c, 1)
    return Step(name, jit.spec("softmax", "rows"), args, x.pixels, pointwise_reads=(x.place,))


def softmax_axis_step(name: str, x: Place, y: Place, outer: int, count: int, inner: int) -> Step:
    """Softmax over the middle one of three nested axes of dense arrays. y may be x."""
    if inner == 1:
        args = SoftmaxArgs(x, 4 * count, y, 4 * count, count, 1)
        return Step(name, jit.spec("softmax", "rows"), args, outer, pointwise_reads=(x,))
    args = SoftmaxArgs(x, 4 * inner, y, 4 * inner, count, inner)
    return Step(name, jit.spec("softmax", "columns"), args, outer, pointwise_reads=(x,))
