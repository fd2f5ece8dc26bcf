"""Text to tokens: one regular expression, made of the grammar's own terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from netc.syntax.tables import Tables, load_tables


@lru_cache(maxsize=1)
def scanner() -> re.Pattern[str]:
    """The expression whose matches are the tokens; ``lastindex`` is the terminal's number.

    White space and comments before a token belong to its match, not to its group. A character
    that starts no token is matched by the last group, which is no terminal.
    """
    return re.compile(token_pattern(load_tables()))


def token_pattern(tables: Tables) -> str:
    """The text of that expression."""
    groups = "|".join(f"({pattern})" for pattern in (*tables.patterns, r"\Z", r"[\s\S]"))
    return rf"(?:{tables.skipped})*(?:{groups})"


def tokens(text: str) -> Iterator[re.Match[str]]:
    """The tokens of a text, ``$END`` the last; a byte-order mark at the front is none."""
    return scanner().finditer(text, 1 if text.startswith("\ufeff") else 0)
