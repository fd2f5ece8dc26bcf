"""Freezing parameters by patterns of layer names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Graph


def frozen_parameters(graph: Graph, patterns: Sequence[str]) -> tuple[str, ...]:
    """The names of the parameters that match a pattern.

    Args:
        graph: the net.
        patterns: such as "conv1", "conv[1-3]*", or "fc7/1" for one parameter of a layer; shell
            wildcards, case-sensitive. A shared parameter is frozen if any of its layers matches.

    Raises:
        NetcError: unknown-layer, for a pattern that names no layer with parameters.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        named = [
            graph.parameters[name].owner or name
            for node in graph.nodes
            for index, name in enumerate(node.parameters)
            if fnmatchcase(node.name, pattern) or fnmatchcase(f"{node.name}/{index}", pattern)
        ]
        if not named:
            layers = [node.name for node in graph.nodes if node.parameters]
            message = f"no layer with parameters is called `{pattern}`"
            raise NetcError(
                Diagnostic("unknown-layer", message, help=did_you_mean(pattern, layers))
            )
        found.update(dict.fromkeys(named))
    return tuple(found)


def nothing_learns(graph: Graph, frozen: Sequence[str]) -> tuple[Diagnostic, ...]:
    """A warning where every parameter is frozen; else nothing."""
    owned = [p for p in graph.parameters.values() if p.owner is None]
    if any(p.lr_mult and p.name not in frozen for p in owned):
        return ()
    message = f"nothing learns: {len(owned)} parameters are frozen or have `lr_mult` 0"
    return (Diagnostic("nothing-learns", message, severity="warning"),)
