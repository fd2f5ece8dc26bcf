"""What there is to do: records, how they are decoded, what answers them, where answers go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from netc.predict.answers import Keeper
from netc.predict.decode import Decoder
from netc.predict.records.base import Records
from netc.predict.store import Range, Shard, Store


class Job(NamedTuple):
    """A run that is ready to go on with.

    Attributes:
        records: of the source.
        decoder: makes columns of them.
        keeper: makes the output's columns of answers.
        store: where shards go.
        rows: records of a shard.
        batch: records that are decoded and answered together.
        row_bytes: of what a decoded record takes.
        missing: the records that are to be done.
        arguments: of :class:`netc.Predictor`, threads aside.
    """

    records: Records
    decoder: Decoder
    keeper: Keeper
    store: Store
    rows: int
    batch: int
    row_bytes: int
    missing: list[Range]
    arguments: Mapping[str, Any]


Done = Callable[[int], None]  # told of records that have been answered
Written = Callable[[Shard], None]  # told of each shard
