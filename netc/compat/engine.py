"""Shared by both compatibility interfaces: compiling a graph with variables, and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from netc.backends.base import Options
from netc.backends.registry import backend_options
from netc.backends.variables import Variables
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcWarning, render
from netc.ir.graph import Graph
from netc.passes.pipeline import chosen


def ready(
    graph: Graph, backend: str, variables: Variables, precision: str = "float32"
) -> CompiledNet:
    """Compile a graph whose parameters have arrays.

    Args:
        graph: its parameters are variables, so that scripts may write to them.
        backend: the backend's name.
        variables: the variables, shared by all graphs of one net.
        precision: one of the backend's precisions.

    Raises:
        NetcError: the backend is not available here; too-little-memory.
    """
    own = backend_options(backend, precision)
    options = Options(chosen(True), own=own, variables=variables)
    return CompiledNet(graph, backend, options)


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """Issue diagnostics as Python warnings, since neither interface can return them."""
    for diagnostic in diagnostics:
        if diagnostic.severity == "warning":
            warnings.warn(render(diagnostic), NetcWarning, stacklevel=4)
