"""What a training step has besides layers and gradients: variables as values, updates, clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netc.backends.cuda.emission import THREADS, CudaEmitContext, blocks
from netc.backends.cuda.emit.moves import copy_kernel, merged
from netc.backends.cuda.program import Argument, Int64, Launch, Steps
from netc.backends.cuda.source import Constant
from netc.backends.cuda.together import KernelPart, part_code
from netc.backends.shared.derived import derived
from netc.backends.shared.layout import c_strides, stored_strides
from netc.backends.shared.views import View, Workspace, dense
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.array import AnyArray
from netc.ops.update import ClipScaleParams, UpdateParams
from netc.ops.update_rules import LocalRate, UpdateRule

_RULES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "", "AMSGrad", "AdaMax")
_FOLLOWED = 6  # Adam whose next second mean begins with the largest
_ALIASES = {"AdamW": "Adam", "LARS": "SGD"}
_UPDATED = 2048  # elements that a block of update.cuh makes
_SQUARED = 8192  # elements that a block of squares.cuh adds up
_DOUBLE = 8  # bytes
_HISTORIES = ("first", "second", "third")


def emit_parameter(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A trained array, or a history, as a value."""
    (name,) = node.parameters
    shape, view = emission.graph.shape(node.outputs[0]), emission.view(node.outputs[0])
    if count(shape) == 0:
        return []
    sizes, (source, target) = merged(shape, c_strides(shape), stored_strides(shape, view))
    array = derived(_floats, emission.array(name))
    arguments = (array, view.place, count(shape), *sizes[1:], *map(Int64, (*source, *target)))
    kernel = copy_kernel("float", emission.precision.text)
    return [Launch(node.name, kernel, blocks(count(shape)), THREADS, arguments, (), (view,))]


def _floats(array: AnyArray) -> AnyArray:
    return np.ascontiguousarray(array, np.float32)


def emit_update(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A parameter's update; all of its arrays lie without gaps and in one order."""
    params: UpdateParams = node.params
    given = [emission.view(value) for value in node.inputs]
    gradient = given.pop(0) if params.reached else None
    arrays, scalars = given[: 1 + params.rule.histories], given[1 + params.rule.histories :]
    results = [emission.view(value) for value in node.outputs]
    moved = [*arrays, *results, *([gradient] if gradient else [])]
    if params.part or any(view.ld != view.c for view in moved):
        return None
    if arrays[0].count == 0:
        return []
    local = has_local_rate(params)
    steps = _local_rate(emission, node.name, params, arrays[0], gradient, scalars) if local else []
    launch = _update(emission, node.name, params, (gradient, *arrays), results, scalars)
    if not steps:
        return [launch]
    rate = dense(Workspace(), 1, 1, 1, 1)
    memory = max(s.workspace for s in steps if isinstance(s, Launch))
    return [*steps, replace(launch, reads=(*launch.reads, rate), workspace=memory)]


def has_local_rate(params: UpdateParams) -> bool:
    """True if the parameter's rate follows from its norms."""
    return params.rule.local is not None and params.lr_mult != 0


def _update(
    emission: CudaEmitContext,
    name: str,
    params: UpdateParams,
    arrays: Sequence[View | None],
    results: Sequence[View],
    scalars: Sequence[View],
) -> Launch:
    rule = params.rule
    fields = ("gradient", "data", *_HISTORIES)
    places: list[tuple[str, str, Argument]] = [
        ("const value_t*", field, Workspace() if view is None else view.place)
        for field, view in zip(fields, _filled(arrays), strict=True)
    ]
    places += [
        ("value_t*", f"new_{field}", Workspace() if view is None else view.place)
        for field, view in zip(fields[1:], _filled(results, 4), strict=True)
    ]
    part = [*places, ("int", "count", results[0].count)]
    part += [("float", "lr_mult", float(params.lr_mult)), ("float", "decay", float(params.decay))]
    clip = scalars[2].place if params.clipped else Workspace()
    numbers = (rule.momentum, rule.momentum2, rule.rms_decay, rule.delta)
    share = float(np.float32(1) / np.float32(params.iter_size))
    common = (scalars[0].place, scalars[1].place, clip, Workspace(), share, *map(float, numbers))
    code, values = part_code([KernelPart(part)])
    return Launch(
        name,
        emission.kernel("update", _constants(params, rule), code),
        (math.ceil(results[0].count / _UPDATED), 1, 1),
        THREADS,
        (*common, *values),
        (*(view for view in arrays if view is not None), *scalars),
        tuple(results),
    )


def _filled(views: Sequence[View | None], number: int = 5) -> list[View | None]:
    return [*views, *[None] * (number - len(views))]


def _constants(params: UpdateParams, rule: UpdateRule) -> dict[str, Constant]:
    followed = rule.name == "Adam" and rule.amsgrad
    return {
        "MANY": 1,
        "RULE": _FOLLOWED if followed else _RULES.index(_ALIASES.get(rule.name, rule.name)),
        "DECAY": int(params.regularization == "L1"),
        "DECOUPLED": rule.decoupled,
        "REACHED": params.reached,
        "CLIPPED": params.clipped,
        "LOCAL": has_local_rate(params),
    }


# The workspace of a local rate, in doubles: [the rate][squares of the parameter][of the gradient]
def _local_rate(
    emission: CudaEmitContext,
    name: str,
    params: UpdateParams,
    data: View,
    gradient: View | None,
    scalars: Sequence[View],
) -> Steps:
    """The rate of a parameter by its norms, left at the start of the workspace.

    Without a gradient its norm is 0: the parameter stands for it, times 0.
    """
    local = params.rule.local
    assert local is not None
    runs = math.ceil(data.count / _SQUARED)
    share = float(np.float32(1) / np.float32(params.iter_size)) if gradient else 0.0
    clip = scalars[2] if params.clipped and gradient else None
    steps: Steps = [
        squares_launch(emission, name, [data], 1),
        squares_launch(emission, name, [gradient or data], 1 + runs, clip, share),
    ]
    memory = _doubles(emission, 0, 1 + 2 * runs)
    rate = dense(Workspace(), 1, 1, 1, 1)
    decay = local.decay if local.kind == "lars" else 0.0
    arguments = (
        *(memory.place._replace(offset=_offset(emission, 1)), runs, runs, scalars[0].place),
        *(float(local.ratio), float(decay), Workspace(), Workspace(), Workspace()),
    )
    kernel = emission.kernel("norm", _norm_constants(local))
    reads = (_doubles(emission, 1, 2 * runs), scalars[0])
    launch = Launch(name, kernel, (1, 1, 1), THREADS, arguments, reads, (rate,))
    bytes_ = _DOUBLE * (1 + 2 * runs)
    return [replace(s, workspace=bytes_) for s in (*steps, launch) if isinstance(s, Launch)]


def _norm_constants(local: LocalRate | None) -> dict[str, Constant]:
    return {"LOCAL": local is not None, "BOUND": local is not None and local.clip}


def _offset(emission: CudaEmitContext, doubles: int) -> int:
    """Where a double lies in the workspace, in stored elements."""
    return doubles * _DOUBLE // emission.precision.item


def _doubles(emission: CudaEmitContext, first: int, number: int) -> View:
    place = Workspace(_offset(emission, first))
    return dense(place, 1, 1, 1, _offset(emission, number))


def squares_launch(
    emission: CudaEmitContext,
    name: str,
    views: Sequence[View],
    first: int,
    clip: View | None = None,
    share: float = 1.0,
) -> Launch:
    """Sums of squares of runs of some arrays, as doubles in the workspace from number ``first`` on.

    Args:
        emission: the graph's.
        name: the node's.
        views: of the arrays, which lie without gaps.
        first: double of the workspace.
        clip: a factor of all elements.
        share: another one.
    """
    parts = [
        KernelPart([("const value_t*", "data", view.place), ("int", "count", view.count)])
        for view in views
    ]
    code, values = part_code(parts)
    constants: dict[str, Constant] = {"MANY": len(views), "CLIPPED": clip is not None}
    runs = sum(math.ceil(view.count / _SQUARED) for view in views)
    sums = _doubles(emission, first, runs)
    arguments = (sums.place, Workspace() if clip is None else clip.place, share, *values)
    reads = (*views, *([clip] if clip else []))
    kernel = emission.kernel("squares", constants, code)
    return Launch(name, kernel, (runs, 1, 1), THREADS, arguments, reads, (sums,))


def emit_clip_scale(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The norm of all gradients, and the factor that clips them."""
    params: ClipScaleParams = node.params
    views = [emission.view(value) for value in node.inputs]
    if any(view.ld != view.c for view in views):
        return None
    views = [view for view in views if view.count]
    found, runs = [], 0
    for at in range(0, len(views), KernelPart.MOST):
        some = views[at : at + KernelPart.MOST]
        found.append(squares_launch(emission, node.name, some, runs))
        runs += found[-1].grid[0]
    scale, norm = (emission.view(value) for value in node.outputs)
    arguments = (
        *(Workspace(), runs, 0, Workspace(), float(params.limit), 0.0),
        *(Workspace(), scale.place, norm.place),
    )
    reads = (_doubles(emission, 0, runs),)
    kernel = emission.kernel("norm", _norm_constants(None))
    last = Launch(node.name, kernel, (1, 1, 1), THREADS, arguments, reads, (scale, norm))
    return [replace(launch, workspace=max(_DOUBLE, _DOUBLE * runs)) for launch in (*found, last)]
