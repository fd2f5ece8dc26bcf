"""Packed weights of a program, made anew by kernels on the threads that run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from netc.backends.cpu.context import Context
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Program, Step
from netc.backends.shared.derived import Derived, Packing, Versions, versions
from netc.backends.shared.joint import JointMemory

# Sets of arrays whose steps stay bound: all of a training step, and a few others.
_MAX_BOUND_SETS = 4


class _OwnPacking(Packing):
    """Derived arrays that are filled by the steps of their recipes where they have any."""

    def __init__(
        self, arrays: Iterable[Derived], known: Versions, machine: Machine, threads: int
    ) -> None:
        super().__init__(arrays, known)
        self._machine, self._threads = machine, threads
        self._bound: dict[frozenset[int], Context] = {}
        Program(self._steps(self._arrays), 0, machine).compile()

    def make(self, stale: Sequence[Derived]) -> None:
        """Fill arrays by their variables' elements."""
        by_steps = [array for array in stale if array.recipe is not None]
        if by_steps:
            self._context(by_steps).run()
        for array in stale:
            if array.recipe is None:
                np.copyto(array.array, array.now())

    def _steps(self, arrays: Sequence[Derived]) -> tuple[Step, ...]:
        recipes = [array.recipe for array in arrays if array.recipe is not None]
        return tuple(step for recipe in recipes for step in recipe(self._machine))

    def _context(self, arrays: Sequence[Derived]) -> Context:
        key = frozenset(id(array) for array in arrays)
        if key not in self._bound:
            if len(self._bound) == _MAX_BOUND_SETS:
                del self._bound[next(iter(self._bound))]
            self._bound[key] = Context(self._program(self._steps(arrays)), self._threads)
        return self._bound[key]

    def _program(self, steps: tuple[Step, ...]) -> Program:
        return Program(steps, 0, self._machine)


class _JointPacking(_OwnPacking):
    """Derived arrays that ranks make together: see netc.backends.shared.joint."""

    def __init__(
        self,
        joint: JointMemory,
        arrays: Sequence[Derived],
        known: Versions,
        machine: Machine,
        threads: int,
    ) -> None:
        super().__init__(arrays, known, machine, threads)
        self._share: Context | None = None
        steps = self._steps(self._arrays)
        joint.add(self.fill, ", ".join(f"{step.kernel} {step.units}" for step in steps))

    def fill(self, part: int, parts: int) -> None:
        """Make a share of all arrays; the other ranks make the others meanwhile."""
        if self._share is None:
            own = tuple(step.share(part, parts) for step in self._steps(self._arrays))
            self._share = Context(self._program(own), self._threads)
        self._share.run()
        self._known = versions(self._variables)


class StepPacking:
    """The derived arrays of a program: its own, and those that it shares with other ranks.

    Args:
        arrays: what the program's steps read.
        known: the variables' versions from before the arrays were made.
        machine: what the steps are for.
        threads: how many make them.
    """

    def __init__(
        self, arrays: Iterable[Derived], known: Versions, machine: Machine, threads: int
    ) -> None:
        owners = dict.fromkeys(array.base or array for array in arrays)
        by_memory: dict[JointMemory | None, list[Derived]] = {}
        for array in owners:
            by_memory.setdefault(array.joint, []).append(array)
        how = known, machine, threads
        self._parts = [
            _OwnPacking(own, *how) if joint is None else _JointPacking(joint, own, *how)
            for joint, own in by_memory.items()
        ]

    def refresh(self) -> int:
        """Make those anew whose variables have changed; how many those are.

        No run that reads them may be under way.
        """
        return sum(part.refresh() for part in self._parts)
