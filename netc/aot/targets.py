"""Targets of ahead-of-time compilation: LLVM's triple and CPU, and the machine for the kernels."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from netc.aot.instructions import features_of, initialise_all, vectors_of
from netc.backends.cpu.machine import Machine, machine, units_of
from netc.diagnostics import Diagnostic, NetcError, did_you_mean

# First and second caches of cores that say nothing about them: what most of their kind have.
_CACHES = {"x86": (32 << 10, 1 << 20), "arm": (64 << 10, 512 << 10), "other": (32 << 10, 256 << 10)}
_WIDTHS = {"avx512": (16, 32), "avx2": (8, 16), "neon": (4, 32), "plain": (4, 16)}
# Target -> the processor that is meant without --cpu: one that most machines of the last ten years
# can do the instructions of.
DEFAULT_CPUS = {
    "x86_64-linux-gnu": "x86-64-v3",
    "aarch64-linux-gnu": "cortex-a76",
    "wasm32": "generic",
}
# Names that LLVM 15, the oldest that netc runs with, knows. One that LLVM does not know ends the
# process on x86, and is taken for the least processor elsewhere; nothing can be asked beforehand.
CPUS = {
    "x86_64-linux-gnu": (
        "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "nehalem", "westmere", "sandybridge",
        "ivybridge", "haswell", "broadwell", "skylake", "skylake-avx512", "cascadelake",
        "cooperlake", "icelake-client", "icelake-server", "tigerlake", "rocketlake", "alderlake",
        "raptorlake", "sapphirerapids", "goldmont", "tremont", "bdver4", "btver2", "znver1",
        "znver2", "znver3",
    ),
    "aarch64-linux-gnu": (
        "generic", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a73",
        "cortex-a75", "cortex-a76", "cortex-a77", "cortex-a78", "cortex-x1", "neoverse-n1",
        "neoverse-n2", "neoverse-v1", "apple-m1", "a64fx", "thunderx2t99",
    ),
    "wasm32": ("generic",),
}  # fmt: skip
NEWER_CPUS = {
    "znver4": 16,
    "znver5": 19,
    "neoverse-v2": 16,
    "graniterapids": 16,
    "emeraldrapids": 16,
}
_TRIPLES = {"wasm32": "wasm32-unknown-unknown"}
_FEATURES = {"wasm32": "+simd128,+bulk-memory"}


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Args:
        name: the name that users give.
        triple: LLVM's target triple.
        machine: instruction set, vector width, caches and CPU that kernels are tuned for.
        fused: whether there is an FMA instruction; without one LLVM would call a function for each
            fused multiply-add.
    """

    name: str
    triple: str
    machine: Machine
    fused: bool

    @property
    def is_wasm(self) -> bool:
        """Whether the target is WebAssembly, whose addresses have 32 bits."""
        return self.name == "wasm32"


def host_target() -> str:
    """The name of this machine's target; x86_64-linux-gnu if netc has none for it."""
    known = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
    return known.get(platform.machine(), "x86_64-linux-gnu")


def target_of(name: str | None, cpu: str | None) -> Target:
    """A target by its name and LLVM's name of a CPU; "native" is the CPU that netc runs on.

    None stands for this machine's target, and for the target's default CPU.

    Raises:
        NetcError: unknown-target; unknown-cpu, also for "native" with another target.
    """
    name = name or host_target()
    if name not in DEFAULT_CPUS:
        known = ", ".join(f"`{known}`" for known in DEFAULT_CPUS)
        help = (*did_you_mean(name, DEFAULT_CPUS), f"the targets are {known}")
        raise NetcError(Diagnostic("unknown-target", f"there is no target `{name}`", help=help))
    if cpu == "native":
        return _native(name)
    chosen = cpu or DEFAULT_CPUS[name]
    triple, features = _TRIPLES.get(name, name), _FEATURES.get(name, "")
    _check_cpu(name, chosen)
    family = "x86" if name.startswith("x86") else "arm" if name.startswith("aarch64") else "other"
    isa = "neon" if family == "arm" else "plain"
    if family == "x86":
        isa, features = vectors_of(triple, chosen), features_of(triple, chosen)
    width, registers = _WIDTHS[isa]
    units = units_of(isa, chosen)
    made = Machine(isa, family, width, registers, *_CACHES[family], chosen, features, units)
    return Target(name, triple, made, fused=isa != "plain")


def _native(name: str) -> Target:
    if name != host_target():
        message = f"`--cpu native` is this machine's processor, and `{name}` is not this machine"
        raise NetcError(Diagnostic("unknown-cpu", message))
    own = machine()
    return Target(name, name, own, fused=own.isa != "plain")


def target_machine(target: Target) -> Any:
    """LLVM's TargetMachine for a target: position-independent code (not for wasm32), -O3."""
    llvm = initialise_all()
    own = target.machine
    made = llvm.Target.from_triple(target.triple)
    reloc = "default" if target.is_wasm else "pic"
    return made.create_target_machine(cpu=own.cpu, features=own.features, opt=3, reloc=reloc)


def cpus_of(name: str) -> tuple[str, ...]:
    """The CPU names of a target that the installed LLVM knows."""
    import llvmlite.binding as llvm

    arm = name.startswith("aarch64")
    newer = [cpu for cpu, since in NEWER_CPUS.items() if llvm.llvm_version_info[0] >= since]
    own = [cpu for cpu in newer if cpu.startswith("neoverse") == arm]
    return (*CPUS[name], *(own if name in ("x86_64-linux-gnu", "aarch64-linux-gnu") else ()))


def _check_cpu(name: str, cpu: str) -> None:
    known = cpus_of(name)
    if cpu not in known:
        message = f"target `{name}` has no processor `{cpu}`"
        help = (*did_you_mean(cpu, known), f"the processors are {', '.join(known)}, native")
        raise NetcError(Diagnostic("unknown-cpu", message, help=help))
