"""How many threads run a net on the host."""

from __future__ import annotations

import os

from netc.diagnostics import Diagnostic, NetcError


def thread_count(threads: int | None) -> int:
    """How many threads run a net: as asked, else ``NETC_NUM_THREADS``, else the machine's cores.

    Raises:
        NetcError: thread-count, where the number is not positive.
    """
    text = os.environ.get("NETC_NUM_THREADS", "") if threads is None else str(threads)
    if not text:
        return _cores()
    if not text.isdecimal() or int(text) < 1:
        raise NetcError(Diagnostic("thread-count", f"`{text}` is no number of threads"))
    return int(text)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows cannot tell
        return os.cpu_count() or 1
