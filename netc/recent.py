"""A least-recently-used cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LeastRecentlyUsed(Generic[Key, Value]):
    """A least-recently-used cache of at most ``capacity`` values.

    It is not thread-safe: callers that share one between threads hold a lock.

    Args:
        capacity: how many values are kept, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: dict[Key, Value] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, else that of ``make()``, which is kept.

        If ``make`` raises, the cache is unchanged.
        """
        found = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = found
        while len(self._kept) > self.capacity:
            del self._kept[next(iter(self._kept))]
        return found

    def clear(self) -> None:
        """Drop all values."""
        self._kept.clear()

    def values(self) -> tuple[Value, ...]:
        """The kept values, least recently used first."""
        return tuple(self._kept.values())

    def __iter__(self) -> Iterator[Key]:
        """The keys of what is kept, the one used longest ago first."""
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept
