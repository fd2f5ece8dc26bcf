"""What an iteration on several ranks should take, of what was measured on one machine.

Args of both models are seconds and bytes; ``timeline`` is what ``ranks.py`` measures of one rank
that goes by messages: its iteration, when each bucket's gradients are ready, and their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class SharedMemory(NamedTuple):
    """Ranks of one machine, which exchange slices in memory: see netc/ranks/shared.py.

    A rank makes or averages its own slices of the gradients, and updates those alone. This is work
    of the cores that compute, so what a rank does is timed while nobody is there to wait for; and
    what the machine's memory cannot do for all at once makes it slower beside others.

    Args:
        meeting: seconds until all ranks know that all are there.
    """

    meeting: float

    def step(self, alone: float, beside: float) -> float:
        """Seconds of an iteration.

        Args:
            alone: seconds of an iteration of one of the ranks, without the others.
            beside: how much longer an iteration takes beside ranks that do not talk to this one.
        """
        return beside * alone + 5 * self.meeting  # three for shared memory, two for numbers


class Messages(NamedTuple):
    """Machines that exchange slices by messages, moved by a network card beside the computation.

    Slices are exchanged by all with all, so a bucket costs 2 (N - 1) latencies and moves
    2 (N - 1) / N of its bytes. Every rank updates everything.

    Args:
        latency: seconds.
        bandwidth: bytes a second.
        averaged: bytes of one gradient a second of which a rank takes the mean.
    """

    latency: float
    bandwidth: float
    averaged: float

    def bucket(self, size: float, ranks: int) -> float:
        """Seconds for the means of a bucket."""
        part = (ranks - 1) / ranks
        wire = 2 * ((ranks - 1) * self.latency + part * size / self.bandwidth)
        return wire + size / self.averaged

    def hidden(self, timeline: Mapping[str, Any], ranks: int) -> float:
        """Seconds of an iteration; a bucket's sums begin when its last gradient is there."""
        free = 0.0
        for ready, size in zip(timeline["ready"], timeline["bytes"], strict=True):
            free = max(free, ready) + self.bucket(size, ranks)
        after = timeline["total"] - timeline["backward"]
        return float(max(timeline["backward"], free) + after)

    def in_turn(self, timeline: Mapping[str, Any], ranks: int, beside: float) -> float:
        """Seconds where the cores that compute move the messages too, as on one machine."""
        spent = sum(self.bucket(size, ranks) for size in timeline["bytes"])
        return float(beside * timeline["total"] + spent)
