"""Rows of a table by their numbers: Embed."""

from __future__ import annotations

from numba import float32, int64, njit

from netc.backends.cpu.kernel_args import EmbedArgs
from netc.backends.cpu.kernels.boxes import float_bits
from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import float_at, record, set_int
from netc.backends.cpu.kernels.values import Compiled, Kernel
from netc.backends.cpu.machine import Machine


@njit(inline="always")
def _row(value: float, limit: int) -> int:
    """The number of a row; -1 of what is no whole number from 0 to ``limit`` - 1."""
    if (value >= float32(0.0)) & (value < float32(limit)):
        # A number that float32 cannot hold as a whole one is none: 1.5, or nan.
        row = int64(value)
        return row if float32(row) == value else -1
    return -1


def check(machine: Machine) -> Kernel:
    """Tell the first number that is none. One unit."""

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(EmbedArgs, args)
        # The status is read after the run, by whoever raises; 0 says that all are rows.
        wrong = 0
        for i in range(a.numbers):
            value = float_at(a.input, i)
            if (_row(value, a.limit) < 0) & (wrong == 0):
                wrong = -1 - float_bits(value)
        set_int(a.status, 0, wrong)

    return kernel


def gather(machine: Machine, bias: bool) -> Kernel:
    """Copy rows, and add the bias; units are groups of them. Row 0 stands for one that is none."""
    width = machine.width
    whole, part = _copy(width, bias, False), _copy(width, bias, True)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(EmbedArgs, args)
        main = a.channels // width * width
        for i in range(begin * a.rows_per_unit, min(end * a.rows_per_unit, a.numbers)):
            # What is no row reads row 0, so that nothing outside of the table is touched.
            row = max(_row(float_at(a.input, i), a.limit), 0)
            source = a.vectors + 4 * row * a.channels
            target = a.output + 4 * i * a.channels
            for c in range(0, main, width):
                whole(source + 4 * c, a.bias + 4 * c, target + 4 * c, width)
            if main < a.channels:
                rest = a.channels - main
                part(source + 4 * main, a.bias + 4 * main, target + 4 * main, rest)

    return kernel


def _copy(width: int, bias: bool, part: bool) -> Compiled:
    get, put = loader(width, part), storer(width, part)

    @njit(inline="always")
    def copy(source: int, added: int, target: int, lanes: int) -> None:
        x = get(source, lanes)
        put(target, x + get(added, lanes) if bias else x, lanes)

    return copy
