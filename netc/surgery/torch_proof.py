"""A written PyTorch module run beside the graph that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.backends.reference import run
from netc.diagnostics import Diagnostic, NetcError
from netc.export.torch import TorchModule
from netc.ir.graph import Array, Graph
from netc.surgery.proof import Error, departure, error_of


def torch_errors(graph: Graph, module: TorchModule, tolerance: float) -> tuple[Error, ...] | None:
    """How far the module's outputs are from the graph's; None where PyTorch is not installed.

    The text that is run is netc's own: nothing of a net is in it but numbers and names that were
    made fit for Python.

    Raises:
        NetcError: not-equal, an output is beyond the tolerance.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        return None
    feeds = drawn_inputs(graph, seed=1)
    wanted = run(graph, feeds)
    found = run_module(module, {graph.values[name].blob: feeds[name] for name in graph.inputs})
    errors = tuple(
        error_of(name, wanted[name], array.reshape(wanted[name].shape))
        for name, array in zip(module.outputs, found, strict=True)
    )
    worst = departure(errors, tolerance)
    if worst is not None:
        raise NetcError(
            Diagnostic(
                "not-equal",
                f"PyTorch gives other numbers for blob `{worst.blob}`: they differ by "
                f"{worst.largest:.3g}, {worst.relative:.2g} of its largest number",
                help=("nothing was written; please report the net",),
            )
        )
    return errors


def run_module(module: TorchModule, feeds: Mapping[str, Array]) -> list[Array]:
    """What a module gives for inputs by blob."""
    import torch

    names: dict[str, Any] = {"__name__": "net", "__file__": "net.py"}
    exec(compile(module.text, "net.py", "exec"), names)
    net = names["Net"]()
    state = {name: torch.from_numpy(array.copy()) for name, array in module.arrays.items()}
    net.load_state_dict(state, strict=False)
    net.eval()
    given = [torch.from_numpy(np.array(feeds[blob])) for blob in module.inputs]
    with torch.no_grad():
        found = net(*given)
    outputs = found if isinstance(found, tuple) else (found,)
    return [output.numpy() for output in outputs]
