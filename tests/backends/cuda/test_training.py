"""Training runs of Caffe's on the emulated device: forward, backward and update in one program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.backends import registry
from netc.backends.cuda.backend import CudaBackend
from netc.ops.ranks import Slot
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.solver.golden import arrays, case_named, check_parameters, open_case, relative

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

CASES = ("clip_decay", "siamese", "bnres_iter_size", "iter_size4_adam", "lstm_series")


@pytest.mark.parametrize("name", CASES)
def test_first_iterations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = EmulatedDevice(0)
    table: dict[str, Any] = {**registry.BACKENDS, "cuda": lambda: CudaBackend(device)}
    monkeypatch.setattr(registry, "BACKENDS", table)
    case = case_named(name)
    found, tolerance = arrays(case), case["tolerance"]
    solver = open_case(case, found, tmp_path, backend="cuda")
    losses = [float(solver.step(1)[0])]
    check_parameters(solver, found, "after1", tolerance["after1"])
    losses += [float(loss) for loss in solver.step(2)]
    assert relative(losses, found["losses"][:3]) <= tolerance["loss"]


class Loopback:
    """A group whose other rank always has what this one has."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self.given: dict[Slot, Any] = {}

    def start(self, at: Slot, gradient: Any) -> None:
        self.given[at] = gradient

    def finish(self, at: Slot) -> Any:
        return self.given[at]

    def gather(self, numbers: Any) -> list[list[float]]:
        return [list(numbers)] * 2

    def broadcast(self, array: Any) -> None:
        pass


def test_gradients_are_handed_over_as_arrays_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = EmulatedDevice(0)
    table: dict[str, Any] = {**registry.BACKENDS, "cuda": lambda: CudaBackend(device)}
    monkeypatch.setattr(registry, "BACKENDS", table)
    case, ranks = case_named("clip_decay"), Loopback()
    found, tolerance = arrays(case), case["tolerance"]
    solver = open_case(case, found, tmp_path, backend="cuda", ranks=ranks)
    solver.step(1)
    check_parameters(solver, found, "after1", tolerance["after1"])
    assert ranks.given
    assert not any(isinstance(array, np.ndarray) for array in ranks.given.values())
