"""Learning-rate policies: a policy is immutable, its state is a value passed in and returned.

The formulas are those of SGDSolver::GetLearningRate (BVLC/caffe src/caffe/solvers/sgd_solver.cpp,
lines 27 to 70): powers in double, the result rounded to float32. Policies of forks have their
source in comments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from netc.diagnostics import did_you_mean
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class RateState:
    """A policy's state between iterations.

    ``current_step`` is in Caffe's solverstate. ``minimum_loss`` and ``last_event`` are for plateau:
    the least smoothed loss so far and the iteration of the last improvement or step.
    """

    current_step: int = 0
    minimum_loss: float = math.inf
    last_event: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """A learning-rate policy with its numbers.

    Args:
        name: Caffe's or a fork's `lr_policy`.
        base_lr: the rate that most policies scale.
        gamma: factor of a step, or rate of exp, inv and sigmoid.
        power: exponent of inv and poly.
        stepsize: iterations of a step; half a period of triangular.
        max_iter: where poly ends.
        stepvalue: iterations at which multistep goes on by one.
        windows: plateau's patience in iterations, one value for each step (plateau_winsize).
        stages: multifixed's (last iteration, rate) pairs.
        period: sgdr's first period in iterations; each is `p_mult` times as long as the last and
            its top `lr_mult` times as high.
        min_lr: the lowest rate of sgdr and poly; elsewhere no rate goes below it.
        max_lr: triangular's highest rate.
        warmup: iterations of a linear rise from `warmup_start` to base_lr.
        rampup: iterations of a quadratic rise from `rampup_start` to base_lr.
    """

    name: str
    base_lr: float
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    max_iter: int = 0
    stepvalue: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    stages: tuple[tuple[int, float], ...] = ()
    period: int = 0
    p_mult: float = 2.0
    lr_mult: float = 0.8
    min_lr: float = 0.0
    max_lr: float = 0.0
    warmup: int = 0
    warmup_start: float = 0.0
    rampup: int = 0
    rampup_start: float = 0.0


def advance(
    policy: Policy, state: RateState, iteration: int, smoothed_loss: float = math.nan
) -> tuple[np.float32, RateState]:
    """The learning rate of an iteration, in float32, and the policy's state afterwards.

    A call advances multistep's counter by one at most, as in Caffe.

    Args:
        policy: the policy.
        state: returned by the last call; RateState() for the first.
        iteration: its number, from 0.
        smoothed_loss: the displayed loss, which plateau depends on.
    """
    rate = _risen(policy, iteration)
    if rate is None:
        state = _remembered(policy, state, iteration, smoothed_loss)
        rate = _RATES[policy.name](policy, state, iteration)
    return np.float32(max(rate, policy.min_lr) if policy.min_lr else rate), state


def _remembered(policy: Policy, state: RateState, iteration: int, loss: float) -> RateState:
    if policy.name == "step":
        return replace(state, current_step=iteration // policy.stepsize)
    if policy.name == "multistep":
        return _next_step(state, iteration, policy.stepvalue)
    if policy.name == "plateau":
        return _next_plateau(state, iteration, loss, policy.windows)
    return state


def _next_step(state: RateState, iteration: int, values: tuple[int, ...]) -> RateState:
    """Lines 44 to 49: values that are equal or unsorted are worked off one an iteration."""
    at = state.current_step
    due = at < len(values) and iteration >= values[at]
    return replace(state, current_step=at + 1) if due else state


def _next_plateau(
    state: RateState, iteration: int, loss: float, windows: tuple[int, ...]
) -> RateState:
    """weiliu89/caffe@ssd: an event is a new least smoothed loss or a lowered rate."""
    if loss < state.minimum_loss:
        state = replace(state, minimum_loss=loss, last_event=iteration)
    at = state.current_step
    if at < len(windows) and iteration >= state.last_event + windows[at]:
        return replace(state, current_step=at + 1, last_event=iteration)
    return state


def _risen(policy: Policy, iteration: int) -> float | None:
    """The rate of a rise to base_lr: linear (intel/caffe), or quadratic (NVIDIA/caffe).

    Meanwhile the policy is not asked, and remembers nothing. None after it.
    """
    if iteration < policy.warmup:
        part = iteration / policy.warmup
        return policy.warmup_start + (policy.base_lr - policy.warmup_start) * part
    if iteration < policy.rampup:
        part = iteration / policy.rampup
        return policy.rampup_start + (policy.base_lr - policy.rampup_start) * part * part
    return None


def _power(base: float, exponent: float) -> float:
    """pow of C: nan and inf where Python raises."""
    with np.errstate(all="ignore"):
        return float(np.power(np.float64(base), np.float64(exponent)))


def _inv(p: Policy, state: RateState, iteration: int) -> float:
    return p.base_lr * _power(float(np.float32(1 + p.gamma * iteration)), -p.power)


def _poly(p: Policy, state: RateState, iteration: int) -> float:
    """Down to 0, or to min_lr (NVIDIA/caffe)."""
    left = np.float32(1) - np.float32(iteration) / np.float32(p.max_iter)
    return (p.base_lr - p.min_lr) * _power(float(left), p.power) + p.min_lr


def _sigmoid(p: Policy, state: RateState, iteration: int) -> float:
    with np.errstate(over="ignore"):
        return p.base_lr / (1 + float(np.exp(-p.gamma * np.float64(iteration - p.stepsize))))


def _multifixed(p: Policy, state: RateState, iteration: int) -> float:
    """weiliu89/caffe@ssd: the first stage that has not ended, else the last one."""
    return next((rate for last, rate in p.stages if iteration <= last), p.stages[-1][1])


def _sgdr(p: Policy, state: RateState, iteration: int) -> float:
    """Cosine with restarts (Loshchilov and Hutter, arXiv:1608.03983)."""
    start, period, top = 0, float(p.period), p.base_lr
    while iteration >= start + int(period):
        start, period, top = start + int(period), period * p.p_mult, top * p.lr_mult
    part = (iteration - start) / int(period)
    return p.min_lr + 0.5 * (top - p.min_lr) * (1 + math.cos(math.pi * part))


def _triangular(p: Policy, state: RateState, iteration: int) -> float:
    """Cyclical rates (Smith, arXiv:1506.01186); triangular2 halves the height each cycle."""
    cycle = 1 + iteration // (2 * p.stepsize)
    distance = abs(iteration / p.stepsize - 2 * cycle + 1)
    height = (p.max_lr - p.base_lr) * max(0.0, 1 - distance)
    return p.base_lr + (height / 2 ** (cycle - 1) if p.name == "triangular2" else height)


Formula = Callable[[Policy, RateState, int], float]

_RATES: Mapping[str, Formula] = MappingProxyType(
    {
        "fixed": lambda p, state, i: p.base_lr,
        "step": lambda p, state, i: p.base_lr * _power(p.gamma, state.current_step),
        "exp": lambda p, state, i: p.base_lr * _power(p.gamma, i),
        "inv": _inv,
        "multistep": lambda p, state, i: p.base_lr * _power(p.gamma, state.current_step),
        "poly": _poly,
        "sigmoid": _sigmoid,
        "plateau": lambda p, state, i: p.base_lr * _power(p.gamma, state.current_step),
        "multifixed": _multifixed,
        "sgdr": _sgdr,
        "triangular": _triangular,
        "triangular2": _triangular,
    }
)

POLICIES = tuple(_RATES)

# What a policy divides by. Caffe stops at `step` (sgd_solver.cpp:32) or divides by zero.
_DIVISORS: Mapping[str, str] = MappingProxyType(
    {
        "step": "stepsize",
        "poly": "max_iter",
        "sgdr": "period",
        "triangular": "stepsize",
        "triangular2": "stepsize",
    }
)
_SCALED_BY_GAMMA = ("step", "exp", "inv", "multistep", "sigmoid", "plateau")


def read_policy(solver: Message) -> Policy:
    """The learning-rate policy of a SolverParameter.

    Raises:
        NetcError: unknown-policy; bad-solver-field, for a number that the policy needs and lacks.
    """
    name = solver.get("lr_policy")
    if name not in _RATES:
        given = f"there is no learning-rate policy `{name}`" if name else "`lr_policy` is not given"
        known = "policies are " + ", ".join(f"`{policy}`" for policy in POLICIES)
        raise solver.error(
            "lr_policy", "unknown-policy", given, *did_you_mean(name, POLICIES), known
        )
    _check_numbers(solver, name)
    get = solver.get
    stages = tuple(zip(get("stageiter"), get("stagelr"), strict=False))
    return Policy(
        name,
        get("base_lr"),
        get("gamma"),
        get("power"),
        get("stepsize"),
        get("max_iter"),
        get("stepvalue"),
        get("plateau_winsize"),
        stages if name == "multifixed" else (),
        get("period"),
        get("p_mult"),
        get("lr_mult"),
        get("min_lr"),
        get("max_lr"),
        get("warmup_iter"),
        get("warmup_start_lr"),
        get("rampup_interval"),
        get("rampup_lr"),
    )


def _check_numbers(solver: Message, name: str) -> None:
    """What makes no rate at all is refused before training, not at its first update."""
    get = solver.get
    divisor = _DIVISORS.get(name)
    if divisor and get(divisor) < 1:
        message = f"policy `{name}` needs `{divisor}` of at least 1, and it is {get(divisor)}"
        raise solver.error(
            divisor if solver.has(divisor) else "lr_policy", "bad-solver-field", message
        )
    if name in _SCALED_BY_GAMMA and get("gamma") < 0:  # sgd_solver.cpp:35 to 61
        raise solver.error(
            "gamma", "bad-solver-field", f"`gamma` is {get('gamma'):g}, and must not be negative"
        )
    if name == "sgdr" and get("p_mult") < 1:  # periods would shrink to no iteration at all
        message = f"policy `sgdr` needs `p_mult` of at least 1, and it is {get('p_mult'):g}"
        raise solver.error("p_mult", "bad-solver-field", message)
    rates, ends = len(get("stagelr")), len(get("stageiter"))
    if name == "multifixed" and (rates != ends or not rates):
        raise solver.error(
            "stageiter" if ends else "lr_policy",
            "bad-solver-field",
            f"policy `multifixed` has {rates} `stagelr` and {ends} `stageiter`",
            "give one of each for every stage",
        )
