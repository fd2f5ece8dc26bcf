"""How passes are run, and how they are chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import netc
from netc.diagnostics import InternalError, NetcError, Source
from netc.ir.graph import Graph
from netc.ir.text import print_graph
from netc.passes.base import Log, Pass, run_passes
from netc.passes.pipeline import ALL, BY_NAME, EXACT, chosen
from tests.passes.cases import Case

NET = """input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


def graph() -> Graph:
    return Case("small", {"net": NET}).graph()


def nothing(graph: Graph, log: Log) -> Graph:
    return graph


def fail(graph: Graph, log: Log) -> Graph:
    raise IndexError("list index out of range")


def forget(graph: Graph, log: Log) -> Graph:
    """Drops the first node, whose value is still read."""
    return graph.replace(nodes=graph.nodes[1:])


def test_what_each_pass_did_is_told() -> None:
    seen = []
    before = graph()
    text = print_graph(before)
    after, applied = run_passes(
        before, [Pass("nothing", nothing), BY_NAME["fuse-epilogues"]], lambda *a: seen.append(a)
    )
    assert [item.name for item in applied] == ["nothing", "fuse-epilogues"]
    assert [(i.nodes_before, i.nodes_after, i.rewrites) for i in applied] == [(2, 2, 0), (2, 1, 1)]
    assert seen == [("nothing", before), ("fuse-epilogues", after)]
    assert print_graph(before) == text


@pytest.mark.parametrize(
    ("rewrite", "fault"), [(fail, "IndexError"), (forget, "reads `conv@conv`")]
)
def test_a_pass_that_fails_is_named_with_its_input(rewrite: object, fault: str) -> None:
    with pytest.raises(InternalError) as error:
        run_passes(graph(), [Pass("wrong", rewrite)])  # type: ignore[arg-type]
    told = str(error.value)
    assert told.startswith("pass `wrong` failed: ")
    assert fault in told
    assert "conv@conv: 1x2x4x4 = Convolution[conv](" in told


def test_a_net_that_cannot_change_is_the_same_graph() -> None:
    plain = Case("plain", {"net": NET.replace("ReLU", "Softmax")}).graph()
    for item in ALL:
        assert run_passes(plain, [item])[0] is plain


def test_chosen() -> None:
    assert chosen(True) == ALL
    assert chosen(False) == ()
    assert chosen("exact") == EXACT
    assert chosen("drop-dead") == (BY_NAME["drop-dead"],)
    assert chosen(["fuse-epilogues", "drop-dead"]) == (
        BY_NAME["drop-dead"],
        BY_NAME["fuse-epilogues"],
    )
    assert chosen([]) == ()


def test_exact_passes_are_those_that_add_nothing_in_another_order() -> None:
    assert {item.name for item in ALL} - {item.name for item in EXACT} == {
        "cut-kernels",
        "fold-into-product-before",
        "merge-maps",
        "fold-into-product-after",
        "pool-first",
        "multiply-products",
        "whole-window-products",
    }


def test_an_unknown_pass_is_named_with_the_nearest() -> None:
    with pytest.raises(NetcError) as error:
        netc.compile(Source("net", NET), optimize=["fuse-epilogue"])
    (found,) = error.value.diagnostics
    assert found.code == "unknown-pass"
    assert "did you mean `fuse-epilogues`?" in found.help


@pytest.mark.parametrize("optimize", [True, False, "exact", "fuse-epilogues", ("drop-dead",), []])
def test_compile_takes_passes(optimize: object, backend: str) -> None:
    source = Source("net", NET)
    x = np.ones((1, 3, 4, 4), np.float32)
    want = netc.compile(source, backend="reference", optimize=False)(data=x)["conv"]
    net = netc.compile(source, backend=backend, optimize=optimize)  # type: ignore[arg-type]
    np.testing.assert_allclose(net(data=x)["conv"], want, rtol=1e-5, atol=1e-6)


def test_a_thousand_layers_take_a_moment() -> None:
    """No pass is quadratic, or recursive, in what a net may be long in."""
    lines = [NET.splitlines()[0]]
    blob = "data"
    for index in range(1000):
        for kind, params in KINDS[index % len(KINDS)]:
            lines.append(
                f'layer {{ name: "{kind}{index}" type: "{kind}" bottom: "{blob}" '
                f'top: "{kind}{index}" {params} }}'
            )
            blob = f"{kind}{index}"
    deep = Case("deep", {"net": "\n".join(lines)}).graph()
    after, _ = run_passes(deep, ALL)
    assert len(after.nodes) < len(deep.nodes)
    many = replace(deep, outputs=tuple(deep.values))
    assert len(run_passes(many, ALL)[0].outputs) == len(deep.values)


BACK = "reshape_param { shape { dim: 1 dim: -1 dim: 4 dim: 4 } }"
KINDS = (
    (("Pooling", "pooling_param { pool: AVE kernel_size: 1 stride: 1 }"),),
    (("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }"), ("BatchNorm", "")),
    (("Concat", ""), ("Flatten", ""), ("Reshape", BACK)),
    (("Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"), ("Scale", "")),
)  # fmt: skip


def test_memory_that_gives_out_in_a_pass_is_told_as_that() -> None:
    def rewrite(graph: Graph, log: Log) -> Graph:
        raise MemoryError("Unable to allocate 6.71 GiB")

    with pytest.raises(NetcError) as caught:
        run_passes(graph(), [Pass("greedy", rewrite)])
    (told,) = caught.value.diagnostics
    assert told.code == "too-little-memory"
    assert told.message == "pass `greedy`: the memory did not suffice: Unable to allocate 6.71 GiB"
