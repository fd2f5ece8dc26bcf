"""Expressions of kernels as LLVM code; see :mod:`.translate`."""

from __future__ import annotations

import ast
import builtins
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType

from llvmlite import ir
from numba import types
from numba.core.dispatcher import Dispatcher

from netc.backends.cpu.kernels import scalars
from netc.backends.cpu.kernels.calls import emitted, root
from netc.backends.cpu.kernels.comparisons import compared, extreme
from netc.backends.cpu.kernels.scalars import (
    KernelValue,
    UntranslatableError,
    llvm_type,
    truth,
    typed,
)
from netc.backends.cpu.kernels.simd import INTRINSICS
from netc.backends.cpu.kernels.syntax import symbol, unknown


@dataclass(frozen=True, slots=True)
class VariableSlot:
    """Where a variable that is assigned more than once lies."""

    kind: types.Type
    place: ir.Value


@dataclass
class Expressions(ABC):
    """What a function's expressions are worth at the builder's place.

    Args:
        b: where the code goes.
        function: whose body it is.
        assigned: how often each name is assigned in it.
        names: variable -> value, or a slot or tuple of slots.
    """

    b: ir.IRBuilder
    function: FunctionType
    assigned: Counter[str]
    names: dict[str, object] = field(default_factory=dict)

    @abstractmethod
    def inlined(
        self, function: FunctionType, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        """What a function returns, translated here."""

    def block(self, name: str) -> ir.Block:
        """A new block, at the function's end."""
        return self.b.append_basic_block(name)

    def held(self, bound: object) -> object:
        """The value that a name has now."""
        if isinstance(bound, VariableSlot):
            return KernelValue(bound.kind, self.b.load(bound.place))
        if isinstance(bound, tuple):
            return tuple(self.held(part) for part in bound)
        return bound

    def parts(self, value: object, count: int) -> Sequence[object]:
        """The elements of a tuple of any sort."""
        if isinstance(value, KernelValue) and isinstance(
            value.kind, (types.UniTuple, types.NamedUniTuple)
        ):
            kind = value.kind.dtype
            found = [KernelValue(kind, self.b.extract_value(value.code, i)) for i in range(count)]
            if value.kind.count == count:
                return found
        if isinstance(value, (tuple, list)) and len(value) == count:
            return value
        raise UntranslatableError(f"{count} values of another number of them")

    def expression(self, e: ast.expr) -> object:
        """Translate an expression; its value."""
        match e:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.held(self.names[name]) if name in self.names else self._outer(name)
            case ast.Call():
                return self._call(e)
            case ast.Attribute(value=value, attr=name):
                return self._attribute(self.expression(value), name)
            case ast.Subscript(value=value, slice=index):
                return self._element(self.expression(value), self.expression(index))
            case ast.Tuple(elts=elements):
                return tuple(self.expression(x) for x in elements)
            case _:
                return self._operation(e)

    def _operation(self, e: ast.expr) -> object:
        match e:
            case ast.BinOp(left=left, op=op, right=right):
                x, y = self.expression(left), self.expression(right)
                return scalars.binary(self.b, symbol(op), x, y)
            case ast.Compare():
                return self._compared(e)
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(symbol(op), self.expression(operand))
            case ast.IfExp():
                return self._either(e)
            case ast.BoolOp(op=op, values=values):
                return self._all_or_any(isinstance(op, ast.And), values)
            case _:
                unknown(e)

    def _compared(self, e: ast.Compare) -> object:
        """A comparison; of a chain of them all are made, since none has an effect."""
        values = [self.expression(x) for x in (e.left, *e.comparators)]
        made = [
            compared(self.b, symbol(op), x, y)
            for op, x, y in zip(e.ops, values, values[1:], strict=False)
        ]
        whole = made[0]
        for one in made[1:]:
            whole = scalars.binary(self.b, "BitAnd", whole, one)
        return whole

    def _outer(self, name: str) -> object:
        """A name that the function finds around it: in its factory, its module, or Python."""
        code, cells = self.function.__code__, self.function.__closure__ or ()
        if name in code.co_freevars:
            return cells[code.co_freevars.index(name)].cell_contents
        if name in self.assigned:
            raise UntranslatableError(f"`{name}`, which is known in one branch alone")
        if name in self.function.__globals__:
            return self.function.__globals__[name]
        return getattr(builtins, name)

    def _attribute(self, value: object, name: str) -> object:
        if not isinstance(value, KernelValue):
            return getattr(value, name)
        fields = getattr(value.kind, "fields", ())
        if name not in fields:
            raise UntranslatableError(f"`{name}` of {value.kind}")
        return KernelValue(value.kind.dtype, self.b.extract_value(value.code, fields.index(name)))

    def _element(self, value: object, index: object) -> object:
        if type(index) is not int:
            raise UntranslatableError("an index that is not known")
        if isinstance(value, KernelValue):
            return self.parts(value, getattr(value.kind, "count", 0))[index]
        return value[index]  # type: ignore[index]

    def _unary(self, sign: str, x: object) -> object:
        if sign == "USub":
            return scalars.negated(self.b, x)
        if sign != "Not":
            raise UntranslatableError(sign)
        if scalars.is_known(x):
            return not x
        return KernelValue(types.boolean, self.b.not_(truth(self.b, x).code))

    def _either(self, e: ast.IfExp) -> object:
        condition = self.expression(e.test)
        if scalars.is_known(condition):
            return self.expression(e.body if condition else e.orelse)
        return self._chosen(
            truth(self.b, condition).code,
            lambda: self.expression(e.body),
            lambda: self.expression(e.orelse),
        )

    def _chosen(
        self, condition: ir.Value, then: Callable[[], object], other: Callable[[], object]
    ) -> KernelValue:
        """What one of two pieces of code gives; the other does not run."""
        blocks = self.block("then"), self.block("else")
        after = self.block("endif")
        self.b.cbranch(condition, *blocks)
        made = []
        for start, give in zip(blocks, (then, other), strict=True):
            self.b.position_at_end(start)
            made.append((typed(self.b, give()), self.b.block))
        kind = scalars.unified(made[0][0].kind, made[1][0].kind)
        ends = []
        for value, end in made:
            self.b.position_at_end(end)
            ends.append((scalars.cast(self.b, value, kind).code, end))
            self.b.branch(after)
        self.b.position_at_end(after)
        joined = self.b.phi(llvm_type(kind))
        for code, end in ends:
            joined.add_incoming(code, end)
        return KernelValue(kind, joined)

    def _all_or_any(self, every: bool, values: Sequence[ast.expr]) -> object:
        """``and``, ``or`` of truth values: what the first decides, the others are not asked."""
        first = self.expression(values[0])
        if len(values) == 1:
            return first
        if scalars.is_known(first):
            return self._all_or_any(every, values[1:]) if bool(first) == every else first

        def rest() -> KernelValue:
            return truth(self.b, self._all_or_any(every, values[1:]))

        condition = truth(self.b, first).code
        if every:
            return self._chosen(condition, rest, lambda: False)
        return self._chosen(condition, lambda: True, rest)

    # Calls.

    def _call(self, e: ast.Call) -> object:
        function = self.expression(e.func)
        arguments = [self.expression(a) for a in e.args]
        named = {k.arg: self.expression(k.value) for k in e.keywords if k.arg is not None}
        if len(named) != len(e.keywords) or any(isinstance(a, ast.Starred) for a in e.args):
            unknown(e)
        if isinstance(function, Dispatcher):
            return self.inlined(function.py_func, arguments, named)
        if not named and function in INTRINSICS:
            return emitted(self.b, function, arguments)
        if named or not arguments:
            unknown(e)
        return self._builtin(e, function, arguments)

    def _builtin(self, e: ast.Call, function: object, arguments: list[object]) -> object:
        """Calls of types, and of what Python and its ``math`` have."""
        first = arguments[0]
        if function is float and isinstance(first, str):
            return float(first)
        if isinstance(function, types.Number):
            return scalars.cast(self.b, first, function)
        if isinstance(function, type) and function in _CASTS:
            return scalars.cast(self.b, first, _CASTS[function])
        if function is min or function is max:
            return extreme(self.b, function is min, arguments)
        if function is math.sqrt:
            return root(self.b, first)
        unknown(e)


_CASTS = {int: types.int64, float: types.float64, bool: types.boolean}
