"""Machines as data: what kernels are fitted to, whatever processor the tests run on.

A machine is described by its vectors, registers and caches. Choices (which algorithm, how it is
cut) are tested on every machine of the table, here or not; kernels are run as for those whose
instructions the processor has, of which it lends its name and features for LLVM and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest

from netc.backends.cpu import jit
from netc.backends.cpu import machine as this
from netc.backends.cpu.machine import Machine, machine, supported_isas

KIB, MIB = 1 << 10, 1 << 20


class Described(NamedTuple):
    """Instructions, and bytes of the first and the second cache of a core."""

    isa: str
    family: str
    width: int
    registers: int
    l1: int
    l2: int


DESCRIBED: Mapping[str, Described] = {
    "avx512 2M": Described("avx512", "x86", 16, 32, 48 * KIB, 2 * MIB),
    "avx512 1M": Described("avx512", "x86", 16, 32, 32 * KIB, 1 * MIB),
    "avx512 512K": Described("avx512", "x86", 16, 32, 32 * KIB, 512 * KIB),
    "avx2 2M": Described("avx2", "x86", 8, 16, 48 * KIB, 2 * MIB),
    "avx2 512K": Described("avx2", "x86", 8, 16, 32 * KIB, 512 * KIB),
    "avx2 256K": Described("avx2", "x86", 8, 16, 32 * KIB, 256 * KIB),
    "neon 1M": Described("neon", "arm", 4, 32, 64 * KIB, 1 * MIB),
    "neon 256K": Described("neon", "arm", 4, 32, 32 * KIB, 256 * KIB),
    "plain 1M": Described("plain", "other", 4, 16, 32 * KIB, 1 * MIB),
    "plain 256K": Described("plain", "other", 4, 16, 32 * KIB, 256 * KIB),
}
LAST = 32 * MIB  # the last cache, which cores share, of all of them
USUAL = (32 * KIB, 1 * MIB, LAST)  # the caches that all other tests are run with


def described(name: str) -> Machine:
    """A machine to choose for; nothing of the processor is in it, so nothing runs on it."""
    return Machine(*DESCRIBED[name], cpu="", features="")


def runnable(name: str) -> Machine:
    """A machine of these vectors, registers and caches that kernels can be run for here.

    Skips the test where the processor has no such instructions.
    """
    isa, _, width, registers, l1, l2 = DESCRIBED[name]
    if isa not in supported_isas():
        pytest.skip(f"this processor has no {isa} instructions")
    return replace(machine(isa), width=width, registers=registers, l1=l1, l2=l2)


def runnable_with(name: str, *features: str, without: Iterable[str] = ()) -> Machine:
    """A machine of the table with further instructions, by LLVM's names, that run here.

    Skips the test where the processor lacks them: whether it can execute them is all it is asked.

    Args:
        name: in the table.
        features: instructions that the machine has.
        without: instructions that it has not, although the processor may.
    """
    target, host = runnable(name), machine(supported_isas()[0]).features.split(",")
    for feature in features:
        if f"+{feature}" not in host:
            pytest.skip(f"this processor has no {feature} instructions")
    named = {*features, *without}
    others = [text for text in target.features.split(",") if text and text[1:] not in named]
    switched = [f"+{f}" for f in features] + [f"-{f}" for f in without]
    return replace(target, features=",".join((*others, *switched)))


def describe_this_machine(name: str | None = None) -> None:
    """Let nets be compiled as for a machine of the table, or for this one with the usual caches.

    For the whole of a run of tests: choices that follow from caches are the same everywhere.
    """
    caches = (DESCRIBED[name].l1, DESCRIBED[name].l2, LAST) if name else USUAL
    if name:
        os.environ["NETC_CPU_ISA"] = DESCRIBED[name].isa
    this._cache_sizes = lambda: caches
    machine.cache_clear()


def _here() -> tuple[str, ...]:
    names = supported_isas() if jit.available() else ()
    return tuple(name for name in DESCRIBED if DESCRIBED[name].isa in names)


HERE = _here()  # names of the machines whose kernels can be run by this processor
# One for each kind of instructions, for tests that do not look at caches.
ONE_OF_EACH = tuple(n for n in ("avx512 2M", "avx2 256K", "neon 1M", "plain 256K") if n in HERE)
