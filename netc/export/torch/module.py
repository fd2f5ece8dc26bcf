"""The text of a module, and the arrays that it loads."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, NetcError
from netc.export.torch.helpers import HELPERS
from netc.export.torch.rules import RULES, affine
from netc.export.torch.writer import TorchLayer, TorchWriter
from netc.ir.graph import Array, Graph
from netc.ir.types import show
from netc.version import __version__

_LOAD = '''

def load(weights=Path(__file__).with_suffix(".npz")):
    """The net with its weights, for inference."""
    net = Net()
    with np.load(weights) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    missing, unexpected = net.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"missing: {missing}, not in the net: {unexpected}")
    return net.eval()
'''


class TorchModule(NamedTuple):
    """A module's text and state.

    Attributes:
        text: the file, which defines ``Net`` and ``load``.
        arrays: state_dict key -> float32 array.
        inputs: input blob -> the name of ``forward``'s argument.
        outputs: the values that ``forward`` gives, one alone or several as a tuple.
    """

    text: str
    arrays: dict[str, Array]
    inputs: dict[str, str]
    outputs: tuple[str, ...]


def to_torch(graph: Graph) -> TorchModule:
    """Convert a graph to a PyTorch module for inference, for any batch size where the net allows.

    Args:
        graph: with shapes and arrays, before any pass.

    Raises:
        NetcError: not-torch, with every layer that cannot be expressed.
    """
    writer, found = TorchWriter(graph), Collector()
    inputs = {graph.values[name].blob: writer.value(name) for name in graph.inputs}
    for node in graph.nodes:
        layer = TorchLayer(writer, node)
        with found.catching():
            RULES.get(node.op, affine)(layer)
    found.check()
    if not graph.outputs:
        message = "the net gives nothing back, and a module has to"
        raise NetcError(Diagnostic("not-torch", message))
    text = _text(writer, tuple(inputs.values()))
    return TorchModule(text, writer.arrays, inputs, graph.outputs)


def _text(writer: TorchWriter, inputs: tuple[str, ...]) -> str:
    graph = writer.graph
    doc = _plain(f"{graph.name or 'A net'}, written by netc {__version__}.")
    shapes = [f"{writer.value(n)}: {show(graph.shape(n))}" for n in (*graph.inputs, *graph.outputs)]
    lines = [f'"""{doc}"""', "", "from pathlib import Path", "", "import numpy as np"]
    lines += [
        "import torch",
        "from torch import nn",
        "from torch.nn import functional as F",
        "",
        "",
    ]
    head = "\n".join(lines) + "\n"
    body = [f"{text}\n\n" for name, text in HELPERS.items() if name in writer.helpers]
    body += ["class Net(nn.Module):\n", f'    """{doc}\n\n']
    body += [f"    {line}\n" for line in shapes] + ['    """\n\n']
    body += ["    def __init__(self):\n        super().__init__()\n"]
    body += [f"        self.{name} = {made}\n" for name, made in writer.modules.items()]
    body += [f"\n    def forward(self, {', '.join(inputs)}):\n"]
    body += [f"        {line}\n" for line in writer.lines]
    body += [f"        return {', '.join(writer.value(name) for name in graph.outputs)}\n"]
    return head + "".join(body) + _LOAD


def _plain(text: str) -> str:
    """A text that is fit for a docstring, whatever a net is called."""
    kept = (c if c.isprintable() and c not in '"\\' else "_" for c in text)
    return "".join(kept)
