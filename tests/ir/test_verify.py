"""What verify() refuses: one broken graph for each rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from netc.diagnostics import InternalError
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.verify import Phase, verify
from netc.ops.catalog import CATALOG

X = np.zeros((2, 3), np.float32)


def good() -> Graph:
    """Two inner products that share a weight in another shape."""
    return Graph(
        "good",
        (
            Node("a", "InnerProduct", None, ("x",), ("y",), ("a/0",)),
            Node("b", "InnerProduct", None, ("y",), ("z",), ("b/0",)),
        ),
        ("x",),
        ("z",),
        {name: Value(name, name, (1, 2)) for name in ("x", "y", "z")},
        {
            "a/0": Parameter("a/0", (2, 3), array=X),
            "b/0": Parameter("b/0", (3, 2), owner="a/0"),
        },
    )


def changed(graph: Graph, index: int, **changes: object) -> Graph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return graph.replace(nodes=tuple(nodes))


def test_a_good_graph_passes() -> None:
    for phase in ("lowered", "inferred", "loaded"):
        verify(good(), phase, CATALOG)


def without_shape(graph: Graph, value: str) -> Graph:
    return graph.replace(values={**graph.values, value: Value(value, value, None)})


def with_parameter(graph: Graph, parameter: Parameter) -> Graph:
    return graph.replace(parameters={**graph.parameters, parameter.name: parameter})


BROKEN: list[tuple[Phase, str, Callable[[Graph], Graph]]] = [
    ("lowered", "input `x` stands twice", lambda g: g.replace(inputs=("x", "x"))),
    ("lowered", "node `a`: no op `Wrong`", lambda g: changed(g, 0, op="Wrong")),
    ("lowered", "node `a`: the name is taken", lambda g: changed(g, 1, name="a")),
    (
        "lowered",
        "node `b`: reads `y` before it is produced",
        lambda g: g.replace(nodes=g.nodes[::-1]),
    ),
    (
        "lowered",
        "node `a`: reads `y` before it is produced",
        lambda g: changed(g, 0, inputs=("y",)),
    ),
    ("lowered", "node `b`: no parameter `c`", lambda g: changed(g, 1, parameters=("c",))),
    (
        "lowered",
        "node `b`: produces `y` a second time",
        lambda g: changed(g, 1, outputs=("y",)).replace(outputs=("y",)),
    ),
    (
        "lowered",
        "node `a`: produces `x` a second time",
        lambda g: changed(g, 0, outputs=("x", "y")),
    ),
    ("lowered", "output `w` is produced by nothing", lambda g: g.replace(outputs=("w",))),
    (
        "lowered",
        "value `z` is not described",
        lambda g: g.replace(values={k: v for k, v in g.values.items() if k != "z"}),
    ),
    ("inferred", "node `a`: the shape of `y` is unknown", lambda g: without_shape(g, "y")),
    ("inferred", "input `x`: its shape is unknown", lambda g: without_shape(g, "x")),
    (
        "inferred",
        "parameter `a/0`: its shape is unknown",
        lambda g: with_parameter(g, Parameter("a/0", None, array=X)),
    ),
    (
        "loaded",
        "parameter `a/0`: it has no array",
        lambda g: with_parameter(g, Parameter("a/0", (2, 3))),
    ),
    (
        "loaded",
        "parameter `b/0`: no owner `c/0`",
        lambda g: with_parameter(g, Parameter("b/0", (3, 2), owner="c/0")),
    ),
    (
        "loaded",
        "parameter `a/0`: its array is (2, 3) and its shape (3, 3)",
        lambda g: with_parameter(g, Parameter("a/0", (3, 3), array=X)),
    ),
    (
        "loaded",
        "parameter `b/0`: its 4 elements are not the 6 of its owner `a/0`",
        lambda g: with_parameter(g, Parameter("b/0", (2, 2), owner="a/0")),
    ),
    (
        "loaded",
        "parameter `b/0`: its owner `b/0` has no elements of its own",
        lambda g: with_parameter(g, Parameter("b/0", (3, 2), owner="b/0")),
    ),
]


@pytest.mark.parametrize(
    ("phase", "fault", "broken"), BROKEN, ids=[fault for _, fault, _ in BROKEN]
)
def test_a_broken_graph_is_refused(
    phase: Phase, fault: str, broken: Callable[[Graph], Graph]
) -> None:
    with pytest.raises(InternalError) as error:
        verify(broken(good()), phase, CATALOG)
    assert f"\n  {fault}" in str(error.value)


def test_each_fault_is_told() -> None:
    graph = changed(changed(good(), 0, parameters=("p",)), 1, inputs=("w",))
    with pytest.raises(InternalError, match=r"no parameter `p`\n  .*reads `w`"):
        verify(graph, "lowered")


def test_a_phase_asks_for_no_more_than_its_own() -> None:
    verify(without_shape(good(), "y"), "lowered")
    verify(with_parameter(good(), Parameter("a/0", (2, 3))), "inferred")
