"""Recurrent layers: RNN, LSTM and LSTMUnit (recurrent_layer.cpp, lstm_layer.cpp, rnn_layer.cpp).

Caffe unrolls a recurrent layer into a net; here the recurrence is run directly. The time axis is
the first, the independent streams are the second. A stream's state is multiplied by the
continuation indicator before each step, so 0 starts a new sequence. The state before the first
step is 0, or the bottoms after the inputs with ``expose_hidden``; where it is to be carried over
from one forward to the next, as in Caffe, ``netc.passes.state`` gives it as such bottoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace, quietly
from netc.ops.contents import flag_last, flag_second
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    full_extent,
    no_params,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import Filler, parse_filler
from netc.ops.numbers import required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class RecurrentParams:
    """Parameters of RNN and LSTM.

    Args:
        num_output: hidden units.
        weight_filler, bias_filler: of the trained arrays.
        expose_hidden: the first states are bottoms and the last ones tops, (1, streams,
            num_output).
        static: the third bottom, (streams, ...), is an input of every step.
        gates: gates of a hidden unit: 4 in an LSTM, 1 in an RNN.
        states: arrays carried from step to step: 2 in an LSTM, 1 in an RNN.
    """

    num_output: int
    weight_filler: Filler
    bias_filler: Filler
    expose_hidden: bool
    static: bool
    gates: int
    states: int


_FIELDS = ("num_output", "weight_filler", "bias_filler", "debug_info", "expose_hidden")


def _parse(layer: Message, context: LayerContext, gates: int, states: int) -> RecurrentParams:
    param = reject_unknown_fields(layer.get("recurrent_param"), *_FIELDS)
    hidden = required_number(param, "num_output")
    exposed = param.get("expose_hidden")
    fed = 2 + states * exposed
    _check_arity(layer, context, fed, 1 + states * exposed)
    return RecurrentParams(
        hidden,
        parse_filler(param.get("weight_filler")),
        parse_filler(param.get("bias_filler")),
        exposed,
        context.bottoms > fed,
        gates,
        states,
    )


def _check_arity(layer: Message, context: LayerContext, fed: int, tops: int) -> None:
    how = "`expose_hidden`" if fed > 2 else "no `expose_hidden`"
    kind = layer.get("type")
    if not fed <= context.bottoms <= fed + 1:
        raise layer.error(
            "bottom",
            "bottom-count",
            f"{kind} with {how} takes {fed} or {fed + 1} bottoms, it has {context.bottoms}",
            "the bottoms are the input, the continuation indicators, an optional static input"
            + (" and the first states" if fed > 2 else ""),
        )
    if context.tops != tops:
        raise layer.error(
            "top", "top-count", f"{kind} with {how} makes {tops} tops, it has {context.tops}"
        )


def _parse_lstm(layer: Message, context: LayerContext) -> RecurrentParams:
    return _parse(layer, context, gates=4, states=2)


def _parse_rnn(layer: Message, context: LayerContext) -> RecurrentParams:
    return _parse(layer, context, gates=1, states=1)


def _shape(params: RecurrentParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, cont = inputs[:2]
    if len(data) < 3:
        raise ShapeError(
            f"the input must have at least 3 axes (steps, streams, ...), it is {show(data)}"
        )
    if len(cont) != 2 or cont != data[:2]:
        raise ShapeError(
            f"the continuation indicators must be {show(data[:2])}, the input's steps and "
            f"streams, they are {show(cont)}"
        )
    if params.static:
        _check_static(inputs[2], data[1])
    state = (1, data[1], params.num_output)
    for index, shape in enumerate(inputs[2 + params.static :]):
        if shape != state:
            raise ShapeError(f"state {index} must be {show(state)}, the bottom is {show(shape)}")
    output = (*data[:2], params.num_output)
    return (output,) + (state,) * (params.states * params.expose_hidden)


def _check_static(shape: Shape, streams: int) -> None:
    if len(shape) < 2 or shape[0] != streams:
        raise ShapeError(
            f"the static input must have at least 2 axes and the {streams} streams as its first, "
            f"it is {show(shape)}"
        )


def _weights_in(params: RecurrentParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """Those of the transformed inputs, in Caffe's order: weight, bias, static weight."""
    units = params.gates * params.num_output
    weights = [
        WeightSpec((units, count(inputs[0], 2)), params.weight_filler),
        WeightSpec((units,), params.bias_filler),
    ]
    if params.static:
        weights.append(WeightSpec((units, count(inputs[2], 1)), params.weight_filler))
    return tuple(weights)


def _lstm_weights(params: RecurrentParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """W_xc, b_c, W_xc_static with a static input, W_hc."""
    hidden = params.num_output
    recurrent = WeightSpec((4 * hidden, hidden), params.weight_filler)
    return (*_weights_in(params, inputs), recurrent)


def _rnn_weights(params: RecurrentParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """W_xh, b_h, W_xh_static with a static input, W_hh, W_ho, b_o."""
    hidden = params.num_output
    square = WeightSpec((hidden, hidden), params.weight_filler)
    bias = WeightSpec((hidden,), params.bias_filler)
    return (*_weights_in(params, inputs), square, square, bias)


def _driven(params: RecurrentParams, inputs: Arrays, weights: Arrays) -> AnyArray:
    """What the data adds to every step's units: (steps, streams, units)."""
    data = inputs[0]
    steps, streams = data.shape[:2]
    units = data.reshape(steps * streams, count(data.shape, 2)) @ weights[0].T + weights[1]
    return units.reshape(steps, streams, len(weights[1]))


def step_units(params: RecurrentParams, inputs: Arrays, weights: Arrays) -> AnyArray:
    """What all inputs add to the gates at each step: (steps, streams, gates * num_output)."""
    return _with_static(params, _driven(params, inputs, weights), inputs, weights)


def _with_static(
    params: RecurrentParams,
    units: AnyArray,
    inputs: Arrays,
    weights: Arrays,
) -> AnyArray:
    """With what the input that is the same in all steps adds."""
    if params.static:
        streams = units.shape[1]
        units = units + inputs[2].reshape(streams, count(inputs[2].shape, 1)) @ weights[2].T
    return units


def first_states(params: RecurrentParams, inputs: Arrays) -> list[AnyArray]:
    """The states before the first step, (streams, num_output) each: the last bottoms, or zeros."""
    if params.expose_hidden:
        return [state[0] for state in inputs[2 + params.static :]]
    data = inputs[0]
    return [
        namespace(data).zeros((data.shape[1], params.num_output), dtype=data.dtype)
    ] * params.states


def _stacked(rows: list[AnyArray], data: AnyArray, hidden: int) -> AnyArray:
    xp = namespace(data)
    return xp.stack(rows) if rows else xp.zeros((*data.shape[:2], hidden), dtype=np.float32)


def _lstm(params: RecurrentParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return lstm_steps(params, _driven(params, inputs, weights), inputs, weights)


@quietly
def lstm_steps(
    params: RecurrentParams,
    units: AnyArray,
    inputs: Arrays,
    weights: Arrays,
) -> tuple[AnyArray, ...]:
    """An LSTM's tops; ``units`` is what the data adds to the gates, (steps, streams, 4 hidden)."""
    driven, recurrent = _with_static(params, units, inputs, weights), weights[-1].T
    hidden, cell = first_states(params, inputs)
    rows = []
    for units, cont in zip(driven, inputs[1], strict=True):
        gates = (cont[:, None] * hidden) @ recurrent + units
        cell, hidden = _lstm_step(cell, gates, cont[:, None])
        rows.append(hidden)
    output = _stacked(rows, inputs[0], params.num_output)
    return (output, hidden[None], cell[None]) if params.expose_hidden else (output,)


def _rnn(params: RecurrentParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    return rnn_steps(params, _driven(params, inputs, weights), inputs, weights)


@quietly
def rnn_steps(
    params: RecurrentParams,
    units: AnyArray,
    inputs: Arrays,
    weights: Arrays,
) -> tuple[AnyArray, ...]:
    """An RNN's tops; ``units`` is what the data adds to the units, (steps, streams, hidden)."""
    xp = namespace(inputs[0])
    driven = _with_static(params, units, inputs, weights)
    recurrent, out, bias = weights[-3:]
    (hidden,) = first_states(params, inputs)
    rows = []
    for units, cont in zip(driven, inputs[1], strict=True):
        hidden = xp.tanh((cont[:, None] * hidden) @ recurrent.T + units)
        rows.append(hidden)
    output = xp.tanh(_stacked(rows, inputs[0], params.num_output) @ out.T + bias)
    return (output, hidden[None]) if params.expose_hidden else (output,)


def gate(x: AnyArray) -> AnyArray:
    """The logistic function of the gates of an LSTM, of any shape; the gradient computes it too."""
    xp = namespace(x)
    return 1 / (1 + xp.exp(xp.minimum(-x, 88)))  # 88: exp(89) is beyond float32


def _lstm_step(cell: AnyArray, gates: AnyArray, cont: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The cell and hidden state after a step; gates in the order input, forget, output, cell."""
    xp = namespace(gates)
    given, forget, out, new = xp.split(gates, 4, axis=-1)
    # Where cont is 0 so is the forget gate, even for a gate that is not a number.
    kept = xp.where(cont == 0, np.float32(0), cont * gate(forget))
    cell = kept * cell + gate(given) * xp.tanh(new)
    return cell, gate(out) * xp.tanh(cell)


def _recurrent_cost(
    params: RecurrentParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    steps, streams = inputs[0][:2]
    units = params.gates * params.num_output
    wide = count(inputs[0], 2) + params.num_output
    if params.gates == 1:
        wide += params.num_output
    macs = steps * streams * units * wide
    if params.static:
        macs += count(inputs[2]) * units
    return Cost(macs, _STEP_OPERATIONS[params.gates] * count(outputs[0]))


_STEP_OPERATIONS = {1: 5, 4: 30}  # of a hidden unit and step, besides the matrix products


LSTM = OpDef(
    name="LSTM",
    arity=Arity((2, 5), (1, 3)),
    params=_parse_lstm,
    shape=_shape,
    weights=_lstm_weights,
    cost=_recurrent_cost,
    window=full_extent,
    reference=_lstm,
    contents=flag_second,
    family="linear",
)

RNN = OpDef(
    name="RNN",
    arity=Arity((2, 4), (1, 2)),
    params=_parse_rnn,
    shape=_shape,
    weights=_rnn_weights,
    cost=_recurrent_cost,
    window=full_extent,
    reference=_rnn,
    contents=flag_second,
    family="linear",
)


# LSTMUnit: one step of an LSTM, lstm_unit_layer.cpp


def _unit_shape(params: None, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    cell, gates, cont = inputs
    if len(cell) != 3 or cell[0] != 1:
        raise ShapeError(f"the cell state must be (1, streams, units), it is {show(cell)}")
    for name, shape, wanted in (
        ("gates", gates, (1, cell[1], 4 * cell[2])),
        ("continuation indicators", cont, (1, cell[1])),
    ):
        if shape != wanted:
            raise ShapeError(
                f"the {name} must be {show(wanted)} for a cell {show(cell)}, they are {show(shape)}"
            )
    return (cell, cell)


@quietly
def _unit(params: None, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    cell, gates, cont = inputs
    return _lstm_step(cell, gates, cont[..., None])


def _unit_cost(params: None, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(operations=_STEP_OPERATIONS[4] * count(outputs[0]))


LSTM_UNIT = OpDef(
    name="LSTMUnit",
    arity=Arity((3, 3), (2, 2)),
    shape=_unit_shape,
    cost=_unit_cost,
    window=full_extent,
    reference=_unit,
    params=no_params,
    contents=flag_last,
    family="linear",
)

OPS = (LSTM, RNN, LSTM_UNIT)
