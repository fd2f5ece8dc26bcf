"""Chains of operations on elements, done in registers between one load and one store.

A chain is a tuple of names, fixed when the kernel is compiled. Each takes its arguments from the
argument block, in order: see ``CHAIN_ARGUMENTS`` in :mod:`netc.backends.cpu.kernel_args`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llvmlite import ir
from numba import njit, types

from netc.backends.cpu.kernel_args import CHAIN_ARGUMENTS, ChainArgs
from netc.backends.cpu.kernels.functions import (
    ACTIVATIONS,
    emit_abs,
    emit_any_log,
    emit_exp,
    emit_max,
    emit_min,
    emit_power,
    emit_root,
    emit_softplus,
)
from netc.backends.cpu.kernels.simd import (
    F32,
    I32,
    I64,
    emit_fma,
    emit_load,
    emit_load_part,
    emit_mask,
    emit_splat,
    emit_store,
    emit_store_masked,
    function,
    i64,
    pointer,
    same,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel
from netc.backends.cpu.machine import Machine

_HEADER = len(ChainArgs._fields)
_FIELDS = {name: i for i, name in enumerate(ChainArgs._fields)}


@dataclass
class _PixelPosition:
    """The position of a chain in its values: a vector of channels of one pixel."""

    b: ir.IRBuilder
    args: ir.Value
    pixel: ir.Value
    channel: ir.Value
    lanes: int
    count: ir.Value | None

    def argument(self, index: int) -> ir.Value:
        return self.b.extract_value(self.args, index)

    def number(self, index: int) -> ir.Value:
        bits = self.b.trunc(self.argument(index), I32)
        return emit_splat(self.b, self.b.bitcast(bits, F32), self.lanes)

    def address(self, index: int) -> ir.Value:
        """The address of this position in a value: fields ``index`` and on are its start and ld."""
        row = self.b.mul(self.pixel, self.argument(index + 1))
        return self.b.add(self.b.add(self.argument(index), row), self._bytes())

    def load(self, index: int) -> ir.Value:
        address = self.address(index)
        if self.count is None:
            return emit_load(self.b, address, 0, vector(self.lanes))
        return emit_load_part(self.b, address, self.lanes, self.count, same(self.lanes, 0.0))

    def constants(self, index: int) -> ir.Value:
        """The constants of these channels; their array is padded to whole vectors."""
        address = self.b.add(self.argument(index), self._bytes())
        return emit_load(self.b, address, 0, vector(self.lanes))

    def store(self, value: ir.Value) -> None:
        address = self.address(_FIELDS["output"])
        if self.count is None:
            emit_store(self.b, value, address)
        else:
            emit_store_masked(self.b, value, address, emit_mask(self.b, self.lanes, self.count))

    def _bytes(self) -> ir.Value:
        return self.b.mul(self.channel, i64(4))


def chain(machine: Machine, operations: tuple[str, ...]) -> Kernel:
    """Apply the operations to each element; units are groups of pixels."""
    width = machine.width
    size = _HEADER + sum(CHAIN_ARGUMENTS[name] for name in operations)
    read = _reader(size)
    whole, part = _apply(width, operations, False), _apply(width, operations, True)
    pixels, channels, per_unit = (_FIELDS[n] for n in ("pixels", "channels", "pixels_per_unit"))

    @njit(inline="always")
    def row(a: Sequence[int], pixel: int) -> None:
        main = a[channels] // width * width
        for c in range(0, main, width):
            whole(a, pixel, c, width)
        if main < a[channels]:
            part(a, pixel, main, a[channels] - main)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = read(args)
        for pixel in range(begin * a[per_unit], min(end * a[per_unit], a[pixels])):
            row(a, pixel)

    return kernel


def _reader(size: int) -> Compiled:
    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        # The block's fields as one tuple: loaded once, kept in registers as far as they go.
        made = ir.Constant(ir.ArrayType(I64, size), ir.Undefined)
        for i in range(size):
            made = b.insert_value(made, b.load(pointer(b, values[0], 8 * i, I64)), i)
        return made

    return function("read", 1, lambda address: types.UniTuple(types.int64, size), emit)


def _apply(width: int, operations: tuple[str, ...], part: bool) -> Compiled:
    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        place = _PixelPosition(
            b, values[0], values[1], values[2], width, values[3] if part else None
        )
        # The whole chain on one vector in registers: one load, one store, whatever its length.
        value = place.load(_FIELDS["input"])
        for name, index in _numbered(operations):
            value = _operate(name, place, value, index)
        place.store(value)

    return function("apply", 4, lambda *rest: types.none, emit)


def _numbered(operations: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    index = _HEADER
    for name in operations:
        yield name, index
        index += CHAIN_ARGUMENTS[name]


def _operate(name: str, place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    if name in ACTIVATIONS:
        first, second = place.number(index), place.number(index + 1)
        slopes = place.constants(index + 2) if name == "prelu" else None
        return ACTIVATIONS[name](place.b, x, first, second, slopes)
    return _OPERATIONS[name](place, x, index)


def _threshold(place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    above = place.b.fcmp_ordered(">", x, place.number(index))
    return place.b.select(above, same(place.lanes, 1.0), same(place.lanes, 0.0))


def _rectified_by(place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    """X where another value is above 0, slope * x where it is not, 0 where it is no number."""
    b, other, zero = place.b, place.load(index), same(place.lanes, 0.0)
    low = b.select(b.fcmp_ordered("<=", other, zero), b.fmul(place.number(index + 2), x), zero)
    return b.select(b.fcmp_ordered(">", other, zero), x, low)


def _sloped_by(place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    """X where another value is above 0, the channel's slope * x where it is not, else 0."""
    b, other, zero = place.b, place.load(index), same(place.lanes, 0.0)
    low = b.fmul(place.constants(index + 2), x)
    low = b.select(b.fcmp_ordered("<=", other, zero), low, zero)
    return b.select(b.fcmp_ordered(">", other, zero), x, low)


def _elu_slope(place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    """The slope of ELU by its output: 1 above 0, alpha + the output elsewhere."""
    above = place.b.fcmp_ordered(">", x, same(place.lanes, 0.0))
    return place.b.select(above, same(place.lanes, 1.0), place.b.fadd(place.number(index), x))


def _within(place: _PixelPosition, x: ir.Value, index: int) -> ir.Value:
    """1 from the first number to the second, both among them, else 0."""
    b = place.b
    inside = b.and_(
        b.fcmp_ordered(">=", x, place.number(index)),
        b.fcmp_ordered("<=", x, place.number(index + 1)),
    )
    return b.select(inside, same(place.lanes, 1.0), same(place.lanes, 0.0))


_OPERATIONS: dict[str, Callable[[_PixelPosition, ir.Value, int], ir.Value]] = {
    "add": lambda p, x, i: emit_fma(p.b, p.number(i + 2), p.load(i), x),
    "multiply": lambda p, x, i: p.b.fmul(x, p.load(i)),
    "divide": lambda p, x, i: p.b.fdiv(x, p.load(i)),
    "maximum": lambda p, x, i: emit_max(p.b, p.load(i), x),
    "exceeding": lambda p, x, i: emit_max(p.b, x, p.load(i)),
    "minimum": lambda p, x, i: emit_min(p.b, p.load(i), x),
    "scale": lambda p, x, i: p.b.fmul(x, p.constants(i)),
    "bias": lambda p, x, i: p.b.fadd(x, p.constants(i)),
    "affine": lambda p, x, i: emit_fma(p.b, x, p.number(i), p.number(i + 1)),
    "absolute": lambda p, x, i: emit_abs(p.b, x),
    "square": lambda p, x, i: p.b.fmul(x, x),
    "root": lambda p, x, i: emit_root(p.b, x),
    "exponential": lambda p, x, i: emit_exp(p.b, x),
    "logarithm": lambda p, x, i: emit_any_log(p.b, x),
    "power": lambda p, x, i: emit_power(p.b, x, p.number(i), p.number(i + 1)),
    "softplus": lambda p, x, i: emit_softplus(p.b, x),
    "at most": lambda p, x, i: emit_min(p.b, p.number(i), x),
    "constant": lambda p, x, i: p.number(i),
    "threshold": _threshold,
    "rectified by": _rectified_by,
    "sloped by": _sloped_by,
    "elu slope": _elu_slope,
    "within": _within,
}
