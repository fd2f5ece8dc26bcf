"""Means of gradients over ranks, placed in a graph so that they are taken during the backward pass.

Gradients go into buckets in the order in which backward finishes them. Each is handed over behind
the node that makes it, a bucket's sums begin with its last, and all means are waited for at the
end, in the same order. As in PyTorch's DistributedDataParallel (Li et al., VLDB 2020): one message
a parameter would cost a latency each, and one for all could not begin before backward has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.ir.graph import Node
from netc.ir.types import Shape, count
from netc.ops.ranks import FINISH, START, Slot, SumParams, room, slice_of

BUCKET_BYTES = 25 << 20
_ALONE = 8 << 20  # bytes from which a gradient is a message of its own, and is never copied


@dataclass(frozen=True, slots=True)
class Distribution:
    """Over which group gradients are averaged, and from how many bytes on a bucket is full.

    Where ``ranks`` is above one they share the memory of the parameters: rank ``rank`` takes the
    means of its slice of each gradient and updates that slice alone. A parameter that ``owners``
    has is one slice, of the rank beside it: its update needs the norm of the whole.
    """

    group: str
    bucket_bytes: int = BUCKET_BYTES
    rank: int = 0
    ranks: int = 1
    owners: tuple[tuple[str, int], ...] = ()

    @property
    def sliced(self) -> bool:
        """Whether a rank has a slice of each parameter."""
        return self.ranks > 1

    def part(self, parameter: str, shape: Shape) -> tuple[int, ...]:
        """The elements of a parameter that this rank updates; empty where no slices are made."""
        if not self.sliced:
            return ()
        owner = dict(self.owners).get(parameter)
        if owner is None:
            return slice_of(count(shape), self.rank, self.ranks)
        return (0, count(shape) if owner == self.rank else 0)


def owners(sizes: Mapping[str, int], ranks: int) -> tuple[tuple[str, int], ...]:
    """A rank for each parameter: the largest first, each to the rank that has least so far.

    R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17 (1969).

    Args:
        sizes: parameter -> its number of elements.
        ranks: how many ranks there are.
    """
    loads = [0] * ranks
    found: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        found[name] = loads.index(min(loads))
        loads[found[name]] += sizes[name]
    return tuple(found.items())


def buckets(
    gradients: Mapping[str, str], shapes: Mapping[str, Shape], nodes: Sequence[Node], min_bytes: int
) -> list[list[str]]:
    """Parameters in the order in which their gradients are made, cut where a bucket is full.

    Args:
        gradients: parameter -> the value that is its gradient.
        shapes: of those values.
        nodes: in the order in which they run.
        min_bytes: bytes of a full bucket.
    """
    made = _made_by(nodes)
    found: list[list[str]] = []
    size = min_bytes
    for parameter in sorted(gradients, key=lambda name: made[gradients[name]]):
        own = 4 * count(shapes[gradients[parameter]])
        if size >= min_bytes or own >= _ALONE:
            found.append([])
            size = 0
        found[-1].append(parameter)
        size = min_bytes if own >= _ALONE else size + own
    return found


def _made_by(nodes: Sequence[Node]) -> dict[str, int]:
    """Value -> the index of the node that makes it."""
    return {value: index for index, node in enumerate(nodes) for value in node.outputs}


def mean_name(gradient: str) -> str:
    """The value of a gradient's mean over the ranks."""
    return f"{gradient}~mean"


def under_way_name(gradient: str) -> str:
    """The value of a gradient while its sum is under way."""
    return f"{gradient}~under_way"


def started(gradient: str, slot: Slot, over: Distribution) -> Node:
    """The node that hands a gradient over."""
    name = under_way_name(gradient)
    return Node(name, START, _params(slot, over), (gradient,), (name,))


def finished(gradient: str, slot: Slot, over: Distribution) -> Node:
    """The node that waits for its mean."""
    name = mean_name(gradient)
    return Node(name, FINISH, _params(slot, over), (under_way_name(gradient),), (name,))


def _params(slot: Slot, over: Distribution) -> SumParams:
    return SumParams(over.group, *slot, over.rank, over.ranks)


def slots(
    groups: Sequence[Sequence[str]], shapes: Mapping[str, Shape]
) -> Iterator[tuple[str, Slot]]:
    """Each gradient's slot, bucket by bucket; ``shapes`` are those of the gradients."""
    offset = 0
    for bucket, group in enumerate(groups):
        for index, gradient in enumerate(group):
            yield gradient, Slot(bucket, index, len(group), offset)
            offset += room(count(shapes[gradient]))


def with_starts(nodes: Sequence[Node], starts: Sequence[Node]) -> Iterator[Node]:
    """The nodes with each start behind the node that makes what it reads."""
    by_value = {start.inputs[0]: start for start in starts}
    for node in nodes:
        yield node
        yield from (by_value[value] for value in node.outputs if value in by_value)
