"""Which channel is the greatest."""

from __future__ import annotations

from numba import float32

from netc.backends.cpu.kernel_args import GreatestArgs
from netc.backends.cpu.kernels.simd import float_at, record, set_float
from netc.backends.cpu.kernels.values import Kernel
from netc.backends.cpu.machine import Machine


def greatest(machine: Machine, value: bool) -> Kernel:
    """The index of each pixel's greatest channel, the last of equal ones, or its ``value``.

    What is no number is passed over, as if it were the least. Units are pixels.
    """

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(GreatestArgs, args)
        for unit in range(begin, end):
            source = a.input + unit * a.ld
            where = a.channels - 1
            best = float32(float("-inf"))
            for c in range(a.channels):
                x = float_at(source, c)
                if x >= best:
                    best, where = x, c
            result = float_at(source, where) if value else float32(where)
            set_float(a.output + unit * a.output_ld, 0, result)

    return kernel
