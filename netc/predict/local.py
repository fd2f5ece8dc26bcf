"""A run on this machine: threads decode ahead, the calling thread runs batches through the net."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.predict.answers import answered
from netc.predict.decode import INDEX
from netc.predict.formats.base import Columns
from netc.predict.job import Done, Job
from netc.predict.predictor import Predictor
from netc.predict.store import Range, iterate

_AHEAD = 2  # batches that wait decoded, besides those that threads are at


def run_local(job: Job, predictor: Predictor, done: Done, decoders: int | None = None) -> None:
    """Run the job's missing records, shard by shard.

    At most ``decoders`` + 2 decoded batches and the outputs of one shard are held in memory.

    Args:
        job: the job.
        predictor: made from the job's arguments.
        done: called as records are answered.
        decoders: number of decoding threads; None for one per core.

    Raises:
        NetcError: cannot-write, too-little-memory; with a strict decoder what is wrong with a
            record.
    """
    threads = decoders or cores()
    what = f"{threads + _AHEAD} decoded batches of {job.batch}"
    held = (threads + _AHEAD) * job.batch * job.row_bytes
    check_memory(held, what, None, "a smaller --batch takes less")
    ends = {last for _, last in job.missing}
    kept: list[Columns] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="netc decode") as pool:
        parts = iterate(job.missing, job.batch)
        for (_, last), columns in _decoded(job, parts, pool, threads + _AHEAD):
            kept.append(answered(predictor, job.keeper, columns))
            done(len(columns[INDEX]))
            if last in ends:
                job.store.write(job.keeper.labelled(joined(kept)))
                kept = []


def cores() -> int:
    """The number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _decoded(
    job: Job, parts: Iterator[Range], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Range, dict[str, AnyArray]]]:
    """Decoded parts in their order, ``ahead`` of them at most under way or waiting."""
    waiting: deque[tuple[Range, Future[dict[str, Any]]]] = deque()
    try:
        for part in parts:
            records = job.records.part(*part)
            run = copy_context().run
            waiting.append((part, pool.submit(run, job.decoder, records, part[0])))
            if len(waiting) >= ahead:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        for _, future in waiting:
            future.cancel()


def _next(
    waiting: deque[tuple[Range, Future[dict[str, AnyArray]]]],
) -> tuple[Range, dict[str, Any]]:
    part, future = waiting.popleft()
    return part, future.result()


def joined(parts: list[Columns]) -> dict[str, AnyArray]:
    """The columns of several batches concatenated along the row axis."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
