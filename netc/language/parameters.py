"""Values of a file's parameters that a caller gives (``-D``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netc.diagnostics import Diagnostic, NetcError, Source, did_you_mean
from netc.language.expressions import ExpressionParser
from netc.language.tree import (
    Body,
    Expression,
    ListOf,
    Literal,
    ParameterDeclaration,
    TextLiteral,
    Unary,
)
from netc.language.values import Value, conform, is_number


def check_names(
    define: Mapping[str, object], parameters: Mapping[str, ParameterDeclaration]
) -> None:
    """Check that values are given to parameters that there are.

    Raises:
        NetcError: unknown-parameter, one for each name that is none.
    """
    unknown = [_unknown(name, parameters) for name in define if name not in parameters]
    if unknown:
        raise NetcError(unknown)


def _unknown(name: str, parameters: Iterable[str]) -> Diagnostic:
    known = list(parameters)
    listed = ", ".join(f"`{each}`" for each in known) or "none"
    help = did_you_mean(name, known) or (f"its parameters are: {listed}",)
    message = f"the net has no parameter `{name}`"
    return Diagnostic("unknown-parameter", message, help=help)


def literal_type(expression: Expression | None) -> str:
    """The type of a literal, e.g. "int" or "[string]"; "" for another expression."""
    if isinstance(expression, Literal):
        names = {bool: "bool", int: "int", float: "float"}
        return names[type(expression.value)]
    if isinstance(expression, TextLiteral):
        return "string"
    if isinstance(expression, Unary) and expression.operator == "-":
        return literal_type(expression.value)
    if isinstance(expression, ListOf):
        inner = {literal_type(item) for item in expression.items}
        found = inner.pop() if len(inner) == 1 else ""
        return f"[{found}]" if found and not found.startswith("[") else ""
    return ""


def declared_type(declared: ParameterDeclaration) -> str:
    """A parameter's type: as written, or that of its default."""
    return declared.type or literal_type(declared.default)


def given_value(declared: ParameterDeclaration, given: object) -> Value:
    """The value given for a parameter, as text or as a Python value, converted to its type.

    Raises:
        NetcError: wrong-kind, where it does not fit.
    """
    type = declared_type(declared)
    value = _read(given, type) if isinstance(given, str) else _plain(given)
    fitting = None if value is None else conform(value, type)
    if fitting is None:
        message = f"parameter `{declared.name}` takes {type}, and `{given!s:.60}` is given for it"
        raise NetcError(Diagnostic("wrong-kind", message, declared.span))
    return fitting


def _read(text: str, type: str) -> Value | None:
    if type == "string":
        return text
    try:
        return _literal(_Definition(Source("-D", text)).whole())
    except (NetcError, ValueError):
        return text if not type else None


def _plain(given: object) -> Value | None:
    """A value of Python's as one of the language."""
    if isinstance(given, (list, tuple)):
        items = [_plain(item) for item in given]
        return None if None in items else items
    if isinstance(given, (bool, int, float, str)):
        return given
    return None


class _Definition(ExpressionParser):
    """Reads a value given on the command line."""

    def body(self) -> Body:
        raise ValueError

    def whole(self) -> Expression:
        """All of the text as one expression."""
        value = self.value()
        if self.here.kind != "end":
            raise ValueError
        return value


def _literal(expression: Expression) -> Value:
    """A literal's value.

    Raises:
        ValueError: it is none.
    """
    if isinstance(expression, Literal):
        return expression.value
    if isinstance(expression, TextLiteral) and all(
        isinstance(part, str) for part in expression.parts
    ):
        return "".join(map(str, expression.parts))
    if isinstance(expression, ListOf):
        return [_literal(item) for item in expression.items]
    if isinstance(expression, Unary) and expression.operator == "-":
        value = _literal(expression.value)
        if is_number(value):
            return -value
    raise ValueError
