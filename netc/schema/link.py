"""Links .proto files: merges messages by name and resolves all types; declarations -> tables.

The tables are plain lists and dictionaries, so that they can be cached as JSON: netc then starts
without parsing .proto files or importing Lark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from netc.diagnostics import Collector, Diagnostic, NetcError, did_you_mean
from netc.schema.declarations import (
    Constant,
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    ProtoToken,
)
from netc.schema.tables import WIRE_KINDS, FieldRow, SchemaTables

FIRST_FREE = 100_000_000
"""Fields and enum values whose number another one has go to the free numbers from here on."""


@dataclass(frozen=True)
class _Draft:
    """A field before its type is looked up."""

    field: ProtoField
    file: ProtoFile
    scope: str
    number: int
    core: bool
    default: Constant | None
    several: bool = False
    other: _Draft | None = None  # how another fork declares it


@dataclass
class _Merged:
    """All files so far, by full name without package."""

    messages: dict[str, dict[str, _Draft]] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    maps: list[str] = field(default_factory=list)


def link(own: Sequence[ProtoFile], extra: Sequence[ProtoFile] = ()) -> SchemaTables:
    """Link netc's own files, the first of them BVLC Caffe's, and the user's to one schema.

    Among netc's own files the first one to declare a field wins. A user's file overrides numbers
    and defaults, and everything about fields that BVLC Caffe does not have; the kind of a field of
    BVLC Caffe stays, since the layers depend on it.

    Raises:
        NetcError: proto-unknown-type, for a type that no file declares; proto-default, for a
            default that does not fit its field.
    """
    merged = _Merged()
    for index, file in enumerate(own):
        _merge(merged, file, core=index == 0, wins=False)
    for file in extra:
        _merge(merged, _present_names(file), core=False, wins=True)
    return _look_up(merged)


# --- merging ---


def _merge(merged: _Merged, file: ProtoFile, *, core: bool, wins: bool) -> None:
    for name, enum in _enums(file):
        _merge_enum(merged.enums.setdefault(name, {}), enum, wins)
    for name, message in _messages(file):
        known = merged.messages.setdefault(name, {})
        if message.map_entry:
            merged.maps.append(name)
        owners = {draft.number: field_name for field_name, draft in known.items()}
        for declared in message.fields:
            new = _Draft(declared, file, name, declared.number, core, declared.default)
            _merge_field(known, owners, new, wins)


def _messages(file: ProtoFile) -> Iterator[tuple[str, ProtoMessage]]:
    def walk(prefix: str, messages: Sequence[ProtoMessage]) -> Iterator[tuple[str, ProtoMessage]]:
        for message in messages:
            name = prefix + message.name.text
            yield name, message
            yield from walk(f"{name}.", message.messages)

    return walk("", file.messages)


def _enums(file: ProtoFile) -> Iterator[tuple[str, ProtoEnum]]:
    yield from ((enum.name.text, enum) for enum in file.enums)
    for name, message in _messages(file):
        yield from ((f"{name}.{enum.name.text}", enum) for enum in message.enums)


def _merge_enum(known: dict[str, int], enum: ProtoEnum, wins: bool) -> None:
    declared = {word.text for word, _ in enum.values}
    owners = {number: name for name, number in known.items()}
    for word, number in enum.values:
        owner = owners.get(number, word.text)
        if wins and owner not in declared:
            known[owner] = _free(known.values())
        elif not wins and owner != word.text:
            number = _free(known.values())
        if wins or word.text not in known:
            known[word.text] = number
            owners.setdefault(number, word.text)


def _free(taken: Iterable[int]) -> int:
    return max(FIRST_FREE - 1, *taken) + 1


def _merge_field(known: dict[str, _Draft], owners: dict[int, str], new: _Draft, wins: bool) -> None:
    name = new.field.name.text
    old = known.get(name)
    merged = _combined(old, new, wins) if old else new
    owner = owners.get(merged.number, name)
    if owner != name:
        free = _free(draft.number for draft in known.values())
        if wins:
            known[owner] = replace(known[owner], number=free)
            owners[free] = owner
        else:
            merged = replace(merged, number=free)
    known[name] = merged
    owners[merged.number] = name


def _combined(old: _Draft, new: _Draft, wins: bool) -> _Draft:
    several = new.field.label == "repeated" and old.field.label != "repeated"
    if not wins:
        return replace(old, several=old.several or several, other=old.other or new)
    if not old.core:
        return new
    same = new.field.type.text.rpartition(".")[2] == old.field.type.text.rpartition(".")[2]
    default = new.default if same else old.default
    return replace(old, number=new.number, default=default, several=old.several or several)


# --- older caffe.proto files, whose LayerParameter was what BVLC later renamed ---


def _present_names(file: ProtoFile) -> ProtoFile:
    """The file with the layer messages of 2013 and 2014 under the names they have today."""
    names = {m.name.text for m in file.messages}
    if "V1LayerParameter" in names or not _layers_are(file, names):
        return file
    if "LayerConnection" in names:
        renames = {"LayerConnection": "V1LayerParameter", "LayerParameter": "V0LayerParameter"}
    else:
        renames = {"LayerParameter": "V1LayerParameter"}
    return file._replace(messages=tuple(_renamed(m, renames, file.package) for m in file.messages))


def _layers_are(file: ProtoFile, names: set[str]) -> bool:
    net = next((m for m in file.messages if m.name.text == "NetParameter"), ProtoMessage(_NO_WORD))
    types = {f.type.text.rpartition(".")[2] for f in net.fields if f.name.text == "layers"}
    return bool(types & names & {"LayerParameter", "LayerConnection"})


_NO_WORD = ProtoToken("", None)  # type: ignore[arg-type]


def _renamed(message: ProtoMessage, renames: dict[str, str], package: str) -> ProtoMessage:
    def rename(word: ProtoToken) -> ProtoToken:
        bare = word.text.removeprefix(".").removeprefix(f"{package}.")
        head, dot, tail = bare.partition(".")
        return word._replace(text=renames[head] + dot + tail) if head in renames else word

    return message._replace(
        name=rename(message.name),
        fields=tuple(f._replace(type=rename(f.type)) for f in message.fields),
        messages=tuple(_renamed(m, renames, package) for m in message.messages),
    )


# --- looking types up ---


def _look_up(merged: _Merged) -> SchemaTables:
    collector = Collector()
    messages: dict[str, list[Any]] = {}
    for name, drafts in merged.messages.items():
        rows = messages[name] = []
        for draft in drafts.values():
            with collector.catching():
                rows.append(list(_row(draft, merged)))
    collector.check()
    return {"messages": messages, "enums": merged.enums, "maps": merged.maps}


def _row(draft: _Draft, merged: _Merged) -> FieldRow:
    declared = draft.field
    kind, type_ = _resolve(draft, merged)
    default = _default(draft, kind, merged.enums.get(type_))
    numeric = kind not in ("string", "bytes", "message")
    packed = draft.file.syntax == "proto3" if declared.packed is None else declared.packed
    return FieldRow(
        declared.name.text,
        draft.number,
        kind,
        type_,
        declared.label,
        default,
        packed and numeric and declared.label == "repeated",
        declared.oneof,
        draft.several,
        _block(draft, kind, merged),
    )


def _block(draft: _Draft, kind: str, merged: _Merged) -> str | None:
    if kind == "message" or draft.other is None:
        return None
    other, type_ = _resolve(draft.other, merged)
    return type_ if other == "message" else None


def _resolve(draft: _Draft, merged: _Merged) -> tuple[str, str]:
    written = draft.field.type.text
    if written in WIRE_KINDS:
        return WIRE_KINDS[written], written
    for candidate in _candidates(written, draft.scope, draft.file.package):
        if candidate in merged.enums:
            return "enum", candidate
        if candidate in merged.messages:
            return "message", candidate
    known = [*WIRE_KINDS, *merged.messages, *merged.enums]
    help = did_you_mean(written, known) or (
        "imports are not followed: give the file that declares it as a schema too",
    )
    message = f"type `{written}` of field `{draft.field.name.text}` is declared nowhere"
    raise NetcError(Diagnostic("proto-unknown-type", message, draft.field.type.span, help=help))


def _candidates(written: str, scope: str, package: str) -> Iterator[str]:
    """Full names a type may mean, innermost scope first."""
    bare = written.removeprefix(".")
    parts = [] if written.startswith(".") else scope.split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join([*parts[:end], bare])
    yield bare
    if package and bare.startswith(f"{package}."):
        yield bare[len(package) + 1 :]


_DEFAULT_KINDS = {
    "float": ("float", "integer"), "double": ("float", "integer"),
    "string": ("string",), "bytes": ("string",), "bool": ("identifier",), "enum": ("identifier",),
}  # fmt: skip
_WORDS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan"), "-nan": float("nan")}


def _default(draft: _Draft, kind: str, enum: dict[str, int] | None) -> Any:
    constant = draft.default
    if constant is None:
        return None
    value = constant.value
    if kind in ("float", "double") and value in _WORDS:
        return _WORDS[str(value)]
    fits = constant.kind in _DEFAULT_KINDS.get(kind, ("integer",)) and kind != "message"
    if fits and (kind != "enum" or value in (enum or {})):
        return _plain(value, kind)
    message = f"default of `{draft.field.name.text}` is no value of {draft.field.type.text}"
    raise NetcError(Diagnostic("proto-default", message, constant.span))


def _plain(value: Any, kind: str) -> Any:
    """A default as JSON can hold it; bytes as one character a byte."""
    if kind == "bool":
        return value == "true"
    if kind == "string":
        return value.decode("utf-8", "replace")
    if kind == "bytes":
        return value.decode("latin-1")
    return float(value) if kind in ("float", "double") else value
