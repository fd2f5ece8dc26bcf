"""How much memory there is, and the error for what would not fit in it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Span

# Where Linux tells the limit of a container: control groups of version 2, then of version 1.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def physical_memory() -> int | None:
    """Bytes of memory that this process may use, swap aside; None where nothing tells."""
    known = [size for size in (_machine(), *map(_limit, _LIMITS)) if size]
    return min(known, default=None)


def _machine() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _limit(path: str) -> int | None:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() else None


def check_memory(needed: int, what: str, span: Span | None = None, *help: str) -> None:
    """Refuse to allocate what no machine like this can hold.

    Args:
        needed: bytes.
        what: needs them, as the message's subject in the plural ("the weights").
        span: where it is asked for.
        help: what to do.

    Raises:
        NetcError: too-little-memory, with both numbers.
    """
    available = physical_memory()
    if available is not None and needed > available:
        raise too_little(what, needed, available, span, *help)


def too_little(
    what: str, needed: int, available: int, span: Span | None = None, *help: str
) -> NetcError:
    """The error for what does not fit; to be raised by the caller."""
    message = f"{what} need {_shown(needed)} of memory, and there are {_shown(available)}"
    return NetcError(Diagnostic("too-little-memory", message, span, help=help))


def _shown(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
