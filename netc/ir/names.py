"""Names that nothing has yet, found in a few looks however many like them are taken."""

from __future__ import annotations

from collections.abc import Callable, Collection


def first_free(name: str, taken: Collection[str], numbered: Callable[[int], str]) -> str:
    """The name, or a numbered one that is free, where it is taken.

    Numbers go up from 2, and those of one name are taken in order: the end of such a run is found
    by doubling and halving. One by one, a thousand uses of a name would take half a million looks.
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
