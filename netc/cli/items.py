"""Expands ``--input``: a file, a folder, a pattern, a list of files, or standard input."""

from __future__ import annotations

import argparse
import atexit
import glob
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Value
from netc.ir.types import show
from netc.predict.records.files import SUFFIXES as IMAGES
from netc.predict.records.files import named_files
from netc.syntax.limits import MAX_BYTES

STDIN = "-"
_FILES = IMAGES | {".npy", ".npz"}
_MAX_STDIN_BYTES = 2**31  # bytes that are taken from standard input
_STARTS = {  # how files begin that are no list of files
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"GIF8": ".gif",
    b"P6": ".ppm",
    b"RIFF": ".webp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
}


class Feed(NamedTuple):
    """A file for an input.

    ``blob`` is empty for the net's only input, or for an .npz whose arrays name their blobs;
    ``name`` is what answers are called by, where that is not the path; ``label`` is another blob
    and the number that it has for this file.
    """

    blob: str
    path: str
    name: str = ""
    label: tuple[str, int] | None = None


def feed(text: str) -> Feed:
    """``BLOB=FILE`` or ``FILE``; of an .npz's arrays those below ``in/`` count if any are."""
    blob, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return Feed("", text)
    if not blob or not path:
        raise argparse.ArgumentTypeError(f"`{text}` is not BLOB=FILE")
    return Feed(blob, path)


def expanded(feeds: Sequence[Feed], inputs: Mapping[str, Value]) -> list[Feed]:
    """One feed for each file: folders, patterns and lists are what they hold, in order.

    Args:
        feeds: as they were typed.
        inputs: those that must be fed; a file without a blob is for the only one of them.

    Raises:
        NetcError: missing-file, input-format, or ambiguous-input where several inputs are meant.
    """
    found = []
    for item in feeds:
        for one in _files(item):
            named = one.blob or one.path.endswith(".npz")
            found.append(one if named else one._replace(blob=_only(one, inputs)))
    return found


def _only(item: Feed, inputs: Mapping[str, Value]) -> str:
    """The input that a file without a name is for: the only one, or the only one of images."""
    inputs = {name: value for name, value in inputs.items() if value.filler is None}
    images = [
        name for name, value in inputs.items() if value.shape is None or len(value.shape) == 4
    ]
    names = list(inputs) if len(inputs) == 1 else images
    if len(names) == 1:
        return names[0]
    listed = ", ".join(f"`{n}` {show(v.shape)}" for n, v in inputs.items()) or "none"
    raise NetcError(
        Diagnostic(
            "ambiguous-input",
            f"`{item.path}` does not say which input it is for; the inputs are: {listed}",
            help=("write BLOB=FILE",),
        )
    )


def _files(item: Feed) -> Iterator[Feed]:
    path = Path(item.path)
    if item.path == STDIN:
        yield from _standard_input(item)
    elif path.is_dir():
        yield from _several(item, _images_of(path))
    elif path.suffix.lower() == ".txt" and path.exists():
        listed = _listed(path)
        known = any(Path(line).suffix.lower() in _FILES for line in listed)
        yield from _several(item, listed) if known else [item]
    elif not path.exists() and glob.has_magic(item.path):
        matched = sorted(glob.glob(item.path))
        if not matched:
            raise NetcError(Diagnostic("missing-file", f"no file fits the pattern `{path}`"))
        yield from _several(item, matched)
    else:
        yield item


def _several(item: Feed, paths: Sequence[str]) -> Iterator[Feed]:
    return (Feed(item.blob, path) for path in paths)


def _images_of(folder: Path) -> list[str]:
    found = sorted(str(p) for p in folder.iterdir() if p.suffix.lower() in IMAGES)
    if not found:
        raise _fault(f"the folder `{folder}` has no images")
    return found


def _listed(path: Path) -> list[str]:
    """The files that a list names, one a line, as Caffe's ImageData has it.

    A line may end with a label, which is passed over. Paths start from the list's folder, or else
    from the current one.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NetcError(
            Diagnostic("missing-file", f"`{path}` cannot be read: {error.strerror}".lower())
        ) from None
    if len(text) > MAX_BYTES:
        raise _fault(f"the list `{path}` is larger than {MAX_BYTES:,} bytes")
    return named_files(text, path.parent, str(path))


def _standard_input(item: Feed) -> Iterator[Feed]:
    """An image or arrays; or a list of files."""
    content = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
    if len(content) > _MAX_STDIN_BYTES:
        raise _fault(f"standard input is larger than {_MAX_STDIN_BYTES:,} bytes")
    if not content:
        raise _fault("standard input is empty")
    suffix = next((s for start, s in _STARTS.items() if content.startswith(start)), "")
    if not suffix:
        yield from _several(item, named_files(content, Path(), "<stdin>"))
        return
    folder = tempfile.mkdtemp(prefix="netc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / f"stdin{suffix}"
    path.write_bytes(content)
    yield Feed(item.blob, str(path), "<stdin>")


def _fault(message: str) -> NetcError:
    listed = ", ".join(sorted(s[1:] for s in IMAGES))
    return NetcError(Diagnostic("input-format", message, help=(f"images may be {listed}",)))
