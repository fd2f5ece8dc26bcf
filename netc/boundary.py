"""Turns whatever a library raises on a damaged or hostile file into a NetcError.

Pillow, NumPy, zipfile, h5py, protobuf and LMDB raise whatever a damaged file drives them into:
`struct.error`, `tokenize.TokenError`, `LZMAError`, `AttributeError` ... No list of them is ever
complete, so every Exception is caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netc.diagnostics import NetcError
from netc.printable import printable

_LONGEST = 200  # characters that are told of what a library says


@contextmanager
def strangers_bytes(complaint: Callable[[Exception], NetcError]) -> Iterator[None]:
    """A context in which a library reads a file: what it raises becomes the error of ``complaint``.

    Args:
        complaint: the library's exception -> the NetcError to raise, naming the file and the place.

    Raises:
        NetcError: what ``complaint`` returns; a NetcError raised inside passes through unchanged.
    """
    try:
        yield
    except NetcError:
        raise
    except Exception as error:
        raise complaint(error) from None


def reason(error: Exception) -> str:
    """The first line of a library's error message, cut to a bounded length, for a diagnostic."""
    lines = str(error).strip().splitlines()
    text = printable(lines[0].strip()[:_LONGEST]) if lines else ""
    return text or type(error).__name__
