"""Programs: what a planner gives and a context runs.

A :class:`Program` is a sequence of steps over one arena of float32. A :class:`Step` is a compiled
kernel with its arguments; builders in :mod:`netc.backends.cpu.steps` make them from views of
values (:class:`netc.backends.shared.views.View`). A :class:`PythonStep` is anything else: it is
called between compiled steps with the context, whose :meth:`Context.array` shows values as NumPy
arrays.

    view_x = dense(Arena(0), 1, 56, 56, 64)
    view_y = dense(Arena(56 * 56 * 64), 1, 56, 56, 64)
    program = Program((conv_step(...),), arena=2 * 56 * 56 * 64)
    context = Context(program, threads=2)
    context.run([image, result])  # arrays that External(0) and External(1) name

Builders, all in ``steps``: ``choice.convolution_steps`` (picks product, Winograd or depthwise),
``deconv.deconv_steps``, ``depthwise.depthwise_deconv_steps``, ``linear.linear_step`` (inputs in
Caffe's order), ``pooling``, ``normalization`` (LRN, softmax), ``elementwise.chain_step``, and
``moving`` and ``transpose`` (copies, permutations, edges). ``epilogue.Epilogue`` is what products
do to a result before the one store. Steps that need memory shared by threads ask for it in
``workspace``.

A program is immutable and shared. A context has an arena and threads of its own; any number of
contexts of one program may run at once, each from one thread at a time. Running allocates nothing.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import RunArgs, StepRow
from netc.backends.cpu.machine import Machine, machine
from netc.backends.cpu.memory import ALIGNMENT, aligned_bytes, rounded
from netc.backends.cpu.pool import Workers
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena, Buffer, External, Place, View, Workspace
from netc.ir.types import Shape

Constant = NDArray[Any]
Argument = int | float | Place | Constant | Derived
_RUN = jit.spec("runner", "run")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A compiled kernel and its arguments.

    Args:
        name: the layer's name, for times and messages.
        kernel: what to run.
        args: int; float (becomes float32 bits); a place in the arena or in the caller's arrays
            (becomes its address); or an array, perhaps a derived one (becomes the address of its
            data; it is kept alive).
        units: independent pieces of work; each is done by one thread.
        scratch: bytes of scratch memory that a thread needs.
        grain: units that a thread takes at a time at least.
        workspace: bytes of memory shared by all threads that the step needs at ``Workspace()``;
            steps with one name that follow each other may hand data over in it.
        pointwise_reads: places among the arguments of which each element is read by the unit that
            then writes the element of the same index, and by no other: the output may lie there.
    """

    name: str
    kernel: jit.KernelSpec
    args: tuple[Argument, ...]
    units: int
    scratch: int = 0
    grain: int = 1
    workspace: int = 0
    pointwise_reads: tuple[Place, ...] = ()

    @property
    def touched(self) -> frozenset[str]:
        """Names of the buffers that it reads or writes."""
        return frozenset(a.name for a in self.args if isinstance(a, Buffer))

    @property
    def pointwise(self) -> frozenset[str]:
        """Names of the buffers that it reads element by element."""
        return frozenset(a.name for a in self.pointwise_reads if isinstance(a, Buffer))


@dataclass(frozen=True, slots=True, eq=False)
class PythonStep:
    """A step done by NumPy on arrays over stored values.

    Args:
        name: for times and messages.
        function: takes the arrays; writes to those that it makes.
        values: what it sees and nothing else: each a view, and the shape as which it is seen
            (None: (n, c, h, w) whatever its axes).
        reads_first: all that is read is read before anything is written.
    """

    name: str
    function: Callable[..., None]
    values: tuple[tuple[View, Shape | None], ...]
    reads_first: bool = False

    def __call__(self, context: Context) -> None:
        """Run it on the values as a context has them."""
        self.function(*(context.seen(view, shape) for view, shape in self.values))

    @property
    def touched(self) -> frozenset[str]:
        """Names of the buffers that it reads or writes."""
        places = (view.place for view, _ in self.values)
        return frozenset(place.name for place in places if isinstance(place, Buffer))

    @property
    def pointwise(self) -> frozenset[str]:
        """Names of the buffers that it reads before it writes."""
        return self.touched if self.reads_first else frozenset()


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, and the size of the arena they use in floats.

    ``buffers`` says where each buffer that the steps name begins.
    """

    steps: tuple[Step | PythonStep, ...]
    arena: int
    target: Machine | None = None
    buffers: Mapping[str, Arena | External] = field(default_factory=dict)

    def resolved(self, place: Place) -> Arena | External | Workspace:
        """A place with its buffer's own place in it."""
        if isinstance(place, Buffer):
            begin = self.buffers[place.name]
            return begin._replace(offset=begin.offset + place.offset)
        return place

    @property
    def machine(self) -> Machine:
        """What its kernels are compiled for."""
        return self.target or machine()

    @cached_property
    def segments(self) -> tuple[PythonStep | tuple[Step, ...], ...]:
        """Runs of compiled steps, and Python steps between them."""
        found: list[PythonStep | tuple[Step, ...]] = []
        for compiled, group in groupby(self.steps, lambda s: isinstance(s, Step)):
            if compiled:
                found.append(tuple(s for s in group if isinstance(s, Step)))
            else:
                found.extend(s for s in group if isinstance(s, PythonStep))
        return tuple(found)

    @cached_property
    def workspace(self) -> int:
        """Bytes of memory that threads share during a step."""
        return max((s.workspace for s in self.steps if isinstance(s, Step)), default=0)

    @cached_property
    def scratch(self) -> int:
        """Bytes of memory that each thread has for itself."""
        most = max((s.scratch for s in self.steps if isinstance(s, Step)), default=0)
        return rounded(most) + ALIGNMENT

    def working(self, threads: int) -> int:
        """Bytes that a context has besides the arena."""
        return self.workspace + self.scratch * threads

    @cached_property
    def derived(self) -> tuple[Derived, ...]:
        """The arrays among the arguments that are made of variables."""
        compiled = (s for s in self.steps if isinstance(s, Step))
        return tuple(dict.fromkeys(a for s in compiled for a in s.args if isinstance(a, Derived)))

    def compile(self, progress: jit.Progress | None = None) -> None:
        """Have every kernel's machine code ready."""
        self.addresses(progress)

    def addresses(self, progress: jit.Progress | None = None) -> dict[jit.KernelSpec, int]:
        """Each kernel's address, the program loop's included."""
        kernels = [s.kernel for s in self.steps if isinstance(s, Step)]
        return dict(jit.load([_RUN, *kernels], self.machine, progress))


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
        self._gang = ThreadTeam(shared, [s for s in self._bound if isinstance(s, _Segment)])
        weakref.finalize(self, self._gang.stop)

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
                    self._gang.run(segment, bases)

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
                    times.extend(self._gang.time(segment, bases))
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
            StepRow(shared.addresses[s.kernel], base + 8 * start, s.units, s.grain)
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
        self._loop = _LOOP(shared.addresses[_RUN])
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
