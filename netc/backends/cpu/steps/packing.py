"""Weights packed by kernels: what is made anew each time that a variable has changed.

A packed array of a constant is made once, by NumPy. One of a variable is a :class:`Derived` with a
recipe, the steps that fill it. They read the variable where it lies, so what is packed must
be a view of it: slices, other axes, taps turned around. What is not is left to NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.pack_args import CopyArgs, PackArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.transpose import MatrixBatch, transpose_step
from netc.backends.shared.cook_toom import Filtering
from netc.backends.shared.derived import Content, Derived, Read, Weights, derived
from netc.backends.shared.joint import JointMemory
from netc.backends.shared.views import Place
from netc.ops.array import AnyArray

_BLOCK = 1 << 12  # floats that a unit packs, about
_COPIED = 1 << 14
_VECTOR = 16  # lanes of the widest vector; panels are whole vectors of any width
Shape = tuple[int, ...]


def panels(
    weights: Derived, shape: Shape, lanes: int, by_numpy: Callable[[Content], Content]
) -> Derived | None:
    """Weights (outputs, inputs, taps ...) as [panel][tap][input][lane], by a step.

    Args:
        weights: derived.
        shape: of the result.
        lanes: of a panel.
        by_numpy: makes the same.

    Returns:
        None where no kernel can.
    """
    taps = shape[1]
    layouts = [_layout(weights.array, lanes)]
    if layouts == [None]:  # a phase of a deconvolution has taps that lie apart: one after another
        layouts = [_layout(tap, lanes) for tap in _single_taps(weights.array)]
    if weights.make is not None or not all(layouts):
        return None
    target, joint = _memory(weights, shape)

    def steps(machine: Machine) -> list[Step]:
        # Taps that lie apart are packed by a step each, into their own rows of every panel.
        parts = [target] if len(layouts) == 1 else [target[:, tap] for tap in range(taps)]
        pairs = zip(layouts, parts, strict=True)
        return [one.rows(part, 4 * lanes, taps, machine) for one, part in pairs if one]

    return _recipe(weights, target, by_numpy, steps, joint)


def transformed(
    weights: Derived,
    shape: Shape,
    lanes: int,
    filtering: Filtering,
    by_numpy: Callable[[Content], Content],
) -> Derived | None:
    """Weights as [panel][plane][input][lane], each filter transformed; see ``panels``."""
    layout = _layout(weights.array, lanes)
    if weights.make is not None or layout is None:
        return None
    target, joint = _memory(weights, shape)

    def steps(machine: Machine) -> list[Step]:
        return [layout.planes(target, filtering, machine)]

    return _recipe(weights, target, by_numpy, steps, joint)


def copied(values: Derived, shape: Shape, by_numpy: Callable[[Content], Content]) -> Derived | None:
    """Values one after the other, and zeros after them up to a shape."""
    if values.make is not None or not values.array.flags.c_contiguous:
        return None
    target, joint = _memory(values, shape)

    def step(machine: Machine) -> Step:
        args = CopyArgs(values.array, target, values.size, _COPIED)
        return Step("pack", jit.spec("packing", "copy"), args, math.ceil(values.size / _COPIED))

    return _recipe(values, target, by_numpy, lambda machine: [step(machine)], joint)


def in_c_order(weights: Weights) -> Weights:
    """Weights with their last axis innermost, as they are where they lie so.

    A matrix that is turned around is copied by a step, and so are rows of them whose two inner axes
    (of which the first may be several) are.
    """
    array = weights.array if isinstance(weights, Derived) else weights
    matrices = _turned(array)
    if not isinstance(weights, Derived) or weights.make is not None or matrices is None:
        return derived(np.ascontiguousarray, weights)
    count, rows, columns = matrices
    target, joint = _memory(weights, array.shape)
    source, place = (cast(Place, a) for a in (array, target))  # steps take the address of either

    def step(machine: Machine) -> Step:
        size = rows * columns
        x, y = MatrixBatch(source, size, columns), MatrixBatch(place, size, rows)
        return transpose_step("pack", count, rows, columns, x, y)

    return _recipe(weights, target, np.ascontiguousarray, lambda machine: [step(machine)], joint)


def _turned(array: AnyArray) -> tuple[int, int, int] | None:
    """MatrixBatch, rows and columns that an array is with rows innermost; None if it is not."""
    rows = array.shape[-1]
    images = 1 if array.ndim == 2 else len(array)
    columns = array.size // max(1, images * rows)
    turned = array.T if array.ndim == 2 else np.moveaxis(array, -1, 1)
    return (images, rows, columns) if turned.flags.c_contiguous and array.size else None


def _recipe(
    source: Derived,
    target: NDArray[np.float32],
    by_numpy: Callable[[Content], Content],
    steps: Callable[[Machine], list[Step]],
    joint: JointMemory | None,
) -> Derived:
    def make(read: Read) -> Content:
        return by_numpy(source.now(read))

    return Derived(target, source.variables, make, None, steps, joint=joint)


def _memory(source: Derived, shape: Shape) -> tuple[NDArray[np.float32], JointMemory | None]:
    """Zeros for what is packed: shared ones, and whose they are, where all of its variables are."""
    beside = {variable.beside for variable in source.variables}
    joint = beside.pop() if len(beside) == 1 else None
    shared = None if joint is None else joint.take(shape, math.prod(shape))
    return (aligned_zeros(shape), None) if shared is None else (shared, joint)


def _single_taps(array: AnyArray) -> list[AnyArray]:
    """Weights of one tap each, in order."""
    both = slice(None), slice(None)
    places = np.ndindex(array.shape[2:])
    return [array[(*both, *(slice(at, at + 1) for at in place))] for place in places]


def _layout(array: AnyArray, lanes: int) -> _Layout | None:
    """How weights lie; None where no kernel can read them as they do."""
    if array.dtype != np.float32 or lanes % _VECTOR or not array.size:
        return None
    outputs, inputs, *sizes = array.shape
    output, of_input, *strides = array.strides
    taps = np.zeros(1, np.int64)  # bytes from the first tap to each
    for size, stride in zip(sizes, strides, strict=True):
        taps = np.add.outer(taps, stride * np.arange(size)).reshape(-1)
    first = int(taps.min())
    # Where each tap stands among its filter's floats: a table for the kernel.
    order = (taps - first) // 4
    if sorted(order) != list(range(len(taps))):
        return None
    source = array.ctypes.data + first
    return _Layout(source, (outputs, inputs), (output, of_input), order, lanes)


class _Layout:
    """Weights whose taps lie side by side, in any order; distances in bytes."""

    def __init__(
        self,
        source: int,
        sizes: tuple[int, int],
        steps: tuple[int, int],
        order: NDArray[np.int64],
        lanes: int,
    ) -> None:
        self.source = source
        self.outputs, self.inputs = sizes
        self.output_step, self.input_step = steps
        self.taps = len(order)
        #: for each element of an input's run of taps, which tap it is
        self.tap_of = np.argsort(order)
        self.lanes = lanes
        self.joined = self.input_step == 4 * self.taps
        # A unit's rows of taps and inputs, for a vector of outputs, stay in the first cache.
        at_once = _BLOCK // (_VECTOR * self.taps) // 16 * 16
        self.block = max(16, min(self.inputs, at_once))

    def rows(
        self, target: NDArray[np.float32], lane_bytes: int, taps: int, machine: Machine
    ) -> Step:
        """The step that packs; a panel has ``taps`` taps, these and others."""
        table = self._table(self.inputs * lane_bytes, lane_bytes)
        args = self._args(target, table, lane_bytes, lane_bytes * self.inputs * taps)
        blocks, count = math.ceil(self.inputs / self.block), len(target)
        if self.taps == 1 and self.output_step == 4:
            return Step("pack", jit.spec("packing", "pack_rows"), args, count * blocks)
        kernel = jit.spec("packing", "pack", joined=self.joined)
        units = count * blocks * (self.lanes // machine.width)
        return Step("pack", kernel, args, units, 4 * machine.width**2)

    def planes(self, target: NDArray[np.float32], filtering: Filtering, machine: Machine) -> Step:
        """The step that packs transformed filters."""
        row = 4 * machine.width
        plane = 4 * self.lanes * self.inputs
        table = self._table(self.block * row, row)
        args = self._args(target, table, 0, plane * filtering.planes)._replace(plane_bytes=plane)
        kernel = jit.spec(
            "packing",
            "pack_transformed",
            outputs=filtering.outputs,
            taps=filtering.taps,
            joined=self.joined,
        )
        units = len(target) * math.ceil(self.inputs / self.block) * (self.lanes // machine.width)
        scratch = row * (machine.width + self.block * self.taps)
        return Step("pack", kernel, args, units, scratch)

    def _table(self, tap: int, of_input: int) -> NDArray[np.int64]:
        """Where the rows of a run's elements go, with these bytes from tap to tap and input."""
        inputs = np.arange(self.block if self.joined else 1)
        return np.add.outer(of_input * inputs, tap * self.tap_of).reshape(-1).astype(np.int64)

    def _args(
        self, target: NDArray[np.float32], table: NDArray[np.int64], row: int, panel: int
    ) -> PackArgs:
        return PackArgs(
            source=self.source,
            output_step=self.output_step,
            input_step=self.input_step,
            outputs=self.outputs,
            inputs=self.inputs,
            taps=self.taps,
            lanes=self.lanes,
            block=self.block,
            table=table,
            row_step=row,
            target=target,
            panel_bytes=panel,
        )
