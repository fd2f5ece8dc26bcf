"""Bytes as a quoted string of protobuf's text format."""

from __future__ import annotations

import re

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_PLAIN = re.compile(r"[ !#-\[\]-~]*\Z")


def quote(value: bytes) -> str:
    """A double-quoted string that is parsed back to these bytes.

    Readable UTF-8 stands as it is; control characters and bytes that are not UTF-8 are octal
    escapes of three digits, so that a digit behind them is not taken for a part of them.
    """
    text = value.decode("utf-8", "surrogateescape")
    if _PLAIN.match(text):
        return f'"{text}"'
    return '"' + "".join(map(_character, text)) + '"'


def _character(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
