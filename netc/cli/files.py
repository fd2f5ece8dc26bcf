"""Files that commands write."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError
from netc.files import cannot_write, keeping, replacing, target_of
from netc.numeric import np

if TYPE_CHECKING:
    from netc.ir.graph import Array

# The options that name files to be written; some are plain switches in other commands.
OUTPUTS = ("output", "save", "draw", "weights_output", "csv", "json", "log", "plot")

# Tables that are written when all else is done, maybe after days.
_AT_THE_END = ("csv", "json", "log", "plot")


def add_force_argument(parser: argparse.ArgumentParser) -> None:
    """``--force`` of a command that writes files; what its options name is overwritten anyway."""
    named = (action for action in parser._actions if action.dest in OUTPUTS)
    if any(action.metavar not in (None, "BLOB") for action in named):
        parser.add_argument(
            "--force", action="store_true", help="overwrite even a file that this command reads"
        )


@contextmanager
def guarded(args: argparse.Namespace) -> Iterator[None]:
    """A context that keeps a command from overwriting the files it reads, unless ``--force``.

    The files that its options name for writing are checked before anything is done.

    Raises:
        NetcError: not-a-file, overwrites-input, cannot-write.
    """
    given = vars(args).items()
    inputs = [] if getattr(args, "force", False) else [v for k, v in given if k not in OUTPUTS]
    with keeping(_texts(inputs)):
        for name, value in given:
            if name in OUTPUTS and isinstance(value, (str, Path)) and str(value) != "-":
                target = target_of(Path(value))
                if name in _AT_THE_END:
                    _check_place(Path(value), target)
        yield


def _check_place(path: Path, target: Path) -> None:
    """Complain of a folder that is not there before the work, not after it.

    Raises:
        NetcError: cannot-write.
    """
    if target.is_dir():
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, "is a directory"))
    if not target.parent.is_dir():
        raise cannot_write(path, FileNotFoundError(errno.ENOENT, "no such file or directory"))


def _texts(value: object) -> Iterator[str]:
    """Every text in an argument that may be a file's path, also behind an equals sign."""
    if isinstance(value, (str, Path)):
        yield str(value)
        yield str(value).partition("=")[2]
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


def check_weights_target(target: Path, args: argparse.Namespace) -> None:
    """Complain where new weights may not go.

    Trained weights are precious: a file that no option names is not overwritten.

    Raises:
        NetcError: file-exists; of ``target_of``.
    """
    target_of(target)
    if target.exists() and not (args.force or args.weights_output):
        message = f"`{target}`, where the new weights would go, exists and is not overwritten"
        help = "name another with --weights-output, or give --force to overwrite it"
        raise NetcError(Diagnostic("file-exists", message, help=(help,)))


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
    import zipfile

    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array)
