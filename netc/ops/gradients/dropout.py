"""Gradients of Dropout and DropPath: the top's gradient times the mask.

The mask is drawn again from the generator's key; nothing of the forward pass is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from netc.ir.graph import Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import P
from netc.ops.dropout import (
    DROP_PATH,
    DROPOUT,
    DropoutParams,
    DropPathParams,
    dropout_factor,
    path_factor,
)
from netc.ops.gradients.activation import scaled
from netc.ops.gradients.define import Build, Gradient, Saved, gradients, of


def _built(
    build: Build, node: Node, tops: Sequence[str | None], wanted: Sequence[int]
) -> Mapping[int, str]:
    """Where nothing is drawn it is one factor for all."""
    top = tops[0]
    assert top is not None
    params = node.params_as(DropoutParams, DropPathParams)
    return {} if params.sample else {0: scaled(build, top, params.scale)}


def _masked(factor: Callable[[P, AnyArray, AnyArray | None], AnyArray]) -> Gradient[P]:
    def define(params: P, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        key = saved.inputs[1] if len(saved.inputs) > 1 else None
        return tops[0] * factor(params, tops[0], key)

    return Gradient(define, build=_built)


GRADIENTS = gradients(
    of(DROPOUT, _masked(dropout_factor)),
    of(DROP_PATH, _masked(path_factor)),
)
