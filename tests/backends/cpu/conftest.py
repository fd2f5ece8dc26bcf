"""What all tests of the compiled kernels use."""

from __future__ import annotations

import pytest

from netc.backends.cpu import jit
from tests.backends.cpu.arena import Bench
from tests.machines import ONE_OF_EACH, runnable


def pytest_collection_modifyitems(items):
    if not jit.available():
        for item in items:
            if "backends/cpu" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="Numba is not installed"))


@pytest.fixture(params=ONE_OF_EACH or ("plain 256K",))
def target(request):
    """A machine of each kind of instructions that the processor has."""
    return runnable(request.param)


@pytest.fixture
def bench(target):
    return Bench(target)
