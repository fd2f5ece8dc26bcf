"""What a process that compiles kernels for another runs; see netc.backends.cpu.processes."""

from __future__ import annotations

import ast
import sys

from netc.backends.cpu import jit
from netc.backends.cpu.machine import machine


def main() -> None:
    """Compile the kernels that standard input lists, into the cache."""
    isa, kernels = ast.literal_eval(sys.stdin.read())
    for kernel in kernels:
        jit.compile_and_keep(jit.KernelSpec(*kernel), machine(isa))
