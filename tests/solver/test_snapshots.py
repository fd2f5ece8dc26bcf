"""Snapshots: gradients beside weights, what Caffe's files have no place for, sudden ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.graph import Array
from netc.solver.resume import restored_state
from netc.solver.solver import Solver
from netc.weights import load_weights
from netc.weights.bytefile import open_bytes
from netc.weights.wire import Scanner
from tests.solver.small import BASE, NET, batches

LSTM = """
layer { name: "data" type: "Input" top: "data" top: "cont" top: "label"
        input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 5 } } }
layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "lstm"
        recurrent_param { num_output: 5 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "lstm" bottom: "label" top: "loss" }
"""  # noqa: E501


def solver(more: str, net: str = NET, **given: Any) -> Solver:
    return Solver(f"net_param {{ {net} }} {BASE} {more}", **{"feeds": batches(), **given})


def diffs(path: Path) -> dict[str, list[Array]]:
    """The field ``diff`` of each blob in a caffemodel."""
    found: dict[str, list[Array]] = {}
    with open_bytes(path) as file:
        scan = Scanner(file)
        for layer in scan.fields(0, file.size):
            if layer.number != 100:
                continue
            name, own = "", []
            for field in scan.fields(layer.start, layer.end):
                if field.number == 1:
                    name = scan.text(field)
                elif field.number == 7:
                    own += [
                        np.frombuffer(file.read(f.start, f.end - f.start), "<f4")
                        for f in scan.fields(field.start, field.end)
                        if f.number == 6
                    ]
            found[name] = own
    return found


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "Adam"])
def test_the_step_stands_beside_the_weights(rule: str, tmp_path: Path) -> None:
    text = f'type: "{rule}" momentum: 0.9 snapshot_diff: true snapshot_prefix: "{tmp_path}/x"'
    made = solver(text)
    made.step(2)
    before = [array.copy() for array in made.params["ip"]]
    made.step(1)
    files = made.snapshot()
    for index, step in enumerate(diffs(files.weights)["ip"]):
        moved = (before[index] - made.params["ip"][index]).reshape(-1)
        np.testing.assert_allclose(step, moved, atol=1e-6)
        if rule == "SGD":
            np.testing.assert_array_equal(step, made.history[index].reshape(-1))
    for one, other in zip(load_weights(files.weights)["ip"], made.params["ip"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_an_update_steps_are_zero_and_unasked_there_are_none(tmp_path: Path) -> None:
    made = solver(f'snapshot_diff: true snapshot_prefix: "{tmp_path}/x"')
    assert [array.any() for array in diffs(made.snapshot().weights)["ip"]] == [False, False]
    plain = solver(f'snapshot_prefix: "{tmp_path}/y"')
    assert diffs(plain.snapshot().weights)["ip"] == []


def test_hdf5_has_them_in_a_group_of_their_own(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    text = f'snapshot_diff: true snapshot_format: HDF5 snapshot_prefix: "{tmp_path}/x"'
    made = solver(text)
    made.step(1)
    with h5py.File(made.snapshot().weights) as file:
        assert set(file) == {"data", "diff"}
        assert set(file["diff/ip"]) == {"0", "1"}
        assert file["diff/ip/0"].shape == (3, 6) and np.asarray(file["diff/ip/0"]).any()


def test_the_averaged_losses_go_on(tmp_path: Path) -> None:
    """Caffe forgets them; plateau would then lower the rate at another iteration."""
    text = f'average_loss: 4 snapshot: 5 snapshot_prefix: "{tmp_path}/x"'
    whole = solver(text)
    whole.step(7)
    again = solver(text, snapshot=str(tmp_path / "x_iter_5.solverstate"))
    again.step(2)
    assert again.smoothed_loss == whole.smoothed_loss
    fresh = solver(text, snapshot=str(tmp_path / "x_iter_5.solverstate"))
    fresh.step(1)
    fresh.step(1)  # each further call begins anew, as in Caffe
    assert fresh.smoothed_loss != whole.smoothed_loss


def test_a_state_without_what_lies_beside_it_begins_anew_as_caffes(tmp_path: Path) -> None:
    text = f'average_loss: 4 snapshot: 5 snapshot_prefix: "{tmp_path}/x"'
    solver(text).step(5)
    (tmp_path / "x_iter_5.netcstate").unlink()
    again = solver(text, snapshot=str(tmp_path / "x_iter_5.solverstate"))
    losses = again.step(1)
    assert again.smoothed_loss == losses[0]


def sequences() -> list[dict[str, Array]]:
    random = np.random.default_rng(3)
    return [
        {
            "data": random.standard_normal((3, 2, 4), np.float32),
            "cont": np.ones((3, 2), np.float32),
            "label": random.standard_normal((3, 2, 5), np.float32),
        }
        for _ in range(4)
    ]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_recurrent_states_go_on(backend: str, tmp_path: Path) -> None:
    text = f'snapshot: 3 snapshot_prefix: "{tmp_path}/x"'
    whole = solver(text, LSTM, feeds=sequences(), backend=backend)
    losses = whole.step(5)
    state = str(tmp_path / "x_iter_3.solverstate")
    again = solver(text, LSTM, feeds=sequences(), backend=backend, snapshot=state)
    np.testing.assert_array_equal(again.step(2), losses[3:])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_states_of_test_nets_go_on(backend: str, tmp_path: Path) -> None:
    """Each test begins where the last one has ended, and so does the first one of a resumed run."""
    text = f'test_iter: 2 test_interval: 2 snapshot: 3 snapshot_prefix: "{tmp_path}/x"'
    given: dict[str, Any] = {"feeds": sequences(), "test_feeds": [sequences()], "backend": backend}
    whole = solver(text, LSTM, **given)
    whole.step(7)
    again = solver(text, LSTM, **given, snapshot=str(tmp_path / "x_iter_3.solverstate"))
    again.step(4)
    scores = {test.iteration: test.scores["loss"] for test in whole.tests}
    assert [test.iteration for test in again.tests] == [4, 6]
    for test in again.tests:
        np.testing.assert_array_equal(test.scores["loss"], scores[test.iteration])


def test_a_test_goes_on_from_the_states_of_the_last_one() -> None:
    given: dict[str, Any] = {"feeds": sequences(), "test_feeds": [sequences()]}
    made = solver("test_iter: 2 test_interval: 100", LSTM, **given)
    weights = {name: list(own) for name, own in made.params.items()}
    text = Source("net", LSTM)
    alone = netc.compile(text, weights, phase="TEST", stateful=True, backend="reference")
    losses = [alone(feeds)["loss"] for feeds in sequences()]
    for first in (0, 2):
        found = made.test(0)["loss"]
        np.testing.assert_allclose(found, sum(losses[first : first + 2]) / 2, rtol=1e-6)
    fresh = netc.compile(text, weights, phase="TEST", backend="reference")
    assert fresh(sequences()[2])["loss"] != losses[2]


def test_a_test_net_that_normalises_by_its_batches_moves_what_it_shares() -> None:
    """batch_norm_layer.cpp adds each batch to its blobs unless it uses the stored ones."""
    norm = """
    layer { name: "norm" type: "BatchNorm" bottom: "data" top: "norm"
            batch_norm_param { use_global_stats: false } }
    """
    net = NET.replace('layer { name: "ip"', norm + 'layer { name: "ip"', 1)
    net = net.replace('bottom: "data" top: "ip"', 'bottom: "norm" top: "ip"')
    fed = batches()
    made = solver("test_iter: 2 test_interval: 100", net, test_feeds=[fed])
    made.test(0)
    mean, _, factor = made.params["norm"]
    keep = np.float32(0.999)
    np.testing.assert_allclose(factor, keep + 1)
    first, second = (feeds["data"].mean(axis=0) for feeds in fed[:2])
    np.testing.assert_allclose(mean, keep * first + second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        '{"passes": "many"}',
        '{"smoothing": {"losses": 3}}',
        '{"smoothing": []}',
        '{"states": {"x": ["?", "!"]}}',
        '{"states": {"x": [[1e99], "AAAA"]}}',
        '{"test_passes": 3}',
        '{"test_states": 3}',
        '{"test_states": [{"x": ["?", "!"]}]}',
        '{"minimum_loss": null}',
    ],
)
def test_damage_beside_a_state_is_told(content: str, tmp_path: Path) -> None:
    text = f'snapshot: 2 snapshot_prefix: "{tmp_path}/x"'
    solver(text).step(2)
    (tmp_path / "x_iter_2.netcstate").write_text(content)
    with pytest.raises(NetcError) as caught:
        solver(text, snapshot=str(tmp_path / "x_iter_2.solverstate"))
    (found,) = caught.value.diagnostics
    assert found.code == "not-a-solver-state"
    assert "its .netcstate, is damaged" in found.message


def test_only_plain_values_lie_beside_a_state(tmp_path: Path) -> None:
    solver(f'snapshot: 2 snapshot_prefix: "{tmp_path}/x"').step(2)
    content = json.loads((tmp_path / "x_iter_2.netcstate").read_text())
    assert content["passes"] == 2 and content["states"] == {}


SCRIPT = """
import sys
import numpy as np
from netc.solver.solver import Solver
net = '''
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 2 dim: 300 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2000 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
'''
feeds = {"data": np.ones((2, 300), np.float32), "label": np.zeros(2, np.float32)}
text = f"net_param {{ {net} }} base_lr: 0.01 lr_policy: 'fixed' momentum: 0.9 snapshot: 1 "
text += f"snapshot_prefix: '{sys.argv[1]}/x' snapshot_format: {sys.argv[2]}"
solver = Solver(text, feeds=feeds, backend="reference")
print("ready", flush=True)
solver.step(100000)
"""


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
def test_a_sudden_end_leaves_the_last_whole_snapshot(format: str, tmp_path: Path) -> None:
    """kill -9 while snapshots are being written, each 2.4 MB of weights and as much of history."""
    if format == "HDF5":
        pytest.importorskip("h5py", exc_type=ImportError)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), format]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("x_iter_*.solverstate*"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
    states = [p for p in tmp_path.iterdir() if p.name.startswith("x_iter_") and "state" in p.name]
    whole = [p for p in states if p.suffix != ".netcstate"]
    assert len(whole) >= 3
    history = [np.zeros((2000, 300), np.float32), np.zeros(2000, np.float32)]
    for state in whole:
        found, weights = restored_state(str(state), history)
        assert found.passes == found.iteration > 0
        assert load_weights(weights)["ip"][0].shape == (2000, 300)


def test_plateau_goes_on_from_a_state_of_a_fork(tmp_path: Path) -> None:
    """Without a .netcstate beside it, as weiliu89/caffe@ssd leaves one: minimum_loss is low."""
    more = f'gamma: 0.1 plateau_winsize: 4 snapshot_prefix: "{tmp_path}/x"'
    plateau = {"lr_policy": "plateau"}
    first = solver(more, fields=plateau)
    first.step(2)
    files = first.snapshot()
    files.beside.unlink()
    with files.state.open("ab") as file:
        file.write(b"\x2d" + np.float32(1e-6).tobytes() + b"\x30\x01")
    again = solver(more, fields=plateau, snapshot=str(files.state))
    again.step(2)
    assert again.rate == np.float32(0.5)  # of iteration 4
    again.step(1)  # iteration 5 is 4 after the last event
    assert again.rate == np.float32(0.05)
