"""Layers whose outputs' sizes only a run tells: what is around them is planned all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import netc
from netc.backends.cpu.dynamic import StagedExecutable, with_shapes
from netc.diagnostics import NetcError, Source
from tests.backends.cpu.arena import close
from tests.backends.cpu.test_layers import layer, text_of

CONV = "convolution_param { num_output: 9 kernel_size: 3 weight_filler { type: 'msra' } }"
IP = 'inner_product_param { num_output: 7 weight_filler { type: "msra" } }'
SHARED = f'param {{ name: "w" }} {IP}'
NET = [
    layer("Convolution", "x", "c", CONV),
    layer("ReLU", "c", "r"),
    layer("InnerProduct", "r", "before", SHARED),
    layer("Filter", "r keep", "f"),
    layer("Pooling", "f", "p", "pooling_param { kernel_size: 2 }"),
    layer("InnerProduct", "f", "after", SHARED),
    layer("InnerProduct", "f", "s", IP.replace("7", "1")),
    layer("Threshold", "s", "t"),
    layer("Filter", "after t", "g"),
    layer("TanH", "g", "z"),
]
SHAPES = {"x": (6, 3, 8, 8), "keep": (6, 1, 1, 1)}


def fed(kept):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(SHAPES["x"]).astype(np.float32)
    keep = np.zeros((6, 1, 1, 1), np.float32)
    keep[list(kept)] = 1
    return {"x": x, "keep": keep}


def test_sizes_that_change_from_call_to_call():
    source = Source("net", text_of(SHAPES, NET[:6]))
    net = netc.compile(source, outputs=["r"])
    plain = netc.compile(source, outputs=["r"], backend="reference")
    for kept in ([0, 1, 4, 5], [2], range(6), [], [0, 1, 4, 5]):
        feeds = fed(kept)
        want, got = plain(feeds), net(feeds)
        assert list(got) == list(want)
        for name, array in want.items():
            assert got[name].shape == array.shape
            close(got[name], array) if array.size else None


def test_one_after_another():
    source = Source("net", text_of(SHAPES, NET))
    feeds = fed([0, 2, 3, 5])
    want = netc.compile(source, backend="reference")(feeds)
    net = netc.compile(source)
    for _ in range(2):
        got = net(feeds)
        for name, array in want.items():
            close(got[name], array)


def test_what_is_planned_and_what_is_not():
    report = netc.compile(Source("net", text_of(SHAPES, NET))).report()
    assert report["backend"] == "cpu"
    assert report["reference_steps"] == ["l_f"]
    assert report["late_steps"] == ["l_p", "l_after", "l_s", "l_t", "l_g", "l_z"]


def test_plans_of_the_last_sizes_are_kept():
    net = netc.compile(Source("net", text_of(SHAPES, NET[:6])))
    executable = net.executable(tuple(net.inputs.values()))
    assert isinstance(executable, StagedExecutable)
    for kept in ([0], [0, 1], [0, 1, 2], [3, 4, 5]):
        net(fed(kept))
    assert [shapes[0][0] for shapes in executable._plans] == [2, 3]


def test_several_threads_at_once():
    source = Source("net", text_of(SHAPES, NET[:6]))
    net, plain = netc.compile(source, threads=1), netc.compile(source, backend="reference")
    feeds = [fed(range(k)) for k in (1, 2, 3, 4, 5, 6) * 3]
    with ThreadPoolExecutor(4) as pool:
        for given, got in zip(feeds, pool.map(net, feeds), strict=True):
            close(got["after"], plain(given)["after"])


def test_sizes_that_cannot_be_planned():
    graph = netc.compile(
        Source("net", text_of({"x": (2, 5)}, [layer("InnerProduct", "x", "y", IP)]))
    )
    assert with_shapes(graph.graph, {"x": (0, 5)}) is None
    assert with_shapes(graph.graph, {"x": (2, 6)}) is None
    planned = with_shapes(graph.graph, {"x": (3, 5)})
    assert planned is not None
    assert planned.shape("y") == (3, 7)
    with pytest.raises(NetcError):
        netc.compile(Source("net", text_of({"x": (2, 5)}, [layer("Filter", "x", "y")])))
