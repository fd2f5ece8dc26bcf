"""LLVM, which compiles kernels and holds their machine code."""

from __future__ import annotations

from functools import cache


@cache
def initialise_llvm() -> None:
    """Make LLVM ready for this machine; older versions want it said."""
    import llvmlite.binding as llvm

    try:
        llvm.initialize()
    except (RuntimeError, AttributeError):  # done by itself since llvmlite 0.45
        pass
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
