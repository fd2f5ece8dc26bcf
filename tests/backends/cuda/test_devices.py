"""What is said where there is no GPU, and that CuPy is not needed for saying it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import netc
from netc.backends.cuda import devices
from netc.cli.main import main
from netc.diagnostics import NetcError

NET = Path(__file__).resolve().parent.parent.parent / "golden" / "layers" / "ReLU__00.prototxt"


class RuntimeFault(Exception):  # noqa: N818
    """Stands for CuPy's CUDARuntimeError."""


def fake(count: Any, driver: int = 12040, nvrtc: Any = (12, 4)) -> Any:
    """As much of CuPy as finding devices takes."""

    def raising(value: Any) -> Any:
        def call() -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        return call

    runtime = SimpleNamespace(
        CUDARuntimeError=RuntimeFault,
        getDeviceCount=raising(count),
        driverGetVersion=lambda: driver,
        getDevice=lambda: 0,
        runtimeGetVersion=lambda: 99000,  # of which no library is anywhere
    )
    return SimpleNamespace(
        __version__="14.2.0",
        cuda=SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=raising(nvrtc))),
    )


def gpu(capability: tuple[int, int], refusal: Exception | None = None) -> Any:
    """CuPy with one device of some capability, for which it may refuse to compile."""
    cupy = fake(1)
    major, minor = capability
    cupy.cuda.runtime.getDeviceProperties = lambda number: {
        "name": b"Some GPU",
        "major": major,
        "minor": minor,
        "multiProcessorCount": 132,
        "totalGlobalMem": 80 << 30,
    }
    cupy.cuda.runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
    cupy.cuda.runtime.deviceGetAttribute = lambda attribute, number: 227 << 10

    def function(name: str) -> str:
        if refusal is not None:
            raise refusal
        return name

    cupy.RawModule = lambda code, options: SimpleNamespace(get_function=function)
    return cupy


CASES = {
    "no CuPy": (devices.Missing("CuPy is not installed", devices.INSTALL), "netc[cuda12]"),
    "no driver": (fake(RuntimeFault("cudaErrorInsufficientDriver"), 0), "NVIDIA's driver"),
    "old driver": (fake(RuntimeFault("cudaErrorInsufficientDriver"), 11000), "update the driver"),
    "no device": (fake(RuntimeFault("cudaErrorNoDevice: none")), "CUDA_VISIBLE_DEVICES"),
    "no devices": (fake(0), "CUDA_VISIBLE_DEVICES"),
    "no compiler": (fake(1, nvrtc=RuntimeError("libnvrtc.so.12: not found")), "netc[cuda12]"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_is_told_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy, help = CASES[name]
    monkeypatch.setattr(devices, "cupy_module", lambda: cupy)
    with pytest.raises(NetcError) as caught:
        netc.compile(NET, backend="cuda")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "no-cuda" and "\n" not in diagnostic.message
    assert help in " ".join(diagnostic.help)


@pytest.mark.parametrize("name", CASES)
def test_the_command_says_it_too(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy, help = CASES[name]
    monkeypatch.setattr(devices, "cupy_module", lambda: cupy)
    assert main(["run", str(NET), "--backend", "cuda"]) == 1
    printed = capsys.readouterr()
    assert not printed.out and "Traceback" not in printed.err
    first, *rest = printed.err.splitlines()
    assert first.startswith("error[no-cuda]: backend `cuda` cannot be used")
    assert help in " ".join(rest)


def test_importing_netc_does_not_import_cupy() -> None:
    code = "import sys, netc, netc.cli.main; print('cupy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_devices_tells_of_the_processor_and_of_gpus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cupy_module", lambda: CASES["no driver"][0])
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cpu ") and "threads" in lines[0]
    assert lines[1].startswith("cuda ") and "there is no NVIDIA driver" in lines[1]
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cpu"]["threads"] >= 1
    assert found["cuda"]["devices"] == [] and found["cuda"]["help"]


def test_a_gpu_is_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cupy_module", lambda: gpu((9, 0)))
    assert main(["devices"]) == 0
    told = capsys.readouterr().out
    assert "Some GPU, compute capability 9.0, 132 multiprocessors, 80.0 GiB" in told
    assert "nvrtc 12.4, cupy 14.2.0" in told


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"precision": "fp8"}, "unknown-precision"),
        ({"precision": "tf32"}, "unsupported-option"),
        ({"precision": "fp16", "backend": "reference"}, "unsupported-option"),
    ],
)
def test_precisions_are_checked(options: dict[str, Any], code: str) -> None:
    with pytest.raises(NetcError, match=code):
        netc.compile(NET, **options)


@pytest.mark.parametrize(
    ("cupy", "said", "help"),
    [
        (gpu((6, 1)), "Some GPU, of compute capability 6.1, is too old", "7.0 or newer"),
        (
            gpu((14, 1), RuntimeFault("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image\nmore")),
            "NVRTC 12.4 cannot compile for Some GPU, of compute capability 14.1: CUDA_ERROR_NO",
            "CUPY_COMPILE_WITH_PTX=1",
        ),
        (
            gpu((7, 0), ValueError("nvrtc: error: invalid value for --gpu-architecture (-arch)")),
            "compute capability 7.0: nvrtc: error: invalid value",
            "netc[cuda12]",
        ),
    ],
)
def test_a_gpu_that_kernels_cannot_be_compiled_for(
    cupy: Any, said: str, help: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cupy_module", lambda: cupy)
    with pytest.raises(NetcError) as caught:
        netc.compile(NET, backend="cuda")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "no-cuda" and "\n" not in diagnostic.message
    assert said in diagnostic.message
    assert help in " ".join(diagnostic.help)


def test_a_gpu_that_takes_kernels_is_suited() -> None:
    assert devices.unsuited(gpu((12, 1)), 0) is None


NAMES = """
cuda.Device cuda.Event cuda.Stream cuda.Stream.begin_capture cuda.Stream.end_capture
cuda.Stream.is_capturing cuda.Stream.record cuda.Stream.wait_event cuda.alloc
cuda.get_current_stream cuda.get_elapsed_time cuda.Graph.launch cuda.memory.OutOfMemoryError
cuda.nvrtc.getVersion cuda.runtime.CUDARuntimeError cuda.runtime.getDevice
cuda.runtime.getDeviceCount cuda.runtime.getDeviceProperties cuda.runtime.driverGetVersion
cuda.runtime.runtimeGetVersion
cuda.driver.CUDADriverError RawModule RawModule.get_function asarray asnumpy empty from_dlpack
get_default_memory_pool ndarray
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_cupy_has_what_is_used_of_it(name: str) -> None:
    found: Any = pytest.importorskip("cupy", exc_type=ImportError)
    for part in name.split("."):
        found = getattr(found, part)
