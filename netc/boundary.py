"""The boundary round each library that reads strangers' bytes.

Pillow, NumPy, zipfile, h5py, protobuf and LMDB raise whatever a damaged file drives them into:
`struct.error`, `tokenize.TokenError`, `LZMAError`, `AttributeError` ... No list of them is ever
complete, so that a list is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netc.diagnostics import NetcError
from netc.printable import printable

_LONGEST = 200  # characters that are told of what a library says


@contextmanager
def strangers_bytes(told: Callable[[Exception], NetcError]) -> Iterator[None]:
    """Let one library read a file: whatever it raises becomes the error that ``told`` makes of it.

    Args:
        told: what the library raised -> the error, with the file and where in it.

    Raises:
        NetcError: as ``told`` says; those raised inside pass through.
    """
    try:
        yield
    except NetcError:
        raise
    except Exception as error:
        raise told(error) from None


def reason(error: Exception) -> str:
    """What a library says, as a part of a sentence: its first line, of bounded length."""
    lines = str(error).strip().splitlines()
    text = printable(lines[0].strip()[:_LONGEST]) if lines else ""
    return text or type(error).__name__
