"""Packed weights of a program, made anew by kernels on the threads that run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from netc.backends.cpu.context import Context
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Program
from netc.backends.shared.derived import Derived, Packing, Versions

# Sets of arrays whose steps stay bound: all of a training step, and a few others.
_MAX_BOUND_SETS = 4


class StepPacking(Packing):
    """Derived arrays that are filled by the steps of their recipes where they have any.

    Args:
        arrays: what a program's steps read.
        known: the variables' versions from before the arrays were made.
        machine: what the steps are for.
        threads: how many make them.
    """

    def __init__(
        self, arrays: Iterable[Derived], known: Versions, machine: Machine, threads: int
    ) -> None:
        super().__init__(arrays, known)
        self._machine, self._threads = machine, threads
        self._bound: dict[frozenset[int], Context] = {}
        self._program([a for a in self._arrays if a.recipe is not None]).compile()

    def make(self, stale: Sequence[Derived]) -> None:
        """Fill arrays by their variables' elements."""
        by_steps = [array for array in stale if array.recipe is not None]
        if by_steps:
            self._context(by_steps).run()
        for array in stale:
            if array.recipe is None:
                np.copyto(array.array, array.now())

    def _program(self, arrays: Sequence[Derived]) -> Program:
        recipes = [array.recipe for array in arrays if array.recipe is not None]
        steps = tuple(step for recipe in recipes for step in recipe(self._machine))
        return Program(steps, 0, self._machine)

    def _context(self, arrays: Sequence[Derived]) -> Context:
        key = frozenset(id(array) for array in arrays)
        if key not in self._bound:
            if len(self._bound) == _MAX_BOUND_SETS:
                del self._bound[next(iter(self._bound))]
            self._bound[key] = Context(self._program(arrays), self._threads)
        return self._bound[key]
