"""``input``: the Input layer, and how images are made into it."""

from __future__ import annotations

import pytest

from tests.language.texts import document, fault, message

IMAGE = "input data: [1, 3, 8, 8]"


def test_an_input_is_an_input_layer_with_its_shape() -> None:
    (layer,) = message(f"{IMAGE}\n").get("layer")
    assert (layer.get("name"), layer.get("type"), layer.get("top")) == ("data", "Input", ("data",))
    (shape,) = layer.get("input_param").get("shape")
    assert shape.get("dim") == (1, 3, 8, 8)


def test_an_open_size_leaves_the_whole_shape_open() -> None:
    (layer,) = message("input data: [1, 3, _, _]\n").get("layer")
    assert "input_param" not in layer.entries


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ("mean: [104, 117, 123]", {"mean_value": (104.0, 117.0, 123.0)}),
        ("mean: 128", {"mean_value": (128.0,)}),
        ('mean: "mean.binaryproto"', {"mean_file": "mean.binaryproto"}),
        ("scale: 0.017", {"scale": pytest.approx(0.017)}),
    ],
)
def test_the_block_is_the_layers_transform_param(block: str, fields: dict[str, object]) -> None:
    (layer,) = message(f"{IMAGE} {{ {block} }}\n").get("layer")
    transform = layer.get("transform_param")
    assert {name: transform.get(name) for name in fields} == fields


def test_values_are_expressions() -> None:
    text = "param n = 4\ninput data: [n, 3, 2 * n, 8] { mean: [${n}, ${n + 1}, ${n + 2}] }\n"
    (layer,) = message(text).get("layer")
    assert layer.get("input_param").get("shape")[0].get("dim") == (4, 3, 8, 8)
    assert layer.get("transform_param").get("mean_value") == (4, 5, 6)
    assert "transform_param" in str(document(text).fields)


@pytest.mark.parametrize(
    ("block", "code", "column", "part"),
    [
        ("meen: 1", "unknown-field", 28, "an input has no `meen`"),
        ("mean: [1, 2]", "expression", 28, "`mean` has 2 values, and the input has 3 channels"),
        ("scale: 1 scale: 2", "repeated-field", 37, "`scale` is given twice"),
        ("range: [1, 2, 3]", "expression", 28, "`range` has 2 values, and 3 are given"),
        ("resize: [1, 2, 3]", "expression", 28, "`resize` has 1 or 2 values, and 3 are given"),
    ],
)
def test_what_a_block_may_not_say(block: str, code: str, column: int, part: str) -> None:
    found = fault(f"{IMAGE} {{ {block} }}\n")
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == (code, 1, column)
    assert part in found.message
