"""Expansion of prototxt's fields: `${ }`, conditions and loops become plain fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.language.evaluate import Evaluator
from netc.language.frame import Frame
from netc.language.limits import MAX_STEPS
from netc.language.shorts import EnumWord
from netc.language.tree import (
    Body,
    FieldList,
    FieldOf,
    FieldValue,
    If,
    Interpolation,
    Let,
    Repeat,
    Statement,
    TextLiteral,
)
from netc.language.values import DIVISION, BlobRef, Value, division_help, kind
from netc.language.weight import weight
from netc.schema.message import FieldType, MessageType
from netc.syntax.ast import Block, Field, ListValue, Scalar
from netc.syntax.literals import encode

_WHOLE = {"int32", "int64", "uint32", "uint64", "sint32", "sint64"}

Control = If | Repeat | Let


def scalar(value: Value | EnumWord, span: Span, field: FieldType | None) -> Scalar:
    """A value as the tree of prototxt has it; a string for an enum field is an identifier."""
    if isinstance(value, EnumWord):
        return Scalar("identifier", value.text, span)
    if isinstance(value, bool):
        return Scalar("identifier", "true" if value else "false", span)
    if isinstance(value, int):
        return Scalar("integer", value, span)
    if isinstance(value, float):
        return Scalar("float", value, span)
    text = value.name if isinstance(value, BlobRef) else str(value)
    if field and field.kind == "enum":
        return Scalar("identifier", text, span)
    return Scalar("string", encode(text), span)


def string_field(name: str, text: str, span: Span) -> Field:
    """The field ``name: "text"``."""
    return Field(name, Scalar("string", encode(text), span), span)


class FieldExpander:
    """Expands fields.

    Args:
        evaluator: of the expressions in them.
        net: the message type of the whole text.
    """

    def __init__(self, evaluator: Evaluator, net: MessageType) -> None:
        self.evaluator = evaluator
        self.net = net

    def fields_of(self, body: Body, type: MessageType | None, frame: Frame) -> list[Field]:
        """The plain fields of a block of a message type; ``type`` is None where it is not known.

        Errors of single fields are collected in the evaluator's ``faults``.
        """
        found: list[Field] = []
        for statement in self.controlled(body.statements, frame):
            try:
                found += self.plain(statement, type, frame)
            except NetcError as error:
                self.evaluator.faults.note(error)
        return found

    def controlled(self, statements: Sequence[Statement], frame: Frame) -> Iterator[FieldOf]:
        """The fields among statements, also those of chosen branches and of each turn of a loop.

        Raises:
            NetcError: syntax, for a statement that may not stand among fields.
        """
        for statement in statements:
            if isinstance(statement, FieldOf):
                self.evaluator.spend(frame, statement.span)
                yield statement
            elif isinstance(statement, (If, Repeat, Let)):
                for inner in self.control(statement, frame):
                    yield from self.controlled(inner.statements, frame)
            else:
                raise self._misplaced(statement, frame, statements)

    def _misplaced(
        self, statement: Statement, frame: Frame, statements: Sequence[Statement]
    ) -> NetcError:
        span = _place(statement)
        message = "only fields, `if`, `repeat` and `let` stand in a block of fields"
        return frame.error("syntax", message, span)

    def control(self, statement: Control, frame: Frame) -> Iterator[Body]:
        """The blocks that a condition or loop runs, one for each turn; a ``let`` runs none.

        Names of the loop have their values while the block is in use.
        """
        if isinstance(statement, Let):
            self.evaluator.spend(frame, statement.name.span)
            frame.values[statement.name.name] = self.evaluator.evaluate(statement.value, frame)
        elif isinstance(statement, If):
            yield from self._chosen(statement, frame)
        else:
            yield from self._repeated(statement, frame)

    def _chosen(self, statement: If, frame: Frame) -> Iterator[Body]:
        self.evaluator.spend(frame, statement.span)
        for condition, body in statement.branches:
            if self.evaluator.holds(condition, frame):
                yield body
                return
        if statement.otherwise:
            yield statement.otherwise

    def _repeated(self, statement: Repeat, frame: Frame) -> Iterator[Body]:
        self.evaluator.spend(frame, statement.span)
        names = [name.name for name in statement.names]
        items = self._over(statement, frame)
        self._check_room(len(items) * (1 + weight(statement.body)), statement, frame)
        for index, item in enumerate(items):
            self.evaluator.spend(frame, statement.span)
            frame.values.update(zip(names[-1:], [item], strict=False))
            frame.values.update(zip(names[:-1], [index], strict=False))
            yield statement.body

    def _over(self, statement: Repeat, frame: Frame) -> Sequence[Value]:
        if statement.names:
            return self.evaluator.items(statement.over, frame)
        count = self.evaluator.evaluate(statement.over, frame)
        if isinstance(count, list):
            return count
        if not isinstance(count, int) or isinstance(count, bool):
            message = f"`repeat` takes a number of times, not {kind(count)}"
            help = "or a name and what it goes through: `repeat i in 0..n`"
            help = DIVISION if isinstance(count, float) else help
            raise frame.error("expression", message, statement.over.span, help)
        if count < 0:
            message = f"`repeat` takes a number of times, and {count} is less than 0"
            raise frame.error("expression", message, statement.over.span)
        self._check_room(count, statement, frame)
        return range(count)

    def _check_room(self, minimum: int, statement: Repeat, frame: Frame) -> None:
        """Refuse a loop that cannot end within the limit before it is begun."""
        if self.evaluator.steps + minimum > MAX_STEPS:
            self.evaluator.spend(frame, statement.span, minimum)

    def plain(self, field: FieldOf, type: MessageType | None, frame: Frame) -> list[Field]:
        """The plain field; several where ``${ }`` is a list and the field is repeated."""
        known = type.fields.get(field.name) if type else None
        span = frame.place(field.span)
        if isinstance(field.value, Interpolation):
            return self.filled(field.name, span, field.value, known, frame)
        value = self.value_of(field.value, known, frame)
        if isinstance(value, list):
            return [Field(field.name, ListValue(tuple(value), frame.place(field.span)), span)]
        return [Field(field.name, value, span)]

    def filled(
        self, name: str, span: Span, hole: Interpolation, known: FieldType | None, frame: Frame
    ) -> list[Field]:
        """The plain fields of one whose whole value is ``${ }``."""
        value = self.evaluator.evaluate(hole.expression, frame)
        place = frame.place(hole.span)
        return self.given(name, span, value, place, known, frame)

    def given(
        self,
        name: str,
        span: Span,
        value: Value | EnumWord,
        place: Span,
        known: FieldType | None,
        frame: Frame,
    ) -> list[Field]:
        """The plain fields of a computed value; a list gives one for each item.

        Raises:
            NetcError: wrong-kind, for a list where the field is not repeated.
        """
        if isinstance(value, float) and known and known.kind in _WHOLE:
            message = f"`{name}` takes a whole number, and this is the float {value}"
            help = division_help(value, place.text)
            raise NetcError(Diagnostic("wrong-kind", message, place, help=help))
        if not isinstance(value, list):
            return [Field(name, scalar(value, place, known), span)]
        items = [scalar(v, place, known) for v in self.evaluator.flattened(value, frame, place)]
        if known is None or known.repeated or known.several:
            return [Field(name, item, span) for item in items]
        return [Field(name, ListValue(tuple(items), place), span)]

    def value_of(
        self, value: FieldValue, known: FieldType | None, frame: Frame
    ) -> Scalar | Block | list[Scalar | Block]:
        """A field's plain value; a list for a list."""
        if isinstance(value, Scalar):
            self._check_word(value, known, frame)
            return value._replace(span=frame.place(value.span))
        if isinstance(value, TextLiteral):
            return scalar(self.evaluator.text(value, frame), frame.place(value.span), None)
        if isinstance(value, Body):
            inner = known.message if known else None
            return Block(tuple(self.fields_of(value, inner, frame)), frame.place(value.span))
        assert isinstance(value, FieldList)  # a hole by itself is dealt with where it stands
        return [part for item in value.items for part in self._items(item, known, frame)]

    def _check_word(self, value: Scalar, known: FieldType | None, frame: Frame) -> None:
        """Refuse the name of a value where its number or string was meant."""
        if value.kind != "identifier" or not known or known.kind in ("enum", "bool"):
            return
        name = str(value.value)
        if name not in ("true", "false") and frame.find(name) is not None:
            message = f"`{known.name}` is given the word `{name}`, not its value"
            raise frame.error("wrong-kind", message, value.span, f"the value is `${{{name}}}`")

    def _items(
        self, item: FieldValue, known: FieldType | None, frame: Frame
    ) -> Iterator[Scalar | Block]:
        if isinstance(item, Interpolation):
            for value in self.evaluator.flattened(
                self.evaluator.evaluate(item.expression, frame), frame, item.span
            ):
                yield scalar(value, frame.place(item.span), known)
            return
        found = self.value_of(item, known, frame)
        if isinstance(found, list):
            raise frame.error("syntax", "a list within a list is no field's value", item.span)
        yield found


def _place(statement: Statement) -> Span:
    """Where a statement stands."""
    for part in ("span", "name", "phase", "chain"):
        found = getattr(statement, part, None)
        if isinstance(found, Span):
            return found
        if hasattr(found, "span"):
            return found.span  # type: ignore[union-attr, no-any-return]
    return statement.targets[0].span  # type: ignore[union-attr]
