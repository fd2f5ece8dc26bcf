"""Divides a run's batches among ranks, or each batch by the number of ranks."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Collector
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.schema.message import Entry, Message


class RankShare(NamedTuple):
    """Rank ``rank`` of ``size`` takes every ``size``-th batch, so that none is taken twice.

    Pass p of the ranks together is the batches p * size to p * size + size - 1, in the order of the
    ranks: what one rank would take in ``size`` passes, or in one pass with a batch ``size`` times
    as large.
    """

    rank: int = 0
    size: int = 1

    def batch(self, position: int) -> int:
        """The run's batch that this rank takes in its pass ``position``."""
        return position * self.size + self.rank


WHOLE = RankShare()


def divided(net: Message, ranks: int, state: NetState) -> Message:
    """The net with the batch sizes of its data layers, in a NetState, divided by ``ranks``.

    Raises:
        NetcError: uneven-batch, at a ``batch_size`` that cannot be divided.
    """
    kept = {id(layer) for layer in filter_layers(net, merged_state(net, state), Collector())}
    layers = tuple(
        entry._replace(value=_divided(entry.value, ranks)) if id(entry.value) in kept else entry
        for entry in net.entries.get("layer", ())
    )
    return net.with_entries(layer=layers)


def _divided(layer: Message, ranks: int) -> Message:
    """A layer each of whose blocks has a part of its ``batch_size``, if it has one."""
    smaller: dict[str, tuple[Entry, ...]] = {}
    for block, entries in layer.entries.items():
        data = entries[-1].value
        if isinstance(data, Message) and "batch_size" in data.entries:
            smaller[block] = (entries[-1]._replace(value=_part(data, ranks)),)
    return layer.with_entries(**smaller)


def _part(data: Message, ranks: int) -> Message:
    (number, *_) = data.entries["batch_size"]
    size, rest = divmod(int(number.value), ranks)
    if rest:
        message = f"a batch of {number.value} cannot be divided among {ranks} ranks"
        help = "take another `batch_size`, or let each rank take the whole: `--batch per-rank`"
        raise data.error("batch_size", "uneven-batch", message, help)
    return data.with_entries(batch_size=(number._replace(value=size),))
