"""Which layers are computed in int8: all but those that a bound cannot bear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.reduced import Int8
from netc.quantize.measure import Agreement

Measure = Callable[[Mapping[str, Int8]], Agreement]


class AccuracyBound(NamedTuple):
    """What the answers must keep.

    Args:
        error: the largest error, see ``Agreement``; None for any.
        top1: the least share of items with the same class; None for any.
    """

    error: float | None = None
    top1: float | None = None

    def holds(self, found: Agreement) -> bool:
        """True if answers keep it."""
        if self.error is not None and not found.error <= self.error:
            return False
        return self.top1 is None or (found.top1 is not None and found.top1 >= self.top1)

    def __str__(self) -> str:
        if self.top1 is not None:
            return f"top-1 agreement of at least {self.top1:g}"
        return f"an error of at most {self.error:g}"


class QuantizedLayers(NamedTuple):
    """The layers in int8, those that stay in float32, and how the answers agree then."""

    layers: Mapping[str, Int8]
    released: Sequence[str]
    found: Agreement


def choose(
    layers: Mapping[str, Int8], errors: Mapping[str, float], bound: AccuracyBound, measure: Measure
) -> QuantizedLayers:
    """As many layers in int8 as keep a bound: those with the largest errors are released first.

    The number to release is doubled until the bound holds, and then halved down; each trial is
    measured, and what is given back was.

    Raises:
        NetcError: bound-not-held, where not even the layer of the smallest error can be int8.
    """
    order = sorted(layers, key=lambda name: (-errors[name], name))
    tried: dict[int, Agreement] = {}

    def holds(number: int) -> bool:
        if number not in tried:
            tried[number] = measure({name: layers[name] for name in order[number:]})
        return bound.holds(tried[number])

    last = len(order) - 1
    low, high = -1, 0  # low does not hold, high may
    while not holds(high):
        if high >= last:
            raise _not_held(bound, tried[high])
        low, high = high, min(max(1, 2 * high), last)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    kept = {name: layers[name] for name in layers if name not in order[:high]}
    return QuantizedLayers(kept, order[:high], tried[high])


def _not_held(bound: AccuracyBound, found: Agreement) -> NetcError:
    top1 = "" if found.top1 is None else f", top-1 agreement {found.top1:.4f}"
    message = (
        f"no layer can be computed in int8 within {bound}: with a single one the error is "
        f"{found.error:.3g}{top1}"
    )
    help = ("give a wider bound, more items to calibrate with, or another --method",)
    return NetcError(Diagnostic("bound-not-held", message, help=help))
