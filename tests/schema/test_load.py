"""The schema a start gets: from the cache, from text, with a person's own file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netc.data import schemas_dir
from netc.diagnostics import NetcError, Source
from netc.schema import load
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.schema.proto_file import parse_proto

START = """
import sys
from netc.schema.load import load_schema
load_schema().message("NetParameter")
print(sorted({"lark", "google.protobuf"} & set(sys.modules)))
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache, and nothing remembered."""
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "cache"))
    load._load.cache_clear()
    yield tmp_path / "cache"
    load._load.cache_clear()


def test_a_second_start_imports_neither_lark_nor_protobuf(fresh: Path) -> None:
    said = [subprocess.check_output([sys.executable, "-c", START], text=True) for _ in range(2)]
    assert said == ["['lark']\n", "[]\n"]


def test_a_damaged_cache_entry_is_read_over(fresh: Path) -> None:
    expected = load_schema().tables
    for content in (b"", b"{", b"[]", b'{"messages": {"A": [1]}}', b"\xff\xfe", b"null"):
        (entry,) = fresh.glob("schema-*.json")
        entry.write_bytes(content)
        load._load.cache_clear()
        assert load_schema().tables == expected


def test_no_cache_is_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "file"))
    load._load.cache_clear()
    assert "layer" in load_schema().message("NetParameter").fields


def test_a_person_s_own_schema(fresh: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my_caffe.proto"
    mine.write_text(
        "package caffe;\n"
        "message LayerParameter { optional MineParameter mine_param = 147; }\n"
        "message MineParameter { optional float strength = 1 [default = 0.1]; }\n"
    )
    known = load_schema([mine])
    field = known.message("LayerParameter").fields["mine_param"]
    assert field.message is known.message("MineParameter")
    assert Message(field.message).get("strength") == pytest.approx(0.1)
    assert "mine_param" not in load_schema().message("LayerParameter").fields
    assert known.key != load_schema().key
    mine.write_text("message MineParameter { optional float power = 1; }")
    assert "power" in load_schema([mine]).message("MineParameter").fields


def test_mistakes_in_a_person_s_schema_have_their_place(fresh: Path, tmp_path: Path) -> None:
    mine = tmp_path / "bad.proto"
    mine.write_text("message A {\n  optional Nothing x = 1;\n}\n")
    other = tmp_path / "worse.proto"
    other.write_text("message B { optional int32 x = }")
    with pytest.raises(NetcError) as caught:
        load_schema([mine])
    assert str(caught.value.diagnostics[0].span) == f"{mine}:2:12"
    with pytest.raises(NetcError) as caught:
        load_schema([mine, other])
    assert str(caught.value.diagnostics[0].span) == f"{other}:1:32"
    with pytest.raises(NetcError):
        load_schema([tmp_path / "absent.proto"])


def test_absent_fields_have_their_kind_s_own_default() -> None:
    known = load_schema()
    layer = Message(known.message("LayerParameter"))
    assert layer.get("name") == ""
    assert layer.get("bottom") == ()
    assert layer.get("phase") == "TRAIN"
    assert layer.get("pooling_param").get("kernel_size") == 0
    assert layer.get("pooling_param").get("stride") == 1
    assert layer.get("lrn_param").get("beta") == 0.75
    assert layer.get("batch_norm_param").get("eps") == 9.999999747378752e-06
    assert layer.get("device") == -1


def test_no_file_demands_a_field_of_a_message_that_it_only_adds_to() -> None:
    """A text of one fork need not have what another fork's message must have."""
    declared: dict[str, list[tuple[int, list[str]]]] = {}
    for path in schemas_dir().rglob("*.proto"):
        for message in parse_proto(Source(str(path), path.read_text("utf-8"))).messages:
            demanded = [f.name.text for f in message.fields if f.label == "required"]
            declared.setdefault(message.name.text, []).append((len(message.fields), demanded))
    for name, files in declared.items():
        _, whole = max(files)
        assert not [d for _, d in files if not set(d) <= set(whole)], name
