"""Which launches may run beside each other: those that touch no bytes that another one writes.

A graph of a net with branches then has branches too, and small kernels fill the device together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from netc.backends.cuda.device import StreamSlot
from netc.backends.cuda.program import DeviceProgram, Launch, Step
from netc.backends.shared.views import View, Workspace, moved

_LANES = 6  # launches side by side, at most
_SLOTS = ((16 << 20, 4), (64 << 20, 2))  # workspaces, where one takes at most so many bytes
ALIGNMENT = 256


def overlap(one: View, other: View) -> bool:
    """True if two values have bytes in common."""
    if type(one.place) is not type(other.place):
        return False
    first, second = sorted((one, other), key=lambda view: view.place.offset)
    distance = second.place.offset - first.place.offset
    if distance >= first.span or not second.span:
        return False
    # Slices of one concatenation: side by side in each pixel.
    at = distance % first.ld
    return not (first.ld == second.ld and at >= first.c and at + second.c <= first.ld)


def _meet(some: Iterable[View], others: Sequence[View]) -> bool:
    return any(overlap(one, other) for one in some for other in others)


def depends(later: Launch, earlier: Launch) -> bool:
    """True if a launch must wait for one that stands before it."""
    return (
        _meet(later.reads, earlier.writes)
        or _meet(later.writes, earlier.writes)
        or _meet(later.writes, earlier.reads)
        or _updates(later, earlier)
    )


def _updates(later: Launch, earlier: Launch) -> bool:
    """True if one changes a variable that the other reads, or that an error must leave as it is."""
    if not later.updates and not earlier.updates:
        return False
    if later.updates and earlier.fault is not None:
        return True
    return not (
        later.variables.isdisjoint(earlier.updates) and earlier.variables.isdisjoint(later.updates)
    )


def schedule(launches: Sequence[Launch]) -> list[StreamSlot]:
    """A slot for each launch: in the lane of a launch it waits for, or else in a free one."""
    slots: list[StreamSlot] = []
    behind: list[set[int]] = []  # all that each launch comes after
    tails: list[int] = []  # the last launch of each lane
    for index, launch in enumerate(launches):
        waits = [i for i in range(index) if depends(launch, launches[i])]
        known = set(waits).union(*(behind[i] for i in waits))
        lane = _lane(tails, waits, known)
        before = {tails[lane]} | behind[tails[lane]] if lane < len(tails) else set()
        others = [i for i in waits if i not in before]
        after = [i for i in others if not any(i in behind[j] for j in others)]
        slots.append(StreamSlot(lane, tuple(after)))
        behind.append(known | before)
        tails[lane : lane + 1] = [index]
    return slots


def _lane(tails: Sequence[int], waits: Sequence[int], known: set[int]) -> int:
    """Behind the latest launch that is waited for anyhow; else a lane of its own."""
    waited = [lane for lane, tail in enumerate(tails) if tail in waits]
    if waited:
        return max(waited, key=lambda lane: tails[lane])
    done = [lane for lane, tail in enumerate(tails) if tail in known]
    if done:
        return done[0]
    if len(tails) < _LANES:
        return len(tails)
    return min(range(len(tails)), key=lambda lane: tails[lane])


def with_workspaces(steps: Sequence[Step], item: int) -> tuple[Step, ...]:
    """The steps with several workspaces in place of one, so that they need not wait for it.

    Launches of one layer share one.
    """
    workspace = max((s.workspace for s in steps if isinstance(s, Launch)), default=0)
    slots = next((number for limit, number in _SLOTS if workspace <= limit), 1)
    size = -(-workspace // ALIGNMENT) * ALIGNMENT
    found: list[Step] = []
    used = 0
    for _, group in groupby(steps, key=lambda step: step.name):
        layer = list(group)
        if any(isinstance(s, Launch) and s.workspace for s in layer):
            start = used % slots * size
            layer = [_moved(s, start // item, size * slots) for s in layer]
            used += 1
        found += layer
    return tuple(found)


def _moved(step: Step, elements: int, memory: int) -> Step:
    if not isinstance(step, Launch):
        return step

    def view(one: View) -> View:
        there = isinstance(one.place, Workspace)
        return replace(one, place=moved(one.place, elements)) if there else one

    return replace(
        step,
        arguments=tuple(
            moved(a, elements) if isinstance(a, Workspace) else a for a in step.arguments
        ),
        reads=tuple(map(view, step.reads)),
        writes=tuple(map(view, step.writes)),
        workspace=memory,
    )


def scheduled(steps: Sequence[Step], arena: int, item: int) -> DeviceProgram:
    """A program of the steps, with stream slots for those that are launches in a row."""
    program = DeviceProgram(with_workspaces(steps, item), arena, item)
    slots = {}
    for first, last in program.rows:
        launches = [s for s in program.steps[first:last] if isinstance(s, Launch)]
        slots[first] = schedule(launches)
    return replace(program, slots=slots)
