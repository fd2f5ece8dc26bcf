"""Files that a text names: only those in its own folder, unless a person allows others.

A net of a stranger's could name any file of the machine, and show by its results what is in there.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from netc.diagnostics import Diagnostic, NetcError, Span


class OutsideError(Exception):
    """Why a path of a text is not followed; ``help`` says what to do."""

    def __init__(self, message: str, *help: str) -> None:
        super().__init__(message)
        self.help = help


class AbsentError(OutsideError):
    """The path stays within the folder, and no file is there."""


def within(text: str, folder: Path | None, root: Path | None, what: str) -> Path:
    """The file that a text names.

    Args:
        text: the path as it is written, with ``/`` between its parts.
        folder: that it starts from; None where the text is from no file.
        root: that it must stay in, links followed.
        what: names such a path, for the complaint: "include".

    Raises:
        OutsideError: it is not a file within the folder.
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
    """The file that a field of a net names.

    Args:
        text: the path as it is written.
        folder: of the net's text; None where it is from no file.
        span: where it is written.
        outside: whether it may lie anywhere: beside the text, or from the current folder on, which
            is where Caffe looks.

    Raises:
        NetcError: outside-file, missing-file.
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
