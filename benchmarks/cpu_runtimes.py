"""The runtimes that netc's CPU backend is compared with, each called as a library.

A peer is made for an ONNX model, inputs and a number of threads; it gives a function that runs once
and gives the outputs by name, or None where its package is not installed. What it raises says why
it cannot take the model.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Mapping[str, Any]]


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


@contextmanager
def _silent() -> Iterator[None]:
    """What a library prints by itself, past Python, is not printed."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def mnn(model: Any, feeds: Mapping[str, Any], threads: int) -> Run | None:
    try:
        # Its converter as it is: MNN.tools would install packages and send what it is used for.
        with _silent():
            import _tools
            import MNN
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"net.{kind}") for kind in ("onnx", "mnn")]
        Path(files[0]).write_bytes(model.SerializeToString())
        options = ["-f", "ONNX", "--modelFile", files[0], "--MNNModel", files[1]]
        with _silent():
            _tools.mnnconvert(["mnnconvert", *options, "--bizCode", "netc"])
        if not Path(files[1]).is_file():
            raise RuntimeError("its converter does not take the model")
        net = MNN.Interpreter(files[1])
    outputs = [output.name for output in model.graph.output]
    # Without "high" it computes in a lower precision where the processor can.
    config = {"backend": "CPU", "numThread": threads, "precision": "high"}
    with _silent():
        session = net.createSession({**config, "saveTensors": tuple(outputs)})
    for name, value in feeds.items():
        net.resizeTensor(net.getSessionInput(session, name), value.shape)
    net.resizeSession(session)
    given, made = net.getSessionInputAll(session), net.getSessionOutputAll(session)

    def tensor(value: Any) -> Any:
        kind = MNN.Tensor_DimensionType_Caffe
        return MNN.Tensor(value.shape, MNN.Halide_Type_Float, np.ascontiguousarray(value), kind)

    def run() -> Mapping[str, Any]:
        for name, value in feeds.items():
            given[name].copyFrom(tensor(value))
        net.runSession(session)
        found = {name: tensor(np.empty(made[name].getShape(), np.float32)) for name in outputs}
        for name, host in found.items():
            made[name].copyToHostTensor(host)
        return {name: np.array(host.getNumpyData()) for name, host in found.items()}

    return run


PEERS: Mapping[str, Callable[[Any, Mapping[str, Any], int], Run | None]] = {
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "opencv": opencv,
    "mnn": mnn,
}
