"""Lifetimes to offsets: every buffer a place in one arena.

Buffers whose lifetimes meet must not share bytes. Finding the smallest arena is NP-hard; placing
buffers one after another, each at the lowest free offset, in a few good orders comes close
(Pisarchyk & Lee, "Efficient memory management for deep neural net inference", 2020, compare such
orders); placing whatever stood out at the top first, again and again, takes most of the rest away.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


class BufferLifetime(NamedTuple):
    """Bytes that are needed from step ``first`` to step ``last``, both included."""

    name: str
    size: int
    first: int
    last: int


class ArenaPlan(NamedTuple):
    """Offsets in bytes, the arena's size, the least any plan could take, and each buffer's size."""

    offsets: Mapping[str, int]
    size: int
    floor: int
    sizes: Mapping[str, int] = MappingProxyType({})


def plan_arena(buffers: Iterable[BufferLifetime]) -> ArenaPlan:
    """The smallest arena found for these buffers; offsets are multiples of ``ALIGNMENT``."""
    wanted = [b._replace(size=aligned(b.size)) for b in buffers if b.size > 0]
    floor = live_peak(wanted)
    if len(wanted) > _MAX_ORDERED_BUFFERS:
        return _arena(_swept(wanted), wanted, floor)
    enough = floor if len(wanted) <= _MAX_EXACT_BUFFERS else floor + floor // 100
    best = ArenaPlan({}, sum(b.size for b in wanted) + 1, floor)
    for order in _ORDERS:
        best = min(best, _settled(sorted(wanted, key=order), enough), key=lambda a: a.size)
        if best.size <= enough:
            break
    return _arena(best.offsets, wanted, floor)


# Buffers for which the very floor is looked for; of more, as in training, 1 % above.
_MAX_EXACT_BUFFERS = 300
# Buffers that are placed in several orders, each with all others looked at.
_MAX_ORDERED_BUFFERS = 2000


def _arena(offsets: Mapping[str, int], buffers: Sequence[BufferLifetime], floor: int) -> ArenaPlan:
    sizes = {b.name: b.size for b in buffers}
    size = max((offset + sizes[name] for name, offset in offsets.items()), default=0)
    return ArenaPlan(offsets, size, floor, sizes)


def _swept(buffers: Sequence[BufferLifetime]) -> dict[str, int]:
    """Each buffer in the lowest hole there is when its life begins, for any number of them."""
    offsets: dict[str, int] = {}
    holes: list[tuple[int, int]] = []  # beginning and end, in order, none beside another
    ending: list[tuple[int, int, int]] = []  # last step, beginning, end
    top = 0
    for buffer in sorted(buffers, key=lambda b: (b.first, -b.size)):
        while ending and ending[0][0] < buffer.first:
            _, begin, end = heapq.heappop(ending)
            _give_back(holes, begin, end)
        found = next((i for i, (a, b) in enumerate(holes) if b - a >= buffer.size), None)
        if found is None:
            start = holes.pop()[0] if holes and holes[-1][1] == top else top
            top = start + buffer.size
        else:
            start, end = holes[found]
            left = start + buffer.size
            holes[found : found + 1] = [(left, end)] if left < end else []
        offsets[buffer.name] = start
        heapq.heappush(ending, (buffer.last, start, start + buffer.size))
    return offsets


def _give_back(holes: list[tuple[int, int]], begin: int, end: int) -> None:
    """Make a hole, one with those that it touches."""
    at = bisect_left(holes, (begin, end))
    if at < len(holes) and holes[at][0] == end:
        end = holes.pop(at)[1]
    if at and holes[at - 1][1] == begin:
        begin, at = holes.pop(at - 1)[0], at - 1
    holes.insert(at, (begin, end))


_MOVES = 40  # tries to lower one order's peak


def _settled(order: list[BufferLifetime], enough: int) -> ArenaPlan:
    """The best arena on the way of moving the topmost buffer to the front, again and again.

    The first that is no larger than ``enough`` will do.
    """
    best: ArenaPlan | None = None
    for _ in range(_MOVES):
        offsets = _place(order)
        top = max(order, key=lambda b: offsets[b.name] + b.size, default=None)
        size = offsets[top.name] + top.size if top else 0
        if best is None or size < best.size:
            best = ArenaPlan(offsets, size, enough)
        if top is None or best.size <= enough or order[0] is top:
            break
        order.remove(top)
        order.insert(0, top)
    assert best is not None
    return best


def aligned(size: int) -> int:
    """The size rounded up to a multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def live_peak(buffers: Sequence[BufferLifetime]) -> int:
    """The most bytes alive at one step: no arena can be smaller."""
    changes: dict[int, int] = {}
    for buffer in buffers:
        changes[buffer.first] = changes.get(buffer.first, 0) + buffer.size
        changes[buffer.last + 1] = changes.get(buffer.last + 1, 0) - buffer.size
    peak = alive = 0
    for step in sorted(changes):
        alive += changes[step]
        peak = max(peak, alive)
    return peak


_ORDERS: tuple[Callable[[BufferLifetime], tuple[int, ...]], ...] = (
    lambda b: (-b.size, b.first),
    lambda b: (b.first, -b.size),
    lambda b: (-(b.last - b.first), -b.size),
    lambda b: (-b.size * (b.last - b.first + 1), b.first),
    lambda b: (b.last, -b.size),
    lambda b: (-b.last, -b.size),
)


def _place(buffers: Sequence[BufferLifetime]) -> dict[str, int]:
    """Each buffer at the lowest offset that no buffer alive with it covers."""
    placed: list[tuple[int, BufferLifetime]] = []  # by offset
    begins: list[int] = []  # their offsets
    offsets: dict[str, int] = {}
    for buffer in buffers:
        offset = 0
        for taken, other in placed:
            if other.first > buffer.last or other.last < buffer.first:
                continue
            if taken - offset >= buffer.size:
                break
            offset = max(offset, taken + other.size)
        offsets[buffer.name] = offset
        at = bisect_right(begins, offset)
        begins.insert(at, offset)
        placed.insert(at, (offset, buffer))
    return offsets
