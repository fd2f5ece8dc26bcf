"""Paths written in a text: followed only within the text's folder, unless the user allows others.

Otherwise an untrusted net could name any file of the machine and leak its content in its outputs.
Programs are found here too: never in the current folder.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from netc.diagnostics import Diagnostic, NetcError, Span


def installed_program(name: str) -> str | None:
    """The absolute path of a program, looked for in the absolute folders of ``PATH`` alone.

    One that lies in the current folder may be a stranger's.
    """
    folders = filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = shutil.which(name, path=os.pathsep.join(folders))
    return found if found is not None and os.path.isabs(found) else None


class OutsideError(Exception):
    """A path in a text is refused; ``help`` has lines on what to do."""

    def __init__(self, message: str, *help: str) -> None:
        super().__init__(message)
        self.help = help


class AbsentError(OutsideError):
    """The path stays within the folder, but no file is there."""


def within(text: str, folder: Path | None, root: Path | None, what: str) -> Path:
    """Resolve a path written in a text to a file below ``root``.

    Args:
        text: the path as written, relative, with ``/`` between its parts and no ``..``.
        folder: the folder it is relative to; None where the text is from no file.
        root: the folder it must stay in, symbolic links followed.
        what: what names the path, for the message: "include".

    Raises:
        OutsideError: the path is malformed, or leads out of ``root``.
        AbsentError: there is no regular file.
    """
    parts = PurePosixPath(text).parts
    if root is None or folder is None:
        raise OutsideError(f"this text is from no file, so that there is no folder for an {what}")
    if not text or "\0" in text or "\\" in text or not parts:
        raise OutsideError(f"`{text[:80]}` is no file's path")
    if ".." in parts:
        raise OutsideError(f"`{text[:80]}` goes up by `..`, which no {what} may")
    if text.startswith("/") or Path(text).is_absolute():
        raise OutsideError(f"`{text[:80]}` leads out of the net's own folder")
    try:
        path = (folder / text).resolve()
        regular, root = path.is_file(), root.resolve()
    except (OSError, RuntimeError, ValueError):
        raise OutsideError(f"`{text[:80]}` cannot be found") from None
    if not path.is_relative_to(root):
        raise OutsideError(f"`{text[:80]}` is a link that leads out of the net's own folder")
    if not regular:
        raise AbsentError(f"there is no file `{text[:80]}` in the folder of this one")
    return path


def named_file(text: str, folder: Path | None, span: Span | None, *, outside: bool) -> Path:
    """Resolve a path in a field of a net.

    Args:
        text: the path as written.
        folder: the folder of the net's text; None where it is from no file.
        span: where the path is written.
        outside: whether the file may be anywhere; the path is then tried from the text's folder,
            and else taken from the current folder, as Caffe does. It need not exist.

    Raises:
        NetcError: outside-file, missing-file; neither with ``outside``.
    """
    if outside:
        beside = (folder or Path()) / text
        return beside if beside.exists() else Path(text)
    try:
        return within(text, folder, folder, "file that a net names")
    except AbsentError as error:
        raise NetcError(Diagnostic("missing-file", str(error), span)) from None
    except OutsideError as error:
        help = (*error.help, "--allow-outside, in Python allow_outside=True, reads it all the same")
        raise NetcError(Diagnostic("outside-file", str(error), span, help=help)) from None
