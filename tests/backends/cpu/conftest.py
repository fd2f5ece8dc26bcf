"""What all tests of the compiled kernels use."""

from __future__ import annotations

import pytest

from netc.backends.cpu import jit
from netc.backends.cpu.machine import machine, supported_isas
from tests.backends.cpu.arena import Bench


def pytest_collection_modifyitems(items):
    if not jit.available():
        for item in items:
            if "backends/cpu" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="Numba is not installed"))


@pytest.fixture(params=supported_isas() if jit.available() else ("plain",))
def target(request):
    return machine(request.param)


@pytest.fixture
def bench(target):
    return Bench(target)
