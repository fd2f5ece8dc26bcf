"""netc in float32, bfloat16 and int8 beside runtimes in the same: time and agreement, interleaved.

    python benchmarks/quantised.py --nets resnet50 vgg16 --threads 1 --json out.json

Every net gets the same seeded random weights everywhere, and every quantiser the same random
inputs to calibrate with. Times are medians of one batch, all runtimes in turn, in an order that
changes from round to round. Each one's answers are held to netc's float32 on inputs that nobody
calibrated with: the share whose best class is the same, and the norm of the difference over that of
the answers.

ONNX Runtime runs the model that its static quantiser makes (QDQ, a scale for each output). OpenVINO
runs what nncf makes where that is installed, else ONNX Runtime's model. MNN keeps weights in 8 bits
and rounds inputs as it runs; "mnn low" is whatever it takes for low precision. What cannot is told.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.cpu_runtimes import Run
from benchmarks.machine import describe
from benchmarks.nets import BUNDLED, find, folder_of
from benchmarks.peers import _first_line, _interleaved
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.cli.main import main as netc_main
from netc.export.onnx import to_onnx

SECONDS = 4.0  # for each runtime
CALIBRATION, JUDGED = 16, 16  # inputs

Feeds = Mapping[str, Any]
# A net, and what gives a runtime's answers to any inputs: (name -> array) -> (name -> array).
Answer = Callable[[Feeds], Mapping[str, Any]]


def main() -> None:
    args = _arguments()
    told = describe("numba", "onnxruntime", "openvino", "nncf", "MNN")
    print(" ".join(f"{k}={v}" for k, v in told.items()))
    results = []
    for name in args.nets:
        for threads in args.threads:
            with tempfile.TemporaryDirectory(prefix="netc-quantised-") as folder:
                own = Path(folder) if args.keep is None else args.keep / name
                own.mkdir(parents=True, exist_ok=True)
                result = measure(name, threads, args, own)
            results.append(result)
            print("\n".join(_lines(result)), flush=True)
    if args.json:
        report = {"machine": told, "results": results}
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=["resnet50", "vgg16"])
    parser.add_argument("--folder", type=Path, default=folder_of(None), help="of definitions")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each runtime of a net")
    parser.add_argument("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="of quantised models, made once: a run before"
        " the one that counts may make them"
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def _net(name: str, folder: Path | None) -> tuple[Path, dict[str, str]]:
    """A net's text, and what is defined: ResNet-50 is one of three in a file of prototxt/."""
    known = folder is not None and any((folder / f"{name}{s}").is_file() for s in _SUFFIXES)
    if name == "resnet50" and not known:
        return BUNDLED / "resnet152.netc", {"depth": "50"}
    return find(name, folder), {}


_SUFFIXES = (".prototxt", ".netc")


def measure(name: str, threads: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One net: every runtime's median, and how its answers agree."""
    path, define = _net(name, args.folder)
    plain = netc.compile(path, backend="reference", define=define)
    weights = seeded_weights(plain.graph)
    judged = [seeded_inputs(plain.graph, 100 + k) for k in range(JUDGED)]
    own = _own(path, define, weights, threads, folder, plain.graph)
    model = to_onnx(netc.compile(path, weights, backend="reference", define=define).graph)
    calibration = [seeded_inputs(plain.graph, 200 + k) for k in range(CALIBRATION)]
    made, cannot = _peers(args.peers, model, calibration, threads, folder)
    every: dict[str, Answer] = {**own, **made}
    want = [every["netc float32"](feeds) for feeds in judged]
    agree = {kind: _agreement(answer, judged, want) for kind, answer in every.items()}
    runs: dict[str, Run] = {kind: (lambda a=a: a(judged[0])) for kind, a in every.items()}  # type: ignore[misc]
    times = _interleaved({"netc": runs.pop("netc float32"), **runs}, args.seconds)
    times = {"netc float32": times.pop("netc"), **times}
    return {
        "net": name,
        "threads": threads,
        "milliseconds": times,
        "agreement": agree,
        "cannot": cannot,
    }


def _own(
    path: Path, define: dict[str, str], weights: Any, threads: int, folder: Path, graph: Any
) -> dict[str, Answer]:
    """netc in three ways; int8 is what `netc quantize` makes without a bound."""
    files = {name: str(folder / f"{name}.npz") for name in ("plain", "inputs", "int8")}
    netc.save_weights(files["plain"], weights)
    inputs = [seeded_inputs(graph, 200 + k) for k in range(CALIBRATION)]
    np.savez(files["inputs"], **{n: np.concatenate([i[n] for i in inputs]) for n in inputs[0]})
    command = ["quantize", str(path), files["plain"], "--calibrate", files["inputs"], "--json"]
    command += ["-o", files["int8"], "--max-error", "1000", "--held", "0"]
    command += [word for k, v in define.items() for word in ("--define", f"{k}={v}")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        if not Path(files["int8"]).exists() and netc_main(command):
            sys.exit(said.getvalue())
    options: dict[str, Any] = {"threads": threads, "define": define}
    return {
        "netc float32": netc.compile(path, weights, **options),
        "netc bf16": netc.compile(path, weights, precision="bf16", **options),
        "netc int8": netc.compile(path, files["int8"], **options),
    }


# The others


def _peers(
    names: Sequence[str], model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> tuple[dict[str, Answer], dict[str, str]]:
    made: dict[str, Answer] = {}
    cannot: dict[str, str] = {}
    for name in names:
        try:
            answer = PEERS[name](model, calibration, threads, folder)
            if answer is not None:
                answer(calibration[0])
                made[name] = answer
        except Exception as error:  # of whatever library
            cannot[name] = _first_line(error)
    return made, cannot


def _static(model: Any, calibration: Sequence[Feeds], folder: Path) -> Any:
    """The model as ONNX Runtime's static quantiser makes it; made once."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    made = folder / "static.onnx"
    if not made.exists():
        (folder / "plain.onnx").write_bytes(model.SerializeToString())
        quant_pre_process(str(folder / "plain.onnx"), str(folder / "prepared.onnx"))

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            left = iter(calibration)

            def get_next(self) -> Any:
                return next(self.left, None)

        quantize_static(
            str(folder / "prepared.onnx"),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return onnx.load(str(made))


def onnxruntime_int8(
    model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> Answer | None:
    return _session(_static(model, calibration, folder), threads)


def onnxruntime_float32(
    model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> Answer | None:
    return _session(model, threads)


def _session(model: Any, threads: int) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True))


def _openvino(model: Any, threads: int, folder: Path, hint: str, own: Any = None) -> Answer:
    import openvino as ov

    core = ov.Core()
    if own is None:
        (folder / "openvino.onnx").write_bytes(model.SerializeToString())
        own = core.read_model(folder / "openvino.onnx")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
    }
    request = core.compile_model(own, "CPU", settings).create_infer_request()
    names = [output.name for output in model.graph.output]

    def answer(feeds: Feeds) -> Mapping[str, Any]:
        request.infer(dict(feeds))
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return answer


def openvino_float32(
    model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> Answer | None:
    return _openvino(model, threads, folder, "f32")


def openvino_bf16(
    model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> Answer | None:
    return _openvino(model, threads, folder, "bf16")


def openvino_int8(
    model: Any, calibration: Sequence[Feeds], threads: int, folder: Path
) -> Answer | None:
    try:
        import nncf
        import openvino as ov
    except ImportError:
        return _openvino(_static(model, calibration, folder), threads, folder, "f32")
    (folder / "nncf.onnx").write_bytes(model.SerializeToString())
    plain = ov.Core().read_model(folder / "nncf.onnx")
    small = nncf.quantize(plain, nncf.Dataset([dict(feeds) for feeds in calibration]))
    return _openvino(model, threads, folder, "f32", small)


def _mnn(model: Any, threads: int, folder: Path, options: Sequence[str]) -> Answer:
    from benchmarks.cpu_runtimes import _silent

    with _silent():
        import _tools
        import MNN
    files = [str(folder / f"mnn{len(options)}.{kind}") for kind in ("onnx", "mnn")]
    Path(files[0]).write_bytes(model.SerializeToString())
    command = ["mnnconvert", "-f", "ONNX", "--modelFile", files[0], "--MNNModel", files[1]]
    with _silent():
        _tools.mnnconvert([*command, "--bizCode", "netc", *options])
    inputs, outputs = ([v.name for v in part] for part in (model.graph.input, model.graph.output))
    config = {"backend": "CPU", "numThread": threads, "precision": "low", "memory": "low"}
    with _silent():
        runtime = MNN.nn.create_runtime_manager((config,))
        net = MNN.nn.load_module_from_file(files[1], inputs, outputs, runtime_manager=runtime)

    def answer(feeds: Feeds) -> Mapping[str, Any]:
        given = [MNN.expr.const(feeds[n], list(feeds[n].shape), MNN.expr.NCHW) for n in inputs]
        return {n: np.array(v.read()) for n, v in zip(outputs, net.forward(given), strict=True)}

    return answer


def mnn_low(model: Any, calibration: Sequence[Feeds], threads: int, folder: Path) -> Answer | None:
    return _mnn(model, threads, folder, ())


def mnn_int8(model: Any, calibration: Sequence[Feeds], threads: int, folder: Path) -> Answer | None:
    return _mnn(model, threads, folder, ("--weightQuantBits", "8"))


PEERS: Mapping[str, Callable[[Any, Sequence[Feeds], int, Path], Answer | None]] = {
    "onnxruntime float32": onnxruntime_float32,
    "onnxruntime int8": onnxruntime_int8,
    "openvino float32": openvino_float32,
    "openvino bf16": openvino_bf16,
    "openvino int8": openvino_int8,
    "mnn low": mnn_low,
    "mnn int8": mnn_int8,
}


# What is told


def _agreement(
    answer: Answer, judged: Sequence[Feeds], want: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Share of the same best class, and error, of all outputs together."""
    same, error, size = 0, 0.0, 0.0
    for feeds, expected in zip(judged, want, strict=True):
        found = answer(feeds)
        name = next(iter(expected))
        same += int(np.argmax(found[name]) == np.argmax(expected[name]))
        for key, value in expected.items():
            difference = np.asarray(found[key], np.float64).reshape(value.shape) - value
            error += float(np.square(difference).sum())
            size += float(np.square(value.astype(np.float64)).sum())
    return {"top1": same / len(judged), "error": math.sqrt(error / size) if size else 0.0}


def _lines(result: Mapping[str, Any]) -> list[str]:
    times = result["milliseconds"]
    plain = times["netc float32"]
    lines = [f"{result['net']}, {result['threads']} thread(s)"]
    lines += [f"  {'':20} {'ms':>8} {'/ netc float32':>15} {'top-1':>7} {'error':>9}"]
    for kind, time in times.items():
        found = result["agreement"][kind]
        numbers = f"{time:8.2f} {time / plain:15.2f} {found['top1']:7.2f} {found['error']:9.1e}"
        lines.append(f"  {kind:20} {numbers}")
    for word in ("bf16", "int8"):
        others = [t for k, t in times.items() if k.endswith(word) and not k.startswith("netc")]
        if others:
            lines.append(f"  {word}: netc / best peer {times[f'netc {word}'] / min(others):.2f}")
    return lines + [f"  {kind} cannot: {why}" for kind, why in result["cannot"].items()]


if __name__ == "__main__":
    main()
