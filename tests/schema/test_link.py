"""Merging .proto files by message name, a person's own over ours."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source
from netc.schema.link import FIRST_FREE, link
from netc.schema.proto_file import parse_proto
from netc.schema.tables import FieldRow, SchemaTables

CORE = """
package caffe;
enum Phase { TRAIN = 0; TEST = 1; }
message NetParameter {
  repeated V1LayerParameter layers = 2;
  repeated LayerParameter layer = 100;
}
message LayerParameter {
  optional string name = 1;
  optional Phase phase = 10;
  optional PoolingParameter pooling_param = 121;
}
message V1LayerParameter { optional V0LayerParameter layer = 1; optional string name = 4; }
message V0LayerParameter { optional string name = 1; }
message PoolingParameter {
  enum Engine { DEFAULT = 0; CUDNN = 2; }
  optional uint32 kernel_size = 2 [default = 1];
  repeated uint32 pad = 3;
  optional Engine engine = 11 [default = DEFAULT];
}
"""
PHASE = "enum Phase { TRAIN = 0; TEST = 1; }"
FORK = """
message LayerParameter { optional BNParameter bn_param = 150; }
message BNParameter { optional float eps = 1 [default = 1e-5]; optional NetParameter net = 2; }
message PoolingParameter { enum Engine { MKL = 3; } optional bool ceil_mode = 12; }
"""


def linked(*own: str, extra: tuple[str, ...] = ()) -> SchemaTables:
    parse = [parse_proto(Source(f"{i}.proto", text)) for i, text in enumerate(own)]
    return link(parse, [parse_proto(Source("mine.proto", text)) for text in extra])


def field(tables: SchemaTables, path: str) -> FieldRow:
    message, name = path.rsplit(".", 1)
    rows = [FieldRow(*row) for row in tables["messages"][message]]
    return next(row for row in rows if row.name == name)


def complaint(*own: str, extra: tuple[str, ...] = ()) -> tuple[str, int, int, str]:
    with pytest.raises(NetcError) as caught:
        linked(*own, extra=extra)
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.span
    return diagnostic.code, diagnostic.span.line, diagnostic.span.column, diagnostic.message


def test_a_fork_adds_fields_and_values() -> None:
    tables = linked(CORE, FORK)
    assert field(tables, "LayerParameter.bn_param")[:4] == (
        "bn_param",
        150,
        "message",
        "BNParameter",
    )
    assert field(tables, "BNParameter.net").type == "NetParameter"
    assert tables["enums"]["PoolingParameter.Engine"] == {"DEFAULT": 0, "CUDNN": 2, "MKL": 3}
    assert [row[0] for row in tables["messages"]["PoolingParameter"]][-1] == "ceil_mode"


def test_among_our_own_the_first_keeps_its_number() -> None:
    tables = linked(CORE, FORK, "message LayerParameter { optional string note = 150; }")
    assert field(tables, "LayerParameter.bn_param").number == 150
    assert field(tables, "LayerParameter.note").number == FIRST_FREE


def test_a_person_s_number_wins() -> None:
    mine = "message LayerParameter { optional string note = 150; optional string name = 7; }"
    tables = linked(CORE, FORK, extra=(mine,))
    assert field(tables, "LayerParameter.note").number == 150
    assert field(tables, "LayerParameter.name").number == 7
    assert field(tables, "LayerParameter.bn_param").number == FIRST_FREE


def test_a_person_s_enum_number_wins() -> None:
    mine = "message PoolingParameter { enum Engine { DEFAULT = 0; MINE = 2; CUDNN = 5; } }"
    numbers = linked(CORE, FORK, extra=(mine,))["enums"]["PoolingParameter.Engine"]
    assert numbers == {"DEFAULT": 0, "MINE": 2, "CUDNN": 5, "MKL": 3}


def test_two_names_of_one_number_in_a_person_s_enum_stay_so() -> None:
    mine = "enum Phase { TRAIN = 0; LEARN = 0; }"
    assert linked(CORE, extra=(mine,))["enums"]["Phase"] == {"TRAIN": 0, "LEARN": 0, "TEST": 1}


def test_a_person_s_fork_fields_replace_ours() -> None:
    mine = "message BNParameter { repeated double eps = 4 [packed = true]; }"
    eps = field(linked(CORE, FORK, extra=(mine,)), "BNParameter.eps")
    assert (eps.number, eps.kind, eps.label, eps.packed, eps.default) == (
        4,
        "double",
        "repeated",
        True,
        None,
    )


def test_the_kind_of_caffe_s_own_fields_stays_their_default_does_not() -> None:
    mine = """message PoolingParameter {
      optional uint32 kernel_size = 2 [default = 3];
      optional uint32 pad = 3;
      optional string engine = 11 [default = "fast"];
    }"""
    tables = linked(CORE, extra=(mine,))
    assert field(tables, "PoolingParameter.kernel_size").default == 3
    assert field(tables, "PoolingParameter.pad").label == "repeated"
    engine = field(tables, "PoolingParameter.engine")
    assert (engine.kind, engine.default) == ("enum", "DEFAULT")


def test_where_a_fork_repeats_a_singular_field_several_are_taken() -> None:
    again = "message PoolingParameter { repeated uint32 kernel_size = 2; }"
    for tables in (linked(CORE, again), linked(CORE, extra=(again,))):
        row = field(tables, "PoolingParameter.kernel_size")
        assert (row.label, row.several) == ("optional", True)


def test_where_a_fork_has_a_block_for_a_number_both_are_taken() -> None:
    again = "message LayerParameter { optional PoolingParameter name = 1; }"
    row = field(linked(CORE, again), "LayerParameter.name")
    assert (row.kind, row.block) == ("string", "PoolingParameter")


def test_the_layers_of_2014_are_today_s_v1() -> None:
    mine = """package caffe;
    message NetParameter { repeated LayerParameter layers = 2; }
    message LayerParameter {
      enum LayerType { NONE = 0; MINE = 77; }
      optional LayerType type = 5;
      optional LayerParameter.LayerType other = 6;
      optional caffe.LayerParameter again = 9;
    }"""
    tables = linked(CORE, extra=(mine,))
    assert field(tables, "V1LayerParameter.type").type == "V1LayerParameter.LayerType"
    assert field(tables, "V1LayerParameter.other").type == "V1LayerParameter.LayerType"
    assert field(tables, "V1LayerParameter.again").type == "V1LayerParameter"
    assert "type" not in {row[0] for row in tables["messages"]["LayerParameter"]}
    assert field(tables, "NetParameter.layers").type == "V1LayerParameter"


def test_the_layers_of_2013_are_today_s_v0() -> None:
    mine = """
    message NetParameter { repeated LayerConnection layers = 2; }
    message LayerConnection { optional LayerParameter layer = 1; repeated string bottom = 2; }
    message LayerParameter { optional uint32 whiten = 60; }"""
    tables = linked(CORE, extra=(mine,))
    assert field(tables, "V0LayerParameter.whiten").number == 60
    assert field(tables, "V1LayerParameter.bottom").label == "repeated"
    assert "LayerConnection" not in tables["messages"]


def test_types_are_found_from_the_inside_out() -> None:
    text = """package caffe;
    enum E { OUTER = 0; }
    message A {
      enum E { INNER = 0; }
      message B { optional E near = 1; optional .caffe.E far = 2; optional A.B self = 3; }
    }"""
    tables = linked(text)
    assert field(tables, "A.B.near").type == "A.E"
    assert field(tables, "A.B.far").type == "E"
    assert field(tables, "A.B.self").type == "A.B"


def test_proto3_packs_numbers() -> None:
    text = 'syntax = "proto3"; message A { repeated int32 x = 1; repeated string y = 2; }'
    tables = linked(text)
    assert field(tables, "A.x").packed and not field(tables, "A.y").packed


@pytest.mark.parametrize(
    ("type", "default", "value"),
    [
        ("float", "1", 1.0),
        ("double", "-inf", float("-inf")),
        ("int32", "-5", -5),
        ("bool", "true", True),
        ("string", '"a\\n"', "a\n"),
        ("bytes", '"\\xff"', "\xff"),
        ("Phase", "TEST", "TEST"),
    ],
)
def test_defaults(type: str, default: str, value: object) -> None:
    text = f"{PHASE} message A {{ optional {type} x = 1 [default = {default}]; }}"
    assert field(linked(text), "A.x").default == value


@pytest.mark.parametrize(
    ("type", "default"),
    [
        ("int32", "1.5"),
        ("int32", "TEST"),
        ("bool", "1"),
        ("string", "TEST"),
        ("Phase", "0"),
        ("Phase", "NONE"),
        ("A", '"x"'),
        ("float", "x"),
    ],
)
def test_defaults_that_do_not_fit(type: str, default: str) -> None:
    text = f"{PHASE}\nmessage A {{ optional {type} x = 1 [default = {default}]; }}"
    code, line, column, message = complaint(text)
    assert (code, line, column) == ("proto-default", 2, text.splitlines()[1].rindex(default) + 1)
    assert "`x`" in message


def test_an_unknown_type_is_named() -> None:
    code, line, column, message = complaint(
        CORE, extra=("message A {\n  optional PoolingParametr p = 1;\n}",)
    )
    assert (code, line, column) == ("proto-unknown-type", 2, 12)
    assert "`PoolingParametr` of field `p`" in message


def test_many_enum_values_link_in_no_time() -> None:
    values = " ".join(f"V{i} = {i};" for i in range(20_000))
    numbers = linked(CORE, extra=(f"enum Phase {{ {values} }}",))["enums"]["Phase"]
    assert len(numbers) == 20_002
    assert numbers["V1"] == 1 and numbers["TEST"] >= FIRST_FREE
