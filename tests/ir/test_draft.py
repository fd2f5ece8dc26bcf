"""Graphs under change: a draft knows at any time who makes and who reads each value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.verify import verify


def graph() -> Graph:
    """x -> a -> y -> b -> z, and c of y twice -> w; z and w asked for."""
    return Graph(
        "g",
        (
            Node("a", "ReLU", None, ("x",), ("y",)),
            Node("b", "ReLU", None, ("y",), ("z",), ("p",)),
            Node("c", "Eltwise", None, ("y", "y"), ("w",)),
        ),
        ("x",),
        ("w", "z"),
        {name: Value(name, name, (2,)) for name in "xyzw"},
        {"p": Parameter("p", (1,), array=np.ones(1, np.float32))},
    )


def names(nodes: object) -> list[str]:
    return [node.name for node in nodes]  # type: ignore[attr-defined]


def test_nothing_changed_is_the_same_graph() -> None:
    before = graph()
    assert Draft(before).result() is before


def test_who_makes_and_who_reads() -> None:
    draft = Draft(graph())
    assert draft.producer("x") is None
    assert draft.producer("y") is draft.node("a")
    assert names(draft.readers("y")) == ["b", "c", "c"]
    assert draft.only_reader("x") is draft.node("a")
    assert draft.only_reader("y") is None
    assert draft.only_reader("z") is None
    assert [draft.is_needed(v) for v in "xyzw"] == [True] * 4


def test_an_output_has_no_only_reader() -> None:
    draft = Draft(graph().replace(outputs=("w", "z", "x")))
    assert draft.only_reader("x") is None


def test_put_keeps_the_place() -> None:
    draft = Draft(graph())
    draft.put("b", replace(draft.node("b"), name="new", inputs=("x",), parameters=()))
    assert "b" not in draft
    assert names(draft.readers("x")) == ["a", "new"]
    assert names(draft.readers("y")) == ["c", "c"]
    result = draft.result()
    verify(result, "loaded")
    assert names(result.nodes) == ["a", "new", "c"]
    assert result.parameters == {}


def test_put_after_and_readers_in_order() -> None:
    draft = Draft(graph())
    value = draft.fresh_value("y", "y", (2,))
    assert value == "y~2"
    draft.put_after("a", Node("d", "ReLU", None, ("y",), (value,)))
    assert names(draft.readers("y")) == ["d", "b", "c", "c"]
    draft.put("b", replace(draft.node("b"), inputs=(value,)))
    assert names(draft) == ["a", "b", "c"]  # the nodes there were at first
    result = draft.result()
    verify(result, "loaded")
    assert names(result.nodes) == ["a", "d", "b", "c"]


def test_remove_and_redirect() -> None:
    draft = Draft(graph())
    draft.remove("a")
    draft.redirect("y", "x")
    assert names(draft.readers("x")) == ["b", "c", "c"]
    result = draft.result()
    verify(result, "loaded")
    assert names(result.nodes) == ["b", "c"]
    assert set(result.values) == set("xzw")


def test_rename_moves_the_readers_along() -> None:
    draft = Draft(graph())
    draft.remove("b")
    draft.rename("y", "z")
    result = draft.result()
    verify(result, "loaded")
    assert result.nodes[0].outputs == ("z",)
    assert result.nodes[1].inputs == ("z", "z")


def test_swap_changes_places() -> None:
    draft = Draft(graph())
    value = draft.fresh_value("y'", "y", (2,))
    first, second = draft.node("a"), draft.node("b")
    draft.put("c", replace(draft.node("c"), inputs=(value, "z")))
    draft.swap(
        replace(first, inputs=(value,), outputs=("z",)),
        replace(second, inputs=("x",), outputs=(value,)),
    )
    result = draft.result()
    verify(result, "loaded")
    assert names(result.nodes) == ["b", "a", "c"]


def test_remove_unneeded() -> None:
    draft = Draft(graph())
    draft.remove_unneeded(draft.node("a"))
    assert "a" in draft
    draft.remove("c")
    draft.put("b", replace(draft.node("b"), inputs=("x",)))
    draft.remove_unneeded(draft.node("a"))
    assert "a" not in draft


def test_fresh_parameters() -> None:
    draft = Draft(graph())
    array = np.arange(2, dtype=np.float32)
    assert draft.fresh_parameter("p", array) == "p~2"
    assert draft.fresh_parameter("p", array) == "p~3"
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert draft.array("p~2") is array


def test_an_owners_elements_in_another_shape() -> None:
    base = graph()
    shared = {"q": Parameter("q", (1, 1, 1), owner="p")}
    draft = Draft(base.replace(parameters={**base.parameters, **shared}))
    assert draft.array("q").shape == (1, 1, 1)
