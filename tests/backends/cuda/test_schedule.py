"""Which launches wait for which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from netc.backends.cuda.device import StreamSlot
from netc.backends.cuda.program import DeviceProgram, Launch
from netc.backends.cuda.schedule import depends, overlap, schedule, with_workspaces
from netc.backends.cuda.source import Kernel
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena, View, Workspace, dense
from netc.backends.variables import Variable
from netc.diagnostics import NetcError


def at(offset: int, size: int = 10) -> View:
    return dense(Arena(offset), 1, 1, 1, size)


def launch(reads: Any, writes: Any, name: str = "l", workspace: int = 0) -> Launch:
    arguments = (Workspace(),) if workspace else ()
    return Launch(
        name, Kernel("copy"), (1, 1, 1), 1, arguments, tuple(reads), tuple(writes), workspace
    )


WHOLE = dense(Arena(100), 1, 4, 4, 12)


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        (at(0), at(10), False),
        (at(0), at(9), True),
        (WHOLE, WHOLE.channels(3, 5), True),
        (WHOLE.channels(0, 3), WHOLE.channels(3, 12), False),
        (WHOLE.channels(0, 4), WHOLE.channels(3, 12), True),
        (WHOLE.channels(8, 12), WHOLE.channels(0, 8), False),
        (at(0), dense(Workspace(0), 1, 1, 1, 10), False),
        (at(0), at(0, 0), False),
    ],
)
def test_overlap(one: View, other: View, want: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is want


def test_every_kind_of_hazard() -> None:
    first = launch([at(0)], [at(10)])
    assert depends(launch([at(10)], [at(20)]), first)  # reads what was written
    assert depends(launch([at(30)], [at(0)]), first)  # overwrites what was read
    assert depends(launch([at(30)], [at(10)]), first)  # overwrites what was written
    assert not depends(launch([at(0)], [at(20)]), first)


def test_an_update_in_place_waits_for_readers_and_for_errors() -> None:
    place = Variable("w", np.zeros(4, np.float32))
    weights = Derived(place.array, (place,))
    update = replace(launch([at(0)], []), arguments=(weights,), updates=(place,))
    reads = replace(launch([at(10)], [at(20)]), arguments=(weights,))
    packed = Derived(place.array.copy(), (place,), lambda read: place.array)
    assert depends(update, reads) and depends(reads, update) and depends(update, update)
    assert not depends(update, replace(reads, arguments=(packed,)))  # a copy, made before the run
    complains = replace(launch([at(10)], [at(20)]), fault=lambda value: NetcError([]))
    assert depends(update, complains)
    assert not depends(complains, update)


def test_branches_have_lanes_of_their_own_and_join() -> None:
    launches = [
        launch([at(0)], [at(10)]),
        launch([at(10)], [at(20)]),
        launch([at(10)], [at(30)]),
        launch([at(30)], [at(40)]),
        launch([at(20), at(40)], [at(50)]),
    ]
    slots = schedule(launches)
    assert slots == [
        StreamSlot(0),
        StreamSlot(0),
        StreamSlot(1, (0,)),
        StreamSlot(1),
        StreamSlot(1, (1,)),
    ]


def test_order_follows_from_turns() -> None:
    """Whatever a launch waits for is before it in a lane, or by what it waits for."""
    launches = [
        launch([at(10 * (i * 7 % 5))], [at(10 * (i * 3 % 6)), at(10 * (i % 4) + 100)])
        for i in range(40)
    ]
    slots = schedule(launches)
    before: list[set[int]] = []
    for index, slot in enumerate(slots):
        near = [i for i in range(index) if slots[i].lane == slot.lane][-1:]
        direct = {*near, *slot.after}
        before.append(direct.union(*(before[i] for i in direct)))
        waits = {i for i in range(index) if depends(launches[index], launches[i])}
        assert waits <= before[index]


def test_workspaces_are_apart() -> None:
    layers = [launch([], [], f"l{i}", 1000) for i in range(5)]
    steps = with_workspaces(layers, 4)
    places = [step.arguments[0] for step in steps if isinstance(step, Launch)]
    assert places == [Workspace(256 * i) for i in (0, 1, 2, 3, 0)]
    assert DeviceProgram(steps, 0).workspace == 4 * 1024
