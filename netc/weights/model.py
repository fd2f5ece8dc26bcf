"""Trained arrays by layer name, and what the file said about them."""

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
        type: Caffe's current type string; empty where the file does not tell.
        indices: the place of each array among the layer's parameters. They skip a number where
            HDF5 stores a shared parameter under its owner alone.
        legacy: which arrays were stored in the old way, as num, channels, height and width; they
            have four axes and equal a parameter of fewer axes when leading ones are trimmed.
        kinds: the type of number each array has in the file, as NumPy names it.
        diffs: what is written beside the arrays as their gradients, in their shapes; empty for
            none. Never read from a file.
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
        """With arrays that are written beside those of these layers as their gradients."""
        layers = {
            name: replace(layer, diffs=tuple(diffs.get(name, ())))
            for name, layer in self.layers.items()
        }
        return replace(self, layers=layers)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(a.nbytes for layer in self.layers.values() for a in layer.arrays)


def read_only(array: Array) -> Array:
    """The array as a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def float32_array(values: object) -> Array:
    """Values as a read-only float32 array in C order; no copy where they are one already.

    Raises:
        TypeError: the values are no real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"values of dtype `{array.dtype}` are not real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        # asarray, unlike ascontiguousarray, keeps an array of no axes as it is
        return read_only(np.asarray(array, dtype=np.float32, order="C"))
