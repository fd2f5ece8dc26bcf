"""Untrusted text made safe to print: layer names, labels, file names, strings from files.

A name may hold a terminal escape sequence, a newline that forges an output line, or Unicode marks
that reverse the direction of the text after it. All of them are printed as escapes.
"""

from __future__ import annotations

from unicodedata import category, east_asian_width

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BYTES = range(0xDC80, 0xDD00)  # what surrogateescape makes of bytes that are no UTF-8


def printable(text: str) -> str:
    """The text on one line, each character that does not print as an escape: ``\\\\x1b``."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char.isprintable() or category(char) == "Zs":  # spaces of other scripts
        return char
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100 or code in _BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def csv_cell(value: object) -> object:
    """A CSV cell that no spreadsheet evaluates as a formula (CSV injection).

    Some spreadsheets strip leading blanks before they look for a formula, and some split cells at
    semicolons, where the decimal mark is a comma; both are covered.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    guarded = text[:1].isspace() or text[:1] in tuple("=+-@;'|%") or text != value
    return f"'{text}" if guarded else text


def width_of(text: str) -> int:
    """Columns of a terminal that a text takes; East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(1 + (east_asian_width(c) in "WF") for c in text)
