"""The micro-kernel: a tile of pixels times a panel of output channels, held in registers.

A tile is ``rows`` pixels by ``columns`` vectors of channels; its sums are one Numba tuple, which
LLVM keeps in vector registers. For each input channel one vector of weights per column is loaded
and one float per pixel is spread over a vector: rows * columns multiply-adds for rows + columns
loads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.epilogue import (
    FLOAT32,
    EpilogueEmitter,
    Formats,
    panel_fields,
    pixel_index,
)
from netc.backends.cpu.kernels.reduced import emit_products
from netc.backends.cpu.kernels.simd import (
    F32,
    I64,
    Vector,
    emit_load,
    emit_order,
    emit_prefetch,
    emit_splat,
    emit_store,
    function,
    i64,
    pointer,
    vector,
)
from netc.backends.cpu.kernels.values import Compiled
from netc.backends.cpu.machine import Machine


# How a tile of 6 rows x 2 columns lies in registers; w = floats in a vector:
#
#                 weights of channel k:   [ w0 ][ w1 ]        2 loads
#   x[pixel 0][k] spread over a vector    [ 00 ][ 01 ]
#   x[pixel 1][k]                         [ 10 ][ 11 ]        6 loads, 12 multiply-adds
#        ...                                  ...
#   x[pixel 5][k]                         [ 50 ][ 51 ]
@dataclass(frozen=True)
class RegisterTile:
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

    def sums(self) -> types.Type:
        """Numba's type of the tile's sums."""
        return types.UniTuple(Vector(self.width), self.rows * self.columns)


def zeros(tile: RegisterTile) -> Compiled:
    """A Numba function () -> sums of zero."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        return ir.Constant(ir.ArrayType(vector(tile.width), tile.rows * tile.columns), None)

    return function("zeros", 0, tile.sums, emit)


def multiply(
    tile: RegisterTile,
    unroll: int,
    lines: int = 0,
    ordered: bool = False,
    number: str = "float32",
    machine: Machine | None = None,
) -> Compiled:
    """A Numba function (sums, pointers, offset, weights, ahead) -> sums, over ``unroll`` channels.

    ``pointers`` is the address of the tile's rows' int64 addresses; the inputs stand ``offset``
    bytes after each; ``weights`` is the address of unroll * tile.channels floats. ``lines`` cache
    lines from the address ``ahead`` on are asked for meanwhile. ``ordered``: no channel's loads
    come before the channel's turn. ``number`` is what inputs and weights are; of fewer bits than
    float32 several are one word, which stands in the place of a channel, and ``machine`` says which
    instructions there are for them.
    """

    def add(b: ir.IRBuilder, x: ir.Value, w: ir.Value, sums: ir.Value) -> ir.Value:
        return emit_products(b, machine, number, x, w, sums)

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        packed, pointers, offset, weights, ahead = values
        # Prefetch into the second cache (locality 2): the first has the block that is being read.
        for line in range(lines):
            emit_prefetch(b, ahead, 64 * line, 2)
        # Unpack the tuple into values that LLVM keeps in registers.
        sums = [b.extract_value(packed, i) for i in range(tile.rows * tile.columns)]
        rows = [b.add(b.load(pointer(b, pointers, 8 * i, I64)), offset) for i in range(tile.rows)]
        for k in range(unroll):
            # Without this LLVM gathers the loads of all unrolled channels first, and spills sums.
            if k and ordered:
                emit_order(b)
            _multiply_channel(b, tile, sums, rows, weights, k, add)
        return _packed(b, packed, sums)

    return function("multiply", 5, lambda sums, *rest: sums, emit)


def _multiply_channel(
    b: ir.IRBuilder,
    tile: RegisterTile,
    sums: list[ir.Value],
    rows: list[ir.Value],
    weights: ir.Value,
    k: int,
    add: Callable[..., ir.Value],
) -> None:
    size = 4 * tile.width
    # The weights of one channel: one vector for each column, shared by all rows.
    columns = [
        emit_load(b, weights, (k * tile.columns + j) * size, vector(tile.width))
        for j in range(tile.columns)
    ]
    for i, row in enumerate(rows):
        # One float of each pixel, spread over a vector (a broadcasting load where there is one).
        x = emit_splat(b, emit_load(b, row, 4 * k, F32), tile.width)
        for j, w in enumerate(columns):
            sums[i * tile.columns + j] = add(b, x, w, sums[i * tile.columns + j])


def _packed(b: ir.IRBuilder, packed: ir.Value, sums: list[ir.Value]) -> ir.Value:
    for i, v in enumerate(sums):
        packed = b.insert_value(packed, v, i)
    return packed


def finish(
    tile: RegisterTile, activation: str, residual: bool, formats: Formats = FLOAT32
) -> Compiled:
    """A Numba function that adds bias and residual, activates, and stores a tile.

    Its arguments: sums; valid: how many rows are stored; indices: address of the rows' int64 pixel
    indices; panel: address of the panel's row of arguments (``PanelArgs``), already loaded as a
    record; first, second: float32 parameters of the activation.
    """

    def result(*arguments: types.Type) -> types.Type:
        return types.none

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        sums, valid, indices, panel, first, second = values
        args = panel_fields(b, arguments[3], panel)
        # Two copies of the code: plain stores for a full panel, masked ones for a layer's last.
        whole = b.icmp_signed(">=", args["channels"], i64(tile.channels))
        with b.if_else(whole, likely=True) as (full, part):
            for branch, partial in ((full, False), (part, True)):
                with branch:
                    epilogue = EpilogueEmitter(
                        b, tile.width, activation, residual, args, first, second, partial,
                        tile.channels, formats,
                    )  # fmt: skip
                    _finish_rows(epilogue, tile, sums, valid, indices)

    return function("finish", 6, result, emit)


def _finish_rows(
    epilogue: EpilogueEmitter,
    tile: RegisterTile,
    sums: ir.Value,
    valid: ir.Value,
    indices: ir.Value,
) -> None:
    b = epilogue.b
    lanes = [i64(j * tile.width) for j in range(tile.columns)]
    biases = [epilogue.bias(lane) for lane in lanes]
    for i in range(tile.rows):
        # Rows beyond the last pixel have sums, and no place to store them.
        with b.if_then(b.icmp_signed(">", valid, i64(i)), likely=True):
            index = pixel_index(b, indices, i)
            for j, (bias, lane) in enumerate(zip(biases, lanes, strict=True)):
                epilogue.finish(b.extract_value(sums, i * tile.columns + j), bias, index, lane)


def spill(tile: RegisterTile) -> Compiled:
    """A Numba function (sums, address) that stores a tile's sums, row after row."""

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        for i in range(tile.rows * tile.columns):
            emit_store(b, b.extract_value(values[0], i), values[1], 4 * tile.width * i)

    return function("spill", 2, lambda *rest: types.none, emit)


def reload(tile: RegisterTile) -> Compiled:
    """A Numba function (address) -> sums, as :func:`spill` has stored them."""

    def emit(
        b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
    ) -> ir.Value:
        packed = ir.Constant(ir.ArrayType(vector(tile.width), tile.rows * tile.columns), None)
        size = 4 * tile.width
        loaded = (
            emit_load(b, values[0], size * i, vector(tile.width))
            for i in range(tile.rows * tile.columns)
        )
        for i, value in enumerate(loaded):
            packed = b.insert_value(packed, value, i)
        return packed

    return function("reload", 1, lambda address: tile.sums(), emit)
