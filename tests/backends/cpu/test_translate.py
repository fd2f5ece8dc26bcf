"""Kernels translated to LLVM code give what Numba gives, and nothing is translated by half."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import llvmlite.binding as llvm
import numpy as np
import pytest

import netc
from netc.backends.cpu import jit
from netc.backends.cpu.machine import machine

pytest.importorskip("numba")

from numba import float32, float64, int64, njit

from netc.backends.cpu.kernels import build
from netc.backends.cpu.kernels.scalars import UntranslatableError
from netc.backends.cpu.kernels.simd import float_at, int_at, set_float, set_int
from netc.backends.cpu.kernels.translate import llvm_module

ROOT = Path(__file__).resolve().parents[3]
PLACES = 64
Kernel = Callable[[int, int, int, int], None]


def divisions(numbers: int, others: int, target: int, unused: int) -> None:
    at = 0
    for i in range(6):
        for k in range(6):
            x, y = int_at(numbers, i), int_at(numbers, k)
            if at < 30:
                set_int(target, at, x // y + 1000 * (x % y))
            at += 1
        x = int_at(numbers, i)
        set_int(target, 30 + i, x // 8 + 100 * (x % 8))
        set_int(target, 36 + i, x // 7 + 100 * (x % 7))
        set_int(target, 42 + i, (x << 3) ^ (x >> 1) | (x & 5))
        set_float(target + 8 * 48, i, float32(x / 3))


@njit(inline="always")
def _sign(x: int) -> int:
    if x > 0:
        return 1
    if x < 0:
        return -1
    return 0


@njit(inline="always")
def _first_below(numbers: int, limit: int, found: int) -> int:
    while True:
        if found >= 6:
            return -1
        if int_at(numbers, found) < limit:
            return found
        found += 1


def flow(numbers: int, others: int, target: int, unused: int) -> None:
    total, skipped = 0, 0
    for i in range(5, -1, -1):
        x = int_at(numbers, i)
        if x == 0:
            skipped += 1
            continue
        total += x
        if total > 10 or (x == -3 and i < 4):
            break
    set_int(target, 0, total)
    set_int(target, 1, skipped)
    for i in range(6):
        set_int(target, 2 + i, _sign(int_at(numbers, i)))
    set_int(target, 8, _first_below(numbers, -2, 0))
    set_int(target, 9, _first_below(numbers, -200, 0))
    right: int = 2
    left = 1
    while left < 50:
        left, right = right, left + right
    set_int(target, 10, left)
    set_int(target, 11, 7 if not -3 <= total < 3 else min(total, right, 5))
    for i in range(0, 30, int_at(numbers, 0)):  # a step that is known while running alone
        set_int(target, 12 + i // 3, i)


def mixed(numbers: int, others: int, target: int, unused: int) -> None:
    at = 0
    for i in range(6):
        x = float_at(others, i)
        for k in range(4):
            y = float_at(others, k)
            high = max(x, y) - min(y, x)
            set_float(target, at, high * float32(0.1) + (x if x > y else float32(2.0)))
            at += 1
        set_float(target, at, float32(x * 0.1))  # in double, rounded once
        set_float(target, at + 1, float32(x * int_at(numbers, i) + float64(1)))
        set_int(target + 400, i, int64(x) + int(x != x) + 2 * int(x < 1.0))
        at += 2
    set_float(target, at, float32(math.sqrt(float64(2)) - float32(1)))
    set_float(target, at + 1, -float_at(others, 1) / float32(3))


def kinds(width: int) -> Kernel:
    """Conditions that are known while it is translated, and variables of several types."""
    names = ("one", "two")

    def kernel(numbers: int, others: int, target: int, unused: int) -> None:
        value = int_at(numbers, 1)
        set_int(target, 0, value)
        value = float_at(others, 1)
        if width == 8:
            value = value * float32(2)
        set_float(target, 8, value)
        pair = (int_at(numbers, 2), value)
        first, second = pair
        set_int(target, 2, first + width)
        set_float(target, 9, second)
        if len_of(names[0]) == width:
            set_int(target, 3, 1)

    return kernel


@njit(inline="always")
def len_of(name: str) -> int:
    return 3 if name == "one" else 4


INTEGERS = np.array([3, -3, 0, 7, -8, 25], np.int64)
FLOATS = np.array([1.5, -2.25, np.nan, 0.3, -0.0, 1e7], np.float32)


def run(code: bytes) -> np.ndarray:
    """What a kernel leaves in its target."""
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""),
        llvm.Target.from_default_triple().create_target_machine(jit=True),
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    address = engine.get_function_address("kernel")
    call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)(address)
    place, target = ctypes.create_string_buffer(64), np.zeros(PLACES, np.int64)
    where = ctypes.addressof(place)
    call(where, where + 32, INTEGERS.ctypes.data, FLOATS.ctypes.data, target.ctypes.data, 0)
    return target


def by_numba(function: Kernel) -> bytes:
    module = llvm.parse_assembly(build.llvm_code_by_numba(function, "kernel"))
    return bytes(build.target_machine(machine()).emit_object(module))


@pytest.mark.parametrize(
    "function",
    [divisions, flow, mixed, kinds(8), kinds(3)],
    ids=["divisions", "flow", "mixed", "kinds", "other kinds"],
)
def test_what_is_translated_gives_what_numba_gives(function: Kernel) -> None:
    tm = build.target_machine(machine())
    llvm_module(function, "kernel", tm.triple, str(tm.target_data))  # raises nothing
    made = run(build.object_code(function, "kernel", machine()))
    assert np.array_equal(made, run(by_numba(function)))
    assert made.any()


def test_a_division_by_zero_gives_zero_and_a_negative_one_rounds_down() -> None:
    made = run(build.object_code(divisions, "kernel", machine()))
    pairs = [(int(x), int(y)) for x in INTEGERS for y in INTEGERS][:30]
    wanted = [x // y + 1000 * (x % y) if y else 0 for x, y in pairs]
    assert made[:30].tolist() == wanted


# What the translator does not know, it refuses, and Numba compiles it.


def powers(numbers: int, others: int, target: int, unused: int) -> None:
    x = int_at(numbers, 0)
    set_int(target, 0, x**3)


def changing(numbers: int, others: int, target: int, unused: int) -> None:
    x = 1
    for i in range(4):
        if i > 1:
            x = 0.5  # type: ignore[assignment]
    set_float(target, 0, float32(x))


@pytest.mark.parametrize(("function", "wanted"), [(powers, 27), (changing, None)])
def test_what_is_not_known_is_compiled_by_numba(function: Kernel, wanted: int | None) -> None:
    with pytest.raises(UntranslatableError):
        llvm_module(function, "kernel", "", "")
    made = run(build.object_code(function, "kernel", machine()))
    assert made[0] == wanted if wanted else made.view(np.float32)[0] == 0.5


def test_a_function_without_source_is_compiled_by_numba() -> None:
    names = {"set_int": set_int}
    exec("def kernel(a, b, target, d):\n    set_int(target, 0, 5)\n", names)
    assert run(build.object_code(names["kernel"], "kernel", machine()))[0] == 5


NETS = ["lenet", "googlenet", "mobilenet2", "resnext", "deepface", "fcn", "lppool"]


class _AskedError(Exception):
    """Kernels that a net asked for."""


def kernels_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[jit.KernelSpec]:
    """The kernels that a net's steps call, none of them compiled."""

    def load(specs: Iterable[jit.KernelSpec], *rest: object) -> NoReturn:
        raise _AskedError(*dict.fromkeys(specs))

    with monkeypatch.context() as patched:
        patched.setattr(jit, "load", load)
        with pytest.raises(_AskedError) as caught:
            netc.compile(path)
    return list(caught.value.args)


@pytest.mark.parametrize("name", NETS)
def test_all_kernels_of_a_net_are_translated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = kernels_of(ROOT / "prototxt" / f"{name}.netc", monkeypatch)
    assert jit.spec("runner", "run") in kernels
    tm = build.target_machine(machine())
    for kernel in kernels:
        function = jit.kernel_function(kernel, machine())
        assert llvm_module(function, "kernel", tm.triple, str(tm.target_data)), kernel
