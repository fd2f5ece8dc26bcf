"""``set_input_arrays``: the batches of a MemoryData layer (memory_data_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netc.compat.pycaffe.blob import Blob
from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, show
from netc.ops.array import AnyArray


class MemoryFeed:
    """Arrays of several batches, one for each forward pass; starts again after the last."""

    def __init__(self, data: AnyArray, labels: AnyArray, shape: Shape) -> None:
        self._data, self._labels = _data(data, shape), _labels(labels, len(data))
        self._batch = shape[0]
        self._at = 0
        if not self._data.size or len(self._data) % self._batch:
            raise _refused(
                f"{len(self._data)} items are no multiple of the batch of {self._batch}",
                RuntimeError,
            )

    def next(self) -> tuple[Array, Array]:
        """The next batch and its labels."""
        part = slice(self._at, self._at + self._batch)
        self._at = part.stop % len(self._data)
        return self._data[part], self._labels[part]


def _data(given: object, shape: Shape) -> Array:
    array = np.asarray(given)
    if array.dtype != np.float32 or array.ndim != 4 or array.shape[1:] != shape[1:]:
        message = f"float32 of {show(array.shape[:1] + shape[1:])} is taken, not {array.dtype} of "
        raise _refused(message + show(array.shape), RuntimeError)
    if not array.flags.c_contiguous:
        raise _refused("the array is not contiguous in C order", RuntimeError)
    return array


def _labels(given: object, number: int) -> Array:
    array = np.asarray(given)
    if array.dtype != np.float32 or array.shape not in ((number,), (number, 1, 1, 1)):
        message = f"labels are float32 of {number}, not {array.dtype} of {show(array.shape)}"
        raise _refused(message, RuntimeError)
    return array.reshape(number, 1, 1, 1)  # memory_data_layer.cpp, Forward_cpu


def check_filled(tops: Sequence[Blob]) -> None:
    """Check that a MemoryData layer has been given its arrays.

    Raises:
        NetcError: missing-input, a RuntimeError too.
    """
    if not any(top.filled for top in tops):
        message = "the MemoryData layer has no arrays"
        help = ("call net.set_input_arrays(data, labels) first, or write to its blobs",)
        error = NetcError(Diagnostic("missing-input", message, help=help))
        raise also(error, RuntimeError)


def _refused(message: str, kind: type[Exception]) -> NetcError:
    return also(NetcError(Diagnostic("bad-argument", f"set_input_arrays: {message}")), kind)
