"""Blobs and parameters as scripts see them: arrays that can be written through."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, count, shape_fault, show


class Blob:
    """A blob of a net: ``data`` is float32 and stays the same array while the shape stays.

    What a forward computed is fetched when ``data`` is first asked for, by ``fetch``.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._array: Array | None = None
        self._diff: Array | None = None
        self.loss_weight = 0.0  # what `diff` holds until a backward or a script writes to it
        self._fetch: Callable[[], Array] | None = None

    def __repr__(self) -> str:
        return f"<Blob {show(self._shape, '')}>"

    @property
    def shape(self) -> Shape:
        """The sizes of its axes."""
        return self._shape

    @property
    def data(self) -> Array:
        """The elements, float32; writing to them changes the blob."""
        if self._fetch is not None:
            self.put(self._fetch())
        if self._array is None:
            self._array = np.zeros(self._shape, dtype=np.float32)
        return self._array

    @property
    def diff(self) -> Array:
        """The gradient, float32: what the last backward left or a script has written."""
        if self._diff is None or self._diff.shape != self.shape:
            self._diff = np.full(self.shape, self.loss_weight, dtype=np.float32)
        return self._diff

    @property
    def count(self) -> int:
        """The number of elements."""
        return count(self._shape)

    @property
    def num(self) -> int:
        """The first of four axes (Blob::LegacyShape)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second of four axes."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third of four axes."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The last of four axes."""
        return self._legacy(3)

    @property
    def pending(self) -> bool:
        """Whether its content has yet to be fetched."""
        return self._fetch is not None

    @property
    def filled(self) -> bool:
        """Whether its array exists: a script has read it, or a pass has computed it."""
        return self._array is not None

    @property
    def held(self) -> bool:
        """Whether a script holds a reference to its array or a view of it."""
        return self._array is not None and self._references() > _ALONE

    def _references(self) -> int:
        return sys.getrefcount(self._array)

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            message = f"a blob of {len(self._shape)} axes has no num, channels, height and width"
            raise NetcError(Diagnostic("bad-shape", message, help=("use `shape`",)))
        return self._shape[axis] if axis < len(self._shape) else 1

    def reshape(self, *shape: int) -> None:
        """Give it another shape; elements keep their order as far as there is room.

        Raises:
            NetcError: bad-shape, for sizes that are no whole numbers from 0 on; blob-too-large.
        """
        sizes = tuple(_size(size) for size in shape)
        fault = shape_fault(sizes)
        if fault:
            raise NetcError(
                Diagnostic("blob-too-large", f"a blob cannot be {show(sizes)}: {fault}")
            )
        if sizes != self._shape:
            old = None if self._array is None else self._array.ravel()
            self._shape, self._array, self._fetch = sizes, None, None
            if old is not None:
                kept = min(len(old), self.count)
                self.data.ravel()[:kept] = old[:kept]

    def put(self, array: Array) -> None:
        """Set the blob to a computed array."""
        self._fetch = None
        if self._array is not None and self._array.shape == array.shape:
            self._array[...] = array
            return
        own = array.base is None and array.flags.writeable and array.flags.c_contiguous
        self._array = array if own else np.array(array, order="C")
        self._shape = array.shape

    def put_later(self, shape: Shape, fetch: Callable[[], Array]) -> None:
        """Set the blob's shape, with content that ``fetch`` returns on first access."""
        if self._shape != shape:
            self._shape, self._array = shape, None
        self._fetch = fetch


def _size(size: object) -> int:
    if not hasattr(size, "__index__") or size.__index__() < 0:
        message = f"a blob's sizes are whole numbers from 0 on, not {size!r}"
        error = Diagnostic("bad-shape", message, help=("write reshape(1, 3, 224, 224)",))
        raise also(NetcError(error), TypeError)
    return int(size.__index__())


def _alone() -> int:
    """The references to an array that nobody but its blob holds."""
    blob = Blob((1,))
    blob.put(np.zeros(1, dtype=np.float32))
    return blob._references()


_ALONE = _alone()


class SplitBlob(Blob):
    """A top of a Split layer: the blob that was split, under another name."""

    def __init__(self, source: Blob) -> None:
        super().__init__(source.shape)
        self._source = source

    @property
    def shape(self) -> Shape:
        """The shape of the blob that was split."""
        return self._source.shape

    @property
    def data(self) -> Array:
        """The elements of the blob that was split."""
        return self._source.data

    @property
    def count(self) -> int:
        """The number of elements."""
        return self._source.count

    def _legacy(self, axis: int) -> int:
        return self._source._legacy(axis)


class Parameter(Blob):
    """A trained array; ``data`` is copied when it is first asked for, so that it can be written."""

    def __init__(self, array: Array, owner: Parameter | None = None, one_diff: bool = True) -> None:
        super().__init__(array.shape)
        self._given = array
        self._owner = owner
        self._one_diff = one_diff

    @property
    def data(self) -> Array:
        """The elements; what is written to them counts from the next forward on."""
        if self._owner is not None:
            return self._owner.data.reshape(self._shape)
        if self._array is None:
            self._array = self._given.copy()
        return self._array

    @property
    def diff(self) -> Array:
        """The gradient, to which each backward adds; one array for all that share the elements."""
        if self._owner is not None and self._one_diff:
            return self._owner.diff.reshape(self._shape)
        return super().diff

    @property
    def array(self) -> Array:
        """The elements as they are, not to be written to."""
        if self._owner is not None:
            return self._owner.array.reshape(self._shape)
        return self._given if self._array is None else self._array

    def set(self, array: Array) -> None:
        """Take over other weights; arrays that scripts hold are written through."""
        if self._owner is not None:
            self._owner.set(array.reshape(self._owner.shape))
        elif self._array is None:
            self._given = array
        else:
            self._array[...] = array

    def reshape(self, *shape: int) -> None:
        """Refused: a parameter's shape follows from its layer.

        Raises:
            NetcError: bad-shape, unless the shape is the one it has.
        """
        if shape != self._shape:
            message = f"a parameter of shape {self._shape} cannot become {shape}"
            help = "its layer says its shape: change the prototxt"
            raise NetcError(Diagnostic("bad-shape", message, help=(help,)))
