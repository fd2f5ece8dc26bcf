"""MemoryData in training: the arrays of memory_data_layer.cpp, in batches, over and over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
import netc.compat.pycaffe as caffe
from netc.diagnostics import NetcError
from netc.driver import build, read_net
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.solver.nets import net_feeds
from netc.solver.read import NetChoice
from netc.solver.solver import Solver
from tests.solver.texts import GOLDEN

NET = """
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TRAIN }
        memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TEST }
        memory_data_param { batch_size: 3 channels: 1 height: 2 width: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
BASE = 'base_lr: 0.5 lr_policy: "fixed" max_iter: 4 random_seed: 1 snapshot_after_train: false'


def solver(more: str = "", **given: Any) -> Solver:
    return Solver(netc.Source("s", f"net_param {{ {NET} }} {BASE} {more}"), **given)


def rows(count: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    data = random.standard_normal((count, 1, 2, 3), np.float32)
    return {"data": data, "label": random.integers(0, 3, count).astype(np.float32)}


def parts(given: dict[str, Array], size: int) -> list[dict[str, Array]]:
    count = len(given["label"])
    return [{k: a[i : i + size] for k, a in given.items()} for i in range(0, count, size)]


def test_the_batches_of_caffe() -> None:
    message = read_net(GOLDEN / "memory_data.prototxt").message
    with np.load(GOLDEN / "memory.npz") as file:
        found = {key: file[key] for key in file.files}
    choice = NetChoice(message, NetState("TRAIN"), None, None)
    given = {blob: found[f"memory/{blob}"] for blob in ("data", "label")}
    feeds = net_feeds(choice, given, 0, "the net")
    script = caffe.Net(str(GOLDEN / "memory_data.prototxt"), caffe.TRAIN)
    script.set_input_arrays(given["data"], given["label"])
    for number in range(6):
        batch, shown = feeds.take(), script.forward()
        for blob in ("data", "label"):
            want = found[f"batch/{blob}"][number]
            np.testing.assert_array_equal(batch[blob].reshape(want.shape), want)
            np.testing.assert_array_equal(shown[blob], want)
            assert shown[blob].shape == want.shape


@pytest.mark.parametrize("name", ["dummy", "dummy_legacy"])
def test_dummy_data_as_caffe_fills_it(name: str, backend: str) -> None:
    path = str(GOLDEN / f"{name}_data.prototxt")
    with np.load(GOLDEN / f"{name}.npz") as file:
        found = {key.removeprefix("batch/"): file[key] for key in file.files if "batch/" in key}
    assert set(found) == set(build(read_net(path).message, phase="TRAIN").graph.input_blobs)
    net, script = netc.compile(path, phase="TRAIN", backend=backend), caffe.Net(path, caffe.TRAIN)
    for number in range(6):
        made, shown = net(), script.forward()
        for blob, want in found.items():
            np.testing.assert_array_equal(made[blob], want[number])
            np.testing.assert_array_equal(shown[blob], want[number])


def test_a_solver_takes_the_arrays_in_batches() -> None:
    train, test = rows(6), rows(6)
    plain = solver("test_iter: 2 test_interval: 2", feeds=parts(train, 2), test_feeds=[test])
    whole = solver("test_iter: 2 test_interval: 2", feeds=train, test_feeds=[parts(test, 3)])
    np.testing.assert_array_equal(whole.step(5), plain.step(5))
    assert [t.scores["loss"] for t in whole.tests] == [t.scores["loss"] for t in plain.tests]
    assert whole.batch == 2


def test_pycaffes_solver_takes_them_as_a_script_gives_them(tmp_path: Any) -> None:
    path = tmp_path / "s.prototxt"
    path.write_text(f"net_param {{ {NET} }} {BASE}")
    train = rows(6)
    script = caffe.SGDSolver(str(path))
    script.net.set_input_arrays(train["data"], train["label"])
    own = [array.data.copy() for array in script.net.params["ip"]]
    ours = solver(weights={"ip": own}, feeds=train)
    ours.step(4), script.step(4)
    for one, other in zip(script.net.params["ip"], ours.params["ip"], strict=True):
        np.testing.assert_allclose(one.data, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "words"),
    [(5, "`data` has 5 rows, and layer `data` (MemoryData) takes them in batches of 2"),
     (0, "`data` has 0 rows")],
)  # fmt: skip
def test_rows_that_make_no_batches(count: int, words: str) -> None:
    with pytest.raises(NetcError) as caught:
        solver(feeds=rows(count))
    (found,) = caught.value.diagnostics
    assert found.code == "bad-feeds"
    assert words in found.message
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, 15)


def test_labels_that_are_fewer() -> None:
    given = {**rows(6), "label": rows(4)["label"]}
    with pytest.raises(NetcError, match="`label` has 4 rows, and `data` has 6"):
        solver(feeds=given)


def test_nothing_given() -> None:
    with pytest.raises(NetcError) as caught:
        solver()
    (found,) = caught.value.diagnostics
    assert (found.code, found.span is not None and found.span.line) == ("bad-feeds", 2)
    assert "has no arrays" in found.message
    assert "multiple of 2 rows" in found.help[0]


def test_nothing_given_to_a_test_net() -> None:
    with pytest.raises(NetcError, match="of test net 0 has no arrays"):
        solver("test_iter: 1 test_interval: 1", feeds=rows(2))
