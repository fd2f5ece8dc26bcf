"""Steps of pooling over regions."""

from __future__ import annotations

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import RegionArgs
from netc.backends.cpu.program import Step
from netc.backends.shared.views import Place, View


def region_step(name: str, x: View, bins: Place, y: View, kernel: jit.KernelSpec) -> Step:
    """Pool x over the bins of each region into y, (regions, high, wide, channels)."""
    args = RegionArgs(x.place, 4 * x.ld, x.h, x.w, bins, y.h, y.w, y.c, y.place, 4 * y.ld)
    return Step(name, kernel, args, y.n)


def greatest_kernel() -> jit.KernelSpec:
    """ROIPooling."""
    return jit.spec("regions", "greatest")


def means_kernel() -> jit.KernelSpec:
    """PSROIPooling."""
    return jit.spec("regions", "means")
