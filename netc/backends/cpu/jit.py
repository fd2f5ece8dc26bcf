"""From a kernel's name to its machine code: compiled once, kept on disk, loaded without Numba.

A kernel is a factory in :mod:`netc.backends.cpu.kernels` and its options. Its function is
translated to LLVM code, of which LLVM makes an object file. That is kept in netc's cache under a
hash of the sources that it comes from, the versions of the compilers, and the machine
(:mod:`netc.backends.cpu.keys`). Later processes only load that object (llvmlite), so that they
neither compile nor import Numba.
"""

from __future__ import annotations

import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import util
from typing import Any, NamedTuple

from netc.backends.cpu import keys, processes
from netc.backends.cpu.llvm import initialise_llvm
from netc.backends.cpu.machine import Machine
from netc.cache import read_entry, write_entry
from netc.diagnostics import Diagnostic, InternalError, NetcError

Progress = Callable[[int, int, str], None]
Option = int | float | str | bool | tuple[object, ...]


class KernelSpec(NamedTuple):
    """A kernel: ``factory(machine, **options)`` of ``netc.backends.cpu.kernels.<module>``."""

    module: str
    factory: str
    options: tuple[tuple[str, Option], ...] = ()

    def __str__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.options)
        return f"{self.module}.{self.factory}({options})"


def spec(module: str, factory: str, **options: Option) -> KernelSpec:
    """A kernel's spec, options in the order of their names."""
    return KernelSpec(module, factory, tuple(sorted(options.items())))


@cache
def available() -> bool:
    """True if kernels can be compiled here."""
    return util.find_spec("numba") is not None and util.find_spec("llvmlite") is not None


def load(
    specs: Iterable[KernelSpec], target: Machine, progress: Progress | None = None
) -> Mapping[KernelSpec, int]:
    """The address of each kernel's machine code, compiling those that are not yet on disk.

    Args:
        specs: the kernels wanted.
        target: the machine they are for.
        progress: called as (done, total, name) before each kernel that must be compiled, and
            once at the end.
    """
    wanted = tuple(dict.fromkeys(specs))
    with _LOCK:
        missing = [s for s in wanted if (s, target) not in _ADDRESSES]
        absent = [s for s in missing if not _load_cached(s, target)]
        if absent:
            _compile_all(absent, target, progress or (lambda done, total, name: None))
        return {s: _address(s, target) for s in wanted}


def _compile_all(absent: Sequence[KernelSpec], target: Machine, progress: Progress) -> None:
    """Compile kernels, some of them in other processes where there are many."""
    count, steered = processes.shares(len(absent), target), processes.steered()
    waiting: deque[tuple[object, ...]] = deque(absent)
    with processes.others(max(count - 1, 1 if steered else 0), target) as started:
        for process in started:
            process.feed(waiting)
        while waiting and not steered:
            with suppress(IndexError):  # another process was faster
                kernel = KernelSpec(*waiting.popleft())  # type: ignore[arg-type]
                progress(len(absent) - len(waiting) - 1, len(absent), str(kernel))
                compile_and_keep(kernel, target)
        for process in started:
            process.wait()
    for kernel in absent:
        if (kernel, target) not in _SYMBOLS and not _load_cached(kernel, target):
            compile_and_keep(kernel, target)
    progress(len(absent), len(absent), "")


STEERED = Diagnostic(
    "steered-compiler",
    "the current folder has a `.numba_config.yaml`, by which it would steer how kernels are "
    "compiled, and no other process could be started to compile them elsewhere",
    help=("run netc in another folder",),
)
_LOCK = threading.RLock()
_ADDRESSES: dict[tuple[KernelSpec, Machine], int] = {}
_SYMBOLS: dict[tuple[KernelSpec, Machine], str] = {}


def _address(kernel: KernelSpec, target: Machine) -> int:
    key = (kernel, target)
    if key not in _ADDRESSES:
        address = _engine().get_function_address(_SYMBOLS[key])
        if not address:
            raise InternalError(f"kernel {kernel} is not in its machine code")
        _ADDRESSES[key] = address
    return _ADDRESSES[key]


def _load_cached(kernel: KernelSpec, target: Machine) -> bool:
    key = kernel_key(kernel, target)
    code = read_entry(f"{key}.o")
    if code is None:
        return False
    _add_object(code, kernel, target)
    return True


def compile_and_keep(kernel: KernelSpec, target: Machine) -> None:
    """Compile a kernel, put it into the cache, and have it ready here."""
    code = _compile(kernel, target)
    write_entry(f"{kernel_key(kernel, target)}.o", code)
    _add_object(code, kernel, target)


def _compile(kernel: KernelSpec, target: Machine) -> bytes:
    """A kernel's object file.

    Raises:
        NetcError: steered-compiler.
    """
    if processes.steered():
        raise NetcError(STEERED)
    compiler = importlib.import_module("netc.backends.cpu.kernels.build")
    function = kernel_function(kernel, target)
    return bytes(compiler.object_code(function, _symbol(kernel, target), target))


def kernel_function(kernel: KernelSpec, target: Machine) -> Callable[[int, int, int, int], None]:
    """The function that a kernel's factory makes for a machine."""
    module = importlib.import_module(f"netc.backends.cpu.kernels.{kernel.module}")
    made: Callable[[int, int, int, int], None] = getattr(module, kernel.factory)(
        target, **dict(kernel.options)
    )
    return made


def _add_object(code: bytes, kernel: KernelSpec, target: Machine) -> None:
    import llvmlite.binding as llvm

    _engine().add_object_file(llvm.ObjectFileRef.from_data(code))
    _SYMBOLS[kernel, target] = _symbol(kernel, target)


@cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    initialise_llvm()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _symbol(kernel: KernelSpec, target: Machine) -> str:
    return keys.symbol(kernel_key(kernel, target))


def kernel_key(kernel: KernelSpec, target: Machine) -> str:
    """The name of a kernel's machine code in the cache."""
    return keys.kernel_key(str(kernel), kernel.module, target)
