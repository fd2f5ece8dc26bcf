"""Variables stay on the device: what goes over the host is what callers write and ask for."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends.cuda.emit.updates import values_in_variables
from netc.backends.registry import backend as named
from netc.backends.variables import Variables
from netc.diagnostics import NetcError, Source
from netc.feeding import input_shapes
from netc.ir.edit import with_variables
from netc.ir.graph import Value
from netc.solver.solver import Solver
from netc.train.generator import with_generator
from tests.backends.cuda.emulated_training import emulated
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options
from tests.backends.cuda.gradient_cases import LENET, RESNET, step_graph
from tests.backends.cuda.test_gradient_kernels import first_feeds
from tests.backends.test_variables import NET, descent, feeds_of, graph_of, read
from tests.solver import small

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

ADAM = "type: 'Adam' momentum: 0.9 weight_decay: 0.01"
SCALARS = (4, 4)  # rate and iteration
SMALLEST = 5 * 4  # bytes of RESNET's smallest parameter


@pytest.fixture
def device() -> Iterator[EmulatedDevice]:
    with emulated() as found:
        yield found


def resnet(text: str = ADAM, **more: Any) -> Solver:
    random = np.random.default_rng(0)
    batches = [
        {
            "data": random.standard_normal((3, 3, 8, 8), np.float32),
            "label": random.integers(0, 5, 3).astype(np.float32),
        }
        for _ in range(3)
    ]
    source = Source("solver.prototxt", f"net_param {{ {RESNET} }}\n{small.BASE}{text}")
    return Solver(source, **{"feeds": batches, "backend": "cuda", **more})


def trained(text: str = "", **more: Any) -> Solver:
    """The small net on the device."""
    return small.solver(text, backend="cuda", **more)


def moved(device: EmulatedDevice) -> tuple[list[int], list[int]]:
    """Bytes of each copy to the device and from it since the last call."""
    found = sorted(device.up), sorted(device.down)
    device.up.clear(), device.down.clear()
    return found


def small_step(device: EmulatedDevice, solver: Solver) -> tuple[list[int], list[int]]:
    """What a step of the small net moves."""
    moved(device)
    solver.step(1)
    return moved(device)


@pytest.mark.parametrize("text", [ADAM, f"{ADAM} iter_size: 2", f"{ADAM} clip_gradients: 0.1"])
def test_steps_move_batches_and_results_alone(text: str, device: EmulatedDevice) -> None:
    solver = resnet(text)
    solver.step(2)
    moved(device)
    solver.step(3)
    up, down = moved(device)
    passes = 2 if "iter_size" in text else 1
    batch = [3 * 3 * 8 * 8 * 4, 3 * 4]
    assert up == sorted((*batch * passes, *SCALARS) * 3)
    assert sum(down) <= 3 * passes * 32  # loss, norm, faults
    assert max(down) < SMALLEST


def test_a_long_run_moves_no_parameters(device: EmulatedDevice) -> None:
    """Also where it takes copies for telling later where a number that is not finite came from."""
    solver = trained("momentum: 0.9")
    solver.step(1)
    moved(device)
    solver.step(110)
    up, down = moved(device)
    assert max(up) == 4 * 6 * 4  # the batch
    assert max(down) < 3 * 4  # no bias


def test_what_is_read_is_fetched_and_nothing_else(device: EmulatedDevice) -> None:
    solver = trained("momentum: 0.9")
    plain = small.solver("momentum: 0.9", backend="reference")
    usual = small_step(device, solver)
    usual = small_step(device, solver)
    plain.step(2)
    weight = solver.params["ip"][0].copy()
    np.testing.assert_allclose(weight, plain.params["ip"][0], rtol=1e-5, atol=1e-6)
    # All of a layer's arrays are made together; histories stay.
    assert moved(device) == ([], [3 * 4, 3 * 6 * 4])
    solver.params["ip"]
    assert moved(device) == ([], [])
    assert small_step(device, solver) == usual  # reading is no writing
    assert len(solver.history) == 2
    assert moved(device) == ([], [3 * 4, 3 * 6 * 4])


def test_what_is_written_is_uploaded_and_counts(device: EmulatedDevice) -> None:
    solver = trained("momentum: 0.9")
    plain = small.solver("momentum: 0.9", backend="reference")
    solver.step(1), plain.step(1)
    for one in (solver, plain):
        one.params["ip"][1][...] += 1
        one.history[0][...] = 0.25
    more, _ = small_step(device, solver)
    assert sum(more) == sum(small_step(device, solver)[0]) + 3 * 4 + 3 * 6 * 4
    plain.step(2)
    for one, other in zip(
        (*solver.params["ip"], *solver.history), (*plain.params["ip"], *plain.history), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_array_that_is_held_is_live(device: EmulatedDevice) -> None:
    solver, plain = trained(), small.solver(backend="reference")
    held = solver.params["ip"][0]
    for _ in range(3):
        solver.step(1), plain.step(1)
        np.testing.assert_allclose(held, plain.params["ip"][0], rtol=1e-5, atol=1e-6)
    held *= 0.5
    plain.params["ip"][0][...] *= 0.5
    np.testing.assert_allclose(solver.step(1), plain.step(1), rtol=1e-5)
    np.testing.assert_allclose(held, plain.params["ip"][0], rtol=1e-5, atol=1e-6)
    del held
    gc.collect()
    small_step(device, solver)
    assert max(small_step(device, solver)[1]) < 3 * 4


def test_a_test_net_reads_the_same_copies(device: EmulatedDevice) -> None:
    text = "momentum: 0.9 test_iter: 2 test_interval: 100 test_initialization: false"
    solver = trained(text, test_feeds=[small.batches(3, 1)])
    plain = small.solver(text, test_feeds=[small.batches(3, 1)], backend="reference")
    solver.test(), plain.test()
    for _ in range(2):
        solver.step(2), plain.step(2)
        moved(device)
        score = solver.test()
        np.testing.assert_allclose(score["loss"], plain.test()["loss"], rtol=1e-5)
        assert max(moved(device)[0]) == 4 * 6 * 4


def test_a_snapshot_has_what_the_device_has(device: EmulatedDevice, tmp_path: Path) -> None:
    solver = trained(f"{ADAM} snapshot_prefix: '{tmp_path}/run'")
    solver.step(3)
    files = solver.snapshot()
    losses = solver.step(2)
    again = trained(f"{ADAM} snapshot_prefix: '{tmp_path}/run'")
    again.restore(files.state)
    np.testing.assert_array_equal(again.step(2), losses)
    for one, other in zip(solver.params["ip"], again.params["ip"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_copy_of_the_net_has_the_last_values(device: EmulatedDevice) -> None:
    solver = trained()
    solver.step(3)
    batch = small.batches()[0]
    copied = copy.deepcopy(solver.net)
    np.testing.assert_array_equal(copied(batch)["loss"], solver.net(batch)["loss"])


def test_running_averages_and_weights_of_other_layouts(device: EmulatedDevice) -> None:
    """Packed weights are made again on the device, from what an update has left there."""
    ours, plain = resnet(), resnet(backend="reference")
    np.testing.assert_allclose(ours.step(4), plain.step(4), rtol=2e-3)
    for layer, arrays in plain.params.items():
        for one, other in zip(ours.params[layer], arrays, strict=True):
            scale = float(np.abs(other).max()) + 1e-3
            np.testing.assert_allclose(one / scale, other / scale, atol=2e-2, err_msg=layer)


@pytest.mark.parametrize("precision", ["float32", "tf32", "fp16"])
def test_arrays_made_on_the_device_are_those_made_on_the_host(
    precision: str, device: EmulatedDevice
) -> None:
    """Bit for bit, for every layout that kernels read weights in."""
    graph, chosen = graph_of(NET), options(precision=precision)
    executable = named("cuda").prepare(graph, chosen)
    feeds = feeds_of(graph)
    executable.run(feeds)
    for number, name in enumerate(graph.parameters):
        executable.variables[name][...] *= 1 + 0.1 * number
    fresh = {n: replace(p, array=executable.variables[n].copy(), variable=False)
             for n, p in graph.parameters.items()}  # fmt: skip
    other = named("cuda").prepare(with_variables(graph.replace(parameters=fresh)), chosen)
    for name, array in other.run(feeds).items():
        np.testing.assert_array_equal(executable.run(feeds)[name], array)


def test_updates_work_in_the_variables(device: EmulatedDevice) -> None:
    """Parameters and histories have no second copy: the arena is as large without them."""
    first = resnet("type: 'Adam' momentum: 0.9 clip_gradients: 1")._train._first
    executable = first.executable(input_shapes(first.graph))
    names = {*executable.emission.in_place.values()}
    # BatchNorm's statistics have decay and history by Adam, and are moved besides.
    assert names == {n for n in first.graph.updates if not n.startswith("bn")}
    values = {alias.root for alias in executable.storage.places.values()}
    held = values & executable.storage.arena.offsets.keys()
    assert not [v for v in held if v.endswith(("~value", "~next")) and not v.startswith("bn")]


@pytest.mark.parametrize("runs", [0, 3])
def test_an_error_leaves_variables_as_they_are(runs: int, device: EmulatedDevice) -> None:
    """Also where updates work in place, and in the order in which a recorded graph runs."""
    graph, variables = step_graph("lenet"), Variables()
    executable = named("cuda").prepare(graph, replace(options(), variables=variables))
    for number in range(runs):
        executable.run(first_feeds(graph, number))
    before = {name: variables[name].copy() for name in variables}
    feeds = first_feeds(graph, 5)
    feeds["label"][1:] = 9
    with pytest.raises(NetcError, match="label 9 is no class"):
        executable.run(feeds)
    for name, array in before.items():
        np.testing.assert_array_equal(variables[name], array)


def test_a_parameter_that_a_later_layer_reads_is_not_updated_in_place() -> None:
    graph = step_graph("lenet")
    variable = "ip2/1"
    nodes = (*graph.nodes, read(variable, graph.parameters[variable].shape or ()))
    late = graph.replace(
        nodes=nodes,
        outputs=(*graph.outputs, f"old {variable}"),
        values={**graph.values, f"old {variable}": Value(f"old {variable}", "", (5,))},
    )
    assert variable in values_in_variables(graph).values()
    assert variable not in values_in_variables(late).values()
    with emulated():
        executable = named("cuda").prepare(late, options())
    before = executable.variables[variable].copy()
    made = executable.run(first_feeds(late, 0))
    np.testing.assert_array_equal(made[f"old {variable}"], before)
    assert (executable.variables[variable] != before).any()


def test_float16_does_not_train(device: EmulatedDevice) -> None:
    with pytest.raises(NetcError, match="stores every value as float16, which cannot hold a train"):
        named("cuda").prepare(step_graph("resnet"), options(precision="fp16"))
    net = netc.compile(Source("n", LENET), phase="TRAIN", backend="reference", seed=1)
    with pytest.raises(NetcError, match="the random generator's seed and iteration") as caught:
        named("cuda").prepare(with_generator(net.graph), options(precision="fp16"))
    assert caught.value.diagnostics[0].code == "unsupported-precision"


def test_places_that_change_places(device: EmulatedDevice) -> None:
    graph = descent()
    executable = named("cuda").prepare(graph, netc.backends.base.Options())
    before = {name: executable.variables[name].copy() for name in ("p", "q")}
    feeds = {name: np.ones(graph.shape(name), np.float32) for name in graph.inputs}
    moved(device)
    executable.run(feeds), executable.run(feeds), executable.run(feeds)
    assert len(moved(device)[1]) == 3  # the output of each run
    np.testing.assert_array_equal(executable.variables["p"], before["q"])
    np.testing.assert_array_equal(executable.variables["q"], before["p"])
