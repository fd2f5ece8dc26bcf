"""Which message of a layer a field stands in."""

from __future__ import annotations

import pytest

from netc.language.placement import FieldFinder
from tests.language.texts import INPUT, fault, message, schema

LAYER = schema().message("NetParameter").fields["layer"].message
assert LAYER is not None
PLACEMENT = FieldFinder(LAYER)


@pytest.mark.parametrize(
    ("type", "field", "where"),
    [
        ("Convolution", "num_output", "convolution_param"),
        ("Deconvolution", "num_output", "convolution_param"),
        ("Pooling", "pool", "pooling_param"),
        ("SoftmaxWithLoss", "axis", "softmax_param"),
        ("SoftmaxWithLoss", "ignore_label", "loss_param"),
        ("HingeLoss", "norm", "hinge_loss_param"),
        ("HingeLoss", "ignore_label", "loss_param"),
        ("Convolution", "loss_weight", ""),
        ("Convolution", "param", ""),
        ("Python", "phase", ""),
    ],
)
def test_where_a_field_stands(type: str, field: str, where: str) -> None:
    placed = PLACEMENT.find(type, field)
    assert placed is not None
    assert (placed.field.name, placed.message) == (field, where)


@pytest.mark.parametrize(("type", "field"), [("Convolution", "pool"), ("ReLU", "kernel_size")])
def test_a_field_of_another_type_has_no_place(type: str, field: str) -> None:
    assert PLACEMENT.find(type, field) is None


def test_the_expanded_layer_has_the_field_in_its_message() -> None:
    (_, layer) = message(f"{INPUT}data, data -> loss(ignore_label: 3, axis: 2)".replace(
        "data, data", "[data, data]")).get("layer")  # fmt: skip
    assert layer.get("loss_param").get("ignore_label") == 3
    assert layer.get("softmax_param").get("axis") == 2


@pytest.mark.parametrize(
    ("use", "column", "help"),
    [
        ("conv(4, kernal_size: 3)", 12, "did you mean `kernel_size`?"),
        ("conv(4, kernel: 3)", 12, "did you mean `kernel_size`?"),
        ("dropout(ratio: 0.5)", 12, "did you mean `dropout_ratio`?"),
        ("relu(in_plase: true)", 9, "did you mean `in_place`?"),
    ],
)
def test_a_field_that_no_message_has(use: str, column: int, help: str) -> None:
    found = fault(f"{INPUT}-> {use}")
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == ("unknown-field", 2, column)
    assert found.help == (help,)
