"""Training runs of Caffe's on the emulated device: forward, backward and update in one program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.backends import registry
from netc.backends.cuda.backend import CudaBackend
from netc.ir.graph import Graph
from netc.ops.ranks import Slot
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options
from tests.backends.cuda.gradient_cases import step_graph
from tests.backends.cuda.test_resident import resnet
from tests.passes.test_recompute import held
from tests.passes.test_recompute import solver as net_with_branches
from tests.solver.golden import GOLDEN, arrays, case_named, check_parameters, open_case, relative
from tests.solver.small import solver as small_net

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

# One at least of golden/train's families a to k; l, m and n are of data layers, rates and logs.
CASES = (
    "cifar_lrn_across", "bnres_iter_size", "inception_dropout0", "siamese", "fcn_valid",
    "softmax_ignore_valid", "lstm_series", "slice_concat_reshape", "clip_decay", "iter_size4_adam",
    "finetune_rename", "resume_multistep",
)  # fmt: skip


def test_every_family_of_runs_is_there() -> None:
    assert {case_named(name)["family"] for name in CASES} == set("abcdefghijk")


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


def test_a_snapshot_of_caffes_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.BACKENDS, "cuda", lambda: CudaBackend(EmulatedDevice(0)))
    case = case_named("resume_adam_bin")
    found, tolerance = arrays(case), case["tolerance"]
    (state,) = (GOLDEN / file for file in case["files"] if ".solverstate" in file)
    solver = open_case(case, found, tmp_path, backend="cuda", snapshot=str(state))
    losses = solver.step(case["iterations"] - solver.iteration)
    assert relative(losses, found["resumed_losses"]) <= tolerance["loss"]
    check_parameters(solver, found, f"resumed{case['iterations']}", tolerance["final"])


@pytest.mark.parametrize("optimize", ["exact", True])
def test_the_order_of_sums_is_not_the_devices(
    optimize: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits do not depend on processors, on the order of threads, or on what the tuner took.

    Without "exact" the tuner may share a product's sums between blocks, as it finds fastest; what
    it does not choose is the same all the same.
    """
    found = []
    for order, processors in ((0, 3), (1, 80), (2, 200)):
        device = EmulatedDevice(order, processors)
        device.measured = order  # other times for the tuner
        monkeypatch.setitem(registry.BACKENDS, "cuda", lambda: CudaBackend(device))  # noqa: B023
        if optimize == "exact":
            solver = resnet(optimize=optimize)
            found.append((*solver.step(3), *(a.copy() for a in solver.history)))
        else:
            found.append(gradient_grids(step_graph("resnet")))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def gradient_grids(graph: Graph) -> list[Any]:
    """How the sums of losses, statistics and weight gradients are shared out."""
    program = registry.backend("cuda").prepare(graph, options()).program
    summed = ("outer", "tap_sums", "channel_sums", "moments", "softmax_loss")
    return [
        (*launch.grid, launch.counters)
        for launch in program.launches
        if launch.kernel.template in summed
    ]


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

    def meet(self) -> None:
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


def test_values_are_made_again_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    device = EmulatedDevice(0)
    table: dict[str, Any] = {**registry.BACKENDS, "cuda": lambda: CudaBackend(device)}
    monkeypatch.setattr(registry, "BACKENDS", table)
    plain = net_with_branches(backend="cuda")
    losses = plain.step(2)
    small = net_with_branches(backend="cuda", memory=int(0.85 * held(plain)))
    assert small.report()["recomputed"]
    np.testing.assert_array_equal(small.step(2), losses)


@pytest.mark.parametrize("text", ["type: 'AdamW'", "type: 'LARS'", "type: 'AMSGrad'"])
def test_rules_beyond_caffes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = EmulatedDevice(0)
    table: dict[str, Any] = {**registry.BACKENDS, "cuda": lambda: CudaBackend(device)}
    monkeypatch.setattr(registry, "BACKENDS", table)
    more = f"{text} momentum: 0.9 delta: 0.01 weight_decay: 0.01"
    ours, theirs = small_net(more, backend="cuda"), small_net(more, backend="reference")
    np.testing.assert_allclose(ours.step(4), theirs.step(4), rtol=1e-4)
    for one, other in zip(ours.params["ip"], theirs.params["ip"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
