"""Updates of several parameters as one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from netc.backends.cuda.program import DeviceContext, DeviceProgram, DeviceWeights, Launch, Step
from netc.backends.cuda.together import joined
from netc.backends.shared.views import Arena, moved
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


def after(device: EmulatedDevice, steps: Sequence[Step], size: int) -> np.ndarray:
    """The memory, random at first, after these steps."""
    program = DeviceProgram(tuple(steps), size)
    device.build(program.kernels)
    context = DeviceContext(program, device, DeviceWeights(device), graph=False)
    numbers = np.random.default_rng(0).uniform(0.5, 1.5, size // 4).astype(np.float32)
    context._arena.bytes[:] = numbers.view(np.uint8)
    context.run()
    return context._arena.bytes.view(np.float32).copy()


@pytest.mark.parametrize("text", ["momentum: 0.9", "type: 'Adam' momentum: 0.9 delta: 0.01"])
def test_parts_are_updated_as_alone(text: str) -> None:
    with emulated() as device:
        program = first_program(solver(f"{text} weight_decay: 0.1", backend="cuda"))
        first, second = (x for x in program.launches if x.kernel.template == "update")
        shared, distance = first.arguments[:2], program.arena // 4
        apart = [first, elsewhere(second, shared, distance)]
        steps = joined(apart)
        assert len(steps) == 1
        size = 2 * program.arena
        np.testing.assert_array_equal(after(device, steps, size), after(device, apart, size))


def test_an_update_that_another_waits_for_is_not_put_off() -> None:
    with emulated():
        program = first_program(solver("momentum: 0.9", backend="cuda"))
        first, second = (x for x in program.launches if x.kernel.template == "update")
        late = elsewhere(second, first.arguments[:2], program.arena // 4)
        late = replace(late, reads=(*late.reads, first.writes[0]))
        assert joined([first, late]) == [first, late]
