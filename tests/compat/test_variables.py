"""Changed parameters cost no plan and no compilation, in either interface."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from netc.backends.cpu import jit
from netc.backends.cpu.backend import CpuBackend
from netc.backends.reference import ReferenceBackend
from netc.compat import opencv, pycaffe
from netc.diagnostics import Source

TEXT = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param {
  num_output: 5 weight_filler { type: "msra" } } }
"""
DATA = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """One entry for each graph that is planned, and each kernel that is compiled or loaded."""
    found: list[str] = []

    def counted(kind: type, name: str) -> None:
        own = getattr(kind, name)

        def count(*args: object, **kwargs: object) -> object:
            found.append(name)
            return own(*args, **kwargs)

        monkeypatch.setattr(kind, name, count)

    counted(CpuBackend, "prepare")
    counted(ReferenceBackend, "prepare")
    monkeypatch.setattr(jit, "_add_object", _counting(jit._add_object, found))
    yield found


def _counting(own: object, found: list[str]) -> object:
    def add(*args: object, **kwargs: object) -> object:
        found.append("kernel")
        return own(*args, **kwargs)  # type: ignore[operator]

    return add


def test_pycaffe(plans: list[str]) -> None:
    net = pycaffe.Net(Source("net.prototxt", TEXT), pycaffe.TEST)
    net.forward(data=DATA)
    before, planned = net.blobs["fc"].data.copy(), list(plans)
    assert planned
    net.params["fc"][1].data[...] += 1
    np.testing.assert_allclose(net.forward(data=DATA)["fc"], before + 1, rtol=1e-5)
    net.params["conv"][0].data[...] = 0
    net.params["conv"][1].data[...] = 0
    net.params["scale"][1].data[...] = 2
    net.params["fc"][0].data[...] = 1
    net.params["fc"][1].data[...] = 0
    assert net.forward(data=DATA)["fc"].tolist() == [[2 * 4 * 36] * 5]
    assert plans == planned


def test_what_is_fetched_later_is_of_the_weights_as_they_were() -> None:
    net = pycaffe.Net(Source("net.prototxt", TEXT), pycaffe.TEST)
    net.forward(data=DATA)
    assert net.blobs["conv"].pending
    net.params["conv"][0].data[...] *= 2
    conv = net.blobs["conv"].data.copy()
    again = pycaffe.Net(Source("net.prototxt", TEXT), pycaffe.TEST)
    again.forward(blobs=["conv"], data=DATA)
    np.testing.assert_allclose(conv, again.blobs["conv"].data, rtol=1e-5)

    other = pycaffe.Net(Source("net.prototxt", TEXT), pycaffe.TEST)
    other.forward(data=DATA)
    other.params["conv"][0].data[...] *= 2
    other.forward(start="fc")  # with other weights, and `conv` is not made again
    np.testing.assert_allclose(other.blobs["conv"].data, conv, rtol=1e-5)


def test_opencv(plans: list[str]) -> None:
    net = opencv.readNetFromCaffe(TEXT.encode())
    net.setInput(DATA)
    net.forward()
    planned = list(plans)
    assert planned
    net.setParam("conv", 0, np.zeros((4, 3, 3, 3)))
    net.setParam("conv", 1, np.zeros(4))
    net.setParam("scale", 1, np.full(4, 2))
    net.setParam("fc", 0, np.ones((5, 144)))
    assert net.forward().tolist() == [[2 * 4 * 36] * 5]
    assert plans == planned
    assert net.getParam("scale", 1).tolist() == [[2], [2], [2], [2]]  # as cv2 has vectors
    net.setInput(np.concatenate([DATA, DATA]))
    assert net.forward().tolist() == [[2 * 4 * 36] * 5] * 2
