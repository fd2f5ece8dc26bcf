"""Lints: notes on what is legal and probably a mistake; each can be switched off by its code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from netc.analysis.lint import training, windows, wiring
from netc.analysis.lint.rule import LintedNet, LintRule
from netc.diagnostics import Diagnostic, Note
from netc.ir.graph import Graph
from netc.schema.message import Message

RULES: tuple[LintRule, ...] = (*windows.RULES, *training.RULES, *wiring.RULES)
CODES: Mapping[str, str] = {rule.code: rule.summary for rule in RULES}

__all__ = ["CODES", "RULES", "LintRule", "LintedNet", "folded", "lint"]


def lint(
    graph: Graph,
    messages: Mapping[str, Message],
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
) -> tuple[Diagnostic, ...]:
    """The lints' notes on a net, in the order of its text.

    Args:
        graph: before passes, with shapes as far as they are known.
        messages: node name -> its layer as it was written.
        only: codes; all if there are none.
        without: codes that are left out.
    """
    wanted = {code for code in only or CODES if code not in without}
    checks = dict.fromkeys(rule.check for rule in RULES if rule.code in wanted)
    subject = LintedNet(graph, messages)
    found = (note for check in checks for note in check(subject) if note.code in wanted)
    return tuple(sorted(found, key=_position))


def _position(note: Diagnostic) -> tuple[str, int]:
    return (note.span.source.name, note.span.start) if note.span else ("", -1)


def folded(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Diagnostics with the lint notes of one code joined into one where there are more than two."""
    by_code: dict[str, list[Diagnostic]] = {}
    for diagnostic in found:
        by_code.setdefault(diagnostic.code, []).append(diagnostic)
    many = {c: g for c, g in by_code.items() if c in CODES and len(g) > _FEW}
    out = []
    for diagnostic in found:
        group = many.get(diagnostic.code)
        if group is None:
            out.append(diagnostic)
        elif group[0] is diagnostic:
            out.append(_fold(group))
    return out


_FEW = 2  # notes of one code that are told one by one
_SHOWN = 5  # of more, that are told in the first one's notes


def _fold(group: Sequence[Diagnostic]) -> Diagnostic:
    first, *others = group
    shown = others if len(others) <= _SHOWN + 1 else others[:_SHOWN]
    notes = [Note(f"also {other.message}", other.span) for other in shown]
    if len(shown) < len(others):
        notes.append(Note(f"and {len(others) - len(shown)} more like these (--all tells each)"))
    return replace(first, notes=(*first.notes, *notes))
