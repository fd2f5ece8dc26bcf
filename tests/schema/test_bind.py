"""Binding: which values a field takes, and what is said, and where, of those it does not."""

from __future__ import annotations

import math
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source, Span, render
from netc.schema.bind import bind
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.schema.scalars import as_float32
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar
from netc.syntax.parser import parse_document
from tests.schema.texts import bound, place, refused


def value(type: str, field: str, written: str) -> Any:
    return bound(f"{field}: {written}", type).get(field)


# --- what is taken ---


@pytest.mark.parametrize(
    ("type", "field", "written", "expected"),
    [
        ("SolverParameter", "display", "20", 20),
        ("SolverParameter", "display", "-2147483648", -(2**31)),
        ("SolverParameter", "random_seed", "9223372036854775807", 2**63 - 1),
        ("ConvolutionParameter", "num_output", "4294967295", 2**32 - 1),
        ("ConvolutionParameter", "num_output", "0x10", 16),
        ("ConvolutionParameter", "num_output", "010", 8),
        ("SolverParameter", "base_lr", "1", 1.0),
        ("SolverParameter", "base_lr", "1.", 1.0),
        ("SolverParameter", "base_lr", "1e-3", as_float32(1e-3)),
        ("SolverParameter", "base_lr", "0.1f", as_float32(0.1)),
        ("SolverParameter", "base_lr", "-.5", -0.5),
        ("SolverParameter", "base_lr", "inf", math.inf),
        ("SolverParameter", "base_lr", "-inf", -math.inf),
        ("SolverParameter", "base_lr", "1e60", math.inf),
        ("SolverParameter", "base_lr", "1e-60", 0.0),
        ("SolverParameter", "debug_info", "true", True),
        ("SolverParameter", "debug_info", "True", True),
        ("SolverParameter", "debug_info", "t", True),
        ("SolverParameter", "debug_info", "1", True),
        ("SolverParameter", "debug_info", "false", False),
        ("SolverParameter", "debug_info", "False", False),
        ("SolverParameter", "debug_info", "f", False),
        ("SolverParameter", "debug_info", "0", False),
        ("PoolingParameter", "pool", "AVE", "AVE"),
        ("PoolingParameter", "pool", "2", "STOCHASTIC"),
        ("SolverParameter", "net", '"a" "b"', "ab"),
        ("SolverParameter", "net", "'\u00e9\\303\\251'", "\u00e9\u00e9"),
        ("Datum", "data", '"\\377a"', b"\xffa"),
    ],
)
def test_values(type: str, field: str, written: str, expected: Any) -> None:
    got = value(type, field, written)
    assert got == expected
    assert got.__class__ is expected.__class__


def test_nan() -> None:
    assert math.isnan(value("SolverParameter", "base_lr", "nan"))


def test_repeated_fields_and_lists() -> None:
    shape = bound("dim: 1 dim: [2, 3] dim: [] dim: 4", "BlobShape")
    assert shape.get("dim") == (1, 2, 3, 4)
    assert not bound("dim: []", "BlobShape").has("dim")
    net = bound("layer [{ name: 'a' }, { name: 'b' }] layer { name: 'c' }")
    assert [m.get("name") for m in net.get("layer")] == ["a", "b", "c"]


def test_an_empty_text_is_an_empty_net() -> None:
    assert bound("").entries == {}


def test_every_value_knows_its_place() -> None:
    net = bound('name: "n"\nlayer {\n  pooling_param { pool: AVE }\n}')
    (layer,) = net.get("layer")
    pooling = layer.get("pooling_param")
    assert net.span_of("name").text == '"n"'
    assert net.name_span_of("name").text == "name"
    assert (layer.span.line, layer.span.column) == (2, 1)
    assert layer.span.text.startswith("layer {") and layer.span.text.endswith("}")
    assert pooling.span_of("pool").text == "AVE"
    assert pooling.span_of("stride") == pooling.span


# --- what is not ---


@pytest.mark.parametrize(
    ("type", "text", "where", "message", "help"),
    [
        (
            "ConvolutionParameter",
            "num_output: -1",
            ("out-of-range", 1, 13, "-1"),
            "`num_output` is uint32, from 0 to 4294967295, not -1",
            None,
        ),
        (
            "SolverParameter",
            "display: 2147483648",
            ("out-of-range", 1, 10, "2147483648"),
            "`display` is int32, from -2147483648 to 2147483647, not 2147483648",
            None,
        ),
        (
            "ConvolutionParameter",
            "num_output: 1.0",
            ("wrong-kind", 1, 13, "1.0"),
            "`num_output` takes an integer that is not negative, not the number 1.0",
            "write 1",
        ),
        (
            "ConvolutionParameter",
            "num_output: 1.5",
            ("wrong-kind", 1, 13, "1.5"),
            "`num_output` takes an integer that is not negative, not the number 1.5",
            None,
        ),
        (
            "SolverParameter",
            'display: "20"',
            ("wrong-kind", 1, 10, '"20"'),
            '`display` takes an integer, not the string "20"',
            "write it without quotes",
        ),
        (
            "SolverParameter",
            "random_seed: RANDOM_SEED",
            ("wrong-kind", 1, 14, "RANDOM_SEED"),
            "`random_seed` takes an integer, not `RANDOM_SEED`",
            "`RANDOM_SEED` looks like a placeholder: write the number it stands for",
        ),
        (
            "SolverParameter",
            "base_lr: fast",
            ("wrong-kind", 1, 10, "fast"),
            "`base_lr` takes a number, not `fast`",
            None,
        ),
        (
            "SolverParameter",
            "debug_info: yes",
            ("wrong-kind", 1, 13, "yes"),
            "`debug_info` takes `true` or `false`, not `yes`",
            None,
        ),
        (
            "SolverParameter",
            "debug_info: TRUE",
            ("wrong-kind", 1, 13, "TRUE"),
            "`debug_info` takes `true` or `false`, not `TRUE`",
            "write true",
        ),
        (
            "SolverParameter",
            'debug_info: "true"',
            ("wrong-kind", 1, 13, '"true"'),
            '`debug_info` takes `true` or `false`, not the string "true"',
            "write true without quotes",
        ),
        (
            "SolverParameter",
            "debug_info: 2",
            ("wrong-kind", 1, 13, "2"),
            "`debug_info` takes `true` or `false`, not the integer 2",
            None,
        ),
        (
            "SolverParameter",
            "net: train",
            ("wrong-kind", 1, 6, "train"),
            "`net` takes a string, not `train`",
            'write it in quotes: "train"',
        ),
        (
            "SolverParameter",
            "net: 5",
            ("wrong-kind", 1, 6, "5"),
            "`net` takes a string, not the integer 5",
            'write it in quotes: "5"',
        ),
        (
            "EltwiseParameter",
            "operation: ADD",
            ("unknown-enum-value", 1, 12, "ADD"),
            "`ADD` is no value of `operation` (EltwiseParameter.EltwiseOp)",
            "its values are `PROD`, `SUM`, `MAX`",
        ),
        (
            "EltwiseParameter",
            "operation: 99",
            ("unknown-enum-value", 1, 12, "99"),
            "`99` is no value of `operation` (EltwiseParameter.EltwiseOp)",
            "its values are `PROD`, `SUM`, `MAX`",
        ),
        (
            "EltwiseParameter",
            'operation: "SUM"',
            ("wrong-kind", 1, 12, '"SUM"'),
            '`operation` takes one of EltwiseParameter.EltwiseOp, not the string "SUM"',
            "enum values stand without quotes: operation: SUM",
        ),
        (
            "EltwiseParameter",
            "operation: 1.0",
            ("wrong-kind", 1, 12, "1.0"),
            "`operation` takes one of EltwiseParameter.EltwiseOp, not the number 1.0",
            None,
        ),
        (
            "V1LayerParameter",
            "type: CONVOLUTON",
            ("unknown-enum-value", 1, 7, "CONVOLUTON"),
            "`CONVOLUTON` is no value of `type` (V1LayerParameter.LayerType)",
            "did you mean `CONVOLUTION`",
        ),
        (
            "V1LayerParameter",
            'type: "Softmax"',
            ("wrong-kind", 1, 7, '"Softmax"'),
            '`type` takes one of V1LayerParameter.LayerType, not the string "Softmax"',
            "did you mean `SOFTMAX`",
        ),
        (
            "LayerParameter",
            "convolution_param: 3",
            ("wrong-kind", 1, 20, "3"),
            "`convolution_param` takes a message, not a single value",
            "write its fields in braces: convolution_param { ... } (ConvolutionParameter)",
        ),
        (
            "LayerParameter",
            "name {\n}",
            ("wrong-kind", 1, 6, "{"),
            "`name` takes a single value (string), not a message",
            "write name: and the value, without braces",
        ),
        (
            "LayerParameter",
            'name: ["a", "b"]',
            ("repeated-field", 1, 7, '["a", "b"]'),
            "`name` takes one value, not a list",
            None,
        ),
        (
            "LayerParameter",
            'name: "a"\nname: "b"',
            ("repeated-field", 2, 1, "name"),
            "`name` is given twice, but takes one value",
            "keep one `name`",
        ),
        (
            "LayerParameter",
            "relu_param { }\nrelu_param { }",
            ("repeated-field", 2, 1, "relu_param"),
            "`relu_param` is given twice, but takes one value",
            "keep one `relu_param`",
        ),
        (
            "LayerParameter",
            "clip_param {\n  min: 0 }",
            ("missing-field", 1, 1, "clip_param {\n  min: 0 }"),
            "ClipParameter lacks `max`, which it must have",
            None,
        ),
        (
            "PoolingParameter",
            "kernal_size: 3",
            ("unknown-field", 1, 1, "kernal_size"),
            "PoolingParameter has no field `kernal_size`",
            "did you mean `kernel_size`",
        ),
    ],
)
def test_mistakes(
    type: str, text: str, where: tuple[str, int, int, str], message: str, help: str | None
) -> None:
    (diagnostic,) = refused(text, type)
    assert place(diagnostic) == where
    assert diagnostic.message == message
    if help is None:
        assert diagnostic.help == ()
    else:
        assert help in diagnostic.help[0]


def test_given_twice_names_both_places() -> None:
    (diagnostic,) = refused('name: "a"\n  name: "b"')
    (note,) = diagnostic.notes
    assert (note.span.line, note.span.column) == (1, 1)
    assert "(a.prototxt:1:1)" in render(diagnostic)


def test_all_mistakes_are_told_in_the_order_of_the_text() -> None:
    text = """nam: "x"
layer { clip_param { min: x } }
layer { type: ReLU }
force_backward: 7
"""
    assert [place(d)[:3] for d in refused(text)] == [
        ("unknown-field", 1, 1),
        ("missing-field", 2, 9),
        ("wrong-kind", 2, 27),
        ("wrong-kind", 3, 15),
        ("wrong-kind", 4, 17),
    ]


def test_oneof_fields_exclude_each_other(tmp_path: Any) -> None:
    mine = tmp_path / "mine.proto"
    mine.write_text("message A { oneof which { int32 x = 1; string y = 2; } optional A a = 3; }")
    type = load_schema([mine]).message("A")
    bind(parse_document(Source("t", 'x: 1 a { y: "s" }')), type)
    with pytest.raises(NetcError) as caught:
        bind(parse_document(Source("t", 'y: "s"\nx: 1')), type)
    (diagnostic,) = caught.value.diagnostics
    assert place(diagnostic) == ("conflicting-fields", 1, 1, "y")
    assert diagnostic.message == "`y` and `x` exclude each other: give one of them"
    assert diagnostic.notes[0].span.line == 2


def test_maps_are_entries(tmp_path: Any) -> None:
    mine = tmp_path / "mine.proto"
    mine.write_text("message A { map<string, int32> sizes = 1; }")
    type = load_schema([mine]).message("A")
    text = 'sizes { key: "a" value: 1 } sizes { key: "b" value: 2 }'
    entries = bind(parse_document(Source("t", text)), type).get("sizes")
    assert [(e.get("key"), e.get("value")) for e in entries] == [("a", 1), ("b", 2)]


# --- hints ---


@pytest.mark.parametrize(
    ("text", "help"),
    [
        (
            'layer { type: "Pooling" kernel_size: 3 }',
            ("`kernel_size` is a field of PoolingParameter: put it in `pooling_param { }`",),
        ),
        (
            'layer { type: "InnerProduct" num_output: 3 }',
            (
                "`num_output` is a field of InnerProductParameter: "
                "put it in `inner_product_param { }`",
            ),
        ),
        (
            "layer { lr_mult: 1 }",
            ("`lr_mult` is a field of ParamSpec: put it in `param { }`",),
        ),
        (
            'layer { pooling_param { top: "x" } }',
            ("`top` is a field of LayerParameter: put it outside of `pooling_param { }`",),
        ),
        (
            "layer { blobs_lr: 1 }",
            (
                "`blobs_lr` belongs to the older `layers { }`; in `layer { }` write "
                "`param { lr_mult: ... }`, one for each blob",
            ),
        ),
        ("layr { }", ("did you mean `layer` or `layers`?",)),
        ("xyzzy: 1", ("if your Caffe has a caffe.proto of its own, give it with --schema",)),
    ],
)
def test_what_was_meant(text: str, help: tuple[str, ...]) -> None:
    (diagnostic,) = refused(text)
    assert diagnostic.code == "unknown-field"
    assert diagnostic.help == help


def test_an_unknown_parameter_block_may_be_of_one_s_own_schema() -> None:
    (diagnostic,) = refused("layer { convolutoin_param { } }")
    assert diagnostic.help[0].startswith("did you mean `convolution_param`")
    assert "--schema" in diagnostic.help[1]


def test_a_type_of_the_older_layers_in_a_layer() -> None:
    (diagnostic,) = refused("layer { type: INNER_PRODUCT }")
    assert place(diagnostic) == ("wrong-kind", 1, 15, "INNER_PRODUCT")
    (help,) = diagnostic.help
    assert help == (
        '`INNER_PRODUCT` is of the older `layers { }`; `layer { }` takes types as "Convolution"'
    )


def test_a_field_of_many_messages_names_a_few() -> None:
    (diagnostic,) = refused("layer { kernel_size: 3 }")
    assert len(diagnostic.help) <= 3
    assert "`convolution_param { }`" in diagnostic.help[0]


def test_of_thousands_of_mistakes_the_first_are_told() -> None:
    diagnostics = refused("\n".join(f"field_{i}: 1" for i in range(20_000)))
    assert [d.span.line for d in diagnostics if d.span] == list(range(1, 101))
    assert diagnostics[-1].help[-1] == "more errors follow; mend these first"


# --- fields of which forks disagree ---


def test_several_values_where_a_fork_has_them_are_taken_but_not_guessed_at() -> None:
    filler = bound("value: 1 value: 2", "FillerParameter")
    assert [e.value for e in filler.entries["value"]] == [1.0, 2.0]
    with pytest.raises(NetcError) as caught:
        filler.get("value")
    (diagnostic,) = caught.value.diagnostics
    assert place(diagnostic) == ("repeated-field", 1, 10, "value")
    assert bound("value: 1", "FillerParameter").get("value") == 1.0


def test_a_number_or_a_block_where_forks_disagree() -> None:
    assert bound("device: 2", "LayerParameter").get("device") == 2
    block = bound("device { type: GPU device_id: 1 }", "LayerParameter").get("device")
    assert isinstance(block, Message) and block.get("device_id") == 1
    (diagnostic,) = refused("device { typo: GPU }", "LayerParameter")
    assert place(diagnostic) == ("unknown-field", 1, 10, "typo")


# --- nothing crashes it ---

SOURCE = Source("random", " " * 50)
SPAN = Span(SOURCE, 3, 5)
NAMES = st.sampled_from(
    [
        "layer", "layers", "name", "type", "bottom", "loss_weight", "pooling_param", "kernel_size",
        "param", "lr_mult", "input_dim", "input_shape", "dim", "force_backward", "blobs", "data",
        "state", "phase", "device", "clip_param", "min", "python_param", "transform_param",
        "mean_value", "value", "weight_filler", "convolution_param", "num_output", "engine",
    ]
) | st.text(string.ascii_lowercase + "_", max_size=8)  # fmt: skip
SCALARS = st.one_of(
    st.builds(
        Scalar, st.just("identifier"), st.sampled_from(["TEST", "true", "inf", "x"]), st.just(SPAN)
    ),
    st.builds(Scalar, st.just("string"), st.binary(max_size=4), st.just(SPAN)),
    st.builds(Scalar, st.just("integer"), st.integers(-(2**70), 2**70), st.just(SPAN)),
    st.builds(Scalar, st.just("float"), st.floats(), st.just(SPAN)),
)


def fields(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Field, ...]]:
    field = st.builds(Field, NAMES, values, st.just(SPAN))
    return st.lists(field, max_size=5).map(tuple)


def _flat(items: list[Any]) -> tuple[Any, ...]:
    return tuple(item for item in items if not isinstance(item, ListValue))


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(Block, fields(inner), st.just(SPAN)),
        st.builds(ListValue, st.lists(inner, max_size=3).map(_flat), st.just(SPAN)),
    ),
    max_leaves=30,
)


@given(fields(VALUES), st.sampled_from(["NetParameter", "LayerParameter", "SolverParameter"]))
def test_any_tree_is_bound_or_refused_with_a_place(tree: tuple[Field, ...], type: str) -> None:
    try:
        message = bind(Document(SOURCE, tree), load_schema().message(type))
    except NetcError as error:
        for diagnostic in error.diagnostics:
            assert diagnostic.span is not None
            assert render(diagnostic)
    else:
        assert message.type.name == type


def test_text_that_is_not_utf8_is_read_as_names_of_weights_are() -> None:
    """Caffe takes any bytes; see netc.weights.wire."""
    assert value("SolverParameter", "net", '"a\\377\\316"') == "a\\xff\\xce"
