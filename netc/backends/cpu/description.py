"""What ``netc devices`` tells of the processor."""

from __future__ import annotations

import os
import platform

from netc.backends.base import Description
from netc.backends.cpu import jit
from netc.backends.threads import thread_count


def describe() -> Description:
    """The processor; without Numba nothing is compiled, and the definitions run."""
    compiles, isa = jit.available(), "none"
    if compiles:
        from netc.backends.cpu.machine import machine

        isa = machine().isa
    cores, threads = os.cpu_count() or 1, thread_count(None)
    facts = {
        "backend": "cpu" if compiles else "reference",
        "architecture": platform.machine(),
        "isa": isa,
        "cores": cores,
        "threads": threads,
    }
    kernels = f"{isa} kernels" if compiles else "no Numba, definitions only"
    line = f"{platform.machine()}, {kernels}, {cores} cores, {threads} threads"
    return Description(facts, (("cpu", line),))
