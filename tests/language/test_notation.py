"""The textbook's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.frontend import build
from netc.language.format import format_text
from netc.language.notation import notation_text
from tests.language.texts import layers, message

CS231N = "INPUT -> [[CONV -> RELU]*2 -> POOL?]*3 -> [FC -> RELU]*2 -> FC"


def kinds(notation: str, sizes: tuple[int, ...] = (3, 32, 32)) -> list[str]:
    return [layer[1] for layer in layers(notation_text(notation, sizes, 10))]


def test_the_notes_own_example() -> None:
    block = ["Convolution", "ReLU", "Convolution", "ReLU", "Pooling"]
    hidden = ["InnerProduct", "ReLU"]
    assert kinds(CS231N) == [*block * 3, *hidden * 2, "InnerProduct", "Softmax"]


def test_widths_double_and_sizes_halve() -> None:
    built = build(message(notation_text(CS231N, (3, 32, 32), 10)))
    assert not built.diagnostics
    shapes = [built.graph.values[f"pool{i}"].shape for i in (1, 2, 3)]
    assert shapes == [(1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4)]
    assert built.graph.values["prob"].shape == (1, 10)


def test_the_classes_are_a_parameter() -> None:
    text = notation_text("INPUT -> FC", (1, 8, 8), 7)
    assert build(message(text)).graph.values["scores"].shape == (1, 7)
    assert build(message(text, {"classes": 3})).graph.values["scores"].shape == (1, 3)


def test_it_is_written_in_canonical_form() -> None:
    text = format_text(Source("new.netc", notation_text(CS231N, (3, 32, 32), 10)))
    assert "  repeat 2 {\n    -> conv(" in text
    assert format_text(Source("new.netc", text)) == text


@pytest.mark.parametrize(
    ("notation", "types"),
    [
        ("FC", ["InnerProduct", "Softmax"]),
        ("input->fc->softmax", ["InnerProduct", "Softmax"]),
        ("INPUT -> [FC]*3", ["InnerProduct"] * 3 + ["Softmax"]),
        ("INPUT -> FC*2 -> DROP", ["InnerProduct"] * 2 + ["Dropout", "Softmax"]),
        ("INPUT -> CONV -> BN -> RELU -> FC",
         ["Convolution", "BatchNorm", "Scale", "ReLU", "InnerProduct", "Softmax"]),
        ("INPUT -> LRN -> TANH -> SIGMOID -> FC",
         ["LRN", "TanH", "Sigmoid", "InnerProduct", "Softmax"]),
    ],
)  # fmt: skip
def test_layers(notation: str, types: list[str]) -> None:
    assert kinds(notation) == types


@pytest.mark.parametrize(
    ("notation", "column", "part"),
    [
        ("INPUT -> CONW -> FC", 10, "`CONW` is no layer"),
        ("INPUT -> ", 10, "a layer is missing at the end"),
        ("", 1, "a layer is missing"),
        ("INPUT -> [CONV -> FC", 21, "`]` or `->` is missing"),
        ("INPUT CONV", 7, "`->` is missing"),
        ("INPUT -> FC*0", 13, "a number from 1"),
        ("INPUT -> FC*x", 13, "a number from 1"),
        ("INPUT -> FC*99999999999", 13, "a number from 1"),
        ("INPUT -> é", 10, "`é` is no layer"),
        ("INPUT -> FC -> CONV", 16, "behind FC"),
        ("FC -> INPUT", 7, "only at the start"),
        ("INPUT -> [CONV -> POOL]*6 -> FC", 19, "pool 6 halves"),
        ("INPUT -> [[[CONV]*999]*999]*999 -> FC", 13, "more than 1,000 layers"),
        ("[" * 100, 22, "nest deeper than 20"),
    ],
)
def test_faults(notation: str, column: int, part: str) -> None:
    with pytest.raises(NetcError) as caught:
        notation_text(notation, (3, 32, 32), 10)
    (found,) = caught.value.diagnostics
    assert part in found.message
    assert found.span and found.span.column == column


def test_a_net_without_scores_is_no_classifier() -> None:
    with pytest.raises(NetcError, match="no FC"):
        notation_text("INPUT -> CONV", (3, 8, 8), 10)


@given(st.text(alphabet="[]*?->23 CONVFCPOLRELUINPUT", max_size=60))
def test_any_text_gives_a_net_or_a_fault(notation: str) -> None:
    try:
        text = notation_text(notation, (3, 64, 64), 5)
    except NetcError:
        return
    assert build(message(text)).graph.outputs == ("prob",)
