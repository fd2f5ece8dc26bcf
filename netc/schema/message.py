"""A bound message: immutable values of a message type, each with the span where it was written.

Texts, weights and upgrades all use it; ``google.protobuf`` messages are converted only where bytes
are read or written (see ``netc.schema.convert``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Note, Span

Kind = Literal[
    "double", "float", "int32", "int64", "uint32", "uint64", "bool", "string", "bytes", "enum",
    "message",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class EnumType:
    """An enum: ``numbers`` of identifiers, ``names`` of numbers (of aliases the first one)."""

    name: str
    numbers: Mapping[str, int]
    names: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class FieldType:
    """A field of a message type; ``message`` or ``enum`` is its type where it is no scalar.

    A scalar field has a ``message`` too where some fork has a message of that type in its place.

    ``several``: it is singular in BVLC Caffe and repeated in some fork, so that it may have several
    values. ``oneof``: at most one of the fields with this oneof name may be given. ``wire``: the
    scalar type in the .proto where it encodes ``kind`` in another way (sint32, fixed64 ...).
    """

    name: str
    number: int
    kind: Kind
    repeated: bool = False
    required: bool = False
    default: Any = None
    packed: bool = False
    message: MessageType | None = None
    enum: EnumType | None = None
    oneof: str | None = None
    several: bool = False
    wire: str = ""


class MessageType:
    """A message type.

    Args:
        name: without the package.
        fields: what makes the fields by name, when they are first asked for.
    """

    def __init__(self, name: str, fields: Callable[[], Mapping[str, FieldType]]) -> None:
        self.name = name
        self._fields = fields

    @cached_property
    def fields(self) -> Mapping[str, FieldType]:
        """The fields by name, in the order of their declarations."""
        return self._fields()

    def __repr__(self) -> str:
        return f"MessageType({self.name})"


class Entry(NamedTuple):
    """A value of a field, with its span; an enum's value is its identifier.

    ``span`` is that of the value, ``name_span`` that of the field's name.
    """

    value: Any
    span: Span | None = None
    name_span: Span | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Values of a message type; absent fields are not in ``entries``."""

    type: MessageType
    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    span: Span | None = None

    def has(self, name: str) -> bool:
        """Whether the field was given.

        Raises:
            KeyError: the type has no such field.
        """
        self.type.fields[name]  # a KeyError here is a mistake in netc, not in the file
        return name in self.entries

    def get(self, name: str) -> Any:
        """The value, or the schema's default; a tuple for a repeated field.

        A float field's value is rounded to float32, as in Caffe. For an absent message field it is
        an empty message with this message's span, so that
        ``layer.get("pooling_param").get("stride")`` always works.

        Raises:
            KeyError: the type has no such field.
        """
        entries = self.entries.get(name)
        kind = self.type.fields[name]
        if kind.repeated:
            return tuple([e.value for e in entries]) if entries else ()
        if entries:
            if len(entries) > 1:
                raise self._several(name, entries)
            return entries[0].value
        if kind.kind == "message" and kind.message is not None:
            return Message(kind.message, {}, self.span)
        return kind.default

    def _several(self, name: str, entries: tuple[Entry, ...]) -> NetcError:
        """Raised where one value is needed: a fork takes several, and what they mean it knows."""
        message = f"`{name}` is given {len(entries)} times, but takes one value"
        notes = (Note("first given here", entries[0].name_span),)
        span = entries[1].name_span or self.span
        return NetcError(Diagnostic("repeated-field", message, span, notes=notes))

    def count(self, name: str) -> int:
        """The number of values given for the field."""
        return len(self.entries.get(name, ()))

    def optional(self, name: str) -> Any:
        """The value of a singular field, None where it was not given."""
        return self.get(name) if self.has(name) else None

    def span_of(self, name: str, index: int = -1) -> Span | None:
        """The span of the field's value; the message's span where the field was not given."""
        entries = self.entries.get(name)
        return (entries[index].span or self.span) if entries else self.span

    def name_span_of(self, name: str, index: int = -1) -> Span | None:
        """The span of the field's name; the message's span where the field was not given."""
        entries = self.entries.get(name)
        return (entries[index].name_span or self.span) if entries else self.span

    def error(self, field_name: str | None, code: str, message: str, *help: str) -> NetcError:
        """A NetcError that points at a field of this message; to be raised by the caller."""
        span = self.span_of(field_name) if field_name else self.span
        return NetcError(Diagnostic(code, message, span, help=help))

    def with_entries(self, **entries: tuple[Entry, ...]) -> Message:
        """A copy with fields replaced; an empty tuple removes the field."""
        merged = {**self.entries, **entries}
        return Message(self.type, {k: v for k, v in merged.items() if v}, self.span)

    def without(self, *names: str) -> Message:
        """A copy without the named fields; this message itself if it has none of them."""
        if not any(n in self.entries for n in names):
            return self
        return Message(
            self.type, {k: v for k, v in self.entries.items() if k not in names}, self.span
        )
