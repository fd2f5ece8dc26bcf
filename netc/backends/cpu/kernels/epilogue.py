"""The end of a product: bias, residual, activation and the store of one vector of channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.functions import ACTIVATIONS
from netc.backends.cpu.kernels.reduced import (
    BYTES,
    I16,
    emit_bfloat16,
    emit_codes,
    emit_from_bfloat16,
    emit_from_codes,
    emit_load_small,
    emit_number,
    emit_store_small,
    ints,
)
from netc.backends.cpu.kernels.simd import (
    I8,
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


class Formats(NamedTuple):
    """What elements are stored as: "float32", "bf16" or "int8".

    Args:
        number: inputs and weights of the product.
        added: the residual.
        stored: the result.
    """

    number: str = "float32"
    added: str = "float32"
    stored: str = "float32"


FLOAT32 = Formats()

# Where int8 is among the formats, a panel's ``bias`` has more behind it, all of ``lanes`` floats:
#
#   [biases][factors of the sums][summands of the sums, int32][scale, zero of the residual;
#                                                              1 / scale, zero of the result;
#                                                              zero of the input, and as codes]
_FACTORS, _SUMMANDS, _SCALES = 1, 2, 3


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
        lanes: channels of a whole panel.
        formats: of what is multiplied, added and stored.
    """

    b: ir.IRBuilder
    width: int
    activation: str
    residual: bool
    panel: dict[str, ir.Value]
    first: ir.Value
    second: ir.Value
    partial: bool
    lanes: int = 0
    formats: Formats = FLOAT32

    def bias(self, lane: ir.Value) -> ir.Value:
        """The biases of the channels of the vector that starts at a lane of the panel, an int64."""
        return self._constants("bias", lane)

    def finish(self, x: ir.Value, bias: ir.Value, index: ir.Value, lane: ir.Value) -> None:
        """Add bias and residual to ``x``, activate it, and store it at a pixel's index."""
        if self.formats.number == "int8":
            x = self._from_int32(x, lane)
        # Caffe's order: the product's bias, then the other layer's value, then the activation.
        x = self.b.fadd(x, bias)
        if self.residual:
            x = self.b.fadd(x, self._residual(index, lane))
        self._store(self._activate(x, lane), index, lane)

    def _from_int32(self, sums: ir.Value, lane: ir.Value) -> ir.Value:
        """Sums of codes, less what the inputs' zero adds to them, as float32."""
        whole = ints(self.width)
        summands = self.b.bitcast(self._constants("bias", lane, _SUMMANDS), whole)
        sums = self.b.add(self.b.bitcast(sums, whole), summands)
        factors = self._constants("bias", lane, _FACTORS)
        return self.b.fmul(self.b.sitofp(sums, vector(self.width)), factors)

    def _scale(self, index: int) -> ir.Value:
        offset = 4 * (_SCALES * self.lanes + index)
        return emit_number(self.b, self.panel["bias"], offset, self.width)

    def _activate(self, x: ir.Value, lane: ir.Value) -> ir.Value:
        first, second = (emit_splat(self.b, v, self.width) for v in (self.first, self.second))
        # Only PReLU has numbers for each channel; the others take two scalars.
        slopes = self._constants("slopes", lane) if self.activation == "prelu" else None
        return ACTIVATIONS[self.activation](self.b, x, first, second, slopes)

    def _constants(self, name: str, lane: ir.Value, row: int = 0) -> ir.Value:
        # Constants are packed to whole panels, so that reading past the last channel is safe.
        address = self.b.add(self.panel[name], self.b.mul(lane, i64(4)))
        return emit_load(self.b, address, 4 * row * self.lanes, vector(self.width))

    def _address(self, name: str, index: ir.Value, lane: ir.Value, size: int) -> ir.Value:
        row = self.b.mul(index, self.panel[f"{name}_ld"])
        return self.b.add(self.b.add(self.panel[name], row), self.b.mul(lane, i64(size)))

    def _lanes(self, lane: ir.Value) -> ir.Value:
        return self.b.sub(self.panel["channels"], lane)

    def _mask(self, lane: ir.Value) -> ir.Value | None:
        return emit_mask(self.b, self.width, self._lanes(lane)) if self.partial else None

    def _residual(self, index: ir.Value, lane: ir.Value) -> ir.Value:
        address = self._address("residual", index, lane, BYTES[self.formats.added])
        if self.formats.added == "bf16":
            kind = ints(self.width, kind=I16)
            halves = emit_load_small(self.b, address, kind, self._mask(lane))
            return emit_from_bfloat16(self.b, halves)
        if self.formats.added == "int8":
            codes = emit_load_small(self.b, address, ints(self.width, kind=I8), self._mask(lane))
            return emit_from_codes(self.b, codes, self._scale(0), self._scale(1))
        # A value of another layer has no such padding: lanes past the last channel are not read.
        if not self.partial:
            return emit_load(self.b, address, 0, vector(self.width))
        zero = same(self.width, 0.0)
        return emit_load_part(self.b, address, self.width, self._lanes(lane), zero)

    def _store(self, x: ir.Value, index: ir.Value, lane: ir.Value) -> None:
        address = self._address("output", index, lane, BYTES[self.formats.stored])
        mask = self._mask(lane)
        if self.formats.stored == "bf16":
            emit_store_small(self.b, emit_bfloat16(self.b, x), address, mask)
        elif self.formats.stored == "int8":
            codes = emit_codes(self.b, x, self._scale(2), self._scale(3))
            emit_store_small(self.b, codes, address, mask)
        elif mask is not None:
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
