"""A single array in a ``.binaryproto`` file, as Caffe stores mean images: one BlobProto."""

from __future__ import annotations

from pathlib import Path

from netc.ir.graph import Array


def read_blob(path: str | Path) -> Array:
    """The array of a BlobProto file."""
    raise NotImplementedError(path)
