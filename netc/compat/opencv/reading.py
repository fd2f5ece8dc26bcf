"""``readNetFromCaffe`` and ``readNet``: a net from files, or from their bytes."""

from __future__ import annotations

import tempfile
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.compat.engine import warn
from netc.compat.opencv.arrays import Arrays
from netc.compat.opencv.net import Net
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontend import Schemas, read_net
from netc.syntax.reader import source_of_bytes
from netc.weights import load_weights

Given = str | PathLike[str] | bytes | bytearray | NDArray[np.uint8] | None
_TEXTS = (".prototxt", ".pbtxt", ".txt")


def readNetFromCaffe(
    prototxt: Given = None,
    caffeModel: Given = None,
    *,
    bufferProto: Given = None,
    bufferModel: Given = None,
    schema: Schemas = None,
) -> Net:
    """A net from a prototxt and its weights.

    Fields that no schema has are passed over, as OpenCV does, with a warning.

    Args:
        prototxt: a path, or the file's bytes.
        caffeModel: a path, or the file's bytes; without it the net is filled by its fillers.
        bufferProto: the first file's bytes, by OpenCV's name of them.
        bufferModel: the second file's bytes.
        schema: netc's own: a caffe.proto of one's own, or several.

    Raises:
        NetcError: with every mistake found in the text or the weights.
    """
    proto = prototxt if bufferProto is None else bufferProto
    model = caffeModel if bufferModel is None else bufferModel
    text = read_net(_text(proto), schema=schema, tolerant=True)
    warn(text.diagnostics)
    return Net(text.message, _weights(model))


def readNet(
    model: Any = "",
    config: Any = "",
    framework: Any = "",
    *,
    bufferModel: Given = None,
    bufferConfig: Given = None,
    schema: Schemas = None,
) -> Net:
    """A net from its two files, in either order; they are told by the suffix ``.prototxt``.

    Also as ``readNet("caffe", bufferModel, bufferConfig)``, of the files' bytes.

    Raises:
        NetcError: bad-argument for a net of another framework, and as ``readNetFromCaffe``.
    """
    if (
        bufferModel is not None
        or bufferConfig is not None
        or not isinstance(config, (str, PathLike))
    ):  # the framework comes first, then the buffers
        weights = config if bufferModel is None else bufferModel
        text = framework if bufferConfig is None else bufferConfig
        _check_framework(model or (framework if isinstance(framework, str) else ""))
        return readNetFromCaffe(text, weights, schema=schema)
    model, config = fspath(model), fspath(config)
    _check_framework(framework)
    if model.lower().endswith(_TEXTS):
        model, config = config, model
    return readNetFromCaffe(config, model, schema=schema)


def _check_framework(framework: object) -> None:
    if str(framework).lower() not in ("", "caffe"):
        raise NetcError(Diagnostic("bad-argument", f"netc reads nets of Caffe, not `{framework}`"))


def _text(given: Given) -> str | PathLike[str] | Source:
    if isinstance(given, (str, PathLike)):
        return given
    return source_of_bytes("prototxt", _bytes(given))


def _weights(given: Given) -> Arrays | None:
    if given is None or (isinstance(given, (str, PathLike)) and not fspath(given)):
        return None
    if isinstance(given, (str, PathLike)):
        return {name: list(arrays) for name, arrays in load_weights(given).items()}
    content = _bytes(given)
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caffeModel"
        path.write_bytes(content)
        return {name: list(arrays) for name, arrays in load_weights(path).items()}


def _bytes(given: object) -> bytes:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8:
        return given.tobytes()
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    message = f"a file is given as a path or as bytes, not as a `{type(given).__name__}`"
    raise NetcError(Diagnostic("bad-argument", message))
