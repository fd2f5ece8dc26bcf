"""Solvers and gradients on the emulated device, and the steps that no kernel of theirs does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netc.backends import registry
from netc.backends.cuda.backend import CudaBackend
from netc.backends.cuda.program import DeviceProgram
from netc.feeding import input_shapes
from netc.solver.solver import Solver
from tests.backends.cuda.emulator.device import EmulatedDevice


@contextmanager
def emulated(order: int = 0) -> Iterator[EmulatedDevice]:
    """The backend `cuda` is the emulated device meanwhile."""
    device = EmulatedDevice(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.BACKENDS, "cuda", lambda: CudaBackend(device))
        yield device


def by_definition(report: dict[str, Any]) -> list[str]:
    """The steps of a program that run by their definitions."""
    return [*report["array_steps"], *report["host_steps"]]


def definitions(solver: Solver) -> set[str]:
    """The same of all programs of a solver."""
    programs = solver.report()["programs"].values()
    return {name for program in programs for name in by_definition(program)}


def first_program(solver: Solver) -> DeviceProgram:
    """The program of an iteration's first pass."""
    first = solver._train._first
    program = first.executable(input_shapes(first.graph)).program
    assert isinstance(program, DeviceProgram)
    return program
