"""Evaluation of expressions and chains to values, with a limit on steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from netc.diagnostics import NetcError, Span, did_you_mean
from netc.language.frame import Frame
from netc.language.limits import MAX_LIST, MAX_STEPS
from netc.language.lost import LOST, Faults, LostError
from netc.language.names import PlainNetNames
from netc.language.operators import FUNCTIONS, apply, bounds, call, item, negate, truth
from netc.language.tree import (
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
    ParameterDeclaration,
    TextLiteral,
    Unary,
)
from netc.language.values import (
    DIVISION,
    BlobRef,
    MeaningError,
    Value,
    flat,
    kind,
    plain_text,
    sized,
)

_Result = TypeVar("_Result")


class Uses(Protocol):
    """What makes layers for the steps of chains; expressions know nothing of layers."""

    def use(self, step: CallStep, bottoms: list[BlobRef], owned: bool, frame: Frame) -> Value:
        """Make the layer or module of a step; returns its tops.

        ``owned``: the chain itself made the bottoms, so that a layer may work in place.
        """

    def lost_use(self, step: CallStep, frame: Frame) -> Value:
        """The value of a step that failed, which causes no further errors."""

    def is_type(self, name: str) -> bool:
        """Whether a name is a module, a short form or a layer type."""


class Evaluator:
    """Evaluates expressions, and counts the steps.

    Args:
        declared: the file's parameters, whether they have their values yet or not.

    Attributes:
        uses: what makes layers; must be set before anything is evaluated.
        names: of layers and blobs so far.
        steps: taken so far.
        rewrites: how often each blob was overwritten in place.
        faults: the errors of statements that were given up so far.
    """

    uses: Uses

    def __init__(self, declared: Mapping[str, ParameterDeclaration]) -> None:
        self.names = PlainNetNames()
        self.steps = 0
        self.rewrites: Counter[BlobRef] = Counter()
        self.declared = declared
        self.faults = Faults()
        self._rules: dict[type, Callable[[Any, Frame], Value]] = {
            Literal: lambda e, frame: e.value,
            TextLiteral: self.text,
            Name: self.name,
            ListOf: self.list_of,
            Comprehension: self.comprehension,
            Unary: self.unary,
            Binary: self.binary,
            Conditional: self.conditional,
            Index: self.index,
            CallStep: self.head_use,
            ChainExpression: self.chain,
        }

    def known_blob(self, name: str, frame: Frame) -> BlobRef | None:
        """The blob of this name in a frame; None where there is none."""
        return self.names.find(name, frame)

    def spend(self, frame: Frame, span: Span, count: int = 1) -> None:
        """Count steps.

        Raises:
            NetcError: too-many-steps, beyond ``MAX_STEPS``.
        """
        if self.steps + count > MAX_STEPS:
            message = f"the text expands in more than {MAX_STEPS:,} steps"
            raise frame.error("too-many-steps", message, span)
        self.steps += count

    def evaluate(self, expression: Expression, frame: Frame) -> Value:
        """The value of an expression; chains in it make their layers.

        Raises:
            NetcError: any error of the expression, with its place.
        """
        return self._rules[type(expression)](expression, frame)

    def guard(
        self, frame: Frame, span: Span, function: Callable[..., _Result], *values: Value
    ) -> _Result:
        """The result of a function of values.

        Raises:
            NetcError: for its MeaningError, with that code at ``span``.
        """
        try:
            return function(*values)
        except MeaningError as fault:
            divided = (DIVISION,) if "a float" in fault.message else ()
            raise frame.error(fault.code, fault.message, span, *fault.help, *divided) from None

    def text(self, text: TextLiteral, frame: Frame) -> str:
        """A string with the values of its expressions inserted."""
        parts = []
        for part in text.parts:
            if isinstance(part, str):
                parts.append(part)
            else:
                value = self.evaluate(part, frame)
                parts.append(self.guard(frame, part.span, plain_text, value))
        self.spend(frame, text.span, 0 if len(parts) < 2 else 1)
        return "".join(parts) if len(parts) < 2 else self.sized(frame, text.span, "".join(parts))

    def sized(self, frame: Frame, span: Span, value: Value) -> Value:
        """The value itself; its length counts as steps.

        Raises:
            NetcError: too-large, beyond a limit.
        """
        if isinstance(value, (str, list)):
            self.spend(frame, span, len(value) // 64)
        return self.guard(frame, span, sized, value)

    def name(self, name: Name, frame: Frame) -> Value:
        """The value or blob that a name stands for.

        Raises:
            NetcError: unknown-name.
            LostError: the statement that gives the name its value has failed.
        """
        if name.name == "prev":
            return self.previous(frame, name.span)
        value = frame.find(name.name)
        if value is LOST:
            raise LostError
        if value is None:
            value = self.known_blob(name.name, frame)
        if value is None:
            raise self._unknown(name, frame)
        return value

    def _unknown(self, name: Name, frame: Frame) -> NetcError:
        help = did_you_mean(name.name, frame.visible())
        if name.name.lower() in ("true", "false"):
            help = (f"write `{name.name.lower()}`",)
        elif name.name.isupper() and not help:
            help = (f'a word of Caffe\'s stands in quotes here: `"{name.name}"`',)
        elif self.uses.is_type(name.name):
            help = (f"a layer is made behind an arrow, or by `{name.name}(...)`",)
        elif name.name in FUNCTIONS:
            help = (f"a function is called: `{name.name}(...)`",)
        elif name.name in self.declared:
            line = self.declared[name.name].span.line
            help = (f"it is a parameter from line {line} on: declare it before",)
        message = f"nothing here has the name `{name.name}`"
        return frame.error("unknown-name", message, name.span, *help)

    def previous(self, frame: Frame, span: Span) -> Value:
        """``prev``, the value of the last chain, layer or input.

        Raises:
            NetcError: no-previous.
        """
        if frame.prev is None:
            message = "nothing comes before this that it could go on from"
            help = ("start the chain with a blob's name, or give an `input`",)
            raise frame.error("no-previous", message, span, *help)
        return frame.prev

    def list_of(self, expression: ListOf, frame: Frame) -> Value:
        """A list; chains in it make their layers in order."""
        items = [self.evaluate(item, frame) for item in expression.items]
        return self.sized(frame, expression.span, items)

    def comprehension(self, expression: Comprehension, frame: Frame) -> Value:
        """The list of a comprehension."""
        found = []
        for value in self.items(expression.over, frame):
            self.spend(frame, expression.span)
            frame.values[expression.name.name] = value
            if expression.condition is None or self.holds(expression.condition, frame):
                found.append(self.evaluate(expression.item, frame))
        return self.sized(frame, expression.span, found)

    def items(self, over: Expression, frame: Frame) -> Sequence[Value]:
        """The items that a loop runs over: those of a list, or the ints of a range.

        Raises:
            NetcError: expression, for another value.
        """
        if isinstance(over, Binary) and over.operator in ("..", "..="):
            left, right = self.evaluate(over.left, frame), self.evaluate(over.right, frame)
            return self.guard(frame, over.span, bounds, left, right, over.operator)
        value = self.evaluate(over, frame)
        if not isinstance(value, list):
            message = f"a loop goes through a list or a range, not {kind(value)}"
            raise frame.error("expression", message, over.span, "write `0..n` for n times")
        return value

    def holds(self, condition: Expression, frame: Frame) -> bool:
        """Whether a condition is true.

        Raises:
            NetcError: expression, where it is not a bool.
        """
        value = self.evaluate(condition, frame)
        return self.guard(frame, condition.span, truth, value, "a condition")

    def unary(self, expression: Unary, frame: Frame) -> Value:
        """The value of ``-value`` or ``not value``."""
        value = self.evaluate(expression.value, frame)
        if expression.operator == "-":
            return self.guard(frame, expression.span, negate, value)
        return not self.guard(frame, expression.span, truth, value, "what `not` takes")

    def binary(self, expression: Binary, frame: Frame) -> Value:
        """``left operator right``; ``and`` and ``or`` evaluate the right side only if needed."""
        sign, span = expression.operator, expression.span
        left = self.evaluate(expression.left, frame)
        if sign in ("and", "or"):
            known = self.guard(frame, span, truth, left, f"what `{sign}` takes")
            if known == (sign == "or"):
                return known
            right = self.evaluate(expression.right, frame)
            return self.guard(frame, span, truth, right, f"what `{sign}` takes")
        right = self.evaluate(expression.right, frame)
        if sign == "in" and isinstance(right, list):
            self.spend(frame, span, len(right) // 8)
        result = self.guard(frame, span, apply, sign, left, right)
        return self.sized(frame, span, result) if isinstance(result, (str, list)) else result

    def conditional(self, expression: Conditional, frame: Frame) -> Value:
        """The value of the chosen branch; the other one is not evaluated."""
        chosen = self.holds(expression.condition, frame)
        return self.evaluate(expression.yes if chosen else expression.no, frame)

    def index(self, expression: Index, frame: Frame) -> Value:
        """The value of ``value[index]``."""
        value = self.evaluate(expression.value, frame)
        index = self.evaluate(expression.position, frame)
        return self.guard(frame, expression.span, item, value, index)

    def head_use(self, step: CallStep, frame: Frame) -> Value:
        """The value of a function call, or of a layer or module without bottoms.

        Raises:
            NetcError: expression, for a named argument of a function.
        """
        if step.name not in FUNCTIONS:
            return self.uses.use(step, [], False, frame)
        values = []
        for argument in step.arguments:
            if argument.name or isinstance(argument.value, Body):
                message = f"the function `{step.name}` takes values without names"
                raise frame.error("expression", message, argument.span)
            values.append(self.evaluate(argument.value, frame))
        self.spend(frame, step.span, 1 + sum(len(v) // 8 for v in values if isinstance(v, list)))
        result = self.guard(frame, step.span, call, step.name, values)
        return self.sized(frame, step.span, result)

    def chain(self, chain: ChainExpression, frame: Frame) -> Value:
        """The tops of a chain's last step; each step reads those of the one before it."""
        if chain.head is None:
            value = self.previous(frame, chain.span)
        else:
            value = self.evaluate(chain.head, frame)
        bottoms = self.blobs(value, chain, frame)
        # Blobs that the chain did not make, by how often they were written over when it began.
        foreign = {} if isinstance(chain.head, CallStep) else {b: self.rewrites[b] for b in bottoms}
        for step in chain.steps:
            if step.condition is None or self.holds(step.condition, frame):
                owned = all(self.rewrites[b] > foreign.get(b, -1) for b in bottoms)
                try:
                    value = self.uses.use(step, bottoms, owned, frame)
                except NetcError as error:
                    self.faults.note(error)
                    value = self.uses.lost_use(step, frame)
                bottoms = self.flattened(value, frame, step.span)
        return value

    def blobs(self, value: Value, chain: ChainExpression, frame: Frame) -> list[BlobRef]:
        """The blobs that a chain starts with.

        Raises:
            NetcError: unknown-name or expression, where ``value`` is no blob.
        """
        span = chain.head.span if chain.head else chain.span
        found = []
        for each in self.flattened(value, frame, span):
            blob = self.known_blob(each, frame) if isinstance(each, str) else each
            if not isinstance(blob, BlobRef):
                raise self._no_blob(each, frame, span)
            found.append(blob)
        return found

    def flattened(self, value: Value, frame: Frame, span: Span) -> list[Value]:
        """The items of a list and of the lists in it; the value itself where it is none."""
        if not isinstance(value, list):
            return [value]
        found = list(islice(flat(value), MAX_LIST + 1))
        self.spend(frame, span, len(found) // 8)
        self.guard(frame, span, sized, found)
        return found

    def _no_blob(self, value: Value, frame: Frame, span: Span) -> NetcError:
        if isinstance(value, str):
            message = f"there is no blob `{value[:80]}` here"
            return frame.error("unknown-name", message, span, *did_you_mean(value, frame.made))
        return frame.error("expression", f"a chain starts with blobs, not with {kind(value)}", span)
