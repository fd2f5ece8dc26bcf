"""The window part of the argument blocks of kernels with a sliding window."""

from __future__ import annotations

from netc.backends.cpu.window_args import WindowArgs
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import View


def window_args(x: View, y: View, window: Geometry, *, back: bool = False) -> WindowArgs:
    """The window that slides over ``x`` and gives a pixel of ``y`` at each place.

    ``back``: of a gradient, whose kernel reads ``y``.
    """
    source = y if back else x
    return WindowArgs(
        source.place,
        4 * source.ld,
        x.h,
        x.w,
        y.h,
        y.w,
        *window.kernel,
        *window.stride,
        *window.pad,
        *window.dilation,
    )
