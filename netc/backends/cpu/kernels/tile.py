"""The micro-kernel: a tile of pixels times a panel of output channels, held in registers.

A tile is ``rows`` pixels by ``columns`` vectors of channels; its sums are one Numba tuple, which
LLVM keeps in vector registers. For each input channel one vector of weights per column is loaded
and one float per pixel is spread over a vector: rows * columns multiply-adds for rows + columns
loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.functions import ACTIVATIONS
from netc.backends.cpu.kernels.simd import (
    F32,
    I64,
    Vector,
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


@dataclass(frozen=True)
class Tile:
    """The size of a register tile.

    Args:
        rows: pixels.
        columns: vectors of output channels.
        width: floats in a vector.
    """

    rows: int
    columns: int
    width: int

    @property
    def channels(self) -> int:
        """Output channels of a panel."""
        return self.columns * self.width

    def sums(self) -> Any:
        """Numba's type of the tile's sums."""
        return types.UniTuple(Vector(self.width), self.rows * self.columns)


def zeros(tile: Tile) -> Any:
    """A Numba function () -> sums of zero."""

    def emit(b: ir.IRBuilder, arguments: Any, values: Any) -> Any:
        return ir.Constant(ir.ArrayType(vector(tile.width), tile.rows * tile.columns), None)

    return function("zeros", 0, tile.sums, emit)


def multiply(tile: Tile, unroll: int) -> Any:
    """A Numba function (sums, pointers, offset, weights) -> sums, over ``unroll`` channels.

    ``pointers`` is the address of the tile's rows' int64 addresses; the inputs stand ``offset``
    bytes after each; ``weights`` is the address of unroll * tile.channels floats.
    """

    def emit(b: ir.IRBuilder, arguments: Any, values: Any) -> Any:
        packed, pointers, offset, weights = values
        sums = [b.extract_value(packed, i) for i in range(tile.rows * tile.columns)]
        rows = [b.add(b.load(pointer(b, pointers, 8 * i, I64)), offset) for i in range(tile.rows)]
        for k in range(unroll):
            _multiply_channel(b, tile, sums, rows, weights, k)
        return _packed(b, packed, sums)

    return function("multiply", 4, lambda sums, *rest: sums, emit)


def _multiply_channel(
    b: ir.IRBuilder, tile: Tile, sums: list[Any], rows: list[Any], weights: Any, k: int
) -> None:
    size = 4 * tile.width
    columns = [
        emit_load(b, weights, (k * tile.columns + j) * size, vector(tile.width))
        for j in range(tile.columns)
    ]
    for i, row in enumerate(rows):
        x = emit_splat(b, emit_load(b, row, 4 * k, F32), tile.width)
        for j, w in enumerate(columns):
            sums[i * tile.columns + j] = emit_fma(b, x, w, sums[i * tile.columns + j])


def _packed(b: ir.IRBuilder, packed: Any, sums: list[Any]) -> Any:
    for i, v in enumerate(sums):
        packed = b.insert_value(packed, v, i)
    return packed


def finish(tile: Tile, activation: str, residual: bool) -> Any:
    """A Numba function that adds bias and residual, activates, and stores a tile.

    Its arguments: sums; valid: how many rows are stored; indices: address of the rows' int64 pixel
    indices; panel: address of the panel's row of arguments (``PanelArgs``), already loaded as a
    record; first, second: float32 parameters of the activation.
    """

    def result(*arguments: Any) -> Any:
        return types.none

    def emit(b: ir.IRBuilder, arguments: Any, values: Any) -> None:
        sums, valid, indices, panel, first, second = values
        fields = arguments[3].instance_class._fields
        args = {name: b.extract_value(panel, i) for i, name in enumerate(fields)}
        store = _Store(tile, activation, residual, sums, indices, args, first, second)
        whole = b.icmp_signed(">=", args["channels"], i64(tile.channels))
        with b.if_else(whole, likely=True) as (full, partial):
            with full:
                store.rows(b, valid, None)
            with partial:
                store.rows(b, valid, args["channels"])

    return function("finish", 6, result, emit)


@dataclass(frozen=True)
class _Store:
    tile: Tile
    activation: str
    residual: bool
    sums: Any
    indices: Any
    args: dict[str, Any]
    first: Any
    second: Any

    def rows(self, b: ir.IRBuilder, valid: Any, channels: Any) -> None:
        columns = range(self.tile.columns)
        counts = [None if channels is None else self._count(b, channels, j) for j in columns]
        biases = [self._column(b, self.args["bias"], j) for j in columns]
        for i in range(self.tile.rows):
            with b.if_then(b.icmp_signed(">", valid, i64(i)), likely=True):
                self._row(b, i, biases, counts)

    def _count(self, b: ir.IRBuilder, channels: Any, j: int) -> Any:
        return b.sub(channels, i64(j * self.tile.width))

    def _column(self, b: ir.IRBuilder, address: Any, j: int) -> Any:
        return emit_load(b, address, 4 * self.tile.width * j, vector(self.tile.width))

    def _row(self, b: ir.IRBuilder, i: int, biases: list[Any], counts: list[Any]) -> None:
        index = b.load(pointer(b, self.indices, 8 * i, I64))
        output = b.add(self.args["output"], b.mul(index, self.args["output_ld"]))
        residual = b.add(self.args["residual"], b.mul(index, self.args["residual_ld"]))
        for j in range(self.tile.columns):
            x = b.fadd(b.extract_value(self.sums, i * self.tile.columns + j), biases[j])
            if self.residual:
                x = b.fadd(x, self._load(b, residual, j, counts[j]))
            self._save(b, self._activate(b, x, j), output, j, counts[j])

    def _activate(self, b: ir.IRBuilder, x: Any, j: int) -> Any:
        lanes = self.tile.width
        first, second = (emit_splat(b, v, lanes) for v in (self.first, self.second))
        slopes = self._column(b, self.args["slopes"], j) if self.activation == "prelu" else None
        return ACTIVATIONS[self.activation](b, x, first, second, slopes)

    def _load(self, b: ir.IRBuilder, address: Any, j: int, count: Any) -> Any:
        lanes = self.tile.width
        if count is None:
            return emit_load(b, address, 4 * lanes * j, vector(lanes))
        place = b.add(address, i64(4 * lanes * j))
        return emit_load_part(b, place, lanes, count, same(lanes, 0.0))

    def _save(self, b: ir.IRBuilder, x: Any, address: Any, j: int, count: Any) -> None:
        offset = 4 * self.tile.width * j
        if count is None:
            emit_store(b, x, address, offset)
        else:
            mask = emit_mask(b, self.tile.width, count)
            emit_store_masked(b, x, b.add(address, i64(offset)), mask)
