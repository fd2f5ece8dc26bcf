"""Detects what a file given as weights really is, from its first bytes and not from its name."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from netc.diagnostics import NetcError
from netc.syntax.sniff import text_kind
from netc.weights.bytefile import ByteFile
from netc.weights.faults import fault
from netc.weights.wire import LENGTH, VARINT, Scanner

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_HEAD = 4096


class _Kind(NamedTuple):
    """A kind of file: its first bytes, its name and what to do with it."""

    magic: bytes
    what: str
    help: str
    code: str = "not-weights"


_UNPACK = "unpack it first"
_CONVERT = "netc reads .caffemodel, .caffemodel.h5 and .npz"
_MAGIC = (
    _Kind(b"\x1f\x8b", "gzip-compressed data", "unpack it first: gunzip FILE", "compressed-file"),
    _Kind(b"BZh", "bzip2-compressed data", _UNPACK, "compressed-file"),
    _Kind(b"\xfd7zXZ\x00", "xz-compressed data", _UNPACK, "compressed-file"),
    _Kind(b"\x28\xb5\x2f\xfd", "zstd-compressed data", _UNPACK, "compressed-file"),
    _Kind(b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", _UNPACK, "compressed-file"),
    _Kind(b"Rar!\x1a\x07", "a RAR archive", _UNPACK, "compressed-file"),
    _Kind(b"\x93NUMPY", "a NumPy .npy array", "a mean is given as a mean; weights are an .npz"),
    _Kind(b"\x80\x02", "a Python pickle, perhaps a PyTorch file", _CONVERT),
    _Kind(b"\x80\x03", "a Python pickle, perhaps a PyTorch file", _CONVERT),
    _Kind(b"\x80\x04", "a Python pickle", _CONVERT),
    _Kind(b"\x80\x05", "a Python pickle", _CONVERT),
    _Kind(b"\x89PNG", "a PNG image", _CONVERT),
    _Kind(b"\xff\xd8\xff", "a JPEG image", _CONVERT),
    _Kind(b"%PDF", "a PDF document", _CONVERT),
    _Kind(b"MATLAB 5.0 MAT-file", "a MATLAB file", _CONVERT),
)


def check_binary(file: ByteFile) -> None:
    """Refuse files that cannot be a binary protobuf message.

    Raises:
        NetcError: empty-file, html-page, lfs-pointer, swapped-arguments, compressed-file or
            not-weights.
    """
    head = file.peek(0, min(_HEAD, file.size))
    if not head:
        raise fault("empty-file", file.path, "the file is empty", "download it again")
    for kind in _MAGIC:
        if head.startswith(kind.magic):
            raise fault(kind.code, file.path, f"this is {kind.what}", kind.help)
    if head[4:8] == b"TFL3":
        raise fault("not-weights", file.path, "this is a TensorFlow Lite model", _CONVERT)
    if head[257:262] == b"ustar":
        raise fault("compressed-file", file.path, "this is a tar archive", _UNPACK)
    if _is_text(head):
        raise _text_fault(file.path, head.decode("utf-8", "replace"))


def _is_text(head: bytes) -> bool:
    """Whether no byte is a control character that text does not have."""
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)


def _text_fault(path: str, text: str) -> NetcError:
    start = text.lstrip("\ufeff \t\r\n")[:256].lower()
    if start.startswith("version https://git-lfs"):
        return fault(
            "lfs-pointer",
            path,
            "this is a git-lfs pointer, the weights themselves were not fetched",
            "run `git lfs pull` in the repository it came from",
        )
    if start.startswith(("<!doctype", "<html", "<?xml", "<head")):
        return fault(
            "html-page",
            path,
            "this is a web page, not weights",
            "download the file itself: the link's `raw` or `download` address",
        )
    kind = text_kind(text)
    if kind:
        return fault("not-weights", path, f"this is {kind.name}, not weights", _CONVERT)
    if "layer" in text and "{" in text:
        return fault(
            "swapped-arguments",
            path,
            "this is a net's text, and binary weights are wanted",
            "the net comes first and its weights second; are the two swapped?",
        )
    return fault("not-weights", path, "this is text, not weights", _CONVERT)


def explain_message(file: ByteFile) -> None:
    """For a file without Caffe layers: raise an error that names the message it holds, if known.

    Raises:
        NetcError: not-weights, for a message often mistaken for a caffemodel.
    """
    found: dict[int, int] = {}
    try:
        for entry in islice(Scanner(file).fields(0, file.size), 1000):
            found.setdefault(entry.number, entry.wire)
    except NetcError:
        pass  # what was found before the fault still tells
    what = _message_kind(found)
    if what:
        raise fault("not-weights", file.path, f"this is {what[0]}", what[1])


def _message_kind(found: dict[int, int]) -> tuple[str, str] | None:
    if found.get(1) == VARINT and found.get(7) == LENGTH and 5 not in found:
        return "an ONNX model", _CONVERT
    if found.get(5) == LENGTH and all(found.get(n, VARINT) == VARINT for n in (1, 2, 3, 4)):
        return "a single blob, a mean file (.binaryproto)", "give it as the mean, not as weights"
    if found.get(1) == VARINT and (found.get(2) == LENGTH or found.get(3) == LENGTH):
        return (
            "a solver's state (.solverstate)",
            "the weights are in the .caffemodel that was saved beside it",
        )
    return None
