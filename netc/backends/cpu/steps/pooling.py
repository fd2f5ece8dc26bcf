"""Steps of pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import PoolArgs, PoolBackArgs
from netc.backends.cpu.program import Argument, Step
from netc.backends.shared.views import View

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A pooling window; each pair is (vertical, horizontal).

    Output (i, j) sees rows i * stride - pad to i * stride - pad + kernel, those in the input. How
    many outputs there are is said by the output's view. A global pooling has the input's size as
    kernel, stride 1 and no padding.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)


def max_pool_step(name: str, x: View, y: View, window: Window, mask: View | None = None) -> Step:
    """Maxima, and into ``mask`` the index (row * width + column) of each within its plane."""
    if mask is None and _three_columns(window):
        return _pool_step(name, _sliding(window, False), x, y, window, None)
    kernel = jit.spec("pooling", "max_pool", mask=mask is not None)
    return _pool_step(name, kernel, x, y, window, mask)


def average_pool_step(name: str, x: View, y: View, window: Window) -> Step:
    """Means. As in Caffe, padding counts in the divisor as far as it is one pad wide."""
    if _three_columns(window):
        return _pool_step(name, _sliding(window, True), x, y, window, None)
    return _pool_step(name, jit.spec("pooling", "average_pool"), x, y, window, None)


def max_pool_back_step(name: str, y: View, mask: View, x: View, window: Window) -> Step:
    """What windows give back to the elements that ``mask`` names, from ``y`` to ``x``."""
    kernel = jit.spec("pool_back", "max_pool_back")
    return _pool_back_step(name, kernel, y, x, window, (mask.place, 4 * mask.ld, 0))


def average_pool_back_step(
    name: str, y: View, shares: NDArray[np.float32], x: View, window: Window
) -> Step:
    """What each window gives back to all of its elements: its ``shares`` of ``y``, to ``x``."""
    kernel = jit.spec("pool_back", "average_pool_back")
    return _pool_back_step(name, kernel, y, x, window, (0, 0, shares))


def _pool_back_step(
    name: str,
    kernel: jit.KernelSpec,
    y: View,
    x: View,
    window: Window,
    rest: tuple[Argument, int, Argument],
) -> Step:
    mask, mask_ld, shares = rest
    args = PoolBackArgs(
        y.place,
        4 * y.ld,
        x.h,
        x.w,
        y.h,
        y.w,
        *window.kernel,
        *window.stride,
        *window.pad,
        x.c,
        x.place,
        4 * x.ld,
        mask=mask,
        mask_ld=mask_ld,
        shares=shares,
    )
    return Step(name, kernel, args, units=x.n * x.h)


def _three_columns(window: Window) -> bool:
    return window.kernel[1] == 3 and window.stride[1] <= 2


def _sliding(window: Window, average: bool) -> jit.KernelSpec:
    return jit.spec("pooling", "three_columns", average=average, stride=window.stride[1])


def _pool_step(
    name: str, kernel: jit.KernelSpec, x: View, y: View, window: Window, mask: View | None
) -> Step:
    args = PoolArgs(
        input=x.place,
        ld=4 * x.ld,
        height=x.h,
        width=x.w,
        out_height=y.h,
        out_width=y.w,
        kernel_y=window.kernel[0],
        kernel_x=window.kernel[1],
        stride_y=window.stride[0],
        stride_x=window.stride[1],
        pad_y=window.pad[0],
        pad_x=window.pad[1],
        channels=x.c,
        output=y.place,
        output_ld=4 * y.ld,
        mask=mask.place if mask else 0,
        mask_ld=4 * mask.ld if mask else 0,
    )
    return Step(name, kernel, args, units=y.n * y.h)
