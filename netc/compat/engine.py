"""What both interfaces need of netc: a net's text and graph, and graphs made ready to run."""

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
    """A graph whose parameters have arrays, optimised and ready to run.

    Args:
        graph: its parameters are variables, so that scripts may write to them.
        backend: by its name.
        variables: the places of all graphs of one net.
        precision: of the backend's.

    Raises:
        NetcError: the backend cannot be had here, or there is too little memory.
    """
    own = backend_options(backend, precision)
    options = Options(chosen(True), own=own, variables=variables)
    return CompiledNet(graph, backend, options)


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """Tell warnings as Python's, since neither interface has a place for them."""
    for diagnostic in diagnostics:
        if diagnostic.severity == "warning":
            warnings.warn(render(diagnostic), NetcWarning, stacklevel=4)
