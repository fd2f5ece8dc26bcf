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
class Entry:
    """An array of an archive.

    ``key`` is what it is called there, ``stored`` the type of number that it is written in.
    """

    layer: str
    index: int
    array: Array
    key: str = ""
    stored: str = "<f4"


def blob_name(path: str, key: str) -> tuple[str, int]:
    """Layer and index of a key ``<layer>/<index>``; the layer may have slashes itself.

    Raises:
        NetcError: bad-key.
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
    """Check an array by its header, before memory is taken for it.

    Args:
        path: the file.
        key: the array's name.
        shape: the array's shape.
        kind: NumPy's letter for its kind of numbers.

    Raises:
        NetcError: bad-blob.
    """
    check_kind(path, key, kind)
    check_shape(path, key, shape)


def check_kind(path: str, key: str, kind: str) -> None:
    """Check that NumPy's letter for an array's kind is one of real numbers.

    Raises:
        NetcError: bad-blob.
    """
    if kind not in "fiub":
        raise fault("bad-blob", path, f"the array `{key}` holds no real numbers")


def check_shape(path: str, key: str, shape: Shape) -> None:
    """Check a shape by the limits of Caffe's blobs.

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
    """How many bytes a file's arrays may take in memory: no small file fills a machine."""

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.limit = _FREE + _RATIO * size
        self.used = 0
        self.entries = 0

    def take(self, key: str, size: int) -> None:
        """Count an array.

        Raises:
            NetcError: too-large, beyond what the file's size makes likely.
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
        """Count an entry that is no array."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise fault(
                "too-many-fields", self.path, f"the file has more than {MAX_ENTRIES:,} entries"
            )


def gather(
    path: str, format: FileFormat, names: Iterable[str], entries: Iterable[Entry]
) -> Weights:
    """Weights of an archive's entries; ``names`` are its layers in order.

    Raises:
        NetcError: no-layers; duplicate-array, two keys mean one array.
    """
    found: dict[str, dict[int, Entry]] = {name: {} for name in names}
    for entry in entries:
        first = found.setdefault(entry.layer, {}).setdefault(entry.index, entry)
        if first is not entry:
            raise _twice(path, first, entry)
    if not found:
        raise fault("no-layers", path, "this file has no arrays")
    return Weights({name: _layer(name, arrays) for name, arrays in found.items()}, path, format)


def _twice(path: str, first: Entry, second: Entry) -> NetcError:
    same = first.key == second.key
    keys = f"`{first.key}` twice" if same else f"`{first.key}` and `{second.key}`"
    return fault(
        "duplicate-array",
        path,
        f"the file has {keys}, which is array {first.index} of layer `{first.layer}`",
        "only one of them can be meant: write the file again",
    )


def _layer(name: str, arrays: dict[int, Entry]) -> LayerWeights:
    indices = tuple(sorted(arrays))
    return LayerWeights(name, tuple(arrays[i].array for i in indices), indices=indices)


def entries_of(weights: Weights) -> Iterator[Entry]:
    """Every array of the weights in order."""
    for layer in weights.layers.values():
        for index, array, kind in zip(layer.indices, layer.arrays, layer.kinds, strict=True):
            yield Entry(layer.name, index, array, stored="<f2" if kind == "float16" else "<f4")
