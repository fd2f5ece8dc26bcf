"""Inputs to calibrate with: records of whatever `netc predict` reads, decoded, in two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.memory import check_memory
from netc.predict.decode import FAULT, NAME
from netc.predict.job import Job
from netc.predict.plan import PredictRequest, planned
from netc.predict.prepare import ImageOptions
from netc.quantize.calibrate import Feeds, OnCount


class Items(NamedTuple):
    """Inputs by the names of blobs: to calibrate with, held back; and broken records."""

    calibration: Sequence[Feeds]
    held: Sequence[Feeds]
    broken: Sequence[str]


def job_of(
    net: str,
    weights: str,
    source: str,
    outputs: Mapping[str, Shape],
    images: ImageOptions,
    predictor: Mapping[str, Any],
) -> Job:
    """What there is to read.

    Raises:
        NetcError: of the source, the options and the inputs, as `netc predict` tells them.
    """
    request = PredictRequest(
        net, weights, source, Path("unwritten.jsonl"), "jsonl", True,
        images=images, predictor=predictor, blobs=tuple(outputs),
    )  # fmt: skip
    return planned(request, outputs, frozenset(), 1)[0]


def read_items(job: Job, limit: int, held: float, progress: OnCount) -> Items:
    """At most so many records, from all over the source, and a share of them held back.

    Args:
        job: what there is.
        limit: how many are read.
        held: share of the items that are not calibrated with, every so many-th one.
        progress: called with 1 for each.

    Raises:
        NetcError: too-little-memory; input-format, where no record can be read.
    """
    total = len(job.records)
    chosen = np.unique(np.linspace(0, total - 1, min(limit, total)).astype(np.int64)).tolist()
    check_memory(len(chosen) * job.row_bytes, f"{len(chosen)} inputs", None, "read fewer: --items")
    items: list[Feeds] = []
    broken: list[str] = []
    for index in chosen:
        columns = job.decoder(job.records.part(index, index + 1), index)
        if columns[FAULT][0]:
            broken.append(f"{columns[NAME][0]}: {columns[FAULT][0]}")
        else:
            items.append(_first_crop(columns, job))
        progress(1)
    if not items:
        raise NetcError(Diagnostic("input-format", f"none of the inputs can be read: {broken[0]}"))
    every = round(1 / held) if held > 0 else 0
    kept = [item for i, item in enumerate(items) if not every or i % every != every - 1]
    rest = [item for i, item in enumerate(items) if every and i % every == every - 1]
    return Items(kept, rest, broken)


def _first_crop(columns: Mapping[str, Any], job: Job) -> dict[str, Array]:
    """The row of each input, of an image its first crop: (1, ...)."""
    names = [image.column for image in job.decoder.images] or list(job.decoder.shapes)
    found = {}
    for name in names:
        array = np.asarray(columns[name])
        if job.decoder.images or array.ndim > len(job.decoder.shapes[name]) + 1:
            array = array[:, 0]
        found[name] = np.ascontiguousarray(array, np.float32)
    return found
