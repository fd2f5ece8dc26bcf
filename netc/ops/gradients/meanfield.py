"""Gradient of MultiStageMeanfield: its iterations in reverse (meanfield_iteration.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.meanfield import (
    MULTI_STAGE_MEANFIELD,
    Filter,
    Iteration,
    MeanfieldParams,
    filters,
    iterations,
)
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


@dataclass(slots=True)
class _Sums:
    """The gradients of one image, as iterations add to them."""

    unary: AnyArray
    first: AnyArray
    weights: list[AnyArray]


def _of_image(params: MeanfieldParams, saved: Saved, at: int, top: AnyArray) -> _Sums:
    unary, first, image = (np.asarray(array)[at] for array in saved.inputs)
    flat = [array.reshape(len(unary), -1).astype(np.float64) for array in (unary, first)]
    pair = filters(params, image)
    done = list(iterations(params, flat[0], flat[1], pair, saved.weights))
    own = [np.asarray(w).reshape(w.shape[-2:]).astype(np.float64) for w in saved.weights]
    sums = _Sums(np.zeros_like(flat[0]), top, [np.zeros_like(w) for w in own])
    for stage in reversed(done):
        _back(sums, stage, pair, own)
    return sums


def _back(sums: _Sums, stage: Iteration, pair: tuple[Filter, Filter], own: list[AnyArray]) -> None:
    """One iteration; ``sums.first`` is the gradient by what it made, then by what it was given."""
    by_near, by_alike, bearing = own
    sums.unary += sums.first
    paired = -sums.first
    message = bearing.T @ paired
    for held, made in zip(
        sums.weights,
        (message @ stage.near.T, message @ stage.alike.T, paired @ stage.message.T),
        strict=True,
    ):
        held += made
    prob = pair[0].back(by_near.T @ message) + pair[1].back(by_alike.T @ message)
    sums.first = stage.prob * (prob - (stage.prob * prob).sum(axis=0, keepdims=True))


def _summed(params: MeanfieldParams, saved: Saved, tops: Arrays) -> list[_Sums]:
    top = np.asarray(tops[0]).astype(np.float64)
    return [_of_image(params, saved, at, own.reshape(len(own), -1)) for at, own in enumerate(top)]


def _bottom(params: MeanfieldParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    found = [s.unary if index == 0 else s.first for s in _summed(params, saved, tops)]
    return np.stack(found).reshape(saved.shapes[index]).astype(tops[0].dtype)


def _weight(params: MeanfieldParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    found = [s.weights[index] for s in _summed(params, saved, tops)]
    result: AnyArray = (
        np.sum(found, axis=0).reshape(saved.weights[index].shape).astype(tops[0].dtype)
    )
    return result


_ALL = Reads(inputs=(0, 1, 2), weights=(0, 1, 2))

GRADIENTS = gradients(
    of(MULTI_STAGE_MEANFIELD, Gradient(_bottom, _ALL, _weight, _ALL, ignored=(2,), host=True)),
)
