"""netc on a GPU against PyTorch and ONNX Runtime on the same GPU, interleaved.

    python benchmarks/peers.py --device cuda --nets alexnet resnet50 --batch 1 32 --json FILE

Every net gets the same seeded weights everywhere. Inputs and outputs lie on the device. PyTorch
runs with channels last, in a CUDA graph, as written and through torch.compile; products that a
pass of netc folds into one are folded for it too. ONNX Runtime runs its CUDA provider with bound
buffers. All run one after another, round after round; a round is timed by events; the table gives
medians in milliseconds and netc's ratio to the best peer. A peer that cannot run says why.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import netc
from benchmarks.machine import describe
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends.cuda.devices import current_device
from netc.diagnostics import NetcError
from netc.export.onnx import to_onnx
from netc.ir.graph import Graph
from netc.passes.base import run_passes
from netc.passes.pipeline import BY_NAME

Run = Callable[[], Any]  # starts a forward on the current stream; gives its outputs
CALLS = 10  # between two events
FOLDING = (
    "drop-identities",
    "fold-into-product-before",
    "merge-maps",
    "fold-into-product-after",
)
TOLERANCE = {"float32": 1e-3, "tf32": 2e-2, "fp16": 5e-2}


def main(args: argparse.Namespace, find: Callable[[str, Path], Path]) -> None:
    """Measure every net, batch and precision, and print a table."""
    try:
        current_device()
    except NetcError as error:
        sys.exit(str(error))
    about = machine()
    print(" ".join(f"{k}={v}" for k, v in about.items()))
    print(f"{'net':14} {'batch':>5} {'precision':>9}  netc ms  (peers ms)  netc / best peer")
    results = []
    for name in args.nets:
        for batch in args.batch:
            for precision in args.precision:
                result = measure(find(name, args.folder), batch, precision, args)
                results.append(result)
                print(_line(result), flush=True)
                give_back()
                if args.json:  # written row by row: a machine may be lent for minutes
                    report = {"machine": about, "results": results}
                    Path(args.json).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(_summary(results))


def give_back() -> None:
    """Free the device memory that a row's runtimes have left in their pools."""
    import gc

    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    try:
        import torch
    except ImportError:
        return
    torch.cuda.empty_cache()


def machine() -> dict[str, str]:
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    found = describe("cupy-cuda12x", "cupy-cuda13x", "torch", "onnxruntime-gpu")
    found["device"] = properties["name"].decode()
    found["driver"] = str(cupy.cuda.runtime.driverGetVersion())
    for name in ("torch", "onnxruntime"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            continue
    return found


def measure(path: Path, batch: int, precision: str, args: argparse.Namespace) -> dict[str, Any]:
    """One row: every runtime's median, and how far the answers are apart."""
    plain = netc.compile(path, backend="reference")
    shapes = {name: (batch, *shape[1:]) for name, shape in plain.inputs.items()}
    weights = seeded_weights(netc.compile(path, backend="reference", inputs=shapes).graph)
    graph = netc.compile(path, weights, backend="reference", inputs=shapes).graph
    feeds = seeded_inputs(graph)
    runs: dict[str, Run] = {"netc": own_run(path, weights, shapes, feeds, precision)}
    failed: dict[str, str] = {}
    for name in PEERS if args.peers is None else args.peers:
        try:
            runs[name] = PEERS[name](graph, feeds, precision)
        except Exception as error:  # a peer that is not here or cannot: the others still count
            failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    medians = interleaved(runs, args.seconds)
    peers = {k: v for k, v in medians.items() if k != "netc"}
    best = min(peers, key=lambda k: peers[k], default=None)
    return {
        "net": path.stem,
        "batch": batch,
        "precision": precision,
        "milliseconds": medians,
        "best_peer": best,
        "ratio": medians["netc"] / peers[best] if best else None,
        "disagreement": disagreements(runs, graph, precision),
        "failed": failed,
    }


def own_run(
    path: Path,
    weights: Mapping[str, Any],
    shapes: Mapping[str, Any],
    feeds: Mapping[str, Any],
    precision: str,
) -> Run:
    import cupy

    net = netc.compile(path, weights, backend="cuda", inputs=shapes, precision=precision)
    there = {name: cupy.asarray(array) for name, array in feeds.items()}
    return lambda: net(there)


def folded(graph: Graph) -> Graph:
    """The graph with its per-channel maps folded into products, and nothing fused."""
    return run_passes(graph, [BY_NAME[name] for name in FOLDING if name in BY_NAME])[0]


def _torch_net(graph: Graph, feeds: Mapping[str, Any], precision: str) -> tuple[Any, list[Any]]:
    import torch

    from benchmarks.torch_net import TorchNet

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    kind = torch.float16 if precision == "fp16" else torch.float32
    module = TorchNet(folded(graph)).eval().to("cuda", kind)
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    given = []
    for name in graph.inputs:
        tensor = torch.tensor(feeds[name], device="cuda", dtype=kind)
        image = tensor.dim() == 4
        given.append(tensor.contiguous(memory_format=torch.channels_last) if image else tensor)
    return module, given


def torch_graph(graph: Graph, feeds: Mapping[str, Any], precision: str) -> Run:
    """Eager PyTorch, recorded in a CUDA graph."""
    module, given = _torch_net(graph, feeds, precision)
    return _recorded(module, given)


def torch_compiled(graph: Graph, feeds: Mapping[str, Any], precision: str) -> Run:
    """torch.compile, recorded in a CUDA graph by us, so that it is compared with like."""
    import torch

    module, given = _torch_net(graph, feeds, precision)
    return _recorded(torch.compile(module), given)


def torch_eager(graph: Graph, feeds: Mapping[str, Any], precision: str) -> Run:
    """PyTorch as written."""
    import torch

    module, given = _torch_net(graph, feeds, precision)

    def run() -> Any:
        with torch.inference_mode():
            return module(*given)

    return run


def _recorded(module: Any, given: list[Any]) -> Run:
    import torch

    static = [tensor.clone(memory_format=torch.preserve_format) for tensor in given]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(3):
            module(*static)
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(recorded):
        outputs = module(*static)

    def run() -> Any:
        for target, source in zip(static, given, strict=True):
            target.copy_(source)
        recorded.replay()
        return outputs

    return run


def onnx_runtime(graph: Graph, feeds: Mapping[str, Any], precision: str) -> Run:
    """ONNX Runtime's CUDA provider with inputs and outputs on the device, in a CUDA graph."""
    import onnxruntime

    if precision == "fp16":
        raise NotImplementedError("the model is written in float32")
    options = {
        "use_tf32": "1" if precision == "tf32" else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "enable_cuda_graph": "1",
        "prefer_nhwc": "0",
    }
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_onnx(graph).SerializeToString(),
        settings,
        providers=[("CUDAExecutionProvider", options)],
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("the CUDA provider is not there")
    binding = session.io_binding()
    for name, array in feeds.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0)
        binding.bind_ortvalue_input(name, value)
    values = {}
    for output in session.get_outputs():
        empty = np.zeros(graph.shape(output.name), np.float32)
        values[output.name] = onnxruntime.OrtValue.ortvalue_from_numpy(empty, "cuda", 0)
        binding.bind_ortvalue_output(output.name, values[output.name])

    def run() -> Any:
        session.run_with_iobinding(binding)
        return tuple(values[name].numpy() for name in graph.outputs) if run.reading else None

    run.reading = False  # type: ignore[attr-defined]
    return run


PEERS: Mapping[str, Callable[[Graph, Mapping[str, Any], str], Run]] = {
    "torch": torch_eager,
    "torch-graph": torch_graph,
    "torch-compile": torch_compiled,
    "onnxruntime": onnx_runtime,
}


def interleaved(runs: Mapping[str, Run], seconds: float) -> dict[str, float]:
    """Median milliseconds of a call of each, all running in turn, by events of the device.

    PyTorch's and netc's work is on the default stream. ONNX Runtime has a stream of its own and
    waits for it before it returns; the event after it is later than its work all the same.
    """
    import time

    from cupy.cuda import Event, get_elapsed_time

    for run in runs.values():
        for _ in range(CALLS):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(times["netc"]) < 10:
        for name, run in runs.items():
            first, last = Event(), Event()
            first.record()
            for _ in range(CALLS):
                run()
            last.record()
            last.synchronize()
            times[name].append(get_elapsed_time(first, last) / CALLS)
    return {name: statistics.median(values) for name, values in times.items()}


def _arrays(value: Any, graph: Graph) -> dict[str, Any]:
    """A run's outputs as NumPy arrays by name."""
    values = [value[n] for n in graph.outputs] if isinstance(value, dict) else list(value)
    found = {}
    for name, array in zip(graph.outputs, values, strict=True):
        host = array.detach().float().cpu().numpy() if hasattr(array, "detach") else array
        host = host.get() if hasattr(host, "get") else np.asarray(host)
        found[name] = host.reshape(graph.shape(name))
    return found


def disagreements(runs: Mapping[str, Run], graph: Graph, precision: str) -> dict[str, float]:
    """How far each peer's answers are from netc's, relative to the largest value."""
    own = _arrays(runs["netc"](), graph)
    found = {}
    for name, run in runs.items():
        if name == "netc":
            continue
        if hasattr(run, "reading"):
            run.reading = True
        other = _arrays(run(), graph)
        found[name] = max(
            float(np.abs(own[key] - other[key]).max()) / (float(np.abs(own[key]).max()) or 1.0)
            for key in own
        )
    return found


def _line(result: Mapping[str, Any]) -> str:
    times = result["milliseconds"]
    peers = "  ".join(f"{k} {v:.3f}" for k, v in times.items() if k != "netc")
    ratio = f"{result['ratio']:.2f}" if result["ratio"] else "-"
    worst = max(result["disagreement"].values(), default=0.0)
    differs = worst > TOLERANCE[result["precision"]]
    note = f"  ANSWERS DIFFER by {worst:.1e}" if differs else ""
    lost = "".join(f"\n    {name}: {why}" for name, why in result["failed"].items())
    head = f"{result['net']:14} {result['batch']:5} {result['precision']:>9}"
    return f"{head}  {times['netc']:7.3f}  ({peers})  {ratio}{note}{lost}"


def _summary(results: list[dict[str, Any]]) -> str:
    lines = []
    for key in sorted({(r["batch"], r["precision"]) for r in results}):
        ratios = [r["ratio"] for r in results if (r["batch"], r["precision"]) == key and r["ratio"]]
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            lines.append(
                f"batch {key[0]}, {key[1]}: geometric mean of the ratios {mean:.2f}, "
                f"worst {max(ratios):.2f}"
            )
    return "\n".join(lines) or "no peer is installed: pip install torch onnxruntime-gpu"
