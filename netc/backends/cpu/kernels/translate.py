"""Kernels as LLVM code, straight from their syntax, in a third of the time that Numba takes.

Kernels use little of Python: integers, float32, vectors, ``if``, ``while``, ``for`` over ``range``,
tuples, and calls of intrinsics (``simd.function``) and of functions under ``njit``. Such a function
is translated where it is called, so that every kernel is one LLVM function. What a factory knows
(widths, names, other functions) is worked out by Python meanwhile, and conditions on it choose what
is translated at all. Operators mean what they mean to Numba (:mod:`.scalars`).

What else Python has, this module does not know: it raises :class:`UntranslatableError`, and Numba
compiles the kernel (:mod:`.build`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels import scalars
from netc.backends.cpu.kernels.expressions import Expressions, VariableSlot
from netc.backends.cpu.kernels.scalars import (
    KernelValue,
    UntranslatableError,
    llvm_type,
    truth,
    typed,
)
from netc.backends.cpu.kernels.simd import I8, I32, I64
from netc.backends.cpu.kernels.syntax import definition, symbol, unknown

_DEEPEST = 40  # calls inside calls


@dataclass(slots=True)
class _Loop:
    """Where ``continue`` and ``break`` go."""

    again: ir.Block
    after: ir.Block


def llvm_module(function: Callable[..., None], symbol: str, triple: str, layout: str) -> str:
    """The LLVM text, not optimised, of a kernel: a function of four int64.

    Its C type is that of Numba's calling convention, as :func:`.build.object_code` says.

    Raises:
        UntranslatableError: it uses what is not known here.
    """
    module = ir.Module("kernel", context=ir.Context())
    module.triple, module.data_layout = triple, layout
    byte = I8.as_pointer().as_pointer()
    made = ir.Function(module, ir.FunctionType(I32, [byte, byte, *[I64] * 4]), symbol)
    made.attributes.add("nounwind")
    entry, body = made.append_basic_block("entry"), made.append_basic_block("body")
    b = ir.IRBuilder(entry)
    b.branch(body)  # the entry holds nothing but the variables' places
    b.position_at_end(body)
    if not isinstance(function, FunctionType):
        raise UntranslatableError("a kernel that is no function")
    inlined(b, function, [KernelValue(types.int64, x) for x in made.args[2:]], {}, 0)
    b.ret(ir.Constant(I32, 0))
    return str(module)


def inlined(
    b: ir.IRBuilder,
    function: FunctionType,
    arguments: Sequence[object],
    named: Mapping[str, object],
    depth: int,
) -> object:
    """Translate a function's body at the builder's place; what it returns."""
    if depth > _DEEPEST:
        raise UntranslatableError("calls too deep")
    node, assigned = definition(function)
    body = _Body(b, function, assigned, depth=depth)
    names = [a.arg for a in node.args.args]
    given = {**dict(zip(names, arguments, strict=False)), **named}
    if len(arguments) > len(names) or set(given) != set(names):
        raise UntranslatableError("arguments that are not given one by one")
    for name in names:
        if assigned[name]:
            body.names[name] = body.slots(given[name])
            body.fill(body.names[name], given[name])
        else:
            body.names[name] = given[name]
    return body.run_whole(node.body)


@dataclass
class _Body(Expressions):
    """A function's body while it is translated.

    Args:
        depth: calls that it is inside of.
        nested: conditions and loops that are decided while running, around the present place.
        loops: those among them.
        scopes: names bound inside each of them, known there alone.
        after: where early returns go.
        returned: the result, or the slots for it.
    """

    depth: int = 0
    nested: int = 0
    loops: list[_Loop] = field(default_factory=list)
    scopes: list[list[str]] = field(default_factory=lambda: [[]])
    after: ir.Block | None = None
    returned: object = None

    def inlined(
        self, function: FunctionType, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        """What a function returns, translated here."""
        return inlined(self.b, function, arguments, named, self.depth + 1)

    def run_whole(self, statements: Sequence[ast.stmt]) -> object:
        """Translate all; the result."""
        falls = self.run(statements)
        if self.after is None:
            return self.returned
        if falls:
            if self.returned is not None:
                raise UntranslatableError("a function that returns a value here and none there")
            self.b.branch(self.after)
        self.b.position_at_end(self.after)
        return self.held(self.returned)

    # Variables.

    def slots(self, value: object) -> object:
        """New places for a value: a slot, or a tuple of them; what is no number needs none."""
        if isinstance(value, tuple):
            return tuple(self.slots(part) for part in value)
        kind = typed(self.b, value).kind
        with self.b.goto_entry_block():
            return VariableSlot(kind, self.b.alloca(llvm_type(kind)))

    def fill(self, slots: object, value: object) -> None:
        """Store a value in its places."""
        if isinstance(slots, tuple):
            for slot, part in zip(slots, self.parts(value, len(slots)), strict=True):
                self.fill(slot, part)
            return
        assert isinstance(slots, VariableSlot)
        made = typed(self.b, value)
        if made.kind != slots.kind:
            raise UntranslatableError(f"a variable of {slots.kind} that becomes {made.kind}")
        self.b.store(made.code, slots.place)

    def assign(self, target: ast.expr, value: object) -> None:
        """``target = value``."""
        if isinstance(target, ast.Tuple):
            for one, part in zip(target.elts, self.parts(value, len(target.elts)), strict=True):
                self.assign(one, part)
            return
        if not isinstance(target, ast.Name):
            unknown(target)
        name = target.id
        if self.assigned[name] == 1:
            self.names[name] = value
            self.scopes[-1].append(name)
            return
        if name not in self.names or (not self.nested and self._differs(name, value)):
            self.names[name] = self.slots(value)
            self.scopes[-1].append(name)
        self.fill(self.names[name], value)

    def _differs(self, name: str, value: object) -> bool:
        """True if a variable's places are for another type, as one version of it may be."""
        slot = self.names[name]
        if isinstance(slot, VariableSlot):
            return isinstance(value, tuple) or typed(self.b, value).kind != slot.kind
        return True

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Code that a condition or loop runs: what it alone binds is not known behind it."""
        self.nested += 1
        self.scopes.append([])
        yield
        for name in self.scopes.pop():
            self.names.pop(name, None)
        self.nested -= 1

    # Statements: each gives whether what stands behind it can be reached.

    def run(self, statements: Sequence[ast.stmt]) -> bool:
        """Translate statements in order; whether their end is reached."""
        for statement in statements:
            if not self.statement(statement):
                return False
        return True

    def statement(self, s: ast.stmt) -> bool:
        """Translate one statement."""
        match s:
            case ast.If():
                return self._if(s)
            case ast.While():
                return self._while(s)
            case ast.Return(value=value):
                return self._return(value)
            case ast.Continue() | ast.Break():
                loop = self.loops[-1]
                self.b.branch(loop.again if isinstance(s, ast.Continue) else loop.after)
                return False
            case _:
                self._simple(s)
                return True

    def _simple(self, s: ast.stmt) -> None:
        """A statement behind which the next one runs."""
        match s:
            case ast.Assign(targets=targets, value=value):
                made = self.expression(value)
                for target in targets:
                    self.assign(target, made)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign(target, self.expression(value))
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                held = self.held(self.names[name])
                made = scalars.binary(self.b, symbol(op), held, self.expression(value))
                self.assign(target, made)
            case ast.Expr(value=value):
                self.expression(value)
            case ast.For():
                self._for(s)
            case ast.Pass():
                pass
            case _:
                unknown(s)

    def _if(self, s: ast.If) -> bool:
        condition = self.expression(s.test)
        if scalars.is_known(condition):
            return self.run(s.body if condition else s.orelse)
        then, other, after = self.block("then"), self.block("else"), self.block("endif")
        self.b.cbranch(truth(self.b, condition).code, then, other)
        reached = False
        for start, statements in ((then, s.body), (other, s.orelse)):
            self.b.position_at_end(start)
            with self.scope():
                if self.run(statements):
                    self.b.branch(after)
                    reached = True
        self.b.position_at_end(after)
        if not reached:
            self.b.unreachable()
        return reached

    def _for(self, s: ast.For) -> None:
        start, stop, step = self._range(s)
        before, head, body, again, after = (
            self.b.block,
            *(self.block(name) for name in ("for", "body", "next", "endfor")),
        )
        self.b.branch(head)
        self.b.position_at_end(head)
        counter = self.b.phi(I64)
        counter.add_incoming(start, before)
        self.b.cbranch(self._goes_on(counter, stop, step), body, after)
        self.b.position_at_end(body)
        self._loop_body(s.body, _Loop(again, after), (s.target, KernelValue(types.int64, counter)))
        self.b.position_at_end(again)
        counter.add_incoming(self.b.add(counter, step, flags=("nsw",)), again)
        self.b.branch(head)
        self.b.position_at_end(after)

    def _range(self, s: ast.For) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Start, stop and step of a loop."""
        call = s.iter
        if not isinstance(call, ast.Call) or self.expression(call.func) is not range or s.orelse:
            unknown(s)
        given = [scalars.cast(self.b, self.expression(a), types.int64).code for a in call.args]
        zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
        start, stop = (zero, given[0]) if len(given) == 1 else given[:2]
        return start, stop, given[2] if len(given) == 3 else one

    def _goes_on(self, counter: ir.Value, stop: ir.Value, step: ir.Value) -> ir.Value:
        zero = ir.Constant(I64, 0)
        up, down = (self.b.icmp_signed(sign, counter, stop) for sign in "<>")
        if isinstance(step, ir.Constant):
            return up if step.constant > 0 else down
        upwards = self.b.and_(self.b.icmp_signed(">", step, zero), up)
        return self.b.or_(upwards, self.b.and_(self.b.icmp_signed("<", step, zero), down))

    def _loop_body(
        self,
        statements: Sequence[ast.stmt],
        loop: _Loop,
        bound: tuple[ast.expr, KernelValue] | None,
    ) -> None:
        self.loops.append(loop)
        with self.scope():
            if bound is not None:
                self.assign(*bound)
            if self.run(statements):
                self.b.branch(loop.again)
        self.loops.pop()

    def _while(self, s: ast.While) -> bool:
        if s.orelse:
            unknown(s)
        head, body, after = (self.block(name) for name in ("while", "body", "endwhile"))
        self.b.branch(head)
        self.b.position_at_end(head)
        condition = self.expression(s.test)
        if scalars.is_known(condition):
            self.b.branch(body if condition else after)
        else:
            self.b.cbranch(truth(self.b, condition).code, body, after)
        self.b.position_at_end(body)
        self._loop_body(s.body, _Loop(head, after), None)
        self.b.position_at_end(after)
        if condition is True and not any(isinstance(n, ast.Break) for n in ast.walk(s)):
            self.b.unreachable()
            return False
        return True

    def _return(self, value: ast.expr | None) -> bool:
        made = None if value is None else self.expression(value)
        if not self.nested and self.after is None:
            self.returned = made
            return False
        if self.after is None:
            self.after = self.block("return")
            self.returned = None if made is None else self.slots(made)
        if (made is None) != (self.returned is None):
            raise UntranslatableError("a function that returns a value here and none there")
        if made is not None:
            self.fill(self.returned, made)
        self.b.branch(self.after)
        return False
