"""How messages name tokens and characters."""

from __future__ import annotations

import unicodedata

from netc.syntax.pieces import LocatedToken

_LONGEST = 40


def short(text: str) -> str:
    """A text in backticks, with unprintable characters escaped, shortened to 40 characters."""
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f"`{clean if len(clean) <= _LONGEST else clean[: _LONGEST - 3] + '...'}`"


def shown(piece: LocatedToken) -> str:
    """A token as a message names it."""
    return short(piece.text) if piece.terminal != "$END" else "the end of the text"


def character(text: str) -> str:
    """A character for messages: in backticks if printable ASCII, else code point and name."""
    first = text[0]
    if first.isascii() and first.isprintable():
        return short(text)
    name = unicodedata.name(first, "")
    return f"U+{ord(first):04X}" + (f" ({name.lower()})" if name else "")
