"""Lstm of junhyukoh/caffe-lstm (lstm_layer.cpp) and CenterLoss of caffe-face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.cost import per_input
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    Stand,
    WeightSpec,
    copies,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import Filler, parse_filler
from netc.ops.labels import class_labels
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LstmParams:
    """Parameters of Lstm.

    Args:
        num_output: hidden units; the top is (steps * streams, num_output).
        streams: sequences side by side (``batch_size``): row t * streams + n of the bottom is step
            t of sequence n; None where no text says it, which is 1 but for bottoms of three axes.
        weight_filler, bias_filler: of the trained arrays.
        threshold: bound of the gradients at the gates' inputs; 0 for none (``clipping_threshold``).
        three_axes: the bottom is steps x streams x values, and the top has these axes too.
    """

    num_output: int
    streams: int | None
    weight_filler: Filler
    bias_filler: Filler
    threshold: float = 0.0
    three_axes: bool = False

    @property
    def sequences(self) -> int:
        """How many sequences there are side by side."""
        return self.streams or 1


def _parse_lstm(layer: Message, context: LayerContext) -> LstmParams:
    names = ("num_output", "clipping_threshold", "weight_filler", "bias_filler", "batch_size")
    p = reject_unknown_fields(layer.get("lstm_param"), *names)
    return LstmParams(
        required_number(p, "num_output"),
        required_number(p, "batch_size") if p.has("batch_size") else None,
        parse_filler(p.get("weight_filler")),
        parse_filler(p.get("bias_filler")),
        p.get("clipping_threshold") if p.has("clipping_threshold") else 0.0,
    )


def _with_axes(params: LstmParams, inputs: Sequence[Shape]) -> Stand | None:
    """CTPN's Lstm, of which CaffeOCR's is a copy: steps and streams are axes of their own."""
    if len(inputs[0]) != 3 or (params.streams is not None and not params.three_axes):
        return None
    return Stand(LSTM.name, replace(params, streams=inputs[0][1], three_axes=True))


def _lstm_shape(params: LstmParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    rows = count(inputs[0], 0, 2 if params.three_axes else 1) if inputs[0] else 0
    if not rows or rows % params.sequences:
        raise ShapeError(
            f"the bottom's rows are steps times `batch_size` {params.sequences}, and it is "
            f"{show(inputs[0])}",
            "lstm_param.batch_size",
        )
    if len(inputs) > 1 and count(inputs[1]) != rows:
        raise ShapeError(f"{rows} rows need as many markers, they are {show(inputs[1])}")
    first = inputs[0][:2] if params.three_axes else (rows,)
    return ((*first, params.num_output),)


def _lstm_weights(params: LstmParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    hidden, size = params.num_output, count(inputs[0], 2 if params.three_axes else 1)
    return (
        WeightSpec((4 * hidden, size), params.weight_filler),
        WeightSpec((4 * hidden, hidden), params.weight_filler),
        WeightSpec((4 * hidden,), params.bias_filler),
    )


def _lstm_cost(params: LstmParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    hidden = outputs[0][-1]
    return Cost(4 * hidden * (count(inputs[0]) + count(outputs[0])), 10 * count(outputs[0]))


def _markers(given: AnyArray, shape: Shape) -> AnyArray:
    """The marker of each step and stream.

    Of markers with one axis the fork reads step t of stream n at t + n, not at t * streams + n: a
    step is one element of the first axis to it. With axes for steps and streams it reads right.
    """
    steps, streams = shape
    if given.ndim > 1 and given.shape[0] == steps:
        result: AnyArray = (given.reshape(shape) != 0).astype(np.float32)
        return result
    flat = given.reshape(-1)[np.add.outer(np.arange(steps), np.arange(streams))]
    result = (flat != 0).astype(np.float32)
    return result


@quietly
def _lstm(params: LstmParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """Gates i, f, o, g; a marker of 0 begins a sequence anew, and so does the first row.

    The recurrent term of every stream is made of the first stream's last output: the fork's code
    for the processor moves a pointer on that it does not read (lstm_layer.cpp).
    """
    steps = list(lstm_steps(params, inputs, weights))
    hidden = np.stack([step.hidden for step in steps])
    return (hidden if params.three_axes else hidden.reshape(-1, params.num_output),)


class LstmStep(NamedTuple):
    """One step of all streams, float arrays.

    ``mark`` (streams, 1) is 0 where a sequence begins; ``gates`` are input, forget, output and the
    candidate, ``cell`` and ``hidden`` the states after the step, (streams, num_output) each.
    """

    mark: AnyArray
    gates: tuple[AnyArray, AnyArray, AnyArray, AnyArray]
    cell: AnyArray
    hidden: AnyArray


def lstm_steps(params: LstmParams, inputs: Arrays, weights: Arrays) -> Iterator[LstmStep]:
    """The steps in order; ``weights`` are those of the input, the recurrent ones and the bias."""
    own, recurrent, bias = (np.asarray(weight) for weight in weights)
    x = np.asarray(inputs[0]).reshape(-1, own.shape[1])
    streams, hidden = params.sequences, params.num_output
    units = (x @ own.T + bias).reshape(-1, streams, 4 * hidden)
    marks = np.ones(units.shape[:2], x.dtype)
    if len(inputs) > 1:
        marks = _markers(np.asarray(inputs[1]), marks.shape).astype(x.dtype)
    marks[0] = 0
    h, c = np.zeros((2, streams, hidden), x.dtype)
    for unit, mark in zip(units, marks[:, :, None], strict=True):
        unit = unit + (h[:1] @ recurrent.T) * mark
        i, f, o = (sigmoid(unit[:, k * hidden : (k + 1) * hidden]) for k in range(3))
        g = np.tanh(unit[:, 3 * hidden :])
        c = mark * f * c + i * g
        h = o * np.tanh(c)
        yield LstmStep(mark, (i, f, o, g), c, h)


LSTM = OpDef(
    name="Lstm",
    arity=Arity((1, 2), (1, 1)),
    params=_parse_lstm,
    shape=_lstm_shape,
    weights=_lstm_weights,
    cost=_lstm_cost,
    window=full_extent,
    memory=copies(12),
    reference=_lstm,
    family="linear",
    host=True,
    by_shape=_with_axes,
)


@dataclass(frozen=True, slots=True)
class CenterLossParams:
    """Half the mean squared distance of each item to the trained centre of its class.

    Wen et al. 2016, center_loss_layer.cpp of caffe-face. Axes from ``axis`` on are the vector; the
    centres are (num_output, length).
    """

    num_output: int
    axis: int
    filler: Filler


def _parse_center(layer: Message, context: LayerContext) -> CenterLossParams:
    p = reject_unknown_fields(layer.get("center_loss_param"), "num_output", "center_filler", "axis")
    return CenterLossParams(
        required_number(p, "num_output"), p.get("axis"), parse_filler(p.get("center_filler"))
    )


def _center_shape(params: CenterLossParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    if not data or not -len(data) <= params.axis < len(data):
        raise ShapeError(f"`axis` {params.axis} is none of {show(data)}", "center_loss_param.axis")
    if count(label) != count(data, 0, params.axis % len(data)):
        raise ShapeError(
            f"{count(data, 0, params.axis % len(data))} labels are needed, they are {show(label)}"
        )
    return ((),)


def _center_weights(params: CenterLossParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    size = count(inputs[0], params.axis % len(inputs[0]))
    return (WeightSpec((params.num_output, size), params.filler),)


def _center(params: CenterLossParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    labels, _ = class_labels(np.asarray(inputs[1]).reshape(-1), params.num_output)
    difference = np.asarray(inputs[0]).reshape(len(labels), -1) - np.asarray(weights[0])[labels]
    total = (difference * difference).sum(dtype=np.float64)
    return (np.array(total / max(1, len(labels)) / 2, inputs[0].dtype),)


CENTER_LOSS = OpDef(
    name="CenterLoss",
    arity=Arity((2, 2), (1, 1), optional_top=True),
    params=_parse_center,
    shape=_center_shape,
    weights=_center_weights,
    cost=per_input(3),
    window=full_extent,
    memory=copies(12),
    reference=_center,
    loss=True,
    family="loss",
    host=True,
)

OPS = (LSTM, CENTER_LOSS)
