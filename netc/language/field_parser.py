"""Parser of prototxt's fields, with `${ }` where a value may stand."""

from __future__ import annotations

from netc.language.expressions import ExpressionParser, text_of
from netc.language.tree import (
    Expression,
    FieldList,
    FieldOf,
    FieldValue,
    Interpolation,
    TextLiteral,
)
from netc.syntax.ast import Scalar
from netc.syntax.literals import float_value, integer_value

_NONFINITE = {"inf", "infinity", "nan", "inff", "nanf", "infinityf"}


class FieldParser(ExpressionParser):
    """Adds prototxt's fields and their values to expressions.

    Its methods raise NetcError syntax.
    """

    def _starts_field(self) -> bool:
        behind, second = self.ahead(), self.ahead(2)
        if behind.kind != "op":
            return False
        if behind.text == "[":
            return second.kind == "op" and second.text in ("{", "<", "]")
        return behind.text in (":", "{", "<")

    def _starts_extension(self) -> bool:
        """Whether `[a.b/c]` and a field's value come: a name in brackets."""
        if not self.is_op("["):
            return False
        count = 1
        while self.ahead(count).kind == "name" or self.ahead(count).text in (".", "/"):
            count += 1
        closed = count > 1 and self.ahead(count).text == "]"
        return closed and self.ahead(count + 1).text in (":", "{", "<")

    def field(self) -> FieldOf:
        """Parse `name: value` or `name { ... }`."""
        first = self.take()
        if first.text == "[":
            while self.take().text != "]":
                pass
        span = self.span(first)
        name = "".join(span.text.split())
        colon = self.skip(":")
        if not colon and not self.is_op("{", "<", "["):
            raise self.fault("`:` is missing")
        value = self.field_value()
        while self.is_op(",", ";"):
            self.take()
        return FieldOf(name, value, span)

    def field_value(self) -> FieldValue:
        """Parse a value as prototxt writes it, or `${ }`."""
        if self.is_op("{", "<"):
            return self.body()
        if self.is_op("["):
            return self.field_list()
        return self.scalar()

    def field_list(self) -> FieldList:
        """Parse `[a, b]` as a field's value."""
        opening = self.take()
        items = []
        with self.nested():
            while not self.is_op("]"):
                items.append(self.field_value())
                if not self.skip(",") and not self.is_op("]"):
                    raise self.unclosed(opening, "]")
        self.take()
        return FieldList(tuple(items), self.span(opening))

    def scalar(self) -> FieldValue:
        """Parse a single value of a field."""
        token = self.here
        if token.kind == "string":
            return self.strings()
        if self.is_op("${"):
            return self.hole()
        sign = -1 if self.skip("-") else 1
        if self.here.kind == "int":
            return Scalar("integer", sign * integer_value(self.take().text), self.span(token))
        word = self.here.kind == "name"
        if self.here.kind == "float" or (word and self.here.text.lower() in _NONFINITE):
            return Scalar("float", sign * float_value(self.take().text), self.span(token))
        if word and sign > 0:
            return Scalar("identifier", self.take().text, self.span(token))
        raise self.fault("a value is missing")

    def hole(self) -> Interpolation:
        """Parse `${ expression }`."""
        opening = self.take()
        with self.nested():
            expression = self.expression()
        if not self.skip("}"):
            raise self.unclosed(opening, "}")
        return Interpolation(expression, self.span(opening))

    def strings(self) -> TextLiteral:
        """Parse a quoted string, or several adjacent ones, which are one."""
        first = self.here
        parts: list[str | Expression] = []
        while self.here.kind == "string":
            if self.here is not first and self.ahead().text == "->":
                break  # the start of a chain
            parts += text_of(self.source, self.take()).parts
        return TextLiteral(tuple(parts), self.span(first))
