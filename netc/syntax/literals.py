"""The values of literals: of quoted strings and numbers."""

from __future__ import annotations

import re

ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})"
    r"|([abfnrtv\\'\"?])|([\s\S]))"
)
"""One escape; the groups are octal, hex byte, two widths of code point, simple, and bad."""

_SIMPLE = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "\\": b"\\", "'": b"'", '"': b'"', "?": b"?",
}  # fmt: skip
_HIGHEST = 0x10FFFF


class BadEscapeError(ValueError):
    """An illegal escape in a string; ``start`` and ``end`` are its offsets in the literal."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        super().__init__(start, end)


def encode(text: str) -> bytes:
    """The bytes a text was read from: UTF-8, and bytes that were not UTF-8 as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: such text came from no file
        return text.encode("utf-8", "surrogatepass")


def string_value(literal: str) -> bytes:
    """The bytes of a quoted string, its escapes replaced.

    Raises:
        BadEscapeError: with the place of an illegal escape.
    """
    body = literal[1:-1]
    if "\\" not in body:
        return body.encode() if body.isascii() else encode(body)
    parts: list[bytes] = []
    at = 0
    for match in ESCAPE.finditer(body):
        parts.append(encode(body[at : match.start()]))
        parts.append(_escape(match))
        at = match.end()
    parts.append(encode(body[at:]))
    return b"".join(parts)


def _escape(match: re.Match[str]) -> bytes:
    octal, byte, short, long, simple, _bad = match.groups()
    if simple is not None:
        return _SIMPLE[simple]
    number = int(octal, 8) if octal else int(byte or short or long or "-1", 16)
    if octal or byte:
        if number <= 0xFF:
            return bytes((number,))
    elif 0 <= number <= _HIGHEST and not 0xD800 <= number <= 0xDFFF:
        return chr(number).encode()
    raise BadEscapeError(match.start() + 1, match.end() + 1)


def integer_value(literal: str) -> int:
    """The value of an integer: ``0x`` is hexadecimal, another leading ``0`` octal."""
    digits = literal.lstrip("-")
    if len(digits) > 1 and digits[0] == "0":
        value = int(digits, 16) if digits[1] in "xX" else int(digits, 8)
        return -value if literal[0] == "-" else value
    return int(literal)


def float_value(literal: str) -> float:
    """The value of a number with a point, an exponent, or an ``f`` behind it, and of ``inf``."""
    try:
        return float(literal)
    except ValueError:
        return float(literal[:-1])
