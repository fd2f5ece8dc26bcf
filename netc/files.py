"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of ``path`` when all went well.

    Raises:
        NetcError: cannot-write.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def cannot_write(path: Path, error: OSError) -> NetcError:
    """The error for what the system refuses to write; to be raised by the caller."""
    message = f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}"
    help: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError) and not Path(os.path.realpath(path)).parent.is_dir():
        help = (f"there is no folder `{path.parent}`",)
    return NetcError(Diagnostic("cannot-write", message, help=help))
