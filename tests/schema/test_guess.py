"""A net, a solver or a label map?"""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.schema.guess import check_kind, guess_message
from netc.schema.load import load_schema
from netc.syntax.ast import Document
from netc.syntax.parser import parse_document
from tests.schema.texts import place


def document(text: str) -> Document:
    return parse_document(Source("a.prototxt", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "NetParameter"),
        ("layr { }", "NetParameter"),
        ('name: "x"', "NetParameter"),
        ("debug_info: true", "NetParameter"),
        ('layers { layer { name: "x" } }', "NetParameter"),
        ('net: "a" base_lr: 1', "SolverParameter"),
        ("debug_info: true base_lr: 1", "SolverParameter"),
        ('item { name: "a" label: 0 }', "LabelMap"),
        ('name: "c" type: "ReLU" bottom: "a" top: "b"', "LayerParameter"),
        ("iter: 5 current_step: 1", "SolverState"),
    ],
)
def test_guess(text: str, expected: str) -> None:
    assert guess_message(document(text), load_schema()).name == expected


def refused(text: str, wanted: str = "NetParameter") -> tuple[tuple[str, int, int, str], str, str]:
    with pytest.raises(NetcError) as caught:
        check_kind(document(text), load_schema(), wanted)
    (diagnostic,) = caught.value.diagnostics
    return place(diagnostic), diagnostic.message, " ".join(diagnostic.help)


def test_a_solver_where_a_net_is_wanted() -> None:
    where, message, help = refused('debug_info: true\ntest_iter: 1\nnet: "dir/train.prototxt"')
    assert where == ("wrong-file", 2, 1, "test_iter")
    assert message == "this is a solver (SolverParameter), not a net (NetParameter)"
    assert help == "its net is in `dir/train.prototxt` (`net`): give that file"


@pytest.mark.parametrize(
    ("text", "help"),
    [
        (
            'train_net: "t.prototxt" base_lr: 1',
            "its net is in `t.prototxt` (`train_net`): give that file",
        ),
        (
            "net_param { } base_lr: 1",
            "its net stands inside, in `net_param { }`: write that to a file of its own",
        ),
        ("net: 3 base_lr: 1", ""),
    ],
)
def test_where_the_solver_s_net_is(text: str, help: str) -> None:
    assert refused(text)[2] == help


@pytest.mark.parametrize("text", ["", " \n\t\n", "# a comment\n  # another\n"])
def test_a_text_without_a_word_is_a_mistake(text: str) -> None:
    with pytest.raises(NetcError) as caught:
        check_kind(document(text), load_schema())
    (found,) = caught.value.diagnostics
    assert found.code == "empty-file" and "a net is expected" in found.message


def test_other_kinds() -> None:
    assert "a label map" in refused('item { name: "a" }')[1]
    assert refused('bottom: "a" top: "b"')[2] == "a net has its layers in `layer { ... }`"
    assert refused("layer { }", "SolverParameter")[1] == (
        "this is a net (NetParameter), not a solver (SolverParameter)"
    )


@pytest.mark.parametrize("text", ["layr { }", "layer { } base_lr: 1", "xyzzy: 1"])
def test_mistakes_in_a_net_are_left_to_binding(text: str) -> None:
    check_kind(document(text), load_schema())
