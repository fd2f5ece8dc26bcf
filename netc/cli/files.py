"""Files that commands write."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
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
