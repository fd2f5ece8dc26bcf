"""What both interfaces need of netc: a net's text and graph, and graphs made ready to run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from netc.backends.base import Options
from netc.backends.registry import backend_options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcWarning, render
from netc.ir.graph import Graph
from netc.passes.pipeline import chosen


def ready(graph: Graph, backend: str, precision: str = "float32") -> CompiledNet:
    """A graph whose parameters have arrays, optimised and ready to run.

    Raises:
        NetcError: the backend cannot be had here, or there is too little memory.
    """
    extra = backend_options(backend, precision, graph=True, tune=True)
    return CompiledNet(graph, backend, Options(chosen(True), False, None, extra, None))


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """Tell warnings as Python's, since neither interface has a place for them."""
    for diagnostic in diagnostics:
        if diagnostic.severity == "warning":
            warnings.warn(render(diagnostic), NetcWarning, stacklevel=4)
