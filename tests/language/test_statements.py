"""Loops, conditions, parameters, inputs and declared shapes."""

from __future__ import annotations

import pytest

from netc.frontend import build
from tests.language.texts import INPUT, expanded, fault, message, names


@pytest.mark.parametrize(
    ("loop", "made"),
    [
        ('repeat 2 { -> conv(1) }', ["conv1", "conv2"]),
        ('repeat i in 0..3 { -> conv(1) as "c${i}" }', ["c0", "c1", "c2"]),
        ('repeat i in 1..=2 { -> conv(1) as "c${i}" }', ["c1", "c2"]),
        ('repeat w in [8, 16] { -> conv(w) as "c${w}" }', ["c8", "c16"]),
        ('repeat i, w in [8, 16] { -> conv(w) as "c${i}_${w}" }', ["c0_8", "c1_16"]),
        ('for w in ["a", "b"] { -> conv(1) as w }', ["a", "b"]),
        ('repeat 0 { -> conv(1) }', []),
        ('repeat i in 3..1 { -> conv(1) }', []),
        ('repeat i in [0, 1] { if i == 1 { -> fc(1) } else { -> conv(1) } }', ["conv1", "fc1"]),
    ],
)  # fmt: skip
def test_loops(loop: str, made: list[str]) -> None:
    assert names(INPUT + loop) == made


def test_conditions() -> None:
    text = (
        INPUT + "param n = 1\nif n > 2 { -> fc(1) } else if n > 1 { -> relu } else { -> conv(1) }"
    )
    assert [names(text, {"n": n}) for n in (3, 2, 1)] == [["fc1"], ["relu1"], ["conv1"]]


def test_loops_and_conditions_make_fields() -> None:
    text = """
    param dims = [2, 3]
    layer { name: "r" type: "Reshape" reshape_param { shape {
      repeat i, d in dims { let twice = 2 * d
      if i < 5 { dim: ${twice} } } } } }
    """
    (layer,) = message(text).get("layer")
    assert layer.get("reshape_param").get("shape").get("dim") == (4, 6)


def test_let_names_values_again() -> None:
    text = INPUT + 'let n = 1\nrepeat 3 { let n = n + 1\n -> conv(n) as "c${n}" }'
    assert names(text) == ["c2", "c3", "c4"]


@pytest.mark.parametrize(
    ("declared", "given", "printed"),
    [
        ("n: int = 1", "7", "7"),
        ("n = 1", "-7", "-7"),
        ("n: float = 1", "2", "2.0"),
        ("n: string = 'a'", "12", "12"),
        ("n: bool = false", "true", "true"),
        ("n: int in 1..=9 = 1", "9", "9"),
        ("n: int in [1, 2] = 1", 2, "2"),
        ("n: float in 0.0..=1.0 = 0.5", 1, "1.0"),
    ],
)
def test_parameters_are_set(declared: str, given: object, printed: str) -> None:
    assert message(f'param {declared}\nname: "${{n}}"', {"n": given}).get("name") == printed


@pytest.mark.parametrize(
    ("declared", "given", "code"),
    [
        ("n: int = 1", "1.5", "wrong-kind"),
        ("n: int = 1", "abc", "wrong-kind"),
        ("n: int = 1", "[1]", "wrong-kind"),
        ("n: int = 1", "", "wrong-kind"),
        ("n: int = 1", "1; 2", "wrong-kind"),
        ("n: int = 1", True, "wrong-kind"),
        ("n: bool = true", "1", "wrong-kind"),
        ("n: [int] = [1]", "[1, a]", "wrong-kind"),
        ("n: int in 1..9 = 1", "9", "wrong-kind"),
        ("n: string in ['a'] = 'a'", "b", "wrong-kind"),
        ("n: float in 0.0..=1.0 = 0.5", "1.01", "wrong-kind"),
    ],
)
def test_parameters_that_do_not_fit(declared: str, given: object, code: str) -> None:
    found = fault(f'param {declared}\nname: "${{n}}"', {"n": given})
    assert found.code == code
    assert found.span and (found.span.line, found.span.column) == (1, 7)


def test_lists_are_parameters() -> None:
    text = INPUT + 'param w: [int] = [1]\nrepeat n in w { -> conv(n) as "c${n}" }'
    assert names(text, {"w": "[4, 5]"}) == ["c4", "c5"]
    assert names(text, {"w": [6]}) == ["c6"]


def test_an_unknown_definition_is_told_with_what_is_near() -> None:
    found = fault("param width = 1\nlet a = 1", {"widht": "3"})
    assert found.code == "unknown-parameter"
    assert found.help == ("did you mean `width`?",)


def test_a_parameter_without_default_must_be_given() -> None:
    found = fault('param n: int\nname: "${n}"')
    assert (found.code, found.help) == ("missing-value", ("give it: -D n=...",))


def test_an_input_is_an_input_layer() -> None:
    text = (
        'input "in/a": [1, 3, 8, 8] { mean: [104, 117, 123] scale: 0.017 order: RGB resize: 256 }'
    )
    (layer,) = message(text).get("layer")
    assert layer.get("top") == ("in/a",)
    assert layer.get("input_param").get("shape")[0].get("dim") == (1, 3, 8, 8)
    transform = layer.get("transform_param")
    assert transform.get("mean_value") == (104, 117, 123)
    assert transform.get("channel_order") == "RGB"
    assert transform.get("resize") == (256,)


def test_what_caffe_cannot_read_of_an_input_is_a_comment() -> None:
    text = expanded("input data: [1, 3, 8, 8] { mean: 'm.npy' order: RGB resize: [256, 340] }")
    assert text.startswith("# data: channel_order: RGB resize: 256 resize: 340\n")
    assert 'mean_file: "m.npy"' in text
    assert "channel_order" not in text.partition("\n")[2]


def test_declared_shapes_are_checked() -> None:
    text = INPUT + 'data -> conv(4, 3) as "c"\nexpect c: [_, 4, {0}, 30]\n'
    assert not build(message(text.replace("{0}", "30"))).diagnostics
    assert not build(message(text.replace("{0}", "_"))).diagnostics
    (found,) = build(message(text.replace("{0}", "31"))).diagnostics
    assert found.code == "unexpected-shape"
    assert found.message == "blob `c` is 1x4x30x30, and _x4x31x30 is expected"
    assert found.span and (found.span.line, found.span.column) == (3, 11)


def test_a_declared_shape_of_another_number_of_axes_does_not_fit() -> None:
    (found,) = build(message(INPUT + "expect data: [_, _]\n-> relu")).diagnostics
    assert found.code == "unexpected-shape"


def test_sizes_that_are_open_leave_the_input_without_a_shape() -> None:
    text = "input data: [_, 3, _, _]\n-> conv(4, 1)"
    net = message(text)
    assert not net.get("layer")[0].has("input_param")
    assert {d.code for d in build(net).diagnostics} == {"unknown-input-shape"}
    built = build(net, inputs={"data": (2, 3, 5, 5)})
    assert built.graph.values["conv1"].shape == (2, 4, 5, 5)
    wrong = build(net, inputs={"data": (2, 1, 5, 5)})
    assert "unexpected-shape" in {d.code for d in wrong.diagnostics}
