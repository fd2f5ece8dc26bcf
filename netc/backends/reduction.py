"""Which passes compute a graph in the precision that is asked for, on backends of the host."""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends.base import BackendOptions
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.passes.base import Pass
from netc.passes.epilogue import stages_of
from netc.passes.pipeline import with_bounds
from netc.passes.reduce import REDUCE_TO_BFLOAT16, reduction, with_reduction


def passes_for(passes: Sequence[Pass], own: BackendOptions) -> tuple[Pass, ...]:
    """Passes, with the one that makes products those of the precision."""
    bounded = with_bounds(passes)
    if own.precision == "bf16":
        return with_reduction(bounded, REDUCE_TO_BFLOAT16)
    if own.precision == "int8":
        return with_reduction(bounded, reduction("int8", lambda node: own.layers.get(node.name)))
    return bounded


def check_reduced(graph: Graph, own: BackendOptions) -> None:
    """Check that a record of int8 fits a graph after its passes.

    Raises:
        NetcError: quantization-mismatch.
    """
    if own.precision != "int8" or not own.layers:
        return
    if not any(has_role(stages_of(node)[0].op, Role.REDUCED_PRODUCT) for node in graph.nodes):
        name = next(iter(own.layers))
        message = f"the weights have layers in int8, such as `{name}`, and the net has none of them"
        help = ("quantize this net: `netc quantize NET W --calibrate ...`",)
        raise NetcError(Diagnostic("quantization-mismatch", message, help=help))
