"""Variables on the emulated device."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netc.backends.cuda.backend import CudaBackend
from netc.backends.registry import BACKENDS
from tests.backends import test_variables as conformance
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

CHECKS = [
    check
    for name, check in vars(conformance).items()
    if name.startswith("test_") and "backend" in check.__code__.co_varnames[:1]
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_variables(check: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "emulated", lambda: CudaBackend(EmulatedDevice(0)))
    check("emulated")
