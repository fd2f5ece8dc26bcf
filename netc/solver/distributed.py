"""Data-parallel training: which rank reads what, tests and writes, and what is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from netc.backends.variables import Variables
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ops.ranks import Ranks, enter, room
from netc.ranks.shared import SharedSums
from netc.solver.read import NetChoice
from netc.sources.share import RankShare, divided
from netc.train.distribute import Distribution

BatchRule = Literal["per-rank", "total"]


@dataclass(frozen=True)
class Distributed:
    """This process's part in a run.

    Args:
        ranks: the group; None for a run of one process.
        batch: "per-rank": every rank's batch has the text's batch_size, as in BVLC Caffe; "total":
            the batch_size is divided among the ranks, as in NVIDIA's fork.
    """

    ranks: Ranks | None = None
    batch: BatchRule = "per-rank"

    @property
    def rank(self) -> int:
        """This rank's number, from 0."""
        return self.ranks.rank if self.ranks else 0

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self.ranks.size if self.ranks else 1

    @property
    def leads(self) -> bool:
        """Whether this rank tests, logs and writes snapshots: rank 0."""
        return self.rank == 0

    @property
    def share(self) -> RankShare:
        """Which of the run's batches this rank takes."""
        return RankShare(self.rank, self.size)

    @property
    def divides(self) -> bool:
        """Whether the text's batch_size is divided among the ranks."""
        return self.batch == "total" and self.size > 1

    def net(self, choice: NetChoice) -> NetChoice:
        """The TRAIN net with a rank's batch sizes.

        Raises:
            NetcError: uneven-batch, where a batch_size cannot be divided by the number of ranks.
        """
        if not self.divides:
            return choice
        return choice._replace(message=divided(choice.message, self.size, choice.state))

    def distribution(self) -> Distribution | None:
        """How gradients are averaged by messages; None for a single rank."""
        if self.ranks is None or self.size == 1:
            return None
        name = f"ranks/{id(self.ranks)}"
        enter(name, self.ranks)
        return Distribution(name)

    def in_shared_memory(
        self, sizes: Sequence[int], histories: int, whole: bool
    ) -> SharedSums | None:
        """How gradients are averaged in shared memory; None where ranks cannot share memory.

        Args:
            sizes: number of elements of each parameter that has a gradient.
            histories: number of history arrays per parameter.
            whole: whether every rank needs the means of all elements.
        """
        if self.ranks is None or self.size == 1:
            return None
        copies = self.size + 1 + histories  # gradients of each rank, the parameter, its history
        elements = sum(map(room, sizes))
        memory = self.ranks.shared_memory(copies * elements)
        return None if memory is None else SharedSums(self.ranks, memory, elements, whole)

    def same_everywhere(self, variables: Variables) -> None:
        """Broadcast rank 0's variables to all ranks.

        Variables in shared memory are left out: all ranks have written the same elements there.
        """
        if self.ranks is None:
            return
        for name in variables:
            place = variables.variable(name)
            if not place.shared:
                self.ranks.broadcast(place.array)
            place.changed()
        self.ranks.meet()

    def mean(self, number: np.float32) -> np.float32:
        """The float32 mean of a number over the ranks, summed in their order."""
        if self.ranks is None:
            return number
        total = np.float32(0)
        for (other,) in self.ranks.gather([float(number)]):
            total += np.float32(other)
        return np.float32(total / np.float32(self.size))

    def any(self, *asked: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any rank."""
        if self.ranks is None:
            return asked
        answers = self.ranks.gather([float(yes) for yes in asked])
        return tuple(any(column) for column in zip(*answers, strict=True))


ALONE = Distributed()


def distributed(ranks: Ranks | None, batch: str) -> Distributed:
    """This process's part in a run.

    Raises:
        NetcError: wrong-kind, where ``batch`` is neither "per-rank" nor "total".
    """
    if batch not in get_args(BatchRule):
        known = get_args(BatchRule)
        message = f"`batch` is one of {', '.join(known)}, not {batch!r}"
        raise NetcError(Diagnostic("wrong-kind", message, help=did_you_mean(batch, known)))
    return Distributed(ranks, "total" if batch == "total" else "per-rank")
