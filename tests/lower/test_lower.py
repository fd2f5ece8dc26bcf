"""Messages to graphs: values of rewritten blobs, shared parameters, inputs, and faults."""

from __future__ import annotations

from typing import Any

import pytest

from netc.diagnostics import Source
from netc.frontend import build, read_net
from netc.lower import lower

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def lowered(text: str, **options: Any) -> Any:
    return lower(read_net(Source("net", text)).message, **{"phase": "TEST", **options})


def test_a_blob_that_is_rewritten_is_several_values() -> None:
    found = lowered(
        INPUT
        + """
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "y"
                inner_product_param { num_output: 4 } }
        layer { name: "b" type: "ReLU" bottom: "y" top: "y" }
        layer { name: "c" type: "TanH" bottom: "y" top: "y" }
        """
    ).graph
    assert [(n.name, n.inputs, n.outputs) for n in found.nodes] == [
        ("a", ("x",), ("y@a",)),
        ("b", ("y@a",), ("y@b",)),
        ("c", ("y@b",), ("y",)),
    ]
    assert {value.blob for name, value in found.values.items() if name != "x"} == {"y"}
    assert found.outputs == ("y",)


def test_an_input_that_is_rewritten_keeps_its_blob() -> None:
    found = lowered(INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }').graph
    assert dict(found.input_blobs) == {"x": "x@in"}
    assert found.outputs == ("x",)


def test_what_nobody_reads_comes_out_in_order_of_name() -> None:
    layers = "".join(
        f'layer {{ name: "{name}" type: "ReLU" bottom: "x" top: "{name}" }}' for name in "cab"
    )
    assert lowered(INPUT + layers).graph.outputs == ("a", "b", "c")


def test_layers_of_one_parameter_name_share_it() -> None:
    shared = """layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "{0}"
                param {{ name: "w" }} inner_product_param {{ num_output: 4 }} }}"""
    text = INPUT + shared.format("a") + shared.format("b")
    first, second = build(read_net(Source("net", text)).message).graph.nodes
    assert first.parameters[0] == second.parameters[0] == "a/0"
    assert first.parameters[1] != second.parameters[1]


def test_a_blob_that_nothing_makes_is_told_with_one_of_its_kind() -> None:
    found = lowered(INPUT + 'layer { name: "r" type: "ReLU" bottom: "X" top: "y" }')
    (told,) = found.diagnostics
    assert told.severity == "error"
    assert "`X`" in told.message
    assert any("`x`" in help for help in told.help)


def test_phases_have_layers_of_their_own() -> None:
    text = (
        INPUT
        + """
        layer { name: "r" type: "ReLU" bottom: "x" top: "y" include { phase: TRAIN } }
        layer { name: "t" type: "TanH" bottom: "x" top: "y" include { phase: TEST } }
        """
    )
    assert [n.op for n in lowered(text).graph.nodes] == ["TanH"]
    assert [n.op for n in lowered(text, phase="TRAIN").graph.nodes] == ["ReLU"]


@pytest.mark.parametrize("type", ["NoSuchLayer", "relu"])
def test_an_unknown_type_is_an_error_and_the_rest_is_lowered(type: str) -> None:
    text = (
        INPUT
        + f"""
        layer {{ name: "u" type: "{type}" bottom: "x" top: "y" }}
        layer {{ name: "r" type: "ReLU" bottom: "x" top: "z" }}
        """
    )
    found = lowered(text)
    assert [d.code for d in found.diagnostics if d.severity == "error"] == ["unknown-layer-type"]
    assert "r" in [node.name for node in found.graph.nodes]
