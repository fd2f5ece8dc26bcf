"""Steps of chains of elementwise operations.

    chain_step("block", x, y, [add(shortcut), activate(Activation("relu"))])

reads x, adds the shortcut, applies ReLU and writes y, in one sweep. y may be x or any operand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import ChainArgs
from netc.backends.cpu.memory import aligned_zeros
from netc.backends.cpu.program import Argument, Step
from netc.backends.cpu.steps.epilogue import Activation
from netc.backends.cpu.steps.packing import copied
from netc.backends.shared.derived import Derived, Weights, derived
from netc.backends.shared.views import View

Array = NDArray[np.float32]
_LANES = 16  # constants are padded to this many, the widest vector
_UNIT_ELEMENTS = 16384  # elements in a unit of work, about
_PARTS = (64, 48, 32, 24, 16, 12, 8, 6, 5, 4, 3, 2)  # that a long row may be cut in


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One link of a chain; made by the functions below."""

    name: str
    view: View | None = None
    constants: Weights | None = None
    numbers: tuple[float, ...] = ()


def add(x: View, factor: float = 1.0) -> Operation:
    """Value + factor * x."""
    return Operation("add", x, numbers=(factor,))


def multiply(x: View) -> Operation:
    """Value * x."""
    return Operation("multiply", x)


def divide(x: View) -> Operation:
    """Value / x."""
    return Operation("divide", x)


def maximum(x: View) -> Operation:
    """x where it is larger, else the value."""
    return Operation("maximum", x)


def exceeding(x: View) -> Operation:
    """The value where it is larger, else x: another answer than maximum's if one is nan."""
    return Operation("exceeding", x)


def minimum(x: View) -> Operation:
    """The smaller of value and x."""
    return Operation("minimum", x)


def scale(factors: Weights) -> Operation:
    """Value * factors[channel]."""
    return Operation("scale", constants=factors)


def bias(terms: Weights) -> Operation:
    """Value + terms[channel]."""
    return Operation("bias", constants=terms)


def affine(factor: float, term: float) -> Operation:
    """Value * factor + term."""
    return Operation("affine", numbers=(factor, term))


def power(exponent: float) -> Operation:
    """Value ** exponent; nan of negative values unless the exponent is whole."""
    parity = 0.0 if exponent % 1 else 1.0 if exponent % 2 == 0 else -1.0
    return Operation("power", numbers=(exponent, parity))


def at_most(limit: float) -> Operation:
    """The value, or limit where it is larger."""
    return Operation("at most", numbers=(limit,))


def constant(value: float) -> Operation:
    """One number, whatever the value."""
    return Operation("constant", numbers=(value,))


def threshold(limit: float) -> Operation:
    """1 where value > limit, else 0."""
    return Operation("threshold", numbers=(limit,))


def rectified_by(x: View, slope: float) -> Operation:
    """The value where x > 0, slope * value where it is not: the gradient of ReLU."""
    return Operation("rectified by", x, numbers=(slope,))


def sloped_by(x: View, slopes: Weights) -> Operation:
    """The value where x > 0, slopes[channel] * value where it is not: the gradient of PReLU."""
    return Operation("sloped by", x, constants=slopes)


def elu_slope(alpha: float) -> Operation:
    """1 where the value is above 0, alpha + value elsewhere: the slope of ELU by its output."""
    return Operation("elu slope", numbers=(alpha,))


def within(low: float, high: float) -> Operation:
    """1 from low to high, else 0."""
    return Operation("within", numbers=(low, high))


def activate(activation: Activation) -> Operation:
    """An activation."""
    numbers = (activation.first, activation.second)
    return Operation(activation.kind, constants=activation.slopes, numbers=numbers)


ABSOLUTE = Operation("absolute")
SQUARE = Operation("square")
ROOT = Operation("root")
EXPONENTIAL = Operation("exponential")
LOGARITHM = Operation("logarithm")
SOFTPLUS = Operation("softplus")


def chain_step(name: str, x: View, y: View, operations: Sequence[Operation]) -> Step:
    """Apply operations in order to each element of x and write y; all views have one shape."""
    views = [x, y, *(o.view for o in operations if o.view)]
    # No numbers by channel and no gaps between pixels: any rows will do, so take long ones.
    if all(v.ld == v.c for v in views) and not any(o.constants is not None for o in operations):
        x, y = _rows(x), _rows(y)
        operations = [replace(o, view=_rows(o.view)) if o.view else o for o in operations]
    # Units of about as many elements, whatever the shape: the loop's cost a unit is fixed.
    per_unit = max(1, _UNIT_ELEMENTS // x.c)
    header = ChainArgs(x.place, 4 * x.ld, y.place, 4 * y.ld, x.pixels, x.c, per_unit)
    kernel = jit.spec("elementwise", "chain", operations=tuple(o.name for o in operations))
    args = [*header, *(a for o in operations for a in _arguments(o))]
    return Step(
        name,
        kernel,
        tuple(args),
        math.ceil(x.pixels / per_unit),
        pointwise_reads=(x.place, *(o.view.place for o in operations if o.view and o.view.ld)),
    )


def _rows(view: View) -> View:
    """A dense view as pixels of many channels: rows, or parts of what is one long row."""
    # A row of an image without gaps is one pixel of w * c channels: full vectors but the last.
    size = view.w * view.c
    parts = next((k for k in _PARTS if size > k * _UNIT_ELEMENTS and size % k == 0), 1)
    return replace(view, w=parts, c=size // parts, ld=size // parts)


def _arguments(operation: Operation) -> list[Argument]:
    # In the order in which CHAIN_ARGUMENTS counts them: address and ld, numbers, constants.
    found: list[Argument] = []
    if operation.view:
        found += [operation.view.place, 4 * operation.view.ld]
    found += [float(v) for v in operation.numbers]
    if operation.constants is not None:
        found.append(padded(operation.constants))
    return found


def padded(constants: Weights) -> Weights:
    """A flat copy with zeros up to a whole number of vectors."""
    shape = (-(-constants.size // _LANES) * _LANES,)

    def by_numpy(constants: Array) -> Array:
        copy = aligned_zeros(shape)
        copy[: constants.size] = np.asarray(constants, np.float32).reshape(-1)
        return copy

    made = copied(constants, shape, by_numpy) if isinstance(constants, Derived) else None
    return derived(by_numpy, constants) if made is None else made
