"""Joint graphs on the emulated device: kernels where there are some, definitions for the rest."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from netc.backends.cuda.backend import CudaBackend
from netc.train.gradients import collected, joint_of, requested, seed_arrays
from netc.train.joint import Joint
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice, build
from tests.backends.cuda.golden_kernels import graph_of, kernels_of, numbers, options
from tests.test_golden import GOLDEN
from tests.train.test_golden_gradients import BACKWARD, assert_gradients

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


def joint(case: dict[str, Any]) -> tuple[Any, Any, Joint]:
    graph = graph_of(case)
    request = requested(graph, None, tuple(numbers(case, "topdiff/")))
    return graph, request, joint_of(graph, request)


@cache
def build_joint() -> None:
    build(kernels_of((joint(case)[2].graph for case in BACKWARD), options()))


@pytest.mark.parametrize("case", BACKWARD, ids=lambda c: c["case"])
def test_golden_gradients(case: dict[str, Any]) -> None:
    build_joint()
    graph, request, made = joint(case)
    seeds = seed_arrays(graph, numbers(case, "topdiff/"))
    feeds = numbers(case, "in/") | {made.seeds[v]: a for v, a in seeds.items() if v in made.seeds}
    feeds = {graph.input_blobs.get(name, name): array for name, array in feeds.items()}
    got = CudaBackend(EmulatedDevice(0)).prepare(made.graph, options()).run(feeds)
    data = GOLDEN / "layers" / f"{case['case']}.npz"
    assert_gradients(collected(graph, made, request, got, feeds), data)
