"""Kernels compiled in several processes."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from netc.backends.cpu import jit, processes
from tests.machines import runnable

PLAIN = runnable("plain 1M")  # instructions that every processor has


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(processes, "_processors", lambda: 3)
    return tmp_path


def test_another_process_fills_the_cache(folder: Path) -> None:
    kernels = [jit.spec("moving", "image_to_pixels", channels=c) for c in (41, 42)]
    kernels.append(jit.spec("winograd", "transform", outputs=(2, 1), taps=(3, 1)))
    waiting = deque[tuple[object, ...]](kernels)
    with processes.others(1, PLAIN) as (process,):
        process.feed(waiting)
        process.wait()
    assert not waiting
    assert len(list(folder.glob("*.o"))) == 3


@pytest.mark.parametrize("python", [sys.executable, "/nowhere/python", "false"])
def test_all_kernels_are_there_whatever_becomes_of_the_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    first = 50 + 10 * len(python)  # none that another test has compiled
    monkeypatch.setattr(sys, "executable", python)
    kernels = [jit.spec("moving", "image_to_pixels", channels=first + c) for c in range(9)]
    told: list[tuple[int, int]] = []
    addresses = jit.load(kernels, PLAIN, lambda done, total, name: told.append((done, total)))
    assert set(addresses) == set(kernels) and all(addresses.values())
    assert told[-1] == (9, 9) and told == sorted(told)
    assert len(list(folder.glob("*.o"))) == 9


def test_few_kernels_and_other_machines_are_compiled_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "machine", lambda isa: PLAIN)
    assert processes.shares(3, PLAIN) == 1
    assert processes.shares(9, PLAIN) == 2
    assert processes.shares(99, PLAIN) == 3
    assert processes.shares(99, replace(PLAIN, cpu="another")) == 1
    (folder / "file").touch()
    monkeypatch.setenv("NETC_CACHE_DIR", str(folder / "file"))
    assert processes.shares(99, PLAIN) == 1
