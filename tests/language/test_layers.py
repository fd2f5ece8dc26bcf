"""Uses of layer types, and plain layers with their names scoped."""

from __future__ import annotations

import pytest

from tests.language.texts import INPUT, fault, layers, message, names


@pytest.mark.parametrize(
    ("chain", "result"),
    [
        ("-> conv(4)", [("conv1", "Convolution", ("data",), ("conv1",))]),
        ('-> conv(4) as "c"', [("c", "Convolution", ("data",), ("c",))]),
        ("-> ReLU", [("relu1", "ReLU", ("data",), ("relu1",))]),
        (
            '[data, data] -> concat as "j"',
            [("j", "Concat", ("data", "data"), ("j",))],
        ),
        (
            '-> conv(4) as "c" -> relu -> tanh(in_place: false)',
            [
                ("c", "Convolution", ("data",), ("c",)),
                ("relu1", "ReLU", ("c",), ("c",)),
                ("tanh1", "TanH", ("c",), ("tanh1",)),
            ],
        ),
        (
            'a, b = data -> Slice(top: ["a", "b"]) as "s"',
            [("s", "Slice", ("data",), ("a", "b"))],
        ),
    ],
)
def test_uses(chain: str, result: list[tuple[object, ...]]) -> None:
    assert layers(INPUT + chain) == result


def test_names_count_each_type_by_itself() -> None:
    assert names(f"{INPUT}-> conv(1) -> relu -> conv(1) -> relu") == [
        "conv1",
        "relu1",
        "conv2",
        "relu2",
    ]


def test_plain_layers_in_a_module_are_scoped() -> None:
    text = (
        f"{INPUT}module m(): x -> y {{\n"
        '  layer { name: "r" type: "ReLU" bottom: ${x} top: "t" }\n  y = "t" -> tanh\n}\n'
        'data -> m as "b"\n'
    )
    assert layers(text)[0] == ("b/r", "ReLU", ("data",), ("b/t",))


def test_a_phase_gives_its_layers_a_rule() -> None:
    (_, layer) = message(f"{INPUT}phase TRAIN {{ data -> dropout(0.5) }}").get("layer")
    (rule,) = layer.get("include")
    assert rule.get("phase") == "TRAIN"


@pytest.mark.parametrize(
    ("use", "code", "column", "part"),
    [
        ("conv(1, 2, 3, 4, 5)", "too-many-values", 21, "at most 4 values in order"),
        ("conv(4, num_output: 4)", "repeated-field", 12, "num_output"),
        ('relu(name: "a")', "expression", 9, "behind `as`"),
        ("conv('a')", "wrong-kind", 9, "`num_output` takes an integer"),
        ("conv(2.5)", "wrong-kind", 9, "`num_output` takes a whole number"),
    ],
)
def test_what_a_use_may_not_say(use: str, code: str, column: int, part: str) -> None:
    found = fault(f"{INPUT}-> {use}")
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, column), found
    assert part in found.message + " ".join(found.help)
    assert found.code in (code, "misplaced-field", "unknown-field")


def test_two_layers_of_one_name() -> None:
    found = fault(f'{INPUT}-> relu as "a"\n-> tanh as "a"')
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == ("duplicate-name", 3, 4)
