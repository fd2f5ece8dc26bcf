"""Blobs and parameters as scripts see them: arrays that can be written through."""

from __future__ import annotations

from collections.abc import Callable

from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.memory import Memory
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, count, shape_fault, show


class Blob:
    """A blob of a net: ``data`` is float32 and stays the same array while the shape stays.

    What a forward computed is fetched when ``data`` is first asked for, by ``fetch``.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._data = Memory(count(shape))
        self._diff: Memory | None = None
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
        return self._data.seen(self._shape)

    @property
    def diff(self) -> Array:
        """The gradient, float32: what the last backward left or a script has written."""
        if self._diff is None:
            self._diff = Memory(self.count, self.loss_weight)
        return self._diff.seen(self.shape)

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
        return self._data.used

    @property
    def held(self) -> bool:
        """Whether a script holds a reference to its array or a view of it."""
        return self._data.held

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            message = f"a blob of {len(self._shape)} axes has no num, channels, height and width"
            raise NetcError(Diagnostic("bad-shape", message, help=("use `shape`",)))
        return self._shape[axis] if axis < len(self._shape) else 1

    def reshape(self, *shape: int, **named: object) -> None:
        """Give it another shape; elements keep their places in memory as far as there is room.

        Raises:
            NetcError: bad-shape, for sizes that are no whole numbers from 0 on; blob-too-large.
        """
        if named:
            message = f"`reshape` takes sizes and no keywords, and is given `{next(iter(named))}`"
            error = Diagnostic("bad-argument", message, help=(_RESHAPE,))
            raise also(NetcError(error), RuntimeError)
        sizes = tuple(_size(size) for size in shape)
        fault = shape_fault(sizes)
        if fault:
            raise NetcError(
                Diagnostic("blob-too-large", f"a blob cannot be {show(sizes)}: {fault}")
            )
        if self.pending and count(sizes) <= self.count:
            self.data  # noqa: B018 - what was computed stays, in another shape
        self.resize(sizes)

    def resize(self, shape: Shape) -> None:
        """Give it another shape, as layers do; what has not been fetched is left."""
        if shape != self._shape:
            self._shape, self._fetch = shape, None
            for memory in (self._data, self._diff):
                if memory is not None:
                    memory.fit(count(shape))

    def put(self, array: Array) -> None:
        """Set the blob to a computed array."""
        self.resize(array.shape)
        self._fetch = None
        self._data.take(array)

    def put_later(self, shape: Shape, fetch: Callable[[], Array]) -> None:
        """Set the blob's shape, with content that ``fetch`` returns on first access."""
        self.resize(shape)
        self._fetch = fetch


_RESHAPE = "write reshape(1, 3, 224, 224)"


def _size(size: object) -> int:
    if not hasattr(size, "__index__") or size.__index__() < 0:
        message = f"a blob's sizes are whole numbers from 0 on, not {size!r}"
        error = Diagnostic("bad-shape", message, help=(_RESHAPE,))
        raise also(NetcError(error), TypeError)
    return int(size.__index__())


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


class ParameterBlob(Blob):
    """A trained array; ``data`` is copied when it is first asked for, so that it can be written."""

    def __init__(self, array: Array, owner: ParameterBlob | None = None) -> None:
        super().__init__(array.shape)
        self._given = array
        self._owner = owner  # whose elements these are
        self._diff_owner = owner
        self._copy: Array | None = None

    @property
    def data(self) -> Array:
        """The elements; what is written to them counts from the next forward on."""
        if self._owner is not None:
            return self._owner.data.reshape(self._shape)
        if self._copy is None:
            self._copy = self._given.copy()
        return self._copy if self._copy.shape == self._shape else self._copy.reshape(self._shape)

    @property
    def diff(self) -> Array:
        """The gradient, to which each backward adds; one array for all that share the elements."""
        if self._diff_owner is not None:
            return self._diff_owner.diff.reshape(self._shape)
        return super().diff

    @property
    def array(self) -> Array:
        """The elements as they are in the shape that their layer wants, not to be written to."""
        if self._owner is not None:
            return self._owner.array.reshape(self._given.shape)
        return self._given if self._copy is None else self._copy

    def set(self, array: Array) -> None:
        """Take over other weights; arrays that scripts hold are written through."""
        if self._owner is not None:
            self._owner.set(array.reshape(self._owner._given.shape))
        elif self._copy is None:
            self._given = array
        else:
            self._copy[...] = array

    def lend(self, owner: ParameterBlob) -> None:
        """Have the elements of another net's parameter from now on; the gradient stays its own."""
        while owner._owner is not None:
            owner = owner._owner
        if owner is not self:
            self._given, self._copy = owner.array.reshape(self._given.shape), None
            self._owner = owner

    def reshape(self, *shape: int, **named: object) -> None:
        """Show it in another shape; how many elements it has follows from its layer.

        Raises:
            NetcError: bad-shape, for another number of elements.
        """
        before = self._shape
        super().reshape(*shape, **named)
        if self.count != self._given.size:
            self._shape = before
            message = f"a parameter of shape {before} cannot become {shape}"
            help = "its layer says how many elements it has: change the prototxt"
            raise NetcError(Diagnostic("bad-shape", message, help=(help,)))
