"""Loads the schema: Caffe's messages, its forks' fields and the user's own .proto files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from netc.cache import content_key, read_entry, write_entry
from netc.data import schemas_dir
from netc.diagnostics import Source
from netc.schema.message import EnumType, FieldType, MessageType
from netc.schema.tables import WIRE_KINDS, FieldRow, SchemaTables

CORE = "caffe.proto"


class Schema:
    """Message types by name, made from linked tables.

    ``key`` is a hash of the schema's content: two schemas with the same key are equal.
    """

    def __init__(self, tables: SchemaTables, key: str) -> None:
        self.tables = tables
        self.key = key

    def __repr__(self) -> str:
        return f"Schema({len(self.tables['messages'])} messages)"

    @cached_property
    def messages(self) -> Mapping[str, MessageType]:
        """All message types by name, without the package; nested ones as ``Outer.Inner``."""
        return MappingProxyType(_build(self.tables))

    def message(self, name: str) -> MessageType:
        """A message type by its name, without the package.

        Raises:
            KeyError: the schema has none of that name.
        """
        return self.messages[name]


def _build(tables: SchemaTables) -> dict[str, MessageType]:
    """All message types; one's fields are made when they are first asked for: most never are."""
    enums = {name: _enum_type(name, numbers) for name, numbers in tables["enums"].items()}
    messages: dict[str, MessageType] = {}

    def making(rows: Sequence[Any]) -> Callable[[], dict[str, FieldType]]:
        return lambda: {row[0]: _field_type(FieldRow(*row), messages, enums) for row in rows}

    for name, rows in tables["messages"].items():
        messages[name] = MessageType(name, making(rows))
    return messages


def _enum_type(name: str, numbers: dict[str, int]) -> EnumType:
    names: dict[int, str] = {}
    for identifier, number in numbers.items():
        names.setdefault(number, identifier)
    return EnumType(name, numbers, names)


def _field_type(
    row: FieldRow, messages: Mapping[str, MessageType], enums: Mapping[str, EnumType]
) -> FieldType:
    message = messages.get(row.type if row.kind == "message" else row.block or "")
    enum = enums[row.type] if row.kind == "enum" else None
    return FieldType(
        row.name,
        row.number,
        row.kind,  # type: ignore[arg-type]
        row.label == "repeated",
        row.label == "required",
        _default(row, enum),
        row.packed,
        message,
        enum,
        row.oneof,
        row.several,
        row.type if row.type in WIRE_KINDS and row.type != row.kind else "",
    )


_IMPLICIT: dict[str, Any] = {
    "double": 0.0, "float": 0.0, "bool": False, "string": "", "bytes": b"", "message": None,
}  # fmt: skip
_FLOAT = struct.Struct("<f")


def _default(row: FieldRow, enum: EnumType | None) -> Any:
    """The value of an absent field: the one declared, else the one protobuf gives its kind."""
    value = row.default
    if row.label == "repeated":
        return ()
    if value is None:
        return next(iter(enum.numbers)) if enum else _IMPLICIT.get(row.kind, 0)
    if row.kind == "float":
        return _FLOAT.unpack(_FLOAT.pack(value))[0]
    return value.encode("latin-1") if row.kind == "bytes" else value


def load_schema(extra: Sequence[Path] = ()) -> Schema:
    """netc's schemas merged with the user's own .proto files.

    Args:
        extra: files to merge over netc's, by message name; later ones win.

    Raises:
        NetcError: where an extra file cannot be read; proto-syntax, proto-number,
            proto-duplicate, proto-unknown-type or proto-default, where it is not valid.
    """
    sources = tuple(_read(Path(path)) for path in extra)
    registered = tuple((f"<{name}>", text) for name, text in _REGISTERED.items())
    return _load((*registered, *((s.name, s.text) for s in sources)))


_REGISTERED: dict[str, str] = {}


def add_messages(name: str, text: str) -> None:
    """Merge the text of a .proto file over netc's schemas from now on, registered under a name."""
    _REGISTERED[name] = text


def remove_messages(name: str) -> None:
    """Undo :func:`add_messages` for a name; does nothing where none was added."""
    _REGISTERED.pop(name, None)


def _read(path: Path) -> Source:
    from netc.syntax.reader import read_source

    return read_source(path)


@cache
def _load(extra: tuple[tuple[str, str], ...]) -> Schema:
    own = _own_files()
    here = Path(__file__).parent
    code = [(here / name).read_bytes() for name in ("proto.lark", "proto_file.py", "link.py")]
    texts = [text.encode("utf-8", "surrogatepass") for _, text in (*own, *extra)]
    key = content_key(*code, len(own).to_bytes(4, "little"), *texts)
    known = _from_cache(key)
    if known is None:
        known = Schema(_from_text(own, extra), key)
        _to_cache(key, known.tables)
    return known


def _own_files() -> list[tuple[str, str]]:
    folder = schemas_dir()
    paths = sorted(folder.rglob("*.proto"), key=lambda p: (p.name != CORE, str(p)))
    return [(str(p), p.read_text(encoding="utf-8")) for p in paths]


def _to_cache(key: str, tables: SchemaTables) -> None:
    write_entry(f"schema-{key}.json", json.dumps(tables).encode())


def _from_cache(key: str) -> Schema | None:
    """The schema of a cache entry; None where somebody has spoilt it."""
    entry = read_entry(f"schema-{key}.json")
    if entry is None:
        return None
    try:
        known = Schema(json.loads(entry), key)
        known.message("NetParameter")
        return known if _makes_sense(known.tables) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error):
        return None


def _makes_sense(tables: SchemaTables) -> bool:
    """Whether every field could be made of its row, which is only done when it is asked for."""
    rows = (FieldRow(*row) for rows in tables["messages"].values() for row in rows)
    return all(isinstance(name, str) for name in tables["maps"]) and all(
        isinstance(row.name, str)
        and isinstance(row.number, int)
        and (row.kind != "enum" or row.type in tables["enums"])
        and (row.kind != "float" or row.default is None or isinstance(row.default, int | float))
        and (row.kind != "bytes" or row.default is None or isinstance(row.default, str))
        for row in rows
    )


def _from_text(own: Sequence[tuple[str, str]], extra: Sequence[tuple[str, str]]) -> SchemaTables:
    from netc.schema.proto_text import link_texts

    return link_texts([Source(*file) for file in own], [Source(*file) for file in extra])
