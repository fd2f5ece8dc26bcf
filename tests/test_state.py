"""State between forwards: a call goes on from the last where that is asked for, as in Caffe."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
import netc.compat.pycaffe as caffe
from netc.diagnostics import Source

HEAD = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {} dim: {} dim: 3 }} }} }}
layer {{ name: "cont" type: "Input" top: "cont" input_param {{ shape {{ dim: {} dim: {} }} }} }}
layer {{ name: "r" type: "{}" bottom: "data" bottom: "cont" {} top: "r" {} recurrent_param {{
  num_output: 4 {} weight_filler {{ type: "uniform" min: -1 max: 1 }}
  bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
"""  # noqa: E501
STATES = {"LSTM": 2, "RNN": 1}


def recurrent(kind: str, steps: int, streams: int = 2) -> Source:
    return Source("r", HEAD.format(steps, streams, steps, streams, kind, "", "", ""))


def sequence(steps: int, streams: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    cont = (rng.random((steps, streams)) > 0.2).astype(np.float32)
    return rng.standard_normal((steps, streams, 3), dtype=np.float32), cont


@pytest.mark.parametrize("kind", sorted(STATES))
def test_pieces_of_a_sequence_are_the_sequence(kind: str, backend: str) -> None:
    x, cont = sequence(6)
    whole = netc.compile(recurrent(kind, 6), backend=backend)
    want = whole(data=x, cont=cont)["r"]
    net = netc.compile(recurrent(kind, 2), backend=backend, stateful=True)
    weights = whole.params
    np.testing.assert_array_equal(net.params["r"][0], weights["r"][0])
    for _ in range(2):
        got = [net(data=x[i : i + 2], cont=cont[i : i + 2])["r"] for i in (0, 2, 4)]
        np.testing.assert_allclose(np.concatenate(got), want, rtol=1e-5, atol=1e-6)
        net.reset()


def test_steps_may_change_and_streams_start_anew() -> None:
    x, cont = sequence(6)
    net = netc.compile(recurrent("LSTM", 6), stateful=True)
    want = netc.compile(recurrent("LSTM", 6))(data=x, cont=cont)["r"]
    parts = [net(data=x[a:b], cont=cont[a:b])["r"] for a, b in ((0, 1), (1, 4), (4, 6))]
    np.testing.assert_allclose(np.concatenate(parts), want, rtol=1e-5, atol=1e-6)
    one = net(data=x[:, :1], cont=np.ones((6, 1), np.float32))["r"]
    net.reset()
    np.testing.assert_array_equal(net(data=x[:, :1], cont=np.ones((6, 1), np.float32))["r"], one)


def test_a_call_starts_from_zero_by_default() -> None:
    x, cont = sequence(2)
    net = netc.compile(recurrent("LSTM", 2))
    first = net(data=x, cont=np.ones_like(cont))["r"]
    np.testing.assert_array_equal(net(data=x, cont=np.ones_like(cont))["r"], first)
    net.reset()


def test_an_exposed_state_is_the_callers() -> None:
    text = HEAD.format(1, 2, 1, 2, "RNN", 'bottom: "h"', 'top: "last"', "expose_hidden: true")
    state = 'layer { name: "h" type: "Input" top: "h" input_param { shape { dim: [1, 2, 4] } } }'
    net = netc.compile(Source("r", state + text), stateful=True)
    x, cont = sequence(1)
    h = np.ones((1, 2, 4), np.float32)
    first = net(data=x, cont=cont, h=h)
    assert sorted(first) == ["last", "r"]
    np.testing.assert_array_equal(net(data=x, cont=cont, h=h)["r"], first["r"])


def test_a_copy_goes_on_by_itself() -> None:
    x, cont = sequence(4)
    net = netc.compile(recurrent("LSTM", 2), stateful=True)
    net(data=x[:2], cont=cont[:2])
    others = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    want = net(data=x[2:], cont=np.ones((2, 2)).astype(np.float32))["r"]
    for other in others:
        got = other(data=x[2:], cont=np.ones((2, 2)).astype(np.float32))["r"]
        np.testing.assert_array_equal(got, want)


NORM = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [4, 3, 5, 5] } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "TOP" batch_norm_param {
  moving_average_fraction: 0.9 PARAM } }
layer { name: "r" type: "ReLU" bottom: "TOP" top: "r" }
"""


def batches(number: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.normal(5, 2, (4, 3, 5, 5)).astype(np.float32) for _ in range(number)]


def averages(given: list[Any], keep: float = 0.9) -> tuple[Any, Any, float]:
    """Blobs 0, 1 and 2 after these batches (batch_norm_layer.cpp, Forward_cpu)."""
    mean: Any = np.zeros(3)
    variance: Any = np.zeros(3)
    factor = 0.0
    for x in given:
        seen = x.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64)
        mean = keep * mean + seen.mean(1)
        variance = keep * variance + seen.var(1) * 100 / 99
        factor = keep * factor + 1
    return mean, variance, factor


@pytest.mark.parametrize("top", ["bn", "data"])
@pytest.mark.parametrize(("phase", "param"), [("TRAIN", ""), ("TEST", "use_global_stats: false")])
def test_averages_move_at_each_call(top: str, phase: str, param: str, backend: str) -> None:
    text = NORM.replace("TOP", top).replace("PARAM", param)
    net = netc.compile(text=text, phase=phase, backend=backend, stateful=True)
    plain = netc.compile(text=text, phase=phase, backend=backend)
    given = batches(3)
    for x in given:
        np.testing.assert_allclose(net(data=x)["r"], plain(data=x)["r"], rtol=1e-5, atol=1e-5)
    for got, want in zip(net.params["bn"], averages(given), strict=True):
        np.testing.assert_allclose(got.reshape(-1), np.reshape(want, -1), rtol=1e-5)
    assert not plain.params["bn"][2].any()


def test_stored_averages_stay() -> None:
    net = netc.compile(text=NORM.replace("TOP", "bn").replace("PARAM", ""), stateful=True)
    net(data=batches(1)[0])
    assert not net.params["bn"][2].any()


def test_pycaffe_moves_averages_once_a_forward_and_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NORM.replace("TOP", "bn").replace("PARAM", ""), encoding="utf-8")
    net = caffe.Net(str(path), caffe.TRAIN)
    held = net.params["bn"][0].data
    given = batches(3)
    for x in given:
        net.blobs["data"].data[...] = x
        net.forward()
        net.blobs["bn"].data.sum()  # fetched afterwards: no forward of its own
    for got, want in zip(net.params["bn"], averages(given), strict=True):
        np.testing.assert_allclose(got.data.reshape(-1), np.reshape(want, -1), rtol=1e-5)
    assert held is net.params["bn"][0].data
    saved = str(tmp_path / "w.caffemodel")
    net.save(saved)
    test = caffe.Net(str(path), saved, caffe.TEST)
    test.blobs["data"].data[...] = given[0]
    test.forward()
    assert 0.9 < test.blobs["bn"].data.std() < 1.1


def test_pycaffe_goes_on_where_the_last_forward_ended(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(recurrent("LSTM", 1).text, encoding="utf-8")
    x, cont = sequence(5)
    whole = caffe.Net(str(path), caffe.TEST)
    whole.blobs["data"].reshape(5, 2, 3)
    whole.blobs["cont"].reshape(5, 2)
    want = whole.forward(data=x, cont=cont)["r"].copy()
    net = caffe.Net(str(path), caffe.TEST)
    got = [net.forward(data=x[i : i + 1], cont=cont[i : i + 1])["r"].copy() for i in range(5)]
    np.testing.assert_allclose(np.concatenate(got), want, rtol=1e-5, atol=1e-6)
