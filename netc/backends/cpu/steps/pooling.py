"""Steps of pooling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.window import window_args
from netc.backends.cpu.window_args import PoolArgs
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View


def max_pool_step(name: str, x: View, y: View, window: Geometry, mask: View | None = None) -> Step:
    """Maxima, and into ``mask`` the index (row * width + column) of each within its plane."""
    if mask is None and _three_columns(window):
        return _pool_step(name, _sliding(window, False), x, y, window, None)
    kernel = jit.spec("pooling", "max_pool", mask=mask is not None)
    return _pool_step(name, kernel, x, y, window, mask)


def average_pool_step(name: str, x: View, y: View, window: Geometry) -> Step:
    """Means. As in Caffe, padding counts in the divisor as far as it is one pad wide."""
    if _three_columns(window):
        return _pool_step(name, _sliding(window, True), x, y, window, None)
    return _pool_step(name, jit.spec("pooling", "average_pool"), x, y, window, None)


def norm_pool_step(name: str, x: View, y: View, window: Geometry, power: float) -> Step:
    """The roots of the sums of powers of sizes."""
    kernel = jit.spec("pooling", "norm_pool", power=float(power))
    return _pool_step(name, kernel, x, y, window, None)


def max_codes_step(name: str, x: View, y: View, window: Geometry) -> Step:
    """Maxima of int8 codes; the channels of both views are words of four."""
    return _pool_step(name, jit.spec("pooling", "max_codes"), x, y, window, None)


def max_pool_back_step(name: str, y: View, mask: View, x: View, window: Geometry) -> Step:
    """The gradient of max pooling: each window's ``y`` goes to the element of ``x`` in ``mask``."""
    kernel = jit.spec("pool_back", "max_pool_back")
    args = (*window_args(x, y, window, back=True), *_pool_args(x, mask))
    return Step(name, kernel, args, units=x.n * x.h)


def average_pool_back_step(
    name: str, y: View, shares: NDArray[np.float32], x: View, window: Geometry
) -> Step:
    """The gradient of average pooling: each window adds ``shares`` times ``y`` to its ``x``."""
    kernel = jit.spec("pool_back", "average_pool_back")
    args = (*window_args(x, y, window, back=True), *_pool_args(x)._replace(shares=shares))
    return Step(name, kernel, args, units=x.n * x.h)


def _three_columns(window: Geometry) -> bool:
    return window.kernel[1] == 3 and window.stride[1] <= 2


def _sliding(window: Geometry, average: bool) -> jit.KernelSpec:
    return jit.spec("pooling", "three_columns", average=average, stride=window.stride[1])


def _pool_step(
    name: str, kernel: jit.KernelSpec, x: View, y: View, window: Geometry, mask: View | None
) -> Step:
    args = (*window_args(x, y, window), *_pool_args(y, mask))
    return Step(name, kernel, args, units=y.n * y.h)


def _pool_args(target: View, mask: View | None = None) -> PoolArgs:
    return PoolArgs(
        target.c,
        target.place,
        4 * target.ld,
        mask=mask.place if mask else 0,
        mask_ld=4 * mask.ld if mask else 0,
    )
