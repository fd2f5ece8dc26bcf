"""Checks the numbers in a solver: errors for invalid ones, warnings for unlikely ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from netc.diagnostics import Diagnostic
from netc.schema.message import Message

# Caffe takes iter_size 0 and test_iter 0, makes no pass and prints 0/0.
_MINIMUM: Mapping[str, int] = MappingProxyType(
    {"iter_size": 1, "display": 0, "max_iter": 0, "test_interval": 0, "snapshot": 0, "test_iter": 1}
)


def out_of_range(solver: Message) -> Iterator[Diagnostic]:
    """Errors for numbers with which no solver can train: below their minimum, NaN or infinite."""
    for name in solver.entries:
        for index, number in enumerate(_numbers(solver, name)):
            minimum = _MINIMUM.get(name)
            if not math.isfinite(number):
                yield _fault(solver, name, index, f"`{name}` is {number}, and must be finite")
            elif minimum is not None and number < minimum:
                message = f"`{name}` is {number}, and must be at least {minimum}"
                yield _fault(solver, name, index, message)


def _numbers(solver: Message, name: str) -> tuple[float, ...]:
    value = solver.get(name)
    values = value if isinstance(value, tuple) else (value,)
    return tuple(v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool))


def _fault(solver: Message, name: str, index: int, message: str) -> Diagnostic:
    return Diagnostic("bad-solver-field", message, solver.span_of(name, index))


# Field -> when it is doubtful, and what comes of it.
_DOUBTFUL: Mapping[str, tuple[Callable[[float], bool], str]] = MappingProxyType(
    {
        "base_lr": (lambda x: x < 0, "training climbs the loss in place of descending it"),
        "momentum": (lambda x: not 0 <= x < 1, "updates do not die away outside 0 <= x < 1"),
        "momentum2": (lambda x: not 0 <= x < 1, "means do not settle outside 0 <= x < 1"),
        "weight_decay": (lambda x: x < 0, "weights are driven away from 0"),
        "clip_gradients": (lambda x: x == 0, "every gradient becomes 0; below 0 is off"),
        "delta": (lambda x: x < 0, "the sum that is divided by may become 0"),
    }
)


def doubtful(solver: Message) -> Iterator[Diagnostic]:
    """Warnings for numbers that Caffe accepts but that are probably mistakes."""
    for name, (is_doubtful, what) in _DOUBTFUL.items():
        if solver.has(name) and is_doubtful(solver.get(name)):
            message = f"`{name}` is {solver.get(name):g}: {what}"
            yield Diagnostic(
                "doubtful-solver-field", message, solver.span_of(name), severity="warning"
            )
