"""DenseBlock: a block of a densely connected network (Huang et al. 2017) as one layer.

DenseBlock_layer.cpp of Tongcheng/caffe, as senlinuc/caffe_ocr and qingyang-jiandao/jiandao-caffe
have it. Each of ``transitions`` steps is BatchNorm with scale and shift, ReLU and a convolution
with filters of 3 by 3, whose ``growth`` maps are joined behind what it read; with ``bottleneck``
filters of 1 by 1, BatchNorm and ReLU stand between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.batch_norm import stored_statistics
from netc.ops.define import (
    FLOAT,
    WHOLE,
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    Window,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, Filler, parse_filler
from netc.ops.numbers import number
from netc.schema.message import Message

EPS = 1e-5


@dataclass(frozen=True, slots=True)
class DenseBlockParams:
    """DenseBlock's fields; ``keep`` is the share of the averages that a batch leaves.

    ``training`` normalises by the batch.
    """

    transitions: int
    growth: int
    bottleneck: bool
    keep: float
    filters: Filler
    scale: Filler
    shift: Filler
    training: bool


# What only graphics cards read, and the bottom's channels, which the bottom itself tells.
_IDLE = ("initChannel", "gpuIdx", "BC_ultra_space_efficient", "workspace_MB", "dropout_amount")
_FIELDS = ("numTransition", "growthRate", "use_BC", "moving_average_fraction", "Filter_Filler",
           "BN_Scaler_Filler", "BN_Bias_Filler", "use_dropout")  # fmt: skip


def _parse(layer: Message, context: LayerContext) -> DenseBlockParams:
    p = reject_unknown_fields(layer.get("denseblock_param"), *_FIELDS, *_IDLE)
    training = context.phase == "TRAIN"
    if training and p.get("use_dropout"):
        rule = "must be false: the fork drops elements on graphics cards alone"
        raise bad_value(p, "use_dropout", rule, "put Dropout layers behind the block")
    return DenseBlockParams(
        number(p, "numTransition", 1),
        number(p, "growthRate", 1),
        p.get("use_BC"),
        p.get("moving_average_fraction"),
        parse_filler(p.get("Filter_Filler")),
        parse_filler(p.get("BN_Scaler_Filler")),
        parse_filler(p.get("BN_Bias_Filler")),
        training,
    )


def _shape(params: DenseBlockParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data = inputs[0]
    if len(data) != 4:
        raise ShapeError(f"maps are needed, the bottom is {show(data)}")
    return ((data[0], data[1] + params.transitions * params.growth, *data[2:]),)


def _weights(params: DenseBlockParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """By kind, of each transition: filters, scale, shift, mean, variance; then, with a bottleneck,
    those of its BatchNorm behind its filters of 1 by 1; last the sum of the averages' weights.
    """
    growth, steps = params.growth, range(params.transitions)
    read = [inputs[0][1] + step * growth for step in steps]
    narrow = [4 * growth] * len(read)
    made = [
        WeightSpec((growth, c, 3, 3), params.filters)
        for c in (narrow if params.bottleneck else read)
    ]
    made += _normalizing(params, read)
    if params.bottleneck:
        made += [WeightSpec((4 * growth, c, 1, 1), params.filters) for c in read]
        made += _normalizing(params, narrow)
    return (*made, WeightSpec((1,), learned=False))


def _normalizing(params: DenseBlockParams, channels: Sequence[int]) -> list[WeightSpec]:
    shapes = [(1, c, 1, 1) for c in channels]
    return [
        *(WeightSpec(shape, params.scale) for shape in shapes),
        *(WeightSpec(shape, params.shift) for shape in shapes),
        *(WeightSpec(shape, learned=False) for shape in shapes),
        *(WeightSpec(shape, CONSTANT_ONE, learned=False) for shape in shapes),
    ]


def _macs(params: DenseBlockParams, channels: int) -> int:
    """Multiply-adds for each place of the top."""
    growth, total = params.growth, 0
    for step in range(params.transitions):
        read = channels + step * growth
        total += 4 * growth * (read + 9 * growth) if params.bottleneck else 9 * growth * read
    return total


def _cost(params: DenseBlockParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    images, channels, *sizes = inputs[0]
    places = images * count(tuple(sizes))
    read = channels + params.growth * params.transitions // 2
    return Cost(places * _macs(params, channels), 6 * places * read * params.transitions)


def _window(params: DenseBlockParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    return WHOLE


def _memory(params: DenseBlockParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """What a step reads, normalised, in some copies, and the steps' outputs."""
    return FLOAT * 12 * (count(outputs[0]) + 4 * params.growth * count(outputs[0][2:]))


class Norm(NamedTuple):
    """A BatchNorm's pass: its input less the mean, the deviation's inverse, its output, variance.

    ``mean`` and ``variance`` are the batch's, (1, channels, 1, 1); the variance is unbiased.
    """

    centred: AnyArray
    inverse: AnyArray
    output: AnyArray
    mean: AnyArray
    variance: AnyArray


class TransitionPass(NamedTuple):
    """A transition's pass: what it read, its normalisations and what its 3 by 3 filters read."""

    read: AnyArray
    first: Norm
    second: Norm | None
    last: AnyArray


def arrays_of(params: DenseBlockParams, kind: int, step: int) -> int:
    """The index of a transition's trained array; kinds as in :func:`_weights`, from 0."""
    return kind * params.transitions + step


def _norm(params: DenseBlockParams, x: AnyArray, weights: Arrays, kind: int, step: int) -> Norm:
    """BatchNorm by the arrays of ``kind`` (the scale) and the kinds behind it."""
    xp = namespace(x)
    scale, shift, mean, variance = (weights[arrays_of(params, kind + n, step)] for n in range(4))
    if params.training:
        samples = x.size // x.shape[1]
        mean = x.mean(axis=(0, 2, 3), keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
        variance = variance * x.dtype.type(samples / max(1, samples - 1))
    else:
        mean, variance = stored_statistics(mean, variance, weights[-1])
    inverse = 1 / xp.sqrt(variance + x.dtype.type(EPS))
    centred = x - mean
    return Norm(centred, inverse, scale * (centred * inverse) + shift, mean, variance)


def convolved(x: AnyArray, filters: AnyArray) -> AnyArray:
    """A convolution with stride 1 whose top has the bottom's size."""
    xp, side = namespace(x), filters.shape[2]
    pad = side // 2
    high, wide = x.shape[2:]
    padded = xp.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    total: AnyArray = xp.zeros((len(x), len(filters), high * wide), x.dtype)
    for i in range(side):
        for j in range(side):
            part = padded[:, :, i : i + high, j : j + wide].reshape(*x.shape[:2], -1)
            total = total + filters[:, :, i, j] @ part
    return total.reshape(len(x), len(filters), high, wide)


def steps_of(
    params: DenseBlockParams, x: AnyArray, weights: Arrays
) -> tuple[list[TransitionPass], AnyArray]:
    """Every transition's pass, and the top."""
    xp, steps = namespace(x), []
    for step in range(params.transitions):
        first = _norm(params, x, weights, 1, step)
        read, second = xp.maximum(first.output, 0), None
        if params.bottleneck:
            narrow = convolved(read, weights[arrays_of(params, 5, step)])
            second = _norm(params, narrow, weights, 6, step)
            read = xp.maximum(second.output, 0)
        steps.append(TransitionPass(x, first, second, read))
        grown = convolved(read, weights[arrays_of(params, 0, step)])
        x = xp.concatenate([x, grown], axis=1)
    return steps, x


@quietly
def _block(params: DenseBlockParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return (steps_of(params, inputs[0], weights)[1],)


@quietly
def _train(params: DenseBlockParams, inputs: Arrays, weights: Arrays) -> tuple[Arrays, Arrays]:
    """The forward, and the averages with this batch added, as BatchNorm's."""
    steps, top = steps_of(params, inputs[0], weights)
    new = list(weights)
    keep = top.dtype.type(params.keep)
    for at, step in enumerate(steps):
        for norm, kind in ((step.first, 3), (step.second, 8)):
            if norm is not None:
                for index, batch in ((kind, norm.mean), (kind + 1, norm.variance)):
                    place = arrays_of(params, index, at)
                    new[place] = keep * weights[place] + batch.reshape(weights[place].shape)
    new[-1] = keep * weights[-1] + 1
    return (top,), new


def _moving(params: DenseBlockParams) -> tuple[int, ...]:
    if not params.training:
        return ()
    kinds = (3, 4, 8, 9) if params.bottleneck else (3, 4)
    last = (10 if params.bottleneck else 5) * params.transitions
    steps = range(params.transitions)
    return (*(arrays_of(params, kind, step) for kind in kinds for step in steps), last)


DENSE_BLOCK = OpDef(
    name="DenseBlock",
    arity=Arity((1, 1), (1, 1)),
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=_window,
    memory=_memory,
    reference=_block,
    train=_train,
    moving=_moving,
    family="convolution",
)

OPS = (DENSE_BLOCK,)
