"""Text of strangers made fit for a terminal: layer names, labels, file names, what files say.

A name may hold an escape sequence that retitles a terminal or clears it, a newline that forges the
next line, or marks that turn the direction of what follows. All of them are written as escapes.
"""

from __future__ import annotations

from unicodedata import category

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
    """A cell of CSV that a spreadsheet shows as it is, and takes for no formula.

    Some leave blanks away before they look for one, and a semicolon parts cells where the decimal
    mark is a comma.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    guarded = text[:1].isspace() or text[:1] in tuple("=+-@;'|%") or text != value
    return f"'{text}" if guarded else text
