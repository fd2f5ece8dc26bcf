"""The least time that a step can take on this machine: its arithmetic or its bytes.

Both are measured where they are asked for, with as many threads as the net has: multiply-adds on
registers alone (kernels.peak), and reading, in order, as much memory as the net has in weights and
arena, so that a net which fits into a cache is held to that cache. A step's floor is the longer of
the two. A convolution by Winograd's algorithm has the multiplications of its tiles, fewer than its
definition; transforms count for nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from netc.backends.base import Executable
from netc.backends.cpu import jit
from netc.backends.cpu.backend import CpuExecutable
from netc.backends.cpu.context import Context
from netc.backends.cpu.dynamic import StagedExecutable
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.parts import PartsExecutable
from netc.backends.cpu.program import Program, Step
from netc.backends.profile import Roof
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena

# Register tiles that hide a multiply-add's latency: rows and vectors.
PEAK_TILES = {"avx512": (12, 2), "avx2": (6, 2), "neon": (8, 3), "plain": (6, 2)}
_SWEEPS = 500  # of the registers in a unit of work
_UNITS = 4  # of each thread
_ROUNDS = 40
_READ = 1 << 15  # bytes of a unit of reading, see kernels.peak
_MIN_READ_BYTES = 1 << 20  # bytes that are read at least


def roof_of(executable: Executable) -> Roof | None:
    """What can be had for a net; None where it runs by definitions alone.

    This takes about a second.
    """
    parts = list(_planned(executable))
    if not parts:
        return None
    target, threads = parts[0].program.machine, parts[0].plan.context.threads
    memory = max(4 * part.program.arena + _constants(part.program) for part in parts)
    return Roof(peak(target, threads), bandwidth(target, threads, memory), multiplied(executable))


def peak(target: Machine, threads: int) -> float:
    """Operations a second on registers alone; a multiply-add is two."""
    rows, columns = PEAK_TILES[target.isa]
    size = 4 * rows * columns * target.width
    kernel = jit.spec("peak", "peak", rows=rows, columns=columns)
    step = Step("peak", kernel, (0, _SWEEPS), _UNITS * threads, size)
    context = Context(Program((step,), 16, target), threads)
    return 2.0 * size * _SWEEPS * _UNITS * threads / _shortest(context.run)


def bandwidth(target: Machine, threads: int, memory: int) -> float:
    """Bytes a second that are read of so much memory, in order, again and again."""
    units = max(memory, _MIN_READ_BYTES) // _READ
    step = Step("read", jit.spec("peak", "read"), (Arena(0),), units, 4 * target.width)
    context = Context(Program((step,), units * _READ // 4, target), threads)
    context.flat(Arena(0), units * _READ // 4)[:] = 1  # pages that nothing was written to are one
    return units * _READ / _shortest(context.run)


def _shortest(run: Callable[[], None]) -> float:
    """Seconds of the shortest of some runs: others may have had the processor in the rest."""
    found = math.inf
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        found = min(found, time.perf_counter() - start)
    return found


def multiplied(executable: Executable) -> Mapping[str, float]:
    """The share of its definition's multiplications that a step makes, by Winograd's algorithm."""
    found: dict[str, set[float]] = {}
    for part in _planned(executable):
        for step in part.program.steps:
            if isinstance(step, Step) and step.kernel.module in _PRODUCTS:
                found.setdefault(step.name, set()).add(_share(step.kernel))
    # Of a chain of two windows one alone may go through the algorithm: it counts as defined.
    return {name: shares.pop() for name, shares in found.items() if len(shares) == 1}


_PRODUCTS = ("winograd", "conv", "conv_k_blocked", "depthwise", "linear")


def _share(kernel: jit.KernelSpec) -> float:
    options: dict[str, Any] = dict(kernel.options)
    if kernel.module != "winograd":
        return 1.0
    defined: int = math.prod((*options["outputs"], *options["taps"]))
    pairs = zip(options["outputs"], options["taps"], strict=True)
    sides: int = math.prod(size + reach - 1 for size, reach in pairs)
    return sides / defined


def _planned(executable: Executable) -> Iterator[CpuExecutable]:
    if isinstance(executable, CpuExecutable):
        yield executable
    if isinstance(executable, StagedExecutable | PartsExecutable):
        for part in executable.parts():
            yield from _planned(part)


def _constants(program: Program) -> int:
    """Bytes of the arrays that steps read, each counted once."""
    known: dict[int, int] = {}
    for step in program.steps:
        for argument in step.args if isinstance(step, Step) else ():
            array = argument.array if isinstance(argument, Derived) else argument
            if isinstance(array, np.ndarray):
                known[id(array)] = array.nbytes
    return sum(known.values())
