"""A lower bound of a block's steps, so that a loop that is too large is refused at once."""

from __future__ import annotations

from netc.language.tree import (
    Binary,
    Body,
    ChainExpression,
    ChainStatement,
    Expression,
    ListOf,
    Literal,
    Repeat,
    Statement,
)

_MAX_WEIGHT = 1 << 40


def weight(body: Body) -> int:
    """A lower bound of the steps of one run of a block."""
    return min(_MAX_WEIGHT, sum(_statement(statement) for statement in body.statements))


def _statement(statement: Statement) -> int:
    if isinstance(statement, Repeat):
        return min(_MAX_WEIGHT, _count(statement.over) * (1 + weight(statement.body)))
    if isinstance(statement, ChainStatement) and isinstance(statement.chain, ChainExpression):
        return sum(step.condition is None for step in statement.chain.steps)
    return 0


def _count(over: Expression) -> int:
    """How often a loop runs at least."""
    if isinstance(over, Literal) and isinstance(over.value, int):
        return max(0, over.value)
    if isinstance(over, ListOf):
        return len(over.items)
    if isinstance(over, Binary) and over.operator in ("..", "..="):
        first, last = over.left, over.right
        if isinstance(first, Literal) and isinstance(last, Literal):
            return max(0, int(last.value) - int(first.value))
    return 0
