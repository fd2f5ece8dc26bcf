"""Random nets on the emulated device against the reference: plans, branches, places in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from netc.backends import reference
from netc.backends.cuda.backend import CudaBackend
from netc.diagnostics import Source
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options
from tests.passes.test_equivalence import seeded
from tests.strategies import nets, random_arrays

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")


# The same nets each time, so that their kernels are compiled once a machine.
@settings(
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(nets(14))
def test_random_nets(source: Source) -> None:
    graph = seeded(source)
    feeds = random_arrays({name: graph.shape(name) for name in graph.inputs})
    want = reference.run(graph, feeds)
    executable = CudaBackend(EmulatedDevice(1)).prepare(graph, options())
    executable.run({name: -array for name, array in feeds.items()})
    got = executable.run(feeds)  # by now from graphs, over what the run before has left
    for name, array in want.items():
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5 * scale, err_msg=name)
