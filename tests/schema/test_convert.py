"""Messages to text and back, to google.protobuf and back: nothing is lost on the way."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.schema.bind import bind
from netc.schema.convert import from_protobuf, short_float, to_document, to_protobuf
from netc.schema.descriptors import message_class
from netc.schema.load import load_schema
from netc.schema.message import Entry, FieldType, Message
from netc.schema.scalars import RANGES, as_float32
from netc.syntax.ast import Block, Document, Field
from netc.syntax.parser import parse_document
from netc.syntax.printer import print_document
from netc.syntax.reader import read_source
from tests.schema.texts import bound

FLOATS = st.floats(width=32)
Tree = dict[str, list[Any]]
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(),
    "float": FLOATS,
    "bool": st.booleans(),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
    **{kind: st.integers(low, high) for kind, (low, high) in RANGES.items()},
}


def values(field: FieldType, depth: int) -> st.SearchStrategy[Any]:
    if field.kind == "message":
        assert field.message
        return trees(field.message.name, depth - 1)
    if field.enum:
        return st.sampled_from(sorted(field.enum.numbers))
    return PLAIN[field.kind]


@st.composite
def trees(draw: st.DrawFn, name: str, depth: int) -> Tree:
    """Values for a message of the type of that name, required fields always among them."""
    fields = load_schema().message(name).fields
    known = [f.name for f in fields.values() if depth > 0 or f.kind != "message"]
    chosen = [f.name for f in fields.values() if f.required]
    if known:
        chosen += draw(st.lists(st.sampled_from(known), max_size=4))
    tree = {}
    for field in map(fields.__getitem__, chosen):
        most = 3 if field.repeated else 1
        tree[field.name] = draw(st.lists(values(field, depth), min_size=1, max_size=most))
    return tree


def made(name: str, tree: Tree) -> Message:
    type = load_schema().message(name)
    entries = {
        field: tuple(Entry(_value(type.fields[field], value)) for value in given)
        for field, given in tree.items()
    }
    return Message(type, entries)


def _value(field: FieldType, value: Any) -> Any:
    if field.kind != "message" or field.message is None:
        return value
    return made(field.message.name, value)


def plain(message: Message) -> Any:
    """The message as nested lists without spans; floats so that nan equals nan."""
    return {
        name: [
            plain(e.value) if isinstance(e.value, Message) else (repr(e.value), type(e.value))
            for e in entries
        ]
        for name, entries in message.entries.items()
    }


TREES = st.tuples(st.just("NetParameter"), trees("NetParameter", 4)) | st.tuples(
    st.just("SolverParameter"), trees("SolverParameter", 2)
)


@settings(max_examples=100)
@given(TREES)
def test_through_a_document(given: tuple[str, Tree]) -> None:
    message = made(*given)
    assert plain(bind(to_document(message), message.type)) == plain(message)


@settings(max_examples=100)
@given(TREES)
def test_through_a_text(given: tuple[str, Tree]) -> None:
    message = made(*given)
    text = print_document(to_document(message))
    read = bind(parse_document(Source("printed", text)), message.type)
    assert plain(read) == plain(message)


@settings(max_examples=100)
@given(TREES)
def test_through_protobuf(given: tuple[str, Tree]) -> None:
    message = made(*given)
    written = to_protobuf(message).SerializeToString()
    read = message_class(message.type).FromString(written)
    assert plain(from_protobuf(read, message.type)) == plain(message)


@settings(max_examples=50)
@given(TREES)
def test_protobuf_s_own_text_reads_the_same(given: tuple[str, Tree]) -> None:
    """What google.protobuf prints of a message binds to that message."""
    message = made(*given)
    text = text_format.MessageToString(to_protobuf(message), as_utf8=True)
    read = bind(parse_document(Source("printed", text)), message.type)
    assert plain(read) == plain(message)


@given(FLOATS)
@example(999999986991104.0)  # 1e15, whose repr has more zeros and fewer digits
def test_short_floats_read_as_the_same_float32(value: float) -> None:
    short = short_float(value)
    assert as_float32(short) == value or (math.isnan(short) and math.isnan(value))
    assert _significant_digits(short) <= _significant_digits(value)


def _significant_digits(value: float) -> int:
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


def test_short_floats_are_short() -> None:
    assert repr(short_float(as_float32(0.1))) == "0.1"
    assert repr(short_float(as_float32(1e-5))) == "1e-05"
    assert repr(short_float(16777216.0)) == "16777216.0"


def names(fields: tuple[Field, ...]) -> list[Any]:
    return [(f.name, names(f.value.fields) if isinstance(f.value, Block) else None) for f in fields]


def test_fields_stand_in_order_of_number() -> None:
    net = bound('layer { top: "b" bottom: "a" type: "X" name: "x" } name: "n"')
    document = to_document(net)
    assert isinstance(document, Document)
    inside = [("name", None), ("type", None), ("bottom", None), ("top", None)]
    assert names(document.fields) == [("name", None), ("layer", inside)]


def test_a_document_keeps_the_places_of_the_text() -> None:
    net = bound('layer { name: "x" }')
    (layer,) = to_document(net).fields
    assert layer.span.text == "layer"
    assert isinstance(layer.value, Block)
    assert layer.value.fields[0].value.span.text == '"x"'


def test_bytes_are_those_of_google_protobuf(nets: Path) -> None:
    type = load_schema().message("NetParameter")
    for path in sorted(nets.glob("*.prototxt")):
        source = read_source(path)
        ours = to_protobuf(bind(parse_document(source), type))
        theirs = text_format.Parse(source.text, message_class(type)())
        assert ours == theirs, path.name


def test_golden_caffemodels_are_read_whole(golden: Path) -> None:
    """BVLC's bytes hold no field that the schema does not know, and go back as they came."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    type = load_schema().message("NetParameter")
    paths = [p for p in sorted(golden.rglob("*.caffemodel")) if p.stat().st_size < 2_000_000]
    assert paths
    for path in paths:
        data = path.read_bytes()
        net = message_class(type).FromString(data)
        assert len(UnknownFieldSet(net)) == 0
        assert all(len(UnknownFieldSet(layer)) == 0 for layer in (*net.layer, *net.layers))
        assert net.SerializeToString() == data, path.name


def test_enums_and_packing_have_caffe_s_numbers_on_the_wire() -> None:
    pooling = bound("pool: STOCHASTIC kernel_size: 3", "PoolingParameter")
    assert to_protobuf(pooling).SerializeToString() == b"\x08\x02\x10\x03"
    shape = bound("dim: [1, 300]", "BlobShape")
    assert to_protobuf(shape).SerializeToString() == b"\x0a\x03\x01\xac\x02"


def test_zigzag_and_fixed_numbers_of_a_person_s_schema(tmp_path: Path) -> None:
    mine = tmp_path / "mine.proto"
    mine.write_text("message A { optional sint32 x = 1; optional fixed32 y = 2; }")
    type = load_schema([mine]).message("A")
    message = Message(type, {"x": (Entry(-1),), "y": (Entry(1),)})
    assert to_protobuf(message).SerializeToString() == b"\x08\x01\x15\x01\x00\x00\x00"


def test_what_bytes_cannot_hold_is_refused() -> None:
    with pytest.raises(NetcError) as caught:
        to_protobuf(bound("value: 1 value: 2", "FillerParameter"))
    assert caught.value.diagnostics[0].code == "repeated-field"
    with pytest.raises(NetcError) as caught:
        to_protobuf(bound("device { type: GPU }", "LayerParameter"))
    assert caught.value.diagnostics[0].code == "wrong-kind"


def test_fields_the_type_lacks_are_named() -> None:
    known = load_schema()
    pb = to_protobuf(bound('name: "x" type: "ReLU"', "LayerParameter"))
    with pytest.raises(NetcError, match="LabelMap has no field `name`"):
        from_protobuf(pb, known.message("LabelMap"))
