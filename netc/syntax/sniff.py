"""Detection of files that are not prototxt, by their first bytes or characters.

A download may give a page instead of the file behind it, or a pointer instead of the data, and
weights are passed in place of the net. An error that says so is worth more than one about the first
character that the grammar does not accept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.syntax.limits import MAX_BYTES


class Kind(NamedTuple):
    """What a file is in words, what to do about it, and the diagnostic's code."""

    name: str
    help: str
    code: str = "not-prototxt"


_UNPACK = "unpack it first"
_WEIGHTS = "the net's text (.prototxt) comes first; give this file as the weights"
_DOWNLOAD = "download the file itself: on GitHub, by the button `Raw`"
_CONVERT = "netc reads Caffe's prototxt; look for the net's .prototxt file"


def _archive(name: str, help: str = _UNPACK) -> Kind:
    return Kind(name, help, "compressed-file")


def _weights(name: str) -> Kind:
    return Kind(name, _WEIGHTS, "swapped-arguments")


_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x1f\x8b", _archive("a gzip archive", "unpack it first: `gunzip FILE`")),
    (b"PK\x03\x04", _archive("a zip archive")),
    (b"PK\x05\x06", _archive("an empty zip archive")),
    (b"BZh", _archive("a bzip2 archive")),
    (b"\xfd7zXZ\x00", _archive("an xz archive")),
    (b"7z\xbc\xaf\x27\x1c", _archive("a 7z archive")),
    (b"Rar!\x1a\x07", _archive("a rar archive")),
    (b"\x28\xb5\x2f\xfd", _archive("a zstd archive")),
    (b"\x89HDF\r\n\x1a\n", _weights("an HDF5 file, as of weights (.caffemodel.h5)")),
    (b"\x93NUMPY", Kind("a NumPy array (.npy)", "give the net's text here")),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG image", "give the net's text here, an image with --input")),
    (b"\xff\xd8\xff", Kind("a JPEG image", "give the net's text here, an image with --input")),
    (b"%PDF-", Kind("a PDF document", _CONVERT)),
    (b"\x7fELF", Kind("a program (ELF)", _CONVERT)),
    (b"\x80\x02", Kind("a Python pickle", _CONVERT)),
    (b"\x80\x04", Kind("a Python pickle", _CONVERT)),
)

_NPZ = _weights("an archive of NumPy arrays (.npz)")
_TORCH = Kind("a PyTorch file", _CONVERT)
_TAR = _archive("a tar archive", "unpack it first: `tar xf FILE`")
_TFLITE = Kind("a TensorFlow Lite model", _CONVERT)
_ONNX = Kind("an ONNX model", _CONVERT)
_CAFFEMODEL = _weights("a binary file of Caffe (.caffemodel), not a net's text")
_BLOB = Kind("a blob or a solver's state (.binaryproto, .solverstate)", "give the net's text here")
_BINARY = Kind("a binary file", "give the net's text (.prototxt)")

_HTML = Kind("an HTML page", _DOWNLOAD, "html-page")
_POINTER = Kind(
    "a git-LFS pointer, not the file it points to", "fetch the file: `git lfs pull`", "lfs-pointer"
)

# What such a text starts with, behind comments; the pattern that tells; what it is.
_TEXTS: tuple[tuple[tuple[str, ...], str, Kind], ...] = (
    (("<",), r"(?i)<(?:!doctype\s+html|html|head|body)\b", _HTML),
    (("<",), r"(?i)(?:<!--.{0,2000}?-->\s*)+<(?:!doctype\s+html|html)\b", _HTML),
    (("<",), r"<\?xml\b|<net\b|<Error>", Kind("an XML file", _CONVERT)),
    (("version",), r"version https://git-lfs\.github\.com/spec/", _POINTER),
    (("404", "Not"), r"404: Not Found\s*\Z|Not Found\s*\Z",
     Kind("the answer `404: Not Found`, saved in the file's place", _DOWNLOAD)),
    (("{", "["), r"\{\s*(?:\"[^\"\n]*\"\s*:|\}\s*\Z)|\[\s*[\[{\"]",
     Kind("a JSON file", _CONVERT)),
    (("#!", "import", "from", "def", "class", '"""'),
     r"#!.*\bpython|(?:#[^\n]*\n|\s)*(?:import [A-Za-z_][\w.]*(?: as \w+)?\s*$"
     r"|from [\w.]+ import |(?:def|class) \w+\s*[(:]|\"\"\")", Kind("a Python program", _CONVERT)),
    (("#!",), r"#!", Kind("a script", _CONVERT)),
    (("syntax", "package", "message"),
     r"(?:#[^\n]*\n|\s)*(?:syntax\s*=\s*[\"']proto[23]|package\s+[\w.]+\s*;|message\s+\w+\s*\{)",
     Kind("a schema (.proto), not a net", "give it with --schema, and the net's text here")),
    (("[",), r"(?:[#;][^\n]*\n|\s)*\[(?:net|network|convolutional)\]\s*$",
     Kind("a darknet configuration (.cfg)", _CONVERT)),
    (("---", "%YAML", "- "), r"(?:#[^\n]*\n|\s)*(?:---\s*$|%YAML|- [\w\"'])",
     Kind("a YAML file", _CONVERT)),
    (("7767517",), r"7767517\s", Kind("an ncnn net (.param)", _CONVERT)),
)  # fmt: skip
_HEAD = 8192
_BLANK = "\ufeff \t\r\n\v\f"


def binary_kind(head: bytes) -> Kind | None:
    """The kind of a binary file, by its first bytes; None for a text."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return _zip_kind(head) if head[:4] == b"PK\x03\x04" else kind
    if head[257:262] == b"ustar":
        return _TAR
    if head[4:8] == b"TFL3":
        return _TFLITE
    if not _is_binary(head):
        return None
    if head[:1] == b"\x08" and re.search(rb"onnx|pytorch|ir_version", head):
        return _ONNX
    if head[:1] == b"\x08":
        return _BLOB
    return _CAFFEMODEL if head[:1] in _CAFFE_TAGS else _BINARY


_CAFFE_TAGS = (b"\x0a", b"\x12", b"\xa2", b"\x1a", b"\x22", b"\x2a")
"""First bytes of a binary NetParameter or BlobProto: the tags of their fields."""


def _zip_kind(head: bytes) -> Kind:
    if b".npy" in head[:128]:
        return _NPZ
    return _TORCH if b"/data.pkl" in head[:128] else _archive("a zip archive")


_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def _is_binary(head: bytes) -> bool:
    """Whether bytes are no text: a NUL, or more control characters than a slip explains."""
    return b"\0" in head or len(_CONTROL.findall(head)) > max(2, len(head) // 100)


def text_kind(text: str) -> Kind | None:
    """The kind of a text that is not prototxt, by its first characters; None for prototxt."""
    head = text[:_HEAD].lstrip(_BLANK)
    first = _behind_comments(head)
    return next((kind for starts, pattern, kind in _TEXTS
                 if (first.startswith(starts) or head.startswith(starts))
                 and re.match(pattern, head, re.MULTILINE)), None)  # fmt: skip


def _behind_comments(text: str) -> str:
    """The first line that is neither blank nor a comment, without blanks before it."""
    lines = map(str.lstrip, text.split("\n"))
    return next((line for line in lines if line and line[0] not in "#;"), "")


def not_prototxt(name: str, kind: Kind, span: Span | None = None) -> Diagnostic:
    """The error of a file of another kind, with the kind's code."""
    return Diagnostic(kind.code, f"`{name}` is {kind.name}", span, help=(kind.help,))


def check_text(source: Source) -> None:
    """Refuse a text that is too long or clearly not prototxt.

    Raises:
        NetcError: too-large, or the code of what the text is instead.
    """
    if len(source.text) > MAX_BYTES:
        raise NetcError(too_large(source.name, len(source.text)))
    kind = text_kind(source.text)
    if kind:
        start = len(source.text) - len(source.text.lstrip(_BLANK))
        raise NetcError(not_prototxt(source.name, kind, Span(source, start, start)))


def too_large(name: str, size: int) -> Diagnostic:
    """The error too-large of a file of ``size`` bytes."""
    limit = f"a net's text has at most {MAX_BYTES >> 20} MiB"
    return Diagnostic("too-large", f"`{name}` has {size / (1 << 20):,.1f} MiB; {limit}")
