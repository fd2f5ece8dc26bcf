"""Decoded records of a database, kept from the first epoch for the next ones.

Small pictures take longer to be found, parsed and decoded than a small net takes to learn from
them. Data sets of such pictures fit into memory as bytes: MNIST is 47 MB, CIFAR-10 154 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.memory import budget
from netc.sources.records import ImageRecord

LIMIT = 256 << 20  # bytes of a layer's records
_STEP = 4 << 20  # bytes that are asked for at a time
_SPARE = 4  # times as much must be free
_OVERHEAD = 256  # bytes of a record beside its numbers


class DecodedRecords:
    """Records by their index; those for which there is no room are made anew each time.

    Threads may ask for different records at once.

    Args:
        limit: bytes that are kept at most; less where a budget of memory has no room.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: dict[int, ImageRecord] = {}
        self._bytes = self._asked = 0

    def __len__(self) -> int:
        return len(self._kept)

    def all_of(self, records: Sequence[int]) -> list[ImageRecord] | None:
        """Several records, where all of them are kept; else None."""
        found = [self._kept.get(record) for record in records]
        known = [one for one in found if one is not None]
        return known if len(known) == len(found) else None

    def get(self, record: int, make: Callable[[], ImageRecord]) -> ImageRecord:
        """A record; ``make`` decodes it. What that raises is not remembered."""
        found = self._kept.get(record)
        if found is None:
            found = make()
            size = found.pixels.nbytes + _OVERHEAD
            if self._room(size):
                self._bytes += size
                self._kept[record] = found
        return found

    def _room(self, size: int) -> bool:
        while self._bytes + size > self._asked:
            available = budget().available()
            step = max(_STEP, size)
            if self._asked + step > self._limit or (available or 0) < _SPARE * step:
                return False
            budget().hold(step, self)
            self._asked += step
        return True
