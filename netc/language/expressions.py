"""Parser of expressions and chains: tokens to tree."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError, Note, Source, Span
from netc.language.cursor import Cursor
from netc.language.hints import SIGNS
from netc.language.tokens import Token, scan
from netc.language.tree import (
    Argument,
    Binary,
    Body,
    CallStep,
    ChainExpression,
    Comprehension,
    Conditional,
    Expression,
    Index,
    ListOf,
    Literal,
    Name,
    TextLiteral,
    Unary,
)
from netc.syntax.literals import BadEscapeError, float_value, integer_value, string_value

_BINARY: dict[str, int] = {
    "or": 1, "and": 2,
    "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "in": 4,
    "..": 5, "..=": 5, "+": 6, "-": 6, "*": 7, "/": 7, "//": 7, "%": 7, "**": 9,
}  # fmt: skip
_NOT, _MINUS, _POWER = 3, 8, 9
_WORDS = {"or", "and", "in", "not", "if", "else", "for", "as"}
RESERVED = frozenset(_WORDS | {"true", "false", "prev"})
"""Words that nothing can be named by."""


class ExpressionParser(Cursor):
    """Recursive descent over expressions, chains and arguments.

    Its methods raise NetcError syntax.
    """

    @abstractmethod
    def body(self) -> Body:
        """Parse a block of statements in braces."""

    def expression(self) -> Expression:
        """Parse a value or a chain."""
        first = self.here
        head = None if self.is_op("->") else self.value()
        steps = []
        with self.nested():
            while self.skip("->"):
                steps.append(self.step())
        if not steps:
            assert head is not None  # without a head an arrow came
            return head
        return ChainExpression(head, tuple(steps), self.span(first))

    def step(self) -> CallStep:
        """Parse one step of a chain: a use or a call, its label and its condition."""
        first = self.name("the name of a layer type or module behind `->`")
        arguments = self.arguments() if self.is_op("(") and not self.here.fresh else ()
        label = self.label()
        condition = None
        if self.is_word("if") and not self.here.fresh:
            self.take()
            condition = self.binary(1)
            if self.is_word("else"):
                raise self.fault(
                    "a step is left out or not, without `else`",
                    "put a chain in parentheses: `(x -> a) if condition else y`",
                )
        return CallStep(
            first.text, arguments, label, condition, self.span(first), self.token_span(first)
        )

    def label(self) -> Expression | None:
        """Parse what follows `as`; None where it does not come next."""
        if not self.is_word("as"):
            return None
        self.take()
        with self.nested():
            return self.operand()

    def new_name(self, what: str) -> Token:
        """Read a word that is to name something, which no keyword can."""
        if self.here.kind == "name" and self.here.text in RESERVED:
            message = f"`{self.here.text}` is a word of the language, not a name"
            raise self.fault(message, "choose another name")
        return self.name(what)

    def arguments(self) -> tuple[Argument, ...]:
        """Parse the arguments in a use's parentheses; empty where there are none."""
        opening = self.take()
        found: list[Argument] = []
        with self.nested():
            while not self.is_op(")"):
                found.append(self.argument())
                if not self.skip(",") and not self.is_op(")"):
                    raise self.unclosed(opening, ")")
        self.take()
        return tuple(found)

    def argument(self) -> Argument:
        """Parse a value, a named value or a named block."""
        first, behind = self.here, self.ahead()
        if first.kind == "name" and behind.kind == "op" and behind.text in (":", "{"):
            self.take()
            colon = self.skip(":")
            span = self.token_span(first)
            if self.is_op("{"):
                return Argument(first.text, self.body(), span)
            return Argument(first.text, self.expression() if colon else self.body(), span)
        value = self.expression()
        if first.kind == "name" and self.is_op("="):
            raise self.fault(f"a value is given by name with `:`, as in `{first.text}: 3`")
        return Argument("", value, value.span)

    def unclosed(self, opening: Token, closing: str) -> NetcError:
        """The error, to be raised, where a list must go on or end and neither comes."""
        if self.here.kind != "end":
            fault = self.fault(f"`,` or `{closing}` is missing here")
            if not self.here.fresh:
                return fault
            note = Note(f"the `{opening.text}` is here", self.token_span(opening))
            return NetcError(replace(fault.diagnostics[0], notes=(note,)))
        message = f"the `{opening.text}` is never closed"
        return NetcError(Diagnostic("unclosed-brace", message, self.token_span(opening)))

    def value(self) -> Expression:
        """Parse an expression that is no chain."""
        first = self.here
        yes = self.binary(1)
        if not self.is_word("if") or self.here.fresh:
            return yes
        self.take()
        with self.nested():
            condition = self.binary(1)
            if not self.is_word("else"):
                raise self.fault(
                    "`else` is missing",
                    "a value's condition has two sides: `a if c else b`",
                    "an `if` that leaves a layer out stands right behind it: `-> relu if c`",
                )
            self.take()
            no = self.value()
        return Conditional(condition, yes, no, self.span(first))

    def binary(self, min_level: int) -> Expression:
        """Parse operators of a precedence of ``min_level`` or more, and their operands."""
        left = self.unary()
        before = self.depth
        while (level := self._level()) >= min_level:
            token = self.take()
            with self.nested():
                right = self.binary(level if token.text == "**" else level + 1)
            left = Binary(token.text, left, right, self.token_span(token))
            self.depth += 1  # what stands left is one level further down in the tree
        self.depth = before
        return left

    def _level(self) -> int:
        known = self.here.kind in ("op", "name")
        return _BINARY.get(self.here.text, 0) if known else 0

    def unary(self) -> Expression:
        """Parse `-` or `not` and its operand, or an operand."""
        first = self.here
        if not (self.is_op("-") or self.is_word("not")):
            return self.operand()
        self.take()
        with self.nested():
            value = self.binary(_MINUS if first.text == "-" else _NOT)
        return Unary(first.text, value, self.span(first))

    def operand(self) -> Expression:
        """Parse a single value and the indices behind it."""
        first = self.here
        value = self.primary()
        before = self.depth
        while self.is_op("[") and not self.here.fresh:
            opening = self.take()
            with self.nested():
                index = self.expression()
            if not self.skip("]"):
                raise self.unclosed(opening, "]")
            value = Index(value, index, self.span(first))
            self.depth += 1
        self.depth = before
        return value

    def primary(self) -> Expression:
        """Parse a name, a literal, a list, a use, or an expression in parentheses."""
        token = self.here
        if token.kind == "name" and token.text not in _WORDS:
            return self.word()
        if token.kind in ("int", "float"):
            self.take()
            read = integer_value if token.kind == "int" else float_value
            return Literal(read(token.text), self.token_span(token))
        if token.kind == "string":
            self.take()
            return text_of(self.source, token)
        if self.is_op("["):
            return self.list_of()
        if self.is_op("("):
            return self.parentheses()
        help = SIGNS.get(token.text) if token.kind == "op" else None
        raise self.fault("a value is missing", *([help] if help else []))

    def word(self) -> Expression:
        """Parse a name, `true`, `false`, or a use."""
        token = self.take()
        span = self.token_span(token)
        if self.is_op("(") and not self.here.fresh:
            arguments = self.arguments()
            label = self.label()
            return CallStep(token.text, arguments, label, None, self.span(token), span)
        if token.text in ("true", "false"):
            return Literal(token.text == "true", span)
        return Name(token.text, span)

    def parentheses(self) -> Expression:
        """Parse `( expression )`."""
        opening = self.take()
        with self.nested():
            value = self.expression()
        if not self.skip(")"):
            raise self.unclosed(opening, ")")
        return value

    def list_of(self) -> Expression:
        """Parse `[a, b]` or `[a for b in c]`."""
        opening = self.take()
        items: list[Expression] = []
        with self.nested():
            while not self.is_op("]"):
                items.append(self.expression())
                if self.is_word("for") and len(items) == 1:
                    return self.comprehension(opening, items[0])
                if not self.skip(",") and not self.is_op("]"):
                    raise self.unclosed(opening, "]")
        self.take()
        return ListOf(tuple(items), self.span(opening))

    def comprehension(self, opening: Token, item: Expression) -> Expression:
        """Parse the rest of a list from its `for` on."""
        self.take()
        token = self.new_name("the item's name behind `for`")
        name = Name(token.text, self.token_span(token))
        if not self.is_word("in"):
            raise self.fault("`in` is missing")
        self.take()
        over, condition = self.binary(1), None
        if self.is_word("if"):
            self.take()
            condition = self.binary(1)
        if not self.skip("]"):
            raise self.unclosed(opening, "]")
        return Comprehension(item, name, over, condition, self.span(opening))


class _Inner(ExpressionParser):
    """Reads the expressions within a string."""

    ending = "the `}`"

    def body(self) -> Body:
        raise self.fault("a block of fields cannot stand within a string")


def text_of(source: Source, token: Token) -> TextLiteral:
    """A quoted string as pieces of text, and the expressions between them.

    Raises:
        NetcError: bad-escape, or the errors of an expression.
    """
    if token.text == '""':  # empty, or in the place of a string that is none
        return TextLiteral((), Span(source, token.start, token.end))
    parts: list[str | Expression] = []
    at, end = token.start + 1, token.end - 1
    text = source.text
    while (mark := text.find("${", at, end)) >= 0:
        if text[mark - 1] == "$" and mark > at:
            parts.append(_plain(source, at, mark - 1) + "${")
            at = mark + 2
            continue
        parts.append(_plain(source, at, mark))
        close = _closing(source, mark, end)
        parts.append(_inner(source, mark + 2, close))
        at = close + 1
    parts.append(_plain(source, at, end))
    return TextLiteral(tuple(p for p in parts if p != ""), Span(source, token.start, token.end))


def _closing(source: Source, mark: int, end: int) -> int:
    """Where the ``}`` of a ``${`` within a string stands."""
    depth = 0
    for token in scan(source.text, mark, end):
        if token.kind == "op" and token.text in ("{", "${"):
            depth += 1
        elif token.kind == "op" and token.text == "}":
            depth -= 1
            if depth == 0:
                return token.start
    raise _unclosed_hole(source, mark, end)


def _unclosed_hole(source: Source, mark: int, end: int) -> NetcError:
    """A ``${`` whose string ends first, at ``end``: often by a quote that was to stand within."""
    quote, behind = source.text[end], source.text[end + 1 : end + 2]
    if not (behind.isalnum() or behind in ("'", '"', "_", "/", "-", ".", "$")):
        message = "the `${` is never closed"
        span, help = Span(source, mark, mark + 2), "write `}` behind the value"
        return NetcError(Diagnostic("unclosed-brace", message, span, help=(help,)))
    other = "'" if quote == '"' else '"'
    message = f"this `{quote}` ends the string, whose `${{` is not closed"
    help = f"a string within `${{ }}` of a string stands in the other quotes: `{other}abc{other}`"
    span, note = Span(source, end, end + 1), Note("the `${` is here", Span(source, mark, mark + 2))
    return NetcError(Diagnostic("unclosed-brace", message, span, notes=(note,), help=(help,)))


def _inner(source: Source, start: int, end: int) -> Expression:
    parser = _Inner(source, start, end)
    if parser.faults:
        raise NetcError(parser.faults)
    value = parser.expression()
    if parser.here.kind != "end":
        raise parser.fault("one expression stands in `${ }`")
    return value


def _plain(source: Source, start: int, end: int) -> str:
    """The text between two places of a string, escapes read."""
    try:
        return string_value(f'"{source.text[start:end]}"').decode("utf-8", "surrogateescape")
    except BadEscapeError as bad:
        at = start - 1
        span = Span(source, at + bad.start, at + bad.end)
        message = f"`{span.text}` is no escape a string may hold"
        help = ("a backslash is written `\\\\`; in a path, `/` will do",)
        raise NetcError(Diagnostic("bad-escape", message, span, help=help)) from None
