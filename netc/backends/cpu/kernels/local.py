"""Locally connected layers: each place of the output has weights of its own.

Weights lie [place][group][panel][tap][channel][lane], so that a place reads one run of memory, once
for all images. Units are places.
"""

from __future__ import annotations

from numba import float32, njit

from netc.backends.cpu.kernels.simd import broadcast, fma, load, record, splat, store_part
from netc.backends.cpu.kernels.values import Compiled, Kernel, Lanes, Record
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.window_args import LOCAL_BLOCK


def local(machine: Machine) -> Kernel:
    """Sums of products of what a place sees with its own weights."""
    width = machine.width
    total = _sum(width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(LOCAL_BLOCK, args)
        panels = (a.outputs + width - 1) // width
        panel_bytes = 4 * width * a.kernel_y * a.kernel_x * a.channels
        for place in range(begin, end):
            row = place // a.out_width * a.stride_y - a.pad_y
            column = place % a.out_width * a.stride_x - a.pad_x
            for group in range(a.groups):
                first = place * a.groups + group
                for panel in range(panels):
                    weights = a.weights + (first * panels + panel) * panel_bytes
                    bias = a.bias + 4 * width * (first * panels + panel)
                    lanes = min(a.outputs - panel * width, width)
                    for image in range(a.images):
                        source = a.input + image * a.height * a.width * a.ld
                        source += 4 * group * a.channels
                        made = total(a, source, row, column, weights, load(width, bias))
                        pixel = image * a.out_height * a.out_width + place
                        target = a.output + pixel * a.output_ld
                        store_part(target + 4 * (group * a.outputs + panel * width), made, lanes)

    return kernel


def _sum(width: int) -> Compiled:
    @njit(inline="always")
    def total(a: Record, source: int, row: int, column: int, weights: int, start: Lanes) -> Lanes:
        even, odd = start, splat(width, float32(0.0))
        for tap in range(a.kernel_y * a.kernel_x):
            y = row + tap // a.kernel_x * a.dilation_y
            x = column + tap % a.kernel_x * a.dilation_x
            if (y >= 0) & (y < a.height) & (x >= 0) & (x < a.width):
                seen = source + (y * a.width + x) * a.ld
                own = weights + 4 * width * tap * a.channels
                # Two sums, so that one does not wait for the other.
                for c in range(0, a.channels - 1, 2):
                    at = own + 4 * width * c
                    even = fma(broadcast(width, seen + 4 * c), load(width, at), even)
                    at += 4 * width
                    odd = fma(broadcast(width, seen + 4 * c + 4), load(width, at), odd)
                if a.channels % 2:
                    last = a.channels - 1
                    at = own + 4 * width * last
                    even = fma(broadcast(width, seen + 4 * last), load(width, at), even)
        return even + odd

    return total
