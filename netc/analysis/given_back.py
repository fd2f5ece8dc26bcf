"""Nets without outputs, all of whose blobs some layer reads."""

from __future__ import annotations

from netc.diagnostics import Diagnostic
from netc.ir.graph import Graph
from netc.ops.catalog import has_role
from netc.ops.role import Role


def nothing_back(graph: Graph) -> tuple[Diagnostic, ...]:
    """The warning no-outputs, where layers without tops read all that a net computes; else nothing.

    In colorization_deploy_v2 of richzhang/colorization a Silence layer reads the last blob.
    """
    computed = {name for node in graph.nodes for name in node.outputs}
    enders = [node for node in graph.nodes if has_role(node.op, Role.SINK)]
    last = [name for node in enders for name in node.inputs if name in computed]
    if graph.outputs or not last:
        return ()
    shown = " and ".join(f"`{name}`" for name in list(dict.fromkeys(last))[:_SHOWN])
    found = Diagnostic(
        "no-outputs",
        f"the net gives nothing back: a layer reads each of its blobs, the last of them {shown} by "
        f"layer `{enders[-1].name}` ({enders[-1].op})",
        enders[-1].span,
        "warning",
        help=(f"ask for it: `--output {last[-1]}`, or outputs=({last[-1]!r},) in compile()",),
    )
    return (found,)


_SHOWN = 5
