"""Nets of thousands of layers, bottoms and readers: what is done grows with them and no faster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.analysis.lint import lint
from netc.backends.cpu.program import Step
from netc.diagnostics import Source
from netc.frontend import build, read_net
from netc.ir.draft import Draft
from netc.ir.graph import Graph
from netc.passes.base import Log, run_passes
from netc.passes.epilogue import FUSE_EPILOGUES
from netc.passes.prune import drop_identities

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3] } } }\n'


def layer(name: str, kind: str, bottoms: list[str], tops: list[str], more: str = "") -> str:
    words = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(words)} {more} }}\n'


def graph_of(text: str) -> Graph:
    return build(read_net(Source("n", text)).message).graph


def wide(operation: str, number: int) -> str:
    """Two thousand bottoms, the first a layer's own output, the others the input and another."""
    names = ["relu", *(["data", "half"] * number)][:number]
    return (
        DATA
        + layer("relu", "ReLU", ["data"], ["relu"])
        + layer("half", "Power", ["data"], ["half"], "power_param { scale: 0.5 }")
        + layer("e", "Eltwise", names, ["e"], f"eltwise_param {{ operation: {operation} }}")
    )


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("operation", ["SUM", "MAX", "PROD"])
def test_an_eltwise_of_thousands_runs_in_kernels_of_a_few(operation: str, optimize: bool) -> None:
    x = np.array([[1, -1, 0.5], [1.01, np.nan, -0.9]], np.float32)
    text = wide(operation, 700)
    net = netc.compile(Source("n", text), optimize=optimize, threads=1)
    program: Any = net.executable(tuple(net.inputs.values()))
    kernels = {step.kernel for step in program.program.steps if isinstance(step, Step)}
    assert len(kernels) <= 8
    assert max(len(str(kernel)) for kernel in kernels) < 2000, "as long as its code"
    want = netc.compile(Source("n", text), backend="reference")(data=x)["e"]
    np.testing.assert_allclose(net(data=x)["e"], want, rtol=1e-4)


def test_chains_of_thousands_are_cut() -> None:
    text = DATA + "".join(
        layer(
            f"l{i}", "Power", [f"b{i - 1}" if i else "data"], [f"b{i}"], "power_param { shift: 1 }"
        )
        for i in range(300)
    )
    graph, _ = run_passes(graph_of(text), [FUSE_EPILOGUES])
    assert 10 <= len(graph.nodes) <= 30
    net = netc.compile(Source("n", text), optimize="fuse-epilogues", threads=1)
    assert (net(data=np.zeros((2, 3), np.float32))["b299"] == 300).all()


def test_readers_that_are_taken_out_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Concat of identities is made anew once, not once for each of them."""
    number = 500
    text = (
        DATA
        + "".join(layer(f"l{i}", "Dropout", ["data"], [f"b{i}"]) for i in range(number))
        + layer("cat", "Concat", [f"b{i}" for i in range(number)], ["cat"])
    )
    made: list[str] = []
    put = Draft.put

    def counting(draft: Draft, name: str, node: Any) -> None:
        made.append(name)
        put(draft, name, node)

    monkeypatch.setattr(Draft, "put", counting)
    graph = drop_identities(graph_of(text), Log())
    assert len(made) < 10
    (concat,) = graph.nodes
    assert concat.inputs == ("data",) * number


def test_names_that_come_back_in_a_deferred_change() -> None:
    """An output that is asked for is what an identity gave: its producer takes the name."""
    text = (
        DATA
        + layer("a", "AbsVal", ["data"], ["a"])
        + layer("d", "Dropout", ["a"], ["d"])
        + layer("cat", "Concat", ["d"] * 40 + ["a"] * 3, ["cat"])
    )
    graph = graph_of(text)
    asked = graph.replace(outputs=(*graph.outputs, "d"))
    after = drop_identities(asked, Log())
    assert [node.op for node in after.nodes] == ["AbsVal", "Concat"]
    assert after.nodes[0].outputs == ("d",)
    assert after.nodes[1].inputs == ("d",) * 43


def test_lints_of_a_layer_with_many_tops(monkeypatch: pytest.MonkeyPatch) -> None:
    from netc.analysis.lint.rule import LintedNet

    asked: list[str] = []
    readers = LintedNet.readers

    def counting(subject: LintedNet, value: str) -> Any:
        asked.append(value)
        return readers(subject, value)

    monkeypatch.setattr(LintedNet, "readers", counting)
    counts = []
    for number in (200, 400):
        asked.clear()
        text = DATA + layer("s", "Split", ["data"], [f"t{i}" for i in range(number)])
        built = build(read_net(Source("n", text)).message)
        lint(built.graph, built.messages, without=())
        counts.append(len(asked))
    assert counts[1] < 2.5 * counts[0]
