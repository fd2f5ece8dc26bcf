"""Formatter for texts of the dialect: tokens, comments and line breaks stay as they are.

The author decides where a line ends; spaces between tokens and indentation follow from rules:

* statements of a block are indented by two spaces more than the statement the block belongs to;
* what goes on inside parentheses is aligned with their first word, or indented by two spaces where
  the line ends at the parenthesis;
* an arrow that starts a line is aligned with the first arrow of its chain, unless it stood as far
  to the left as the chain itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Source
from netc.language.detect import in_dialect
from netc.language.parser import Parser
from netc.language.tokens import Token, scan
from netc.syntax.parser import parse_document
from netc.syntax.printer import print_document

_COMMENT = re.compile(r"#[^\r\n]*")
_STEP = 2
_FAR = 24  # an arrow further in than this has none under it
_KEYWORDS = {"in", "if", "else", "and", "or", "not", "for", "repeat", "as", "let", "expect"}
_TIGHT_BEFORE = {")", "]", ",", ":", ";", ".", "..", "..=", "..."}
_TIGHT_AFTER = {"(", "[", "${", ".", "..", "..="}
_CLOSERS = {")": "(", "]": "[", "}": "{"}


def format_text(source: Source) -> str:
    """A text in canonical form: plain prototxt one field a line, else as :func:`format_program`.

    Raises:
        NetcError: with every syntax error of the text.
    """
    if in_dialect(source):
        return format_program(source)
    return print_document(parse_document(source))


def format_program(source: Source) -> str:
    """A text of the dialect in canonical form.

    Raises:
        NetcError: with every syntax error of the text.
    """
    parser = Parser(source, 1 if source.text.startswith("\ufeff") else 0)
    parser.statements("")
    parser.check()
    words = list(_words(source.text))
    writer = _LineWriter(source, parser.starts, _block_edges(words))
    for word in words:
        writer.add(word)
    return writer.text()


class _Remark(NamedTuple):
    """A comment before a token; ``alone`` on its line, ``apart``: behind an empty line."""

    text: str
    alone: bool
    apart: bool


class _Word(NamedTuple):
    """A token with what stands before it."""

    token: Token
    remarks: tuple[_Remark, ...]
    apart: bool  # behind an empty line


def _words(text: str) -> Iterator[_Word]:
    last = 1 if text.startswith("\ufeff") else 0
    for token in scan(text, last):
        remarks, at = [], last
        for match in _COMMENT.finditer(text, last, token.start):
            gap = text[at : match.start()]
            alone = "\n" in gap or "\r" in gap or at == 0
            remarks.append(_Remark(match[0].rstrip(), alone, _empty_line(gap)))
            at = match.end()
        yield _Word(token, tuple(remarks), _empty_line(text[at : token.start]))
        last = token.end


def _empty_line(gap: str) -> bool:
    return len(re.findall(r"\r\n|\r|\n", gap)) > 1


def _block_edges(words: list[_Word]) -> set[int]:
    """Where lines must end: behind the ``{`` and before the ``}`` of a block of several lines."""
    found: set[int] = set()
    opened: list[int] = []
    for number, word in enumerate(words):
        if word.token.kind != "op":
            continue
        if word.token.text in ("{", "${"):
            opened.append(number)
        elif word.token.text == "}" and opened:
            first = opened.pop()
            within = words[first + 1 : number + 1]
            block = words[first].token.text == "{" and len(within) > 1
            if block and any(w.token.fresh or w.remarks for w in within):
                found |= {within[0].token.start, word.token.start}
    return found


def _spelling(token: Token) -> str:
    """A token's text; a plain string stands in double quotes."""
    inner = token.text[1:-1]
    plain = token.kind == "string" and not any(c in inner for c in '"\\$')
    return f'"{inner}"' if plain else token.text


@dataclass
class _Level:
    """An open bracket, or the text itself.

    Attributes:
        bracket: "(", "[", "{", "${", or "" for the text.
        inside: how far what goes on within it is indented.
        closing: how far its closing bracket is, where that starts a line.
        statement: how far the statement at hand is.
        arrow: where the first arrow of the chain at hand stands; -1 before any.
        column: where the statement at hand stood; -1 where that was not at the start of a line.
    """

    bracket: str = ""
    inside: int = 0
    closing: int = 0
    statement: int = 0
    arrow: int = -1
    column: int = -1


class _LineWriter:
    """Puts words into lines."""

    def __init__(self, source: Source, starts: set[int], edges: set[int]) -> None:
        self.source = source
        self.starts = starts
        self.edges = edges
        self.lines: list[str] = []
        self.line = ""
        self.levels = [_Level()]
        self.before: Token | None = None  # the word written last
        self.sign = False  # it was a minus that belongs to what follows

    def text(self) -> str:
        """All lines."""
        return "".join(f"{line.rstrip()}\n" for line in self.lines)

    def add(self, word: _Word) -> None:
        """Write a token and the comments before it."""
        token = word.token
        for remark in word.remarks:
            self._remark(remark, token)
        if token.kind == "end":
            self._flush()
            return
        if self._breaks(word):
            self._flush()
            if word.apart and self._may_be_apart(token):
                self.lines.append("")
            self.line = " " * self._indent(token)
        elif self.line.strip():
            self.line += self._gap(token)
        self._note(token)
        self.line += _spelling(token)
        self._open_or_close(token)
        self.before = token

    def _remark(self, remark: _Remark, token: Token) -> None:
        if not remark.alone and self.line.strip():
            self.line += f"  {remark.text}"
            self._flush()
            return
        self._flush()
        if remark.apart and self.lines and not self._opened():
            self.lines.append("")
        self.lines.append(" " * self._comment_indent(token) + remark.text)

    def _comment_indent(self, token: Token) -> int:
        if token.kind == "end" or token.text in _CLOSERS:
            return self.levels[-1].inside
        return self._indent(token)

    def _opened(self) -> bool:
        """Whether the last line opens a block."""
        return bool(self.lines) and self.lines[-1].endswith(("{", "(", "["))

    def _may_be_apart(self, token: Token) -> bool:
        return bool(self.lines) and not self._opened() and token.text not in _CLOSERS

    def _flush(self) -> None:
        if self.line.strip():
            self.lines.append(self.line)
        self.line = ""

    def _breaks(self, word: _Word) -> bool:
        """Whether a token starts a line."""
        if self.before is None or not self.line.strip():
            return True
        if word.token.text == "else" and self.before.text == "}":
            return False
        return word.token.fresh or word.token.start in self.edges

    def _indent(self, token: Token) -> int:
        level = self.levels[-1]
        if self.before is not None and self.before.text == level.bracket != "{":
            level.inside = level.closing + _STEP
        if token.start in self.starts:
            return level.inside
        if token.text in _CLOSERS and token.kind == "op":
            return level.closing
        if token.text == "->" and self._column(token) <= level.column:
            return level.statement
        if token.text == "->" and 0 <= level.arrow <= level.statement + _FAR:
            return level.arrow
        if level.bracket in ("(", "[", "${"):
            return level.inside
        return level.statement + _STEP

    def _gap(self, token: Token) -> str:
        """What stands between the last token and this one on a line."""
        last = self.before
        assert last is not None
        if self.sign or (last.kind == "op" and last.text in _TIGHT_AFTER):
            return ""
        if token.kind != "op":
            return " "
        if token.text in _TIGHT_BEFORE:
            return ""
        if token.text == "}":
            return "" if last.text == "{" or self.levels[-1].bracket == "${" else " "
        if token.text in ("(", "["):
            word = last.kind in ("name", "string") and last.text not in _KEYWORDS
            return "" if word or last.text in (")", "]") else " "
        return " "

    def _column(self, token: Token) -> int:
        """Where a token stood that starts a line."""
        return token.start - 1 - max(self.source.text.rfind(c, 0, token.start) for c in "\r\n")

    def _note(self, token: Token) -> None:
        """Keep what later lines are aligned with."""
        level = self.levels[-1]
        if token.start in self.starts:
            level.statement, level.arrow = level.inside, -1
            level.column = self._column(token) if token.fresh else -1
        if token.text == "->" and level.arrow < 0:
            level.arrow = len(self.line)
        elif token.text == "," and token.kind == "op":
            level.arrow = -1
        last = self.before
        operand = last is not None and (
            last.kind in ("int", "float", "string")
            or (last.kind == "name" and last.text not in _KEYWORDS)
            or last.text in (")", "]", "}")
        )
        self.sign = token.text == "-" and token.kind == "op" and not operand

    def _open_or_close(self, token: Token) -> None:
        if token.kind != "op":
            return
        if token.text in _CLOSERS and len(self.levels) > 1:
            self.levels.pop()
        elif token.text in ("(", "[", "{", "${"):
            self.levels.append(self._level(token.text))

    def _level(self, bracket: str) -> _Level:
        outer = self.levels[-1]
        indent = len(self.line) - len(self.line.lstrip())
        if bracket == "{":
            base = indent if outer.bracket in ("(", "[") else outer.statement
            return _Level(bracket, base + _STEP, base, base + _STEP)
        return _Level(bracket, len(self.line), indent, len(self.line))
