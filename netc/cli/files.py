"""Files that commands write."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError


def check_free(path: Path, *, force: bool) -> None:
    """Make sure that writing a file replaces none, unless that is wanted.

    Raises:
        NetcError: file-exists.
    """
    if not force and path.exists():
        raise NetcError(
            Diagnostic(
                "file-exists",
                f"`{path}` exists and is not overwritten",
                help=("give --force to overwrite it",),
            )
        )


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; what was read with undecodable bytes keeps them.

    Raises:
        NetcError: cannot-write.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        os.replace(temporary, target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"`{path}` cannot be written: {reason}"
        raise NetcError(Diagnostic("cannot-write", message)) from None
    finally:
        with suppress(OSError):
            temporary.unlink()
