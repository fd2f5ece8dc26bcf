"""Single arrays, such as mean images: `.binaryproto`, which is one BlobProto, and `.npy`."""

from __future__ import annotations

import os

from netc.ir.graph import Array
from netc.weights.archive import check_kind
from netc.weights.blob import BlobOrigin, read_blob, scan_blob
from netc.weights.bytefile import ByteFile, open_bytes
from netc.weights.faults import fault
from netc.weights.model import float32_array
from netc.weights.numpy_file import MAGIC, load_array
from netc.weights.sniff import check_binary
from netc.weights.wire import LENGTH, Scanner


def load_blob(path: str | os.PathLike[str]) -> Array:
    """The array of a ``.binaryproto`` or ``.npy``, read-only float32, in the file's shape.

    Raises:
        NetcError: missing-file and the like, malformed-weights, truncated-weights, bad-blob.
    """
    with open_bytes(path) as file:
        if file.peek(0, min(len(MAGIC), file.size)) == MAGIC:
            return _npy(file)
        return _binaryproto(file)


def load_mean(path: str | os.PathLike[str]) -> Array:
    """A mean to subtract: per pixel (channels, height, width) or per channel (channels,).

    A first axis of 1 before three others is dropped, as a ``.binaryproto`` has it.

    Raises:
        NetcError: the file is absent, damaged, something else, or of another number of axes.
    """
    array = load_blob(path)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim not in (1, 3):
        raise fault(
            "bad-mean",
            os.fspath(path),
            f"a mean has the axes (channels, height, width) or (channels,), this one has shape "
            f"{array.shape}",
        )
    return array


def _binaryproto(file: ByteFile) -> Array:
    check_binary(file)
    scan = Scanner(file)
    if scan.field(0, file.size).wire == LENGTH and file.peek(0, 1) in (b"\x0a", b"\x12"):
        raise fault("not-a-mean", file.path, "this is a net's weights, and one blob is wanted")
    blob = scan_blob(scan, 0, file.size)
    return read_blob(file, blob, BlobOrigin(file.path, "", 0))


def _npy(file: ByteFile) -> Array:
    array = load_array(file.path)
    check_kind(file.path, "", array.dtype.kind)
    return float32_array(array)
