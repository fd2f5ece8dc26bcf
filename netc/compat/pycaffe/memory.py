"""A blob's elements as Caffe keeps them: memory that only grows (blob.cpp, Blob::Reshape)."""

from __future__ import annotations

import sys

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape, count


class Memory:
    """Elements, float32, seen in one shape after another.

    A shape of as many elements as there is room for, or fewer, is seen in the same memory, whose
    first elements it has. A larger one gets new memory, filled with ``value``.
    """

    def __init__(self, room: int, value: float = 0.0) -> None:
        self._room = room
        self._value = value
        self._store: Array | None = None  # all of the memory, in any shape
        self._view: Array | None = None  # what scripts are given

    @property
    def used(self) -> bool:
        """Whether it exists; until then nobody has seen it."""
        return self._store is not None

    def fit(self, size: int) -> None:
        """Make room for as many elements; where there is less, the old memory is left."""
        if size > self._room:
            self._room, self._store, self._view = size, None, None

    def seen(self, shape: Shape) -> Array:
        """The first elements in this shape, the same array as long as the shape stays."""
        size = count(shape)
        self.fit(size)
        if self._store is None:
            self._store = np.full(shape if size == self._room else self._room, self._value, "f4")
        if self._view is None or self._view.shape != shape:
            same = self._store.shape == shape
            self._view = self._store if same else self._store.reshape(-1)[:size].reshape(shape)
        return self._view

    def take(self, array: Array) -> None:
        """Have these elements: in the memory that scripts may hold, or else as the memory."""
        own = array.base is None and array.flags.writeable and array.flags.c_contiguous
        if self.used or array.size < self._room or not own:
            self.seen(array.shape)[...] = array
        else:
            self._room, self._store, self._view = array.size, array, array

    @property
    def held(self) -> bool:
        """Whether a script holds a reference to an array of this memory, or a view of one."""
        return self._store is not None and self.references() > _ALONE[self._view is self._store]

    def references(self) -> int:
        """How many references there are to what the memory is made of."""
        return sys.getrefcount(self._store) + sys.getrefcount(self._view)


def _alone(same: bool) -> int:
    """The references where no script holds any."""
    memory = Memory(2)
    memory.seen((2,))
    if not same:
        memory.seen((1,))
    return memory.references()


_ALONE = {same: _alone(same) for same in (False, True)}
