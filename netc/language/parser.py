"""Parser of the dialect's statements and fields: tokens to tree."""

from __future__ import annotations

from collections.abc import Callable

from netc.diagnostics import MAX_REPORTED, NetcError, Source, did_you_mean, first_of
from netc.language.expressions import RESERVED, text_of
from netc.language.field_parser import FieldParser
from netc.language.hints import WORDS
from netc.language.recovery import next_statement
from netc.language.tokens import Token
from netc.language.tree import (
    Assign,
    Body,
    CallStep,
    ChainExpression,
    ChainStatement,
    Expect,
    Expression,
    If,
    Include,
    Input,
    Let,
    ModuleDefinition,
    Name,
    ParameterDeclaration,
    PhaseBlock,
    Repeat,
    Shape,
    SourceProgram,
    Statement,
    TextLiteral,
)
from netc.syntax.wording import short

TYPES = ("int", "float", "bool", "string")
_OUTERMOST = {"param", "module", "include"}


def parse_program(source: Source) -> SourceProgram:
    """The tree of a text of the dialect.

    Raises:
        NetcError: with every lexical and syntax error, in the order of the text.
    """
    parser = Parser(source, 1 if source.text.startswith("\ufeff") else 0)
    statements = parser.statements("")
    parser.check()
    return SourceProgram(source, statements)


class Parser(FieldParser):
    """Parses statements and fields; goes on behind a statement that has an error.

    Attributes:
        starts: where each statement starts.
        words: how many of the faults are lexical.
    """

    def __init__(self, source: Source, start: int = 0) -> None:
        super().__init__(source, start)
        self.starts: set[int] = set()
        self.words = len(self.faults)

    def statements(self, closing: str) -> tuple[Statement, ...]:
        """Parse statements up to a closing bracket, or to the end of the text."""
        found: list[Statement] = []
        while not (self.is_op(closing) or self.here.kind == "end"):
            start, depth = self.at, self.depth
            try:
                found.append(self.statement())
            except NetcError as error:
                self.note(error)
                self.depth = depth
                self.at = next_statement(self.tokens, start, self.at, self.source)
        return tuple(found)

    def note(self, error: NetcError) -> None:
        """Collect a statement's error, unless lexical errors of its line were already reported.

        Raises:
            NetcError: with all errors so far, where there are many, or where further ones would
                only follow from this.
        """
        lines = {d.span.line for d in self.faults[: self.words] if d.span}
        self.faults += [
            d
            for d in error.diagnostics
            if d not in self.faults[-1:] and not (d.span and d.span.line in lines)
        ]
        last = {d.code for d in error.diagnostics} & {"too-deep", "too-large"}
        if last or len(self.faults) > MAX_REPORTED:
            self.check()

    def check(self) -> None:
        """Raise the collected errors, if there are any, in the order of the text.

        Raises:
            NetcError: with all errors so far.
        """
        if self.faults:
            found = sorted(self.faults, key=lambda d: d.span.start if d.span else 0)
            raise NetcError(first_of(tuple(dict.fromkeys(found))))

    def body(self) -> Body:
        """Parse a block of statements in brackets."""
        opening = self.take()
        if opening.text not in ("{", "<"):
            raise self.fault("`{` is missing", at=opening)
        closing = "}" if opening.text == "{" else ">"
        with self.nested():
            statements = self.statements(closing)
        if not self.skip(closing):
            raise self.unclosed(opening, closing)
        return Body(statements, self.span(opening))

    def block(self, of: str) -> Body:
        """Parse a block in braces behind a statement's head, which ``of`` names in messages."""
        if not self.is_op("{"):
            raise self.fault(f"`{{` is missing behind {of}", "a block stands in braces: `{ ... }`")
        return self.body()

    def statement(self) -> Statement:
        """Parse the next statement, whatever it is."""
        token = self.here
        self.starts.add(token.start)
        self._check_keyword(token)
        if token.kind == "name" and not self._starts_field():
            handler = self._handler(token.text)
            if handler:
                if token.text in _OUTERMOST and self.depth:
                    raise self.fault(f"`{token.text}` stands only outside of all blocks")
                self.take()
                return handler(token)
            if self.ahead().text in ("=", ",") and self.ahead().kind == "op":
                return self.assign()
            return self.run()
        if token.kind == "name" or self._starts_extension():
            return self.field()
        return self.run()

    def _check_keyword(self, token: Token) -> None:
        """Refuse a word of the language where a blob of that name seems to be meant."""
        if token.kind != "name" or token.text not in (*RESERVED, "repeat", "expect"):
            return
        if self.ahead().kind == "op" and self.ahead().text in ("=", "->"):
            if token.text == "prev" and self.ahead().text == "->":
                return
            help = "choose another name"
            if self.ahead().text == "->":
                help = f'a blob of that name stands in quotes: `"{token.text}" -> ...`'
            raise self.fault(f"`{token.text}` is a word of the language, not a name", help)

    def _handler(self, word: str) -> Callable[[Token], Statement] | None:
        """The reader of a keyword's statement, if what follows can belong to one."""
        behind = self.ahead()
        named = behind.kind in ("name", "string")
        if word in ("if", "repeat", "for"):
            return self.condition if word == "if" else self.repeat
        if word == "expect" and (named or behind.text in ("[", "(")):
            return self.expect_shape
        if not named:
            return None
        handlers: dict[str, Callable[[Token], Statement]] = {
            "param": self.param,
            "let": self.let,
            "module": self.module,
            "phase": self.phase,
            "include": self.include,
            "input": self.input,
        }
        return handlers.get(word)

    # statements

    def param(self, first: Token) -> ParameterDeclaration:
        """Parse `param width: int in 1..=9 = 5`."""
        return self.declared()

    def declared(self) -> ParameterDeclaration:
        """Parse a parameter's name, type, limits and default."""
        token = self.new_name("a parameter's name")
        type = self.type() if self.skip(":") else ""
        among = default = None
        if self.is_word("in"):
            self.take()
            among = self.binary(1)
        if self.skip("="):
            default = self.value()
        return ParameterDeclaration(token.text, type, among, default, self.token_span(token))

    def type(self) -> str:
        """Parse a type: `int`, `[int]` ..."""
        listed = self.skip("[")
        token = self.name("a type")
        if token.text not in TYPES:
            known = ", ".join(f"`{name}`" for name in TYPES)
            raise self.fault(f"`{token.text}` is no type; types are {known}, `[int]` ...", at=token)
        if listed:
            self.expect("]", "behind the items' type")
        return f"[{token.text}]" if listed else token.text

    def let(self, first: Token) -> Let:
        """Parse `let name = value`."""
        token = self.new_name("a name behind `let`")
        if self.is_op(":"):
            raise self.fault(
                f"`=` is missing behind `let {token.text}`",
                "a `let` has no type; parameters have: `param n: int = 3`",
            )
        self.expect("=", f"behind `let {token.text}`")
        return Let(Name(token.text, self.token_span(token)), self.value())

    def assign(self) -> Assign:
        """Parse `a, b = chain`."""
        targets = self.names()
        self.expect("=", "behind the names")
        return Assign(targets, self.expression())

    def names(self) -> tuple[Name, ...]:
        """Parse words separated by commas."""
        found = []
        while True:
            token = self.new_name("a name")
            found.append(Name(token.text, self.token_span(token)))
            if not self.skip(","):
                return tuple(found)

    def module(self, first: Token) -> ModuleDefinition:
        """Parse `module name(parameters): inputs -> outputs { ... }`."""
        token = self.new_name("a name behind `module`")
        parameters = self.parameters() if self.is_op("(") else ()
        if not self.skip(":"):
            raise self.fault(
                f"`:` is missing behind `module {token.text}(...)`",
                "a module's inputs and outputs follow: `module m(n: int): x -> y { y = ... }`",
            )
        inputs = () if self.is_op("->") else self.names()
        rest = bool(inputs) and self.skip("...")
        self.expect("->", "between a module's inputs and its outputs")
        outputs = self.names()
        body = self.block("a module's outputs")
        span = self.token_span(token)
        return ModuleDefinition(token.text, parameters, inputs, rest, outputs, body, span)

    def parameters(self) -> tuple[ParameterDeclaration, ...]:
        """Parse a module's parameters in their parentheses."""
        opening = self.take()
        found: list[ParameterDeclaration] = []
        while not self.is_op(")"):
            found.append(self.declared())
            if any(d.name == found[-1].name for d in found[:-1]):
                raise self.fault(f"there are two parameters `{found[-1].name}`")
            if not self.skip(",") and not self.is_op(")"):
                raise self.unclosed(opening, ")")
        self.take()
        return tuple(found)

    def repeat(self, first: Token) -> Repeat:
        """Parse `repeat i in over { ... }` or `repeat n { ... }`."""
        names: tuple[Name, ...] = ()
        if self.here.kind == "name" and self.ahead().text in ("in", ","):
            names = self.names()
            if len(names) > 2:
                raise self.fault("a loop has one name, or two: the number and the item")
            if not self.is_word("in"):
                raise self.fault("`in` is missing")
            self.take()
        over = self.value()
        return Repeat(names, over, self.block("what is repeated"), self.token_span(first))

    def condition(self, first: Token) -> If:
        """Parse `if c { ... } else if d { ... } else { ... }`."""
        branches = [(self.binary(1), self.condition_block())]
        otherwise = None
        while self.is_word("else") and otherwise is None:
            self.take()
            if self.is_word("if"):
                self.take()
                branches.append((self.binary(1), self.condition_block()))
            else:
                otherwise = self.block("`else`")
        return If(tuple(branches), otherwise, self.token_span(first))

    def condition_block(self) -> Body:
        """Parse the block behind a condition."""
        help = {
            "else": "the condition of a value starts on the value's own line: `a if c else b`",
            "->": "write `if c { -> relu }`, or behind the layer's own: `-> relu if c`",
        }.get(self.here.text)
        if help:
            raise self.fault("`{` is missing behind a condition", help)
        return self.block("a condition")

    def phase(self, first: Token) -> PhaseBlock:
        """Parse `phase TRAIN { ... }`."""
        token = self.name("TRAIN or TEST")
        if token.text not in ("TRAIN", "TEST"):
            help = did_you_mean(token.text.upper(), ("TRAIN", "TEST"))
            raise self.fault(f"{short(token.text)} is no phase: TRAIN or TEST", *help, at=token)
        return PhaseBlock(Name(token.text, self.token_span(token)), self.block("a phase"))

    def include(self, first: Token) -> Include:
        """Parse `include "file"`."""
        token = self.here
        if token.kind != "string":
            raise self.fault("a file in quotes is missing")
        self.take()
        text = text_of(self.source, token)
        if any(not isinstance(part, str) for part in text.parts):
            raise self.fault("the name of an included file has no `${ }`", at=token)
        return Include("".join(map(str, text.parts)), text.span)

    def input(self, first: Token) -> Input:
        """Parse `input name: shape { ... }`."""
        token = self.take()
        span = self.token_span(token)
        name = (
            text_of(self.source, token)
            if token.kind == "string"
            else TextLiteral((token.text,), span)
        )
        self.expect(":", "behind the input's name")
        shape = self.shape()
        body = self.body() if self.is_op("{") else None
        return Input(name, shape, body, span)

    def expect_shape(self, first: Token) -> Expect:
        """Parse `expect blob: shape`."""
        blob = self.value()
        self.expect(":", "behind the blob")
        return Expect(blob, self.shape(), self.span(first))

    def shape(self) -> Shape:
        """Parse `[1, 3, _, _]`."""
        opening = self.expect("[", "where a shape starts")
        sizes: list[Expression | None] = []
        while not self.is_op("]"):
            if self.is_word("_"):
                self.take()
                sizes.append(None)
            else:
                sizes.append(self.value())
            if not self.skip(",") and not self.is_op("]"):
                raise self.unclosed(opening, "]")
        self.take()
        return Shape(tuple(sizes), self.span(opening))

    def run(self) -> ChainStatement:
        """Parse a chain that stands by itself."""
        first = self.here
        value = self.expression()
        if isinstance(value, (ChainExpression, CallStep)):
            return ChainStatement(value)
        if isinstance(value, Name):
            raise self.lone_word(first)
        before = self.tokens[max(self.tokens.index(first) - 1, 0)]
        if before.kind == "name" and not first.fresh:
            help = f"values of a use stand in parentheses: `{before.text}({first.text})`"
            raise self.fault(f"`(` is missing behind `{before.text}`", help, at=first)
        message = "a value alone does nothing"
        raise self.fault(message, "a chain has an arrow: `x -> relu`", at=first)

    def lone_word(self, word: Token) -> NetcError:
        """The error for a word that starts no statement; to be raised."""
        if word.text in WORDS:
            return self.fault(f"`{word.text}` starts no statement", WORDS[word.text], at=word)
        if self.here.kind == "end" or self.here.fresh:
            help = f"`-> {word.text}` goes on with the last chain; a field is `name: value`"
            return self.fault(f"`{word.text}` alone is no statement", help, at=word)
        help = "a field is `name: value` or `name { ... }`; a chain has an arrow"
        return self.fault(f"`:` is missing behind `{word.text}`", help)
