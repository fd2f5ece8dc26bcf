"""An arena for tests, which sees writes outside of what a step should write."""

from __future__ import annotations

import numpy as np

from netc.backends.cpu.context import Context
from netc.backends.cpu.program import Program
from netc.backends.shared.views import Arena, View

GUARD = 77.0


class Bench:
    """An arena whose values lie apart, with guards between them."""

    def __init__(self, target, threads=1):
        self.target, self.threads = target, threads
        self.size, self.feeds, self.views = 5, [], []

    def view(self, n, c, h, w, gap=3):
        view = View(Arena(self.size), n, h, w, c, c + gap)
        self.size += view.span + 9
        self.views.append(view)
        return view

    def value(self, array, gap=3):
        view = self.view(*array.shape, gap=gap)
        self.feeds.append((view, array))
        return view

    def run(self, *steps, outputs):
        """The outputs after running the steps; nothing else may have been written."""
        context = Context(Program(tuple(steps), self.size, self.target), self.threads)
        context.flat(Arena(0), self.size)[:] = GUARD
        for view, array in self.feeds:
            context.array(view)[:] = array
        before = context.flat(Arena(0), self.size).view(np.int32).copy()
        context.run()
        results = [context.array(v).copy() for v in outputs]
        for view in outputs:
            context.array(view)[:] = GUARD
        changed = context.flat(Arena(0), self.size).view(np.int32) != before
        for view in outputs:
            keep = Context(Program((), self.size, self.target))
            keep.array(view)[:] = 1
            changed &= keep.flat(Arena(0), self.size) == 0
        assert not changed.any(), f"written outside the outputs at {np.flatnonzero(changed)[:9]}"
        return results


def close(got, expected, tolerance=1e-5):
    """Assert agreement relative to the largest expected value."""
    assert got.shape == expected.shape
    scale = max(np.abs(expected).max(), 1e-30)
    error = np.abs(got.astype(np.float64) - expected).max()
    assert error <= tolerance * scale, f"{error / scale} of the largest value"
