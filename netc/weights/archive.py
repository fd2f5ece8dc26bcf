"""What `.npz` and HDF5 weights have in common: arrays under `<layer>/<index>`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ir.types import MAX_AXES, MAX_COUNT, Shape, shape_fault
from netc.memory import budget, check_memory
from netc.weights.faults import fault
from netc.weights.model import FileFormat, LayerWeights, Weights

MAX_ENTRIES = 262_144  # arrays and groups of one file
_FREE = 2**28  # bytes that a small file may unpack to ...
_RATIO = 32  # ... and times its own size that a large one may


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveEntry:
    """An array of an archive, as float32.

    ``key`` is its name in the file, ``stored`` NumPy's name of the dtype it has in the file.
    """

    layer: str
    index: int
    array: Array
    key: str = ""
    stored: str = "<f4"


def blob_name(path: str, key: str) -> tuple[str, int]:
    """Layer and index of a key ``<layer>/<index>``; the layer may have slashes itself.

    Raises:
        NetcError: bad-key, where the index is no decimal number of at most five digits.
    """
    layer, slash, index = key.rpartition("/")
    if not slash or not (index.isascii() and index.isdigit() and len(index) < 6):
        raise fault(
            "bad-key",
            path,
            f"the array `{key}` is not named as `<layer>/<index>`",
            "netc wants names such as `conv1/0` for its weights and `conv1/1` for its bias",
        )
    return layer, int(index)


def check_array(path: str, key: str, shape: Shape, kind: str) -> None:
    """Check an array's header, before memory is allocated for it.

    Args:
        path: the file.
        key: the array's name in it.
        shape: the array's shape.
        kind: NumPy's ``dtype.kind``.

    Raises:
        NetcError: bad-blob, as :func:`check_kind` and :func:`check_shape`.
    """
    check_kind(path, key, kind)
    check_shape(path, key, shape)


def check_kind(path: str, key: str, kind: str) -> None:
    """Check that a ``dtype.kind`` is float, integer or bool.

    Raises:
        NetcError: bad-blob, for any other kind, such as complex numbers or strings.
    """
    if kind not in "fiub":
        raise fault("bad-blob", path, f"the array `{key}` holds no real numbers")


def check_shape(path: str, key: str, shape: Shape) -> None:
    """Check a shape against Caffe's limits: 32 axes, and 2**31 - 1 elements (blob.hpp, blob.cpp).

    Raises:
        NetcError: bad-blob.
    """
    if len(shape) > MAX_AXES:
        raise fault("bad-blob", path, f"the array `{key}` has more than {MAX_AXES} axes")
    if shape_fault(shape):
        raise fault(
            "bad-blob",
            path,
            f"the array `{key}` has shape {shape}, and a blob has at most {MAX_COUNT:,} elements",
        )


class Allowance:
    """A limit on the bytes that a file's arrays may unpack to, in proportion to the file's size.

    It stops decompression bombs. ``path`` and ``size``: the file and its size in bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.limit = _FREE + _RATIO * size
        self.used = 0
        self.entries = 0

    def take(self, key: str, size: int) -> None:
        """Count an array of ``size`` bytes, before it is read.

        Raises:
            NetcError: too-large, beyond the limit; too-little-memory; too-many-fields.
        """
        self.used += size
        self.count()
        if self.used > self.limit:
            raise fault(
                "too-large",
                self.path,
                f"with array `{key}` it unpacks to {self.used:,} bytes, over the limit of "
                f"{self.limit:,} for its size",
                "the file is damaged or made to fill the memory; real weights hardly compress",
            )
        # What is free tells of those before; a limit does not, until a net holds them.
        before = self.used - size if budget().limit is not None else 0
        check_memory(before + size, f"{self.path}: the arrays up to `{key}`")

    def count(self) -> None:
        """Count an entry of the file.

        Raises:
            NetcError: too-many-fields.
        """
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise fault(
                "too-many-fields", self.path, f"the file has more than {MAX_ENTRIES:,} entries"
            )


def gather(
    path: str, format: FileFormat, names: Iterable[str], entries: Iterable[ArchiveEntry]
) -> Weights:
    """The weights made of an archive's entries; ``names`` are its layers in the file's order.

    Raises:
        NetcError: no-layers; duplicate-array, where two keys mean the same array.
    """
    found: dict[str, dict[int, ArchiveEntry]] = {name: {} for name in names}
    for entry in entries:
        first = found.setdefault(entry.layer, {}).setdefault(entry.index, entry)
        if first is not entry:
            raise _twice(path, first, entry)
    if not found:
        raise fault("no-layers", path, "this file has no arrays")
    return Weights({name: _layer(name, arrays) for name, arrays in found.items()}, path, format)


def _twice(path: str, first: ArchiveEntry, second: ArchiveEntry) -> NetcError:
    same = first.key == second.key
    keys = f"`{first.key}` twice" if same else f"`{first.key}` and `{second.key}`"
    return fault(
        "duplicate-array",
        path,
        f"the file has {keys}, which is array {first.index} of layer `{first.layer}`",
        "only one of them can be meant: write the file again",
    )


def _layer(name: str, arrays: dict[int, ArchiveEntry]) -> LayerWeights:
    indices = tuple(sorted(arrays))
    return LayerWeights(name, tuple(arrays[i].array for i in indices), indices=indices)


def entries_of(weights: Weights) -> Iterator[ArchiveEntry]:
    """Every array of the weights in order."""
    for layer in weights.layers.values():
        for index, array, kind in zip(layer.indices, layer.arrays, layer.kinds, strict=True):
            yield ArchiveEntry(
                layer.name, index, array, stored="<f2" if kind == "float16" else "<f4"
            )
