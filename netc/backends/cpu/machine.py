"""What the kernels are fitted to: vector instructions, registers and caches of a machine.

``NETC_CPU_ISA`` (``avx512``, ``avx2``, ``neon`` or ``plain``) chooses narrower vectors than the
machine has, for tests and comparisons.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError

_X86 = ("x86_64", "amd64", "AMD64")
_ARM = ("aarch64", "arm64", "ARM64")


_L3 = 16 << 20  # bytes, of a machine that does not tell


@dataclass(frozen=True, slots=True)
class Machine:
    """A target of kernels.

    Args:
        isa: "avx512", "avx2", "neon" or "plain".
        family: "x86", "arm" or "other".
        width: floats in a vector.
        registers: vector registers.
        l1: bytes of a core's first data cache.
        l2: bytes of a core's second cache.
        cpu: LLVM's name of the processor.
        features: LLVM's feature string.
        units: vector multiply-adds that a core starts in a cycle.
        l3: bytes of the last cache, which cores share.
    """

    isa: str
    family: str
    width: int
    registers: int
    l1: int
    l2: int
    cpu: str
    features: str
    units: int = 2
    l3: int = _L3


_WIDTHS = {"avx512": (16, 32), "avx2": (8, 16), "neon": (4, 32), "plain": (4, 16)}
# Of these one vector of sixteen a cycle: in two halves, or on one of two units.
_ONE_UNIT = {"avx512": frozenset({"znver4", "icelake-client", "tigerlake", "rocketlake"})}
_FALLBACK_CPU = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "plain": "x86-64"}


@cache
def machine(isa: str | None = None) -> Machine:
    """The machine netc runs on, or the part of it that ``isa`` names.

    Raises:
        NetcError: the machine has no such instructions.
    """
    best = _best_isa()
    chosen = isa or os.environ.get("NETC_CPU_ISA") or best
    if chosen not in _supported(best):
        known = ", ".join(_supported(best))
        raise NetcError(
            Diagnostic("unknown-isa", f"this machine has no `{chosen}`; it has {known}")
        )
    width, registers = _WIDTHS[chosen]
    cpu, features = _code_target(chosen, best)
    l1, l2, l3 = _cache_sizes()
    units = units_of(chosen, cpu)
    return Machine(chosen, _family(), width, registers, l1, l2, cpu, features, units, l3)


def units_of(isa: str, cpu: str) -> int:
    """Vector multiply-adds a cycle of a processor, by LLVM's name of it."""
    return 1 if cpu in _ONE_UNIT.get(isa, ()) else 2


def supported_isas() -> tuple[str, ...]:
    """The names that :func:`machine` takes here, the widest first."""
    return _supported(_best_isa())


def _family() -> str:
    name = platform.machine()
    return "x86" if name in _X86 else "arm" if name in _ARM else "other"


def _supported(best: str) -> tuple[str, ...]:
    chain = ("avx512", "avx2", "plain")
    return chain[chain.index(best) :] if best in chain else (best, "plain")


@cache
def _best_isa() -> str:
    if _family() != "x86":
        return "neon" if _family() == "arm" else "plain"
    features = _host_features()
    if all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq", "avx512bw")):
        return "avx512"
    return "avx2" if features.get("avx2") and features.get("fma") else "plain"


def _host_features() -> dict[str, bool]:
    import llvmlite.binding as llvm

    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on this platform
        return {}


def _code_target(isa: str, best: str) -> tuple[str, str]:
    import llvmlite.binding as llvm

    if isa == best or _family() != "x86":
        features = _host_features()
        return llvm.get_host_cpu_name(), ",".join(
            f"{'+' if on else '-'}{name}" for name, on in sorted(features.items())
        )
    return _FALLBACK_CPU[isa], ""


def _cache_sizes() -> tuple[int, int, int]:
    found = {1: 32 * 1024, 2: 512 * 1024, 3: _L3}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (folder / name).read_text().strip() for name in ("type", "level", "size")
            )
            if kind != "Instruction" and int(level) in found and size.endswith("K"):
                found[int(level)] = int(size[:-1]) * 1024
        except (OSError, ValueError):
            continue
    return found[1], found[2], found[3]
