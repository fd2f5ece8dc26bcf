"""Lints of texts, as (code, line, column, what stands there)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from netc.analysis.lint import lint
from netc.diagnostics import Diagnostic, Source
from netc.frontend import build, read_net


class Found(NamedTuple):
    """A note and the text it points at."""

    code: str
    line: int
    column: int
    text: str


def notes(net: Path | str, phase: str = "TEST") -> tuple[Diagnostic, ...]:
    built = build(
        read_net(net if isinstance(net, Path) else Source("net.prototxt", net)).message,
        phase=phase,
    )
    return lint(built.graph, built.messages)


def found(net: Path | str, phase: str = "TEST") -> list[Found]:
    out = []
    for note in notes(net, phase):
        assert note.severity == "note"
        assert note.span is not None
        out.append(Found(note.code, note.span.line, note.span.column, note.span.text))
    return out


def data(height: int, width: int = 0, channels: int = 3) -> str:
    """An input on a line of its own, which is line 1."""
    return (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: '
        f"{channels} dim: {height} dim: {width or height} }} }} }}\n"
    )
