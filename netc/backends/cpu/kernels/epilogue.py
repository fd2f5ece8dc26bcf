"""The end of a product: bias, residual, activation and the store of one vector of channels."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.functions import ACTIVATIONS
from netc.backends.cpu.kernels.simd import (
    I64,
    emit_load,
    emit_load_part,
    emit_mask,
    emit_splat,
    emit_store,
    emit_store_masked,
    i64,
    pointer,
    same,
    vector,
)


@dataclass(frozen=True)
class EpilogueEmitter:
    """Code that finishes vectors of a panel's channels.

    Args:
        b: where the code goes.
        width: floats in a vector.
        activation: its kind.
        residual: whether a value is added.
        panel: the fields of the panel's arguments (``PanelArgs``), as int64 values.
        first: float32 value, a parameter of the activation.
        second: another one.
        partial: whether the panel has fewer channels than lanes, so that stores are masked.
    """

    b: ir.IRBuilder
    width: int
    activation: str
    residual: bool
    panel: dict[str, ir.Value]
    first: ir.Value
    second: ir.Value
    partial: bool

    def bias(self, lane: ir.Value) -> ir.Value:
        """The biases of the channels of the vector that starts at a lane of the panel, an int64."""
        return self._constants("bias", lane)

    def finish(self, x: ir.Value, bias: ir.Value, index: ir.Value, lane: ir.Value) -> None:
        """Add bias and residual to ``x``, activate it, and store it at a pixel's index."""
        # Caffe's order: the product's bias, then the other layer's value, then the activation.
        x = self.b.fadd(x, bias)
        if self.residual:
            x = self.b.fadd(x, self._residual(index, lane))
        self._store(self._activate(x, lane), index, lane)

    def _activate(self, x: ir.Value, lane: ir.Value) -> ir.Value:
        first, second = (emit_splat(self.b, v, self.width) for v in (self.first, self.second))
        # Only PReLU has numbers for each channel; the others take two scalars.
        slopes = self._constants("slopes", lane) if self.activation == "prelu" else None
        return ACTIVATIONS[self.activation](self.b, x, first, second, slopes)

    def _constants(self, name: str, lane: ir.Value) -> ir.Value:
        # Constants are packed to whole panels, so that reading past the last channel is safe.
        address = self.b.add(self.panel[name], self.b.mul(lane, i64(4)))
        return emit_load(self.b, address, 0, vector(self.width))

    def _address(self, name: str, index: ir.Value, lane: ir.Value) -> ir.Value:
        row = self.b.mul(index, self.panel[f"{name}_ld"])
        return self.b.add(self.b.add(self.panel[name], row), self.b.mul(lane, i64(4)))

    def _lanes(self, lane: types.Type) -> types.Type:
        return self.b.sub(self.panel["channels"], lane)

    def _residual(self, index: ir.Value, lane: ir.Value) -> ir.Value:
        address = self._address("residual", index, lane)
        # A value of another layer has no such padding: lanes past the last channel are not read.
        if not self.partial:
            return emit_load(self.b, address, 0, vector(self.width))
        zero = same(self.width, 0.0)
        return emit_load_part(self.b, address, self.width, self._lanes(lane), zero)

    def _store(self, x: ir.Value, index: ir.Value, lane: ir.Value) -> None:
        address = self._address("output", index, lane)
        if self.partial:
            mask = emit_mask(self.b, self.width, self._lanes(lane))
            emit_store_masked(self.b, x, address, mask)
        else:
            emit_store(self.b, x, address)


def panel_fields(b: ir.IRBuilder, kind: types.Type, panel: ir.Value) -> dict[str, ir.Value]:
    """A panel record's fields by name; ``kind`` is its Numba type."""
    fields = kind.instance_class._fields
    return {name: b.extract_value(panel, i) for i, name in enumerate(fields)}


def pixel_index(b: ir.IRBuilder, indices: ir.Value, i: int) -> ir.Value:
    """The i-th of the pixel indices at an address."""
    return b.load(pointer(b, indices, 8 * i, I64))
