"""What a solver does to a parameter: the definitions, in plain NumPy.

Everything is float32 and in the order of Caffe's operations (BVLC/caffe src/caffe/solvers/: the
file of each rule is named beside it), so that a faster way of computing an update can be compared
with these functions, and these with Caffe's numbers. An update is, for each parameter:

    gradient / iter_size  ->  + weight decay  ->  step of the rule  ->  parameter - step

AdamW's weight decay is not in the gradient but in the step. Rules that Caffe's forks and the
literature add stand behind Caffe's six, each with its source.

Arrays are read, never written; histories go in and out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from netc.ir.graph import Array

Scalar = float | np.float32


@dataclass(frozen=True, slots=True)
class LocalRate:
    """A factor of one parameter's rate, from the L2 norms of its elements w and of its gradient g.

    g is the mean over an iteration's passes, without weight decay; where either norm is 0 the
    factor is 1. It takes the place of the parameter's lr_mult unless that is 0.

    Args:
        kind: "lars": ratio * |w| / (|g| + decay * |w|) (You, Gitman and Ginsburg, arXiv:1708.03888;
            `local_lr_auto` of intel/caffe); "larc": ratio * |w| / |g| (`larc` of NVIDIA/caffe).
        ratio: Intel's `local_gw_ratio`, NVIDIA's `larc_eta`.
        decay: the solver's weight_decay, whatever the parameter's decay_mult.
        clip: it is an upper bound of the solver's rate, not a factor (NVIDIA's
            `larc_policy: "clip"`).
    """

    kind: str = "lars"
    ratio: float = 0.001
    decay: float = 0.0
    clip: bool = False


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """How a gradient becomes a step.

    Args:
        name: one of SOLVER_TYPES.
        momentum: SGD's, Nesterov's and LARS's; AdaDelta's decay; Adam's beta1, also of its kin.
        momentum2: Adam's beta2.
        rms_decay: RMSProp's decay.
        delta: what keeps a divisor from zero, inside or outside of the root as the rule has it.
        amsgrad: Adam's second mean never falls (`amsgrad` of jolibrain/caffe).
        local: rates of each parameter's own; None for lr_mult alone.
    """

    name: str = "SGD"
    momentum: float = 0.0
    momentum2: float = 0.999
    rms_decay: float = 0.99
    delta: float = 1e-8
    amsgrad: bool = False
    local: LocalRate | None = None

    @property
    def histories(self) -> int:
        """How many arrays of a parameter's shape its history has."""
        return _HISTORIES.get(self.name, 1)

    @property
    def is_caffes(self) -> bool:
        """Whether it is one of BVLC Caffe's six rules, without a fork's additions."""
        return self.name in CAFFES_TYPES and not self.amsgrad and self.local is None

    @property
    def decoupled(self) -> bool:
        """Whether weight decay is part of the step and not of the gradient."""
        return self.name == "AdamW"


CAFFES_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_HISTORIES: Mapping[str, int] = MappingProxyType(
    {"AdaDelta": 2, "Adam": 2, "AdamW": 2, "AdaMax": 2, "AMSGrad": 3}
)


class UpdateStep(NamedTuple):
    """What is subtracted from a parameter, and its history afterwards; float32 of its shape."""

    value: Array
    history: tuple[Array, ...]


def regularized(
    gradient: Array, data: Array, decay: float, kind: str = "L2", iter_size: int = 1
) -> Array:
    """The mean gradient of an iteration's passes with weight decay (sgd_solver.cpp:130-183).

    Args:
        gradient: the sum over the passes.
        data: the parameter.
        decay: weight_decay times the parameter's decay_mult; 0 leaves the gradient as it is.
        kind: "L2" adds decay * data, "L1" decay * sign(data) with sign(0) = 0.
        iter_size: how many passes there were.
    """
    if iter_size != 1:
        gradient = gradient * (np.float32(1) / np.float32(iter_size))
    if decay == 0:
        return gradient
    return gradient + np.float32(decay) * (data if kind == "L2" else np.sign(data))


def local_rate(
    local: LocalRate | None, rate: Scalar, lr_mult: float, data: Array, gradient: Array
) -> np.float32:
    """The rate of one parameter, float32.

    Args:
        local: how a factor follows from norms; None for rate * lr_mult.
        rate: the iteration's.
        lr_mult: the parameter's.
        data: the parameter.
        gradient: the mean over an iteration's passes, without weight decay.
    """
    if local is None or lr_mult == 0:
        return np.float32(rate) * np.float32(lr_mult)
    w, g = _norm(data), _norm(gradient)
    own = np.float32(1)
    if w > 0 and g > 0:
        decay = np.float32(local.decay if local.kind == "lars" else 0)
        own = np.float32(local.ratio) * w / (g + decay * w)
    return min(np.float32(rate), own) if local.clip else np.float32(rate) * own


def _norm(array: Array) -> np.float32:
    return np.float32(np.sqrt(np.float32(float(np.sum(np.square(array, dtype=np.float64))))))


def step(
    rule: UpdateRule, gradient: Array, history: Sequence[Array], rate: Scalar, iteration: int
) -> UpdateStep:
    """One parameter's step.

    Args:
        rule: the solver's.
        gradient: with weight decay, see `regularized`.
        history: `rule.histories` arrays of the parameter's shape; zeros at first.
        rate: the iteration's rate times the parameter's lr_mult.
        iteration: from 0; Adam's correction depends on it.
    """
    with np.errstate(all="ignore"):  # a rate or delta of 0 divides as Caffe's does
        return _STEPS[rule.name](rule, gradient, history, np.float32(rate), iteration)


def clip_scale(gradients: Sequence[Array], limit: float) -> tuple[np.float32, np.float32 | None]:
    """The L2 norm of all gradients together, and what they are scaled by to stay below a limit.

    sgd_solver.cpp:86-107: the sums of an iteration's passes count, before weight decay, a shared
    parameter once. Below 0 a limit is off; at 0 every gradient becomes 0.

    Returns:
        The norm, and the factor, None where nothing is scaled.
    """
    if limit < 0:
        return np.float32(0), None
    squares = sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients)
    norm = np.sqrt(np.float32(squares))
    return norm, np.float32(limit) / norm if norm > np.float32(limit) else None


def _sgd(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """sgd_solver.cpp:226: the rate is inside the history, so a new rate leaves it as it is."""
    moved = rate * g + np.float32(rule.momentum) * history[0]
    return UpdateStep(moved, (moved,))


def _nesterov(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """nesterov_solver.cpp: (1 + momentum) * new history - momentum * old history."""
    momentum = np.float32(rule.momentum)
    moved = rate * g + momentum * history[0]
    return UpdateStep((np.float32(1) + momentum) * moved - momentum * history[0], (moved,))


def _adagrad(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """adagrad_solver.cpp: delta is outside the root."""
    squares: Array = history[0] + g * g
    return UpdateStep(rate * (g / _root(squares, rule.delta)), (squares,))


def _rmsprop(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """rmsprop_solver.cpp: as AdaGrad with a fading mean of squares."""
    decay = np.float32(rule.rms_decay)
    squares: Array = (np.float32(1) - decay) * (g * g) + decay * history[0]
    return UpdateStep(rate * (g / _root(squares, rule.delta)), (squares,))


def _adadelta(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """adadelta_solver.cpp: delta is inside the root; the mean of steps is of those without rate."""
    decay, delta = np.float32(rule.momentum), np.float32(rule.delta)
    fresh = np.float32(1) - decay
    squares = fresh * (g * g) + decay * history[0]
    value: Array = g * np.sqrt((history[1] + delta) / (squares + delta))
    steps = fresh * (value * value) + decay * history[1]
    return UpdateStep(rate * value, (squares, steps))


def _adam(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """adam_solver.cpp: delta is added to the root that is not corrected."""
    beta1, beta2, one = np.float32(rule.momentum), np.float32(rule.momentum2), np.float32(1)
    first = (one - beta1) * g + beta1 * history[0]
    second = (one - beta2) * (g * g) + beta2 * history[1]
    if rule.amsgrad:  # jolibrain/caffe: what never falls is itself what the next mean begins with
        second = np.maximum(second, history[1])
    value: Array = rate * _correction(rule, i) * (first / _root(second, rule.delta))
    return UpdateStep(value, (first, second))


def _correction(rule: UpdateRule, i: int) -> Any:
    """Of Adam's means, which begin at 0: an np.float32.

    The powers of a float32 by a whole number are in double in C++, and so is all that follows from
    them, up to the result (adam_solver.cpp, line 37): 1 - 0.999² has three digits less than float32
    has, which a power that is rounded first would lose.
    """
    faded1, faded2 = _faded(rule.momentum, i), _faded(rule.momentum2, i)
    return np.float32(np.sqrt(1 - faded2) / (1 - faded1))


def _faded(beta: float, i: int) -> np.float64:
    """The float32 beta to the power of the number of updates, in double."""
    return np.float64(np.float32(beta)) ** (i + 1)


def _amsgrad(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """Reddi, Kale and Kumar (ICLR 2018): the root is of the largest second mean so far."""
    beta1, beta2, one = np.float32(rule.momentum), np.float32(rule.momentum2), np.float32(1)
    first = (one - beta1) * g + beta1 * history[0]
    second = (one - beta2) * (g * g) + beta2 * history[1]
    largest: Array = np.maximum(second, history[2])
    value: Array = rate * _correction(rule, i) * (first / _root(largest, rule.delta))
    return UpdateStep(value, (first, second, largest))


def _adamax(
    rule: UpdateRule, g: Array, history: Sequence[Array], rate: np.float32, i: int
) -> UpdateStep:
    """Kingma and Ba (arXiv:1412.6980, section 7.1); 1e-7 and no delta, as the forks have it."""
    beta1, beta2, one = np.float32(rule.momentum), np.float32(rule.momentum2), np.float32(1)
    first = (one - beta1) * g + beta1 * history[0]
    largest: Array = np.maximum(beta2 * history[1] + np.float32(1e-7), np.abs(g))
    corrected: Any = rate * np.float32(1 / (1 - _faded(rule.momentum, i)))  # np.float32
    value: Array = corrected * (first / largest)
    return UpdateStep(value, (first, largest))


def _root(squares: Array, delta: float) -> Array:
    root: Array = np.sqrt(squares)
    return root + np.float32(delta)


StepRule = Callable[[UpdateRule, Array, Sequence[Array], np.float32, int], UpdateStep]

_STEPS: Mapping[str, StepRule] = MappingProxyType(
    {
        "SGD": _sgd,
        "Nesterov": _nesterov,
        "AdaGrad": _adagrad,
        "RMSProp": _rmsprop,
        "AdaDelta": _adadelta,
        "Adam": _adam,
        "AMSGrad": _amsgrad,
        "AdamW": _adam,
        "AdaMax": _adamax,
        "LARS": _sgd,
    }
)

SOLVER_TYPES = tuple(_STEPS)
