"""Weights in Caffe's order as the panels that products read, made anew whenever they change.

Lanes of a panel are outputs, which lie far apart in memory, while what follows an element there are
taps and inputs. So ``width`` outputs by ``width`` elements of such a run are turned around in
registers, and each row of lanes goes to the place that a table has for it. Units are one vector of
outputs by a block of inputs.

For Winograd's algorithm the rows of a block go to scratch memory first, and from there through the
transform of the filters, G g GT, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import float32, njit, types

from netc.backends.cpu.kernels.simd import (
    emit_load,
    emit_store,
    function,
    i64,
    int_at,
    load,
    load_part,
    record,
    splat,
    store,
    store_part,
    vector,
)
from netc.backends.cpu.kernels.transpose import square
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.kernels.winograd_transform import emit_transform
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.pack_args import CopyArgs, PackArgs
from netc.backends.shared.cook_toom import Filtering


def pack(machine: Machine, joined: bool) -> Kernel:
    """Panels as they are; ``joined``: an input's taps follow those of the input before it."""
    width = machine.width
    fill, unit_of = _fill(width, joined), _unit(width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PackArgs, args)
        for unit in range(begin, end):
            panel, lane, first, rows, count = unit_of(a, unit)
            if rows > 0:
                source = a.source + (panel * a.lanes + lane) * a.output_step + first * a.input_step
                target = a.target + panel * a.panel_bytes + 4 * lane + first * a.row_step
                fill(a, source, target, a.table, a.row_step, rows, count, scratch)

    return kernel


def pack_rows(machine: Machine) -> Kernel:
    """Panels of weights of one tap whose outputs lie side by side: rows of lanes are copied."""
    width = machine.width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PackArgs, args)
        # Units: panels by blocks of inputs, so that one layer's packing is shared among threads.
        blocks = (a.inputs + a.block - 1) // a.block
        for unit in range(begin, end):
            panel, first = unit // blocks, unit % blocks * a.block
            lanes = min(a.lanes, a.outputs - panel * a.lanes)
            for i in range(first, min(first + a.block, a.inputs)):
                source = a.source + i * a.input_step + 4 * panel * a.lanes
                target = a.target + panel * a.panel_bytes + i * a.row_step
                main = lanes // width * width
                for lane in range(0, main, width):
                    store(target + 4 * lane, load(width, source + 4 * lane))
                if main < lanes:
                    last = lanes - main
                    value = load_part(width, source + 4 * main, last)
                    store_part(target + 4 * main, value, last)

    return kernel


def pack_transformed(
    machine: Machine, outputs: tuple[int, int], taps: tuple[int, int], joined: bool
) -> Kernel:
    """Panels of transformed filters, [panel][plane][input][lane]."""
    width = machine.width
    filtering = Filtering(outputs, taps)
    fill, unit_of, transform = _fill(width, joined), _unit(width), _filters(width, filtering)
    row = 4 * width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(PackArgs, args)
        # Scratch: [width x width for turning][plain filters: tap][input of the block][lane].
        plain = scratch + width * row
        between = a.block * row  # from a tap's rows to the next one's
        for unit in range(begin, end):
            panel, lane, first, rows, count = unit_of(a, unit)
            if rows > 0:
                source = a.source + (panel * a.lanes + lane) * a.output_step + first * a.input_step
                fill(a, source, plain, a.table, row, rows, count, scratch)
                target = a.target + panel * a.panel_bytes + 4 * (first * a.lanes + lane)
                # One input's filters at a time: G g GT of ``width`` filters, a lane each.
                for i in range(count):
                    where = target + 4 * i * a.lanes
                    transform(plain + i * row, between, where, a.plane_bytes)

    return kernel


def copy(machine: Machine) -> Kernel:
    """Floats that follow each other; what is beyond them in the target stays."""
    width = machine.width

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(CopyArgs, args)
        for unit in range(begin, end):
            first = unit * a.per_unit
            last = min(first + a.per_unit, a.count)
            main = first + (last - first) // width * width
            for at in range(first, main, width):
                store(a.target + 4 * at, load(width, a.source + 4 * at))
            if main < last:
                value = load_part(width, a.source + 4 * main, last - main)
                store_part(a.target + 4 * main, value, last - main)

    return kernel


def _unit(width: int) -> Compiled:
    """A function (args, unit) -> panel, lane, first input, outputs there are, inputs."""

    @njit(inline="always")
    def unit_of(a: Record, unit: int) -> tuple[int, int, int, int, int]:
        # unit = (panel * groups + vector of the panel) * blocks + block of inputs
        groups, blocks = a.lanes // width, (a.inputs + a.block - 1) // a.block
        panel, rest = unit // (groups * blocks), unit % (groups * blocks)
        lane, first = rest // blocks * width, rest % blocks * a.block
        rows = min(width, a.outputs - panel * a.lanes - lane)
        return panel, lane, first, rows, min(a.block, a.inputs - first)

    return unit_of


def _fill(width: int, joined: bool) -> Compiled:
    """A function that writes the rows of one vector of outputs and ``count`` inputs."""
    whole, part = square(width, False), square(width, True)
    row = 4 * width

    @njit(inline="always")
    def run(
        a: Record, source: int, target: int, table: int, rows: int, length: int, scratch: int
    ) -> None:
        # Turn squares of width outputs x width elements, so that outputs become lanes:
        #
        #   weights  [output][e]   ->   scratch [e][output]   ->   rows of the panel, by the table
        for e in range(0, length, width):
            count = min(width, length - e)
            if (rows == width) & (count == width):
                whole(source + 4 * e, a.output_step, scratch, row, width, width)
            else:
                part(source + 4 * e, a.output_step, scratch, row, rows, count)
            for j in range(count):
                store(target + int_at(table, e + j), load(width, scratch + row * j))

    @njit(inline="always")
    def fill(
        a: Record,
        source: int,
        target: int,
        table: int,
        row_step: int,
        rows: int,
        count: int,
        scratch: int,
    ) -> None:
        if rows < width:  # lanes without an output stay 0
            for j in range(width):
                store(scratch + row * j, splat(width, float32(0.0)))
        if joined:
            run(a, source, target, table, rows, count * a.taps, scratch)
        else:
            for i in range(count):
                start, place = source + i * a.input_step, target + i * row_step
                run(a, start, place, table, rows, a.taps, scratch)

    return fill


def _filters(width: int, filtering: Filtering) -> Compiled:
    """A function (first tap's vector, bytes between taps, target, bytes between planes)."""
    high, wide = filtering.taps
    vertical, horizontal = (m.filter for m in filtering.matrices)
    planes = filtering.sides[1]

    def emit(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
        source, between, target, plane = values

        def tap(index: int) -> ir.Value:
            return emit_load(b, b.add(source, b.mul(between, i64(index))), 0, vector(width))

        taps = [[tap(i * wide + j) for j in range(wide)] for i in range(high)]
        for i, made in enumerate(emit_transform(b, vertical, horizontal, taps)):
            for j, value in enumerate(made):
                emit_store(b, value, b.add(target, b.mul(plane, i64(i * planes + j))))

    return function("filters", 4, lambda *rest: types.none, emit)
