"""A batch inference job: its records, decoder, predictor arguments and output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from netc.predict.answers import Keeper
from netc.predict.decode import Decoder
from netc.predict.records.base import Records
from netc.predict.store import Range, Shard, Store


class Job(NamedTuple):
    """A planned run, new or resumed.

    Attributes:
        records: all records of the source.
        decoder: converts records to input columns.
        keeper: converts the net's outputs to output columns.
        store: writes the shards.
        rows: records per shard.
        batch: records per batch.
        row_bytes: bytes of one decoded record.
        missing: ranges of records still to do.
        arguments: keyword arguments of :class:`netc.Predictor`, without ``threads``.
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
