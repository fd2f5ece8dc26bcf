"""Dropout: the identity in TEST, a random mask in TRAIN (Srivastava et al. 2014).

Caffe draws its masks from a generator of its own, so no other program can draw the same ones. Here
a layer's mask follows from a seed alone: the fork field ``random_seed``, else the layer's name.
Each forward of the same parameters so drops the same elements; a trainer that wants new ones
replaces ``seed``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netc.ir.types import Shape, count
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import namespace
from netc.ops.define import Cost, LayerContext, OpDef, same_shape
from netc.ops.fields import bad_value, fork_field, only
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DropoutParams:
    """What is dropped and what scales the rest.

    Args:
        ratio: share of the elements that becomes 0.
        sample: whether a mask is drawn: in TRAIN, or always by ``sample_weights_test``.
        scale: factor of the elements that stay; without a mask, of all of them.
        seed: of the mask.
    """

    ratio: float = 0.5
    sample: bool = False
    scale: float = 1.0
    seed: int = 0


def _parse_dropout(layer: Message, context: LayerContext) -> DropoutParams:
    """Parameters of dropout_layer.cpp, with the forks' ``scale_train`` and SegNet's sampling."""
    message = only(
        layer.get("dropout_param"),
        *("dropout_ratio", "scale_train", "random_seed", "sample_weights_test"),
    )
    ratio = message.get("dropout_ratio")
    if not 0 <= ratio < 1:
        raise bad_value(
            message,
            "dropout_ratio",
            "must be at least 0 and less than 1",
            "it is the share that is dropped; what stays is divided by 1 minus it",
        )
    sample = context.phase == "TRAIN" or fork_field(message, "sample_weights_test", False)
    scaled_in_training = fork_field(message, "scale_train", True)
    scale = 1 / (1 - ratio) if scaled_in_training else 1.0
    if not sample:
        scale = 1.0 if scaled_in_training else 1 - ratio
    return DropoutParams(ratio, sample, scale, seed_of(layer, message))


def seed_of(layer: Message, message: Message) -> int:
    """A seed that is the same in every run: ``random_seed`` where given, else by the name."""
    given = fork_field(message, "random_seed", -1)
    if given is not None and given >= 0:
        return int(given)
    return zlib.crc32(layer.get("name").encode())


def kept(x: Any, shape: Shape, ratio: float, seed: int) -> Any:
    """Whether each element stays: bools of ``shape``, in the array library of ``x``."""
    mask = np.random.default_rng(seed).random(shape) >= ratio
    return namespace(x).asarray(mask)


def _dropout(params: DropoutParams, inputs: Sequence[Any], weights: Sequence[Any]) -> Sequence[Any]:
    (x,) = inputs
    scale = np.float32(params.scale)
    if params.sample:
        return (x * kept(x, x.shape, params.ratio, params.seed) * scale,)
    return (x if scale == 1 else x * scale,)


def _dropout_cost(params: DropoutParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    each = 2 * params.sample + (not params.sample and params.scale != 1)
    return Cost(operations=each * count(outputs[0]))


def _drops_nothing(params: DropoutParams, inputs: Sequence[Shape]) -> bool:
    return not params.sample and params.scale == 1


DROPOUT = OpDef(
    name="Dropout",
    identity=_drops_nothing,
    arity=ONE_TO_ONE,
    params=_parse_dropout,
    shape=same_shape,
    cost=_dropout_cost,
    reference=_dropout,
    in_place=True,
)

OPS = (DROPOUT,)
