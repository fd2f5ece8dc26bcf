"""Products by NVIDIA's libraries: what they are asked for, and that no wrong answer is taken."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from netc.backends import reference
from netc.backends.cuda import backend as backend_module
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.backends.cuda.device import DeviceError, KernelCall
from netc.backends.cuda.libraries import cublas, cudnn
from netc.backends.cuda.libraries.operation import Library, LibraryKernel, LibraryProduct
from netc.backends.cuda.products.choice import guessed
from netc.backends.cuda.products.tiles import PLAIN, ProductConfig
from netc.backends.cuda.products.winograd import fits_winograd, middle
from netc.backends.cuda.tuning import tuner
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.passes.pipeline import ALL
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import graph_of, numbers, options
from tests.backends.cuda.libraries import cudnn_module, standin
from tests.backends.cuda.libraries.standin import algorithms_of, by_library
from tests.backends.cuda.test_products import NETS, TOLERANCE, add, conv, feeds_of, net, relu
from tests.test_golden import CASES, GOLDEN, assert_agrees

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

IP = (
    'layer { name: "p" type: "InnerProduct" bottom: "x" top: "p" inner_product_param { '
    'num_output: 24 weight_filler { type: "xavier" } '
    'bias_filler { type: "uniform" min: -1 max: 1 } } }'
)
PRELU = 'layer { name: "q" type: "PReLU" bottom: "a" top: "q" }'


@pytest.fixture
def loaded() -> Iterator[Mapping[str, Library]]:
    """The libraries' stand-ins, which must have given back all that they made."""
    library = standin.cublaslt()
    before = library.standin_alive()
    yield {"cublas": standin.cublas(), "cudnn": standin.cudnn()}
    library.standin_wrong(0)
    assert library.standin_alive() == before


def library_kernels(executable: CudaExecutable) -> list[LibraryKernel]:
    return [k for k in executable.program.kernels if isinstance(k, LibraryKernel)]


def check(graph: Graph, loaded: Mapping[str, Library], precision: str = "float32") -> Any:
    device = EmulatedDevice(1, loaded=loaded)
    executable = CudaBackend(device).prepare(graph, options(precision=precision))
    assert isinstance(executable, CudaExecutable)
    feeds = feeds_of(graph)
    for _ in range(2):
        got = executable.run(feeds)
        for name, array in reference.run(graph, feeds).items():
            scale = np.abs(array).max()
            error = np.abs(got[name].astype(np.float64) - array).max() / scale
            assert error < TOLERANCE[precision], f"{name}: {error}"
    return executable


def has_product(case: dict[str, Any]) -> bool:
    text = (GOLDEN / "layers" / f"{case['case']}.prototxt").read_text()
    return "Convolution" in text or "InnerProduct" in text


@pytest.mark.parametrize("case", list(filter(has_product, CASES)), ids=lambda c: c["case"])
def test_golden_cases(
    case: dict[str, Any], loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "guessed", by_library(loaded, len(case["case"])))
    device = EmulatedDevice(loaded=loaded)
    executable = CudaBackend(device).prepare(graph_of(case), options(ALL))
    if not isinstance(executable, CudaExecutable) or not library_kernels(executable):
        pytest.skip("no product for a library")
    got = executable.run(numbers(case, "in/"))
    for name, want in numbers(case, "out/").items():
        assert_agrees(got[name], want, name)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_nets(
    name: str,
    precision: str,
    loaded: Mapping[str, Library],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend_module, "guessed", by_library(loaded))
    check(NETS[name](), loaded, precision)


def test_bias_sum_and_relu_are_the_librarys(
    loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "guessed", by_library(loaded))
    layers = conv("a", "x", "num_output: 16 kernel_size: 1") + relu("ra", "a")
    layers += conv("b", "ra", "num_output: 16 kernel_size: 1") + add("c", "ra", "b")
    found = library_kernels(check(net(8, 5, layers + relu("d", "c")), loaded))
    assert any(b.operation.bias and b.operation.other and b.operation.relu for b in found)


def test_other_layers_are_a_kernel_after_it(
    loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "guessed", by_library(loaded))
    executable = check(net(8, 3, conv("a", "x", "num_output: 12 kernel_size: 1") + PRELU), loaded)
    templates = [launch.kernel.template for launch in executable.program.launches]
    assert templates == ["cublas", "chain"]


def test_parts_side_by_side_have_no_bias_of_the_librarys(
    loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "guessed", by_library(loaded))
    layer = conv("a", "x", "num_output: 24 kernel_size: 1 group: 2") + relu("b", "a")
    executable = check(net(16, 3, layer), loaded)
    (operation,) = (b.operation for b in library_kernels(executable))
    assert operation.parts == 2 and not operation.bias and not operation.relu


def test_winograds_products(loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(emission: Any, product: Any) -> ProductConfig:
        if not fits_winograd(emission, product):
            return guessed(emission, product)
        algorithm, *_ = algorithms_of(loaded, emission, middle(emission, product, 2))
        return ProductConfig(PLAIN[-1], winograd=2, algorithm=algorithm)

    monkeypatch.setattr(backend_module, "guessed", choose)
    executable = check(NETS["residual"](), loaded)
    assert [b.operation.parts for b in library_kernels(executable)] == [16]


def test_what_lies_where_the_result_does_is_not_overwritten(
    loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN makes the product alone then, elsewhere, and the sum is a kernel of ours."""
    only = {"cudnn": loaded["cudnn"]}
    monkeypatch.setattr(backend_module, "guessed", by_library(only))
    params = "num_output: 16 kernel_size: 3 pad: 1"
    layers = conv("a", "x", params) + conv("m", "a", params) + conv("b", "m", params)
    layers += add("c", "a", "b")
    executable = check(net(8, 5, layers + relu("d", "c")), only, "tf32")
    templates = [launch.kernel.template for launch in executable.program.launches]
    assert templates == ["cudnn", "cudnn", "cudnn", "chain"]
    assert executable.report()["workspace_bytes"] >= 4 * 16 * 5 * 6


def test_cudnns_engines_that_will_not_do_are_left_out(loaded: Mapping[str, Library]) -> None:
    operation = LibraryProduct("tf32", (1, 5, 5, 8), 8, 72, (5, 5, 4), 4, (3, 3), (1, 1))
    assert [algorithm.text for algorithm in loaded["cudnn"].algorithms(operation)] == [
        "0",
        "3",
        "4",
    ]
    exact = replace(operation, precision="float32")
    assert [algorithm.text for algorithm in loaded["cudnn"].algorithms(exact)] == ["3", "4"]
    assert not loaded["cudnn"].algorithms(replace(exact, relu=True))


def test_cudnn_is_called_as_its_interface_wants(loaded: Mapping[str, Library]) -> None:
    real = pytest.importorskip("cudnn", reason="pip install nvidia-cudnn-frontend")
    if not isinstance(getattr(real.pygraph, "tensor", None), FunctionType):
        pytest.skip("this version's functions tell no parameters")
    operation = LibraryProduct(
        "fp16", (1, 5, 5, 8), 8, 72, (5, 5, 8), 8, (3, 3), (1, 1), bias=True, other=8, relu=True
    )
    loaded["cudnn"].algorithms(operation)
    plain = replace(operation, bias=False, other=0, relu=False, gradient=True)
    loaded["cudnn"].algorithms(plain)
    called = dict(cudnn_module.calls)
    for name, arguments in called.items():
        if name != "pygraph":
            function = getattr(real.pygraph, name)
            inspect.signature(function).bind(None, **dict.fromkeys(arguments))
    inspect.signature(real.pygraph).bind(**dict.fromkeys(called["pygraph"]))
    assert {"tensor", "conv_fprop", "conv_wgrad", "bias", "add", "relu"} <= set(called)
    for kind, names in (
        ("data_type", ("HALF", "FLOAT")),
        ("heur_mode", ("A", "FALLBACK")),
        ("numerical_note", (*cudnn._NEVER, *cudnn._NOT_EXACT)),
    ):
        assert all(hasattr(getattr(real, kind), name) for name in names)


def test_exact_is_our_own(loaded: Mapping[str, Library]) -> None:
    graph = net(8, 3, conv("a", "x", "num_output: 12 kernel_size: 1"))
    device = EmulatedDevice(loaded=loaded)
    chosen = replace(options(tune=True), exact=True)
    executable = CudaBackend(device).prepare(graph, chosen)
    assert isinstance(executable, CudaExecutable) and not library_kernels(executable)


class Favouring(EmulatedDevice):
    """Finds libraries the fastest, by far."""

    started = 0

    def measure(self, work: Any, rounds: int) -> float:
        before = self.started
        work()
        return 1e-6 if self.started > before else 1e-3

    def _start(self, kernel: LibraryKernel, addresses: Any) -> None:
        self.started = self.started + 1
        super()._start(kernel, addresses)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_tuner_takes_what_is_fastest_and_right(
    precision: str,
    loaded: Mapping[str, Library],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "_MAX_MEASURED", 1)
    graph = NETS["residual"]()
    expected = {0: True, 1: False, 2: False}
    for wrong, taken in expected.items():
        monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / str(wrong)))
        standin.cublaslt().standin_wrong(wrong)
        monkeypatch.setattr(cudnn_module, "wrong", 0.05 if wrong else 0.0)
        device = Favouring(loaded=loaded)
        executable = CudaBackend(device).prepare(graph, options(tune=True, precision=precision))
        assert isinstance(executable, CudaExecutable)
        assert bool(library_kernels(executable)) is taken
        again = CudaBackend(device).prepare(graph, options(tune=True, precision=precision))
        assert isinstance(again, CudaExecutable)
        assert library_kernels(again) == library_kernels(executable)  # from the file


def test_a_device_that_computes_wrongly_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(EmulatedDevice):
        def launch(self, call: KernelCall) -> None:
            super().launch(call._replace(grid=(1, 1, 1)))  # the first tile alone

    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuner, "_MAX_MEASURED", 2)
    graph = net(8, 9, conv("a", "x", "num_output: 96 kernel_size: 1"), batch=4)
    with pytest.raises(NetcError, match=r"wrong-numbers.*layer `a`.*emulator"):
        CudaBackend(Broken()).prepare(graph, options(tune=True))


class Picky(EmulatedDevice):
    """Compiles no kernel that has more than so many pixels to a tile."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def build(self, kernels: Any, progress: Any = None) -> None:
        wanted = list(kernels)
        fit = [k for k in wanted if dict(k.constants).get("BM", 0) <= self.most]
        super().build(fit, progress)
        if len(fit) < len(wanted):
            raise DeviceError("too much shared data")


def test_ways_that_cannot_be_compiled_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    graph = net(8, 9, conv("a", "x", "num_output: 16 kernel_size: 1"), batch=4)
    executable = CudaBackend(Picky(32)).prepare(graph, options(tune=True))
    feeds = feeds_of(graph)
    np.testing.assert_allclose(
        executable.run(feeds)["a"], reference.run(graph, feeds)["a"], rtol=0, atol=1e-4
    )
    with pytest.raises(NetcError, match=r"device-refusal.*emulator.*too much shared data"):
        CudaBackend(Picky(0)).prepare(graph, options())


def headers(name: str) -> list[Path]:
    """A header of CUDA's, if one of NVIDIA's packages has brought it."""
    if find_spec("nvidia") is None:
        return []
    folders = import_module("nvidia").__path__
    return [path for f in folders for path in Path(f).glob(f"*/include/{name}")]


@pytest.mark.skipif(
    not headers("cublasLt.h") or not headers("library_types.h"),
    reason="no headers: pip install nvidia-cublas-cu12 nvidia-cuda-runtime-cu12",
)
def test_the_numbers_are_those_of_the_headers() -> None:
    names = ("cublasLt.h", "cublas_api.h", "library_types.h")
    text = "".join(path.read_text() for name in names for path in headers(name))
    found = dict(re.findall(r"^\s*(CU[A-Z0-9_]+)\s*=\s*(\d+)\s*,", text, re.MULTILINE))
    equal = {
        "CUDA_R_32F": cublas._R_32F,
        "CUDA_R_16F": cublas._R_16F,
        "CUBLAS_COMPUTE_32F": cublas._COMPUTE["float32"],
        "CUBLAS_COMPUTE_32F_FAST_TF32": cublas._COMPUTE["tf32"],
        "CUBLAS_OP_T": cublas._TRANSPOSED,
        "CUBLASLT_MATMUL_DESC_TRANSA": cublas._TRANS_A,
        "CUBLASLT_MATMUL_DESC_TRANSB": cublas._TRANS_B,
        "CUBLASLT_MATMUL_DESC_EPILOGUE": cublas._EPILOGUE,
        "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublas._BIAS_POINTER,
        "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT": cublas._BATCH_COUNT,
        "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET": cublas._BATCH_STRIDE,
        "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublas._MAX_WORKSPACE,
        "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES": cublas._ALIGNMENTS[0],
        "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES": cublas._ALIGNMENTS[1],
        "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES": cublas._ALIGNMENTS[2],
        "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES": cublas._ALIGNMENTS[3],
        "CUBLASLT_EPILOGUE_DEFAULT": cublas._DEFAULT,
        "CUBLASLT_EPILOGUE_RELU": cublas._RELU,
        "CUBLASLT_EPILOGUE_BIAS": cublas._BIAS,
    }
    assert {name: int(found[name]) for name in equal} == equal
