"""Steps of parameters' updates, of the norm of all gradients, and of local rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.program import Argument, Step
from netc.backends.cpu.training_args import LocalRateArgs, NormArgs, SquaresArgs, UpdateArgs
from netc.backends.shared.views import Place, Workspace, moved
from netc.ops.update import UpdateParams
from netc.ops.update_rules import UpdateRule

_UNIT_ELEMENTS = 1 << 14  # elements, about
_ONE = np.ones(1, np.float32)
_MAX_HISTORIES = 3


class Summands(NamedTuple):
    """Gradients whose mean is the gradient: ``number`` of them, ``distance`` elements apart."""

    first: Place
    number: int
    distance: int

    def moved(self, elements: int) -> Summands:
        """The same from later elements on."""
        return self._replace(first=moved(self.first, elements))


def update_steps(
    name: str,
    params: UpdateParams,
    count: int,
    gradient: Place | Summands | None,
    arrays: Sequence[Place],
    scalars: Sequence[Place],
    results: Sequence[Place],
) -> list[Step]:
    """One parameter's update.

    Args:
        name: the node's.
        params: the rule and its numbers.
        count: elements of the parameter.
        gradient: None where none reaches it. Of several summands their mean is taken, in their
            order; no rate of the parameter's own follows from that.
        arrays: the parameter, then its histories.
        scalars: rate, iteration, and the clipping factor where there is one.
        results: where the parameter and its histories go.
    """
    rule, local = params.rule, params.has_local_rate
    # All arrays of a parameter lie in one order; results may lie over what they replace.
    data, first, second, third = _padded(arrays)
    new_data, new_first, new_second, new_third = _padded(results)
    first_gradient, number, distance = _summands(gradient)
    args = UpdateArgs(
        gradient=first_gradient,
        data=data,
        history=first,
        second=second,
        third=third,
        rate=Workspace() if local else scalars[0],
        iteration=scalars[1],
        clip=_clip(params, scalars),
        count=count,
        per_unit=_UNIT_ELEMENTS,
        new_data=new_data,
        new_history=new_first,
        new_second=new_second,
        new_third=new_third,
        lr_mult=1.0 if local else float(params.lr_mult),
        share=_share(params),
        decay=float(params.decay),
        momentum=float(rule.momentum),
        momentum2=float(rule.momentum2),
        rms_decay=float(rule.rms_decay),
        delta=float(rule.delta),
        distance=4 * distance,
        mean=float(np.float32(1 / number)),
    )
    kernel = _kernel(params, gradient is not None, number)
    units = math.ceil(count / _UNIT_ELEMENTS)
    if not local:
        return [Step(name, kernel, args, units)]
    assert not isinstance(gradient, Summands), "a norm is of a mean that is there"
    norms = local_rate_steps(name, params, count, (arrays[0], gradient), scalars)
    return [*norms, Step(name, kernel, args, units, workspace=norms[0].workspace)]


def _summands(gradient: Place | Summands | None) -> tuple[Argument, int, int]:
    """The first summand, how many there are, and elements from one to the next."""
    return gradient if isinstance(gradient, Summands) else (gradient or 0, 1, 0)


def _padded(places: Sequence[Place]) -> tuple[Argument, ...]:
    """A parameter and its histories, 0 for those that its rule does not keep."""
    return (*places, *(0,) * (1 + _MAX_HISTORIES - len(places)))


def _kernel(params: UpdateParams, reached: bool, summands: int) -> jit.KernelSpec:
    """The kernel of a rule; ``reached``: by a gradient."""
    rule, decay = params.rule, params.regularization if params.decay else "none"
    return jit.spec(
        "update",
        "update",
        rule=_formula(rule),
        histories=rule.histories,
        decay=f"decoupled {decay}" if rule.decoupled else decay,
        reached=reached,
        summands=summands,
    )


def _formula(rule: UpdateRule) -> str:
    """The formula of netc.backends.cpu.kernels.update that a rule is."""
    if rule.name == "Adam" and rule.amsgrad:
        return "Adam with the largest followed"
    return {"AdamW": "Adam", "LARS": "SGD"}.get(rule.name, rule.name)


def _clip(params: UpdateParams, scalars: Sequence[Place]) -> Argument:
    return scalars[2] if params.clipped else _ONE


def _share(params: UpdateParams) -> float:
    return float(np.float32(1) / np.float32(params.iter_size))


# The workspace of a local rate: [the rate][squares of the parameter: runs][of the gradient: runs]
def local_rate_steps(
    name: str,
    params: UpdateParams,
    count: int,
    arrays: tuple[Place, Place | None],
    scalars: Sequence[Place],
) -> list[Step]:
    """The rate of a parameter by its norms, left at the start of the workspace.

    ``arrays`` are the parameter and its gradient; without a gradient its norm is 0.
    """
    local = params.rule.local
    assert local is not None
    runs = math.ceil(count / _UNIT_ELEMENTS)
    memory = 4 * (1 + 2 * runs)
    data, gradient = arrays
    lars = local.kind == "lars"
    # Without a gradient the parameter stands for it, times 0.
    given = gradient if gradient is not None else data
    share = _share(params) if gradient is not None else 0.0
    clip = _clip(params, scalars) if gradient is not None else _ONE
    args = LocalRateArgs(
        squares=Workspace(1),
        runs=runs,
        rate=scalars[0],
        ratio=float(local.ratio),
        decay=float(local.decay) if lars else 0.0,
        clip=int(local.clip),
        output=Workspace(),
    )
    return [
        _squares(name, data, count, Workspace(1), memory),
        _squares(name, given, count, Workspace(1 + runs), memory, clip, share),
        Step(name, jit.spec("norms", "local_rate"), args, 1, workspace=memory),
    ]


def clip_steps(
    name: str, gradients: Sequence[tuple[Place, int]], limit: float, scale: Place, norm: Place
) -> list[Step]:
    """The norm of gradients, each a place and its elements, and the factor that bounds it."""
    counts = [math.ceil(count / _UNIT_ELEMENTS) for _, count in gradients]
    memory, starts = 4 * sum(counts), np.cumsum([0, *counts])
    found = [
        _squares(name, place, count, Workspace(int(start)), memory)
        for (place, count), start in zip(gradients, starts, strict=False)
    ]
    args = NormArgs(Workspace(), sum(counts), float(limit), scale, norm)
    return [*found, Step(name, jit.spec("norms", "clip"), args, 1, workspace=memory)]


def _squares(
    name: str,
    place: Place,
    count: int,
    output: Workspace,
    memory: int,
    clip: Argument = _ONE,
    share: float = 1.0,
) -> Step:
    args = SquaresArgs(place, count, _UNIT_ELEMENTS, clip, share, output)
    units = math.ceil(count / _UNIT_ELEMENTS)
    return Step(name, jit.spec("norms", "squares"), args, units, workspace=memory)
