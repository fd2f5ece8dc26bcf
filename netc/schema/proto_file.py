"""Parses a .proto file to declarations; Lark is imported only when there is a file to parse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError
from lark.tree import Meta

from netc.diagnostics import Collector, Diagnostic, NetcError, Source, Span
from netc.schema.declarations import (
    Constant,
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    ProtoToken,
)

GRAMMAR = Path(__file__).with_name("proto.lark")
LAST_NUMBER = 2**29 - 1
RESERVED_NUMBERS = range(19000, 20000)

T = TypeVar("T")


@cache
def _grammar() -> Lark:
    text = GRAMMAR.read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse_proto(source: Source) -> ProtoFile:
    """Parse a .proto file, of proto2 or proto3.

    Raises:
        NetcError: proto-syntax, where the text is no .proto file or uses features that netc does
            not support (groups, editions); proto-number and proto-duplicate, for numbers and names
            that protoc rejects too.
    """
    try:
        tree = _grammar().parse(source.text)
        file: ProtoFile = _Declarations(source).transform(tree)
    except UnexpectedInput as error:
        raise NetcError(_syntax_error(source, error)) from None
    except VisitError as error:
        raise error.orig_exc from None
    except RecursionError:
        message = "messages are nested too deep in this .proto file"
        raise NetcError(Diagnostic("proto-syntax", message, Span(source, 0, 0))) from None
    _check(file)
    return file


def _syntax_error(source: Source, error: UnexpectedInput) -> Diagnostic:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        token = error.token
        span = Span(source, token.start_pos or 0, token.end_pos or 0)
        message = f"unexpected `{token}` in a .proto file"
        return Diagnostic("proto-syntax", message, span, help=_file_help(source))
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        message = f"unexpected character {source.text[at]!r} in a .proto file"
        return Diagnostic(
            "proto-syntax", message, Span(source, at, at + 1), help=_file_help(source)
        )
    end = len(source.text)
    message = "the .proto file ends in the middle of a declaration"
    return Diagnostic("proto-syntax", message, Span(source, max(0, end - 1), end))


def _file_help(source: Source) -> tuple[str, ...]:
    if source.name.endswith(".proto"):
        return ()
    return ("a schema is a .proto file, such as your Caffe's src/caffe/proto/caffe.proto",)


_SIMPLE_ESCAPES = {"n": 10, "r": 13, "t": 9, "a": 7, "b": 8, "f": 12, "v": 11}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)


def _unescape(literal: str) -> bytes:
    """The bytes of a quoted literal."""
    out = bytearray()
    at = 1
    for match in _ESCAPE.finditer(literal, 1, len(literal) - 1):
        out += literal[at : match.start()].encode("utf-8", "surrogateescape")
        octal, hexadecimal, char = match.groups()
        if octal or hexadecimal:
            out.append(int(octal, 8) & 255 if octal else int(hexadecimal, 16))
        else:
            simple = _SIMPLE_ESCAPES.get(char)
            out += (
                bytes([simple]) if simple is not None else char.encode("utf-8", "surrogateescape")
            )
        at = match.end()
    return bytes(out + literal[at:-1].encode("utf-8", "surrogateescape"))


def _integer(text: str) -> int:
    """A decimal, hexadecimal or (with a leading 0) octal literal."""
    digits = text.replace(" ", "").lstrip("-").lower()
    if digits.startswith("0x"):
        value = int(digits, 16)
    elif digits.startswith("0") and not set(digits) & set("89"):
        value = int(digits, 8)
    else:
        value = int(digits[:40])  # longer ones are far out of every range
    return -value if text.startswith("-") else value


class _LocatedInteger(int):
    """An integer literal that knows its place."""

    span: Span


class _Label(str):
    """A label; a type of its own to tell it from other children of a field."""


class _Options(dict[str, Constant]):
    """A field's options by name; those netc has no use for are among them."""


class _OneOf(tuple[ProtoField, ...]):
    """The fields of a oneof."""


class _Map(tuple[ProtoField, ProtoMessage]):
    """A map field and the message of its entries."""


def _only(kind: type[T], children: Iterable[object]) -> tuple[T, ...]:
    return tuple(c for c in children if isinstance(c, kind))


@v_args(meta=True)
class _Declarations(Transformer[Token, Any]):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def _span(self, at: Token | Meta) -> Span:
        return Span(self.source, at.start_pos or 0, at.end_pos or 0)

    def _word(self, token: Token) -> ProtoToken:
        return ProtoToken(str(token), self._span(token))

    def start(self, meta: Meta, children: list[Any]) -> ProtoFile:
        packages = [c[1] for c in children if isinstance(c, tuple) and c[0] == "package"]
        syntax = [c[1] for c in children if isinstance(c, tuple) and c[0] == "syntax"]
        return ProtoFile(
            self.source,
            packages[0] if packages else "",
            syntax[0] if syntax else "proto2",
            _only(ProtoMessage, children),
            _only(ProtoEnum, children),
        )

    def syntax(self, meta: Meta, children: list[Any]) -> tuple[str, str]:
        name = children[0].value.decode(errors="replace")
        if name not in ("proto2", "proto3"):
            message = f"syntax is `proto2` or `proto3`, not `{name}`"
            raise NetcError(Diagnostic("proto-syntax", message, children[0].span))
        return "syntax", name

    def package(self, meta: Meta, children: list[Token]) -> tuple[str, str]:
        return "package", str(children[0])

    def message(self, meta: Meta, children: list[Any]) -> ProtoMessage:
        maps = _only(_Map, children)
        oneofs = (f for group in _only(_OneOf, children) for f in group)
        fields = (*_only(ProtoField, children), *(m[0] for m in maps), *oneofs)
        messages = (*_only(ProtoMessage, children), *(m[1] for m in maps))
        return ProtoMessage(self._word(children[0]), fields, messages, _only(ProtoEnum, children))

    def field(self, meta: Meta, children: list[Any]) -> ProtoField:
        label = str(children.pop(0)) if isinstance(children[0], _Label) else "optional"
        return self._field(children, label)

    def oneof_field(self, meta: Meta, children: list[Any]) -> ProtoField:
        return self._field(children, "optional")

    def _field(self, children: Sequence[Any], label: Any) -> ProtoField:
        type_, name, number = children[:3]
        options = children[3] if len(children) > 3 else {}
        packed = options.get("packed")
        return ProtoField(
            self._word(name),
            self._word(type_),
            int(number),
            number.span,
            label,
            options.get("default"),
            packed.value == "true" if packed else None,
        )

    def oneof(self, meta: Meta, children: list[Any]) -> _OneOf:
        name = str(children[0])
        return _OneOf(f._replace(oneof=name) for f in _only(ProtoField, children))

    def map_field(self, meta: Meta, children: list[Any]) -> _Map:
        key, value, name, number = children[:4]
        camel = "".join(part.capitalize() for part in str(name).split("_"))
        word = ProtoToken(f"{camel}Entry", self._span(name))
        field = self._field([name, name, number], "repeated")
        entry = ProtoMessage(
            word,
            (
                ProtoField(ProtoToken("key", word.span), self._word(key), 1, number.span),
                ProtoField(ProtoToken("value", word.span), self._word(value), 2, number.span),
            ),
            map_entry=True,
        )
        return _Map((field._replace(type=word), entry))

    def enum(self, meta: Meta, children: list[Any]) -> ProtoEnum:
        values = [c for c in children if isinstance(c, tuple) and isinstance(c[0], ProtoToken)]
        return ProtoEnum(self._word(children[0]), tuple(values))

    def enum_value(self, meta: Meta, children: list[Any]) -> tuple[ProtoToken, int]:
        return self._word(children[0]), int(children[1])

    def label(self, meta: Meta, children: list[Token]) -> _Label:
        return _Label(children[0])

    def field_options(self, meta: Meta, children: list[tuple[str, Constant]]) -> _Options:
        return _Options(children)

    def field_option(self, meta: Meta, children: list[Any]) -> tuple[str, Constant]:
        return children[0], children[1]

    def option_name(self, meta: Meta, children: list[Token]) -> str:
        return "".join(children)

    def constant(self, meta: Meta, children: list[Any]) -> Constant:
        (value,) = children
        span = self._span(meta)
        if isinstance(value, Constant):
            return value
        if isinstance(value, int):
            return Constant("integer", int(value), span)
        text = str(value).replace(" ", "")
        if value.type == "FLOAT":
            return Constant("float", float(text.rstrip("fF")), span)
        return Constant("identifier", text, span)

    def aggregate(self, meta: Meta, children: list[Any]) -> Constant:
        return Constant("aggregate", "", self._span(meta))

    def text(self, meta: Meta, children: list[Token]) -> Constant:
        return Constant("string", b"".join(map(_unescape, children)), self._span(meta))

    def integer(self, meta: Meta, children: list[Token]) -> _LocatedInteger:
        number = _LocatedInteger(_integer(children[0]))
        number.span = self._span(children[0])
        return number

    def group(self, meta: Meta, children: list[Any]) -> None:
        message = f"`{children[1]}` is a group, which netc does not read"
        help = ("write a message and a field of its type",)
        span = self._span(children[1])
        raise NetcError(Diagnostic("proto-syntax", message, span, help=help))

    def extend(self, meta: Meta, children: list[Any]) -> None:
        if str(children[0]).lstrip(".").startswith("google.protobuf."):
            return  # options of one's own: no text of a net can show them
        message = f"`extend {children[0]}` is not read"
        help = (
            f"re-open the message instead: `message {children[0]} {{ ... }}` is merged by name",
        )
        span = self._span(children[0])
        raise NetcError(Diagnostic("proto-syntax", message, span, help=help))


def _check(file: ProtoFile) -> None:
    collector = Collector()
    for enum in file.enums:
        _check_enum(enum, collector)
    for message in file.messages:
        _check_message(message, collector)
    collector.check()


def _check_enum(enum: ProtoEnum, collector: Collector) -> None:
    if not enum.values:
        message = f"enum `{enum.name.text}` has no value"
        collector.add(Diagnostic("proto-syntax", message, enum.name.span))
    _check_once((word for word, _ in enum.values), enum.name.text, collector)
    for word, number in enum.values:
        if not -(2**31) <= number < 2**31:
            message = f"enum values are of 32 bits, `{word.text}` is {number}"
            collector.add(Diagnostic("proto-number", message, word.span))


def _check_once(words: Iterable[ProtoToken], owner: str, collector: Collector) -> None:
    seen: dict[str, ProtoToken] = {}
    for word in words:
        first = seen.setdefault(word.text, word)
        if first is not word:
            message = f"`{owner}` declares `{word.text}` twice, first in line {first.span.line}"
            collector.add(Diagnostic("proto-duplicate", message, word.span))


def _check_message(message: ProtoMessage, collector: Collector) -> None:
    _check_once((f.name for f in message.fields), message.name.text, collector)
    numbers: dict[int, ProtoField] = {}
    for field in message.fields:
        _check_number(field, collector)
        first = numbers.setdefault(field.number, field)
        if first is not field:
            text = f"`{field.name.text}` and `{first.name.text}` both have number {field.number}"
            collector.add(Diagnostic("proto-duplicate", text, field.number_span))
    for enum in message.enums:
        _check_enum(enum, collector)
    for nested in message.messages:
        _check_message(nested, collector)


def _check_number(field: ProtoField, collector: Collector) -> None:
    if not 1 <= field.number <= LAST_NUMBER:
        message = (
            f"field numbers are from 1 to {LAST_NUMBER}, `{field.name.text}` has {field.number}"
        )
    elif field.number in RESERVED_NUMBERS:
        message = (
            f"numbers 19000 to 19999 are protobuf's own, `{field.name.text}` has {field.number}"
        )
    else:
        return
    collector.add(Diagnostic("proto-number", message, field.number_span))
