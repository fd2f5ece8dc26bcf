"""Layers that run by their definitions, where CuPy lacks a library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netc.backends import reference
from netc.backends.cuda.backend import CudaBackend
from netc.ir.graph import Node
from tests.backends.cuda.emulator.arrays import Array
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import graph_of, options
from tests.test_golden import CASES

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

WITHOUT = {
    "CuPy 13": "libcublas.so.12: cannot open shared object file: No such file or directory",
    "CuPy 14": 'Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file',
}


def lacking(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    """Let definitions fail on device arrays as CuPy does; the layers that it was tried for."""
    tried: list[str] = []
    real = reference.run_definition

    def run(node: Node, inputs: Any, weights: Any, *more: Any) -> Any:
        if any(isinstance(array, Array) for array in inputs):
            tried.append(node.op)
            raise ImportError(text)
        return real(node, inputs, weights, *more)

    monkeypatch.setattr(reference, "run_definition", run)
    return tried


@pytest.mark.parametrize("version", WITHOUT)
def test_without_cublas_the_host_multiplies(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(next(case for case in CASES if case["case"] == "Convolution__3d"))
    feeds = {n: np.ones(graph.shape(n), np.float32) for n in graph.inputs}
    want = reference.run(graph, feeds)
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    tried = lacking(monkeypatch, WITHOUT[version])
    for name, array in executable.run(feeds).items():
        np.testing.assert_allclose(array, want[name], rtol=1e-5)
    assert tried == ["Convolution"]


def test_another_library_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(next(case for case in CASES if case["case"] == "Convolution__3d"))
    executable = CudaBackend(EmulatedDevice()).prepare(graph, options())
    lacking(monkeypatch, "No module named 'something'")
    with pytest.raises(ImportError, match="something"):
        executable.run({n: np.ones(graph.shape(n), np.float32) for n in graph.inputs})
