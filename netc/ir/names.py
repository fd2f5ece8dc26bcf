"""Unique names: numbered where they are taken, in few look-ups however many are."""

from __future__ import annotations

from collections.abc import Callable, Collection


def first_free(name: str, taken: Collection[str], numbered: Callable[[int], str]) -> str:
    """``name``, or where it is taken the first free one of ``numbered(2)``, ``numbered(3)`` ...

    Numbers must have been given out in order: the end of the run is found by doubling and halving.
    One by one, a thousand uses of a name would take half a million look-ups.
    """
    if name not in taken:
        return name
    low, high = 1, 2
    while numbered(high) in taken:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if numbered(middle) in taken:
            low = middle
        else:
            high = middle
    return numbered(high)
