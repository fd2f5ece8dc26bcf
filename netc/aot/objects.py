"""Compiles kernels to object files for a target."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from netc.aot.instructions import initialise_all
from netc.aot.targets import Target, target_machine
from netc.backends.cpu import processes
from netc.backends.cpu.jit import STEERED, KernelSpec, kernel_function, kernel_key
from netc.cache import content_key, read_entry, write_entry
from netc.diagnostics import NetcError

Progress = Callable[[int, int, str], None]


def kernel_objects(
    kernels: Iterable[KernelSpec], target: Target, prefix: str, progress: Progress
) -> dict[KernelSpec, tuple[str, bytes]]:
    """Kernel -> its symbol and the bytes of its object file, from the cache where possible.

    Symbols begin with ``prefix``, so that two nets can be linked into one program.

    Raises:
        NetcError: steered-compiler, where a file in the current folder would configure Numba.
    """
    wanted = tuple(dict.fromkeys(kernels))
    generator = target_machine(target)
    found = {}
    for number, kernel in enumerate(wanted):
        progress(number, len(wanted), str(kernel))
        symbol = f"{prefix}_kernel_{number}"
        key = content_key(
            kernel_key(kernel, target.machine).encode(),
            f"{target.triple} {target.fused} {symbol}".encode(),
        )
        code = read_entry(f"{key}.o")
        if code is None:
            code = _compiled(kernel, target, symbol, generator)
            write_entry(f"{key}.o", code)
        found[kernel] = symbol, code
    progress(len(wanted), len(wanted), "")
    return found


def _compiled(kernel: KernelSpec, target: Target, symbol: str, generator: Any) -> bytes:
    if processes.steered():
        raise NetcError(STEERED)
    compiler = importlib.import_module("netc.backends.cpu.kernels.build")
    function = kernel_function(kernel, target.machine)
    text = for_target(compiler.llvm_code(function, symbol), target)
    llvm = initialise_all()
    return bytes(generator.emit_object(llvm.parse_assembly(text)))


def for_target(text: str, target: Target) -> str:
    """Retarget the LLVM IR text of a module, which is generated for the host.

    Kernels fix their vector widths themselves, so only triple, data layout and attributes change.
    """
    layout = target_machine(target).target_data
    text = re.sub(r'target triple = "[^"]*"', f'target triple = "{target.triple}"', text)
    text = re.sub(r'target datalayout = "[^"]*"', f'target datalayout = "{layout}"', text)
    # A place that Numba's own callers would use, and that WebAssembly has no kind of symbol for.
    text = text.replace("= common local_unnamed_addr global", "= internal global")
    text = text.replace("= common global", "= internal global")
    text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", text)
    return text if target.fused else text.replace("@llvm.fma.", "@llvm.fmuladd.")
