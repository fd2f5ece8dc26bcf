"""Updates of several parameters as one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from netc.backends.cuda import backend
from netc.backends.cuda.program import (
    DeviceConstant,
    DeviceContext,
    DeviceProgram,
    DeviceWeights,
    Launch,
    Step,
)
from netc.backends.cuda.resident import Residents
from netc.backends.cuda.together import joined
from netc.backends.shared.views import Arena, moved
from netc.backends.variables import Variables
from tests.backends.cuda.emulated_training import emulated, first_program
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.solver.small import solver

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def elsewhere(launch: Launch, shared: Sequence[object], distance: int) -> Launch:
    """A launch on other memory, but for what both share: rate and iteration."""
    arguments = tuple(
        moved(a, distance) if isinstance(a, Arena) and a not in shared else a
        for a in launch.arguments
    )

    def view(one):
        return one if one.place in shared else replace(one, place=moved(one.place, distance))

    reads, writes = (tuple(map(view, views)) for views in (launch.reads, launch.writes))
    return replace(launch, arguments=arguments, reads=reads, writes=writes)


def separate(text: str) -> tuple[DeviceProgram, Launch, Launch]:
    """A program whose updates are not joined, and its updates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "joined", list)
        program = first_program(solver(text, backend="cuda"))
    first, second = (x for x in program.launches if x.kernel.template == "update")
    return program, first, second


def after(device: EmulatedDevice, steps: Sequence[Step], of: Sequence[Launch], size: int) -> Any:
    """The memory and the launches' variables, random at first, after these steps."""
    program = DeviceProgram(tuple(steps), size)
    device.build(program.kernels)
    weights = DeviceWeights(device, Variables(), Residents(device))
    context = DeviceContext(program, device, weights, graph=False)
    given = [a.buffer for launch in of for a in launch.arguments if isinstance(a, DeviceConstant)]
    memory = [context._arena, *dict.fromkeys(given)]
    random = np.random.default_rng(0)
    for one in memory:
        numbers = random.uniform(0.5, 1.5, one.size // 4).astype(np.float32)
        one.bytes[:] = numbers.view(np.uint8)
    context.run()
    return np.concatenate([one.bytes.view(np.float32) for one in memory])


@pytest.mark.parametrize("text", ["momentum: 0.9", "type: 'Adam' momentum: 0.9 delta: 0.01"])
def test_parts_are_updated_as_alone(text: str) -> None:
    with emulated() as device:
        program, first, second = separate(f"{text} weight_decay: 0.1")
        shared, distance = first.arguments[:2], program.arena // 4
        apart = [first, elsewhere(second, shared, distance)]
        steps = joined(apart)
        assert len(steps) == 1
        assert steps[0].updates == (*first.updates, *second.updates)
        size = 2 * program.arena
        np.testing.assert_array_equal(
            after(device, steps, apart, size), after(device, apart, apart, size)
        )


def test_an_update_that_another_waits_for_is_not_put_off() -> None:
    with emulated():
        program, first, second = separate("momentum: 0.9")
        late = elsewhere(second, first.arguments[:2], program.arena // 4)
        late = replace(late, updates=(*late.updates, first.updates[0]))
        assert joined([first, late]) == [first, late]


def test_updates_of_a_step_are_one_launch() -> None:
    """In the variables themselves none has to wait for another's memory."""
    with emulated():
        program = first_program(solver("momentum: 0.9", backend="cuda"))
    assert [x.kernel.template for x in program.launches].count("update") == 1
