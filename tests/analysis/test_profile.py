from __future__ import annotations

from netc.analysis.profile import NetProfile
from netc.ir.types import Shape
from tests.analysis.profiles import conv, data, layer, profile_of

UNKNOWN = (
    data(2, 3, 8, 8)
    + conv("a", "data", 4, 3)
    + layer("odd", "Mystery", "a")
    + conv("b", "odd", 4, 3)
    + layer("relu", "ReLU", "a", top="a")
    + conv("c", "a", 5, 1)
)


def row(profile: NetProfile, name: str) -> tuple[Shape | None, int | None, int | None]:
    found = next(item for item in profile.layers if item.name == name)
    cost = found.cost.parameters if found.cost else None
    return profile.shape(found.outputs[0]), cost, profile.bytes(found)


def test_every_layer_in_order_with_what_it_makes() -> None:
    profile = profile_of(data(2, 3, 8, 8) + conv("a", "data", 4, 3))
    assert [(item.name, item.type, item.source) for item in profile.layers] == [
        ("data", "Input", True),
        ("a", "Convolution", False),
    ]
    assert row(profile, "a") == ((2, 4, 8, 8), 108, 4 * 2 * 4 * 64)
    assert (profile.batch, profile.complete) == (2, True)
    assert profile.blob_bytes == 4 * 2 * (3 + 4) * 64


def test_a_layer_of_unknown_type_hides_only_what_depends_on_it() -> None:
    profile = profile_of(UNKNOWN)
    assert [item.name for item in profile.layers] == ["data", "a", "odd", "b", "relu", "c"]
    assert row(profile, "a")[1] == 108 and row(profile, "c")[1] == 20
    assert row(profile, "odd") == (None, None, None)
    assert row(profile, "b") == (None, None, None)
    odd = profile.layers[2]
    assert (odd.known, odd.inputs, odd.outputs) == (False, ("a@a",), ("odd",))
    assert not profile.complete
    assert profile.cost.total.parameters == 128


def test_a_layer_in_place_takes_no_memory() -> None:
    profile = profile_of(UNKNOWN)
    relu = profile.layers[4]
    assert relu.in_place and profile.bytes(relu) == 0


def test_unknown_input_shape() -> None:
    text = 'layer { name: "data" type: "Data" top: "data" top: "label" }' + conv("a", "data", 4, 3)
    profile = profile_of(text)
    assert [item.name for item in profile.layers] == ["data", "a"]
    assert profile.batch is None and not profile.complete
    assert profile.fields == {}
    assert profile.cost.total.parameters == 0


def test_the_source_of_receptive_fields_is_the_image() -> None:
    text = data(2, 5, name="info") + data(2, 3, 8, 8) + conv("a", "data", 4, 3)
    profile = profile_of(text)
    assert profile.source == "data"
    assert profile.fields["a"].size == (3, 3)


def test_layers_of_one_name_are_told_apart() -> None:
    text = data(1, 3, 8, 8) + conv("a", "data", 4, 3) + layer("a", "ReLU", "a", top="b")
    names = [(item.name, item.type) for item in profile_of(text).layers]
    assert names == [("data", "Input"), ("a", "Convolution"), ("a#2", "ReLU")]
