"""Dropout and DropPath: elements times what the counter-based generator draws for them.

The numbers are those of netc.ops.random, Philox4x32-10 (Salmon et al. 2011), bit for bit: an
element's number in Caffe's order gives the counter, whatever the order it is stored in. A gradient
is the same kernel on the top's gradient: the mask is drawn again and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import types

from netc.backends.cpu.kernels.lanes import loader, storer
from netc.backends.cpu.kernels.simd import (
    F32,
    I32,
    I64,
    Vector,
    as_float,
    float_at,
    function,
    record,
    splat,
)
from netc.backends.cpu.kernels.values import Compiled, Kernel
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.training_args import DrawArgs

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def masked(machine: Machine, each: bool) -> Kernel:
    """Elements times what is drawn; units are runs of rows.

    ``each``: a number for each element (Dropout), else one for each row (DropPath).
    """
    width = machine.width
    load, load_some = loader(width, False), loader(width, True)
    store, store_some = storer(width, False), storer(width, True)
    uniform = _uniform(width)

    def kernel(args: int, begin: int, end: int, scratch: int) -> None:
        a = record(DrawArgs, args)
        seed = int(float_at(a.key, 0)) + 65536 * int(float_at(a.key, 1))
        iteration = int(float_at(a.key, 2)) + 65536 * int(float_at(a.key, 3))
        ratio, scale = as_float(a.ratio), splat(width, as_float(a.scale))
        for unit in range(begin, end):
            for row in range(unit * a.per_unit, min((unit + 1) * a.per_unit, a.rows)):
                # Numbers, and so what is drawn, do not depend on how values lie in memory.
                image = row // a.area
                first = image * a.image_step + (row - image * a.area) * a.pixel_step
                source, target = a.input + row * a.ld, a.output + row * a.output_ld
                count = min(a.channels, a.total - row * a.channels)
                main = count // width * width
                factor = scale
                if not each:
                    factor = uniform(first, 0, iteration, seed, a.layer, ratio, scale)
                for c in range(0, main, width):
                    if each:
                        at = first + c * a.channel_step
                        factor = uniform(at, a.channel_step, iteration, seed, a.layer, ratio, scale)
                    store(target + 4 * c, load(source + 4 * c, width) * factor, width)
                if main < count:
                    if each:
                        at = first + main * a.channel_step
                        factor = uniform(at, a.channel_step, iteration, seed, a.layer, ratio, scale)
                    some = load_some(source + 4 * main, count - main) * factor
                    store_some(target + 4 * main, some, count - main)

    return kernel


def _uniform(width: int) -> Compiled:
    """A function that gives a vector: the scale where the number drawn is at least the ratio.

    Its arguments are the first lane's element and how many elements it is to the next lane's, the
    iteration, the seed, the layer, the ratio, and a vector of the scale; where less is drawn the
    lane is 0.
    """

    def emit(b: ir.IRBuilder, kinds: Sequence[types.Type], v: Sequence[ir.Value]) -> ir.Value:
        first, step, iteration, seed, layer, ratio, scale = v
        steps = ir.Constant(ir.VectorType(I64, width), list(range(width)))
        element = b.add(_same(b, first, width), b.mul(_same(b, step, width), steps))
        # Four elements share a counter, and each takes one of its four words.
        zero = _number(width, 0)
        counter = [b.lshr(element, _number(width, 2)), zero, _same(b, iteration, width), zero]
        words = _philox(b, counter, (_same(b, seed, width), _same(b, layer, width)))
        place = b.and_(element, _number(width, 3))
        word = words[3]
        for k in range(3):
            word = b.select(b.icmp_unsigned("==", place, _number(width, k)), words[k], word)
        # 24 bits as a float32, exactly.
        bits = b.trunc(b.lshr(word, _number(width, 8)), ir.VectorType(I32, width))
        drawn = b.sitofp(bits, scale.type)
        drawn = b.fmul(drawn, ir.Constant(scale.type, [2.0**-24] * width))
        kept = b.fcmp_ordered(">=", drawn, _spread(b, ratio, width))
        return b.select(kept, scale, ir.Constant(scale.type, [0.0] * width))

    return function("uniform", 7, lambda *rest: Vector(width), emit)


def _philox(
    b: ir.IRBuilder, counter: Sequence[ir.Value], key: tuple[ir.Value, ir.Value]
) -> list[ir.Value]:
    """The four words of each lane's counter: 64 bits that hold 32 each, as netc.ops.random's."""
    width = counter[0].type.count
    low, shift = _number(width, _LOW), _number(width, 32)
    first, second = (b.and_(word, low) for word in key)
    x0, x1, x2, x3 = counter
    for turn in range(_ROUNDS):
        if turn:
            first, second = (
                b.and_(b.add(word, _number(width, w)), low)
                for word, w in zip((first, second), _WEYL, strict=True)
            )
        left, right = (
            b.mul(x, _number(width, m)) for x, m in zip((x0, x2), _MULTIPLIERS, strict=True)
        )
        x0, x1, x2, x3 = (
            b.xor(b.xor(b.lshr(right, shift), x1), first),
            b.and_(right, low),
            b.xor(b.xor(b.lshr(left, shift), x3), second),
            b.and_(left, low),
        )
    return [x0, x1, x2, x3]


def _number(width: int, value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I64, width), [value] * width)


def _same(b: ir.IRBuilder, value: ir.Value, width: int) -> ir.Value:
    return _lanes_of(b, value, ir.VectorType(I64, width))


def _spread(b: ir.IRBuilder, value: ir.Value, width: int) -> ir.Value:
    return _lanes_of(b, value, ir.VectorType(F32, width))


def _lanes_of(b: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    """All lanes equal to a scalar."""
    order = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    none = ir.Constant(kind, ir.Undefined)
    return b.shuffle_vector(b.insert_element(none, value, ir.Constant(I32, 0)), none, order)
