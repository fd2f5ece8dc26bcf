"""What a process that compiles kernels for another runs; see netc.backends.cpu.processes."""

from __future__ import annotations

import ast
import sys

from netc.backends.cpu import jit
from netc.backends.cpu.machine import machine


def main() -> None:
    """Compile the kernels that standard input lists, into the cache, and tell after each."""
    target = machine(sys.stdin.readline().strip())
    print("ready", flush=True)
    for line in sys.stdin:
        jit.compile_and_keep(jit.KernelSpec(*ast.literal_eval(line)), target)
        print("done", flush=True)
