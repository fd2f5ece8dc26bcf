"""The syntax tree of the dialect: statements, prototxt's fields with `${ }`, expressions."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Source, Span
from netc.syntax.ast import Scalar

# Expressions


class Literal(NamedTuple):
    """A number, ``true`` or ``false``."""

    value: int | float | bool
    span: Span


class TextLiteral(NamedTuple):
    """A quoted string: pieces of text, and expressions between them."""

    parts: tuple[str | Expression, ...]
    span: Span


class Name(NamedTuple):
    """A word that stands for a value or a blob."""

    name: str
    span: Span


class ListOf(NamedTuple):
    """``[a, b]``."""

    items: tuple[Expression, ...]
    span: Span


class Comprehension(NamedTuple):
    """``[item for name in over if condition]``."""

    item: Expression
    name: Name
    over: Expression
    condition: Expression | None
    span: Span


class Unary(NamedTuple):
    """``-value`` or ``not value``."""

    operator: str
    value: Expression
    span: Span


class Binary(NamedTuple):
    """``left operator right``; the span is the operator's."""

    operator: str
    left: Expression
    right: Expression
    span: Span


class Conditional(NamedTuple):
    """``yes if condition else no``."""

    condition: Expression
    yes: Expression
    no: Expression
    span: Span


class Index(NamedTuple):
    """``value[position]``."""

    value: Expression
    position: Expression
    span: Span


class Argument(NamedTuple):
    """``value``, ``name: value`` or ``name { ... }``; without a name the span is the value's."""

    name: str
    value: Expression | Body
    span: Span


class CallStep(NamedTuple):
    """A use of a layer type or module, or a function call.

    The span covers all of it, ``name_span`` the name of the type.
    """

    name: str
    arguments: tuple[Argument, ...]
    label: Expression | None
    condition: Expression | None
    span: Span
    name_span: Span


class ChainExpression(NamedTuple):
    """``head -> step -> step``; without a head it starts with ``prev``."""

    head: Expression | None
    steps: tuple[CallStep, ...]
    span: Span


Expression = (
    Literal | TextLiteral | Name | ListOf | Comprehension | Unary | Binary | Conditional | Index
    | CallStep | ChainExpression
)  # fmt: skip


def whole(expression: Expression) -> Span:
    """The place of a whole expression; the span of an operator's is the operator alone."""
    if not isinstance(expression, Binary):
        return expression.span
    left = whole(expression.left)
    return left._replace(end=max(left.end, whole(expression.right).end))


# Fields of prototxt


class Interpolation(NamedTuple):
    """``${expression}`` in place of a value."""

    expression: Expression
    span: Span


class FieldList(NamedTuple):
    """``[a, b]`` as a field's value."""

    items: tuple[FieldValue, ...]
    span: Span


class FieldOf(NamedTuple):
    """``name: value``; the span is the name's."""

    name: str
    value: FieldValue
    span: Span


# Statements


class ParameterDeclaration(NamedTuple):
    """A parameter of a file or a module. ``type`` is "int", "[int]" ..., or "" for any."""

    name: str
    type: str
    among: Expression | None
    default: Expression | None
    span: Span


class Let(NamedTuple):
    """``let name = value``."""

    name: Name
    value: Expression


class Assign(NamedTuple):
    """``a, b = chain``."""

    targets: tuple[Name, ...]
    value: Expression


class ModuleDefinition(NamedTuple):
    """``module name(parameters): inputs -> outputs { ... }``.

    ``rest`` says that the last input takes any number of blobs.
    """

    name: str
    parameters: tuple[ParameterDeclaration, ...]
    inputs: tuple[Name, ...]
    rest: bool
    outputs: tuple[Name, ...]
    body: Body
    span: Span


class Repeat(NamedTuple):
    """``repeat i, w in over { ... }``; one name is the item's.

    Without a name ``over`` is the number of times.
    """

    names: tuple[Name, ...]
    over: Expression
    body: Body
    span: Span


class If(NamedTuple):
    """The conditions with their blocks, and the block of ``else``."""

    branches: tuple[tuple[Expression, Body], ...]
    otherwise: Body | None
    span: Span


class PhaseBlock(NamedTuple):
    """``phase TRAIN { ... }``."""

    phase: Name
    body: Body


class Include(NamedTuple):
    """``include "file"``; the span is the string's."""

    path: str
    span: Span


class Shape(NamedTuple):
    """``[1, 3, _, _]``; None is ``_``."""

    sizes: tuple[Expression | None, ...]
    span: Span


class Input(NamedTuple):
    """``input name: shape { ... }``; the name is a string expression."""

    name: TextLiteral
    shape: Shape
    body: Body | None
    span: Span


class Expect(NamedTuple):
    """``expect blob: shape``."""

    blob: Expression
    shape: Shape
    span: Span


class ChainStatement(NamedTuple):
    """A chain that stands by itself."""

    chain: Expression


Statement = (
    FieldOf
    | ParameterDeclaration
    | Let
    | Assign
    | ModuleDefinition
    | Repeat
    | If
    | PhaseBlock
    | Include
    | Input
    | Expect
    | ChainStatement
)


class Body(NamedTuple):
    """``{ statements }``."""

    statements: tuple[Statement, ...]
    span: Span


class SourceProgram(NamedTuple):
    """A whole text."""

    source: Source
    statements: tuple[Statement, ...]


FieldValue = Scalar | TextLiteral | Interpolation | FieldList | Body
