"""Colours a text by a TextMate grammar, as editors do: line by line, the first match wins.

Only what the grammars of ``docs/editor/`` use: ``match``, ``begin`` and ``end``, ``captures``,
``include`` of the repository; expressions that Python's ``re`` takes as well.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

Rule = dict[str, Any]
Scopes = tuple[str, ...]


class Open(NamedTuple):
    """A rule with ``begin`` whose ``end`` has not come yet."""

    rule: Rule
    scopes: Scopes


class Grammar:
    """A grammar read from its file."""

    def __init__(self, path: Path) -> None:
        self.root: Rule = json.loads(path.read_text(encoding="utf-8"))
        self.repository: dict[str, Rule] = self.root["repository"]

    def colour(self, text: str) -> list[Scopes]:
        """The scopes of each character; none for one that no rule takes."""
        found: list[Scopes] = []
        stack = [Open(self.root, ())]
        for line in text.splitlines(keepends=True):
            found += self._line(line, stack)
        return found

    def _line(self, line: str, stack: list[Open]) -> list[Scopes]:
        found: list[Scopes] = [()] * len(line)
        at = 0
        while at <= len(line):
            rule, match = self._first(line, at, stack[-1])
            if match is None:
                _paint(found, at, len(line), stack[-1].scopes)
                break
            _paint(found, at, match.start(), stack[-1].scopes)
            at = self._enter(found, stack, rule, match)
            if match.end() == match.start() and rule is not None:
                raise AssertionError(f"`{rule}` matches nothing at all")
        return found

    def _first(self, line: str, at: int, open: Open) -> tuple[Rule | None, re.Match[str] | None]:
        """The rule that matches first; None for the open rule's end, which goes before others."""
        best: tuple[Rule | None, re.Match[str] | None] = (None, None)
        if "end" in open.rule:
            best = (None, compiled(open.rule["end"]).search(line, at))
        for rule in self._flat(open.rule["patterns"]):
            match = compiled(rule.get("match") or rule["begin"]).search(line, at)
            if match and (best[1] is None or match.start() < best[1].start()):
                best = (rule, match)
        return best

    def _flat(self, patterns: list[Rule]) -> list[Rule]:
        """The rules themselves, in order."""
        found = []
        for rule in patterns:
            named = self.repository[rule["include"][1:]] if "include" in rule else rule
            inner = "patterns" in named and "begin" not in named
            found += self._flat(named["patterns"]) if inner else [named]
        return found

    def _enter(
        self, found: list[Scopes], stack: list[Open], rule: Rule | None, match: re.Match[str]
    ) -> int:
        """Colour a match and open or close what it opens or closes; where to go on."""
        inner = stack[-1].scopes
        if rule is None:
            _captured(found, match, inner, stack[-1].rule.get("endCaptures", {}))
            stack.pop()
        elif "begin" in rule:
            inner = (*inner, rule["name"]) if "name" in rule else inner
            _captured(found, match, inner, rule.get("beginCaptures", {}))
            stack.append(Open(rule, inner))
        else:
            inner = (*inner, rule["name"]) if "name" in rule else inner
            _captured(found, match, inner, rule.get("captures", {}))
        return match.end()


def _paint(found: list[Scopes], start: int, end: int, scopes: Scopes) -> None:
    found[start:end] = [scopes] * (end - start)


def _captured(found: list[Scopes], match: re.Match[str], scopes: Scopes, captures: Rule) -> None:
    _paint(found, match.start(), match.end(), scopes)
    for number, capture in captures.items():
        start, end = match.span(int(number))
        if start >= 0:
            _paint(found, start, end, (*scopes, *capture["name"].split()))


@lru_cache(maxsize=1000)
def compiled(expression: str) -> re.Pattern[str]:
    """An expression of a grammar."""
    return re.compile(expression)
