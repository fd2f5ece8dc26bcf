"""Elementary functions of vectors, as LLVM code: exp, log, tanh and the activations.

Polynomials after S. Moshier's Cephes (expf, logf, tanhf), whose errors are under 2 units in the
last place; written so that no platform's mathematical library is called.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.simd import (
    I32,
    Mask,
    Vector,
    call,
    emit_fma,
    function,
    same,
    to_first,
)
from netc.backends.cpu.kernels.values import VectorFunction

_ROUND = 12582912.0  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_TANH = (
    -5.70498872745e-3,
    2.06390887954e-2,
    -5.37397155531e-2,
    1.33314422036e-1,
    -3.33332819422e-1,
)


def emit_max(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The larger; y where either is not a number."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def emit_min(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The smaller; y where either is not a number."""
    return b.select(b.fcmp_ordered("<", x, y), x, y)


def emit_abs(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The absolute value."""
    return call(b, "llvm.fabs", x)


def emit_sqrt(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The square root, rounded right."""
    return call(b, "llvm.sqrt", x)


def emit_exp(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """e to the x, to 2 units in the last place; 0 and infinity beyond float32's range."""
    n = x.type.count
    x = emit_max(b, same(n, -104.0), emit_min(b, same(n, 89.0), x))
    # x = whole * log(2) + r: adding and subtracting _ROUND rounds x / log(2) to an integer.
    magic = emit_fma(b, x, same(n, 1.44269504088896341), same(n, _ROUND))
    whole = b.fsub(magic, same(n, _ROUND))
    # log(2) in two parts, the first with few bits, so that the product is exact (Cody and Waite).
    r = emit_fma(b, whole, same(n, -0.693359375), x)
    r = emit_fma(b, whole, same(n, 2.12194440e-4), r)
    # exp(r) on [-log(2) / 2, log(2) / 2].
    p = emit_polynomial(b, r, _EXP)
    y = b.fadd(emit_fma(b, p, b.fmul(r, r), r), same(n, 1.0))
    # The integer stands in the low bits of magic; 2 ** whole is multiplied in two halves, each of
    # which is a normal number even where the result is denormal.
    power = b.sub(_bits(b, magic), _bits(b, same(n, _ROUND)))
    half = b.ashr(power, _ints(n, 1))
    return b.fmul(b.fmul(y, _power_of_two(b, half)), _power_of_two(b, b.sub(power, half)))


def emit_log(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The natural logarithm of normal positive numbers."""
    n = x.type.count
    # x = 2 ** power * (1 + m), with 1 + m from sqrt(1/2) to sqrt(2).
    bits = b.sub(_bits(b, x), _ints(n, 0x3F3504F3))  # the bits of sqrt(1/2)
    power = b.sitofp(b.ashr(bits, _ints(n, 23)), x.type)
    mantissa = b.add(b.and_(bits, _ints(n, 0x007FFFFF)), _ints(n, 0x3F3504F3))
    m = b.fsub(b.bitcast(mantissa, x.type), same(n, 1.0))
    square = b.fmul(m, m)
    y = b.fmul(b.fmul(emit_polynomial(b, m, _LOG), m), square)
    y = emit_fma(b, power, same(n, -2.12194440e-4), y)
    y = emit_fma(b, square, same(n, -0.5), y)
    return emit_fma(b, power, same(n, 0.693359375), b.fadd(m, y))


def emit_any_log(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The natural logarithm of any number: -inf of 0, nan below, denormals too."""
    n = x.type.count
    # Denormal numbers are scaled up first.
    tiny = b.fcmp_ordered("<", x, same(n, 2.0**-126))
    scaled = b.select(tiny, b.fmul(x, same(n, 2.0**24)), x)
    shift = b.select(tiny, same(n, -24 * 0.693147180559945), same(n, 0.0))
    y = b.fadd(emit_log(b, scaled), shift)
    infinity = same(n, float("inf"))
    y = b.select(b.fcmp_unordered("==", x, infinity), x, y)  # of infinity and what is no number
    y = b.select(b.fcmp_ordered("==", x, same(n, 0.0)), b.fneg(infinity), y)
    return b.select(b.fcmp_ordered("<", x, same(n, 0.0)), same(n, float("nan")), y)


def emit_root(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """X to the power 1/2: of minus infinity infinity, and of -0 0, where a square root differs."""
    n = x.type.count
    infinite = b.fcmp_ordered("==", x, same(n, float("-inf")))
    return emit_sqrt(b, b.fadd(b.select(infinite, same(n, float("inf")), x), same(n, 0.0)))


def emit_power(b: ir.IRBuilder, x: ir.Value, power: ir.Value, parity: ir.Value) -> ir.Value:
    """X to the power; parity is 1 or -1 if that is even or odd, else 0, and negative x gives nan.

    Of minus infinity a power that is not whole is that of infinity.
    """
    size = emit_exp(b, b.fmul(power, emit_any_log(b, emit_abs(b, x))))
    zero = same(x.type.count, 0.0)
    signed = b.select(b.fcmp_ordered("<", parity, zero), b.fneg(size), size)
    finite = b.fcmp_ordered("!=", x, same(x.type.count, float("-inf")))
    fraction = b.and_(finite, b.fcmp_ordered("==", parity, zero))
    signed = b.select(fraction, same(x.type.count, float("nan")), signed)
    by_sign = b.select(b.fcmp_ordered("<", x, zero), signed, size)
    odd = b.fcmp_ordered("<", parity, zero)  # of -0 too, whose inverse is minus infinity
    return b.select(odd, call(b, "llvm.copysign", size, x), by_sign)


def emit_softplus(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """log(1 + exp(x)), from the side where exp cannot overflow."""
    one = same(x.type.count, 1.0)
    low = emit_log(b, b.fadd(one, emit_exp(b, b.fneg(emit_abs(b, x)))))
    return b.fadd(emit_max(b, same(x.type.count, 0.0), x), low)


def emit_sigmoid(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """1 / (1 + exp(-x))."""
    one = same(x.type.count, 1.0)
    return b.fdiv(one, b.fadd(one, emit_exp(b, b.fneg(x))))


def emit_tanh(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The hyperbolic tangent."""
    n = x.type.count
    size = emit_abs(b, x)
    square = b.fmul(x, x)
    # Near 0 a polynomial, since 1 - 2 / (exp(2 x) + 1) loses digits there.
    small = emit_fma(b, b.fmul(emit_polynomial(b, square, _TANH), square), x, x)
    e = emit_exp(b, b.fmul(size, same(n, 2.0)))
    large = b.fsub(same(n, 1.0), b.fdiv(same(n, 2.0), b.fadd(e, same(n, 1.0))))
    large = call(b, "llvm.copysign", large, x)
    return b.select(b.fcmp_unordered("<", size, same(n, 0.625)), small, large)


def emit_polynomial(b: ir.IRBuilder, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    """Horner's rule, the highest power first."""
    y = same(x.type.count, coefficients[0])
    for c in coefficients[1:]:
        y = emit_fma(b, y, x, same(x.type.count, c))
    return y


def emit_relu(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """max(x, 0) + 0 * min(x, 0), which is nan of minus infinity and of nan, as x - min(x, 0)."""
    return b.fsub(x, emit_min(b, same(x.type.count, 0.0), x))


def emit_leaky(b: ir.IRBuilder, x: ir.Value, slope: ir.Value) -> ir.Value:
    """X where positive, slope * x elsewhere; the slope is finite."""
    return b.select(b.fcmp_ordered(">", x, same(x.type.count, 0.0)), x, b.fmul(x, slope))


def emit_prelu(b: ir.IRBuilder, x: ir.Value, slopes: ir.Value) -> ir.Value:
    """max(x, 0) + slopes * min(x, 0); exact, since one of the two is 0."""
    zero = same(x.type.count, 0.0)
    return emit_fma(b, slopes, emit_min(b, zero, x), emit_max(b, zero, x))


def emit_elu(b: ir.IRBuilder, x: ir.Value, alpha: ir.Value) -> ir.Value:
    """X where positive, alpha * (exp(x) - 1) elsewhere."""
    zero, one = same(x.type.count, 0.0), same(x.type.count, 1.0)
    low = b.fmul(alpha, b.fsub(emit_exp(b, emit_min(b, zero, x)), one))
    return b.select(b.fcmp_ordered(">", x, zero), x, low)


Activation = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value, ir.Value], ir.Value]

#: kind -> code for (builder, x, first, second, slopes), the last three being vectors.
ACTIVATIONS: dict[str, Activation] = {
    "none": lambda b, x, first, second, slopes: x,
    "relu": lambda b, x, first, second, slopes: emit_relu(b, x),
    "leaky": lambda b, x, first, second, slopes: emit_leaky(b, x, first),
    "prelu": lambda b, x, first, second, slopes: emit_prelu(b, x, slopes),
    "relu6": lambda b, x, first, second, slopes: emit_min(b, first, emit_relu(b, x)),
    "clip": lambda b, x, first, second, slopes: emit_max(b, emit_min(b, second, x), first),
    "elu": lambda b, x, first, second, slopes: emit_elu(b, x, first),
    "sigmoid": lambda b, x, first, second, slopes: emit_sigmoid(b, x),
    "tanh": lambda b, x, first, second, slopes: emit_tanh(b, x),
    "swish": lambda b, x, first, second, slopes: b.fmul(x, emit_sigmoid(b, b.fmul(x, first))),
}


def _ints(lanes: int, value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, lanes), [value] * lanes)


def _bits(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return b.bitcast(x, ir.VectorType(I32, x.type.count))


def _power_of_two(b: ir.IRBuilder, power: ir.Value) -> ir.Value:
    lanes = power.type.count
    shifted = b.shl(b.add(power, _ints(lanes, 127)), _ints(lanes, 23))
    return b.bitcast(shifted, same(lanes, 0.0).type)


def _unary(name: str, emit: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> VectorFunction:
    return function(name, 1, to_first, lambda b, t, v: emit(b, v[0]))


def _binary(
    name: str, emit: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]
) -> VectorFunction:
    return function(name, 2, to_first, lambda b, t, v: emit(b, v[0], v[1]))


exp = _unary("exp", emit_exp)
log = _unary("log", emit_log)
tanh = _unary("tanh", emit_tanh)
sigmoid = _unary("sigmoid", emit_sigmoid)
sqrt = _unary("sqrt", emit_sqrt)
absolute = _unary("absolute", emit_abs)
softplus = _unary("softplus", emit_softplus)
truncated = _unary("truncated", lambda b, x: call(b, "llvm.trunc", x))
size_to_power = _binary(
    "size_to_power", lambda b, x, p: emit_exp(b, b.fmul(p, emit_any_log(b, emit_abs(b, x))))
)
maximum = _binary("maximum", emit_max)
minimum = _binary("minimum", emit_min)


def activation(kind: str) -> VectorFunction:
    """A Numba function (x, first, second, slopes) -> activated vector; all are vectors."""

    def result(x: Vector, first: types.Type, second: types.Type, slopes: types.Type) -> Vector:
        return x

    return function(kind, 4, result, lambda b, t, v: ACTIVATIONS[kind](b, *v))


greater = function(
    "greater", 2, lambda x, y: Mask(x.lanes), lambda b, t, v: b.fcmp_ordered(">", v[0], v[1])
)
select: VectorFunction = function(
    "select", 3, lambda mask, x, y: x, lambda b, t, v: b.select(v[0], v[1], v[2])
)
equal = function(
    "equal", 2, lambda x, y: Mask(x.lanes), lambda b, t, v: b.fcmp_ordered("==", v[0], v[1])
)
