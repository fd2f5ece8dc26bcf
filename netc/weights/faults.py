"""Errors about binary files: they name the path and the byte offset of the fault."""

from __future__ import annotations

from netc.diagnostics import Diagnostic, NetcError


def fault(code: str, path: str, message: str, *help: str, at: int | None = None) -> NetcError:
    """A NetcError about a file, to be raised by the caller; ``at`` is a byte offset."""
    place = f"{path}: " if at is None else f"{path}: at byte {at:,}: "
    return NetcError(Diagnostic(code, place + message, help=help))


def malformed(path: str, at: int, message: str) -> NetcError:
    """A ``malformed-weights`` error: the file breaks the protobuf wire format at byte ``at``."""
    return fault(
        "malformed-weights",
        path,
        message,
        "the file is damaged or no caffemodel; download it again and compare its checksum",
        at=at,
    )


def truncated(path: str, at: int, missing: int, what: str) -> NetcError:
    """A ``truncated-weights`` error: the record at byte ``at`` lacks ``missing`` bytes."""
    return fault(
        "truncated-weights",
        path,
        f"the file ends too early: {what} needs at least {missing:,} more bytes",
        "the download was cut off; download the file again",
        at=at,
    )
