"""Derived arrays that ranks of one machine share: each rank makes a part of every array.

Packed weights are the same on all ranks that train one net, and are made anew in each iteration. So
they lie in shared memory beside the variables that they are made of. Behind an update, when all
ranks have met, each makes its share of the units, and all meet again before somebody reads them.

Between iterations a variable may change on one rank alone, or on all (a state is restored). A rank
that sees a change makes whole arrays anew before it reads them, as it would where they were its
own. Where several do this at once they write the same elements.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from netc.ir.graph import Array
from netc.memory import check_memory

_LINE = 16  # float32 in a cache line

Fill = Callable[[int, int], None]  # (part, parts): make that part of the units


class JointMemory:
    """Shared memory for derived arrays.

    All ranks take the same arrays in the same order, while the programs of an iteration are made;
    then it is closed, since what a rank runs besides them is its own affair.

    Args:
        memory: float32 zeros that all ranks share. It may be larger than what is ever used.
        rank: this rank's number.
        ranks: how many there are.
    """

    def __init__(self, memory: Array, rank: int, ranks: int) -> None:
        self._memory, self._taken, self._open = memory, 0, True
        self._rank, self._ranks = rank, ranks
        self._fills: list[Fill] = []
        self._made: list[str] = []

    def take(self, shape: tuple[int, ...], elements: int) -> Array | None:
        """Zeros of a shape, at a cache line; None where it is closed or has no room.

        Raises:
            NetcError: too-little-memory.
        """
        begin, end = self._taken, self._taken + -(-elements // _LINE) * _LINE
        if not self._open or end > self._memory.size:
            return None
        check_memory(4 * elements, "packed weights that ranks share")
        self._taken = end
        self._made.append(str(shape))
        return self._memory[begin : begin + elements].reshape(shape)

    def add(self, fill: Fill, description: str) -> None:
        """Call ``fill`` behind each update; the description is the same on all ranks."""
        self._fills.append(fill)
        self._made.append(description)

    def close(self) -> int:
        """Give out no more; a number that says what all has been taken and is to be filled."""
        self._open = False
        return zlib.crc32("\n".join(self._made).encode())

    def fill(self) -> None:
        """Make this rank's share of all arrays."""
        for fill in self._fills:
            fill(self._rank, self._ranks)
