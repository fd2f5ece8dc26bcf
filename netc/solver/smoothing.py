"""The loss that is printed: a mean over the last iterations (solver.cpp:491-503)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NONE = np.float32(0)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The mean of the last ``window`` losses, in float32 as Caffe keeps it.

    With fewer losses it is their running mean. Afterwards each loss replaces the one ``window``
    iterations before it, and their difference over ``window`` is added to the mean, so that
    rounding errors accumulate as in Caffe.
    """

    window: int
    losses: tuple[np.float32, ...] = ()
    mean: np.float32 = _NONE
    seen: int = 0

    def after(self, loss: float | np.floating) -> Smoothing:
        """The state after one more loss."""
        new = np.float32(loss)
        if len(self.losses) < self.window:
            size = np.float32(len(self.losses))
            mean = np.float32((self.mean * size + new) / (size + np.float32(1)))
            return Smoothing(self.window, (*self.losses, new), mean, self.seen + 1)
        at = self.seen % self.window
        mean = np.float32(self.mean + (new - self.losses[at]) / np.float32(self.window))
        losses = (*self.losses[:at], new, *self.losses[at + 1 :])
        return Smoothing(self.window, losses, mean, self.seen + 1)
