"""Ops of a training step that no text names: updates of parameters, clipping, running statistics.

Made by netc.train, never written in a net. What they compute is defined in
netc.ops.update_rules and, for running statistics, by the layer type itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netc.ir.params import HasParams
from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.array import Arrays
from netc.ops.define import Arity, Cost, ErasedOp, OpDef, WeightSpec, full_extent, unwritten
from netc.ops.update_rules import UpdateRule, clip_scale, local_rate, regularized, step

UPDATE, CLIP, RUNNING = "Update", "ClipScale", "RunningState"


@dataclass(frozen=True, slots=True)
class UpdateParams:
    """How one parameter is updated.

    Inputs of the node: the sum of its gradients over an iteration's passes where it has one, the
    parameter, its history (`rule.histories` arrays), the iteration's rate and number, both of shape
    (), and the clipping factor, also of shape (), where ``clipped``. Outputs: the parameter and its
    history after the update.

    Args:
        rule: the solver's.
        lr_mult: multiplies the rate.
        decay: weight decay times the parameter's decay_mult.
        regularization: "L2" or "L1".
        iter_size: passes in an iteration.
        reached: whether there is a gradient; it is 0 where no loss depends on the parameter.
        clipped: whether there is a clipping factor.
        part: begin and end of the elements, in C order, that are updated, where other ranks update
            the others; the others are as they were. Empty for all of them.
    """

    rule: UpdateRule
    lr_mult: float = 1.0
    decay: float = 0.0
    regularization: str = "L2"
    iter_size: int = 1
    reached: bool = True
    clipped: bool = False
    part: tuple[int, ...] = ()

    @property
    def has_local_rate(self) -> bool:
        """True if the parameter's rate follows from its norms."""
        return self.rule.local is not None and self.lr_mult != 0


def _update_shape(params: UpdateParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[int(params.reached)],) * (1 + params.rule.histories)


def _update_cost(params: UpdateParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    return Cost(operations=4 * (1 + params.rule.histories) * count(outputs[0]))


def _update(params: UpdateParams, inputs: Arrays, weights: Arrays) -> Arrays:
    if not params.part:
        return _updated(params, inputs)
    begin, end = params.part
    arrays = 1 + params.rule.histories + int(params.reached)
    parts = [a.reshape(-1)[begin:end] for a in inputs[:arrays]]
    results = [a.copy() for a in inputs[int(params.reached) : arrays]]
    for result, made in zip(results, _updated(params, [*parts, *inputs[arrays:]]), strict=True):
        result.reshape(-1)[begin:end] = made
    return results


def _updated(params: UpdateParams, inputs: Arrays) -> Arrays:
    given: Iterator[Any] = iter(inputs)
    gradient = next(given) if params.reached else None
    data = next(given)
    history = [next(given) for _ in range(params.rule.histories)]
    rate, iteration, *scale = (array.reshape(()) for array in given)
    gradient = np.zeros_like(data) if gradient is None else gradient
    if params.clipped:
        gradient = gradient * scale[0]
    rule, kind = params.rule, params.regularization
    mean = regularized(gradient, data, 0, kind, params.iter_size)
    local = local_rate(rule.local, rate, params.lr_mult, data, mean)
    decay = 0 if rule.decoupled else params.decay
    moved = step(rule, regularized(mean, data, decay, kind), history, local, int(iteration))
    value = moved.value
    if rule.decoupled:  # Loshchilov and Hutter, arXiv:1711.05101
        value = value + local * regularized(np.zeros_like(data), data, params.decay, kind)
    return (data - value, *moved.history)


@dataclass(frozen=True, slots=True)
class ClipScaleParams:
    """The largest L2 norm that all gradients may have together (solver's clip_gradients)."""

    limit: float


def _clip(params: ClipScaleParams, inputs: Arrays, weights: Arrays) -> Sequence[Any]:
    norm, scale = clip_scale(inputs, params.limit)
    return (np.float32(1) if scale is None else scale, norm)


@dataclass(frozen=True, slots=True)
class RunningParams(HasParams):
    """The layer type and parameters whose trained arrays' next state, in TRAIN, the node gives.

    The node's inputs and parameters are the layer's.
    """

    op: str
    params: object


def running_op(ops: Mapping[str, ErasedOp]) -> OpDef[RunningParams]:
    """The op of running statistics.

    Args:
        ops: the layer types, by name.
    """

    def specs(params: RunningParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
        return ops[params.op].weights(params.params, inputs)

    def shape(params: RunningParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(spec.shape for spec in specs(params, inputs))

    def reference(params: RunningParams, inputs: Arrays, weights: Arrays) -> Arrays:
        train = ops[params.op].train
        assert train is not None
        _, state = train(params.params, inputs, weights)
        return tuple(state)

    return OpDef(
        name=RUNNING,
        params=unwritten,
        arity=Arity((1, None), (1, None)),
        shape=shape,
        weights=specs,
        window=full_extent,
        reference=reference,
    )


OPS = (
    OpDef(
        name=UPDATE,
        params=unwritten,
        arity=Arity((4, None), (2, 4)),
        shape=_update_shape,
        cost=_update_cost,
        window=full_extent,
        reference=_update,
    ),
    OpDef(
        name=CLIP,
        params=unwritten,
        arity=Arity((1, None), (2, 2)),
        shape=lambda params, inputs: ((), ()),
        window=full_extent,
        reference=_clip,
    ),
)
