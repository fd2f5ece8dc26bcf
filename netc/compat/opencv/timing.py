"""What ``getPerfProfile`` tells: the time of a forward, and each layer's part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from netc.analysis.feeds import drawn_inputs
from netc.compiled import CompiledNet
from netc.ir.graph import Array


class Forward:
    """A forward that has been: what ran, on which inputs, for how many nanoseconds."""

    def __init__(self, net: CompiledNet, fed: Mapping[str, Array], ticks: int) -> None:
        self.ticks = ticks
        self._net = net
        self._fed = fed
        self._shares: dict[str, float] | None = None

    def times(self, layers: Sequence[str]) -> NDArray[np.float64]:
        """Nanoseconds of each of these layers, which add up to the forward's; (layers,), float64.

        They are in the proportion of a further run, timed step by step when this is asked first.
        """
        if self._shares is None:
            self._shares = self._timed()
        seconds = np.array([self._shares.get(name, 0.0) for name in layers], np.float64)
        return seconds * (self.ticks / (seconds.sum() or 1.0))

    def _timed(self) -> dict[str, float]:
        graph = self._net.graph
        values = {graph.input_blobs[blob]: array for blob, array in self._fed.items()}
        feeds = drawn_inputs(graph, values)
        executable = self._net.executable(tuple(feeds[name].shape for name in graph.inputs))
        shares: dict[str, float] = {}
        for step in executable.timed(feeds)[1]:
            shares[step.name] = shares.get(step.name, 0.0) + step.seconds
        return shares
