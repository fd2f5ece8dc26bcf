"""Layers that drop at random in TRAIN: Dropout and DropPath.

Dropout: Srivastava et al. 2014. DropPath drops a whole residual branch, the random depth of Huang
et al. 2016, Deep networks with stochastic depth (arXiv:1603.09382); it is netc's own.

Caffe draws its masks from a generator of its own, so no other program can draw the same ones. Here
they are those of a counter-based one (netc.ops.random), by the seed, the iteration and the layer's
own number: the fork field ``random_seed``, else the layer's name. Seed and iteration are an input
that a graph has where it is wanted (netc.train.generator); without it both are 0, and each forward
drops the same elements. A backward pass draws the mask again in the place of storing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays
from netc.ops.axes import need_axes
from netc.ops.define import Affine, Cost, LayerContext, OpDef
from netc.ops.fields import bad_value, fork_field, reject_unknown_fields
from netc.ops.random import layer_number, uniform
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class DropoutParams:
    """Which elements become 0 and what the others are multiplied by (dropout_layer.cpp).

    Args:
        ratio: share of the elements that becomes 0.
        sample: whether a mask is drawn: in TRAIN, or always by ``sample_weights_test``.
        scale: factor of the elements that stay; without a mask, of all of them.
        seed: the layer's number, for the generator.
    """

    ratio: float = 0.5
    sample: bool = False
    scale: float = 1.0
    seed: int = 0


def _parse_dropout(layer: Message, context: LayerContext) -> DropoutParams:
    """Parameters of dropout_layer.cpp, with the forks' ``scale_train`` and SegNet's sampling."""
    message = reject_unknown_fields(
        layer.get("dropout_param"),
        *("dropout_ratio", "scale_train", "random_seed", "sample_weights_test", "scale_test"),
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
    # BVLC's pull request 5779 says by `scale_test` what others say by `scale_train: false`.
    later = fork_field(message, "scale_test", False)
    scaled_in_training = fork_field(message, "scale_train", True) and not later
    scale = 1 / (1 - ratio) if scaled_in_training else 1.0
    if not sample:
        scale = 1.0 if scaled_in_training else 1 - ratio
    return DropoutParams(ratio, sample, scale, seed_of(layer, message))


def seed_of(layer: Message, message: Message) -> int:
    """The layer's number in random draws: ``random_seed`` if it is given and not negative, else one
    made of the layer's name.
    """
    given = fork_field(message, "random_seed", -1)
    if given is not None and given >= 0:
        return int(given)
    return layer_number(layer.get("name"))


def dropout_factor(params: DropoutParams, x: AnyArray, key: AnyArray | None) -> AnyArray:
    """What ``x`` is multiplied by, in its shape and dtype; a scalar where no mask is drawn.

    ``key`` is the generator's key, float32 (4,); None stands for seed 0 and iteration 0.
    """
    scale: AnyArray = x.dtype.type(params.scale)
    if not params.sample:
        return scale
    result: AnyArray = (uniform(x, x.shape, params.seed, key) >= np.float32(params.ratio)) * scale
    return result


def _one_bottom(params: DropoutParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0],)


def draws(params: DropoutParams | DropPathParams) -> bool:
    """Whether a mask is drawn at each forward pass."""
    return params.sample


def _dropout(params: DropoutParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, *key = inputs
    if params.scale == 1 and not params.sample:
        return (x,)
    return (x * dropout_factor(params, x, key[0] if key else None),)


def _dropout_cost(params: DropoutParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    each = 2 * params.sample + (not params.sample and params.scale != 1)
    return Cost(operations=each * count(outputs[0]))


def _drops_nothing(params: DropoutParams, inputs: Sequence[Shape]) -> bool:
    return not params.sample and params.scale == 1


def _scaled_affine(
    params: DropoutParams | DropPathParams, inputs: Sequence[Shape], weights: Arrays
) -> Affine | None:
    """Where nothing is dropped, one factor for all."""
    channels = inputs[0][1]
    scale = np.full(channels, np.float32(params.scale), np.float64)
    return None if params.sample else Affine(scale, np.zeros(channels))


DROPOUT = OpDef(
    name="Dropout",
    identity=_drops_nothing,
    affine=_scaled_affine,
    arity=ONE_TO_ONE,
    params=_parse_dropout,
    shape=_one_bottom,
    draws=draws,
    cost=_dropout_cost,
    reference=_dropout,
    in_place=True,
    family="activation",
    role=Role.DROPOUT | Role.FINISHING,
)


@dataclass(frozen=True, slots=True)
class DropPathParams:
    """When a residual branch is kept, and what it is multiplied by (Huang et al. 2016).

    Args:
        survival: probability that a branch is kept, greater than 0.
        sample: whether it is drawn (TRAIN), or every branch is kept.
        per_sample: drawn for each item of the batch, not once for all.
        scale: factor of what is kept.
        seed: the layer's number, for the generator.
    """

    survival: float = 0.5
    sample: bool = False
    per_sample: bool = False
    scale: float = 1.0
    seed: int = 0


def _parse_drop_path(layer: Message, context: LayerContext) -> DropPathParams:
    message = layer.get("drop_path_param")
    survival = message.get("survival_ratio")
    if not 0 < survival <= 1:
        raise bad_value(
            message,
            "survival_ratio",
            "must be greater than 0 and at most 1",
            "it is how often the branch is kept",
        )
    sample = context.phase == "TRAIN"
    if message.get("scale_train"):
        scale = 1 / survival if sample else 1.0
    else:
        scale = 1.0 if sample else survival
    return DropPathParams(
        survival, sample, message.get("per_sample"), scale, seed_of(layer, message)
    )


def _drop_path_shape(params: DropPathParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if params.per_sample:
        need_axes(inputs[0], 1, "DropPath with `per_sample`")
    return (inputs[0],)


def _drop_path(params: DropPathParams, inputs: Arrays, weights: Arrays) -> Arrays:
    x, *key = inputs
    if params.scale == 1 and not params.sample:
        return (x,)
    return (x * path_factor(params, x, key[0] if key else None),)


def path_factor(params: DropPathParams, x: AnyArray, key: AnyArray | None) -> AnyArray:
    """What ``x`` is multiplied by, to broadcast: a number for each item, or one for the batch."""
    scale: AnyArray = x.dtype.type(params.scale)
    if not params.sample:
        return scale
    drawn = (x.shape[0], *(1,) * (x.ndim - 1)) if params.per_sample else (1,) * x.ndim
    dropped = np.float32(1 - params.survival)
    result: AnyArray = (uniform(x, drawn, params.seed, key) >= dropped) * scale
    return result


def _drop_path_cost(
    params: DropPathParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    return Cost(operations=0 if _keeps_all(params, inputs) else count(outputs[0]))


def _keeps_all(params: DropPathParams, inputs: Sequence[Shape]) -> bool:
    return params.scale == 1 and (not params.sample or params.survival == 1)


DROP_PATH = OpDef(
    name="DropPath",
    arity=ONE_TO_ONE,
    params=_parse_drop_path,
    shape=_drop_path_shape,
    draws=draws,
    cost=_drop_path_cost,
    reference=_drop_path,
    in_place=True,
    identity=_keeps_all,
    affine=_scaled_affine,
    family="activation",
)

OPS = (DROPOUT, DROP_PATH)
