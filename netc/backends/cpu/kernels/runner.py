"""The loop that runs a program's steps, executed by every thread of a context.

A step is ``units`` independent pieces of work. Each thread owns an equal range of them and takes
chunks from it; a thread that has finished its own takes from the others'. A step is over when all
its units are done, whoever did them, so a thread that wakes late joins in where the others are and
nobody waits for it. Counters only grow: run number ``epoch`` uses counts epoch * n to
(epoch + 1) * n, so a thread still looking at an earlier run finds nothing to take.

A run that is timed has a row of time stamps for each thread: when it began the run (the caller
alone), and when it last did work of each step. A step is over at the latest of its stamps. What the
caller alone sees would not do: while it sleeps, because another program has its processor, the
others finish steps, and it finds them done at once when it wakes.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit
from numba.core import types

from netc.backends.cpu.kernel_args import RunArgs, StepRow
from netc.backends.cpu.kernels.simd import I8, I32, I64, function, i64, record, set_int
from netc.backends.cpu.kernels.values import Compiled, Kernel, Record
from netc.backends.cpu.machine import Machine

# Counters of a segment, each alone in a cache line so that threads do not disturb each other:
#
#   step s:  [taken by thread 0][taken by thread 1]...[done by all]    n + 1 lines
_SPINS = 300
_CACHE_LINE_BYTES = 64
_STEP_ROW_BYTES = 8 * len(StepRow._fields)
_EPOCH_OFFSET_BYTES = 8 * RunArgs._fields.index("epoch")


def _emit_invoke(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> None:
    byte = I8.as_pointer()
    kind = ir.FunctionType(I32, [byte.as_pointer(), byte.as_pointer(), I64, I64, I64, I64])
    with b.goto_entry_block():
        result, error = b.alloca(byte), b.alloca(byte)
    b.call(b.inttoptr(values[0], kind.as_pointer()), [result, error, *values[1:]])


def _emit_call(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> None:
    b.call(b.inttoptr(values[0], ir.FunctionType(I32, []).as_pointer()), [])


def _emit_load(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> ir.Value:
    return b.load_atomic(b.inttoptr(values[0], I64.as_pointer()), "acquire", 8)


def _emit_save(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> None:
    b.store_atomic(values[1], b.inttoptr(values[0], I64.as_pointer()), "release", 8)


def _emit_swap(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> ir.Value:
    place = b.inttoptr(values[0], I64.as_pointer())
    pair = b.cmpxchg(place, values[1], values[2], "acq_rel", "acquire")
    return b.zext(b.extract_value(pair, 1), I64)


def _emit_add(b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]) -> None:
    b.atomic_rmw("add", b.inttoptr(values[0], I64.as_pointer()), values[1], "acq_rel")


def _emit_pause(b: ir.IRBuilder, family: str) -> None:
    kind = ir.FunctionType(ir.VoidType(), [])
    if family == "x86":
        b.call(b.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
    if family == "arm":
        hint = ir.FunctionType(ir.VoidType(), [I32])
        yielding = ir.Constant(I32, 1)
        b.call(b.module.declare_intrinsic("llvm.aarch64.hint", (), hint), [yielding])


def _emit_ticks(b: ir.IRBuilder, family: str, run: ir.Value) -> ir.Value:
    """A time stamp: the processor's counter, or nanoseconds of the system's clock."""
    if family == "x86":
        kind = ir.FunctionType(I64, [])
        return b.call(b.module.declare_intrinsic("llvm.readcyclecounter", (), kind), [])
    pair = ir.ArrayType(I64, 2)
    with b.goto_entry_block():
        place = b.alloca(pair)
    clock_type = ir.FunctionType(I32, [I32, pair.as_pointer()])
    address, clock = (
        b.extract_value(run, RunArgs._fields.index(f)) for f in ("clock_function", "clock")
    )
    with b.if_then(b.icmp_signed("!=", address, i64(0))):
        b.call(b.inttoptr(address, clock_type.as_pointer()), [b.trunc(clock, I32), place])
    now = b.load(place)
    seconds = b.mul(b.extract_value(now, 0), i64(1_000_000_000))
    return b.add(seconds, b.extract_value(now, 1))


def _none(*arguments: types.Type) -> types.Type:
    return types.none


def _int(*arguments: types.Type) -> types.Type:
    return types.int64


_invoke = function("invoke", 5, _none, _emit_invoke)
_call = function("call", 1, _none, _emit_call)
_atomic = function("atomic", 1, _int, _emit_load)
_publish = function("publish", 2, _none, _emit_save)
_swap = function("swap", 3, _int, _emit_swap)
_add = function("add", 2, _none, _emit_add)


@njit(inline="always")
def _take(row: Record, counter: int, epoch: int, low: int, high: int, scratch: int) -> int:
    """Take chunks of units low to high until none are left; how many were taken."""
    # Counters are never reset: in run ``epoch`` this range counts from here on.
    base = epoch * (high - low)
    taken = 0
    while True:
        count = _atomic(counter)
        left = high - low - (count - base)
        if left <= 0:
            return taken
        # A quarter of what is left: large chunks first, small ones at the end to even out.
        chunk = min(left, max(row.grain, left // 4))
        # The exchange fails if another thread was faster; then look again.
        if _swap(counter, count, count + chunk):
            start = row.first + low + count - base
            _invoke(row.kernel, row.args, start, start + chunk, scratch)
            taken += chunk


def _waiting(family: str) -> Compiled:
    """``wait(counter, count, yield_function)``: until a counter is at least ``count``."""
    pause = function("pause", 0, _none, lambda b, t, v: _emit_pause(b, family))

    @njit(inline="always")
    def wait(counter: int, count: int, yield_function: int) -> None:
        spins = 0
        while _atomic(counter) < count:
            pause()
            # Spin while the others should be done in microseconds, then let the system run them.
            spins += 1
            if spins > _SPINS and yield_function:
                _call(yield_function)

    return wait


def _sharing(ticks: Compiled, wait: Compiled) -> Compiled:
    """``share(run, row, step, slot, epoch, scratch)``: work on a step until it is over."""

    @njit(inline="always")
    def share(r: Record, row: Record, s: int, slot: int, epoch: int, scratch: int) -> None:
        counters = r.counters + s * (r.threads + 1) * _CACHE_LINE_BYTES
        done = counters + r.threads * _CACHE_LINE_BYTES
        # Its own range first, whose data may be in this core's caches, then the others'.
        for k in range(r.threads):
            owner = (slot + k) % r.threads
            low = row.units * owner // r.threads
            high = row.units * (owner + 1) // r.threads
            taken = _take(row, counters + owner * _CACHE_LINE_BYTES, epoch, low, high, scratch)
            if taken:
                if r.ticks:  # before others may learn that the step is over
                    set_int(r.ticks, slot * (r.count + 1) + s + 1, ticks(r))
                # Released only after the units ran: whoever sees the count sees their results.
                _add(done, taken)
        wait(done, (epoch + 1) * row.units, r.yield_function)

    return share


def run(machine: Machine) -> Kernel:
    """The loop: (context address, thread's slot, epoch, unused).

    Slot 0 is the caller and gives the epoch; the others pass -1 and find it in the context.
    """
    family = machine.family
    ticks = function("ticks", 1, _int, lambda b, t, v: _emit_ticks(b, family, v[0]))
    share = _sharing(ticks, _waiting(family))

    def loop(context: int, slot: int, epoch: int, unused: int) -> None:
        r = record(RunArgs, context)
        if slot == 0:
            if r.ticks:
                set_int(r.ticks, 0, ticks(r))
            # Threads that enter the loop from here on take part in this run.
            _publish(context + _EPOCH_OFFSET_BYTES, epoch)
        else:
            epoch = _atomic(context + _EPOCH_OFFSET_BYTES)
        scratch = r.scratch + slot * r.scratch_stride
        for s in range(r.count):
            row = record(StepRow, r.steps + s * _STEP_ROW_BYTES)
            # Alone there is nothing to share and nobody to wait for.
            if r.threads == 1:
                _invoke(row.kernel, row.args, row.first, row.first + row.units, scratch)
                if r.ticks:
                    set_int(r.ticks, s + 1, ticks(r))
            else:
                share(r, row, s, slot, epoch, scratch)

    return loop
