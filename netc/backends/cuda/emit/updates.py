"""Updates of parameters: in the variables themselves where nothing reads what they held."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from netc.backends.cuda.emission import THREADS, CudaEmitContext
from netc.backends.cuda.emit.norms import (
    DOUBLE,
    SQUARED,
    UpdateOperand,
    double_offset,
    doubles,
    norm_constants,
    squares_launch,
    whole,
)
from netc.backends.cuda.program import AllFaults, Argument, Launch, Steps
from netc.backends.cuda.source import Constant
from netc.backends.cuda.together import KernelPart, part_code
from netc.backends.shared.derived import derived
from netc.backends.shared.in_place import in_place_updates
from netc.backends.shared.views import View, Workspace, dense
from netc.backends.variables import Variable
from netc.ir.graph import Graph, Node
from netc.ops.array import contiguous
from netc.ops.update import UPDATE, UpdateParams
from netc.ops.update_rules import UpdateRule

_RULES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "", "AMSGrad", "AdaMax")
_FOLLOWED = 6  # Adam whose next second mean begins with the largest
_ALIASES = {"AdamW": "Adam", "LARS": "SGD"}
_UPDATED = 2048  # elements that a block of update.cuh makes
_HISTORIES = ("first", "second", "third")


def values_in_variables(graph: Graph) -> Mapping[str, str]:
    """The values that lie in variables, which updates change in place -> the variables."""
    found: dict[str, str] = {}
    for node, values in in_place_updates(graph):
        if node.op == UPDATE and not node.params_as(UpdateParams).part:
            found |= {v.before: v.variable for v in values} | {v.after: v.variable for v in values}
    return found


def _operand(emission: CudaEmitContext, value: str) -> UpdateOperand:
    """A value in the arena, or the variable that it lies in."""
    view = emission.view(value)
    variable = emission.in_place.get(value)
    if variable is None:
        return UpdateOperand(view.place, view.count, (view,))
    return UpdateOperand(derived(contiguous, emission.array(variable), np.float32), view.count)


def emit_update(emission: CudaEmitContext, node: Node) -> Steps | None:
    """A parameter's update; arrays in the arena lie without gaps and in the gradient's order."""
    params = node.params_as(UpdateParams)
    values = list(node.inputs)
    gradient = emission.view(values.pop(0)) if params.reached else None
    arrays, scalars = values[: 1 + params.rule.histories], values[1 + params.rule.histories :]
    in_place = arrays[0] in emission.in_place
    views = [emission.view(value) for value in (*arrays, *node.outputs)]
    if not in_place:
        moved = [*views, *([gradient] if gradient else [])]
        if params.part or any(view.ld != view.c for view in moved):
            return None
    if views[0].count == 0:
        return []
    update = _Operands(
        emission,
        node.name,
        params,
        gradient,
        [_operand(emission, value) for value in arrays],
        [_operand(emission, value) for value in node.outputs],
        [emission.view(value) for value in scalars],
        tuple(emission.variables.variable(emission.in_place[v]) for v in arrays if in_place),
    )
    if not params.has_local_rate:
        return [update.launch()]
    steps = update.local_rate()
    rate = dense(Workspace(), 1, 1, 1, 1)
    launch = update.launch()
    return [*steps, replace(launch, reads=(*launch.reads, rate), workspace=steps[0].workspace)]


@dataclass(frozen=True)
class _Operands:
    """An update's operands.

    Args:
        emission: the graph's.
        name: the node's.
        params: the node's.
        gradient: the gradient, if there is one.
        before: the parameter and its history.
        after: what they are to be; the same places where it works in the variables.
        scalars: rate, iteration, and the clipping factor where there is one.
        variables: those that it works in.
    """

    emission: CudaEmitContext
    name: str
    params: UpdateParams
    gradient: View | None
    before: Sequence[UpdateOperand]
    after: Sequence[UpdateOperand]
    scalars: Sequence[View]
    variables: tuple[Variable, ...]

    def launch(self) -> Launch:
        """The kernel that changes the parameter and its history."""
        params, rule, count = self.params, self.params.rule, self.before[0].size
        clip = self.scalars[2].place if params.clipped else Workspace()
        numbers = (rule.momentum, rule.momentum2, rule.rms_decay, rule.delta)
        share = float(np.float32(1) / np.float32(params.iter_size))
        faults = (AllFaults(), AllFaults(number=True))
        places = (self.scalars[0].place, self.scalars[1].place, clip, Workspace())
        common = (*places, share, *map(float, numbers), *faults)
        code, values = part_code([KernelPart(self._part())])
        gradients = (self.gradient,) if self.gradient else ()
        return Launch(
            self.name,
            self.emission.kernel("update", _constants(params, rule), code),
            (math.ceil(count / _UPDATED), 1, 1),
            THREADS,
            (*common, *values),
            (*gradients, *(view for one in self.before for view in one.views), *self.scalars),
            tuple(view for one in self.after for view in one.views),
            updates=self.variables,
        )

    def _part(self) -> list[tuple[str, str, Argument]]:
        nowhere, params = Workspace(), self.params
        before = zip_longest(("data", *_HISTORIES), (o.place for o in self.before))
        after = zip_longest(("data", *_HISTORIES), (o.place for o in self.after))
        taps, channels, apart = self._gradient_order()
        return [
            ("const value_t*", "gradient", self.gradient.place if self.gradient else nowhere),
            *(("const value_t*", name, nowhere if p is None else p) for name, p in before),
            *(("value_t*", f"new_{name}", nowhere if p is None else p) for name, p in after),
            ("int", "count", self.before[0].size),
            ("int", "taps", taps),
            ("int", "channels", channels),
            ("int", "apart", apart),
            ("float", "lr_mult", float(params.lr_mult)),
            ("float", "decay", float(params.decay)),
        ]

    def _gradient_order(self) -> tuple[int, int, int]:
        """Pixels of an image of the gradient, channels and their distance from pixel to pixel.

        0 pixels where it lies in the order of the other arrays.
        """
        view = self.gradient
        if view is None or not self.variables:
            return 0, 0, 0
        taps = view.h * view.w
        return (taps, view.c, view.ld) if (taps > 1 or view.ld != view.c) else (0, 0, 0)

    def local_rate(self) -> list[Launch]:
        """The rate of the parameter by its norms, left at the start of the workspace.

        Without a gradient its norm is 0: the parameter stands for it, times 0.
        """
        # The workspace, in doubles: [the rate][squares of the parameter][of the gradient]
        emission, name, params, data = self.emission, self.name, self.params, self.before[0]
        local = params.rule.local
        assert local is not None
        runs = math.ceil(data.size / SQUARED)
        share = float(np.float32(1) / np.float32(params.iter_size)) if self.gradient else 0.0
        clip = self.scalars[2] if params.clipped and self.gradient else None
        own = whole(self.gradient) if self.gradient else data
        steps = [
            squares_launch(emission, name, [data], 1),
            squares_launch(emission, name, [own], 1 + runs, clip, share),
        ]
        memory = doubles(emission, 0, 1 + 2 * runs)
        rate = dense(Workspace(), 1, 1, 1, 1)
        decay = local.decay if local.kind == "lars" else 0.0
        arguments = (
            *(memory.place._replace(offset=double_offset(emission, 1)), runs, runs),
            *(self.scalars[0].place, float(local.ratio), float(decay)),
            *(Workspace(), Workspace(), Workspace()),
        )
        kernel = emission.kernel("norm", norm_constants(local))
        reads = (doubles(emission, 1, 2 * runs), self.scalars[0])
        launch = Launch(name, kernel, (1, 1, 1), THREADS, arguments, reads, (rate,))
        return [replace(s, workspace=DOUBLE * (1 + 2 * runs)) for s in (*steps, launch)]


def _constants(params: UpdateParams, rule: UpdateRule) -> dict[str, Constant]:
    followed = rule.name == "Adam" and rule.amsgrad
    return {
        "MANY": 1,
        "RULE": _FOLLOWED if followed else _RULES.index(_ALIASES.get(rule.name, rule.name)),
        "DECAY": int(params.regularization == "L1"),
        "DECOUPLED": rule.decoupled,
        "REACHED": params.reached,
        "CLIPPED": params.clipped,
        "LOCAL": params.has_local_rate,
    }
