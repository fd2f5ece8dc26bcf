"""A third backend, to show what one is: ``pytest -p tests.backends.toy --backend toy``.

It runs the passes and then the definitions. Nothing else in netc knows of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.backends.base import BackendOptions, Executable, Options
from netc.backends.reference import ReferenceBackend
from netc.backends.registry import BACKENDS
from netc.ir.graph import Graph
from netc.passes.base import run_passes


class ToyBackend:
    """The definitions of the graph after its passes."""

    options = BackendOptions
    precisions = ("float32",)
    on_host = True

    def convert_input(self, value: Any) -> Any:
        return np.asarray(value)

    def memory_plan(self, graph: Graph) -> None:
        return None

    def prepare(self, graph: Graph, options: Options) -> Executable:
        return ReferenceBackend().prepare(run_passes(graph, options.passes)[0], options)


BACKENDS["toy"] = ToyBackend  # type: ignore[index] - a dict, which netc itself only reads
