"""Semantic actions: what each rule of the grammar builds from its symbols.

The methods of :class:`Builder` are named as ``prototxt.lark`` names its alternatives. Each pops its
symbols off the value stack and pushes its own value. They run for every token of a net, so tuples
are made by ``tuple.__new__``, three times as fast as by their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from sys import intern
from typing import Any

from netc.diagnostics import Source, Span
from netc.syntax.ast import Block, Field, ListValue, Scalar
from netc.syntax.lexer import SIMPLE
from netc.syntax.limits import MAX_DEPTH
from netc.syntax.literals import float_value, integer_value, string_value
from netc.syntax.pieces import LocatedToken

Stack = list[Any]
Token = re.Match[str] | LocatedToken
Method = Callable[[Stack], None]

_new: Callable[[type, tuple[Any, ...]], Any] = tuple.__new__

_READ: tuple[Callable[[str], Any], ...] = (str, str, string_value, str, integer_value, float_value)


class UnusualError(Exception):
    """The fast parser cannot read the text: it nests deep, or a placeholder stands for a value."""


class Builder:
    """Builds the tree of one source; ``method(name)`` is the method of a grammar alternative."""

    def __init__(self, source: Source, deepest: int = 3 * MAX_DEPTH) -> None:
        self.source = source
        self.values: dict[str, str | bytes | int | float] = {}
        self.cut_short = False  # whether the text's end came where it cannot
        self.deepest = deepest  # values on the stack; a block within a block adds three or more

    def method(self, name: str) -> Method:
        """The method of an alternative, bound to this source."""
        found: Method = getattr(self, "make_" + name)
        return found

    def simple_name(self, token: Token) -> tuple[str, Span]:
        """The name and place of a field or block that ``lexer.simple_scanner`` matched at once."""
        begin, stop = token.span(1)
        return intern(token[1]), _new(Span, (self.source, begin, stop, None))

    def simple_field(self, token: Token) -> Field:
        """The field that ``lexer.simple_scanner`` matched at once."""
        kind = token.lastindex or 0
        text = token[kind]
        value = self.values.get(text)
        if value is None:  # the same few come again and again, and what a text is, its kind tells
            value = self.values[text] = _READ[kind](text)
        source, (begin, stop), (start, end) = self.source, token.span(1), token.span(kind)
        scalar = _new(Scalar, (SIMPLE[kind], value, _new(Span, (source, start, end, None))))
        span = _new(Span, (source, begin, stop, None))
        field: Field = _new(Field, (intern(token[1]), scalar, span))
        return field

    def _span(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def make_document(self, stack: Stack) -> None:
        """``document: fields``: the list of fields itself."""

    def make_same(self, stack: Stack) -> None:
        """A rule of a single symbol: its value stays."""

    def make_no_fields(self, stack: Stack) -> None:
        """Start a block's list of fields.

        Raises:
            UnusualError: blocks nest too deep for the fast parser.
        """
        if len(stack) > self.deepest:
            raise UnusualError
        stack.append([])

    def make_add_field(self, stack: Stack) -> None:
        """Append a field to a list of fields."""
        field = stack.pop()
        stack[-1].append(field)

    def make_add_field_and_separator(self, stack: Stack) -> None:
        """Append a field; the ``,`` or ``;`` behind it has no meaning."""
        stack.pop()
        self.make_add_field(stack)

    def make_name(self, stack: Stack) -> None:
        """A field's name: its text and span."""
        token: Token = stack[-1]
        start, end = token.span(token.lastindex or 0)
        stack[-1] = (token[token.lastindex or 0], _new(Span, (self.source, start, end, None)))

    def make_field_with_colon(self, stack: Stack) -> None:
        """``name : value``."""
        value = stack.pop()
        del stack[-1]
        name, span = stack[-1]
        stack[-1] = _new(Field, (name, value, span))

    def make_field(self, stack: Stack) -> None:
        """``name { ... }``."""
        value = stack.pop()
        name, span = stack[-1]
        stack[-1] = _new(Field, (name, value, span))

    def make_word(self, stack: Stack) -> None:
        """A part of an extension's name."""
        token: Token = stack[-1]
        stack[-1] = token[token.lastindex or 0]

    def make_first_word(self, stack: Stack) -> None:
        """Start the list of words of an extension's name."""
        stack[-1] = [stack[-1]]

    def make_add_word(self, stack: Stack) -> None:
        """Append a word to an extension's name, behind ``.`` or ``/``."""
        word = stack.pop()
        separator: Token = stack.pop()
        stack[-1] += (separator[separator.lastindex or 0], word)

    def make_extension_name(self, stack: Stack) -> None:
        """``[a.b]``: a name with its brackets, without white space."""
        close, words, opening = stack.pop(), stack.pop(), stack.pop()
        stack.append((f"[{''.join(words)}]", self._between(opening, close)))

    def make_identifier(self, stack: Stack) -> None:
        """An identifier: an enum's value, or ``true``."""
        token: Token = stack[-1]
        start, end = token.span(token.lastindex or 0)
        span = _new(Span, (self.source, start, end, None))
        stack[-1] = _new(Scalar, ("identifier", token[token.lastindex or 0], span))

    def make_string(self, stack: Stack) -> None:
        """A quoted string."""
        token: Token = stack[-1]
        start, end = token.span(token.lastindex or 0)
        value = string_value(token[token.lastindex or 0])
        stack[-1] = _new(Scalar, ("string", value, _new(Span, (self.source, start, end, None))))

    def make_add_string(self, stack: Stack) -> None:
        """Append a string to adjacent ones."""
        self.make_string(stack)
        last: Scalar = stack.pop()
        first = stack[-1]
        if isinstance(first, Scalar):
            stack[-1] = [first, last]
        else:
            first.append(last)

    def make_joined(self, stack: Stack) -> None:
        """Join adjacent strings to one value."""
        row = stack[-1]
        if row.__class__ is list:
            span = self._span(row[0].span.start, row[-1].span.end)
            stack[-1] = Scalar("string", b"".join(part.value for part in row), span)

    def make_integer(self, stack: Stack) -> None:
        """A whole number."""
        token: Token = stack[-1]
        start, end = token.span(token.lastindex or 0)
        value = integer_value(token[token.lastindex or 0])
        stack[-1] = _new(Scalar, ("integer", value, _new(Span, (self.source, start, end, None))))

    def make_float(self, stack: Stack) -> None:
        """A number with a fraction, an exponent or an ``f``; also ``inf`` and ``nan``."""
        token: Token = stack[-1]
        start, end = token.span(token.lastindex or 0)
        value = float_value(token[token.lastindex or 0])
        stack[-1] = _new(Scalar, ("float", value, _new(Span, (self.source, start, end, None))))

    make_nonfinite = make_float

    def make_minus_integer(self, stack: Stack) -> None:
        """An integer with a separate minus sign."""
        self._negate(stack, self.make_integer)

    def make_minus_float(self, stack: Stack) -> None:
        """A float with a separate minus sign, or ``-inf``."""
        self._negate(stack, self.make_float)

    make_minus_nonfinite = make_minus_float

    def _negate(self, stack: Stack, make: Method) -> None:
        make(stack)
        number: Scalar = stack.pop()
        minus: Token = stack.pop()
        span = self._span(minus.start(minus.lastindex or 0), number.span.end)
        stack.append(Scalar(number.kind, -number.value, span))  # type: ignore[operator]

    def make_placeholder(self, stack: Stack) -> None:
        """``${...}`` in place of a value.

        Raises:
            UnusualError: always; the text is read by ``repair``, which binds placeholders.
        """
        raise UnusualError

    def make_block(self, stack: Stack) -> None:
        """``{ fields }``."""
        close: Token = stack.pop()
        fields = stack.pop()
        opening: Token = stack[-1]
        start, end = opening.start(opening.lastindex or 0), close.end()
        stack[-1] = _new(Block, (tuple(fields), _new(Span, (self.source, start, end, None))))

    def make_empty_list(self, stack: Stack) -> None:
        """``[]``."""
        close, opening = stack.pop(), stack.pop()
        stack.append(ListValue((), self._between(opening, close)))

    def make_list(self, stack: Stack) -> None:
        """``[items]``."""
        close, items, opening = stack.pop(), stack.pop(), stack.pop()
        stack.append(ListValue(tuple(items), self._between(opening, close)))

    def make_first_item(self, stack: Stack) -> None:
        """Start a list of values."""
        stack[-1] = [stack[-1]]

    def make_add_item(self, stack: Stack) -> None:
        """Append a value to a list."""
        item = stack.pop()
        stack.pop()
        stack[-1].append(item)

    def _between(self, opening: Token, close: Token) -> Span:
        return self._span(opening.start(opening.lastindex or 0), close.end())
