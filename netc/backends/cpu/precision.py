"""What a program's products are computed in, for reports."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from netc.backends.base import Report
from netc.backends.cpu.emit.emission import EmitContext
from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.program import Program, Step
from netc.diagnostics import Diagnostic, NetcWarning, render
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import has_role
from netc.ops.reduced import Number, ReducedParams
from netc.ops.role import Role
from netc.passes.epilogue import stages_of
from netc.plan.storage import BYTES


def precision_report(graph: Graph, context: EmitContext, program: Program) -> Report:
    """Bytes of weights as they are read, and which layers are computed in what.

    Args:
        graph: before passes, whose weights count.
        context: with the graph after passes.
        program: made of it.
    """
    own = [p for p in graph.parameters.values() if p.owner is None]
    total = BYTES * sum(count(p.shape or ()) for p in own)
    reduced = {node.name: _number(node) for node in context.graph.nodes if _is_reduced(node)}
    if reduced:
        return _reduced(context, total, reduced)
    if not context.half:
        return {"precision": "float32", "weights_bytes": total}
    return _half(context, program, total)


def warn_if_slow(context: EmitContext) -> None:
    """Warn where the machine has no instructions for what a graph's products are computed in."""
    names = sorted({_number(node).name for node in context.graph.nodes if _is_reduced(node)})
    slow = [name for name in names if not has_products(context.target, name)]
    if slow:
        message = f"this machine has no instructions for {slow[0]}: it computes so, and slower"
        help = (f"{_NEEDS[slow[0]]}; leave `precision` out to compute in float32",)
        diagnostic = Diagnostic("emulated-precision", message, severity="warning", help=help)
        warnings.warn(render(diagnostic), NetcWarning, stacklevel=2)


_NEEDS = {"bf16": "AVX512-BF16 is needed", "int8": "AVX512-VNNI or AVX-VNNI is needed"}


def _half(context: EmitContext, program: Program, total: int) -> Report:
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


def _is_reduced(node: Node) -> bool:
    return has_role(stages_of(node)[0].op, Role.REDUCED_PRODUCT)


def _number(node: Node) -> Number:
    params: ReducedParams = stages_of(node)[0].params
    return params.number


def _reduced(context: EmitContext, total: int, numbers: Mapping[str, Number]) -> Report:
    graph = context.graph
    saved = {
        node.parameters[0]: BYTES * count(graph.parameters[node.parameters[0]].shape or ())
        * (number.per_word - 1) // number.per_word
        for node in graph.nodes
        if (number := numbers.get(node.name)) is not None
    }  # fmt: skip
    name = next(iter(numbers.values())).name
    products = Role.CONVOLUTION | Role.INNER_PRODUCT
    plain = [n.name for n in graph.nodes if has_role(stages_of(n)[0].op, products)]
    return {
        "precision": name,
        "weights_bytes": total - sum(saved.values()),
        "reduced_layers": list(numbers),
        "float32_layers": plain,
        "instructions": has_products(context.target, name),
    }
