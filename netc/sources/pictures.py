"""The labelled pictures from which a database is made: from a list, a folder or an archive.

* a list: each line has a path and, after the last space, a label;
* a folder: each subfolder is a class, numbered from 0 in the order of their names;
* an .npz with `data`, (N, channels, height, width) of bytes or floats, and `label`, (N,) integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import FORMATS
from netc.ops.array import AnyArray
from netc.sources.lists import LABELS, read_list
from netc.sources.pixels import open_picture, resize
from netc.weights.numpy_file import open_archive


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is read on request.

    Args:
        name: becomes a part of its key.
        label: its class.
        read: returns its pixels, (channels, height, width) of uint8 or float32, BGR.
        path: its image file; None where it is from an archive.
        changed: whether `read` may return other pixels than the file's: resized or grayscale ones.
    """

    name: str
    label: int
    read: Callable[[], AnyArray]
    path: Path | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class PixelOptions:
    """How image files become pixels: grey or in colour, and resized to (height, width) if given."""

    gray: bool = False
    size: tuple[int, int] | None = None

    def pixels(self, path: Path) -> AnyArray:
        """A file's pixels, uint8 (channels, height, width), BGR or grey.

        Raises:
            NetcError: bad-record, too-little-memory.
        """
        picture = open_picture(path, not self.gray, lambda why: _bad(f"`{path}` {why}"))
        return resize(picture, *self.size) if self.size else picture


def pictures_of(source: Path, how: PixelOptions, root: Path | None = None) -> list[Picture]:
    """All pictures of a source, in its order.

    The paths of a list start from ``root``, or from the list's own folder.

    Raises:
        NetcError: bad-record, where the source is none of the three kinds or has no pictures.
    """
    if source.is_dir():
        found = list(_of_folder(source, how))
    elif source.suffix == ".npz":
        found = list(_of_archive(source))
    else:
        found = list(_of_list(source, how, root or source.parent))
    if not found:
        raise _bad(f"`{source}` has no pictures")
    return found


def _of_list(path: Path, how: PixelOptions, root: Path) -> Iterator[Picture]:
    for line in read_list(path, _bad):
        yield _file(root / line.path, line.path, line.label, how)


def _of_folder(folder: Path, how: PixelOptions) -> Iterator[Picture]:
    suffixes = {suffix for named in FORMATS.values() for suffix in named}
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    for label, inside in enumerate(classes):
        for path in sorted(inside.rglob("*")):
            if path.suffix.lower() in suffixes:
                yield _file(path, str(path.relative_to(folder)), label, how)


def _file(path: Path, name: str, label: int, how: PixelOptions) -> Picture:
    return Picture(name, label, lambda: how.pixels(path), path, how.gray or how.size is not None)


def _of_archive(path: Path) -> Iterator[Picture]:
    with open_archive(path, "bad-record") as file:
        if not {"data", "label"} <= set(file.names):
            raise _bad(f"`{path}` has no arrays `data` and `label`")
        data, labels = file.read("data"), file.read("label")
    if data.ndim != 4 or labels.shape != data.shape[:1] or labels.dtype.kind not in "iu":
        raise _bad(
            f"`{path}` has `data` {data.shape} and `label` {labels.shape}, and pictures are "
            "(N, channels, height, width) with N whole numbers"
        )
    pixels = data if data.dtype == np.uint8 else data.astype(np.float32)
    for index, label in enumerate(labels):
        if int(label) not in LABELS:
            raise _bad(
                f"`{path}`: `label` {index} is {label}, and labels are {LABELS[0]} to {LABELS[-1]}"
            )
        yield Picture(f"{path.stem}_{index}", int(label), partial(pixels.__getitem__, index))


def label_names(source: Path) -> Sequence[str]:
    """The names of the classes of a folder; empty for other sources."""
    if not source.is_dir():
        return ()
    return sorted(path.name for path in source.iterdir() if path.is_dir())


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-record", message))
