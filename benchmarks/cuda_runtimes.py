"""What benchmarks/cuda_peers.py compares: netc, PyTorch in several ways, and ONNX Runtime on a GPU.

Each is made for a graph and its inputs, and gives a function that starts a forward on the default
stream, CuPy's and PyTorch's, and returns what the outputs will be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import netc
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph
from netc.passes.base import run_passes
from netc.passes.pipeline import BY_NAME

Run = Callable[[], Any]  # starts a forward on the current stream; gives its outputs
FOLDING = (
    "drop-identities",
    "fold-into-product-before",
    "merge-maps",
    "fold-into-product-after",
)
WARM = 3  # calls before a recording: libraries choose algorithms, and make their workspaces


class Case(NamedTuple):
    """A row of the table.

    Args:
        graph: the net with its weights, for the batch.
        feeds: its inputs, float32, on the host.
        precision: float32, tf32 or fp16.
    """

    graph: Graph
    feeds: Mapping[str, Any]
    precision: str


def own(path: Path, weights: Mapping[str, Any], case: Case) -> Run:
    """netc; compiling it measures the ways of its products where they are not known yet."""
    import cupy

    shapes = {name: case.graph.shape(name) for name in case.graph.inputs}
    net = netc.compile(path, weights, backend="cuda", inputs=shapes, precision=case.precision)
    there = {name: cupy.asarray(array) for name, array in case.feeds.items()}
    return lambda: net(there)


def folded(graph: Graph) -> Graph:
    """The graph with its per-channel maps folded into products, and nothing fused."""
    return run_passes(graph, [BY_NAME[name] for name in FOLDING if name in BY_NAME])[0]


def torch_module(case: Case, *, last: bool = True, device: str = "cuda") -> tuple[Any, list[Any]]:
    """The net as a module of PyTorch, and its inputs.

    Args:
        case: what to run.
        last: channels last, else first.
        device: where; the tests have ``cpu``.
    """
    import torch

    from benchmarks.torch_net import TorchNet

    torch.backends.cuda.matmul.allow_tf32 = case.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = case.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    kind = torch.float16 if case.precision == "fp16" else torch.float32
    module = TorchNet(folded(case.graph)).eval().to(device, kind)
    order = torch.channels_last if last else torch.contiguous_format

    def placed(tensor: Any) -> Any:
        return tensor.contiguous(memory_format=order) if tensor.dim() == 4 else tensor

    for parameter in module.parameters():
        parameter.data = placed(parameter.data)
    given = [torch.tensor(case.feeds[n], device=device, dtype=kind) for n in case.graph.inputs]
    return module, [placed(tensor) for tensor in given]


def torch_eager(case: Case) -> Run:
    """PyTorch as written."""
    import torch

    module, given = torch_module(case)

    def run() -> Any:
        with torch.inference_mode():
            return module(*given)

    return run


def torch_graph(case: Case) -> Run:
    """PyTorch as written, recorded in a CUDA graph."""
    return recorded(*torch_module(case))


def torch_graph_first(case: Case) -> Run:
    """The same with channels first, which cuDNN prefers for some layers in float32."""
    return recorded(*torch_module(case, last=False))


def torch_compiled(case: Case) -> Run:
    """torch.compile, recorded in a CUDA graph by us, so that it is compared with like."""
    import torch

    # One function's code is compiled for a few nets only; after that it would run as written.
    torch._dynamo.reset()
    module, given = torch_module(case)
    return recorded(torch.compile(module, dynamic=False), given)


def recorded(module: Any, given: list[Any]) -> Run:
    """A module recorded in a CUDA graph; a call copies the inputs to where that reads them."""
    import torch

    static = [tensor.clone(memory_format=torch.preserve_format) for tensor in given]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(WARM):
            module(*static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        outputs = module(*static)

    def run() -> Any:
        for target, source in zip(static, given, strict=True):
            target.copy_(source)
        graph.replay()
        return outputs

    return run


def onnx_runtime(case: Case) -> Run:
    """ONNX Runtime's CUDA provider in a CUDA graph, inputs and outputs on the device."""
    if case.precision == "fp16":
        raise NotImplementedError("the model is written in float32")
    import cupy

    # A stream that waits for the default one and is waited for by it, so that events of that count.
    stream = cupy.cuda.Stream(non_blocking=False)
    options = {
        "use_tf32": "1" if case.precision == "tf32" else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "enable_cuda_graph": "1",
    }
    try:
        return bound(case, "cuda", {**options, "user_compute_stream": str(stream.ptr)}, stream)
    except Exception:  # a version that does not take both: its own stream, waited for at each call
        return bound(case, "cuda", options)


def bound(case: Case, device: str, options: Mapping[str, str], keep: Any = None) -> Run:
    """ONNX Runtime with bound inputs and outputs, warmed up.

    Args:
        case: what to run.
        device: ``cuda`` or ``cpu``.
        options: the provider's.
        keep: a stream of ours that it uses; a call does not wait for it then.
    """
    import onnxruntime

    provider = f"{device.upper()}ExecutionProvider"
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_onnx(case.graph).SerializeToString(), settings, providers=[(provider, dict(options))]
    )
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"the {device} provider is not there")
    binding = session.io_binding()
    for name, array in case.feeds.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)
        binding.bind_ortvalue_input(name, value)
    values = []
    for name in case.graph.outputs:
        empty = np.zeros(case.graph.shape(name), np.float32)
        values.append(onnxruntime.OrtValue.ortvalue_from_numpy(empty, device, 0))
        binding.bind_ortvalue_output(name, values[-1])
    how = onnxruntime.RunOptions()
    if keep is not None:
        how.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(kept: Any = keep) -> Any:
        session.run_with_iobinding(binding, how)
        return values

    for _ in range(WARM):
        run()
    return run


PEERS: Mapping[str, Callable[[Case], Run]] = {
    "torch-graph": torch_graph,
    "torch-graph-nchw": torch_graph_first,
    "torch-compile": torch_compiled,
    "torch": torch_eager,
    "onnxruntime": onnx_runtime,
}


def host_arrays(value: Any, graph: Graph) -> dict[str, Any]:
    """A run's outputs by name, as NumPy arrays of the graph's shapes in float64."""
    values = [value[n] for n in graph.outputs] if isinstance(value, Mapping) else list(value)
    found = {}
    for name, array in zip(graph.outputs, values, strict=True):
        if hasattr(array, "detach"):  # PyTorch's
            array = array.detach().float().cpu().numpy()
        elif hasattr(array, "numpy"):  # ONNX Runtime's
            array = array.numpy()
        elif hasattr(array, "get"):  # CuPy's
            array = array.get()
        found[name] = np.asarray(array, np.float64).reshape(graph.shape(name))
    return found


def disagreement(own: Mapping[str, Any], other: Mapping[str, Any], precision: str) -> float:
    """How far answers are apart, of the largest value; infinite where one is no number.

    Of probabilities, logarithms are compared: random nets are so sure of a class that all else is
    next to nothing.
    """
    worst = 0.0
    for name, mine in own.items():
        theirs = other[name]
        if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
            return float("inf")
        if mine.min(initial=0) >= 0 and mine.max(initial=0) <= 1.001:
            least = 1e-3 if precision == "fp16" else 1e-30
            seen = (mine > least) & (theirs > least)
            differ = (mine > 10 * least) & ~seen | (theirs > 10 * least) & ~seen
            if differ.any():
                return float("inf")
            mine, theirs = np.log(mine[seen]), np.log(theirs[seen])
        scale = max(float(np.abs(mine).max(initial=0)), 0.1)
        worst = max(worst, float(np.abs(mine - theirs).max(initial=0)) / scale)
    return worst
