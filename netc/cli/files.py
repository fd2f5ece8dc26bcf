"""Files that commands write."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array


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
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file whole or not at all; any text may be an array's name.

    Raises:
        NetcError: cannot-write.
    """
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array)


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
        raise _cannot_write(path, target, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _cannot_write(path: Path, target: Path, error: OSError) -> NetcError:
    message = f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}"
    help: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
        help = (f"there is no folder `{path.parent}`",)
    return NetcError(Diagnostic("cannot-write", message, help=help))
