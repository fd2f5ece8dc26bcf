"""Rows times a matrix as it lies: what an inner product gives back to its inputs.

    dx[n, i] = sum over o of dy[n, o] * W[o, i]

A tile is ``tile`` rows by ``vectors`` vectors of neighbouring i, whose sums stay in registers while
o goes by. W is read where it is, once for each ``tile`` rows, and never copied. Units are columns
of ``vectors`` vectors.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types

from netc.backends.cpu.gradient_args import RowsBackArgs
from netc.backends.cpu.kernels.outer import keep_sums, multiply_pixel, zero_sums
from netc.backends.cpu.kernels.simd import emit_prefetch, function, load, record, store_part
from netc.backends.cpu.kernels.values import Kernel
from netc.backends.cpu.machine import Machine

_AHEAD = 8  # rows that are asked for before they are needed


def rows(machine: Machine, tile: int, vectors: int) -> Kernel:
    """The kernel for a number of rows that ``tile`` divides."""
    width = machine.width
    lanes = vectors * width
    zeros, keep = zero_sums(width, tile * vectors), keep_sums(width, tile * vectors)
    whole, part = (multiply_pixel(width, tile, vectors, p) for p in (False, True))
    ahead = function("ahead", 1, lambda *rest: types.none, _prefetch(lanes))

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(RowsBackArgs, args)
        # A unit is a vector or more of the weights' columns, for all images:
        #
        #   dx[image][column] = sum over o of dy[image][o] * W[o][column]
        #
        # so each weight is read once for a tile of images.
        for unit in range(begin, end):
            left = a.count - unit * lanes
            for first in range(0, a.images, tile):
                sums = zeros()
                p, q = a.weights + 4 * unit * lanes, a.numbers + first * a.numbers_ld
                for o in range(a.terms):
                    # Rows of weights lie far apart: no prefetcher sees a stream in them.
                    if o + _AHEAD < a.terms:
                        ahead(p + _AHEAD * a.weights_ld)
                    if left >= lanes:
                        sums = whole(sums, p, q, a.numbers_ld, left)
                    else:
                        sums = part(sums, p, q, a.numbers_ld, left)
                    p += a.weights_ld
                    q += 4
                # Sums go through scratch memory, from where parts of vectors can be stored.
                keep(sums, scratch)
                for t in range(tile):
                    out = a.output + (first + t) * a.output_ld + 4 * unit * lanes
                    for v in range(0, min(left, lanes), width):
                        value = load(width, scratch + 4 * (t * lanes + v))
                        store_part(out + 4 * v, value, left - v)

    return kernel


def _prefetch(lanes: int) -> Callable[..., None]:
    def emit(b: ir.IRBuilder, arguments: object, values: list[ir.Value]) -> None:
        for line in range(0, 4 * lanes, 64):
            emit_prefetch(b, values[0], line, 3)

    return emit
