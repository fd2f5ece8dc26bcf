"""A mapping that keeps what was used last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LeastRecentlyUsed(Generic[Key, Value]):
    """Values that are made when they are first asked for; of more than ``most`` the oldest go.

    It has no lock of its own: who shares one between threads holds one.

    Args:
        most: how many are kept, at least 1.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: dict[Key, Value] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not kept. What ``make`` raises leaves all as it was."""
        found = self._kept.pop(key) if key in self._kept else make()
        self._kept[key] = found
        while len(self._kept) > self.most:
            del self._kept[next(iter(self._kept))]
        return found

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def values(self) -> tuple[Value, ...]:
        """What is kept, the one used longest ago first."""
        return tuple(self._kept.values())

    def __iter__(self) -> Iterator[Key]:
        """The keys of what is kept, the one used longest ago first."""
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept
