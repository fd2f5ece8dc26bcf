"""The syntax tree of the dialect: statements, prototxt's fields with `${ }`, expressions.

Nodes are dataclasses, not named tuples: mypy takes minutes over tuples that hold each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.diagnostics import Source, Span
from netc.syntax.ast import Scalar

# Expressions


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, ``true`` or ``false``."""

    value: int | float | bool
    span: Span


@dataclass(frozen=True, slots=True)
class TextLiteral:
    """A quoted string: pieces of text, and expressions between them."""

    parts: tuple[str | Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A word that stands for a value or a blob."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[a, b]``."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Comprehension:
    """``[item for name in over if condition]``."""

    item: Expression
    name: Name
    over: Expression
    condition: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """``-value`` or ``not value``."""

    operator: str
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """``left operator right``; the span is the operator's."""

    operator: str
    left: Expression
    right: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Conditional:
    """``yes if condition else no``."""

    condition: Expression
    yes: Expression
    no: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Index:
    """``value[position]``."""

    value: Expression
    position: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """``value``, ``name: value`` or ``name { ... }``; without a name the span is the value's."""

    name: str
    value: Expression | Body
    span: Span


@dataclass(frozen=True, slots=True)
class CallStep:
    """A use of a layer type or module, or a function call.

    The span covers all of it, ``name_span`` the name of the type.
    """

    name: str
    arguments: tuple[Argument, ...]
    label: Expression | None
    condition: Expression | None
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class ChainExpression:
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


@dataclass(frozen=True, slots=True)
class Interpolation:
    """``${expression}`` in place of a value."""

    expression: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class FieldList:
    """``[a, b]`` as a field's value."""

    items: tuple[FieldValue, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class FieldOf:
    """``name: value``; the span is the name's."""

    name: str
    value: FieldValue
    span: Span


# Statements


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """A parameter of a file or a module. ``type`` is "int", "[int]" ..., or "" for any."""

    name: str
    type: str
    among: Expression | None
    default: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    """``let name = value``."""

    name: Name
    value: Expression


@dataclass(frozen=True, slots=True)
class Assign:
    """``a, b = chain``."""

    targets: tuple[Name, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class ModuleDefinition:
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


@dataclass(frozen=True, slots=True)
class Repeat:
    """``repeat i, w in over { ... }``; one name is the item's.

    Without a name ``over`` is the number of times.
    """

    names: tuple[Name, ...]
    over: Expression
    body: Body
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    """The conditions with their blocks, and the block of ``else``."""

    branches: tuple[tuple[Expression, Body], ...]
    otherwise: Body | None
    span: Span


@dataclass(frozen=True, slots=True)
class PhaseBlock:
    """``phase TRAIN { ... }``."""

    phase: Name
    body: Body


@dataclass(frozen=True, slots=True)
class Include:
    """``include "file"``; the span is the string's."""

    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class Shape:
    """``[1, 3, _, _]``; None is ``_``."""

    sizes: tuple[Expression | None, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Input:
    """``input name: shape { ... }``; the name is a string expression."""

    name: TextLiteral
    shape: Shape
    body: Body | None
    span: Span


@dataclass(frozen=True, slots=True)
class Expect:
    """``expect blob: shape``."""

    blob: Expression
    shape: Shape
    span: Span


@dataclass(frozen=True, slots=True)
class ChainStatement:
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


@dataclass(frozen=True, slots=True)
class Body:
    """``{ statements }``."""

    statements: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class SourceProgram:
    """A whole text."""

    source: Source
    statements: tuple[Statement, ...]


FieldValue = Scalar | TextLiteral | Interpolation | FieldList | Body
