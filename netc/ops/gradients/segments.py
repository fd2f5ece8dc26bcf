"""Gradients of BatchReduction, Gather and Scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netc.ir.graph import Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.segments import (
    BATCH_REDUCTION,
    GATHER,
    SCATTER,
    BatchReductionParams,
    reduced_parts,
)
from netc.ops.gradients.define import INPUT, Build, Gradient, Reads, Saved, gradients, of


def _batch_reduction(
    params: BatchReductionParams, saved: Saved, tops: Arrays, index: int
) -> AnyArray:
    shape = saved.shapes[0]
    axis, parts = reduced_parts(params, shape)
    whole = (*shape[:axis], len(parts), *shape[axis + 1 :])
    top = np.asarray(tops[0]).reshape(whole)
    made = np.zeros(shape, top.dtype)
    for at, place in enumerate(parts):
        where = (slice(None),) * axis + (place,)
        slope = np.expand_dims(np.take(top, at, axis=axis), axis)
        if params.most:
            part = np.asarray(saved.inputs[0])[where]
            ranks = (-part).argsort(axis=axis, kind="stable").argsort(axis=axis, kind="stable")
            made[where] = slope / params.most * (ranks < params.most)
        else:
            made[where] = slope / (made[where].shape[axis] if params.mean else 1)
    return made


def _reads_greatest(params: BatchReductionParams, index: int, bottoms: int) -> Reads:
    return INPUT if params.most else Reads()


def _own(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """Each bottom's gradient is that of the top at its place."""
    return {at: top for at in wanted if (top := tops[at]) is not None}


GRADIENTS = gradients(
    of(BATCH_REDUCTION, Gradient(_batch_reduction, _reads_greatest, host=True)),
    of(GATHER, Gradient(build=_own, paired=True)),
    of(SCATTER, Gradient(build=_own, paired=True)),
)
