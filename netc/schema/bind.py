"""Binds a parsed text to a message type: Document + type -> Message; reports all mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from netc.diagnostics import HINTED, Collector, Diagnostic, NetcError, Note, Span
from netc.schema.hints import unknown_field_help
from netc.schema.message import Entry, FieldType, Message, MessageType
from netc.schema.scalars import READERS
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar

_new_entry: Callable[[type[Entry], tuple[Any, Span, Span]], Entry] = tuple.__new__  # as in build


def bind(document: Document, type: MessageType) -> Message:
    """Bind a document to a message type.

    Raises:
        NetcError: unknown-field, wrong-kind, out-of-range, unknown-enum-value, repeated-field,
            conflicting-fields, missing-field; in the order of the text, the first hundred of them.
    """
    collector = Collector()
    message = _bind(document.fields, type, document.span, _EnclosingMessages(None, type), collector)
    if all(d.span and d.span.source is document.source for d in collector.diagnostics):
        collector.diagnostics.sort(key=_offset)
    collector.check()
    return message


def _offset(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span else 0


class _EnclosingMessages(NamedTuple):
    """The messages around the one that is bound, for hints."""

    outer: _EnclosingMessages | None
    type: MessageType
    field: str = ""


class _Rules(NamedTuple):
    required: tuple[str, ...]
    oneofs: tuple[tuple[str, ...], ...]


@cache
def _rules(type: MessageType) -> _Rules:
    """What a message as a whole must obey."""
    fields = type.fields.values()
    groups: dict[str, list[str]] = {}
    for field in fields:
        if field.oneof:
            groups.setdefault(field.oneof, []).append(field.name)
    required = tuple(f.name for f in fields if f.required)
    return _Rules(required, tuple(map(tuple, groups.values())))


def _bind(
    fields: Sequence[Field],
    type: MessageType,
    span: Span,
    place: _EnclosingMessages,
    collector: Collector,
) -> Message:
    entries: dict[str, tuple[Entry, ...]] = {}
    several: dict[str, list[Entry]] = {}  # of fields that were written more than once
    known = type.fields
    for written in fields:
        name = written.name
        field = known.get(name)
        if field is None:
            hints = len(collector.diagnostics) < HINTED  # each costs milliseconds
            collector.add(_unknown(written, fields if hints else None, place))
            continue
        if written.value.__class__ is Scalar and field.kind != "message":
            new: Sequence[Entry] = (_scalar(written.value, written, field, collector),)
        else:
            new = _entries(written, field, place, collector)
        if not new:
            continue
        if name not in entries:
            entries[name] = tuple(new)
        else:
            several.setdefault(name, [*entries[name]]).extend(new)
            if not field.repeated and not field.several:
                collector.add(_twice(written, entries[name][0]))
    for name, all_ in several.items():
        entries[name] = tuple(all_)
    rules = _rules(type)
    if rules.required or rules.oneofs:
        collector.extend(_broken(rules, type, entries, span))
    return Message(type, entries, span)


def _entries(
    written: Field, field: FieldType, place: _EnclosingMessages, collector: Collector
) -> list[Entry]:
    """What one ``name: value`` gives; a value with a mistake gives None in its place."""
    value = written.value
    if not isinstance(value, ListValue):
        return [_entry(value, written, field, place, collector)]
    if not field.repeated and not field.several:
        message = f"`{field.name}` takes one value, not a list"
        collector.add(Diagnostic("repeated-field", message, value.span))
        return []
    return [_entry(item, written, field, place, collector) for item in value.items]


def _entry(
    value: Scalar | Block,
    written: Field,
    field: FieldType,
    place: _EnclosingMessages,
    collector: Collector,
) -> Entry:
    if isinstance(value, Scalar):
        if field.kind != "message":
            return _scalar(value, written, field, collector)
        collector.add(_not_a_block(value, field))
        return Entry(None, value.span, written.span)
    if field.message is None:
        collector.add(_not_a_scalar(value, field))
        return Entry(None, value.span, written.span)
    span = _message_span(written.span, value.span)
    inner = _EnclosingMessages(place, field.message, field.name)
    message = _bind(value.fields, field.message, span, inner, collector)
    return Entry(message, span, written.span)


def _scalar(value: Scalar, written: Field, field: FieldType, collector: Collector) -> Entry:
    try:
        read = READERS[field.kind](value, field)
    except NetcError as error:
        collector.extend(error.diagnostics)
        read = None
    return _new_entry(Entry, (read, value.span, written.span))


def _message_span(name: Span, block: Span) -> Span:
    """From the field's name to the closing brace, where both stand in one text."""
    if name.source is block.source and name.start <= block.start:
        return Span(name.source, name.start, block.end, block.used_at)
    return block


def _unknown(
    written: Field, siblings: Sequence[Field] | None, place: _EnclosingMessages
) -> Diagnostic:
    """The complaint; with no siblings to look at, one without help."""
    message = f"{place.type.name} has no field `{_clipped(written.name)}`"
    if siblings is None:
        return Diagnostic("unknown-field", message, written.span)
    around = []
    outer = place.outer
    while outer is not None:
        around.append(outer.type)
        outer = outer.outer
    help = unknown_field_help(written.name, place.type, place.field, around, siblings)
    return Diagnostic("unknown-field", message, written.span, help=help)


def _clipped(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."


def _twice(written: Field, first: Entry) -> Diagnostic:
    message = f"`{written.name}` is given twice, but takes one value"
    notes = (Note("first given here", first.name_span),)
    help = (f"keep one `{written.name}`",)
    return Diagnostic("repeated-field", message, written.span, notes=notes, help=help)


def _not_a_block(value: Scalar, field: FieldType) -> Diagnostic:
    assert field.message is not None
    message = f"`{field.name}` takes a message, not a single value"
    help = (f"write its fields in braces: {field.name} {{ ... }} ({field.message.name})",)
    return Diagnostic("wrong-kind", message, value.span, help=help)


def _not_a_scalar(value: Block, field: FieldType) -> Diagnostic:
    kind = field.enum.name if field.enum else field.kind
    message = f"`{field.name}` takes a single value ({kind}), not a message"
    span = value.span
    opening = Span(span.source, span.start, span.start + 1, span.used_at)
    help = (f"write {field.name}: and the value, without braces",)
    return Diagnostic("wrong-kind", message, opening, help=help)


def _broken(
    rules: _Rules, type: MessageType, entries: Mapping[str, Sequence[Entry]], span: Span
) -> Iterator[Diagnostic]:
    missing = [f"`{name}`" for name in rules.required if name not in entries]
    if missing:
        message = f"{type.name} lacks {', '.join(missing)}, which it must have"
        yield Diagnostic("missing-field", message, span)
    for group in rules.oneofs:
        given = [name for name in group if name in entries]
        for name in given[1:]:
            message = f"`{name}` and `{given[0]}` exclude each other: give one of them"
            notes = (Note("the other is here", entries[given[0]][0].name_span),)
            yield Diagnostic("conflicting-fields", message, entries[name][0].name_span, notes=notes)
