"""docs/language.md says what is so: its examples expand, its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netc.frontend import build
from netc.language import limits
from netc.language.inputs import KNOWN
from netc.language.operators import FUNCTIONS
from netc.language.shorts import SHORTS
from tests.language.texts import layers, message

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


def examples() -> list[str]:
    """The indented blocks before the grammar."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT[: TEXT.index("## Grammar")], re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n") for block in found]


def example(start: str) -> str:
    (found,) = [block for block in examples() if block.startswith(start)]
    return found


def test_the_first_example() -> None:
    built = build(message(example("# small.netc")))
    assert not built.diagnostics
    assert built.graph.values["prob"].shape == (1, 10)
    wide = build(message(example("# small.netc"), {"width": 64}))
    assert wide.graph.values["conv3"].shape == (1, 256, 8, 8)


def test_the_inception_module() -> None:
    built = build(message("input pool2: [1, 192, 28, 28]\n" + example("module conv_relu(")))
    assert not built.diagnostics
    assert built.graph.values["inception_3b/concat1"].shape == (1, 480, 28, 28)


@pytest.mark.parametrize(
    ("start", "before"),
    [
        ("data -> conv(64, 7", "input data: [1, 3, 64, 64]\n"),
        ("pool1 -> relu", 'input pool1: [1, 3, 8, 8]\ninput "pool1/3x3_s2": [1, 3, 8, 8]\n'
                          "input left: [1, 3, 8, 8]\ninput right: [1, 3, 8, 8]\n"),
        ("[\n  pool2 -> conv(64)", "input pool2: [1, 3, 8, 8]\n"),
        ("param width: int in 8..=512 = 64\nparam kind", "input data: [1, 3, 8, 8]\n"),
        ("module conv_bn(id", "input data: [1, 3, 8, 8]\n"),
    ],
)  # fmt: skip
def test_other_examples_expand(start: str, before: str) -> None:
    text = before + example(start).replace("conv(64)", "conv(64, 1)").replace(
        "conv(96)", "conv(96, 1)"
    )
    assert layers(text, {"classes": 10} if "param classes" in text else {}) is not None


def test_the_table_of_short_forms() -> None:
    told = {}
    for names, types, values in re.findall(r"^\| (`.*?`) \| (.*?) \|(.*)\|$", TEXT, re.M):
        plain = (
            tuple(re.sub(r"\s*\(.*?\)", "", values).strip().split(", ")) if values.strip() else ()
        )
        told.update({name: (types, plain) for name in re.findall(r"`(\w+)`", names)})
    assert told.keys() == SHORTS.keys()
    for name, short in SHORTS.items():
        types, values = told[name]
        assert re.search(rf"\b{short.type}\b", types) and values == short.values, name


def test_functions_and_the_input_block() -> None:
    (line,) = re.findall(r"^\* `(min max [a-z ]+)`\.$", TEXT, re.M)
    assert line.split() == list(FUNCTIONS)
    block = example("input data: [1, 3, 224, 224] {")
    assert set(re.findall(r"^  (\w+):", block, re.M)) == set(KNOWN)


def test_the_limits() -> None:
    told = TEXT[TEXT.index("## Limits") : TEXT.index("## Tools")]
    for number in (
        limits.MAX_LAYERS, limits.MAX_STEPS, limits.MAX_USES, limits.MAX_NESTING,
        limits.MAX_INCLUDES, limits.MAX_BITS, limits.MAX_STRING, limits.MAX_LIST,
        limits.MODULE_STEPS,
    ):  # fmt: skip
        assert re.search(rf"\b{number:,}\b", told)
