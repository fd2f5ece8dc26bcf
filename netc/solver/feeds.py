"""Batches of a net from anything that yields dicts of arrays, behind one interface."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import Diagnostic, NetcError
from netc.sources.share import WHOLE, RankShare

Batch = Mapping[str, Any]
Source = Batch | Sequence[Batch] | Iterable[Batch] | Callable[..., Batch] | None


class Feeds:
    """Batches one after the other; ``position`` is how many have been taken.

    A batch is a dict from input blob to array, the batch axis first. ``source`` is one of

    * a dict of arrays: the batch of every pass;
    * a list or tuple of dicts: the batches of the passes in turn, starting again after the last;
    * a function: called with the number of the pass, from 0, or without arguments if it takes none;
    * any other iterable: its items; iterated again at its end where that is possible;
    * None: nothing is fed.

    ``name`` is the net's name in messages. Each rank takes its share of the batches of a list or a
    function, and every batch of an iterable. With ``divide`` all ranks take the same batches, and
    of each batch their part along the first axis.
    """

    def __init__(
        self, source: Source, name: str, share: RankShare = WHOLE, *, divide: bool = False
    ) -> None:
        self.source, self.name = source, name
        self._share, self._divide = share, divide
        self.position = 0
        self._iterator: Iterator[Batch] | None = None
        self._ahead: Batch | None = None
        self._call = _caller(source) if callable(source) else None
        self._numbered = callable(source) and _takes_number(source)

    @property
    def can_seek(self) -> bool:
        """Whether :meth:`seek` can go back to batches that were taken."""
        several = isinstance(self.source, Sequence) and not isinstance(self.source, str)
        return self._numbered or self.source is None or isinstance(self.source, Mapping) or several

    def peek(self) -> Batch:
        """The next batch, without taking it.

        Raises:
            NetcError: bad-feeds, where there is no further batch or it is no dict of arrays; what
                a data layer's source raises.
        """
        if self._ahead is None:
            number = self.position if self._divide else self._share.batch(self.position)
            self._ahead = self._part(self._checked(self._batch(number)))
        return self._ahead

    def take(self) -> Batch:
        """Take the next batch; raises as :meth:`peek`."""
        batch = self.peek()
        self._ahead = None
        self.position += 1
        return batch

    def seek(self, position: int) -> None:
        """Continue at pass ``position``; for sources where ``can_seek`` is true."""
        if position != self.position:
            self._ahead = None
            self.position = position

    def _batch(self, position: int) -> Any:
        if self.source is None:
            return {}
        if self._call is not None:
            return self._call(position)
        if isinstance(self.source, Mapping):
            return self.source
        if isinstance(self.source, Sequence) and not isinstance(self.source, str):
            if not self.source:
                raise self._bad("an empty list has no batches")
            return self.source[position % len(self.source)]
        return self._next()

    def _next(self) -> Any:
        source: Any = self.source
        if not isinstance(source, Iterable) or isinstance(source, str):
            kind = type(source).__name__
            raise self._bad(f"batches are a list, a generator or a function, not a `{kind}`")
        for _ in range(2):
            batches: Iterator[Any] = iter(source) if self._iterator is None else self._iterator
            self._iterator = batches
            for batch in batches:
                return batch
            self._iterator = None if batches is not source else batches
        raise self._bad(f"there are no more batches after {self.position}")

    def _part(self, batch: Batch) -> Batch:
        if not self._divide:
            return batch
        return {blob: self._rows(blob, np.asarray(array)) for blob, array in batch.items()}

    def _rows(self, blob: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
        rank, ranks = self._share
        rows, rest = divmod(array.shape[0] if array.ndim else 0, ranks)
        if rest or not rows:
            raise self._bad(f"`{blob}` is {array.shape}, and cannot be divided among {ranks} ranks")
        return array[rank * rows : (rank + 1) * rows]

    def _checked(self, batch: object) -> Batch:
        if not isinstance(batch, Mapping):
            kind = type(batch).__name__
            raise self._bad(f"a batch is a dict of arrays by blob, not a `{kind}`")
        return batch

    def _bad(self, message: str) -> NetcError:
        return NetcError(Diagnostic("bad-feeds", f"feeds of {self.name}: {message}"))


def _caller(source: Callable[..., Batch]) -> Callable[[int], Batch]:
    """The function, called by the number of the pass whether it wants it or not."""
    return source if _takes_number(source) else lambda position: source()


def _takes_number(source: Callable[..., Batch]) -> bool:
    try:
        inspect.signature(source).bind(0)
    except (TypeError, ValueError):
        return False
    return True
