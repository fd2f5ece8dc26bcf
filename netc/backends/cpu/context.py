"""Contexts: the memory and threads with which a program runs."""

from __future__ import annotations

import ctypes
import struct
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import RunArgs, StepRow
from netc.backends.cpu.memory import ALIGNMENT, aligned_bytes
from netc.backends.cpu.pool import Workers
from netc.backends.cpu.program import PROGRAM_LOOP, Argument, Program, PythonStep, Step
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena, Buffer, External, Place, View, Workspace
from netc.ir.types import Shape


class Context:
    """An arena, threads, and a program bound to them.

    Args:
        program: what to run.
        threads: how many take part; results do not depend on it.
    """

    def __init__(self, program: Program, threads: int = 1) -> None:
        self.program = program
        self._externals: list[NDArray[np.float32]] = []
        self._lock = threading.Lock()
        self._arena = aligned_bytes(4 * program.arena).view(np.float32)
        shared = _Shared(
            program.addresses(),
            threads,
            self._arena,
            aligned_bytes(program.workspace),
            aligned_bytes(program.scratch * threads),
            program.scratch,
        )
        self._bound = [
            s if isinstance(s, PythonStep) else _Segment(s, shared, program)
            for s in program.segments
        ]
        self._team = ThreadTeam(shared, [s for s in self._bound if isinstance(s, _Segment)])
        weakref.finalize(self, self._team.stop)

    def run(self, externals: Sequence[NDArray[np.float32]] = ()) -> None:
        """Run all steps.

        Args:
            externals: C-contiguous float32 arrays, the inputs and outputs, in the order of their
                indices; they must not be touched meanwhile.
        """
        with self._lock:
            self._externals = list(externals)
            bases = [a.ctypes.data for a in externals]
            for segment in self._bound:
                if isinstance(segment, PythonStep):
                    segment(self)
                else:
                    self._team.run(segment, bases)

    def time(self, externals: Sequence[NDArray[np.float32]] = ()) -> list[float]:
        """Run all steps and give each one's wall time in seconds, in the order of the steps.

        A step lasts from the end of the one before it until no thread works on it any more.
        """
        with self._lock:
            self._externals = list(externals)
            bases = [a.ctypes.data for a in externals]
            times: list[float] = []
            for segment in self._bound:
                start = time.perf_counter()
                if isinstance(segment, PythonStep):
                    segment(self)
                    times.append(time.perf_counter() - start)
                else:
                    times.extend(self._team.time(segment, bases))
            return times

    def array(self, view: View) -> NDArray[np.float32]:
        """A value as a NumPy view of shape (n, c, h, w), to read or write between steps."""
        row = 4 * view.ld * view.w
        strides = (row * view.h, row, 4 * view.ld, 4)
        shape = (view.n, view.h, view.w, view.c)
        memory = self.flat(view.place, view.span)
        return np.lib.stride_tricks.as_strided(memory, shape, strides).transpose(0, 3, 1, 2)

    def seen(self, view: View, shape: Shape | None) -> NDArray[np.float32]:
        """A value as an array of its own shape, in place; None for (n, c, h, w)."""
        if shape is None or (len(shape) == 4 and shape == (view.n, view.c, view.h, view.w)):
            return self.array(view)
        if len(shape) == 2:
            return self.array(view)[:, :, 0, 0]
        return self.flat(view.place, view.span).reshape(shape)

    def flat(self, place: Place, count: int) -> NDArray[np.float32]:
        """``count`` floats from a place on, as a NumPy view."""
        place = self.program.resolved(place)
        if isinstance(place, Workspace):
            raise ValueError("what a step leaves in the workspace is not to be looked at")
        whole = self._arena if isinstance(place, Arena) else self._externals[place.array]
        return whole.reshape(-1)[place.offset : place.offset + count]


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all segments of a context use."""

    addresses: Mapping[jit.KernelSpec, int]
    threads: int
    arena: NDArray[np.float32]
    workspace: NDArray[np.uint8]
    scratch: NDArray[np.uint8]
    stride: int


class _Segment:
    """Compiled steps bound to an arena, as tables that the program loop reads."""

    def __init__(self, steps: Sequence[Step], shared: _Shared, program: Program) -> None:
        self.steps = steps
        self.shared = shared
        self.epoch = 0
        self.args, starts, self.patches = _arguments(steps, shared, program)
        base = self.args.ctypes.data
        rows = [
            StepRow(shared.addresses[s.kernel], base + 8 * start, s.units, s.grain, s.first)
            for s, start in zip(steps, starts, strict=True)
        ]
        self.rows = np.array(rows, np.int64)
        self.counters = aligned_bytes(len(steps) * (shared.threads + 1) * ALIGNMENT)
        self.counters[:] = 0
        self.ticks = np.zeros((shared.threads, len(steps) + 1), np.int64)
        self.block = np.array(
            RunArgs(
                steps=self.rows.ctypes.data,
                count=len(steps),
                threads=shared.threads,
                epoch=-1,
                scratch=shared.scratch.ctypes.data,
                scratch_stride=shared.stride,
                ticks=0,
                yield_function=_system_function("sched_yield", "SwitchToThread"),
                clock_function=_system_function("clock_gettime", ""),
                clock=getattr(time, "CLOCK_MONOTONIC", 0),
                counters=self.counters.ctypes.data,
            ),
            np.int64,
        )
        self.address = self.block.ctypes.data


class ThreadTeam:
    """The threads of a context: the caller's and those that help."""

    def __init__(self, shared: _Shared, segments: Sequence[_Segment]) -> None:
        self._loop = _LOOP(shared.addresses[PROGRAM_LOOP])
        self._segments = segments
        self._current = segments[0].address if segments else 0
        helpers = range(1, shared.threads) if segments else ()
        self._workers = Workers([partial(self._help, slot) for slot in helpers])
        self.stop = self._workers.stop

    def _help(self, slot: int) -> None:
        self._loop(_RESULT, _RESULT, self._current, slot, -1, 0)

    def run(self, segment: _Segment, bases: Sequence[int]) -> None:
        """Run a segment's steps with these addresses of the caller's arrays."""
        for position, index, offset in segment.patches:
            segment.args[position] = bases[index] + offset
        self._current = segment.address
        self._workers.wake()
        self._loop(_RESULT, _RESULT, segment.address, 0, segment.epoch, 0)
        segment.epoch += 1

    def time(self, segment: _Segment, bases: Sequence[int]) -> list[float]:
        """Run a segment and give its steps' seconds, which add up to the wall time of it all."""
        at = RunArgs._fields.index("ticks")
        segment.ticks[:] = 0
        segment.block[at] = segment.ticks.ctypes.data
        start = time.perf_counter()
        self.run(segment, bases)
        total = time.perf_counter() - start
        segment.block[at] = 0
        # A step is over when the last thread that worked on it was; nobody works on an empty one.
        spent = np.diff(np.maximum.accumulate(segment.ticks.max(axis=0)))
        return [float(t) for t in spent * (total / max(1, int(spent.sum())))]


# The two addresses in front belong to Numba's calling convention: a result's and an error's place.
_LOOP = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
_NOWHERE = (ctypes.c_void_p * 2)()
_RESULT = ctypes.addressof(_NOWHERE)


def _arguments(
    steps: Sequence[Step], shared: _Shared, program: Program
) -> tuple[NDArray[np.int64], list[int], list[tuple[int, int, int]]]:
    """All steps' argument blocks, where each starts, and (position, array, bytes) to patch."""
    values: list[int] = []
    starts: list[int] = []
    patches: list[tuple[int, int, int]] = []
    bases = shared.arena.ctypes.data, shared.workspace.ctypes.data
    for step in steps:
        starts.append(len(values))
        for given in step.args:
            argument = program.resolved(given) if isinstance(given, Buffer) else given
            if isinstance(argument, External):
                patches.append((len(values), argument.array, 4 * argument.offset))
            values.append(_number(argument, *bases))
    return np.array(values, np.int64), starts, patches


def _number(argument: Argument, arena: int, workspace: int) -> int:
    assert not isinstance(argument, Buffer)
    if isinstance(argument, float):
        return int(struct.unpack("<I", struct.pack("<f", argument))[0])
    if isinstance(argument, Arena):
        return arena + 4 * argument.offset
    if isinstance(argument, Workspace):
        return workspace + 4 * argument.offset
    if isinstance(argument, External):
        return 0
    if isinstance(argument, Derived):
        return int(argument.array.ctypes.data)
    if isinstance(argument, np.ndarray):
        return int(argument.ctypes.data)
    return int(argument)


@cache
def _system_function(posix: str, windows: str) -> int:
    """The address of a function of the C library or of Windows; 0 where there is none."""
    try:
        function = getattr(ctypes.CDLL(None), posix, None)
    except (OSError, TypeError):  # Windows has no such library
        kernel32 = getattr(getattr(ctypes, "windll", None), "kernel32", None)
        function = getattr(kernel32, windows, None) if windows else None
    return ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0
