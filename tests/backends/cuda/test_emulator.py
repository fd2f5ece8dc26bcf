"""The emulator sees what would be a fault on a device."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from netc.backends.cuda.device import KernelCall
from netc.backends.cuda.source import Code, Kernel
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

_PLAIN = Code(
    "struct Outputs { value_t* y[1]; int ld[1]; int count[1]; };\nstruct Operands {};\n"
    "DEVICE float chain(float v, int, int, int, const Operands&) { return v; }\n",
    ", value_t* y0, int ldy0, int count0",
    "{{y0}, {ldy0}, {count0}}",
    "{}",
)
GEMV = Kernel("gemv", (("BATCH", 1), ("SIDE", 4)), (("value_t", "float"),), _PLAIN)


def product(shift: int) -> float:
    """Four ones times four twos, which begin ``shift`` bytes after a multiple of 256."""
    device = EmulatedDevice()
    device.build([GEMV])
    x = device.upload(np.ones(64, np.float32))
    w = device.upload(np.full(64, 2, np.float32))
    y = device.upload(np.zeros(4, np.float32))
    pointers = [np.uint64(a) for a in (x.address, w.address + shift)]
    numbers = [np.int32(n) for n in (4, 4, 4, 1)]
    device.launch(
        KernelCall(GEMV, (1, 1, 1), 128, (*pointers, *numbers, np.uint64(y.address), *numbers[2:]))
    )
    return float(y.bytes.view(np.float32)[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize("shift", (0, 16))
def test_aligned_reads_are_made(shift: int) -> None:
    assert product(shift) == 8


@pytest.mark.parametrize("shift", (4, 8))
def test_a_misaligned_read_ends_the_process(shift: int) -> None:
    code = f"from tests.backends.cuda.test_emulator import product; product({shift})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode < 0
