"""The lexer of texts with errors: its tokens include what is no legal token.

The fast lexer knows legal tokens only. This one also knows what people write where no token can
stand: a placeholder, a C comment, a conflict marker, a string without its end. It is used only
where the fast parser has failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from netc.syntax import foreign
from netc.syntax.tables import load_tables

OPENERS = {"LBRACE": "}", "LESSTHAN": ">"}
CLOSERS = {"RBRACE", "MORETHAN"}
SCALARS = {"IDENTIFIER", "NONFINITE", "STRING", "INTEGER", "FLOAT"}

PLACEHOLDER = r"\$\#[^#\r\n]{1,200}\#\$|\$\{[^{}\r\n]*\}|\$[A-Za-z_]\w*|\{\{[^{}\r\n]*\}\}"
"""The four spellings: ``$#NAME#$``, ``${NAME}``, ``$NAME``, ``{{ NAME }}``."""

_BEFORE = {  # legal tokens could be read out of these, so they are tried first
    "CONFLICT": r"(?m:^)(?:<{7}|={7}|>{7}|\|{7})(?![<=>|])[^\r\n]*",
    "COMMENT": r"/\*(?:[\s\S]*?\*/|[\s\S]*)|(?<!:)//[^\r\n]*",
    "TEMPLATE": r"\{%[^\r\n]{0,400}?%\}",
    "PLACE": PLACEHOLDER,
}
_SIGNS = re.escape("".join(foreign.SIGNS))
_AFTER = {
    "CURLY": foreign.QUOTED,
    "BLANK": f"[{foreign.BLANKS}]+",
    "FOREIGN": foreign.ONE.pattern,
    "UNTERMINATED": r"""["'][^\r\n]*""",
    "NUMBER": r"[+-]?\.?[0-9][0-9A-Za-z_.]*(?:(?<=[eE])[+-][0-9A-Za-z_.]*)?",
    "END": r"\Z",
    "OTHER": rf"""[^\s0-9A-Za-z_"'{{}}<>\[\]:,;#$.\-/={foreign.BLANKS}{_SIGNS}]+|[\s\S]""",
}
_SPECIAL = {"END": "$END", "OTHER": "$OTHER"}


class LocatedToken:
    """A token that need not come from a match, with a match's interface for ``build.Builder``.

    Attributes:
        terminal: the name of a terminal of the grammar, or of a lexical error.
        unknown: whether it stands for a placeholder without a value.
        lastindex: the terminal's number in the tables.
    """

    __slots__ = ("begin", "lastindex", "stop", "terminal", "text", "unknown")

    def __init__(
        self, terminal: str, text: str, begin: int, stop: int, unknown: bool = False
    ) -> None:
        numbers = _numbers()
        self.terminal = terminal
        self.text = text
        self.begin = begin
        self.stop = stop
        self.unknown = unknown
        self.lastindex = numbers.get(terminal, len(numbers))

    def __getitem__(self, _group: int) -> str:
        return self.text

    def span(self, _group: int = 0) -> tuple[int, int]:
        """First and last offset."""
        return self.begin, self.stop

    def start(self, _group: int = 0) -> int:
        """Offset of the first character."""
        return self.begin

    def end(self, _group: int = 0) -> int:
        """Offset behind the last character."""
        return self.stop


def terminal_number(name: str) -> int:
    """A terminal's number in the tables; a number that no token has for a name that is none."""
    return _numbers().get(name, len(_numbers()))


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    names = load_tables().terminals
    return {name: number for number, name in enumerate(names) if name != "$OTHER"}


def pieces(text: str) -> Iterator[LocatedToken]:
    """The tokens of a text, illegal ones included, ``$END`` the last."""
    for match in _scanner().finditer(text, 1 if text.startswith("\ufeff") else 0):
        name = match.lastgroup or "OTHER"
        start, end = match.span(name)
        yield LocatedToken(_SPECIAL.get(name, name), match[name], start, end)


@lru_cache(maxsize=1)
def _scanner() -> re.Pattern[str]:
    tables = load_tables()
    legal = dict(zip(tables.terminals[1:], tables.patterns, strict=False))
    groups = "|".join(f"(?P<{n}>{p})" for n, p in {**_BEFORE, **legal, **_AFTER}.items())
    return re.compile(rf"(?:{tables.skipped})*(?:{groups})")
