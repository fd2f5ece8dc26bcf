"""Trained arrays by layer name, with what the weights file says about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from netc.diagnostics import Diagnostic
from netc.ir.graph import Array

FileFormat = Literal["caffemodel", "hdf5", "npz"]
Generation = Literal["V0", "V1", "V2"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """One layer of a weights file.

    Args:
        name: the layer's name.
        arrays: its blobs, read-only float32.
        type: Caffe's current type string; empty where the file has none.
        indices: the index of each array among the layer's parameters. An index is skipped where
            HDF5 stores a shared parameter under its owner only.
        legacy: for each array whether it was stored with num, channels, height and width; such an
            array has four axes and fits a parameter of fewer axes if the leading ones are 1.
        kinds: NumPy's dtype name of each array as stored in the file.
        diffs: gradients to store beside the arrays, in their shapes; empty for none. They are
            only written, never read.
    """

    name: str
    arrays: tuple[Array, ...] = ()
    type: str = ""
    indices: tuple[int, ...] = ()
    legacy: tuple[bool, ...] = ()
    kinds: tuple[str, ...] = ()
    diffs: tuple[Array, ...] = ()

    def __post_init__(self) -> None:
        if not self.indices:
            object.__setattr__(self, "indices", tuple(range(len(self.arrays))))
        if not self.legacy:
            object.__setattr__(self, "legacy", (False,) * len(self.arrays))
        if not self.kinds:
            object.__setattr__(self, "kinds", ("float32",) * len(self.arrays))


@dataclass(frozen=True, eq=False)
class Weights(Mapping[str, tuple[Array, ...]]):
    """A weights file: layer name -> tuple of read-only float32 arrays.

    The mapping has the layers that own arrays; ``layers`` has every layer of the file, in file
    order, with its type and how its blobs were stored.

    Args:
        layers: all layers by name.
        path: the file, empty where the weights come from none.
        format: of the file.
        generation: of a caffemodel; None for other formats.
        net_name: the net's name in a caffemodel.
        diagnostics: warnings and notes from reading.
    """

    layers: Mapping[str, LayerWeights]
    path: str = ""
    format: FileFormat | None = None
    generation: Generation | None = None
    net_name: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    def __getitem__(self, name: str) -> tuple[Array, ...]:
        layer = self.layers[name]
        if not layer.arrays:
            raise KeyError(name)
        return layer.arrays

    def __iter__(self) -> Iterator[str]:
        return (name for name, layer in self.layers.items() if layer.arrays)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Weights({self.path!r}, {len(self)} layers, {self.nbytes:,} bytes)"

    def with_diffs(self, diffs: Mapping[str, Sequence[Array]]) -> Weights:
        """A copy whose layers have these gradients to be stored: layer -> one for each array."""
        layers = {
            name: replace(layer, diffs=tuple(diffs.get(name, ())))
            for name, layer in self.layers.items()
        }
        return replace(self, layers=layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays as float32."""
        return sum(a.nbytes for layer in self.layers.values() for a in layer.arrays)


def read_only(array: Array) -> Array:
    """The array as a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def float32_array(values: object) -> Array:
    """Values as a read-only float32 array in C order; no copy if they are one already.

    Raises:
        TypeError: the values are not real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"values of dtype `{array.dtype}` are not real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        # asarray, unlike ascontiguousarray, keeps an array of no axes as it is
        return read_only(np.asarray(array, dtype=np.float32, order="C"))
