"""LSTMNode: one step of an LSTM (Hochreiter and Schmidhuber 1997) as a layer of its own.

lstm_node_layer.cpp of peteanderson80/caffe (Up-Down-Captioner), with its fields in ``lstm_param``,
and of qingyang-jiandao/jiandao-caffe, with the same in ``lstmnode_param``. The bottoms are the
input (streams, ...), the cells before (streams, cells) and possibly markers (streams,), 0 where a
stream begins; the tops are the hidden state and the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, count, show
from netc.ops.activation import sigmoid
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.contents import Contents, Whole
from netc.ops.define import (
    Arity,
    Cost,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    copies,
    full_extent,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import Filler, in_parts, parse_filler
from netc.ops.numbers import conflict, required_number
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class LstmNodeParams:
    """``cells`` units; the arrays are those of input, forget and output gate and of the input."""

    cells: int
    bias: bool
    weight_filler: Filler
    bias_filler: Filler


_GATES = ("input_gate", "forget_gate", "output_gate", "input")


def _parse(layer: Message, context: LayerContext) -> LstmNodeParams:
    if layer.has("lstm_param") and layer.has("lstmnode_param"):
        raise conflict(layer, "lstm_param", "lstmnode_param")
    own = layer.has("lstmnode_param")
    param = layer.get("lstmnode_param" if own else "lstm_param")
    fillers = [f"{gate}_{kind}_filler" for kind in ("weight", "bias") for gate in _GATES]
    more = ("cache_gates",) if own else ()  # whether the gates are kept or worked out again
    reject_unknown_fields(param, "num_cells", "bias_term", *fillers, *more)
    parsed = [parse_filler(param.get(name)) for name in fillers]
    return LstmNodeParams(
        required_number(param, "num_cells"),
        param.get("bias_term"),
        in_parts(*parsed[:4]),
        in_parts(*parsed[4:]),
    )


def _shape(params: LstmNodeParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, cells = inputs[:2]
    if not data:
        raise ShapeError(f"the input must have the streams as its first axis, it is {show(data)}")
    state = (data[0], params.cells)
    if count(cells) != count(state):
        raise ShapeError(f"the cells before must be {show(state)}, the bottom is {show(cells)}")
    if len(inputs) > 2 and count(inputs[2]) != data[0]:
        raise ShapeError(f"a marker for each of {data[0]} streams is needed, got {show(inputs[2])}")
    return (state, state)


def _weights(params: LstmNodeParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    weight = WeightSpec((4 * params.cells, count(inputs[0], 1)), params.weight_filler)
    bias = WeightSpec((4 * params.cells,), params.bias_filler)
    return (weight, bias) if params.bias else (weight,)


def _cost(params: LstmNodeParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(4 * params.cells * count(inputs[0]), 12 * count(outputs[0]))


class NodeGates(NamedTuple):
    """Input, forget and output gate, squashed input and markers, the cells before and now.

    All but the markers (streams, 1) are (streams, cells). The forget gate counts by the markers.
    """

    i: AnyArray
    f: AnyArray
    o: AnyArray
    g: AnyArray
    markers: AnyArray
    before: AnyArray
    now: AnyArray


def gates(params: LstmNodeParams, inputs: Arrays, weights: Arrays) -> NodeGates:
    """What the step computes."""
    xp, streams = namespace(inputs[0]), len(inputs[0])
    units = inputs[0].reshape(streams, -1) @ weights[0].T
    if params.bias:
        units = units + weights[1]
    i, f, o, g = (units[:, n * params.cells : (n + 1) * params.cells] for n in range(4))
    ones = xp.ones((streams, 1), units.dtype)
    markers = inputs[2].reshape(streams, 1) if len(inputs) > 2 else ones
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), xp.tanh(g)
    before = inputs[1].reshape(streams, params.cells)
    return NodeGates(i, f, o, g, markers, before, f * markers * before + i * g)


def _node(params: LstmNodeParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    found = gates(params, inputs, weights)
    return found.o * namespace(found.now).tanh(found.now), found.now


def _contents(params: LstmNodeParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, None, Whole(2)


LSTM_NODE = OpDef(
    name="LSTMNode",
    arity=Arity((2, 3), (2, 2)),
    params=_parse,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=full_extent,
    memory=copies(24),
    reference=_node,
    contents=_contents,
    family="linear",
)

OPS = (LSTM_NODE,)
