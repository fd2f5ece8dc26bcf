"""Lists of pictures, a path and a label per line, as convert_imageset and ImageData read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import NetcError

LABELS = range(-(2**31), 2**31)  # Datum's `label` is an int32

_LABEL = re.compile(r"[+-]?[0-9]{1,20}")


class ListLine(NamedTuple):
    """A line of a list: its number from 1, blank lines counted, the path and the label."""

    number: int
    path: str
    label: int


def read_list(path: Path, bad: Callable[[str], NetcError]) -> list[ListLine]:
    """Read the lines of a list; blank lines are skipped.

    The label is after the last space or tab, so that paths may have spaces
    (tools/convert_imageset.cpp:75).

    Args:
        path: the list.
        bad: error message -> the NetcError to raise.

    Raises:
        NetcError: what ``bad`` makes, with the line's number.
    """
    with strangers_bytes(lambda error: bad(f"`{path}` cannot be read: {reason(error)}")):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    lines = enumerate(text.split("\n"), 1)
    return [_line(path, number, line, bad) for number, line in lines if line.strip()]


def _line(path: Path, number: int, line: str, bad: Callable[[str], NetcError]) -> ListLine:
    name, _, label = line.strip().replace("\t", " ").rpartition(" ")
    if not name.strip() or not _LABEL.fullmatch(label):
        raise bad(
            f"`{path}`: line {number} is no path with a label after it, which is a whole number: "
            f"{line[:80]!r}"
        )
    if int(label) not in LABELS:
        raise bad(
            f"`{path}`: line {number} has the label {label}, and labels are {LABELS[0]} to "
            f"{LABELS[-1]}"
        )
    return ListLine(number, line.strip()[: len(name)].rstrip(), int(label))
