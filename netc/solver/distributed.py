"""A run on several ranks: who reads, tests and writes, and what they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from netc.backends.variables import Variables
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ops.ranks import Ranks, enter
from netc.ranks.shared import SharedSums, room
from netc.solver.read import NetChoice
from netc.sources.share import Share, divided
from netc.train.distribute import Distribution

BatchRule = Literal["per-rank", "total"]


@dataclass(frozen=True)
class Distributed:
    """This process's place in a run.

    Args:
        ranks: the group; None for a run of one process.
        batch: "per-rank", where every rank takes batches as large as the text says, as BVLC Caffe
            has it; "total", where it takes a part of that, as NVIDIA's fork has it.
    """

    ranks: Ranks | None = None
    batch: BatchRule = "per-rank"

    @property
    def rank(self) -> int:
        """This one's number."""
        return self.ranks.rank if self.ranks else 0

    @property
    def size(self) -> int:
        """How many take part."""
        return self.ranks.size if self.ranks else 1

    @property
    def leads(self) -> bool:
        """Whether it is this one that tests, logs and writes."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """Which batches it takes."""
        return Share(self.rank, self.size)

    @property
    def divides(self) -> bool:
        """Whether a batch as it is written is for all ranks together."""
        return self.batch == "total" and self.size > 1

    def net(self, choice: NetChoice) -> NetChoice:
        """The TRAIN net with the batches that a rank takes.

        Raises:
            NetcError: uneven-batch.
        """
        if not self.divides:
            return choice
        return choice._replace(message=divided(choice.message, self.size, choice.state))

    def distribution(self) -> Distribution | None:
        """How gradients are averaged by messages; None where there is nobody to average with."""
        if self.ranks is None or self.size == 1:
            return None
        name = f"ranks/{id(self.ranks)}"
        enter(name, self.ranks)
        return Distribution(name)

    def in_shared_memory(self, sizes: Sequence[int], histories: int) -> SharedSums | None:
        """How gradients are averaged in memory that all ranks see; None where there is none.

        Args:
            sizes: elements of each parameter that has a gradient.
            histories: arrays of a parameter's history.
        """
        if self.ranks is None or self.size == 1:
            return None
        copies = self.size + 1 + histories  # gradients of each rank, the parameter, its history
        memory = self.ranks.shared_memory(copies * sum(map(room, sizes)))
        return None if memory is None else SharedSums(self.ranks, memory)

    def same_everywhere(self, variables: Variables) -> None:
        """Let all variables be those of rank 0.

        What lies in shared memory has been written by all of them, with the same elements.
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
        """The mean of a number over the ranks, summed in their order."""
        if self.ranks is None:
            return number
        total = np.float32(0)
        for (other,) in self.ranks.gather([float(number)]):
            total += np.float32(other)
        return np.float32(total / np.float32(self.size))

    def any(self, *asked: bool) -> tuple[bool, ...]:
        """For each question, whether some rank says yes."""
        if self.ranks is None:
            return asked
        answers = self.ranks.gather([float(yes) for yes in asked])
        return tuple(any(column) for column in zip(*answers, strict=True))


ALONE = Distributed()


def distributed(ranks: Ranks | None, batch: str) -> Distributed:
    """A process's place in a run.

    Raises:
        NetcError: wrong-kind, for an unknown rule of batches.
    """
    if batch not in get_args(BatchRule):
        known = get_args(BatchRule)
        message = f"`batch` is one of {', '.join(known)}, not {batch!r}"
        raise NetcError(Diagnostic("wrong-kind", message, help=did_you_mean(batch, known)))
    return Distributed(ranks, "total" if batch == "total" else "per-rank")
