"""Short forms stand for layer types and fields that Caffe has."""

from __future__ import annotations

import pytest

from netc.language.placement import FieldFinder
from netc.language.shorts import BASES, IN_PLACE, MESSAGES, OF_LAYER, SHORTS, EnumWord
from netc.ops.catalog import LAYERS
from tests.language.texts import INPUT, expanded, layers, message, schema

LAYER = schema().message("NetParameter").fields["layer"].message
assert LAYER is not None
FIELDS = LAYER.fields


@pytest.mark.parametrize("name", SHORTS)
def test_types_and_fields_are_there(name: str) -> None:
    assert LAYER is not None
    short, placement = SHORTS[name], FieldFinder(LAYER)
    assert short.type in LAYERS
    for field in (*short.values, *(field for field, _ in short.preset)):
        assert placement.find(short.type, field), field
    for field, value in short.preset:
        placed = placement.find(short.type, field)
        assert placed is not None and (placed.field.kind == "enum") == isinstance(value, EnumWord)


def test_tables_name_layers_and_messages_that_exist() -> None:
    assert IN_PLACE <= set(LAYERS)
    assert OF_LAYER <= set(FIELDS)
    assert {message for found in MESSAGES.values() for message in found} <= set(FIELDS)
    assert {SHORTS[base].type for base in BASES.values()} == set(BASES)


@pytest.mark.parametrize(
    ("use", "fields"),
    [
        ("conv(8, 3, 2, 1)", {"num_output": 8, "kernel_size": (3,), "stride": (2,), "pad": (1,)}),
        ("fc(8)", {"num_output": 8}),
        ("pool(3, 2)", {"kernel_size": 3, "stride": 2, "pool": "MAX"}),
        ("pool(3)", {"kernel_size": 3, "stride": 3}),
        ("pool(3, 2, pool: AVE)", {"pool": "AVE"}),
        ("globalpool", {"global_pooling": True, "pool": "AVE"}),
        ("lrn(5, 0.0001, 0.75)", {"local_size": 5, "beta": 0.75}),
        ("scale", {"bias_term": True}),
    ],
)
def test_what_values_without_names_are(use: str, fields: dict[str, object]) -> None:
    (_, layer) = message(f"{INPUT}-> {use}").get("layer")
    (param,) = (f for f in layer.entries if f.endswith("_param"))
    assert {name: layer.get(param).get(name) for name in fields} == fields


def test_what_works_in_place_does_so_over_a_layers_blob_and_not_over_an_input() -> None:
    assert [x[2:] for x in layers(f"{INPUT}-> relu -> conv(1, 1) -> relu")] == [
        (("data",), ("relu1",)),
        (("relu1",), ("conv1",)),
        (("conv1",), ("conv1",)),
    ]


def test_a_short_form_is_the_plain_layer() -> None:
    plain = 'layer { name: "tanh1" type: "TanH" bottom: "data" top: "tanh1" }'
    assert expanded(f"{INPUT}-> tanh") == expanded(f"{INPUT}{plain}")
