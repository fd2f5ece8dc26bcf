"""The same answers on every machine that the processor can stand for, whatever its caches.

Choices that caches decide (blocks of sums, cuts of Winograd's algorithm, bands of bottlenecks) are
made for each machine of the table, and what they lead to is run.
"""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends.cpu import backend
from netc.diagnostics import Source
from netc.weights.seeded import seeded_weights
from tests.bounds import error_bounds, within
from tests.machines import DESCRIBED, runnable

CONV = "convolution_param {{ num_output: {} kernel_size: {} pad: {} }}"
IP = "inner_product_param { num_output: 24 }"


def layer(kind: str, bottom: str, top: str, params: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {params} }}'


def net_of(shape: tuple[int, ...], *layers: str) -> Source:
    dims = " ".join(f"dim: {size}" for size in shape)
    first = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
    return Source("net", "\n".join((first, *layers)))


NETS = {
    "long sums": net_of((1, 512, 7, 7), layer("Convolution", "x", "c", CONV.format(72, 3, 1))),
    "winograd": net_of((1, 64, 28, 28), layer("Convolution", "x", "c", CONV.format(64, 3, 1))),
    "late winograd": net_of(
        (1, 160, 14, 14), layer("Convolution", "x", "c", CONV.format(160, 3, 1))
    ),
    "large map": net_of(
        (1, 3, 90, 91),
        layer("Convolution", "x", "c", CONV.format(48, 7, 3)),
        layer("ReLU", "c", "r"),
        layer("Pooling", "r", "p", "pooling_param { kernel_size: 3 stride: 2 }"),
        layer("LRN", "p", "n"),
    ),
    "bottleneck": net_of(
        (1, 16, 60, 61),
        layer("Convolution", "x", "a", CONV.format(64, 1, 0)),
        layer("ReLU", "a", "r"),
        layer("Convolution", "r", "b", CONV.format(16, 3, 1)),
        layer("Eltwise", "x b", "s"),
    ),
    "inner products": net_of(
        (3, 20, 11, 11),
        layer("InnerProduct", "x", "a", IP),
        layer("TanH", "a", "t"),
        layer("InnerProduct", "t", "b", IP),
        layer("Softmax", "b", "s"),
    ),
}


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("name", DESCRIBED)
def test_a_net(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = runnable(name)
    monkeypatch.setattr(backend, "machine", lambda: target)
    weights = seeded_weights(netc.compile(NETS[kind], backend="reference").graph)
    plain = netc.compile(NETS[kind], weights, backend="reference")
    (shape,) = plain.inputs.values()
    feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    want, bounds = plain(feeds), error_bounds(plain.graph, feeds)
    found = [netc.compile(NETS[kind], weights, threads=threads)(feeds) for threads in (1, 2)]
    for output, array in want.items():
        within(found[0][output], array, bounds[output].max(), output)
        np.testing.assert_array_equal(found[0][output], found[1][output])


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_description_is_of_one_machine(name: str) -> None:
    """A register holds what the instructions say, and the second cache is the larger one."""
    machine = DESCRIBED[name]
    assert (machine.width, machine.registers) == {
        "avx512": (16, 32),
        "avx2": (8, 16),
        "neon": (4, 32),
        "plain": (4, 16),
    }[machine.isa]
    assert machine.l1 < machine.l2
