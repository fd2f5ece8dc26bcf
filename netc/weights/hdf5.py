"""`.caffemodel.h5`: datasets `/data/<layer>/<index>`, as Net::ToHDF5 (net.cpp) writes them.

A layer's name may have slashes; each makes a nested group. A parameter that layers share is stored
under its owner only.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.weights.archive import Allowance, ArchiveEntry, blob_name, check_array, entries_of, gather
from netc.weights.faults import fault
from netc.weights.model import Weights, read_only

if TYPE_CHECKING:
    import h5py

_MAX_DEPTH = 64  # groups within groups
_LARGEST_DATA_SET = 64 << 20  # bytes of one that is read by its name


def h5py_module() -> ModuleType:
    """The module h5py.

    Raises:
        NetcError: missing-package, where it is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise NetcError(
            Diagnostic(
                "missing-package",
                "HDF5 files need the package `h5py`, which is not installed",
                help=("pip install 'netc[h5]'",),
            )
        ) from None
    module: ModuleType = h5py
    return module


def load_hdf5(path: str | os.PathLike[str]) -> Weights:
    """The weights of a ``.caffemodel.h5``.

    Raises:
        NetcError: missing-package without h5py; malformed-weights, not-weights, no-layers,
            bad-key, bad-blob or too-large.
    """
    name, h5py = os.fspath(path), h5py_module()
    with strangers_bytes(lambda error: hdf5_fault(name, error)):
        with h5py.File(name, "r") as file:
            return _GroupWalk(name, h5py).load(file)


def hdf5_fault(path: str, error: Exception) -> NetcError:
    """An exception of h5py as a NetcError about the file; to be raised by the caller."""
    why = reason(error)
    if "truncated file" in why:
        sizes = re.search(r"eof = (\d+).*stored_eof = (\d+)", why)
        has = f", at byte {int(sizes[1]):,} of {int(sizes[2]):,}" if sizes else ""
        return fault(
            "truncated-weights",
            path,
            f"the file ends too early{has}",
            "the download was cut off; download the file again",
        )
    return fault("malformed-weights", path, f"the HDF5 file is damaged: {why}", "download it again")


class _GroupWalk:
    """One walk through a file's groups."""

    def __init__(self, path: str, h5py: ModuleType) -> None:
        self.path = path
        self.h5py = h5py
        self.allowance = Allowance(path, os.path.getsize(path))
        self.layers: dict[str, None] = {}
        self.groups: dict[tuple[int, int], str] = {}

    def load(self, file: h5py.File) -> Weights:
        data = self._member(file, "data")
        if not isinstance(data, self.h5py.Group):
            raise _no_data(self.path, list(file)[:5])
        entries = list(self._group(data, "", 0))
        return gather(self.path, "hdf5", self.layers, entries)

    def _group(self, group: h5py.Group, name: str, depth: int) -> Iterator[ArchiveEntry]:
        """The arrays below a group; the group is a layer if it holds arrays or nothing."""
        if depth > _MAX_DEPTH:
            raise fault("malformed-weights", self.path, f"groups are over {_MAX_DEPTH} deep")
        self._check_first(group, name)
        keys, below = list(group), False
        for key in keys:
            self.allowance.count()
            member = self._member(group, key)
            path = f"{name}/{key}" if name else key
            if isinstance(member, self.h5py.Group):
                below = True
                yield from self._group(member, path, depth + 1)
            elif isinstance(member, self.h5py.Dataset):
                layer, index = blob_name(self.path, path)
                self.layers[layer] = None
                yield ArchiveEntry(layer, index, self._array(member, path), path)
        if name and not below:
            self.layers[name] = None

    def _check_first(self, group: h5py.Group, name: str) -> None:
        """Groups make a tree: of twenty, each in the next twice, a walk would find a million."""
        place = self.h5py.h5o.get_info(group.id)
        before = self.groups.setdefault((place.fileno, place.addr), name)
        if before != name:
            raise fault(
                "malformed-weights",
                self.path,
                f"the group `{name[:80]}` is the group `{before[:80]}` by another name, which "
                "weights do not have",
            )

    def _member(self, group: object, key: str) -> object:
        return own_member(self.path, group, key)

    def _array(self, dataset: h5py.Dataset, key: str) -> AnyArray:
        check_dataset(self.path, key, dataset)
        self.allowance.take(key, dataset_bytes(dataset))
        values = np.empty(dataset.shape, dtype=np.float32)
        if values.size:
            with np.errstate(over="ignore", invalid="ignore"):
                dataset.read_direct(values)
        return read_only(values)


def load_data_set(path: str, name: str) -> AnyArray:
    """One data set of an HDF5 file as float32, of at most 64 MiB.

    Raises:
        NetcError: missing-package without h5py; malformed-weights, bad-blob, too-large, or
            missing-dataset where the file has none of this name.
    """
    h5py = h5py_module()
    with strangers_bytes(lambda error: hdf5_fault(path, error)):
        with h5py.File(path, "r") as file:
            found = own_member(path, file, name)
            if not isinstance(found, h5py.Dataset):
                raise fault("missing-dataset", path, f"the HDF5 file has no data set `{name}`")
            check_dataset(path, name, found)
            if dataset_bytes(found) > _LARGEST_DATA_SET:
                raise fault("too-large", path, f"the data set `{name}` takes more than 64 MiB")
            return np.asarray(found[...], np.float32)


def own_member(path: str, group: h5py.Group, key: str) -> Any:
    """A member of a group, or None; links are refused.

    Raises:
        NetcError: malformed-weights, where it is a soft or external link, which could name any
            file of the machine.
    """
    link = group.get(key, getlink=True)
    if link is not None and not isinstance(link, h5py_module().HardLink):
        raise fault("malformed-weights", path, f"`{key}` is a link, which weights do not have")
    return group.get(key)


def check_dataset(path: str, key: str, dataset: h5py.Dataset) -> None:
    """Check that a dataset has real numbers, a blob's shape and no external storage.

    Raises:
        NetcError: bad-blob.
    """
    if dataset.shape is None or dataset.is_virtual or dataset.external:
        raise fault("bad-blob", path, f"the dataset `{key}` has no values in this file")
    check_array(path, key, dataset.shape, dataset.dtype.kind)


def dataset_bytes(dataset: h5py.Dataset) -> int:
    """Bytes that reading a dataset takes: its values, plus one chunk as stored and unpacked.

    A chunk may be much larger than the dataset, which then fills only a corner of it.
    """
    chunk = math.prod(dataset.chunks) if dataset.chunks else 0
    values = dataset.size * max(4, dataset.dtype.itemsize)
    return int(values + 2 * chunk * dataset.dtype.itemsize)


def _no_data(path: str, names: list[str]) -> NetcError:
    listed = ", ".join(f"`{name}`" for name in names) or "nothing"
    keras = any(name in ("model_weights", "layers", "optimizer_weights") for name in names)
    return fault(
        "not-weights",
        path,
        f"the HDF5 file has no group `data`; it has {listed}",
        "this is a Keras model; export it to Caffe or save its arrays as an .npz"
        if keras
        else "Caffe's weights lie under `/data/<layer>/<index>`",
    )


def save_hdf5(path: Path, weights: Weights) -> None:
    """Write a ``.caffemodel.h5`` of float32 datasets.

    Raises:
        NetcError: missing-package without h5py; unsupported-name, where HDF5 does not allow a
            layer's name.
    """
    h5py = h5py_module()
    _check_names(weights)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for layer in weights.layers:
            data.require_group(layer)
        for entry in entries_of(weights):
            data.create_dataset(
                f"{entry.layer}/{entry.index}", data=entry.array, dtype=entry.stored
            )
        if any(layer.diffs for layer in weights.layers.values()):
            _save_diffs(file.create_group("diff"), weights)


def _save_diffs(group: h5py.Group, weights: Weights) -> None:
    """Of every layer, those that share a parameter too (net.cpp, Net::ToHDF5)."""
    for name, layer in weights.layers.items():
        own = group.require_group(name)
        for index, diff in enumerate(layer.diffs):
            own.create_dataset(str(index), data=diff, dtype="<f4")


def _check_names(weights: Weights) -> None:
    """Names that HDF5 cannot have, and a layer whose name is another's array."""
    taken = {f"{e.layer}/{e.index}" for e in entries_of(weights)}
    for name in weights.layers:
        parts = name.split("/")
        prefixes = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        if "\0" in name or any(p in ("", ".") for p in parts) or taken & set(prefixes):
            raise NetcError(
                Diagnostic(
                    "unsupported-name",
                    f"layer `{name}` cannot be saved as HDF5: its name is no group's name there",
                    help=("save as .caffemodel or .npz, which take every name",),
                )
            )
