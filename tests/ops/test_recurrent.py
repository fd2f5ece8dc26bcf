from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.define import LayerContext, ShapeError
from netc.ops.recurrent import LSTM, OPS, RNN
from tests.ops.cases import bind_layer, cases_of, check_case, load_case, run_layer

BY_NAME = {op.name: op for op in OPS}
FILLED = 'weight_filler { type: "xavier" } bias_filler { value: 0.5 }'


def layer(kind: str, bottoms: int, tops: int, text: str):
    named = " ".join(f'bottom: "b{i}"' for i in range(bottoms))
    named += " " + " ".join(f'top: "t{i}"' for i in range(tops))
    return bind_layer(f'name: "r" type: "{kind}" {named} recurrent_param {{ {text} }}')


def parse(kind: str, bottoms: int, tops: int, text: str):
    op = BY_NAME[kind]
    return op.params(layer(kind, bottoms, tops, text), LayerContext("TEST", bottoms, tops))


@pytest.mark.parametrize("name", cases_of("LSTM", "RNN", "LSTMUnit"))
def test_golden(name: str) -> None:
    check_case(load_case(name), BY_NAME)


def arrays(rng: np.random.Generator, specs) -> list[np.ndarray]:
    return [rng.normal(size=spec.shape).astype(np.float32) for spec in specs]


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["LSTM", "RNN"]),
    steps=st.integers(0, 4),
    streams=st.integers(1, 3),
    units=st.integers(1, 4),
    static=st.booleans(),
    exposed=st.booleans(),
    extra=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    seed=st.integers(0, 9999),
)
def test_shape_rule_agrees(kind, steps, streams, units, static, exposed, extra, seed) -> None:
    rng = np.random.default_rng(seed)
    states = {"LSTM": 2, "RNN": 1}[kind] * exposed
    shapes = [(steps, streams, *extra), (steps, streams)]
    shapes += [(streams, 3)] * static + [(1, streams, units)] * states
    text = f"num_output: {units} expose_hidden: {str(exposed).lower()} {FILLED}"
    message = layer(kind, len(shapes), 1 + states, text)
    params = BY_NAME[kind].params(message, LayerContext("TEST", len(shapes), 1 + states))
    weights = arrays(rng, BY_NAME[kind].weights(params, shapes))
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    inputs[1] = rng.integers(0, 2, shapes[1]).astype(np.float32)
    outputs = run_layer(BY_NAME[kind], message, inputs, weights)
    if exposed and kind == "LSTM" and steps:
        np.testing.assert_array_equal(outputs[0][-1], outputs[1][0])


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_continuation_of_0_starts_anew(kind: str) -> None:
    rng = np.random.default_rng(0)
    op, message = BY_NAME[kind], layer(kind, 2, 1, "num_output: 4")
    params = op.params(message, LayerContext("TEST", 2, 1))
    weights = arrays(rng, op.weights(params, [(4, 2, 3), (4, 2)]))
    x = rng.normal(size=(4, 2, 3)).astype(np.float32)
    cont = np.ones((4, 2), np.float32)
    cont[2] = 0
    (whole,) = op.reference(params, [x, cont], weights)
    (tail,) = op.reference(params, [x[2:], cont[2:]], weights)
    (carried,) = op.reference(params, [x, np.ones_like(cont)], weights)
    np.testing.assert_allclose(whole[2:], tail, rtol=1e-6)
    assert not np.allclose(whole[2:], carried[2:])


def test_exposed_states_carry_a_sequence_over_two_calls() -> None:
    rng = np.random.default_rng(1)
    plain, exposed = (
        parse("LSTM", 2, 1, "num_output: 4"),
        parse("LSTM", 4, 3, "num_output: 4 expose_hidden: true"),
    )
    weights = arrays(rng, LSTM.weights(plain, [(6, 2, 3), (6, 2)]))
    x, cont = rng.normal(size=(6, 2, 3)).astype(np.float32), np.ones((6, 2), np.float32)
    (at_once,) = LSTM.reference(plain, [x, cont], weights)
    state = [np.zeros((1, 2, 4), np.float32)] * 2
    first, *state = LSTM.reference(exposed, [x[:3], cont[:3], *state], weights)
    second, *_ = LSTM.reference(exposed, [x[3:], cont[3:], *state], weights)
    np.testing.assert_allclose(np.concatenate([first, second]), at_once, rtol=1e-5)


def test_fillers_reach_the_weights_in_caffes_order() -> None:
    params = parse("RNN", 3, 1, f"num_output: 5 {FILLED}")
    specs = RNN.weights(params, [(4, 2, 3), (4, 2), (2, 6)])
    assert [s.shape for s in specs] == [(5, 3), (5,), (5, 6), (5, 5), (5, 5), (5,)]
    kinds = [s.filler.type for s in specs]
    assert kinds == ["xavier", "constant", "xavier", "xavier", "xavier", "constant"]


def test_macs() -> None:
    shapes = [(4, 2, 3), (4, 2), (2, 6)]
    lstm, rnn = (parse(kind, 3, 1, "num_output: 5") for kind in ("LSTM", "RNN"))
    output = [(4, 2, 5)]
    assert LSTM.cost(lstm, shapes, output).macs == 8 * (20 * 3 + 20 * 5) + 2 * 20 * 6
    assert RNN.cost(rnn, shapes, output).macs == 8 * (5 * 3 + 2 * 5 * 5) + 2 * 5 * 6


@pytest.mark.parametrize(
    ("kind", "bottoms", "tops", "text", "code", "at"),
    [
        ("LSTM", 2, 1, "", "missing-field", ""),
        ("LSTM", 2, 1, "num_output: 0", "out-of-range", "0"),
        ("LSTM", 3, 3, "num_output: 1 expose_hidden: true", "bottom-count", '"b2"'),
        ("RNN", 4, 1, "num_output: 1", "bottom-count", '"b3"'),
        ("LSTM", 4, 2, "num_output: 1 expose_hidden: true", "top-count", '"t1"'),
        ("RNN", 2, 1, 'num_output: 1 weight_filler { type: "comb" }', "unknown-filler", '"comb"'),
    ],
)
def test_mistakes(kind, bottoms, tops, text, code, at) -> None:
    with pytest.raises(NetcError) as caught:
        parse(kind, bottoms, tops, text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert not at or diagnostic.span.text == at


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ([(4, 2), (4, 2)], "at least 3 axes (steps, streams, ...), it is 4x2"),
        ([(4, 2, 3), (2, 4)], "must be 4x2, the input's steps and streams, they are 2x4"),
        ([(4, 2, 3), (4, 2), (3, 6)], "the 2 streams as its first, it is 3x6"),
        ([(4, 2, 3), (4, 2), (2,)], "at least 2 axes"),
    ],
)
def test_shapes_that_do_not_fit(shapes, wanted) -> None:
    params = parse("LSTM", len(shapes), 1, "num_output: 5")
    with pytest.raises(ShapeError) as caught:
        LSTM.shape(params, shapes)
    assert wanted in caught.value.message


def test_a_state_of_another_shape() -> None:
    params = parse("LSTM", 4, 3, "num_output: 5 expose_hidden: true")
    with pytest.raises(ShapeError, match="state 1 must be 1x2x5, the bottom is 2x5"):
        LSTM.shape(params, [(4, 2, 3), (4, 2), (1, 2, 5), (2, 5)])


def test_lstm_unit_shapes() -> None:
    unit = BY_NAME["LSTMUnit"]
    with pytest.raises(ShapeError, match="the gates must be 1x3x16 for a cell 1x3x4"):
        unit.shape(None, [(1, 3, 4), (1, 3, 12), (1, 3)])
    with pytest.raises(ShapeError, match="streams, units"):
        unit.shape(None, [(2, 3, 4), (2, 3, 16), (2, 3)])
