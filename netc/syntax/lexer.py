"""The lexer: one regular expression, made of the grammar's own terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from netc.syntax.tables import ParserTables, load_tables

SIMPLE = ("", "", "string", "identifier", "integer", "float", "block")
"""What the group of a simple field is: none, its name, a value of this kind, a block's brace."""


@lru_cache(maxsize=1)
def scanner() -> re.Pattern[str]:
    """The expression whose matches are the tokens; ``lastindex`` is the terminal's number.

    White space and comments before a token belong to its match, not to its group. A character
    that starts no token is matched by the last group, which is no terminal.
    """
    return re.compile(_pattern(load_tables(), ""))


@lru_cache(maxsize=1)
def simple_scanner() -> re.Pattern[str]:
    """The same, with fields such as ``name: "conv1"``, and ``layer {``, as one match each.

    ``lastindex`` below ``len(SIMPLE)`` is the value's kind there, and the name is group 1; that of
    a token is higher than its terminal's number by ``len(SIMPLE) - 1``. A value ends in white space
    or a brace, and behind it comes a name or a closing brace on whatever line: nothing then can be
    a part of it, so that it is what the tokens would make.
    """
    tables = load_tables()
    known = dict(zip(tables.terminals[1:], tables.patterns, strict=False))
    name = f"(?!{known['NONFINITE']})({known['IDENTIFIER']})"
    kinds = (known["STRING"], known["IDENTIFIER"], known["INTEGER"], known["FLOAT"])
    values = "|".join(f"({kind})" for kind in kinds)
    value = rf"(?!{known['NONFINITE']})(?:{values})(?=[\s}}])(?=\s*[A-Za-z_}}])"
    return re.compile(_pattern(tables, rf"{name}[ \t]*(?::[ \t]*{value}|(\{{))|"))


def _pattern(tables: ParserTables, first: str) -> str:
    groups = "|".join(f"({pattern})" for pattern in (*tables.patterns, r"\Z", r"[\s\S]"))
    return rf"(?:{tables.skipped})*(?:{first}{groups})"


def tokens(text: str) -> Iterator[re.Match[str]]:
    """The tokens of a text as matches, ``$END`` the last; a leading byte-order mark is skipped."""
    return scanner().finditer(text, _begin(text))


def tokens_and_fields(text: str) -> Iterator[re.Match[str]]:
    """As :func:`tokens`, but by :func:`simple_scanner`, so that a simple field is one match."""
    return simple_scanner().finditer(text, _begin(text))


def _begin(text: str) -> int:
    return 1 if text.startswith("\ufeff") else 0
