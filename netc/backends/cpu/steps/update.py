"""Steps of parameters' updates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import UpdateArgs
from netc.backends.cpu.program import Step
from netc.backends.shared.views import Place
from netc.ops.update import UpdateParams

_UNIT_ELEMENTS = 1 << 14  # elements, about
_ONE = np.ones(1, np.float32)


def update_step(
    name: str,
    params: UpdateParams,
    count: int,
    gradient: Place | None,
    arrays: Sequence[Place],
    scalars: Sequence[Place],
    results: Sequence[Place],
) -> Step:
    """One parameter's update.

    Args:
        name: the node's.
        params: the rule and its numbers.
        count: elements of the parameter.
        gradient: None where none reaches it.
        arrays: the parameter, then its history.
        scalars: rate, iteration, and the clipping factor where there is one.
        results: where the parameter and its history go.
    """
    rule, two = params.rule, params.rule.histories == 2
    args = UpdateArgs(
        gradient=0 if gradient is None else gradient,
        data=arrays[0],
        history=arrays[1],
        second=arrays[2] if two else 0,
        rate=scalars[0],
        iteration=scalars[1],
        clip=scalars[2] if params.clipped else _ONE,
        count=count,
        per_unit=_UNIT_ELEMENTS,
        new_data=results[0],
        new_history=results[1],
        new_second=results[2] if two else 0,
        lr_mult=float(params.lr_mult),
        share=float(np.float32(1) / np.float32(params.iter_size)),
        decay=float(params.decay),
        momentum=float(rule.momentum),
        momentum2=float(rule.momentum2),
        rms_decay=float(rule.rms_decay),
        delta=float(rule.delta),
    )
    decay = params.regularization if params.decay else "none"
    reached = gradient is not None
    kernel = jit.spec("update", "update", rule=rule.name, decay=decay, reached=reached)
    return Step(name, kernel, args, math.ceil(count / _UNIT_ELEMENTS))
