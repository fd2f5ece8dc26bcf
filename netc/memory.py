"""The memory budget: one limit, checked before anything large is allocated. Sizes are bytes.

Every allocation whose size depends on a file's contents checks the current budget first: weights
and unpacked archives, fed arrays and images, a plan's arena, scratch memory and packed weights,
temporaries of reference definitions. A :class:`Budget` with a limit counts what is held; one
without is a share of the memory that is free at that moment.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Span

SHARE = 0.8  # of what is free, by default
VARIABLE = "NETC_MAX_MEMORY"
SMALL = 1 << 20  # bytes; what is smaller is not asked for

# Linux: a container's limit and what it uses; control groups of version 2, then of version 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
_CACHES = ("/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory/memory.stat")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


class Budget:
    """A limit of memory.

    Args:
        limit: the most bytes held at a time; None for a share of the memory that is free.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._held = 0
        self._measured = self._since = 0  # what was free at the last look, what was asked since
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes that are held and not yet given back."""
        return self._held

    def available(self) -> int | None:
        """Bytes that may still be allocated; None where the system does not report free memory."""
        if self.limit is not None:
            return max(0, self.limit - self._held)
        free = free_memory()
        return None if free is None else int(SHARE * free)

    def ask(self, needed: int, what: str, span: Span | None = None, *help: str) -> None:
        """Check that an allocation fits into what is left; nothing is counted.

        Args:
            needed: bytes.
            what: what needs them, the message's subject in the plural ("the weights").
            span: where it is asked for.
            help: what the user can do.

        Raises:
            NetcError: too-little-memory, with both numbers.
        """
        if needed <= SMALL or self._surely(needed):
            return
        available = self.available()
        if available is not None and needed > available:
            gc.collect()  # nets refer to themselves: those that nobody has any more are still held
            available = self.available()
        if available is not None and needed > available:
            raise too_little(what, needed, available, span, *help, self._described())

    def _surely(self, needed: int) -> bool:
        """Whether a look at what is free can be spared: it takes as long as filling 1 MiB."""
        if self.limit is not None:
            return False
        with self._lock:
            self._since += needed
            if 8 * self._since > self._measured:
                self._measured, self._since = free_memory() or 0, needed
            return 8 * self._since <= self._measured

    def hold(self, size: int, owner: object) -> None:
        """Count ``size`` bytes as held until ``owner`` is garbage-collected."""
        if self.limit is None:  # what is free tells it
            return
        with self._lock:
            self._held += size
        weakref.finalize(owner, self._give_back, size)

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._held -= size

    def _described(self) -> str:
        if self.limit is None:
            return (
                f"{SHARE:.0%} of what is free may be taken; `--max-memory`, {VARIABLE} or "
                "`max_memory=` allows more"
            )
        limit = shown(self.limit)
        return f"the limit is {limit}, set by `--max-memory`, {VARIABLE} or `max_memory=`"

    def __deepcopy__(self, memo: object) -> Budget:
        return Budget(self.limit)

    def __reduce__(self) -> tuple[type[Budget], tuple[int | None]]:
        return Budget, (self.limit,)


_current: ContextVar[Budget | None] = ContextVar("netc_budget", default=None)
_FREE = Budget()


def budget() -> Budget:
    """The current budget: of :func:`using`, else ``NETC_MAX_MEMORY``, else a share of what is free.

    Raises:
        NetcError: bad-argument, where the variable is no size.
    """
    chosen = _current.get()
    if chosen is not None:
        return chosen
    text = os.environ.get(VARIABLE, "")
    return _named(text) if text else _FREE


@cache
def _named(text: str) -> Budget:
    return Budget(size_of(text, VARIABLE))


@contextmanager
def using(chosen: Budget | None) -> Iterator[None]:
    """A context in which this is the current budget (per thread); None changes nothing."""
    if chosen is None:
        yield
        return
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)


def budget_of(size: int | str | Budget | None, name: str = "max_memory") -> Budget | None:
    """A :class:`Budget` from an argument, sizes as for :func:`size_of`; None for None.

    Raises:
        NetcError: bad-argument, where it is no size; ``name`` is the argument's name.
    """
    if size is None or isinstance(size, Budget):
        return size
    return Budget(size_of(size, name))


def size_of(size: int | str, name: str) -> int:
    """Bytes: a positive number, or a text such as "2GB", "512 MiB" or "1.5G" (powers of 1024).

    Raises:
        NetcError: bad-argument.
    """
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    number = size if isinstance(size, int) and not isinstance(size, bool) else 0
    if match:
        number = int(float(match[1]) * _UNITS[match[2].upper()])
    if number < 1:
        message = f"`{name}` is a size such as 2GB or 512MB, not {size!r}"
        raise NetcError(Diagnostic("bad-argument", message))
    return number


def check_memory(needed: int, what: str, span: Span | None = None, *help: str) -> None:
    """:meth:`Budget.ask` of the current budget.

    Raises:
        NetcError: too-little-memory, with both numbers.
    """
    budget().ask(needed, what, span, *help)


def too_little(
    what: str, needed: int, available: int, span: Span | None = None, *help: str
) -> NetcError:
    """A ``too-little-memory`` error with both numbers; to be raised by the caller."""
    message = f"{what} need {shown(needed)} of memory, and there are {shown(available)}"
    return NetcError(Diagnostic("too-little-memory", message, span, help=help))


@contextmanager
def on_behalf(what: str, span: Span | None = None) -> Iterator[None]:
    """A context that puts ``what`` before the message of a too-little-memory error inside.

    A MemoryError becomes such an error too.

    Raises:
        NetcError: too-little-memory.
    """
    try:
        yield
    except NetcError as error:
        named = [_named_as(d, what, span) for d in error.diagnostics]
        if named == list(error.diagnostics):
            raise
        raise NetcError(named) from None
    except MemoryError as error:
        message = f"{what}: the memory did not suffice: {error}".rstrip(": ")
        raise NetcError(Diagnostic("too-little-memory", message, span)) from None


def _named_as(diagnostic: Diagnostic, what: str, span: Span | None) -> Diagnostic:
    if diagnostic.code != "too-little-memory" or diagnostic.span is not None:
        return diagnostic
    return replace(diagnostic, message=f"{what}: {diagnostic.message}", span=span)


def shown(size: int) -> str:
    """Bytes in binary units: ``1.5 GiB``, ``12.0 MiB``."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


# What the machine has


def free_memory() -> int | None:
    """Bytes this process may still allocate without swap: the least of several limits.

    They are the machine's available memory, the cgroup's limit and ``ulimit -v``; None where the
    system reports none of them.
    """
    known = (_available(), *map(_group_room, _GROUPS, _CACHES), _address_room())
    return min((size for size in known if size is not None), default=None)


def _available() -> int | None:
    """What the machine has to give: Linux tells it, elsewhere all of its memory is taken for it."""
    kilobytes = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if kilobytes:
        return int(kilobytes[1]) << 10
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return _windows_available()


def _windows_available() -> int | None:
    if sys.platform != "win32":
        return None
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in "total free page page_free virtual v e".split()
        ]

    status = Status(length=ctypes.sizeof(Status))
    done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.free) if done else None


def _group_room(group: tuple[str, str], cache_file: str) -> int | None:
    """What a container's limit leaves; file pages that it may drop count as free."""
    limit, used = map(_number, group)
    if limit is None or used is None:
        return None
    droppable = re.search(r"^(?:total_)?inactive_file (\d+)$", _read(cache_file), re.MULTILINE)
    return max(0, limit - used + (int(droppable[1]) if droppable else 0))


def _address_room() -> int | None:
    """What a limit of the process's addresses (``ulimit -v``) leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"))


def _number(path: str) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
