"""Which passes compute a graph in the precision that is asked for, on backends of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netc.backends.base import BackendOptions, ExecutableReport, Options
from netc.backends.cpu import jit
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.reduced import Bfloat16, Number, ReducedParams
from netc.ops.role import Role
from netc.passes.base import Applied, Pass
from netc.passes.epilogue import stages_of
from netc.passes.pipeline import with_bounds
from netc.passes.reduce import (
    REDUCTIONS,
    Objection,
    left_in_float32,
    no_objection,
    reduction,
    with_reduction,
)

if TYPE_CHECKING:
    from netc.backends.cpu.machine import Machine


def passes_for(options: Options, target: Machine | None = None) -> tuple[Pass, ...]:
    """A run's passes, with the one that makes products those of the precision.

    Every backend of the host computes the same layers in fewer bits: those of a record of int8, and
    in bfloat16 all that the machine does faster so.

    Args:
        options: passes and precision.
        target: the machine that is compiled for; None for this one.
    """
    own, bounded = options.own_as(BackendOptions), with_bounds(options.passes)
    if own.precision == "bf16":
        against = no_objection if options.exact else _objection(target)
        return with_reduction(bounded, reduction("bf16", lambda node: Bfloat16(), against))
    if own.precision == "int8":
        return with_reduction(bounded, reduction("int8", lambda node: own.layers.get(node.name)))
    return bounded


def _objection(target: Machine | None) -> Objection:
    """What a machine does faster in float32; nothing where kernels cannot be compiled."""
    if not jit.available():
        return no_objection
    from netc.backends.cpu.faster import why_float32
    from netc.backends.cpu.machine import machine

    own = target or machine()
    return lambda graph, node, number: why_float32(graph, node, number, own)


def check_reduced(graph: Graph, own: BackendOptions) -> None:
    """Check that a record of int8 fits a graph after its passes.

    Raises:
        NetcError: quantization-mismatch.
    """
    if own.precision != "int8" or not own.layers:
        return
    if not any(number_of(node) for node in graph.nodes):
        name = next(iter(own.layers))
        message = f"the weights have layers in int8, such as `{name}`, and the net has none of them"
        help = ("quantize this net: `netc quantize NET W --calibrate ...`",)
        raise NetcError(Diagnostic("quantization-mismatch", message, help=help))


def number_of(node: Node) -> Number | None:
    """What a node's product is computed in; None for float32, and of other nodes."""
    first = stages_of(node)[0]
    if not has_role(first.op, Role.REDUCED_PRODUCT):
        return None
    number = first.params_as(ReducedParams).number
    return number


def reduced_report(graph: Graph, applied: Sequence[Applied]) -> ExecutableReport:
    """What is computed in fewer bits, and what is not and why; empty if all is to be float32.

    Args:
        graph: after passes.
        applied: what they did.
    """
    name = next((item.name for item in applied if item.name in REDUCTIONS), None)
    if name is None:
        return {}
    return {
        "precision": name,
        "reduced_layers": [node.name for node in graph.nodes if number_of(node)],
        "float32_layers": left_in_float32(applied, name),
    }
