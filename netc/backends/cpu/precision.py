"""What a program's products are computed in, for reports."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from netc.backends.base import ExecutableReport
from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.program import Program, Step
from netc.backends.reduction import number_of, reduced_report
from netc.diagnostics import Diagnostic, NetcWarning, render
from netc.ir.graph import Graph
from netc.ir.types import count
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.passes.base import Applied
from netc.passes.epilogue import stages_of
from netc.plan.storage import BYTES


def precision_report(
    graph: Graph, context: EmitContext, program: Program, applied: Sequence[Applied]
) -> ExecutableReport:
    """Bytes of weights as they are read, and which layers are computed in what.

    Args:
        graph: before passes, whose weights count.
        context: with the graph after passes.
        program: made of it.
        applied: what the passes did.
    """
    own = [p for p in graph.parameters.values() if p.owner is None]
    total = BYTES * sum(count(p.shape or ()) for p in own)
    reduced = reduced_report(context.graph, applied)
    if reduced:
        reduced["weights_bytes"] = total - _saved(context.graph)
        reduced["instructions"] = has_products(context.target, reduced["precision"])
        return reduced
    if not context.half:
        return {"precision": "float32", "weights_bytes": total}
    return _half(context, program, total)


def warn_if_slow(context: EmitContext, who: str = "this machine") -> None:
    """Warn where the machine has no instructions for what a graph's products are computed in.

    Args:
        context: with the machine.
        who: names it.
    """
    names = sorted({number.name for node in context.graph.nodes if (number := number_of(node))})
    slow = [name for name in names if not has_products(context.target, name)]
    if slow:
        message = f"{who} has no instructions for {slow[0]}: it computes so, and slower"
        help = (f"{_NEEDS[slow[0]]}; leave `precision` out to compute in float32",)
        diagnostic = Diagnostic("emulated-precision", message, severity="warning", help=help)
        warnings.warn(render(diagnostic), NetcWarning, stacklevel=2)


_NEEDS = {"bf16": "AVX512-BF16 is needed", "int8": "AVX512-VNNI or AVX-VNNI is needed"}


def _half(context: EmitContext, program: Program, total: int) -> ExecutableReport:
    halved = _halved(program)
    nodes = [n for n in context.graph.nodes if has_role(stages_of(n)[0].op, Role.INNER_PRODUCT)]
    weights = {n.name: context.graph.parameters[n.parameters[0]] for n in nodes}
    saved = {(p.owner or p.name): halved.get(name, 0) for name, p in weights.items()}
    return {
        "precision": "fp16",
        "weights_bytes": total - sum(saved.values()),
        "float16_weights": [name for name in weights if name in halved],
        "float32_weights": [name for name in weights if name not in halved],
    }


def _halved(program: Program) -> dict[str, int]:
    """The steps that read weights as float16, by name, and how many bytes each saves by it."""
    return {
        step.name: argument.nbytes
        for step in program.steps
        if isinstance(step, Step)
        for argument in step.args
        if isinstance(argument, np.ndarray) and argument.dtype == np.float16
    }


def _saved(graph: Graph) -> int:
    """Bytes of weights that are not read since they are in fewer bits."""
    saved = {
        node.parameters[0]: BYTES * count(graph.parameters[node.parameters[0]].shape or ())
        * (number.per_word - 1) // number.per_word
        for node in graph.nodes
        if (number := number_of(node)) is not None
    }  # fmt: skip
    return sum(saved.values())
