"""Vectors of float32 for Numba: a type, its arithmetic, and memory by address.

``load(W, address)`` and ``splat(W, x)`` make vectors of ``W`` lanes, W a constant; ``+ - * /`` work
on two of them. All addresses are int64. Each operation becomes one LLVM instruction or intrinsic,
so that what is written is what runs. ``fma`` contracts where the machine can.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.datamodel import DataModelManager
from numba.core.typing.context import BaseContext as Context
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from netc.backends.cpu.kernels.values import Compiled, ScalarFunction, VectorFunction

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
F32 = ir.FloatType()
Emit = Callable[..., ir.Value]
Rule = Callable[..., types.Type]
#: What ``function`` made -> its typing rule and what emits its code.
INTRINSICS: dict[object, tuple[Rule, Emit]] = {}
# Since LLVM 15 pointers have no element type, and intrinsics' names lost it too.
_TYPED_POINTERS = "*" in str(F32.as_pointer())


class Vector(types.Type):
    """A vector of ``lanes`` float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


class Mask(types.Type):
    """A vector of ``lanes`` truth values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"mask{lanes}")


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: DataModelManager, kind: Mask) -> None:
        super().__init__(manager, kind, ir.VectorType(I1, kind.lanes))


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: DataModelManager, kind: Vector) -> None:
        super().__init__(manager, kind, vector(kind.lanes))


def vector(lanes: int) -> ir.VectorType:
    """LLVM's type of a vector."""
    return ir.VectorType(F32, lanes)


def i64(value: int) -> ir.Constant:
    """An int64 constant."""
    return ir.Constant(I64, value)


def f32(value: float) -> ir.Constant:
    """A float32 constant."""
    return ir.Constant(F32, value)


def same(lanes: int, value: float) -> ir.Constant:
    """A vector constant of equal lanes."""
    return ir.Constant(vector(lanes), [value] * lanes)


def pointer(b: ir.IRBuilder, address: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
    """A typed pointer to ``address + offset`` (bytes)."""
    place = b.add(address, i64(offset)) if offset else address
    return b.inttoptr(place, kind.as_pointer())


def emit_load(b: ir.IRBuilder, address: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
    """A load from an address that need only be aligned to 4."""
    # Callers' arrays are aligned to their elements alone.
    return b.load(pointer(b, address, offset, kind), align=4)


def emit_store(b: ir.IRBuilder, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
    """A store to an address that need only be aligned to 4."""
    b.store(value, pointer(b, address, offset, value.type), align=4)


def emit_order(b: ir.IRBuilder) -> None:
    """No load moves across this place; it costs no instruction.

    LLVM gathers the loads of unrolled steps at their front, and then runs out of registers.
    """
    kind = ir.FunctionType(ir.VoidType(), [])
    b.call(ir.InlineAsm(kind, "", "~{memory}", side_effect=True), [])


def emit_prefetch(b: ir.IRBuilder, address: ir.Value, offset: int, locality: int) -> None:
    """Ask for a cache line that will be read; locality 3 is the first cache, 2 the second."""
    byte = I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    name = "llvm.prefetch.p0" + ("i8" if _TYPED_POINTERS else "")
    fetch = b.module.declare_intrinsic(name, (), kind)
    hints = [ir.Constant(I32, v) for v in (0, locality, 1)]  # a read, of data
    b.call(fetch, [pointer(b, address, offset, I8), *hints])


def emit_splat(b: ir.IRBuilder, x: ir.Value, lanes: int) -> ir.Value:
    """All lanes equal to a scalar."""
    # One lane set, then shuffled to all: LLVM makes a broadcast of it.
    none = ir.Constant(vector(lanes), ir.Undefined)
    one = b.insert_element(none, x, ir.Constant(I32, 0))
    return b.shuffle_vector(one, none, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def call(b: ir.IRBuilder, name: str, *operands: ir.Value) -> ir.Value:
    """A call of an LLVM intrinsic whose operands and result have one type."""
    kind = operands[0].type
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    function_type = ir.FunctionType(kind, [kind] * len(operands))
    return b.call(b.module.declare_intrinsic(f"{name}.{suffix}", (), function_type), operands)


def emit_fma(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """x * y + z, rounded once where the machine can."""
    return call(b, "llvm.fmuladd", x, y, z)


def emit_mask(b: ir.IRBuilder, lanes: int, count: ir.Value) -> ir.Value:
    """True in the first ``count`` lanes."""
    kind = ir.VectorType(I32, lanes)
    none = ir.Constant(kind, ir.Undefined)
    n = b.insert_element(none, b.trunc(count, I32), ir.Constant(I32, 0))
    n = b.shuffle_vector(n, none, ir.Constant(kind, [0] * lanes))
    return b.icmp_signed("<", ir.Constant(kind, list(range(lanes))), n)


def emit_load_part(
    b: ir.IRBuilder, address: ir.Value, lanes: int, count: ir.Value, rest: ir.Value
) -> ir.Value:
    """The first ``count`` lanes from memory, the others from ``rest``."""
    kind = vector(lanes)
    function_type = ir.FunctionType(kind, [kind.as_pointer(), I32, ir.VectorType(I1, lanes), kind])
    function = b.module.declare_intrinsic(masked_name("load", lanes), (), function_type)
    # Lanes that are masked out touch no memory: an address beyond the array's end is fine.
    place = b.inttoptr(address, kind.as_pointer())
    return b.call(function, [place, ir.Constant(I32, 4), emit_mask(b, lanes, count), rest])


def emit_store_masked(b: ir.IRBuilder, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
    """Store the lanes whose mask is set."""
    kind = value.type
    function_type = ir.FunctionType(ir.VoidType(), [kind, kind.as_pointer(), I32, mask.type])
    name = masked_name("store", kind.count)
    store_lanes = b.module.declare_intrinsic(name, (), function_type)
    place = b.inttoptr(address, kind.as_pointer())
    b.call(store_lanes, [value, place, ir.Constant(I32, 4), mask])


def emit_store_part(b: ir.IRBuilder, value: ir.Value, address: ir.Value, count: ir.Value) -> None:
    """Store the first ``count`` lanes; all of them by a plain store."""
    lanes = value.type.count
    # Full vectors take a plain store, which is faster than a masked one on most processors.
    whole = b.icmp_signed(">=", count, i64(lanes))
    with b.if_else(whole, likely=True) as (then, otherwise):
        with then:
            emit_store(b, value, address)
        with otherwise:
            emit_store_masked(b, value, address, emit_mask(b, lanes, count))


def masked_name(what: str, lanes: int, element: str = "f32") -> str:
    """The intrinsic's name as this LLVM spells it: typed pointers name what they point at."""
    name = f"llvm.masked.{what}.v{lanes}{element}.p0"
    return f"{name}v{lanes}{element}" if _TYPED_POINTERS else name


def function(name: str, arity: int, result: Rule, emit: Emit) -> Compiled:
    """A function that Numba compiles to what ``emit`` emits.

    Args:
        name: for messages.
        arity: number of arguments.
        result: argument types -> the result's type; constants come as literal types.
        emit: (builder, argument types, argument values) -> the result's LLVM value.
    """

    def definition(context: Context, *arguments: types.Type) -> tuple[Signature, Emit]:
        # Numba asks for the types first, and for the code when it lowers a call.
        signature = result(*arguments)(*arguments)

        def generate(
            target: BaseContext, b: ir.IRBuilder, signature: Signature, values: Sequence[ir.Value]
        ) -> ir.Value:
            made = emit(b, signature.args, values)
            return target.get_dummy_value() if signature.return_type == types.none else made

        return signature, generate

    definition.__name__ = definition.__qualname__ = name
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ("context", *(f"x{i}" for i in range(arity)))
    parameters = [inspect.Parameter(n, kind) for n in names]
    definition.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    made: Compiled = intrinsic(prefer_literal=True)(definition)
    INTRINSICS[made] = result, emit
    return made


def _lanes(width: types.Type, *rest: types.Type) -> Vector:
    return Vector(width.literal_value)


def to_first(x: types.Type, *rest: types.Type) -> types.Type:
    """Typing rule of what gives the type of its first argument."""
    return x


def _nothing(*arguments: types.Type) -> types.Type:
    return types.none


def _int64(*arguments: types.Type) -> types.Type:
    return types.int64


def to_float32(*arguments: types.Type) -> types.Type:
    """Typing rule of what gives a float32, whatever its arguments."""
    return types.float32


def _count(x: types.Type) -> int:
    return int(x.literal_value)


def _item(
    b: ir.IRBuilder, address: ir.Value, index: ir.Value, size: int, kind: ir.Type
) -> ir.Value:
    return b.inttoptr(b.add(address, b.mul(index, i64(size))), kind.as_pointer())


def _record_type(layout: types.Type, address: types.Type) -> types.Type:
    fields = layout.instance_class._fields
    return types.NamedUniTuple(types.int64, len(fields), layout.instance_class)


def _emit_record(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> ir.Value:
    count = len(arguments[0].instance_class._fields)
    made = ir.Constant(ir.ArrayType(I64, count), ir.Undefined)
    for i in range(count):
        made = b.insert_value(made, b.load(pointer(b, values[1], 8 * i, I64)), i)
    return made


def _emit_bits(
    b: ir.IRBuilder, arguments: Sequence[types.Type], values: Sequence[ir.Value]
) -> ir.Value:
    return b.bitcast(b.trunc(values[0], I32), F32)


# ``record(Layout, address)``: the argument block there, as that NamedTuple of int64.
record = function("record", 2, _record_type, _emit_record)
as_float: ScalarFunction = function("as_float", 1, to_float32, _emit_bits)

# Scalars in memory: element ``index`` of the array at ``address``.
int_at = function("int_at", 2, _int64, lambda b, t, v: b.load(_item(b, v[0], v[1], 8, I64)))
float_at: ScalarFunction = function(
    "float_at", 2, to_float32, lambda b, t, v: b.load(_item(b, v[0], v[1], 4, F32))
)
set_int = function(
    "set_int", 3, _nothing, lambda b, t, v: b.store(v[2], _item(b, v[0], v[1], 8, I64))
)
set_float = function(
    "set_float", 3, _nothing, lambda b, t, v: b.store(v[2], _item(b, v[0], v[1], 4, F32))
)

# Vectors in memory, in ``count`` of their lanes only for the ``_part`` kinds.
load: VectorFunction = function(
    "load", 2, _lanes, lambda b, t, v: emit_load(b, v[1], 0, vector(_count(t[0])))
)
load_part: VectorFunction = function(
    "load_part",
    3,
    _lanes,
    lambda b, t, v: emit_load_part(b, v[1], _count(t[0]), v[2], same(_count(t[0]), 0.0)),
)
load_rest: VectorFunction = function(
    "load_rest",
    3,
    lambda address, count, rest: rest,
    lambda b, t, v: emit_load_part(b, v[0], v[2].type.count, v[1], v[2]),
)
store = function("store", 2, _nothing, lambda b, t, v: emit_store(b, v[1], v[0]))
store_part = function(
    "store_part", 3, _nothing, lambda b, t, v: emit_store_part(b, v[1], v[0], v[2])
)
store_masked = function(
    "store_masked",
    3,
    _nothing,
    lambda b, t, v: emit_store_masked(b, v[1], v[0], emit_mask(b, v[1].type.count, v[2])),
)
broadcast: VectorFunction = function(
    "broadcast",
    2,
    _lanes,
    lambda b, t, v: emit_splat(b, emit_load(b, v[1], 0, F32), _count(t[0])),
)
splat: VectorFunction = function(
    "splat", 2, _lanes, lambda b, t, v: emit_splat(b, v[1], _count(t[0]))
)

# Arithmetic.
fma: VectorFunction = function("fma", 3, to_first, lambda b, t, v: emit_fma(b, *v))


def _define_operator(symbol: Callable[..., object], emit: Emit) -> None:
    @type_callable(symbol)
    def typing(context: Context) -> Callable[..., types.Type | None]:
        def typer(x: types.Type, y: types.Type) -> types.Type | None:
            return x if isinstance(x, Vector) and x == y else None

        return typer

    @lower_builtin(symbol, Vector, Vector)
    def lowering(
        context: BaseContext, b: ir.IRBuilder, signature: Signature, values: Sequence[ir.Value]
    ) -> ir.Value:
        return emit(b, *values)


_define_operator(operator.add, lambda b, x, y: b.fadd(x, y))
_define_operator(operator.sub, lambda b, x, y: b.fsub(x, y))
_define_operator(operator.mul, lambda b, x, y: b.fmul(x, y))
_define_operator(operator.truediv, lambda b, x, y: b.fdiv(x, y))
