"""Weight gradients by stand-ins of libraries: the same numbers, and the tuner's choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.backends import reference
from netc.backends.cuda import backend as backend_module
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.libraries.operation import Library, LibraryKernel
from netc.backends.cuda.products.outer import gradient_operation
from netc.backends.cuda.tuning.gradients import GradientBench, trial_of
from netc.backends.cuda.tuning.tuner import Tuner
from netc.backends.variables import Variables
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options
from tests.backends.cuda.gradient_cases import LAYERS, feeds_of, layer_case, step_graph
from tests.backends.cuda.libraries import cudnn_module, standin
from tests.backends.cuda.test_gradient_kernels import first_feeds
from tests.backends.cuda.test_libraries import Favouring

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

PRODUCTS = [
    i for i, (_, kind, _) in enumerate(LAYERS)
    if kind in ("Convolution", "Deconvolution", "InnerProduct")
]  # fmt: skip
OWN = (  # what no library is asked for: depthwise ones, and weights whose taps are innermost
    "kernel_size: 3 pad: 1 group: 6", "group: 37", "group: 8", "num_output: 21",
)  # fmt: skip


@pytest.fixture(autouse=True)
def products_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuner, "choices", lambda self, products: {})


@pytest.fixture
def loaded() -> Mapping[str, Library]:
    standin.cublaslt().standin_wrong(0)
    return {"cublas": standin.cublas(), "cudnn": standin.cudnn()}


def library_gradients(executable: Any) -> list[LibraryKernel]:
    kernels = [launch.kernel for launch in executable.program.launches]
    return [k for k in kernels if isinstance(k, LibraryKernel) and k.operation.gradient]


def by_library(loaded: Mapping[str, Library], names: list[str], number: int) -> Any:
    """Takes an algorithm of one of these libraries for each weight gradient that it knows."""

    def choose(emission: Any, gradient: Any) -> Any:
        operation = gradient_operation(emission, gradient.outer, gradient.target)
        found = [a for n in names for a in (loaded[n].algorithms(operation) if operation else ())]
        return found[number % len(found)] if found else None

    return choose


@pytest.mark.parametrize("index", PRODUCTS, ids=lambda i: f"{LAYERS[i][1]}-{i}")
@pytest.mark.parametrize("name", ["cublas", "cudnn"])
def test_layers(
    name: str, index: int, loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "own_kernel", by_library(loaded, [name], index))
    case = layer_case(index)
    graph, feeds = case.joint.graph, feeds_of(case)
    executable = CudaBackend(EmulatedDevice(loaded=loaded)).prepare(graph, options())
    found, text = library_gradients(executable), LAYERS[index][2]
    known = not any(word in text for word in OWN)
    if name == "cublas":
        one_tap = "kernel_size: 1 " in text and "stride" not in text
        pointwise = LAYERS[index][1] == "InnerProduct" or one_tap
        assert bool(found) is (known and pointwise)
    else:
        assert bool(found) is known
    want, got = reference.run(graph, feeds), executable.run(feeds)
    for blob, array in want.items():
        scale = float(np.abs(array).max(initial=0)) + 1e-3
        np.testing.assert_allclose(got[blob] / scale, array / scale, atol=2e-5, err_msg=blob)


@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_steps_of_training(
    name: str, loaded: Mapping[str, Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "own_kernel", by_library(loaded, ["cudnn", "cublas"], 1))
    graph, mine, theirs = step_graph(name), Variables(), Variables()
    executable = CudaBackend(EmulatedDevice(2, loaded=loaded)).prepare(
        graph, replace(options(), variables=mine)
    )
    assert len(library_gradients(executable)) >= 2
    slow = reference.ReferenceBackend().prepare(graph, replace(options(), variables=theirs))
    for number in range(3):
        feeds = first_feeds(graph, number)
        got, want = executable.run(feeds), slow.run(feeds)
        np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_the_tuner_takes_what_is_fastest_and_right(
    precision: str,
    loaded: Mapping[str, Library],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = layer_case(PRODUCTS[2]).joint.graph  # of one tap: both libraries know it
    for wrong, taken in {0: True, 1: False, 2: False}.items():
        monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / str(wrong)))
        standin.cublaslt().standin_wrong(wrong)
        monkeypatch.setattr(cudnn_module, "wrong", 0.05 if wrong else 0.0)
        device, chosen = Favouring(loaded=loaded), options(tune=True, precision=precision)
        executable = CudaBackend(device).prepare(graph, chosen)
        assert bool(library_gradients(executable)) is taken
        again = CudaBackend(device).prepare(graph, chosen)
        assert library_gradients(again) == library_gradients(executable)  # from the file
    standin.cublaslt().standin_wrong(0)


def test_exact_is_our_own(loaded: Mapping[str, Library]) -> None:
    graph = layer_case(PRODUCTS[2]).joint.graph
    chosen = replace(options(tune=True), exact=True)
    assert not library_gradients(CudaBackend(Favouring(loaded=loaded)).prepare(graph, chosen))


@pytest.mark.parametrize("index", PRODUCTS, ids=lambda i: f"{LAYERS[i][1]}-{i}")
def test_our_own_kernel_passes_the_tuners_look(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums that it is compared with are those of the kernel, whatever the window."""
    device, asked = EmulatedDevice(), []

    def choose(emission: Any, gradient: Any) -> None:
        asked.append(GradientBench(device, emission, trial_of(gradient)).seconds(None))

    monkeypatch.setattr(backend_module, "own_kernel", choose)
    CudaBackend(device).prepare(layer_case(index).joint.graph, options())
    assert all(np.isfinite(asked))
    assert len(asked) == ("group: 6" not in LAYERS[index][2] and "group: 37" not in LAYERS[index][2]
                          and "group: 8" not in LAYERS[index][2])  # fmt: skip
