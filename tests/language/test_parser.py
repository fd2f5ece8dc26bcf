"""Statements: text of the dialect to its tree, each with its place."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source, Span
from netc.language import tree
from netc.language.parser import parse_program


def parse(text: str) -> tuple[object, ...]:
    return tuple(parse_program(Source("t.netc", text)).statements)


def text_at(span: Span) -> str:
    return span.source.text[span.start : span.end]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("name: 'net'", [tree.FieldOf]),
        ("param n: int = 3", [tree.ParameterDeclaration]),
        ("let n = 3", [tree.Let]),
        ("y = x -> relu", [tree.Assign]),
        ("a, b = x -> m", [tree.Assign]),
        ("x -> relu", [tree.ChainStatement]),
        ("-> relu", [tree.ChainStatement]),
        ("module m(): x -> y { }", [tree.ModuleDefinition]),
        ("repeat 3 { }", [tree.Repeat]),
        ("for i in 0..3 { }", [tree.Repeat]),
        ("if true { } else { }", [tree.If]),
        ("phase TRAIN { }", [tree.PhaseBlock]),
        ("include 'm.netc'", [tree.Include]),
        ("input x: [1, 3, _, _]", [tree.Input]),
        ("expect x: [1, _]", [tree.Expect]),
        ("let a = 1 let b = 2", [tree.Let, tree.Let]),
        ("", []),
    ],
)
def test_statements_by_their_kinds(text: str, kinds: list[type]) -> None:
    assert [type(statement) for statement in parse(text)] == kinds


def test_a_module() -> None:
    (module,) = parse("module m(a: int = 1, b, c: [float]): x, y -> z, w { }")
    assert isinstance(module, tree.ModuleDefinition)
    assert module.name == "m"
    assert [(p.name, p.type, p.default is None) for p in module.parameters] == [
        ("a", "int", False),
        ("b", "", True),
        ("c", "[float]", True),
    ]


def test_a_loop_over_values_with_their_places() -> None:
    (loop,) = parse("repeat i, w in [8, 16] { -> conv(w) }")
    assert isinstance(loop, tree.Repeat)
    assert [name.name for name in loop.names] == ["i", "w"]
    assert isinstance(loop.over, tree.ListOf) and text_at(loop.over.span) == "[8, 16]"


def test_else_if_is_a_branch() -> None:
    (choice,) = parse("if a { } else if b { } else { }")
    assert isinstance(choice, tree.If) and len(choice.branches) == 2


def test_an_open_size_is_none() -> None:
    (found,) = parse("expect x: [1, _, n]")
    assert isinstance(found, tree.Expect)
    assert [size is None for size in found.shape.sizes] == [False, True, False]


def test_a_chains_steps_and_arguments() -> None:
    (run,) = parse("x -> conv(4, kernel_size: 3) -> relu")
    assert isinstance(run, tree.ChainStatement)
    first, second = run.chain.steps
    assert (first.name, second.name) == ("conv", "relu")
    assert [argument.name for argument in first.arguments] == ["", "kernel_size"]


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("let a 3", 1, 7, "`=` is missing"),
        ("module m x -> y { }", 1, 10, "`:` is missing behind `module m(...)`"),
        ("repeat i in { }", 1, 13, "a value is missing"),
        ("input x [1]", 1, 9, "`:` is missing"),
        ("repeat 2 {\n  param n = 1\n}", 2, 3, "only outside of all blocks"),
        ("x", 1, 1, "alone is no statement"),
    ],
)
def test_what_is_missing_is_told_where_it_is(text: str, line: int, column: int, part: str) -> None:
    with pytest.raises(NetcError) as caught:
        parse(f"{text}\nlet last = 1")
    found = caught.value.diagnostics[0]
    assert found.span is not None and found.code == "syntax"
    assert (found.span.line, found.span.column) == (line, column)
    assert part in found.message
