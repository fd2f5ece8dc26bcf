"""A Python function to an object file, by LLVM.

:mod:`.translate` writes the LLVM code of kernels. One that it cannot translate is compiled by
Numba, whose Python it is: with the same result, in several times the time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llvmlite.binding as llvm
from numba.core import types
from numba.core.codegen import CodeLibrary
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from netc.backends.cpu.kernels.scalars import UntranslatableError
from netc.backends.cpu.kernels.translate import llvm_module
from netc.backends.cpu.llvm import initialise_llvm
from netc.backends.cpu.machine import Machine, machine

SIGNATURE = (types.int64,) * 4


def object_code(function: Callable[..., None], symbol: str, target: Machine) -> bytes:
    """The object file of a kernel, a function of four int64.

    The symbol's C type is that of Numba's calling convention: it takes two pointers more, in
    front, to a place for the result and one for an exception, and returns a status; kernels
    return nothing and raise nothing.
    """
    module = llvm.parse_assembly(llvm_code(function, symbol, target))
    return bytes(target_machine(target).emit_object(module))


def llvm_code(function: Callable[..., None], symbol: str, target: Machine | None = None) -> str:
    """The optimised LLVM module of a kernel, for this processor where no machine is given."""
    try:
        return _translated(function, symbol, target)
    except UntranslatableError:
        return llvm_code_by_numba(function, symbol)


def _translated(function: Callable[..., None], symbol: str, target: Machine | None) -> str:
    """The optimised LLVM module, without Numba's compiler.

    Raises:
        UntranslatableError: the kernel uses what :mod:`.translate` does not know.
    """
    generator = target_machine(target or machine())
    text = llvm_module(function, symbol, generator.triple, str(generator.target_data))
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(generator, options)
    builder.getModulePassManager().run(module, builder)
    return str(module)


def llvm_code_by_numba(function: Callable[..., None], symbol: str) -> str:
    """The optimised LLVM module of a kernel, compiled by Numba for this processor."""
    with global_compiler_lock, _no_collection():
        result = compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            function,
            SIGNATURE,
            types.none,
            _flags(),
            {},
        )
        text = _optimised(result.library)
    # Numba's own name repeats from process to process, and its environment is named after it.
    return text.replace(result.fndesc.mangled_name, symbol).replace(
        result.fndesc.mangled_name[3:], symbol
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """No cyclic garbage collection: Numba makes so many objects that it takes a third of the time.

    What is garbage then is collected soon after. The caller holds the compiler's lock.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _optimised(library: CodeLibrary) -> str:
    # Where it can, this goes round Numba's own code generation, which would be for nothing.
    optimise = getattr(library, "_optimize_final_module", None)
    if optimise is None or library._linking_libraries:
        library.finalize()
        return str(library.get_llvm_str())
    optimise()
    return str(library._final_module)


def assembly(function: Callable[..., None], target: Machine) -> str:
    """The machine code as text, for people."""
    module = llvm.parse_assembly(llvm_code(function, "kernel"))
    return str(target_machine(target).emit_assembly(module))


def target_machine(target: Machine) -> llvm.TargetMachine:
    """LLVM's code generator for a machine."""
    initialise_llvm()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=3,
        reloc="static" if target.family == "x86" else "default",
        codemodel="jitdefault",
        jit=True,
    )


def _flags() -> Flags:
    flags = Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.error_model = "numpy"  # a division by zero raises nothing
    flags.nrt = False
    return flags
