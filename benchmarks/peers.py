"""netc against the runtimes people would pick instead, on the same nets, interleaved.

    python benchmarks/peers.py --nets alexnet googlenet --batch 1 --threads 1 2

Every net gets the same seeded random weights everywhere; peers get it through netc's ONNX writer.
All runtimes run one after another, round after round, so that a noisy machine is noisy for each of
them, in an order that changes from round to round, since threads of one may still spin while the
next one starts. Their answers are compared; the table gives medians and netc's ratio to the best
peer.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.export.onnx import to_onnx

NETS = (
    "alexnet", "googlenet", "squeezenet11", "vgg16", "resnet50", "mobilenet", "densenet121",
    "inceptionv3",
)  # fmt: skip
Run = Callable[[], Mapping[str, Any]]
SECONDS = 4.0  # for each runtime of a row


def main() -> None:
    args = _arguments()
    if args.device == "cuda":
        from benchmarks import cuda_peers

        cuda_peers.main(args, _find)
        return
    _head()
    results = []
    for name in args.nets:
        for batch in args.batch:
            for threads in args.threads:
                result = measure(_find(name, args.folder), batch, threads, args)
                results.append(result)
                print(_line(result), flush=True)
    print(_summary(results))
    if args.json:
        report = {"machine": machine(), "results": results}
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "nets"
    parser.add_argument("--nets", nargs="+", default=list(NETS), help="names or paths")
    parser.add_argument("--folder", type=Path, default=default, help="where names are looked up")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--seconds", type=float, help="for each runtime of a row; default: 4, half a second on cuda"
    )
    parser.add_argument(
        "--limit", type=int, default=300, help="seconds that a runtime may take to be made, on cuda"
    )
    parser.add_argument("--peers", nargs="*", help="names; default: all that are installed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        choices=("float32", "tf32", "fp16"),
        help="of a GPU's products",
    )
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def _head() -> None:
    print(" ".join(f"{k}={v}" for k, v in machine().items()))
    print(f"{'net':14} {'batch':>5} {'threads':>7}  netc ms  (peers ms)  netc / best peer")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    pass


def machine() -> dict[str, str]:
    return describe("numba", "onnxruntime", "openvino", "opencv-python-headless")


def _find(name: str, folder: Path) -> Path:
    path = Path(name)
    if path.suffix == ".prototxt" or path.is_file():
        return path
    bundled = Path(__file__).resolve().parent.parent / "prototxt" / f"{name}.prototxt"
    return bundled if bundled.exists() else folder / f"{name}.prototxt"


def measure(path: Path, batch: int, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """One row: every runtime's median, and whether the answers agree."""
    plain = netc.compile(path, backend="reference")
    shapes = {name: (batch, *shape[1:]) for name, shape in plain.inputs.items()}
    plain = netc.compile(path, backend="reference", inputs=shapes)
    weights = seeded_weights(plain.graph)
    own = netc.compile(path, weights, inputs=shapes, threads=threads)
    feeds = seeded_inputs(own.graph)
    model = to_onnx(netc.compile(path, weights, backend="reference", inputs=shapes).graph)
    runs: dict[str, Run] = {"netc": lambda: own(feeds)}
    for name in PEERS if args.peers is None else args.peers:
        peer = PEERS[name](model, feeds, threads)
        if peer is not None:
            runs[name] = peer
    errors = _disagreements(runs)
    medians = _interleaved(runs, args.seconds or SECONDS)
    peers = {k: v for k, v in medians.items() if k != "netc"}
    best = min(peers, key=lambda k: peers[k], default=None)
    return {
        "net": path.stem,
        "batch": batch,
        "threads": threads,
        "milliseconds": medians,
        "best_peer": best,
        "ratio": medians["netc"] / peers[best] if best else None,
        "disagreement": errors,
    }


def _disagreements(runs: Mapping[str, Run]) -> dict[str, float]:
    """How far each peer's answers are from netc's, relative to the largest value."""
    own = runs["netc"]()
    found = {}
    for name, run in runs.items():
        if name == "netc":
            continue
        other = run()
        worst = 0.0
        for key, value in own.items():
            scale = float(np.abs(value).max()) or 1.0
            theirs = np.asarray(other[key]).reshape(value.shape)
            worst = max(worst, float(np.abs(value - theirs).max()) / scale)
        found[name] = worst
    return found


def _interleaved(runs: Mapping[str, Run], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, all running in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, chance = list(runs.items()), random.Random(0)
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(times["netc"]) < 5:
        chance.shuffle(order)
        for name, run in order:
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def onnx_runtime(model: Any, feeds: Mapping[str, Any], threads: int) -> Run | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its threads spin on for tens of milliseconds after a run, which would slow whoever runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda: dict(zip(names, session.run(None, dict(feeds)), strict=True))


def openvino(model: Any, feeds: Mapping[str, Any], threads: int) -> Run | None:
    try:
        import openvino as ov
    except ImportError:
        return None
    core = ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        file.write_bytes(model.SerializeToString())
        # Without the hint it computes in bfloat16 where the processor can: another precision.
        compiled = core.compile_model(
            core.read_model(file),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
    request = compiled.create_infer_request()
    names = [output.name for output in model.graph.output]

    def run() -> Mapping[str, Any]:
        request.infer(dict(feeds))
        return {name: request.get_tensor(name).data for name in names}

    return run


def opencv(model: Any, feeds: Mapping[str, Any], threads: int) -> Run | None:
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    names = [output.name for output in model.graph.output]

    def run() -> Mapping[str, Any]:
        cv2.setNumThreads(threads)
        for name, value in feeds.items():
            net.setInput(value, name)
        return dict(zip(names, net.forward(names), strict=True))

    return run


PEERS: Mapping[str, Callable[[Any, Mapping[str, Any], int], Run | None]] = {
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "opencv": opencv,
}


def _line(result: Mapping[str, Any]) -> str:
    times = result["milliseconds"]
    peers = "  ".join(f"{k} {v:.1f}" for k, v in times.items() if k != "netc")
    ratio = f"{result['ratio']:.2f}" if result["ratio"] else "-"
    differ = {k: v for k, v in result["disagreement"].items() if v > 1e-3}
    note = "".join(f"  {k}'s answer differs by {v:.1e}" for k, v in differ.items())
    head = f"{result['net']:14} {result['batch']:5} {result['threads']:7}"
    return f"{head}  {times['netc']:7.1f}  ({peers})  {ratio}{note}"


def _summary(results: list[dict[str, Any]]) -> str:
    ratios = [r["ratio"] for r in results if r["ratio"]]
    if not ratios:
        return "no peer is installed: pip install onnxruntime openvino 'opencv-python-headless<5'"
    mean = float(np.exp(np.mean(np.log(ratios))))
    return f"geometric mean of the ratios {mean:.2f}, worst {max(ratios):.2f}"


if __name__ == "__main__":
    main()
