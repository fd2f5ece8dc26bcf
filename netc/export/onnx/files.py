"""Writes ONNX models. A protobuf message holds at most 2 GiB; more weights go to a second file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing

if TYPE_CHECKING:
    from onnx import ModelProto

LIMIT = 2**31 - 2**24  # bytes of elements; the rest of a model is far below 16 MiB
_SMALL = 1024  # bytes of elements that stay in the model: shape inference reads them
_PAGE = 4096  # what a file is mapped into memory by


def elements_size(model: ModelProto) -> int:
    """The bytes of all initializers of a model."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def to_bytes(model: ModelProto, *, limit: int = LIMIT) -> bytes:
    """A model as one serialised message; ``limit`` is the most bytes of initializers.

    Raises:
        NetcError: too-large, where the model exceeds the limit.
    """
    size = elements_size(model)
    if size > limit:
        raise NetcError(
            Diagnostic(
                "too-large",
                f"the weights take {size:,} bytes, and a model in one piece holds {limit:,}",
                help=("write to a file: the weights then lie in another beside it",),
            )
        )
    return bytes(model.SerializeToString())


def save(model: ModelProto, path: Path, *, limit: int = LIMIT) -> tuple[Path, ...]:
    """Write a model atomically, as ONNX external data in ``FILE.data`` if weights are too large.

    Args:
        model: the model; if it is too large its weights are moved out of it.
        path: the file to write.
        limit: the most bytes of initializers stored in the model's own file.

    Returns:
        The files written.

    Raises:
        NetcError: cannot-write.
    """
    if elements_size(model) <= limit:
        data = to_bytes(model, limit=limit)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        return (path,)
    beside = path.with_name(f"{path.name}.data")
    with replacing(path) as temporary, replacing(beside) as weights:
        _move_weights(model, weights, beside.name)
        temporary.write_bytes(model.SerializeToString())
    return (path, beside)


def _move_weights(model: ModelProto, path: Path, location: str) -> None:
    """Write the large constants to a file and point at them."""
    from onnx import TensorProto

    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) <= _SMALL:
                continue
            file.write(bytes(-file.tell() % _PAGE))
            place = {"location": location, "offset": file.tell(), "length": len(tensor.raw_data)}
            file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
