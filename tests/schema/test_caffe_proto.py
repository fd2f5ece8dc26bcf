"""schemas/ says what BVLC Caffe's own schema says, and knows what its forks add."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from netc.data import schemas_dir
from netc.diagnostics import Source
from netc.schema.link import FIRST_FREE, link
from netc.schema.load import Schema, load_schema
from netc.schema.message import FieldType
from netc.schema.proto_file import parse_proto
from netc.schema.scalars import as_float32

HERE = Path(__file__).parent
Row = Mapping[str, str]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


BVLC_FIELDS = rows(HERE / "bvlc_fields.tsv")
BVLC_ENUMS = rows(HERE / "bvlc_enums.tsv")


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load_schema()


def test_the_golden_rows_are_there() -> None:
    assert len(BVLC_FIELDS) == 423
    assert len(BVLC_ENUMS) == 111


def test_caffe_proto_declares_bvlc_s_fields_and_no_others() -> None:
    path = schemas_dir() / "caffe.proto"
    tables = link([parse_proto(Source(str(path), path.read_text(encoding="utf-8")))])
    ours = {(m, row[0]) for m, fields in tables["messages"].items() for row in fields}
    assert ours == {(r["message"], r["field"]) for r in BVLC_FIELDS}
    values = {(e, v, str(n)) for e, numbers in tables["enums"].items() for v, n in numbers.items()}
    assert values == {(r["enum"], r["value"], r["number"]) for r in BVLC_ENUMS}


@pytest.mark.parametrize("row", BVLC_FIELDS, ids=lambda r: f"{r['message']}.{r['field']}")
def test_a_field_is_bvlc_s(schema: Schema, row: Row) -> None:
    field = schema.message(row["message"]).fields[row["field"]]
    assert field.number == int(row["number"])
    assert (field.repeated, field.required) == (
        row["label"] == "repeated",
        row["label"] == "required",
    )
    assert type_name(field) == row["type"]
    assert field.packed == (row["packed"] == "packed")
    if row["default"]:
        assert field.default == value(field, row["default"])


def type_name(field: FieldType) -> str:
    if field.enum:
        return field.enum.name
    return field.message.name if field.kind == "message" and field.message else field.kind


def value(field: FieldType, text: str) -> object:
    if field.kind in ("float", "double"):
        return as_float32(float(text)) if field.kind == "float" else float(text)
    if field.kind == "bool":
        return text == "true"
    return text if field.kind in ("string", "enum") else int(text)


def test_enum_values_are_bvlc_s(schema: Schema) -> None:
    enums = {
        f.enum.name: f.enum for m in schema.messages.values() for f in m.fields.values() if f.enum
    }
    for row in BVLC_ENUMS:
        enum = enums[row["enum"]]
        assert enum.numbers[row["value"]] == int(row["number"])
        assert enum.names[int(row["number"])] == row["value"]


def test_no_number_stands_for_two_things(schema: Schema) -> None:
    for message in schema.messages.values():
        numbers = [f.number for f in message.fields.values()]
        assert len(set(numbers)) == len(numbers), message
    for name, numbers_of in schema.tables["enums"].items():
        assert len(set(numbers_of.values())) == len(numbers_of), name


def test_our_own_files_give_their_numbers_themselves() -> None:
    """No number is moved while linking: what the files say is what holds."""
    paths = sorted((schemas_dir() / "forks").glob("*.proto"))
    assert len(paths) > 20
    tables = load_schema().tables["messages"]
    for path in paths:
        file = parse_proto(Source(str(path), path.read_text(encoding="utf-8")))
        for message in file.messages:
            numbers = {row[0]: row[1] for row in tables[message.name.text]}
            for field in message.fields:
                assert numbers[field.name.text] == field.number, (path.name, message.name.text)


def fork_rows(corpus: Path, name: str) -> Iterator[dict[str, str]]:
    path = corpus.parent / "reference" / name
    if not path.is_file():
        pytest.skip(f"the list of forks' fields is not at {path}")
    return (row for row in rows(path) if row["origin"] != "BVLC")


RENAMED = {"LayerConnection": "V1LayerParameter", "DataType": "MluDataType"}


def test_every_field_of_every_fork_is_known(schema: Schema, corpus: Path) -> None:
    layers = [
        schema.messages[n].fields
        for n in ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
    ]
    count = 0
    for row in fork_rows(corpus, "caffe_fields.tsv"):
        name = RENAMED.get(row["message"], row["message"])
        fields = schema.message(name).fields
        if name == "LayerParameter":  # the layers of 2013 and 2014 had that name too
            assert any(row["field"] in known for known in layers), row
        else:
            assert row["field"] in fields, row
        count += 1
    assert count > 3000


def test_every_enum_value_of_every_fork_is_known(schema: Schema, corpus: Path) -> None:
    enums = schema.tables["enums"]
    for row in fork_rows(corpus, "caffe_enums.tsv"):
        owner, _, name = row["enum"].rpartition(".")
        owners = [owner, *(f"{v}LayerParameter" for v in ("V1", "V0") if owner == "LayerParameter")]
        owners = [RENAMED.get(o, o) for o in owners]
        full = [f"{o}.{name}" if o else name for o in owners]
        assert any(row["value"] in enums.get(f, {}) for f in full), row


def test_forks_keep_their_number_where_it_is_free(schema: Schema) -> None:
    assert schema.message("LayerParameter").fields["permute_param"].number == 202
    assert schema.message("BlobProto").fields["raw_data"].number == 12
    moved = schema.message("BlobProto").fields["packed_data"]
    assert moved.number >= FIRST_FREE
