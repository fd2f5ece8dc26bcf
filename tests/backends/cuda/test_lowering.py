"""Records of chains: which stages have code, and what may be written over."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.lowering import lower_chains, needs_of
from netc.diagnostics import Source
from netc.ir.graph import Graph
from netc.passes.base import run_passes
from netc.passes.epilogue import FUSE_EPILOGUES
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options

INPUT = (
    'layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 2 dim: 3 dim: 4 } } }'
)
HEAD = """
layer { name: "x" type: "Power" bottom: "in" top: "x" power_param { scale: 2 } }
layer { name: "b" type: "Sigmoid" bottom: "x" top: "b" }
"""
CLIP = 'layer { name: "c" type: "Clip" bottom: "x" top: "c" clip_param { min: 0 max: MOST } }'
SUM = 'layer { name: "y" type: "Eltwise" bottom: "c" bottom: "b" top: "y" }'


def fused(text: str) -> Graph:
    net = netc.compile(Source("t.prototxt", text), backend="reference", optimize=False)
    return run_passes(net.graph, [FUSE_EPILOGUES])[0]


def chain(most: str) -> Graph:
    return fused(INPUT + HEAD + CLIP.replace("MOST", most) + SUM)


def test_one_kernel_may_write_over_what_it_reads() -> None:
    graph = chain("6")
    record = lower_chains(graph)["y"]
    assert record.coded == (True, True)
    assert record.overwritable == ("b", "x")
    assert needs_of({"y": record}, graph.nodes[-1]).overwritable == ("b", "x")


def test_a_chain_that_begins_with_a_definition_keeps_what_its_next_step_reads() -> None:
    """Its first step writes the output, and the kernel after that reads the other operand."""
    record = lower_chains(chain("inf"))["y"]
    assert record.coded == (False, True)
    assert record.overwritable == ()
    assert record.leading(2) == 0 and record.leading(1) == 1 and record.leading(0) == 0


def test_a_product_has_read_its_input_in_any_order() -> None:
    text = """
    layer { name: "b" type: "Sigmoid" bottom: "in" top: "b" }
    layer { name: "p" type: "InnerProduct" bottom: "in" top: "p"
      inner_product_param { num_output: 4 axis: 2 weight_filler { type: "xavier" } } }
    layer { name: "y" type: "Eltwise" bottom: "p" bottom: "b" top: "y" }
    """
    record = lower_chains(fused(INPUT + text))["y"]
    assert record.overwritable == ("b",)


@pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")
@pytest.mark.parametrize("most", ["6", "inf"])
def test_nothing_is_overwritten_before_it_is_read(most: str) -> None:
    graph = chain(most)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    (got,) = CudaBackend(EmulatedDevice()).prepare(graph, options()).run({"in": x}).values()
    np.testing.assert_allclose(got, reference.run(graph, {"in": x})["y"], rtol=1e-6)
